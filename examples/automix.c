/* automix.c: the program: a table of commands.  Each says what it takes; results go to standard
 * output, chatter to standard error; the exit status is 0 only on success, 1 for bad input or a
 * fault, 2 for wrong usage. */
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "automix.h"

enum { MAX_WORDS = 4096 };
typedef struct line {
    const char *word[MAX_WORDS];
    int words;
    am_run run;
    const char *net, *head, *lambda, *top, *pairs, *steps, *train, *valid, *size, *epochs, *batch, *threads, *seed;
} line;

static volatile sig_atomic_t interrupted;
static void on_signal(int s)
{
    (void)s;
    if (interrupted++) _exit(130);
}

/* ---- flags: which exist, what they fill, which commands know them ---- */
enum { TRAIN = 1, VALID = 2, PREDICT = 4, SHEET = 8, MASKS = 16, REPLAY = 32, NET = 64, BENCH = 128, SHAPES = 256, HELP = 512 };
enum { MODEL = TRAIN | VALID | PREDICT | SHEET | MASKS | REPLAY | NET | BENCH };
typedef struct flag { const char *name; int commands, is_switch; size_t at; } flag;
#define AT(f) offsetof(line, f)
static const flag flags[] = {
    {"-gpus", MODEL, 0, AT(run.gpus)},        {"-i", MODEL, 0, AT(run.gpus)},
    {"-seed", TRAIN | SHEET | BENCH | SHAPES, 0, AT(seed)},
    {"-epochs", TRAIN, 0, AT(epochs)},        {"-mix", TRAIN | SHEET | NET | BENCH, 0, AT(run.mix)},
    {"-resume", TRAIN, 1, AT(run.resume)},    {"-clear", TRAIN, 1, AT(run.clear)},
    {"-backend", MODEL, 0, AT(run.backend)},  {"-isa", MODEL, 0, AT(run.isa)},
    {"-precision", MODEL, 0, AT(run.precision)}, {"-threads", MODEL, 0, AT(threads)},
    {"-batch", TRAIN | VALID | NET | BENCH, 0, AT(batch)},
    {"-net", VALID, 0, AT(net)},              {"-head", VALID, 0, AT(head)},
    {"-t", PREDICT, 0, AT(top)},              {"-lambda", SHEET, 0, AT(lambda)},
    {"-n", SHEET, 0, AT(pairs)},              {"-steps", BENCH, 0, AT(steps)},
    {"-train", SHAPES, 0, AT(train)},         {"-valid", SHAPES, 0, AT(valid)},
    {"-size", SHAPES, 0, AT(size)},
};

static am_status usage(am_err *e, const char *text, const char *word)
{
    return am_fail(e, AM_EUSAGE, AM_NOPLACE, text, word);
}

static am_status whole(const char *name, const char *text, long least, long most, long *out, am_err *e)
{
    char *end;
    if (!text) return AM_OK;
    *out = strtol(text, &end, 10);
    if (end == text || *end || *out < least || *out > most)
        return am_fail(e, AM_EUSAGE, AM_NOPLACE, "%s %s: a whole number from %ld to %ld is needed", name, text, least, most);
    return AM_OK;
}

