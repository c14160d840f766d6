/* pool.c: max pooling by Darknet's rule and the global average, a plane at a time.
 *
 * A window begins at -(pad / 2), rounded towards zero; what lies outside counts as -infinity.  Of
 * equal values the first in reading order wins and alone gets the gradient; its place in the plane
 * is kept in index, -1 for a window that lies wholly outside. */
#include "cpu.h"
#include <string.h>

void am_cpu_maxpool(am_backend *be, am_shape xs, am_shape ys, am_pool p, am_dev x, am_dev y,
                    am_dev index)
{
    if (am_cpu_stopped(be)) return;
    const size_t x_plane = am_cpu_plane(xs), y_plane = am_cpu_plane(ys);
    const int begin = -(p.pad / 2);
#pragma omp parallel for num_threads(am_cpu_team(be, am_count(xs))) schedule(static)
    for (int i = 0; i < xs.n * xs.c; i++) {
        const size_t image = (size_t)(i / xs.c), c = (size_t)(i % xs.c);
        const float *from = x.p + image * am_cpu_sample(xs) + c * x_plane;
        const size_t to = image * am_cpu_sample(ys) + c * y_plane;
        for (int v = 0; v < ys.h; v++)
            for (int u = 0; u < ys.w; u++) {
                float best = -INFINITY;
                int where = -1;
                for (int a = 0; a < p.size; a++)
                    for (int b = 0; b < p.size; b++) {
                        const int row = begin + v * p.stride + a, column = begin + u * p.stride + b;
                        if (row < 0 || row >= xs.h || column < 0 || column >= xs.w) continue;
                        const float value = from[row * xs.w + column];
                        if (where < 0 || value > best) best = value, where = row * xs.w + column;
                    }
                const size_t at = to + (size_t)(v * ys.w + u);
                y.p[at] = best;
                if (am_is(index)) memcpy(index.p + at, &where, sizeof where);
            }
    }
}

static void scale_plane(float *d, size_t n, float beta)
{
    if (beta == 0) memset(d, 0, n * sizeof(float));
    else if (beta != 1) for (size_t i = 0; i < n; i++) d[i] *= beta;
}

void am_cpu_maxpool_back(am_backend *be, am_shape xs, am_shape ys, am_pool p, am_dev index,
                         am_dev dy, am_grad dx)
{
    (void)p;
    if (am_cpu_stopped(be) || !am_is(dx.d)) return;
    const size_t x_plane = am_cpu_plane(xs), y_plane = am_cpu_plane(ys);
#pragma omp parallel for num_threads(am_cpu_team(be, am_count(xs))) schedule(static)
    for (int i = 0; i < xs.n * xs.c; i++) {
        const size_t image = (size_t)(i / xs.c), c = (size_t)(i % xs.c);
        float *to = dx.d.p + image * am_cpu_sample(xs) + c * x_plane;
        const size_t from = image * am_cpu_sample(ys) + c * y_plane;
        scale_plane(to, x_plane, dx.beta);
        for (size_t k = from; k < from + y_plane; k++) {
            const int where = am_cpu_ints(index)[k];
            if (where >= 0) to[where] += dy.p[k];
        }
    }
}

void am_cpu_avgpool(am_backend *be, am_shape s, am_dev x, am_dev y)
{
    if (am_cpu_stopped(be)) return;
    const size_t plane = am_cpu_plane(s);
#pragma omp parallel for num_threads(am_cpu_team(be, am_count(s))) schedule(static)
    for (int i = 0; i < s.n * s.c; i++)
        y.p[i] = (float)(am_cpu_sum(plane, x.p + (size_t)(i / s.c) * am_cpu_sample(s)
                                               + (size_t)(i % s.c) * plane)
                         / (double)plane);
}

void am_cpu_avgpool_back(am_backend *be, am_shape s, am_dev dy, am_grad dx)
{
    if (am_cpu_stopped(be) || !am_is(dx.d)) return;
    const size_t plane = am_cpu_plane(s);
#pragma omp parallel for num_threads(am_cpu_team(be, am_count(s))) schedule(static)
    for (int i = 0; i < s.n * s.c; i++) {
        float *to = dx.d.p + (size_t)(i / s.c) * am_cpu_sample(s) + (size_t)(i % s.c) * plane;
        const float g = dy.p[i] / (float)plane;
        scale_plane(to, plane, dx.beta);
        for (size_t k = 0; k < plane; k++) to[k] += g;
    }
}
