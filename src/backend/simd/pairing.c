/* pairing.c: the MixBlock (AutoMix, Liu et al. 2022) as matrix products, forward.
 *
 * For sample i with partner j, features z of P pixels, weight lambda of the sample itself:
 *
 *     q = [z_i, lambda] W' + b        k = [z_j, 1 - lambda] W' + b        v = [z_j, 1 - lambda] u + c
 *     A = softmax over rows of q k' / sqrt(depth)        mask = sigmoid(upsampled(A v))
 *
 * lambda's channel is the same number for all pixels, so z W' + b is projected once per sample,
 * with u as one more column of W', and each side adds its multiple of the last column: the query
 * of a sample is the key that its partner needs.
 *
 * The entropy of a row comes from the softmax's own numbers: with t the scores below their maximum
 * and Z the sum of exp t, it is log Z - sum A t.
 *
 * saved: W' packed for gemm, the projections [n][P][columns], A [n][P][width], A v after the bound
 * [n][P], entropy [n]. */
#include "simd.h"
#include "vec.h"
#include "../cpu/pairing.h"

typedef struct pairing_job {
    const am_pairing *p;
    int n, pixels, columns, width; /* columns: depth + 1 padded; width: P padded */
    int z_pixel;
    size_t z_sample, worker_room;
    const elem *z; /* or rows of float, where a feature is one pixel */
    const int *perm;
    const float *lam;
    const am_pairing_weights *w;
    float *packed, *last, *projected, *a, *logit, *entropy, *room;
    float *mask;
} pairing_job;

/* What a worker needs for one sample: two sides, a transposed one, values, features as float, factors. */
typedef struct pairing_room {
    float *query, *key, *turned, *value, *z, *lengths;
} pairing_room;

static size_t pairing_take(float **to, float *from, size_t at, size_t floats)
{
    *to = from ? from + at : NULL;
    return at + (floats + 15) / 16 * 16;
}

static size_t pairing_room_place(const pairing_job *k, float *room, pairing_room *r)
{
    size_t side = (size_t)k->pixels * (size_t)k->columns, at = 0;
    at = pairing_take(&r->query, room, at, side);
    at = pairing_take(&r->key, room, at, side);
    at = pairing_take(&r->turned, room, at, (size_t)k->columns * (size_t)k->width);
    at = pairing_take(&r->value, room, at, (size_t)k->width);
    at = pairing_take(&r->z, room, at, (size_t)k->pixels * (size_t)am_simd_up(k->p->c, 16));
    return pairing_take(&r->lengths, room, at, (size_t)k->columns);
}

static size_t pairing_place(am_backend *be, const am_pairing *p, int n, float *saved,
                            pairing_job *k)
{
    am_shape s = {n, p->c, p->h, p->w};
    *k = (pairing_job){.p = p, .n = n, .pixels = p->h * p->w};
    k->columns = am_simd_up(p->depth + 1, 16), k->width = am_simd_up(k->pixels, 16);
    k->z_pixel = am_simd_stride(s), k->z_sample = sample_elems(s);
    pairing_room unused;
    k->worker_room = pairing_room_place(k, NULL, &unused);
    size_t rows = (size_t)n * (size_t)k->pixels, at = 0;
    at = pairing_take(&k->packed, saved, at, (size_t)p->c * (size_t)k->columns);
    at = pairing_take(&k->last, saved, at, (size_t)k->columns);
    at = pairing_take(&k->projected, saved, at, rows * (size_t)k->columns);
    at = pairing_take(&k->a, saved, at, rows * (size_t)k->width);
    at = pairing_take(&k->logit, saved, at, rows);
    at = pairing_take(&k->entropy, saved, at, (size_t)n);
    return pairing_take(&k->room, saved, at, k->worker_room * (size_t)be->threads);
}

static pairing_room pairing_room_of(const pairing_job *k, int worker)
{
    pairing_room r;
    pairing_room_place(k, k->room + (size_t)worker * k->worker_room, &r);
    return r;
}

static size_t pairing_saved(am_backend *be, const am_pairing *p, int n)
{
    pairing_job unused;
    return pairing_place(be, p, n, NULL, &unused);
}

