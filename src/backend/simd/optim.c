/* optim.c: the optimiser, the teacher's average and the clearing of the gradient in one pass, and
 * the other flat passes over plain memory. */
#include "simd.h"
#include "vec.h"

typedef struct sgd_job {
    size_t n;
    float *w, *g, *v, *teacher;
    float rate, momentum, decay, follow;
    int nesterov, stop;
} sgd_job;

static void sgd_one(const sgd_job *k, size_t i)
{
    float w = k->w[i], g = k->g[i] + k->decay * w, v = k->momentum * k->v[i] + g;
    w -= k->rate * (k->nesterov ? g + k->momentum * v : v);
    k->v[i] = v;
    k->w[i] = w;
    if (k->teacher) k->teacher[i] = k->follow * k->teacher[i] + (1 - k->follow) * w;
    k->g[i] = 0;
}

INLINE void sgd_vector(const sgd_job *k, size_t i)
{
    vec w = load(k->w + i), g = load(k->g + i) + all(k->decay) * w;
    vec v = all(k->momentum) * load(k->v + i) + g;
    w -= all(k->rate) * (k->nesterov ? g + all(k->momentum) * v : v);
    store(k->v + i, v);
    store(k->w + i, w);
    if (k->teacher)
        store(k->teacher + i, all(k->follow) * load(k->teacher + i) + all(1 - k->follow) * w);
    store(k->g + i, all(0));
}

static void sgd_item(const void *arg, int item, int worker)
{
    const sgd_job *k = arg;
    size_t i = (size_t)item * STRIP, end = k->n - i < STRIP ? k->n : i + STRIP;
    (void)worker;
    if (k->stop) {
        memset(k->g + i, 0, (end - i) * sizeof *k->g);
        return;
    }
    for (; i + W <= end; i += W) sgd_vector(k, i);
    for (; i < end; i++) sgd_one(k, i);
}

static void sgd(am_backend *be, size_t n, am_dev w, am_dev g, am_dev v, am_dev teacher,
                am_dev hyper, am_dev guard)
{
    if (am_cpu_stopped(be)) return;
    const float *h = hyper.p;
    sgd_job k = {n,
                 w.p,
                 g.p,
                 v.p,
                 teacher.p,
                 h[0],
                 h[1],
                 h[2],
                 h[4],
                 h[3] != 0,
                 am_is(guard) && guard.p[0] != 0};
    am_team_run(am_simd_team(be), (int)((n + STRIP - 1) / STRIP), sgd_item, &k);
}

typedef struct copy_job {
    size_t n;
    const float *x;
    float *y, value;
} copy_job;

static void copy_item(const void *arg, int item, int worker)
{
    const copy_job *k = arg;
    size_t i = (size_t)item * STRIP, end = k->n - i < STRIP ? k->n : i + STRIP;
    (void)worker;
    if (k->x)
        memmove(k->y + i, k->x + i, (end - i) * sizeof *k->y);
    else
        for (; i < end; i++) k->y[i] = k->value;
}

static void fill(am_backend *be, size_t n, float value, am_dev y)
{
    if (am_cpu_stopped(be)) return;
    copy_job k = {n, NULL, y.p, value};
    am_team_run(am_simd_team(be), (int)((n + STRIP - 1) / STRIP), copy_item, &k);
}

static void copy(am_backend *be, size_t n, am_dev x, am_dev y)
{
    if (am_cpu_stopped(be)) return;
    copy_job k = {n, x.p, y.p, 0};
    am_team_run(am_simd_team(be), (int)((n + STRIP - 1) / STRIP), copy_item, &k);
}