/* Split the command line; flags may stand anywhere. */
static am_status split(int argc, char **argv, int command, line *l, am_err *e)
{
    for (int i = 0; i < argc; i++) {
        const flag *f = NULL;
        if (argv[i][0] != '-' || !argv[i][1]) {
            if (l->words == MAX_WORDS) return usage(e, "%s", "too many words on the command line");
            l->word[l->words++] = argv[i];
            continue;
        }
        for (size_t k = 0; k < sizeof flags / sizeof *flags; k++)
            if (!strcmp(flags[k].name, argv[i]) && flags[k].commands & command) f = &flags[k];
        if (!f) {
            for (size_t k = 0; k < sizeof flags / sizeof *flags; k++)
                if (!strcmp(flags[k].name, argv[i])) return usage(e, "this command knows no flag %s; see: automix help", argv[i]);
            const flag *near = NULL;
            for (size_t k = 0; k < sizeof flags / sizeof *flags; k++)
                if (flags[k].commands & command && !strncmp(flags[k].name, argv[i], 3)) near = &flags[k];
            if (near) return am_fail(e, AM_EUSAGE, AM_NOPLACE, "there is no flag %s; did you mean %s?", argv[i], near->name);
            return usage(e, "there is no flag %s; see: automix help", argv[i]);
        }
        if (f->is_switch) {
            *(int *)((char *)l + f->at) = 1;
        } else {
            if (i + 1 == argc) return usage(e, "%s needs a value after it", argv[i]);
            *(const char **)((char *)l + f->at) = argv[++i];
        }
    }
    long n = 0;
    AM_TRY(whole("-threads", l->threads, 1, 1024, &n, e));
    l->run.threads = (int)n;
    n = 0;
    AM_TRY(whole("-epochs", l->epochs, 1, 1000000, &n, e));
    l->run.epochs = (int)n;
    n = 0;
    AM_TRY(whole("-batch", l->batch, 1, 65536, &n, e));
    l->run.batch = (int)n;
    n = -1;
    AM_TRY(whole("-seed", l->seed, 0, 2147483647, &n, e));
    l->run.seed = n;
    if (l->run.gpus) {
        n = 0;
        char first[16] = "";
        if (strchr(l->run.gpus, ',')) return usage(e, "-gpus %s: this version trains on one GPU", l->run.gpus);
        snprintf(first, sizeof first, "%s", l->run.gpus);
        AM_TRY(whole("-gpus", first, 0, 1023, &n, e));
    }
    return AM_OK;
}

/* ---- what the library says ---- */
typedef struct screen { int terminal, open; double drawn; } screen;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void clear_line(screen *s)
{
    if (s->open) fprintf(stderr, "\r\033[K");
    s->open = 0;
}

static void say(void *user, const char *text)
{
    clear_line(user);
    fprintf(stderr, "%s\n", text);
}

static void warn(void *user, const char *text)
{
    clear_line(user);
    fprintf(stderr, "warning: %s\n", text);
}

static void span(char *out, size_t size, double seconds)
{
    long s = (long)(seconds + 0.5);
    if (s >= 3600) snprintf(out, size, "%ld:%02ld h", s / 3600, s / 60 % 60);
    else snprintf(out, size, "%ld:%02ld min", s / 60, s % 60);
}

static void part(const char *name, double v)
{
    if (!isnan(v)) printf(", %s %.4f", name, v);
}

static void on_step(void *user, const am_step_news *n)
{
    screen *s = user;
    char left[32];
    span(left, sizeof left, n->seconds_left);
    if (n->logged) {
        clear_line(s);
        printf("%ld, %.3f: %f, %f avg, %f rate, %f seconds, %ld images", n->step, n->epochs_seen, n->loss, n->average, n->rate, n->seconds, n->images);
        part("clean", n->clean);
        part("mixed", n->mixed);
        part("judge", n->judge);
        part("mask", n->mask);
        printf(", %.1f images/s, %s left\n", n->images_per_second, left);
        fflush(stdout);
    }
    if (s->terminal && now() - s->drawn > 0.2) {
        s->drawn = now();
        s->open = 1;
        fprintf(stderr, "\r\033[Kepoch %ld of %ld, update %ld of %ld, loss %.4f, %.0f images/s, %s left", n->epoch, n->epochs, n->step, n->steps, n->average, n->images_per_second, left);
    }
}

static void print_scores(const am_epoch_news *n)
{
    for (int i = 0; i < n->scores; i++) {
        const am_score_news *s = &n->score[i];
        printf("%s %s/%s loss %.4f, top-1 %.2f %%, top-%d %.2f %%", i ? "," : "", s->net, s->head, s->loss, s->top1, s->k, s->topk);
    }
}

