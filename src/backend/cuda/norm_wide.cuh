/* norm_wide.cuh: what the roads of batch normalisation share that take 16 bytes of a row at a time, a line: 8 channels of a
 * 16-bit activation, 4 of a float one.
 *
 * A block is `across` lines wide and as many rows high as its threads make.  Each thread stays with its V channels and walks
 * down the rows, so what a channel needs (mean, scale, ...) is loaded once. */
#ifndef AM_CUDA_NORM_WIDE_CUH
#define AM_CUDA_NORM_WIDE_CUH
#include "norm.cuh"

enum { ACROSS = 8, PARTS_AHEAD = 9 };       /* at most 128 bytes of a row; parts that a thread asks for at once, most often all */

typedef struct block_shape { int across, down, columns; } block_shape;      /* columns: lines in a row */

/* ---- rows ---- */

/* Where row `row` of a group begins; samples without a gap need no division. */
static __device__ inline size_t row_at(const split &s, int group, int row)
{
    const size_t at = (size_t)group * (size_t)s.per * s.step + (size_t)row * (size_t)s.c;
    return s.gap ? at + (size_t)((unsigned)row / (unsigned)s.plane) * s.gap : at;
}

/* The lines of N rows, `stride` apart, all asked for before the first is used; none at or beyond row `last`. */
template <int N, class T>
static __device__ inline void fetch(const T *p, const split &s, int group, int row, int last, int stride, line16 *to)
{
#pragma unroll
    for (int i = 0; i < N; i++)
        if (row + i * stride < last) to[i] = fetch_line(p + row_at(s, group, row + i * stride));
}

/* ---- one line ----
 * ANY: whatever activation; else linear or ReLU, which leave registers for more lines ahead. */

template <bool ANY> static __device__ inline float act_of(int act, float y)
{
    if (ANY) return am_arith_act(act, y);
    return act == AM_RELU ? am_arith_act(AM_RELU, y) : y;
}
template <bool ANY> static __device__ inline float slope_of(int act, float y)
{
    return ANY ? am_arith_slope(act, y) : am_arith_slope(AM_RELU, y);
}

static inline int plain_act(int act) { return act == AM_LINEAR || act == AM_RELU; }

template <int V> struct norm_channels { float by[V], mean[V], bias[V]; };

/* y = act(by (x - mean) + bias + r), r where there is a residual */
template <bool ANY, class T>
static __device__ inline void norm_line(const norm_channels<LINE_OF(T)> &k, int act, const line16 &x, bool residual,
                                        const line16 &beside, T *y)
{
    enum { V = LINE_OF(T) };
    float v[V], r[V];
    spread_line(y, x, v);
    if (residual) spread_line(y, beside, r);
    for (int e = 0; e < V; e++) {
        v[e] = k.by[e] * (v[e] - k.mean[e]) + k.bias[e];
        if (residual) v[e] += r[e];
        v[e] = act_of<ANY>(act, v[e]);
    }
    store_line(y, v);
}

/* g = act'(y) dy */
template <bool ANY, class T> static __device__ inline void slope_line(int act, const line16 &y, const line16 &dy, float *g)
{
    enum { V = LINE_OF(T) };
    spread_line((const T *)0, dy, g);
    if (act == AM_LINEAR) return;
    float out[V];
    spread_line((const T *)0, y, out);
    for (int e = 0; e < V; e++) g[e] *= slope_of<ANY>(act, out[e]);
}

template <class T> static __device__ inline void give_line(T *to, float beta, float *g)
{
    enum { V = LINE_OF(T) };
    if (beta != 0) {
        float before[V];
        load_line(to, before);
        for (int e = 0; e < V; e++) g[e] = beta * before[e] + g[e];
    }
    store_line(to, g);
}

/* The lines of N rows in the three tensors of the way back, from element `from` of a row on; y where the slope needs it. */
template <int N, class T>
static __device__ inline void fetch_back(const back_call &n, const split &s, int group, size_t from, int row, int last,
                                         int stride, line16 *x, line16 *y, line16 *dy)
{
    fetch<N>((const T *)n.dy.p + from, s, group, row, last, stride, dy);
    if (n.act != AM_LINEAR) fetch<N>((const T *)n.y.p + from, s, group, row, last, stride, y);
    fetch<N>((const T *)n.x.p + from, s, group, row, last, stride, x);
}

template <int V> struct back_channels { float by[V], mean[V], mean_g[V], pull[V]; };

