/* norm.cu: batch normalisation (Ioffe and Szegedy 2015) in NHWC, formulas as in cpu/norm.c.
 *
 * A channel's values of one group are `rows` numbers, c apart.  Sums are made in two floors: blocks
 * of 32 channels times 8 lanes each sum a part of the rows and write it down; then one block per 32
 * channels adds the parts in their order, in double.  Parts follow from the shape alone.
 *
 * Variance comes from one look at x: sums of x - s and (x - s)^2 with s the group's first value, so
 * that nothing is lost when the mean is far from 0.
 *
 * saved: mean [groups][c], 1/sqrt(var + eps) [groups][c], parts [groups][parts][2][c]; scratch of the
 * way back: mean of g [groups][c], pull [groups][c], parts the same. */
#include "device.cuh"

enum { WIDE = 32, LANES = 8, ROWS_A_PART = 128, MOST_PARTS = 256 };

static int parts_of(long rows)
{
    const long parts = (rows + ROWS_A_PART - 1) / ROWS_A_PART;
    return parts < 1 ? 1 : parts > MOST_PARTS ? MOST_PARTS : (int)parts;
}

size_t am_gpu_norm_room(int n, int c, int plane, int groups)
{
    const int parts = parts_of((long)(n / groups) * plane);
    return (size_t)groups * (size_t)c * (2 + 2 * (size_t)parts);
}

typedef struct split { int c, plane, parts, per; long rows, part; size_t step; } split;     /* per: samples of a group */

static split split_of(am_view v, int groups)
{
    split s;
    s.c = v.c;
    s.plane = v.h * v.w;
    s.per = v.n / groups;
    s.rows = (long)s.per * s.plane;
    s.parts = parts_of(s.rows);
    s.part = (s.rows + s.parts - 1) / s.parts;
    s.step = v.step;
    return s;
}

static __device__ inline size_t place(const split &s, int group, long row, int ch)
{
    return ((size_t)group * (size_t)s.per + (size_t)(row / s.plane)) * s.step + (size_t)(row % s.plane) * (size_t)s.c + (size_t)ch;
}

