/* pairing_back.c: the MixBlock's gradients, from the mask to its weights; none goes to z.
 *
 * With g = dmask m (1 - m), brought down to the logits' grid, times 1 - (logit / bound)^2 where
 * bounded, and r = A v:
 *   dv = A' g        dS = A * g (v' - r)        (the softmax's own path is the -r)
 *   dq = k dS' / sqrt(depth)        dk = q dS / sqrt(depth)
 * and through the normalisation q = (q0 - mean q0) l, l = 1 / deviation(q0), over the pixels:
 *   dq0 = l (dq - mean dq - q mean(q dq))
 *   dW = sum dq [z_i; lambda]' + dk [z_j; 1 - lambda]'        db = sum dq + dk
 *   du = sum dv [z_j; 1 - lambda]                             dc = sum dv
 *
 * Samples are shared out up to dq, dk, dv, which lie in scratch; then rows of W are. */
#include "pairing.h"
#include "conv.h"
#include <string.h>

size_t am_paired_grads_place(const am_backend *be, const am_pairing *p, int n, float *scratch,
                             am_paired_grads *b)
{
    const size_t rows = (size_t)n * am_paired_pixels(p), deep = rows * (size_t)p->depth;
    const size_t threads = (size_t)be->threads, pixels = am_paired_pixels(p);
    const size_t size[] = {deep, deep, rows, threads * pixels * pixels, threads * pixels};
    float **to[] = {&b->dq, &b->dk, &b->dv, &b->ds, &b->dl};
    size_t at = 0;
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        *to[i] = scratch ? scratch + at : NULL;
        at += (size[i] + 15) / 16 * 16;
    }
    return at;
}

size_t am_cpu_pairing_scratch(am_backend *be, const am_pairing *p, int n)
{
    am_paired_grads unused;
    return am_paired_grads_place(be, p, n, NULL, &unused);
}

static void lengths_back(const am_pairing *p, const float *q, const float *length, float *dq)
{
    const int pixels = p->h * p->w;
    for (int d = 0; d < p->depth; d++, q += pixels, dq += pixels) {
        float mean = 0, along = 0;
        for (int i = 0; i < pixels; i++) {
            mean += dq[i];
            along += q[i] * dq[i];
        }
        mean /= (float)pixels;
        along /= (float)pixels;
        for (int i = 0; i < pixels; i++) dq[i] = length[d] * (dq[i] - mean - q[i] * along);
    }
}

static void pair_back(const am_pairing *p, const am_paired *s, const am_paired_grads *b, int i,
                      const float *mask, const float *dmask, float *ds, float *dl)
{
    const size_t pixels = am_paired_pixels(p), deep = pixels * (size_t)p->depth,
                 at = (size_t)i * pixels;
    const int n = (int)pixels;
    const float *q = s->q + (size_t)i * deep, *k = s->k + (size_t)i * deep, *v = s->v + at,
                *logit = s->logit + at;
    float *dq = b->dq + (size_t)i * deep, *dk = b->dk + (size_t)i * deep, *dv = b->dv + at;

    memset(dl, 0, pixels * sizeof *dl);
    memset(dv, 0, pixels * sizeof *dv);
    am_mask_up_back(p, mask, dmask, dl);
    const float *a = s->a + at * pixels, scale = 1 / sqrtf((float)p->depth);
    for (int y = 0; y < n; y++, a += pixels) {
        const float r = (float)am_cpu_sum_product(pixels, a, v);
        if (p->bound > 0) dl[y] *= 1 - (logit[y] / p->bound) * (logit[y] / p->bound);
        for (int x = 0; x < n; x++) {
            dv[x] += a[x] * dl[y];
            ds[(size_t)y * pixels + (size_t)x] = scale * a[x] * dl[y] * (v[x] - r);
        }
    }
    am_columns_product(p->depth, n, n, q, pixels, 1, ds, pixels, dk, pixels);
    for (int y = 0; y < n; y++)
        for (int x = 0; x < y; x++) {
            const float swap = ds[(size_t)y * pixels + (size_t)x];
            ds[(size_t)y * pixels + (size_t)x] = ds[(size_t)x * pixels + (size_t)y];
            ds[(size_t)x * pixels + (size_t)y] = swap;
        }
    am_columns_product(p->depth, n, n, k, pixels, 1, ds, pixels, dq, pixels);
    if (!p->normalise) return;
    lengths_back(p, q, s->q_length + (size_t)i * (size_t)p->depth, dq);
    lengths_back(p, k, s->k_length + (size_t)i * (size_t)p->depth, dk);
}