static void on_epoch(void *user, const am_epoch_news *n)
{
    clear_line(user);
    printf("epoch %ld of %ld:", n->epoch, n->epochs);
    if (n->scores) print_scores(n);
    else printf(" not validated");
    if (n->scores) printf("; best %.2f %%%s", n->best, n->is_best ? " (now)" : "");
    printf(", %.1f seconds\n", n->seconds);
    fflush(stdout);
}

static int on_stop(void *user)
{
    (void)user;
    return interrupted != 0;
}

static am_watch watch_of(screen *s)
{
    *s = (screen){.terminal = isatty(2)};
    return (am_watch){s, say, warn, on_step, on_epoch, on_stop};
}

/* ---- commands ---- */
static am_status train(line *l, am_err *e)
{
    screen s;
    am_watch w = watch_of(&s);
    l->run.data = l->word[0];
    l->run.cfg = l->word[1];
    l->run.weights = l->words > 2 ? l->word[2] : NULL;
    if (l->run.resume && l->run.weights) return usage(e, "%s", "-resume goes on from the run's own checkpoint; leave WEIGHTS away, or -resume");
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    am_status st = am_train(&l->run, &w, e);
    clear_line(&s);
    return st;
}

static am_status valid(line *l, am_err *e)
{
    screen s;
    am_watch w = watch_of(&s);
    am_epoch_news n;
    am_score_news scores[4];
    l->run.data = l->word[0];
    l->run.cfg = l->word[1];
    l->run.weights = l->word[2];
    if (l->net && strcmp(l->net, "teacher") && strcmp(l->net, "student")) return usage(e, "-net %s: teacher or student", l->net);
    if (l->head && strcmp(l->head, "one") && strcmp(l->head, "mix")) return usage(e, "-head %s: one or mix", l->head);
    AM_TRY(am_valid(&l->run, l->net, l->head, &w, &n, scores, e));
    for (int i = 0; i < n.scores; i++)
        printf("%s/%s: %ld images, loss %.4f, top-1 %.2f %%, top-%d %.2f %%\n", scores[i].net, scores[i].head, scores[i].samples, scores[i].loss, scores[i].top1, scores[i].k, scores[i].topk);
    return AM_OK;
}

static am_status guess_one(am_predictor *p, const char *path, int top, int many, am_err *e)
{
    am_guess g[1000];
    int count;
    AM_TRY(am_predict(p, path, top, g, &count, e));
    if (many) printf("%s\n", path);
    for (int i = 0; i < count; i++) {
        if (g[i].name) printf("%5.2f%%: %s\n", 100 * g[i].probability, g[i].name);
        else printf("%5.2f%%: class %d\n", 100 * g[i].probability, g[i].id);
    }
    fflush(stdout);
    return AM_OK;
}

/* A bad image is reported and the rest goes on; the exit status tells. */
static am_status predict(line *l, am_err *e)
{
    am_predictor *p = NULL;
    long top = 0, bad = 0, seen = 0;
    char path[4096];
    l->run.data = l->word[0];
    l->run.cfg = l->word[1];
    l->run.weights = l->word[2];
    AM_TRY(whole("-t", l->top, 1, 1000, &top, e));
    am_status st = am_predictor_open(&p, &l->run, e);
    if (!st && !top) top = am_predictor_top(p);
    for (int i = 3; !st && (i < l->words || l->words == 3); i++) {
        const char *image = l->word[i];
        if (l->words == 3) {
            if (!fgets(path, sizeof path, stdin)) break;
            path[strcspn(path, "\r\n")] = 0;
            if (!path[0]) continue;
            image = path;
        }
        seen++;
        if (guess_one(p, image, (int)top, l->words != 4, e)) {
            fprintf(stderr, "automix: %s%s%s\n", e->place, e->place[0] ? ": " : "", e->text);
            bad++;
        }
    }
    am_predictor_close(p);
    if (!st && bad) return am_fail(e, AM_EINPUT, AM_NOPLACE, "%ld of %ld images could not be read", bad, seen);
    return st;
}

