/* norm.cuh: what all roads of batch normalisation share: how rows are cut into parts, and the end of a sum.
 *
 * A channel's values of one group are `rows` numbers, c apart.  Sums are made in two floors: blocks each sum
 * a part of the rows and write it down; then one block adds the parts of its channels in their order, in
 * double.  Parts follow from the shape alone.
 *
 * saved: mean [groups][c], 1/sqrt(var + eps) [groups][c], parts [groups][parts][2][c]; scratch of the way
 * back: mean of g [groups][c], pull [groups][c], parts the same. */
#ifndef AM_CUDA_NORM_CUH
#define AM_CUDA_NORM_CUH
#include "device.cuh"

enum { WIDE = 32, LANES = 8, DEEP_LANES = 32, ROWS_A_PART = 32, MOST_PARTS = 256 };

static inline int parts_of(long rows)
{
    const long parts = (rows + ROWS_A_PART - 1) / ROWS_A_PART;
    return parts < 1 ? 1 : parts > MOST_PARTS ? MOST_PARTS : (int)parts;
}

/* per: samples of a group; gap: elements from the last row of a sample to the next sample */
typedef struct split { int c, plane, parts, per; long rows, part; size_t step, gap; } split;

static inline split split_of(am_view v, int groups)
{
    split s;
    s.c = v.c;
    s.plane = v.h * v.w;
    s.per = v.n / groups;
    s.rows = (long)s.per * s.plane;
    s.parts = parts_of(s.rows);
    s.part = (s.rows + s.parts - 1) / s.parts;
    s.step = v.step;
    s.gap = v.step - (size_t)s.plane * (size_t)s.c;
    return s;
}

static __device__ inline size_t place(const split &s, int group, long row, int ch)
{
    return ((size_t)group * (size_t)s.per + (size_t)(row / s.plane)) * s.step + (size_t)(row % s.plane) * (size_t)s.c + (size_t)ch;
}

/* Add two numbers over the L lanes of a block; lane 0 gets the sums. */
template <int L> static __device__ inline void lanes_sum(double *a, double *b)
{
    __shared__ double pa[L][WIDE], pb[L][WIDE];
    __syncthreads();
    pa[threadIdx.y][threadIdx.x] = *a;
    pb[threadIdx.y][threadIdx.x] = *b;
    __syncthreads();
    if (threadIdx.y == 0)
        for (int l = 1; l < L; l++) *a += pa[l][threadIdx.x], *b += pb[l][threadIdx.x];
}

/* The sums of all parts of one group: lane 0 has them. */
static __device__ inline void gather(const split &s, const float *parts, int group, int ch, double *a, double *b)
{
    *a = *b = 0;
    const float *from = parts + (size_t)group * (size_t)s.parts * 2 * (size_t)s.c;
    if (ch < s.c)
        for (int p = (int)threadIdx.y; p < s.parts; p += DEEP_LANES) {
            *a += (double)from[(size_t)p * 2 * (size_t)s.c + (size_t)ch];
            *b += (double)from[((size_t)p * 2 + 1) * (size_t)s.c + (size_t)ch];
        }
    lanes_sum<DEEP_LANES>(a, b);
}

/* finish(channel, group, a, b) is called by one thread of each channel, for one group after another. */
template <class F>
static __global__ void __launch_bounds__(WIDE * DEEP_LANES) finish_kernel(split s, int groups, const float *parts, F finish)
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
    AM_LAUNCH(finish_kernel, dim3((unsigned)((s.c + WIDE - 1) / WIDE)), dim3(WIDE, DEEP_LANES), st, s, groups, parts, f);
}

/* ---- what the sums become, the same for all roads ----
 * settle: what the group's own rows need.  follow: what all groups add to, in their order. */

typedef struct outcome { float first, second; } outcome;    /* mean, unbiased variance; back: what dscale and dbias get */

/* b is the sum of (x - first)^2, a that of x - first, over `rows` values. */
typedef struct norm_end { float *mean, *inverse, *running_mean, *running_variance; } norm_end;

static __device__ inline outcome norm_settle(norm_end to, const split &s, int ch, int group, double first, double a, double b)
{
    const double count = (double)s.rows, away = a / count, m = first + away;
    const double spread = b / count - away * away, variance = spread > 0 || spread != spread ? spread : 0;
    to.mean[group * s.c + ch] = (float)m;
    to.inverse[group * s.c + ch] = (float)(1 / sqrt(variance + (double)AM_NORM_EPS));
    return outcome{(float)m, (float)(count > 1 ? variance * count / (count - 1) : variance)};
}

static __device__ inline void norm_follow(norm_end to, int ch, outcome o)
{
    if (to.running_mean) to.running_mean[ch] = (1 - AM_NORM_MOMENTUM) * to.running_mean[ch] + AM_NORM_MOMENTUM * o.first;
    if (to.running_variance)
        to.running_variance[ch] = (1 - AM_NORM_MOMENTUM) * to.running_variance[ch] + AM_NORM_MOMENTUM * o.second;
}

static __device__ inline void norm_finish(norm_end to, const split &s, int ch, int group, double first, double a, double b)
{
    norm_follow(to, ch, norm_settle(to, s, ch, group, first, a, b));
}

/* a is the sum of g, b that of g (x - mean). */
typedef struct back_end { float *mean_g, *pull; const float *inverse; am_sum dscale, dbias; } back_end;

static __device__ inline outcome back_settle(back_end to, const split &s, int ch, int group, double a, double b)
{
    const int k = group * s.c + ch;
    const double count = (double)s.rows, with_u = b * (double)to.inverse[k];
    to.mean_g[k] = (float)(a / count);
    to.pull[k] = (float)(with_u / count) * to.inverse[k];
    return outcome{(float)with_u, (float)a};
}

static __device__ inline void back_follow(back_end to, int ch, int group, outcome o)
{
    if (to.dscale.p) to.dscale.p[ch] = am_arith_give(group ? 1 : to.dscale.beta, to.dscale.p[ch], o.first);
    if (to.dbias.p) to.dbias.p[ch] = am_arith_give(group ? 1 : to.dbias.beta, to.dbias.p[ch], o.second);
}

static __device__ inline void back_finish(back_end to, const split &s, int ch, int group, double a, double b)
{
    back_follow(to, ch, group, back_settle(to, s, ch, group, a, b));
}

/* norm_wide.cu, norm_slice.cu: 16 bytes at a time, where the channels allow it; 0: not here */
typedef struct norm_call {
    int groups, act;
    am_view x, y, residual;
    const float *scale, *bias;
    float *saved;
    unsigned *tickets;
    norm_end end;
} norm_call;
typedef struct back_call {
    int groups, act;
    am_view x, y, dy;
    am_view_grad dx, residual;
    const float *scale, *saved;
    float *scratch;
    unsigned *tickets;
    back_end end;
} back_call;
int norm_wide(am_stream, const norm_call &);
int norm_back_wide(am_stream, const back_call &);
int norm_slice(am_stream, const norm_call &);
int norm_back_slice(am_stream, const back_call &);
#endif
