/* corruptions.c: a classifier on corrupted images, as CIFAR-10-C and CIFAR-100-C hold them
 * (Hendrycks and Dietterich 2019, "Benchmarking Neural Network Robustness to Common Corruptions and
 * Perturbations").
 *
 * A folder has NAME.npy for each corruption: the validation images five times over, severity 1 to
 * 5, one block after the other, all with the classes of labels.npy.  The figure is the top-1 over
 * all of them, which is its mean over corruptions and severities, since blocks are of one size. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "session.h"

/* extra: not among the benchmark's 15 */
static const struct {
    const char *name;
    int extra;
} known[] = {
    {"gaussian_noise", 0},    {"shot_noise", 0}, {"impulse_noise", 0},   {"speckle_noise", 1},
    {"defocus_blur", 0},      {"glass_blur", 0}, {"motion_blur", 0},     {"zoom_blur", 0},
    {"gaussian_blur", 1},     {"snow", 0},       {"frost", 0},           {"fog", 0},
    {"spatter", 1},           {"brightness", 0}, {"contrast", 0},        {"saturate", 1},
    {"elastic_transform", 0}, {"pixelate", 0},   {"jpeg_compression", 0}};
enum { KNOWN = sizeof known / sizeof *known, BENCHMARK = 15, SEVERITIES = AM_SEVERITIES };

struct am_corruptions {
    am_dataset set[KNOWN];
    int there[KNOWN];
};

/* top-1 of one corruption, or a sum over several, by net, head, severity */
typedef struct sums {
    double top1[2][2][SEVERITIES];
    long images;
    int of;
} sums;

/* A file of other images than those of valid= would score as a bad net does. */
static void compare(const am_dataset *set, const am_data *d, const char *path,
                    const am_watch *watch)
{
    char line[600];
    int each = set->count / SEVERITIES, same = each == d->valid.count;
    for (int i = 0; same && i < set->count; i++) same = set->label[i] == d->valid.label[i % each];
    if (same || !watch->warn) return;
    snprintf(
        line, sizeof line,
        "%.200s: its classes are not those of valid=%.200s five times over; are these images of "
        "another set?",
        path, d->valid_path);
    watch->warn(watch->user, line);
}

static am_status open_all(am_corruptions *c, const am_data *d, const am_watch *watch, am_err *e)
{
    const am_format *npy = am_format_find("npy");
    int found = 0;
    for (int k = 0; k < KNOWN; k++) {
        char path[4096];
        struct stat st;
        snprintf(path, sizeof path, "%s/%s.npy", d->corruptions, known[k].name);
        if (stat(path, &st)) continue;
        AM_TRY(npy->open(&c->set[k], d, path, 0, e));
        c->there[k] = 1;
        if (!c->set[k].count || c->set[k].count % SEVERITIES)
            return am_fail(e, AM_EINPUT, (am_loc){path, 0},
                           "has %d images, which are not %d severities of equally many",
                           c->set[k].count, SEVERITIES);
        if (!found++) compare(&c->set[k], d, path, watch);
    }
    return found
               ? AM_OK
               : am_fail(e, AM_EINPUT, (am_loc){d->corruptions, 0},
                         "has no %s.npy nor any other file of CIFAR-100-C; "
                         "scripts/get_cifar100c.sh fetches it, scripts/get_cifar10c.sh CIFAR-10-C",
                         known[0].name);
}

am_status am_corruptions_open(am_corruptions **out, const am_data *d, const am_watch *watch,
                              am_err *e)
{
    am_corruptions *c = *out = calloc(1, sizeof *c);
    return c ? open_all(c, d, watch, e) : am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
}

void am_corruptions_close(am_corruptions *c)
{
    for (int k = 0; c && k < KNOWN; k++)
        if (c->there[k]) c->set[k].close(&c->set[k]);
    free(c);
}

/* heads: which nets and heads there are */
static void tell(const sums *s, const am_validation *heads, const char *name, int all,
                 const am_valid_request *q)
{
    am_score_news score[4];
    for (int i = 0, n = am_scores(heads, 1, score); i < n; i++) {
        int net = !strcmp(score[i].net, "teacher"), head = !strcmp(score[i].head, "mix");
        am_corrupted_news news = {.name = name,
                                  .of = s->of,
                                  .all = all,
                                  .net = score[i].net,
                                  .head = score[i].head,
                                  .images = s->images};
        for (int k = 0; k < SEVERITIES; k++) {
            news.severity[k] = s->top1[net][head][k] / s->of;
            news.top1 += news.severity[k] / SEVERITIES;
        }
        if (q->tell_corrupted) q->tell_corrupted(q->user, &news);
    }
}

static void add(sums *to, const sums *s)
{
    for (int k = 0; k < SEVERITIES; k++)
        for (int i = 0; i < 4; i++) to->top1[i / 2][i % 2][k] += s->top1[i / 2][i % 2][k];
    to->images += s->images;
    to->of += s->of;
}

static am_status score(am_corruptions *c, int which, am_rest *r, const am_valid_request *q,
                       am_validation *v, sums *out, am_err *e)
{
    int each = c->set[which].count / SEVERITIES;
    *out = (sums){.images = c->set[which].count, .of = 1};
    for (int k = 0; k < SEVERITIES; k++) {
        am_dataset block;
        AM_TRY(am_dataset_slice(&block, &c->set[which], k * each, each, e));
        am_status s = am_score_set(r, &block, q, v, e);
        am_loader_close(r->loader);
        r->loader = NULL;
        block.close(&block);
        if (s) return s;
        for (int i = 0; i < 4; i++) out->top1[i / 2][i % 2][k] = v->at[i / 2][i % 2].top1;
    }
    return AM_OK;
}

am_status am_corruptions_score(am_corruptions *c, am_rest *r, const am_valid_request *q, am_err *e)
{
    am_validation v = {0};
    sums all = {0}, benchmark = {0};
    for (int k = 0; k < KNOWN; k++) {
        sums s;
        if (!c->there[k]) continue;
        AM_TRY(score(c, k, r, q, &v, &s, e));
        tell(&s, &v, known[k].name, KNOWN, q);
        add(&all, &s);
        if (!known[k].extra) add(&benchmark, &s);
    }
    tell(&all, &v, NULL, KNOWN, q);
    if (benchmark.of) tell(&benchmark, &v, NULL, BENCHMARK, q);
    return AM_OK;
}
