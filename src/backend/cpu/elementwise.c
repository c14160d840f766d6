/* elementwise.c: sums, activations and dropout.  Each sample is cut into spans of a few thousand
 * values, which are what threads share. */
#include "cpu.h"

enum { SPAN = 4096 };

typedef struct spans { size_t k, step, per_sample, count; } spans;     /* k: values of one sample */

static spans cut(am_shape s)
{
    size_t k = am_count(am_batch_of(s, 1)), per_sample = (k + SPAN - 1) / SPAN;
    return (spans){k, am_cpu_sample(s), per_sample, per_sample * (size_t)s.n};
}

/* Where span i begins in memory, its length, and its place when values are counted in NCHW. */
static size_t span(const spans *c, size_t i, size_t *n, uint64_t *index)
{
    size_t sample = i / c->per_sample, from = i % c->per_sample * SPAN;
    *n = c->k - from < SPAN ? c->k - from : SPAN;
    if (index) *index = (uint64_t)sample * c->k + from;
    return sample * c->step + from;
}

void am_cpu_add(am_backend *be, am_shape s, float a, am_dev x, float b, am_dev r, am_act act,
                am_dev y)
{
    if (am_cpu_stopped(be)) return;
    spans c = cut(s);
#pragma omp parallel for num_threads(am_cpu_team(be, am_count(s))) schedule(static)
    for (size_t i = 0; i < c.count; i++) {
        size_t n, at = span(&c, i, &n, NULL);
        if (am_is(r)) for (size_t k = at; k < at + n; k++) y.p[k] = a * x.p[k] + b * r.p[k];
        else for (size_t k = at; k < at + n; k++) y.p[k] = a * x.p[k];
        am_cpu_act(act, n, y.p + at);
    }
}

void am_cpu_act_back(am_backend *be, am_shape s, am_act act, am_dev y, am_dev dy, float a,
                     am_grad dx)
{
    if (am_cpu_stopped(be) || !am_is(dx.d)) return;
    spans c = cut(s);
#pragma omp parallel for num_threads(am_cpu_team(be, am_count(s))) schedule(static)
    for (size_t i = 0; i < c.count; i++) {
        float g[SPAN];
        size_t n, at = span(&c, i, &n, NULL);
        am_cpu_slope(act, n, act == AM_LINEAR ? NULL : y.p + at, dy.p + at, g);
        am_cpu_give(dx, at, n, a, g);
    }
}

void am_cpu_dropout(am_backend *be, am_shape s, float p, am_dev seed, int salt, am_dev x, am_dev y)
{
    if (am_cpu_stopped(be)) return;
    spans c = cut(s);
    const float keep = 1 / (1 - p);
#pragma omp parallel for num_threads(am_cpu_team(be, am_count(s))) schedule(static)
    for (size_t i = 0; i < c.count; i++) {
        uint64_t index;
        size_t n, at = span(&c, i, &n, &index);
        for (size_t k = 0; k < n; k++)
            y.p[at + k] =
                am_cpu_chance(am_cpu_ints(seed), salt, index + k) < p ? 0 : x.p[at + k] * keep;
    }
}

void am_cpu_dropout_back(am_backend *be, am_shape s, float p, am_dev seed, int salt, am_dev dy,
                         am_grad dx)
{
    if (am_cpu_stopped(be) || !am_is(dx.d)) return;
    spans c = cut(s);
    const float keep = 1 / (1 - p);
#pragma omp parallel for num_threads(am_cpu_team(be, am_count(s))) schedule(static)
    for (size_t i = 0; i < c.count; i++) {
        float g[SPAN];
        uint64_t index;
        size_t n, at = span(&c, i, &n, &index);
        for (size_t k = 0; k < n; k++)
            g[k] = am_cpu_chance(am_cpu_ints(seed), salt, index + k) < p ? 0 : dy.p[at + k];
        am_cpu_give(dx, at, n, keep, g);
    }
}

void am_cpu_finite(am_backend *be, am_shape s, am_dev x, am_dev flag)
{
    size_t k = am_count(am_batch_of(s, 1)), step = am_cpu_sample(s);
    for (int i = 0; i < s.n; i++) am_cpu_guard(be, k, am_at(x, (size_t)i * step), flag);
}
