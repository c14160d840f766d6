/* pairing_back.c: the MixBlock's gradients, from the mask to its weights; none goes to z.
 *
 * With g the mask's gradient on the logits' grid and r = A v:
 *
 *     dv = A' g        dS = A (v' - r) g / sqrt(depth), number by number
 *     dq = dS k        dk = dS' q
 *     dW = sum dq' [z_i, lambda] + dk' [z_j, 1 - lambda]       db = sum dq + dk
 *     du = sum dv' [z_j, 1 - lambda]                           dc = sum dv
 *
 * and through the normalisation q = (q0 - mean q0) l, l = 1 / deviation(q0), over the pixels:
 *     dq0 = l (dq - mean dq - q mean(q dq))
 * dv is one more column of dk, as u is one more of W.
 *
 * A part is some samples, always the same ones, with sums of its own; the parts are added in order. */
#include "simd.h"
#include "vec.h"
#include "../cpu/pairing.h"

enum { PAIRING_PARTS = 16 };

typedef struct pairing_grad {
    pairing_job k;
    const float *mask, *dmask;
    int parts, pixel; /* pixel: c padded to whole vectors */
    float *sum,
        *area; /* of each part: [columns][pixel], then the last column and the bias, [columns] each */
    size_t part_room, area_room;
} pairing_grad;

typedef struct pairing_area {
    float *dquery, *dkey, *ds, *dl, *query_length, *key_length;
} pairing_area;

static size_t pairing_area_place(const pairing_job *k, float *room, pairing_area *r)
{
    size_t n = (size_t)k->pixels, side = n * (size_t)k->columns, at = 0;
    at = pairing_take(&r->dquery, room, at, side);
    at = pairing_take(&r->dkey, room, at, side);
    at = pairing_take(&r->ds, room, at, n * (size_t)k->width);
    at = pairing_take(&r->dl, room, at, n);
    at = pairing_take(&r->query_length, room, at, (size_t)k->columns);
    return pairing_take(&r->key_length, room, at, (size_t)k->columns);
}

static size_t pairing_grad_place(am_backend *be, int n, float *scratch, pairing_grad *s)
{
    pairing_area unused;
    size_t at = 0;
    s->pixel = am_simd_up(s->k.p->c, 16);
    s->parts = am_simd_min(n, PAIRING_PARTS);
    s->part_room = (size_t)s->k.columns * (size_t)(s->pixel + 2);
    s->area_room = pairing_area_place(&s->k, NULL, &unused);
    at = pairing_take(&s->sum, scratch, at, s->part_room * (size_t)s->parts);
    return pairing_take(&s->area, scratch, at, s->area_room * (size_t)be->threads);
}

static size_t pairing_scratch(am_backend *be, const am_pairing *p, int n)
{
    pairing_grad s;
    pairing_place(be, p, n, NULL, &s.k);
    return pairing_grad_place(be, n, NULL, &s);
}

/* From the gradient of a normalised side q to that of the side before; the other columns stay. */
static void pairing_lengths_back(const pairing_job *k, const float *q, const float *length,
                                 float *dq)
{
    const vec share = all(1 / (float)k->pixels);
    for (int d = 0; d < k->p->depth; d += W, q += W, dq += W) {
        vec mean = all(0), along = all(0);
        for (int i = 0; i < k->pixels; i++) {
            vec g = load(dq + i * k->columns);
            mean += g;
            along += load(q + i * k->columns) * g;
        }
        mean = first_lanes(mean * share, k->p->depth - d);
        along = first_lanes(along * share, k->p->depth - d);
        for (int i = 0; i < k->pixels; i++) {
            float *to = dq + i * k->columns;
            store(to, load(length + d) * (load(to) - mean - load(q + i * k->columns) * along));
        }
    }
}

/* dS of one sample, and dv in the value's column of dkey. */
static void pairing_scores_back(const pairing_grad *s, int i, const pairing_room *r,
                                const pairing_area *t)
{
    const pairing_job *k = &s->k;
    const am_pairing *p = k->p;
    const int n = k->pixels, plane = n * p->scale * p->scale;
    const float *a = k->a + (size_t)i * (size_t)(n * k->width),
                *logit = k->logit + (size_t)i * (size_t)n;
    const float scale = 1 / sqrtf((float)p->depth);
    memset(t->dl, 0, (size_t)n * sizeof(float));
    am_mask_up_back(p, s->mask + (size_t)i * (size_t)plane, s->dmask + (size_t)i * (size_t)plane,
                    t->dl);
    float *dv = r->turned, *ds = t->ds;
    memset(dv, 0, (size_t)k->width * sizeof(float));
    for (int y = 0; y < n; y++, a += k->width, ds += k->width) {
        const float row = dense_dot(k->width, a, r->value);
        float g = t->dl[y];
        if (p->bound > 0) g *= 1 - (logit[y] / p->bound) * (logit[y] / p->bound);
        for (int x = 0; x < k->width; x += W) {
            vec ag = load(a + x) * all(g);
            store(dv + x, load(dv + x) + ag);
            store(ds + x, all(scale) * ag * (load(r->value + x) - all(row)));
        }
    }
}

static void pairing_sum_columns(const pairing_job *k, const float *d, float share, float *last,
                                float *bias)
{
    for (int c = 0; c < k->columns; c += W) {
        vec sum = all(0);
        for (int i = 0; i < k->pixels; i++) sum += load(d + i * k->columns + c);
        store(bias + c, load(bias + c) + sum);
        store(last + c, load(last + c) + all(share) * sum);
    }
}

