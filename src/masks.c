/* masks.c: do learned masks find the objects?  Only for sets that know the truth (shapes).
 *
 * For a pair (i, j) at lambda = 1/2 the mask's |S_j| greatest pixels are held against j's silhouette
 * S_j, and the |S_i| greatest of 1 - mask against S_i: intersection over union, the mean of both.
 * Where pixels tie across the cut, each counts in part, so a constant mask scores what chance does:
 * with a the object's share of the image, a / (2 - a). */
#include <stdlib.h>
#include <string.h>
#include "session.h"

typedef struct ranked {
    float v;
    unsigned char inside;
} ranked;

static int downward(const void *a, const void *b)
{
    float x = ((const ranked *)a)->v, y = ((const ranked *)b)->v;
    return x > y ? -1 : x < y;
}

static double overlap(const float *mask, float sign, const unsigned char *truth, int n, ranked *r)
{
    int area = 0, taken = 0;
    double hit = 0;
    for (int i = 0; i < n; i++) {
        r[i] = (ranked){sign * mask[i], truth[i] > 127};
        area += r[i].inside;
    }
    if (!area || area == n) return -1;
    qsort(r, (size_t)n, sizeof *r, downward);
    while (taken < area) { /* a run of equal values at a time */
        int end = taken, inside = 0;
        while (end < n && r[end].v == r[taken].v) inside += r[end++].inside;
        double share = end <= area ? 1 : (double)(area - taken) / (end - taken);
        hit += share * inside;
        taken = end;
    }
    return hit / (2 * area - hit);
}

static double chance(const unsigned char *truth, int n)
{
    double a = 0;
    for (int i = 0; i < n; i++) a += truth[i] > 127;
    a /= n;
    return a / (2 - a);
}

static am_status measure(am_rest *r, int pairs, am_overlap *o, am_err *e)
{
    const am_dataset *d = &r->data.valid;
    am_trainer *t = &r->t;
    int n = t->net.input.h * t->net.input.w, index[64];
    am_mix *m = t->mixes ? &t->mix[0] : &t->plain;
    ranked *rank = malloc((size_t)n * sizeof *rank);
    unsigned char *truth = malloc((size_t)n);
    am_status s = rank && truth ? AM_OK : am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
    double learned = 0, by_chance = 0;
    long counted = 0;
    for (int from = 0; !s && from + 2 * pairs <= d->count; from += 2 * pairs) {
        const float *planes;
        for (int k = 0; k < pairs; k++) { /* partners from far apart: mostly other classes */
            index[k] = from / 2 + k;
            index[k + pairs] = d->count / 2 + from / 2 + k;
        }
        s = am_mix_sheet_planes(r->sheet, m, d, index, 0.5, &planes, e);
        for (int k = 0; !s && k < pairs; k++)
            for (int side = 0; !s && side < 2; side++) {
                s = d->silhouette(d, index[side ? k + pairs : k], truth, e);
                double v =
                    s ? -1 : overlap(planes + (size_t)k * (size_t)n, side ? 1 : -1, truth, n, rank);
                if (v < 0) continue;
                learned += v;
                by_chance += chance(truth, n);
                counted++;
            }
    }
    free(rank);
    free(truth);
    if (counted)
        *o = (am_overlap){learned / (double)counted, by_chance / (double)counted, counted / 2};
    return s;
}

am_status am_masks(const am_run *run, am_overlap *o, am_err *e)
{
    enum { PAIRS = 16 };
    am_rest *r = calloc(1, sizeof *r);
    *o = (am_overlap){0};
    if (!r) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
    am_status s = am_rest_open(r, run, AM_DATA_VALID, 1, PAIRS, e);
    if (!s && !r->data.valid.silhouette)
        s = am_fail(
            e, AM_EINPUT, (am_loc){run->data, 0},
            "this set knows no silhouettes; only format=shapes does (automix data shapes DIR)");
    if (!s && (r->t.net.input.h != r->t.net.input.w))
        s = am_fail(e, AM_EINPUT, (am_loc){run->cfg, 0}, "masks are measured on square inputs");
    if (!s) s = measure(r, PAIRS, o, e);
    am_rest_close(r);
    free(r);
    return s;
}

am_status am_data_shapes(const am_shapes_request *q, am_err *e)
{
    am_shapes_options o = {q->train > 0 ? q->train : 4000, q->valid > 0 ? q->valid : 1000,
                           q->size > 0 ? q->size : 32, (uint64_t)(q->seed >= 0 ? q->seed : 1)};
    return am_shapes_write(q->folder, &o, e);
}