static am_status sheet(line *l, am_err *e)
{
    screen s;
    am_watch w = watch_of(&s);
    long pairs = 0;
    am_sheet_request q = {.out = l->word[3]};
    int all = l->run.mix && !strcmp(l->run.mix, "all");
    const char *list = l->lambda ? l->lambda : all ? "0.5" : "0,0.25,0.5,0.75,1";
    l->run.data = l->word[0];
    l->run.cfg = l->word[1];
    l->run.weights = l->word[2];
    AM_TRY(whole("-n", l->pairs, 1, 64, &pairs, e));
    q.pairs = pairs ? (int)pairs : all ? 1 : 4;
    for (const char *at = list; *at || !q.lambdas;) {
        char *end;
        double v = strtod(at, &end);
        if (end == at || (*end && *end != ',') || !(v >= 0 && v <= 1) || q.lambdas == 16)
            return usage(e, "-lambda %s: up to 16 numbers from 0 to 1, with commas", list);
        q.lambda[q.lambdas++] = v;
        at = *end ? end + 1 : end;
    }
    AM_TRY(am_write_sheet(&l->run, &q, &w, e));
    printf("%s\n", q.out);
    return AM_OK;
}

static am_status masks(line *l, am_err *e)
{
    am_overlap o;
    l->run.data = l->word[0];
    l->run.cfg = l->word[1];
    l->run.weights = l->word[2];
    AM_TRY(am_masks(&l->run, &o, e));
    printf("{\"pairs\":%ld,\"overlap\":%.4f,\"chance\":%.4f}\n", o.pairs, o.learned, o.chance);
    return AM_OK;
}

static am_status replay(line *l, am_err *e)
{
    l->run.cfg = l->word[0];
    return am_replay(&l->run, l->word[1], l->word[2], e);
}

static am_status net(line *l, am_err *e)
{
    l->run.cfg = l->word[0];
    return am_describe_net(&l->run, stdout, e);
}

static void tell_bench(void *user, const am_bench_news *n)
{
    const line *l = user;
    if (n->why) {
        fprintf(stderr, "%s: left out: %s\n", n->mix, n->why);
        return;
    }
    printf("{\"cfg\":\"%s\",\"mix\":\"%s\",\"backend\":\"%s\",\"about\":\"%s\",\"precision\":\"%s\",\"threads\":%d,\"batch\":%d,\"steps\":%d,"
           "\"ms_per_step\":%.3f,\"ms_min\":%.3f,\"ms_max\":%.3f,\"cpu_ms\":%.3f,\"host_ms\":%.3f,",
           l->run.cfg, n->mix, n->backend, n->about, n->precision, n->threads, n->batch, n->steps, n->ms_per_step, n->ms_min, n->ms_max, n->cpu_ms, n->host_ms);
    if (n->ratio > 0) printf("\"ratio\":%.3f,\"cpu_ratio\":%.3f,", n->ratio, n->cpu_ratio);
    printf("\"images_per_second\":%.2f,\"peak_bytes\":%zu}\n", n->images_per_second, n->peak_bytes);
}

static am_status bench(line *l, am_err *e)
{
    long steps = 10;
    l->run.cfg = l->word[0];
    AM_TRY(whole("-steps", l->steps, 1, 100000, &steps, e));
    return am_bench(&l->run, (int)steps, tell_bench, l, e);
}

static am_status shapes(line *l, am_err *e)
{
    long train_n = 0, valid_n = 0, size = 0;
    AM_TRY(whole("-train", l->train, 10, 10000000, &train_n, e));
    AM_TRY(whole("-valid", l->valid, 10, 10000000, &valid_n, e));
    AM_TRY(whole("-size", l->size, 16, 1024, &size, e));
    am_shapes_request q = {l->word[0], (int)train_n, (int)valid_n, (int)size, l->run.seed};
    AM_TRY(am_data_shapes(&q, e));
    printf("%s/shapes.data\n", l->word[0]);
    return AM_OK;
}

