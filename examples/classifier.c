/* classifier.c: train, valid, predict, sheet, masks, replay. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "program.h"

/* DATA CFG [WEIGHTS] */
static void model_words(line *l)
{
    l->run.data = l->word[0];
    l->run.cfg = l->word[1];
    l->run.weights = l->words > 2 ? l->word[2] : NULL;
}

am_status do_train(line *l, am_err *e)
{
    screen s;
    am_watch w = screen_watch(&s);
    model_words(l);
    if (l->run.resume && l->run.weights)
        return line_wrong(
            e, "%s", "-resume goes on from the run's own checkpoint; leave WEIGHTS away, or -resume");
    screen_catch_interrupts();
    am_status st = am_train(&l->run, &w, e);
    screen_clear(&s);
    return st;
}

static void tell_score(void *user, const am_score_news *n)
{
    (void)user;
    printf("%s/%s: %ld images, loss %.4f, top-1 %.2f %%, top-%d %.2f %%", n->net, n->head,
           n->samples, n->loss, n->top1, n->k, n->topk);
    printf(", ECE %.2f %%, gap %+.2f %%\n", n->ece, n->gap);
    fflush(stdout);
}

static void tell_corrupted(void *user, const am_corrupted_news *n)
{
    char some[32] = "";
    (void)user;
    if (n->of < n->all) snprintf(some, sizeof some, "%d of ", n->of);
    if (n->name) printf("%s/%s %s", n->net, n->head, n->name);
    else
        printf("%s/%s mean of %s%s%d corruptions", n->net, n->head, some,
               n->all == 15 ? "the benchmark's " : "", n->all);
    printf(": %ld images, top-1 %.2f %%, severity 1 to 5", n->images, n->top1);
    for (int k = 0; k < AM_SEVERITIES; k++) printf(" %.2f", n->severity[k]);
    printf(" %%\n");
    fflush(stdout);
}

am_status do_valid(line *l, am_err *e)
{
    screen s;
    am_watch w = screen_watch(&s);
    am_valid_request q = {.net = l->net,
                          .head = l->head,
                          .bins = l->bins,
                          .tell = tell_score,
                          .tell_corrupted = tell_corrupted};
    model_words(l);
    if (l->net && strcmp(l->net, "teacher") && strcmp(l->net, "student"))
        return line_wrong(e, "-net %s: teacher or student", l->net);
    if (l->head && strcmp(l->head, "one") && strcmp(l->head, "mix"))
        return line_wrong(e, "-head %s: one or mix", l->head);
    return am_valid(&l->run, &q, &w, e);
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
am_status do_predict(line *l, am_err *e)
{
    am_predictor *p = NULL;
    long top = 0, bad = 0, seen = 0;
    char path[4096];
    model_words(l);
    AM_TRY(line_whole("-t", l->top, 1, 1000, &top, e));
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
    if (!st && bad)
        return am_fail(e, AM_EINPUT, AM_NOPLACE, "%ld of %ld images could not be read", bad, seen);
    return st;
}

am_status do_sheet(line *l, am_err *e)
{
    screen s;
    am_watch w = screen_watch(&s);
    int all = l->run.mix && !strcmp(l->run.mix, "all");
    long pairs = all ? 1 : 4;
    am_sheet_request q = {.out = l->word[3]};
    const char *list = l->lambda ? l->lambda : all ? "0.5" : "0,0.25,0.5,0.75,1";
    model_words(l);
    AM_TRY(line_whole("-n", l->pairs, 1, 64, &pairs, e));
    q.pairs = (int)pairs;
    for (const char *at = list; *at || !q.lambdas;) {
        char *end;
        double v = strtod(at, &end);
        if (end == at || (*end && *end != ',') || !(v >= 0 && v <= 1) || q.lambdas == 16)
            return line_wrong(e, "-lambda %s: up to 16 numbers from 0 to 1, with commas", list);
        q.lambda[q.lambdas++] = v;
        at = *end ? end + 1 : end;
    }
    AM_TRY(am_write_sheet(&l->run, &q, &w, e));
    printf("%s\n", q.out);
    return AM_OK;
}

am_status do_masks(line *l, am_err *e)
{
    am_overlap o;
    model_words(l);
    AM_TRY(am_masks(&l->run, &o, e));
    printf("{\"pairs\":%ld,\"overlap\":%.4f,\"chance\":%.4f}\n", o.pairs, o.learned, o.chance);
    return AM_OK;
}

am_status do_replay(line *l, am_err *e)
{
    l->run.cfg = l->word[0];
    return am_replay(&l->run, l->word[1], l->word[2], e);
}
