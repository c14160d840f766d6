/* automix.c: the program: a table of commands. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "program.h"

typedef struct command {
    const char *group, *name;
    int bit, least, most; /* words after it */
    const char *takes;
    am_status (*run)(line *, am_err *);
} command;

static const command commands[] = {
    {"classifier", "train", TRAIN, 2, 3, "DATA CFG [WEIGHTS]", do_train},
    {"classifier", "valid", VALID, 3, 3, "DATA CFG WEIGHTS", do_valid},
    {"classifier", "predict", PREDICT, 3, MAX_WORDS, "DATA CFG WEIGHTS [IMAGE ...]", do_predict},
    {"classifier", "sheet", SHEET, 4, 4, "DATA CFG WEIGHTS OUT.png", do_sheet},
    {"classifier", "masks", MASKS, 3, 3, "DATA CFG WEIGHTS", do_masks},
    {"classifier", "replay", REPLAY, 3, 3, "CFG IN.safetensors OUT.safetensors", do_replay},
    {NULL, "net", NET, 1, 1, "CFG", do_net},
    {NULL, "bench", BENCH, 1, 1, "CFG", do_bench},
    {"data", "shapes", SHAPES, 1, 1, "DIR", do_shapes},
    {NULL, "reference", HELP, 0, 0, "", do_reference},
    {NULL, "help", HELP, 0, 2, "[SECTION|METHOD|COMMAND]", do_help},
    {NULL, "--help", HELP, 0, 2, "[SECTION|METHOD|COMMAND]", do_help},
    {NULL, "-h", HELP, 0, 2, "[SECTION|METHOD|COMMAND]", do_help},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static const command *find(int argc, char **argv, int *words)
{
    for (int i = 0; i < COMMANDS; i++) {
        const command *c = &commands[i];
        *words = c->group ? 2 : 1;
        if (argc <= *words) continue;
        if (c->group ? !strcmp(argv[1], c->group) && !strcmp(argv[2], c->name)
                     : !strcmp(argv[1], c->name))
            return c;
    }
    return NULL;
}

static am_status no_command(int argc, char **argv, am_err *e)
{
    if (argc < 2) return line_wrong(e, "%s", "what to do is missing; see: automix help");
    char list[200] = "";
    for (int i = 0; i < COMMANDS; i++) {
        if (!commands[i].group || strcmp(commands[i].group, argv[1]) != 0) continue;
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", commands[i].name);
    }
    if (!list[0]) return line_wrong(e, "there is no command '%s'; see: automix help", argv[1]);
    if (argc > 2)
        return am_fail(e, AM_EUSAGE, AM_NOPLACE, "automix %s knows no '%s'; it knows %s", argv[1],
                       argv[2], list);
    return am_fail(e, AM_EUSAGE, AM_NOPLACE, "automix %s needs one more word: %s", argv[1], list);
}

static am_status dispatch(int argc, char **argv, line *l, am_err *e)
{
    int words;
    const command *c = find(argc, argv, &words);
    if (!c) return no_command(argc, argv, e);
    AM_TRY(line_read(l, argc - 1 - words, argv + 1 + words, c->bit, e));
    if (l->words < c->least || l->words > c->most)
        return am_fail(e, AM_EUSAGE, AM_NOPLACE, "%s words; use: automix %s%s%s %s",
                       l->words < c->least ? "too few" : "too many", c->group ? c->group : "",
                       c->group ? " " : "", c->name, c->takes);
    return c->run(l, e);
}

int main(int argc, char **argv)
{
    static line l;
    am_err e = {0};
    l.run.seed = -1;
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is a fault of write, not the end */
    am_status s = dispatch(argc, argv, &l, &e);
    if (!s && (fflush(stdout) || ferror(stdout)))
        s = am_fail(&e, AM_EIO, AM_NOPLACE, "standard output could not be written");
    if (s) fprintf(stderr, "automix: %s%s%s\n", e.place, e.place[0] ? ": " : "", e.text);
    return !s ? 0 : s == AM_EUSAGE ? 2 : 1;
}
