/* route.c: placing channels beside each other, and upsampling by repetition. */
#include "cpu.h"
#include <string.h>

void am_cpu_route(am_backend *be, am_shape part, am_dev x, int first, am_shape whole, am_dev y)
{
    if (am_cpu_stopped(be)) return;
    const size_t k = am_count(am_batch_of(part, 1)), at = (size_t)first * am_cpu_plane(whole);
    for (int i = 0; i < part.n; i++)
        memcpy(y.p + (size_t)i * am_cpu_sample(whole) + at, x.p + (size_t)i * am_cpu_sample(part),
               k * sizeof(float));
}

void am_cpu_route_back(am_backend *be, am_shape part, int first, am_shape whole, am_dev dy,
                       am_grad dx)
{
    if (am_cpu_stopped(be) || !am_is(dx.d)) return;
    const size_t k = am_count(am_batch_of(part, 1)), at = (size_t)first * am_cpu_plane(whole);
    for (int i = 0; i < part.n; i++)
        am_cpu_give(dx, (size_t)i * am_cpu_sample(part), k, 1,
                    dy.p + (size_t)i * am_cpu_sample(whole) + at);
}

void am_cpu_upsample(am_backend *be, am_shape s, int stride, float scale, am_dev x, am_dev y)
{
    if (am_cpu_stopped(be)) return;
    const am_shape t = {s.n, s.c, s.h * stride, s.w * stride};
#pragma omp parallel for num_threads(am_cpu_team(be, am_count(t))) schedule(static)
    for (int i = 0; i < s.n * s.c; i++) {
        const float *from =
            x.p + (size_t)(i / s.c) * am_cpu_sample(s) + (size_t)(i % s.c) * am_cpu_plane(s);
        float *to =
            y.p + (size_t)(i / s.c) * am_cpu_sample(t) + (size_t)(i % s.c) * am_cpu_plane(t);
        for (int v = 0; v < t.h; v++)
            for (int u = 0; u < t.w; u++)
                to[v * t.w + u] = scale * from[v / stride * s.w + u / stride];
    }
}

void am_cpu_upsample_back(am_backend *be, am_shape s, int stride, float scale, am_dev dy,
                          am_grad dx)
{
    if (am_cpu_stopped(be) || !am_is(dx.d)) return;
    const am_shape t = {s.n, s.c, s.h * stride, s.w * stride};
#pragma omp parallel for num_threads(am_cpu_team(be, am_count(t))) schedule(static)
    for (int i = 0; i < s.n * s.c; i++) {
        const float *from =
            dy.p + (size_t)(i / s.c) * am_cpu_sample(t) + (size_t)(i % s.c) * am_cpu_plane(t);
        const size_t to =
            (size_t)(i / s.c) * am_cpu_sample(s) + (size_t)(i % s.c) * am_cpu_plane(s);
        for (int v = 0; v < s.h; v++)
            for (int u = 0; u < s.w; u++) {
                float sum = 0;
                for (int a = 0; a < stride; a++)
                    for (int b = 0; b < stride; b++)
                        sum += from[(v * stride + a) * t.w + u * stride + b];
                am_cpu_give1(dx, to + (size_t)(v * s.w + u), scale * sum);
            }
    }
}