/* W' and u side by side, packed; and the numbers in lambda's channel. */
static void pairing_pack(const pairing_job *k)
{
    const am_pairing *p = k->p;
    const int row = p->c + p->lambda_concat;
    for (int d = 0; d < k->columns; d++) {
        const float *w = d < p->depth    ? k->w->query.p + d * row
                         : d == p->depth ? k->w->value.p
                                         : NULL;
        for (int c = 0; c < p->c; c++) k->packed[packed_at(p->c, k->columns, c, d)] = w ? w[c] : 0;
        k->last[d] = w && p->lambda_concat ? w[p->c] : 0;
    }
}

/* Features of one sample as rows of `pixel` floats; `to` is used where they do not lie so, and is
 * then padded to whole vectors. */
static const float *pairing_features(const pairing_job *k, int sample, float *to, int *pixel)
{
    const int c = k->p->c, padded = am_simd_up(c, 16);
    if (k->pixels > 1 && sizeof(elem) == sizeof(float) && k->z_pixel == padded) {
        *pixel = k->z_pixel;
        return (const float *)(const void *)k->z + (size_t)sample * k->z_sample;
    }
    *pixel = padded;
    size_t at = (size_t)sample * k->z_sample;
    for (int i = 0; i < k->pixels; i++, at += (size_t)k->z_pixel)
        for (int l = 0; l < padded; l++) {
            float v = 0;
            if (l < c)
                v = k->pixels == 1 ? ((const float *)(const void *)k->z)[at + (size_t)l]
                                   : get(k->z[at + (size_t)l]);
            to[i * padded + l] = v;
        }
    return to;
}

static void pairing_project_item(const void *arg, int sample, int worker)
{
    const pairing_job *k = arg;
    int pixel;
    float *to = k->projected + (size_t)sample * (size_t)(k->pixels * k->columns);
    const float *z = pairing_features(k, sample, pairing_room_of(k, worker).z, &pixel);
    matrices product = {.m = k->pixels,
                        .n = k->columns,
                        .k = k->p->c,
                        .a = z,
                        .stride_i = (size_t)pixel,
                        .stride_k = 1,
                        .b = k->packed,
                        .c = to,
                        .stride_c = (size_t)k->columns};
    gemm(&product);
    for (int i = 0; i < k->pixels; i++, to += k->columns) {
        for (int d = 0; d < k->p->depth; d++) to[d] += k->w->query_bias.p[d];
        to[k->p->depth] += k->w->value_bias.p[0];
    }
}

/* v in the first n lanes, 0 in the others. */
INLINE vec first_lanes(vec v, int n)
{
    vec_int lane;
    UNROLL for (int i = 0; i < W; i++) lane[i] = i;
    return (vec)((vec_int)v & (lane < (vec_int){0} + n));
}

/* Each of the depth columns to mean 0 and variance 1 over the pixels (cpu/pairing.c says why); lengths
 * [columns] gets the factors, 1 for the other columns. */
static void pairing_normalise(const pairing_job *k, float *side, float *lengths)
{
    const float share = 1 / (float)k->pixels;
    for (int d = 0; d < k->columns; d += W, side += W) {
        vec mean = all(0), square = all(0);
        for (int i = 0; i < k->pixels; i++) mean += load(side + i * k->columns);
        mean = first_lanes(mean * all(share), k->p->depth - d);
        for (int i = 0; i < k->pixels; i++) {
            vec v = load(side + i * k->columns) - mean;
            square += v * v;
        }
        for (int l = 0; l < W; l++)
            lengths[d + l] =
                d + l < k->p->depth ? 1 / sqrtf(square[l] * share + AM_PAIRING_EPS) : 1;
        const vec scale = load(lengths + d);
        for (int i = 0; i < k->pixels; i++)
            store(side + i * k->columns, (load(side + i * k->columns) - mean) * scale);
    }
}

/* One side of a pair: projection plus `share` of lambda's column, normalised where asked, with the factors in
 * lengths [columns].  Column `depth` is the value, those after it are 0. */
static void pairing_side(const pairing_job *k, int sample, float share, float *to, float *lengths)
{
    const float *from = k->projected + (size_t)sample * (size_t)(k->pixels * k->columns);
    for (int i = 0; i < k->pixels; i++)
        for (int d = 0; d < k->columns; d += W)
            store(to + i * k->columns + d,
                  load(from + i * k->columns + d) + all(share) * load(k->last + d));
    if (k->p->normalise) pairing_normalise(k, to, lengths);
}