void am_paired_back(const am_backend *be, const am_pairing *p, const am_paired *s,
                    const am_paired_grads *b, int n, const float *mask, const float *dmask)
{
    (void)be;
    const size_t pixels = am_paired_pixels(p), plane = pixels * (size_t)p->scale * (size_t)p->scale;
#pragma omp parallel for num_threads(be->threads) schedule(static)
    for (int i = 0; i < n; i++) {
        const size_t thread = (size_t)am_cpu_thread();
        pair_back(p, s, b, i, mask + (size_t)i * plane, dmask + (size_t)i * plane,
                  b->ds + thread * pixels * pixels, b->dl + thread * pixels);
    }
}

/* Rows first <= row < last of dW over the whole batch, or of du, whose one row hangs on v alone. */
typedef struct pairs {
    const am_pairing *p;
    int n;
    const float *z;
    size_t step;
    const int *perm;
    const float *lam;
} pairs;

static void add_rows(const am_backend *be, const pairs *t, int first, int last, int rows,
                     const float *dq, const float *dk, float *dw, float *bias)
{
    const size_t pixels = am_paired_pixels(t->p), width = (size_t)(t->p->c + t->p->lambda_concat);
    for (int i = 0; i < t->n; i++) {
        const float *zi = t->z + (size_t)i * t->step, *zj = t->z + (size_t)t->perm[i] * t->step;
        const float *from[2] = {dq ? dq + (size_t)i * (size_t)rows * pixels : NULL,
                                dk + (size_t)i * (size_t)rows * pixels};
        for (int half = 0; half < 2; half++) {
            if (!from[half]) continue;
            if (dw)
                am_rows_product(am_cpu_of(be)->kernels, first, last, t->p->c, (int)pixels,
                                from[half], pixels, half ? zj : zi, pixels, 1, dw, width);
            for (int r = first; r < last; r++) {
                const float sum = (float)am_cpu_sum(pixels, from[half] + (size_t)r * pixels);
                if (bias) bias[r] += sum;
                if (dw && t->p->lambda_concat)
                    dw[(size_t)r * width + width - 1] += (half ? 1 - t->lam[i] : t->lam[i]) * sum;
            }
        }
    }
}

static float *begin(am_grad g, size_t n)
{
    for (size_t i = 0; am_is(g.d) && i < n; i++) g.d.p[i] = g.beta == 0 ? 0 : g.beta * g.d.p[i];
    return g.d.p;
}

void am_cpu_pairing_back(am_backend *be, const am_pairing *p, int n, am_dev z, am_dev perm,
                         am_dev lam, const am_pairing_weights *w, am_dev saved, am_dev mask,
                         am_dev dmask, am_dev scratch, const am_pairing_grads *to)
{
    (void)w;
    if (am_cpu_stopped(be) || !am_cpu_perm_ok(be, "pairing_back", n, perm)) return;
    const size_t width = (size_t)(p->c + p->lambda_concat);
    am_paired s;
    am_paired_grads b;
    am_paired_place(p, n, saved.p, &s);
    am_paired_grads_place(be, p, n, scratch.p, &b);
    am_paired_back(be, p, &s, &b, n, mask.p, dmask.p);
    const pairs t = {
        p, n, z.p, am_cpu_sample((am_shape){n, p->c, p->h, p->w}), am_cpu_ints(perm), lam.p};
    float *dw = begin(to->query, (size_t)p->depth * width),
          *db = begin(to->query_bias, (size_t)p->depth);
    float *du = begin(to->value, width), *dc = begin(to->value_bias, 1);
    const int parts = be->threads;
#pragma omp parallel for num_threads(parts) schedule(static)
    for (int i = 0; i < parts; i++)
        add_rows(be, &t, p->depth * i / parts, p->depth * (i + 1) / parts, p->depth, b.dq, b.dk, dw,
                 db);
    add_rows(be, &t, 0, 1, 1, NULL, b.dv, du, dc);
}
