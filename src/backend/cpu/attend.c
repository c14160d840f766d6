/* attend.c: the MixBlock in parts (SAMix, Li et al. 2021): features of pairs as rows, and the attention
 * from query, key and value on.  Rows are [n P][width], a pixel each; pairing.h's formulas take over
 * from there, on the transposed [depth][P]. */
#include "pairing.h"
#include <string.h>

float am_cpu_encoded(const am_encoding *e, float lambda, int partner)
{
    float t = lambda;
    if (e->bend >= 0)
        t = ((4.0f / 3 * lambda - 2) * lambda + e->bend + 1) * lambda / (e->bend + 1.0f / 3);
    if (partner) t = 1 - t;
    return e->multiply <= 0 ? 1 : e->residual ? 1 + e->multiply * t : t;
}

void am_cpu_pair_rows(am_backend *be, am_shape s, const am_encoding *e, int partner, am_dev x,
                      am_dev perm, am_dev lam, int width, int first, am_dev rows)
{
    if (am_cpu_stopped(be) || !am_cpu_perm_ok(be, "pair_rows", s.n, perm)) return;
    const size_t pixels = (size_t)s.h * (size_t)s.w, step = am_cpu_sample(s);
#pragma omp parallel for num_threads(be->threads) schedule(static)
    for (int i = 0; i < s.n; i++) {
        const float *from = x.p + (size_t)(partner ? am_cpu_ints(perm)[i] : i) * step, l = lam.p[i];
        const float scale = am_cpu_encoded(e, l, partner);
        float *to = rows.p + (size_t)i * pixels * (size_t)width + first;
        for (size_t k = 0; k < pixels; k++, to += width) {
            for (int c = 0; c < s.c; c++) to[c] = scale * from[(size_t)c * pixels + k];
            if (e->concat) to[s.c] = partner ? 1 - l : l;
        }
    }
}

static void turn(size_t rows, size_t columns, const float *from, float *to)
{
    for (size_t c = 0; c < columns; c++)
        for (size_t r = 0; r < rows; r++) to[c * rows + r] = from[r * columns + c];
}

size_t am_cpu_attend_saved(am_backend *be, const am_pairing *p, int n)
{
    return am_cpu_pairing_saved(be, p, n);
}
size_t am_cpu_attend_scratch(am_backend *be, const am_pairing *p, int n)
{
    return am_cpu_pairing_scratch(be, p, n);
}

void am_cpu_attend(am_backend *be, const am_pairing *p, int n, am_dev query, am_dev key,
                   am_dev value, am_dev saved, am_dev mask, am_dev health)
{
    if (am_cpu_stopped(be)) return;
    const size_t pixels = am_paired_pixels(p), depth = (size_t)p->depth, deep = pixels * depth;
    const size_t plane = pixels * (size_t)p->scale * (size_t)p->scale;
    am_paired s;
    am_paired_place(p, n, saved.p, &s);
    memcpy(s.v, value.p, (size_t)n * pixels * sizeof *s.v);
#pragma omp parallel for num_threads(be->threads) schedule(static)
    for (int i = 0; i < n; i++) {
        const size_t at = (size_t)i * deep;
        turn(pixels, depth, query.p + at, s.q + at);
        turn(pixels, depth, key.p + at, s.k + at);
        if (p->normalise) {
            am_paired_normalise(p, s.q + at, s.q_length + (size_t)i * depth);
            am_paired_normalise(p, s.k + at, s.k_length + (size_t)i * depth);
        }
        am_paired_attend(p, &s, i, mask.p + (size_t)i * plane);
    }
    if (am_is(health)) health.p[AM_HEALTH_ENTROPY] += (float)am_cpu_sum((size_t)n, s.entropy);
}

void am_cpu_attend_back(am_backend *be, const am_pairing *p, int n, am_dev saved, am_dev mask,
                        am_dev dmask, am_dev scratch, am_dev dquery, am_dev dkey, am_dev dvalue)
{
    if (am_cpu_stopped(be)) return;
    const size_t pixels = am_paired_pixels(p), depth = (size_t)p->depth, deep = pixels * depth;
    am_paired s;
    am_paired_grads b;
    am_paired_place(p, n, saved.p, &s);
    am_paired_grads_place(be, p, n, scratch.p, &b);
    am_paired_back(be, p, &s, &b, n, mask.p, dmask.p);
    memcpy(dvalue.p, b.dv, (size_t)n * pixels * sizeof *b.dv);
#pragma omp parallel for num_threads(be->threads) schedule(static)
    for (int i = 0; i < n; i++) {
        turn(depth, pixels, b.dq + (size_t)i * deep, dquery.p + (size_t)i * deep);
        turn(depth, pixels, b.dk + (size_t)i * deep, dkey.p + (size_t)i * deep);
    }
}
