/* dense.c: y = x w' + b over rows.  x is an activation, whose rows lie am_cpu_sample apart. */
#include "cpu.h"

static int share(int rows, int parts, int i) { return (int)((long)rows * i / parts); }

void am_cpu_dense(am_backend *be, am_shape s, int out, am_dev x, am_dev w, am_dev b, am_dev y)
{
    if (am_cpu_stopped(be)) return;
    const int k = s.c * s.h * s.w, parts = am_cpu_team(be, (size_t)s.n * (size_t)out * (size_t)k);
    const size_t step = am_cpu_sample(s);
#pragma omp parallel for num_threads(parts) schedule(static)
    for (int t = 0; t < parts; t++) {
        const int first = share(s.n, parts, t), last = share(s.n, parts, t + 1);
        am_rows_product(am_cpu_of(be)->kernels, first, last, out, k, x.p, step, w.p, (size_t)k, 0,
                        y.p, (size_t)out);
        if (!am_is(b)) continue;
        for (int i = first; i < last; i++)
            for (int o = 0; o < out; o++) y.p[(size_t)i * (size_t)out + (size_t)o] += b.p[o];
    }
}

/* to[0..k) = beta * to + sum over l of a[l * a_step] * rows[l * step], always in l's order */
static void combine(size_t k, int count, const float *a, size_t a_step, const float *rows,
                    size_t step, float beta, float *to)
{
    enum { WIDE = 64 };
    for (size_t at = 0; at < k; at += WIDE) {
        const size_t n = k - at < WIDE ? k - at : WIDE;
        float sum[WIDE] = {0};
        if (n == WIDE)
            for (int l = 0; l < count; l++)
                for (size_t i = 0; i < WIDE; i++)
                    sum[i] += a[(size_t)l * a_step] * rows[(size_t)l * step + at + i];
        else
            for (int l = 0; l < count; l++)
                for (size_t i = 0; i < n; i++)
                    sum[i] += a[(size_t)l * a_step] * rows[(size_t)l * step + at + i];
        for (size_t i = 0; i < n; i++) to[at + i] = beta == 0 ? sum[i] : beta * to[at + i] + sum[i];
    }
}

void am_cpu_dense_back(am_backend *be, am_shape s, int out, am_dev x, am_dev w, am_dev dy,
                       am_grad dx, am_grad dw, am_grad db)
{
    if (am_cpu_stopped(be)) return;
    const size_t k = am_count(am_batch_of(s, 1)), step = am_cpu_sample(s), o = (size_t)out;
    if (am_is(dx.d)) {
#pragma omp parallel for num_threads(am_cpu_team(be, (size_t)s.n * o * k)) schedule(static)
        for (int i = 0; i < s.n; i++)
            combine(k, out, dy.p + (size_t)i * o, 1, w.p, k, dx.beta, dx.d.p + (size_t)i * step);
    }
    if (am_is(dw.d)) {
#pragma omp parallel for num_threads(am_cpu_team(be, (size_t)s.n * o * k)) schedule(static)
        for (int i = 0; i < out; i++)
            combine(k, s.n, dy.p + i, o, x.p, step, dw.beta, dw.d.p + (size_t)i * k);
    }
    if (am_is(db.d)) am_cpu_bias_back(be, (am_shape){s.n, out, 1, 1}, dy, db);
}