static void pairing_add(const pairing_grad *s, const float *d, int sample, float *room, float *sum)
{
    const pairing_job *k = &s->k;
    int pixel;
    const float *z = pairing_features(k, sample, room, &pixel);
    matrices product = {.m = k->p->depth + 1,
                        .n = pixel,
                        .k = k->pixels,
                        .a = d,
                        .stride_i = 1,
                        .stride_k = (size_t)k->columns,
                        .b = z,
                        .stride_b = (size_t)pixel,
                        .c = sum,
                        .stride_c = (size_t)s->pixel,
                        .add = 1};
    gemm(&product);
}

static void pairing_back_item(const void *arg, int part, int worker)
{
    const pairing_grad *s = arg;
    const pairing_job *k = &s->k;
    const int n = k->pixels, depth = k->p->depth;
    pairing_room r = pairing_room_of(k, worker);
    pairing_area t;
    pairing_area_place(k, s->area + (size_t)worker * s->area_room, &t);
    float *sum = s->sum + (size_t)part * s->part_room, *last = sum + k->columns * s->pixel,
          *bias = last + k->columns;
    memset(sum, 0, s->part_room * sizeof *sum);
    const int end = (int)((long)k->n * (part + 1) / s->parts);
    for (int i = (int)((long)k->n * part / s->parts); i < end; i++) {
        const int partner = k->perm[i];
        pairing_side(k, i, k->lam[i], r.query, t.query_length);
        pairing_side(k, partner, 1 - k->lam[i], r.key, t.key_length);
        for (int x = 0; x < k->width; x++) r.value[x] = x < n ? r.key[x * k->columns + depth] : 0;
        pairing_scores_back(s, i, &r, &t);
        const float *dv = r.turned;
        matrices dquery = {.m = n,
                           .n = am_simd_up(depth, 16),
                           .k = n,
                           .a = t.ds,
                           .stride_i = (size_t)k->width,
                           .stride_k = 1,
                           .b = r.key,
                           .stride_b = (size_t)k->columns,
                           .c = t.dquery,
                           .stride_c = (size_t)k->columns};
        matrices dkey = {.m = n,
                         .n = am_simd_up(depth, 16),
                         .k = n,
                         .a = t.ds,
                         .stride_i = 1,
                         .stride_k = (size_t)k->width,
                         .b = r.query,
                         .stride_b = (size_t)k->columns,
                         .c = t.dkey,
                         .stride_c = (size_t)k->columns};
        gemm(&dquery);
        gemm(&dkey);
        if (k->p->normalise) {
            pairing_lengths_back(k, r.query, t.query_length, t.dquery);
            pairing_lengths_back(k, r.key, t.key_length, t.dkey);
        }
        for (int x = 0; x < n; x++) {
            for (int c = depth; c < k->columns; c++)
                t.dquery[x * k->columns + c] = t.dkey[x * k->columns + c] = 0;
            t.dkey[x * k->columns + depth] = dv[x];
        }
        pairing_sum_columns(k, t.dquery, k->lam[i], last, bias);
        pairing_sum_columns(k, t.dkey, 1 - k->lam[i], last, bias);
        pairing_add(s, t.dquery, i, r.z, sum);
        pairing_add(s, t.dkey, partner, r.z, sum);
    }
}

static void pairing_give(const pairing_grad *s, am_grad to, int at, size_t from)
{
    if (!am_is(to.d)) return;
    float v = 0;
    for (int part = 0; part < s->parts; part++) v += s->sum[(size_t)part * s->part_room + from];
    to.d.p[at] = to.beta == 0 ? v : to.beta * to.d.p[at] + v;
}

static void pairing_back(am_backend *be, const am_pairing *p, int n, am_dev z, am_dev perm,
                         am_dev lam, const am_pairing_weights *w, am_dev saved, am_dev mask,
                         am_dev dmask, am_dev scratch, const am_pairing_grads *to)
{
    if (am_cpu_stopped(be) || !am_cpu_perm_ok(be, "pairing_back", n, perm)) return;
    pairing_grad s = {.mask = mask.p, .dmask = dmask.p};
    pairing_place(be, p, n, saved.p, &s.k);
    pairing_grad_place(be, n, scratch.p, &s);
    s.k.z = elems(z), s.k.perm = am_cpu_ints(perm), s.k.lam = lam.p, s.k.w = w;
    am_team_run(am_simd_team(be), s.parts, pairing_back_item, &s);
    const int row = p->c + p->lambda_concat, depth = p->depth;
    const size_t last = (size_t)s.k.columns * (size_t)s.pixel, bias = last + (size_t)s.k.columns;
    for (int d = 0; d <= depth; d++) {
        am_grad weights = d < depth ? to->query : to->value;
        int first = d < depth ? d * row : 0;
        for (int c = 0; c < p->c; c++)
            pairing_give(&s, weights, first + c, (size_t)(d * s.pixel + c));
        if (p->lambda_concat) pairing_give(&s, weights, first + p->c, last + (size_t)d);
        pairing_give(&s, d < depth ? to->query_bias : to->value_bias, d < depth ? d : 0,
                     bias + (size_t)d);
    }
}