/* dx = by (g - mean_g - pull (x - mean)); dresidual = g */
template <class T>
static __device__ inline void back_line(const back_channels<LINE_OF(T)> &k, const back_call &n, size_t at, const line16 &x,
                                        float *g)
{
    enum { V = LINE_OF(T) };
    float v[V];
    if (n.dx.d.p) {
        spread_line((const T *)0, x, v);
        for (int e = 0; e < V; e++) v[e] = k.by[e] * (g[e] - k.mean_g[e] - k.pull[e] * (v[e] - k.mean[e]));
    }
    if (n.residual.d.p) give_line((T *)n.residual.d.p + at, n.residual.beta, g);
    if (n.dx.d.p) give_line((T *)n.dx.d.p + at, n.dx.beta, v);
}

/* ---- sums over a block of N threads ----
 * row: two numbers of each of the thread's channels; the padding spreads a row of threads over the banks.  lane: what
 * `lanes` threads have added for each number. */

template <int N, int V> union sum_room { float row[2 * V][N + ACROSS]; double lane[4 * N]; };

/* total[i] of `wide` numbers, the lanes added in their order */
static __device__ inline double over_lanes(const double *lane, int lanes, int wide, int i)
{
    double sum = 0;
    for (int l = 0; l < lanes; l++) sum += lane[l * wide + i];
    return sum;
}

/* total: [2][across V]: a and b of each channel, over the block's rows. */
template <int N, int V>
static __device__ inline void over_rows(sum_room<N, V> *room, block_shape shape, const float *a, const float *b, double *total)
{
    const int t = (int)threadIdx.x, wide = 2 * V * shape.across, lanes = N / wide, i = t % wide, l = t / wide;
    for (int e = 0; e < V; e++) room->row[e][t] = a[e], room->row[V + e][t] = b[e];
    __syncthreads();
    double sum = 0;
    if (l < lanes)
        for (int row = l; row < shape.down; row += lanes)
            sum += (double)room->row[i / shape.across][row * shape.across + i % shape.across];
    __syncthreads();
    if (l < lanes) room->lane[l * wide + i] = sum;
    __syncthreads();
    if (t < wide) {
        const int which = t / shape.across / V, e = t / shape.across % V, x = t % shape.across;
        total[(which * shape.across + x) * V + e] = over_lanes(room->lane, lanes, wide, t);
    }
    __syncthreads();
}

/* The same of a whole group, from what its blocks have written; see fresh_line.  parts: [parts][2][c], at the block's first
 * channel, of which `left` remain in a row. */
template <int N, int V>
static __device__ inline void over_parts(sum_room<N, V> *room, const split &s, block_shape shape, const float *parts, int left,
                                         double *total)
{
    const int t = (int)threadIdx.x, wide = 2 * V * shape.across, lanes = 4 * N / wide, i = t % (wide / 4) * 4, l = t / (wide / 4);
    const int which = i / (wide / 2), ch = i % (wide / 2);
    double sum[4] = {0, 0, 0, 0};
    for (int first = l; l < lanes && ch < left && first < s.parts; first += PARTS_AHEAD * lanes) {
        float4 v[PARTS_AHEAD];
#pragma unroll
        for (int i = 0; i < PARTS_AHEAD; i++) {
            const int p = first + i * lanes;
            v[i] = fresh_line(parts + ((size_t)(p < s.parts ? p : first) * 2 + (size_t)which) * (size_t)s.c + ch);
        }
#pragma unroll
        for (int i = 0; i < PARTS_AHEAD; i++)
            if (first + i * lanes < s.parts)
                sum[0] += (double)v[i].x, sum[1] += (double)v[i].y, sum[2] += (double)v[i].z, sum[3] += (double)v[i].w;
    }
    if (l < lanes)
        for (int e = 0; e < 4; e++) room->lane[l * wide + i + e] = sum[e];
    __syncthreads();
    if (t < wide) total[t] = over_lanes(room->lane, lanes, wide, t);
    __syncthreads();
}

/* ---- launching ---- */

static inline int fits(const void *p) { return (uintptr_t)p % 16 == 0; }

/* Whole lines of channels, a ticket for each, and rows that are counted in an int. */
static inline int shape_fits(am_view x)
{
    return x.c % (x.half ? 8 : 4) == 0 && x.c <= AM_TICKETS && (long)x.n * x.h * x.w <= 1L << 30;
}

static inline int norm_fits(const norm_call &n)
{
    return shape_fits(n.x) && fits(n.x.p) && fits(n.y.p) && fits(n.residual.p) && fits(n.saved);
}

static inline int back_fits(const back_call &n)
{
    return shape_fits(n.x) && fits(n.x.p) && fits(n.y.p) && fits(n.dy.p) && fits(n.dx.d.p) && fits(n.residual.d.p) &&
           fits(n.saved) && fits(n.scratch);
}
#endif