/* The largest of `width` numbers, a multiple of W. */
INLINE float largest(int width, const float *row)
{
    vec most = load(row);
    for (int i = W; i < width; i += W) {
        vec v = load(row + i);
        vec_int more = (vec_int)(v > most);
        most = (vec)(((vec_int)v & more) | ((vec_int)most & ~more));
    }
    float best = most[0];
    for (int l = 1; l < W; l++) best = most[l] > best ? most[l] : best;
    return best;
}

/* Softmax of `scale` times the first n numbers of a row, in place, the rest 0; returns its entropy. */
static float pairing_attend(int n, int width, float scale, float *row)
{
    float sum = 0, along = 0;
    for (int i = n; i < width; i++) row[i] = row[0];
    const float most = largest(width, row);
    for (int i = n; i < width; i++) row[i] = most;
    vec sums = all(0), alongs = all(0);
    for (int i = 0; i < width; i += W) {
        vec t = all(scale) * (load(row + i) - all(most)), e = exp_below(t);
        store(row + i, e);
        sums += e;
        alongs += e * t;
    }
    for (int l = 0; l < W; l++) sum += sums[l], along += alongs[l];
    sum -= (float)(width - n); /* each of them was exp(0) */
    for (int i = 0; i < width; i += W) store(row + i, load(row + i) * all(1 / sum));
    for (int i = n; i < width; i++) row[i] = 0;
    return logf(sum) - along / sum;
}

enum { PAIRING_STRIP = 24 }; /* rows of A at a time */

static void pairing_item(const void *arg, int i, int worker)
{
    const pairing_job *k = arg;
    const am_pairing *p = k->p;
    const int n = k->pixels, plane = n * p->scale * p->scale;
    pairing_room r = pairing_room_of(k, worker);
    pairing_side(k, i, k->lam[i], r.query, r.lengths);
    pairing_side(k, k->perm[i], 1 - k->lam[i], r.key, r.lengths);
    for (int x = 0; x < k->width; x++) {
        for (int d = 0; d < p->depth; d++)
            r.turned[d * k->width + x] = x < n ? r.key[x * k->columns + d] : 0;
        r.value[x] = x < n ? r.key[x * k->columns + p->depth] : 0;
    }
    float *a = k->a + (size_t)i * (size_t)(n * k->width), *logit = k->logit + (size_t)i * (size_t)n,
          entropy = 0;
    for (int first = 0; first < n; first += PAIRING_STRIP) {
        int count = am_simd_min(n - first, PAIRING_STRIP);
        matrices product = {.m = count,
                            .n = k->width,
                            .k = p->depth,
                            .a = r.query + first * k->columns,
                            .stride_i = (size_t)k->columns,
                            .stride_k = 1,
                            .b = r.turned,
                            .stride_b = (size_t)k->width,
                            .c = a,
                            .stride_c = (size_t)k->width};
        gemm(&product);
        for (int y = first; y < first + count; y++, a += k->width) {
            entropy += pairing_attend(n, k->width, 1 / sqrtf((float)p->depth), a);
            logit[y] = dense_dot(k->width, a, r.value);
            if (p->bound > 0) logit[y] = p->bound * tanhf(logit[y] / p->bound);
        }
    }
    k->entropy[i] = n > 1 ? entropy / (float)n / logf((float)n) : 0;
    am_mask_up(p, logit, k->mask + (size_t)i * (size_t)plane);
}

static void pairing(am_backend *be, const am_pairing *p, int n, am_dev z, am_dev perm, am_dev lam,
                    const am_pairing_weights *w, am_dev saved, am_dev mask, am_dev health)
{
    if (am_cpu_stopped(be) || !am_cpu_perm_ok(be, "pairing", n, perm)) return;
    pairing_job k;
    pairing_place(be, p, n, saved.p, &k);
    k.z = elems(z), k.perm = am_cpu_ints(perm), k.lam = lam.p, k.w = w, k.mask = mask.p;
    pairing_pack(&k);
    am_team_run(am_simd_team(be), n, pairing_project_item, &k);
    am_team_run(am_simd_team(be), n, pairing_item, &k);
    if (am_is(health)) health.p[AM_HEALTH_ENTROPY] += (float)am_cpu_sum((size_t)n, k.entropy);
}
