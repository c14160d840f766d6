/* norm.cu: batch normalisation (Ioffe and Szegedy 2015) in NHWC, formulas as in cpu/norm.c: the road for any
 * shape, one number at a time (norm_slice.cu and norm_wide.cu are the fast ones).
 *
 * Variance comes from one look at x: sums of x - s and (x - s)^2 with s the group's first value, so
 * that nothing is lost when the mean is far from 0. */
#include "norm.cuh"

size_t am_gpu_norm_room(int n, int c, int plane, int groups)
{
    const int parts = parts_of((long)(n / groups) * plane);
    return (size_t)groups * (size_t)c * (2 + 2 * (size_t)parts);
}

/* f(where, channel, group, &a, &b) adds to two sums. */
template <class F> static __global__ void sums_kernel(split s, float *parts, F f)
{
    const int ch = (int)(blockIdx.x * WIDE + threadIdx.x), group = (int)blockIdx.z;
    const long first = (long)blockIdx.y * s.part, last = first + s.part < s.rows ? first + s.part : s.rows;
    float a = 0, b = 0;
    if (ch < s.c)
        for (long row = first + threadIdx.y; row < last; row += LANES) f(place(s, group, row, ch), ch, group, &a, &b);
    double sum_a = (double)a, sum_b = (double)b;
    lanes_sum<LANES>(&sum_a, &sum_b);
    if (threadIdx.y || ch >= s.c) return;
    float *to = parts + ((size_t)group * (size_t)s.parts + blockIdx.y) * 2 * (size_t)s.c;
    to[ch] = (float)sum_a;
    to[s.c + ch] = (float)sum_b;
}

template <class F> static void sums(am_stream st, split s, int groups, float *parts, F f)
{
    dim3 grid((unsigned)((s.c + WIDE - 1) / WIDE), (unsigned)s.parts, (unsigned)groups);
    AM_LAUNCH(sums_kernel, grid, dim3(WIDE, LANES), st, s, parts, f);
}

/* ---- forward ---- */

template <class T>
static void norm(am_stream st, int groups, am_view x, const float *scale, const float *bias, am_view residual, int act,
                 am_view y, float *saved, float *running_mean, float *running_variance)
{
    const split s = split_of(x, groups);
    const size_t wide = (size_t)groups * (size_t)x.c;
    float *mean = saved, *inverse = saved + wide, *parts = saved + 2 * wide;
    const T *from = (const T *)x.p;
    const norm_end end = {mean, inverse, running_mean, running_variance};
    sums(st, s, groups, parts, [=] __device__(size_t at, int ch, int group, float *a, float *b) {
        const float d = load(from, at) - load(from, place(s, group, 0, ch));
        *a += d;
        *b += d * d;
    });
    finish(st, s, groups, parts, [=] __device__(int ch, int group, double a, double b) {
        norm_finish(end, s, ch, group, (double)load(from, place(s, group, 0, ch)), a, b);
    });
    each(st, x.n, view_sample(x), [=] __device__(int n, size_t i) {
        const int ch = (int)(i % (size_t)s.c), k = n / s.per * s.c + ch;
        const size_t at = (size_t)n * s.step + i;
        float v = scale[ch] * inverse[k] * (load(from, at) - mean[k]) + bias[ch];
        if (residual.p) v += load((const T *)residual.p, at);
        store((T *)y.p, at, am_arith_act(act, v));
    });
}
void am_gpu_norm(am_stream st, unsigned *tickets, int groups, am_view x, const float *scale, const float *bias, am_view residual,
                 int act, am_view y, float *saved, float *running_mean, float *running_variance)
{
    const size_t wide = (size_t)groups * (size_t)x.c;
    const norm_end end = {saved, saved + wide, running_mean, running_variance};
    const norm_call call = {groups, act, x, y, residual, scale, bias, saved, tickets, end};
    if (norm_slice(st, call) || norm_wide(st, call)) return;
    BY_TYPE(x.half, norm, st, groups, x, scale, bias, residual, act, y, saved, running_mean, running_variance);
}

/* ---- backward ---- */

