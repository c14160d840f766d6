/* mix.c: masks and blending.  A mask m is planes [n][h][w] and weighs the partner:
 *
 *   y = (1 - m) * x + m * x[perm],  the same m for all channels of a sample
 *
 * Its adjoint to x gives each sample what it lent: (1 - m) dy of its own, m dy of the sample whose
 * partner it is. */
#include "cpu.h"

void am_cpu_mask_fill(am_backend *be, int n, int h, int w, am_dev lam, am_dev m)
{
    if (am_cpu_stopped(be)) return;
    const size_t plane = (size_t)h * (size_t)w;
    for (size_t i = 0; i < (size_t)n * plane; i++) m.p[i] = 1 - lam.p[i / plane];
}

void am_cpu_mask_box(am_backend *be, int n, int h, int w, am_dev box, am_dev m)
{
    if (am_cpu_stopped(be)) return;
    for (int i = 0; i < n; i++) {
        const int *b = am_cpu_ints(box) + 4 * i;
        float *to = m.p + (size_t)i * (size_t)h * (size_t)w;
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++) *to++ = x >= b[0] && y >= b[1] && x < b[2] && y < b[3];
    }
}

void am_cpu_mask_margin(am_backend *be, int n, int h, int w, am_dev lam, float margin, am_dev m)
{
    if (am_cpu_stopped(be)) return;
    const size_t plane = (size_t)h * (size_t)w;
    for (int i = 0; i < n; i++) {
        const float l = lam.p[i];
        if (!(l <= margin || 1 - l <= margin)) continue;
        for (size_t k = (size_t)i * plane; k < (size_t)(i + 1) * plane; k++) m.p[k] = 1 - l;
    }
}

void am_cpu_blend(am_backend *be, am_shape s, am_dev x, am_dev perm, am_dev m, am_dev y)
{
    if (am_cpu_stopped(be) || !am_cpu_perm_ok(be, "blend", s.n, perm)) return;
    const size_t plane = am_cpu_plane(s), step = am_cpu_sample(s);
#pragma omp parallel for num_threads(am_cpu_team(be, am_count(s))) schedule(static)
    for (int i = 0; i < s.n * s.c; i++) {
        const size_t image = (size_t)(i / s.c), at = (size_t)(i % s.c) * plane;
        const float *mine = x.p + image * step + at, *mask = m.p + image * plane;
        const float *other = x.p + (size_t)am_cpu_ints(perm)[image] * step + at;
        float *to = y.p + image * step + at;
        for (size_t k = 0; k < plane; k++) to[k] = (1 - mask[k]) * mine[k] + mask[k] * other[k];
    }
}

void am_cpu_blend_back(am_backend *be, am_shape s, am_dev x, am_dev perm, am_dev dy, am_grad dm)
{
    if (am_cpu_stopped(be) || !am_is(dm.d) || !am_cpu_perm_ok(be, "blend_back", s.n, perm)) return;
    const size_t plane = am_cpu_plane(s), step = am_cpu_sample(s);
#pragma omp parallel for num_threads(am_cpu_team(be, am_count(s))) schedule(static)
    for (int i = 0; i < s.n; i++) {
        const float *mine = x.p + (size_t)i * step,
                    *other = x.p + (size_t)am_cpu_ints(perm)[i] * step;
        const float *g = dy.p + (size_t)i * step;
        for (size_t k = 0; k < plane; k++) {
            float sum = 0;
            for (size_t at = k; at < (size_t)s.c * plane; at += plane)
                sum += g[at] * (other[at] - mine[at]);
            am_cpu_give1(dm, (size_t)i * plane + k, sum);
        }
    }
}

void am_cpu_blend_back_x(am_backend *be, am_shape s, am_dev perm, am_dev m, am_dev dy, am_grad dx)
{
    if (am_cpu_stopped(be) || !am_is(dx.d) || !am_cpu_perm_ok(be, "blend_back_x", s.n, perm))
        return;
    const size_t plane = am_cpu_plane(s), step = am_cpu_sample(s);
#pragma omp parallel for num_threads(am_cpu_team(be, am_count(s))) schedule(static)
    for (int i = 0; i < s.n; i++) {
        int borrower = 0;
        while (borrower < s.n && am_cpu_ints(perm)[borrower] != i) borrower++;
        const float *mine = dy.p + (size_t)i * step, *mask = m.p + (size_t)i * plane;
        for (int c = 0; c < s.c; c++)
            for (size_t k = 0; k < plane; k++) {
                const size_t at = (size_t)c * plane + k;
                float g = (1 - mask[k]) * mine[at];
                if (borrower < s.n)
                    g += m.p[(size_t)borrower * plane + k] * dy.p[(size_t)borrower * step + at];
                am_cpu_give1(dx, (size_t)i * step + at, g);
            }
    }
}