/* Add two numbers over the lanes of a block; lane 0 gets the sums. */
static __device__ inline void lanes_sum(double *a, double *b)
{
    __shared__ double pa[LANES][WIDE], pb[LANES][WIDE];
    __syncthreads();
    pa[threadIdx.y][threadIdx.x] = *a;
    pb[threadIdx.y][threadIdx.x] = *b;
    __syncthreads();
    if (threadIdx.y == 0)
        for (int l = 1; l < LANES; l++) *a += pa[l][threadIdx.x], *b += pb[l][threadIdx.x];
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
    lanes_sum(&sum_a, &sum_b);
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

/* The sums of all parts of one group: lane 0 has them. */
static __device__ inline void gather(const split &s, const float *parts, int group, int ch, double *a, double *b)
{
    *a = *b = 0;
    const float *from = parts + (size_t)group * (size_t)s.parts * 2 * (size_t)s.c;
    if (ch < s.c)
        for (int p = (int)threadIdx.y; p < s.parts; p += LANES) {
            *a += (double)from[(size_t)p * 2 * (size_t)s.c + (size_t)ch];
            *b += (double)from[((size_t)p * 2 + 1) * (size_t)s.c + (size_t)ch];
        }
    lanes_sum(a, b);
}

/* finish(channel, group, a, b) is called by one thread of each channel, for one group after another. */
template <class F> static __global__ void finish_kernel(split s, int groups, const float *parts, F finish)
{
    const int ch = (int)(blockIdx.x * WIDE + threadIdx.x);
    for (int group = 0; group < groups; group++) {
        double a, b;
        gather(s, parts, group, ch, &a, &b);
        if (threadIdx.y == 0 && ch < s.c) finish(ch, group, a, b);
    }
}

template <class F> static void finish(am_stream st, split s, int groups, const float *parts, F f)
{
    AM_LAUNCH(finish_kernel, dim3((unsigned)((s.c + WIDE - 1) / WIDE)), dim3(WIDE, LANES), st, s, groups, parts, f);
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
    const double count = (double)s.rows;
    sums(st, s, groups, parts, [=] __device__(size_t at, int ch, int group, float *a, float *b) {
        const float d = load(from, at) - load(from, place(s, group, 0, ch));
        *a += d;
        *b += d * d;
    });
    finish(st, s, groups, parts, [=] __device__(int ch, int group, double a, double b) {
        const double away = a / count, m = (double)load(from, place(s, group, 0, ch)) + away;
        const double spread = b / count - away * away, variance = spread > 0 || spread != spread ? spread : 0;
        mean[group * s.c + ch] = (float)m;
        inverse[group * s.c + ch] = (float)(1 / sqrt(variance + (double)AM_NORM_EPS));
        if (running_mean) running_mean[ch] = (1 - AM_NORM_MOMENTUM) * running_mean[ch] + AM_NORM_MOMENTUM * (float)m;
        if (running_variance)
            running_variance[ch] = (1 - AM_NORM_MOMENTUM) * running_variance[ch] +
                                   AM_NORM_MOMENTUM * (float)(count > 1 ? variance * count / (count - 1) : variance);
    });
    each(st, x.n, view_sample(x), [=] __device__(int n, size_t i) {
        const int ch = (int)(i % (size_t)s.c), k = n / s.per * s.c + ch;
        const size_t at = (size_t)n * s.step + i;
        float v = scale[ch] * inverse[k] * (load(from, at) - mean[k]) + bias[ch];
        if (residual.p) v += load((const T *)residual.p, at);
        store((T *)y.p, at, am_arith_act(act, v));
    });
}
void am_gpu_norm(am_stream st, int groups, am_view x, const float *scale, const float *bias, am_view residual, int act,
                 am_view y, float *saved, float *running_mean, float *running_variance)
{
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
    const double count = (double)s.rows;
    sums(st, s, groups, parts, [=] __device__(size_t at, int ch, int group, float *a, float *b) {
        const float g = (act == AM_LINEAR ? 1 : am_arith_slope(act, load(out, at))) * load(grad, at);
        *a += g;
        *b += g * (load(from, at) - mean[group * s.c + ch]);
    });
    finish(st, s, groups, parts, [=] __device__(int ch, int group, double a, double b) {
        const double with_u = b * (double)inverse[group * s.c + ch];
        mean_g[group * s.c + ch] = (float)(a / count);
        pull[group * s.c + ch] = (float)(with_u / count) * inverse[group * s.c + ch];
        const float beta_s = group ? 1 : dscale.beta, beta_b = group ? 1 : dbias.beta;
        if (dscale.p) dscale.p[ch] = am_arith_give(beta_s, dscale.p[ch], (float)with_u);
        if (dbias.p) dbias.p[ch] = am_arith_give(beta_b, dbias.p[ch], (float)a);
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
void am_gpu_norm_back(am_stream st, int groups, am_view x, const float *scale, int act, am_view y, const float *saved,
                      am_view dy, float *scratch, am_view_grad dx, am_view_grad residual, am_sum dscale, am_sum dbias)
{
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
    lanes_sum(&sum, &none);
    if (threadIdx.y == 0 && ch < s.c) db.p[ch] = am_arith_give(db.beta, db.p[ch], (float)sum);
}

template <class T> static void bias_back(am_stream st, am_view dy, am_sum db)
{
    const split s = split_of(dy, 1);
    AM_LAUNCH(column_kernel<T>, dim3((unsigned)((s.c + WIDE - 1) / WIDE)), dim3(WIDE, LANES), st, s, (const T *)dy.p, db);
}
void am_gpu_bias_back(am_stream st, am_view dy, am_sum db) { BY_TYPE(dy.half, bias_back, st, dy, db); }