template <class T>
static void norm_back(am_stream st, int groups, am_view x, const float *scale, int act, am_view y, const float *saved,
                      am_view dy, float *scratch, am_view_grad dx, am_view_grad residual, am_sum dscale, am_sum dbias)
{
    const split s = split_of(x, groups);
    const size_t wide = (size_t)groups * (size_t)x.c;
    const float *mean = saved, *inverse = saved + wide;
    float *mean_g = scratch, *pull = scratch + wide, *parts = scratch + 2 * wide;
    const T *from = (const T *)x.p, *out = (const T *)y.p, *grad = (const T *)dy.p;
    const back_end end = {mean_g, pull, inverse, dscale, dbias};
    sums(st, s, groups, parts, [=] __device__(size_t at, int ch, int group, float *a, float *b) {
        const float g = (act == AM_LINEAR ? 1 : am_arith_slope(act, load(out, at))) * load(grad, at);
        *a += g;
        *b += g * (load(from, at) - mean[group * s.c + ch]);
    });
    finish(st, s, groups, parts, [=] __device__(int ch, int group, double a, double b) {
        back_finish(end, s, ch, group, a, b);
    });
    if (!dx.d.p && !residual.d.p) return;
    each(st, x.n, view_sample(x), [=] __device__(int n, size_t i) {
        const int ch = (int)(i % (size_t)s.c), k = n / s.per * s.c + ch;
        const size_t at = (size_t)n * s.step + i;
        const float g = (act == AM_LINEAR ? 1 : am_arith_slope(act, load(out, at))) * load(grad, at);
        if (residual.d.p) give((T *)residual.d.p, at, residual.beta, g);
        if (dx.d.p)
            give((T *)dx.d.p, at, dx.beta, scale[ch] * inverse[k] * (g - mean_g[k] - pull[k] * (load(from, at) - mean[k])));
    });
}
void am_gpu_norm_back(am_stream st, unsigned *tickets, int groups, am_view x, const float *scale, int act, am_view y,
                      const float *saved, am_view dy, float *scratch, am_view_grad dx, am_view_grad residual, am_sum dscale,
                      am_sum dbias)
{
    const size_t wide = (size_t)groups * (size_t)x.c;
    const back_end end = {scratch, scratch + wide, saved + wide, dscale, dbias};
    const back_call call = {groups, act, x, y, dy, dx, residual, scale, saved, scratch, tickets, end};
    if (norm_back_slice(st, call) || norm_back_wide(st, call)) return;
    BY_TYPE(x.half, norm_back, st, groups, x, scale, act, y, saved, dy, scratch, dx, residual, dscale, dbias);
}

void am_gpu_norm_fold(am_stream st, int c, const float *scale, const float *bias, const float *mean, const float *variance,
                      float *out_scale, float *out_shift)
{
    each(st, 1, (size_t)c, [=] __device__(int, size_t i) {
        const float slope = scale[i] / sqrtf(variance[i] + AM_NORM_EPS);
        out_shift[i] = bias[i] - mean[i] * slope;
        out_scale[i] = slope;
    });
}

/* ---- the sum over samples and pixels of each channel: a block has nowhere to write parts down, so
 * one block does all rows of its channels ---- */

template <class T> static __global__ void column_kernel(split s, const T *dy, am_sum db)
{
    const int ch = (int)(blockIdx.x * WIDE + threadIdx.x);
    double sum = 0, none = 0;
    if (ch < s.c)
        for (long row = threadIdx.y; row < s.rows; row += LANES) sum += (double)load(dy, place(s, 0, row, ch));
    lanes_sum<LANES>(&sum, &none);
    if (threadIdx.y == 0 && ch < s.c) db.p[ch] = am_arith_give(db.beta, db.p[ch], (float)sum);
}

template <class T> static void bias_back(am_stream st, am_view dy, am_sum db)
{
    const split s = split_of(dy, 1);
    AM_LAUNCH(column_kernel<T>, dim3((unsigned)((s.c + WIDE - 1) / WIDE)), dim3(WIDE, LANES), st, s, (const T *)dy.p, db);
}
void am_gpu_bias_back(am_stream st, am_view dy, am_sum db) { BY_TYPE(dy.half, bias_back, st, dy, db); }
