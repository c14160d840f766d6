/* flags.c: which flags exist, what they fill, which commands know them. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "program.h"

typedef struct flag {
    const char *name;
    int commands, is_switch;
    size_t at;
} flag;

#define AT(f) offsetof(line, f)
static const flag flags[] = {
    {"-gpus", MODEL, 0, AT(run.gpus)},
    {"-i", MODEL, 0, AT(run.gpus)},
    {"-seed", TRAIN | SHEET | BENCH | SHAPES, 0, AT(seed)},
    {"-epochs", TRAIN, 0, AT(epochs)},
    {"-mix", TRAIN | SHEET | NET | BENCH, 0, AT(run.mix)},
    {"-resume", TRAIN, 1, AT(run.resume)},
    {"-clear", TRAIN, 1, AT(run.clear)},
    {"-backend", MODEL, 0, AT(run.backend)},
    {"-isa", MODEL, 0, AT(run.isa)},
    {"-precision", MODEL, 0, AT(run.precision)},
    {"-threads", MODEL, 0, AT(threads)},
    {"-plans", MODEL, 0, AT(run.plans)},
    {"-uncaptured", MODEL, 1, AT(run.uncaptured)},
    {"-batch", TRAIN | VALID | NET | BENCH, 0, AT(batch)},
    {"-net", VALID, 0, AT(net)},
    {"-head", VALID, 0, AT(head)},
    {"-bins", VALID, 0, AT(bins)},
    {"-t", PREDICT, 0, AT(top)},
    {"-lambda", SHEET, 0, AT(lambda)},
    {"-n", SHEET, 0, AT(pairs)},
    {"-steps", BENCH, 0, AT(steps)},
    {"-eval", BENCH, 1, AT(run.eval)},
    {"-train", SHAPES, 0, AT(train)},
    {"-valid", SHAPES, 0, AT(valid)},
    {"-size", SHAPES, 0, AT(size)},
};
enum { FLAGS = sizeof flags / sizeof *flags };

am_status line_wrong(am_err *e, const char *text, const char *word)
{
    return am_fail(e, AM_EUSAGE, AM_NOPLACE, text, word);
}

am_status line_whole(const char *name, const char *text, long least, long most, long *out,
                     am_err *e)
{
    char *end;
    if (!text) return AM_OK;
    long v = strtol(text, &end, 10);
    if (end == text || *end || v < least || v > most)
        return am_fail(e, AM_EUSAGE, AM_NOPLACE, "%s %s: a whole number from %ld to %ld is needed",
                       name, text, least, most);
    *out = v;
    return AM_OK;
}

static am_status unknown(const char *word, int command, am_err *e)
{
    for (int k = 0; k < FLAGS; k++)
        if (!strcmp(flags[k].name, word))
            return line_wrong(e, "this command knows no flag %s; see: automix help", word);
    for (int k = FLAGS - 1; k >= 0; k--)
        if (flags[k].commands & command && !strncmp(flags[k].name, word, 3))
            return am_fail(e, AM_EUSAGE, AM_NOPLACE, "there is no flag %s; did you mean %s?", word,
                           flags[k].name);
    return line_wrong(e, "there is no flag %s; see: automix help", word);
}

/* The flags whose value is a number of a run. */
static am_status numbers(line *l, am_err *e)
{
    long threads = 0, epochs = 0, batch = 0, gpu = 0;
    l->run.seed = -1;
    AM_TRY(line_whole("-threads", l->threads, 1, 1024, &threads, e));
    AM_TRY(line_whole("-epochs", l->epochs, 1, 1000000, &epochs, e));
    AM_TRY(line_whole("-batch", l->batch, 1, 65536, &batch, e));
    AM_TRY(line_whole("-seed", l->seed, 0, 2147483647, &l->run.seed, e));
    if (l->run.gpus && strchr(l->run.gpus, ','))
        return line_wrong(e, "-gpus %s: a run trains on one GPU; name one, and give the others runs of their own (-seed)", l->run.gpus);
    AM_TRY(line_whole("-gpus", l->run.gpus, 0, 1023, &gpu, e));
    l->run.threads = (int)threads;
    l->run.epochs = (int)epochs;
    l->run.batch = (int)batch;
    return AM_OK;
}

am_status line_read(line *l, int argc, char **argv, int command, am_err *e)
{
    for (int i = 0; i < argc; i++) {
        if (argv[i][0] != '-' || !argv[i][1]) {
            if (l->words == MAX_WORDS)
                return line_wrong(e, "%s", "too many words on the command line");
            l->word[l->words++] = argv[i];
            continue;
        }
        const flag *f = NULL;
        for (int k = 0; k < FLAGS; k++)
            if (!strcmp(flags[k].name, argv[i]) && flags[k].commands & command) f = &flags[k];
        if (!f) return unknown(argv[i], command, e);
        if (f->is_switch) {
            *(int *)((char *)l + f->at) = 1;
        } else {
            if (i + 1 == argc) return line_wrong(e, "%s needs a value after it", argv[i]);
            *(const char **)((char *)l + f->at) = argv[++i];
        }
    }
    return numbers(l, e);
}