static am_status help(line *l, am_err *e)
{
    return am_help(l->words ? l->word[l->words - 1] : NULL, stdout, e);
}

static am_status reference(line *l, am_err *e)
{
    (void)l;
    (void)e;
    am_reference(stdout);
    return AM_OK;
}

static const struct command { const char *group, *name; int bit, least, most; const char *takes; am_status (*run)(line *, am_err *); } commands[] = {
    {"classifier", "train", TRAIN, 2, 3, "DATA CFG [WEIGHTS]", train},
    {"classifier", "valid", VALID, 3, 3, "DATA CFG WEIGHTS", valid},
    {"classifier", "predict", PREDICT, 3, MAX_WORDS, "DATA CFG WEIGHTS [IMAGE ...]", predict},
    {"classifier", "sheet", SHEET, 4, 4, "DATA CFG WEIGHTS OUT.png", sheet},
    {"classifier", "masks", MASKS, 3, 3, "DATA CFG WEIGHTS", masks},
    {"classifier", "replay", REPLAY, 3, 3, "CFG IN.safetensors OUT.safetensors", replay},
    {NULL, "net", NET, 1, 1, "CFG", net},
    {NULL, "bench", BENCH, 1, 1, "CFG", bench},
    {"data", "shapes", SHAPES, 1, 1, "DIR", shapes},
    {NULL, "reference", HELP, 0, 0, "", reference},
    {NULL, "help", HELP, 0, 2, "[SECTION|METHOD|COMMAND]", help},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static const struct command *find(int argc, char **argv, int *words)
{
    for (int i = 0; i < COMMANDS; i++) {
        const struct command *c = &commands[i];
        *words = c->group ? 2 : 1;
        if (argc > *words && c->group && !strcmp(argv[1], c->group) && !strcmp(argv[2], c->name)) return c;
        if (argc > *words && !c->group && !strcmp(argv[1], c->name)) return c;
    }
    return NULL;
}

static am_status no_command(int argc, char **argv, am_err *e)
{
    if (argc < 2) return usage(e, "%s", "what to do is missing; see: automix help");
    int group = 0;
    char list[200] = "";
    for (int i = 0; i < COMMANDS; i++)
        if (commands[i].group && !strcmp(commands[i].group, argv[1])) {
            group = 1;
            size_t used = strlen(list);
            snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", commands[i].name);
        }
    if (group && argc > 2) return am_fail(e, AM_EUSAGE, AM_NOPLACE, "automix %s knows no '%s'; it knows %s", argv[1], argv[2], list);
    if (group) return am_fail(e, AM_EUSAGE, AM_NOPLACE, "automix %s needs one more word: %s", argv[1], list);
    return usage(e, "there is no command '%s'; see: automix help", argv[1]);
}

static am_status dispatch(int argc, char **argv, line *l, am_err *e)
{
    int words;
    const struct command *c = find(argc, argv, &words);
    if (!c) return no_command(argc, argv, e);
    AM_TRY(split(argc - 1 - words, argv + 1 + words, c->bit, l, e));
    if (l->words < c->least || l->words > c->most)
        return am_fail(e, AM_EUSAGE, AM_NOPLACE, "%s words; use: automix %s%s%s %s", l->words < c->least ? "too few" : "too many",
                       c->group ? c->group : "", c->group ? " " : "", c->name, c->takes);
    return c->run(l, e);
}

int main(int argc, char **argv)
{
    static line l;
    am_err e = {0};
    l.run.seed = -1;
    signal(SIGXFSZ, SIG_IGN);                               /* a file that may not grow is a fault of write, not the end */
    am_status s = dispatch(argc, argv, &l, &e);
    if (!s && (fflush(stdout) || ferror(stdout))) s = am_fail(&e, AM_EIO, AM_NOPLACE, "standard output could not be written");
    if (s) fprintf(stderr, "automix: %s%s%s\n", e.place, e.place[0] ? ": " : "", e.text);
    return !s ? 0 : s == AM_EUSAGE ? 2 : 1;
}
