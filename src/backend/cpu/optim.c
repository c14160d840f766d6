/* optim.c: the flat passes over parameters. */
#include "cpu.h"
#include <string.h>

void am_cpu_fill(am_backend *be, size_t n, float value, am_dev y)
{
    if (am_cpu_stopped(be)) return;
#pragma omp parallel for num_threads(am_cpu_team(be, n)) schedule(static)
    for (size_t i = 0; i < n; i++) y.p[i] = value;
}

void am_cpu_copy(am_backend *be, size_t n, am_dev x, am_dev y)
{
    if (am_cpu_stopped(be)) return;
    memmove(y.p, x.p, n * sizeof(float));
}

void am_cpu_sgd(am_backend *be, size_t n, am_dev w, am_dev g, am_dev v, am_dev teacher,
                am_dev hyper, am_dev guard)
{
    if (am_cpu_stopped(be)) return;
    if (am_is(guard) && guard.p[0] != 0) {
        am_cpu_fill(be, n, 0, g);
        return;
    }
    const float rate = hyper.p[0], momentum = hyper.p[1], decay = hyper.p[2], follow = hyper.p[4];
    const int nesterov = hyper.p[3] != 0;
#pragma omp parallel for num_threads(am_cpu_team(be, n)) schedule(static)
    for (size_t i = 0; i < n; i++) {
        float pull = g.p[i] + decay * w.p[i];
        v.p[i] = momentum * v.p[i] + pull;
        w.p[i] -= rate * (nesterov ? pull + momentum * v.p[i] : v.p[i]);
        g.p[i] = 0;
    }
    if (!am_is(teacher)) return;
#pragma omp parallel for num_threads(am_cpu_team(be, n)) schedule(static)
    for (size_t i = 0; i < n; i++) teacher.p[i] = follow * teacher.p[i] + (1 - follow) * w.p[i];
}

/* A sum over millions, shared out: always the same 1024 parts, added in their order. */
void am_cpu_clip(am_backend *be, size_t n, am_dev limit, am_dev scratch, am_dev g)
{
    if (am_cpu_stopped(be) || !(limit.p[0] > 0)) return;
    const size_t parts = 1024, part = (n + parts - 1) / parts;
#pragma omp parallel for num_threads(am_cpu_team(be, n)) schedule(static)
    for (size_t i = 0; i < parts; i++) {
        size_t from = i * part < n ? i * part : n, k = n - from < part ? n - from : part;
        scratch.p[i] = (float)am_cpu_sum_product(k, g.p + from, g.p + from);
    }
    double length = sqrt(am_cpu_sum(parts, scratch.p));
    if (!(length > (double)limit.p[0])) return;
    const float shrink = (float)((double)limit.p[0] / length);
#pragma omp parallel for num_threads(am_cpu_team(be, n)) schedule(static)
    for (size_t i = 0; i < n; i++) g.p[i] *= shrink;
}

/* x - x is 0 for a finite number and NaN for any other. */
void am_cpu_guard(am_backend *be, size_t n, am_dev x, am_dev guard)
{
    if (am_cpu_stopped(be)) return;
    int bad = 0;
#pragma omp parallel for num_threads(am_cpu_team(be, n)) schedule(static) reduction(| : bad)
    for (size_t i = 0; i < n; i++) bad |= x.p[i] - x.p[i] != 0;
    if (bad) guard.p[0] = 1;
}
