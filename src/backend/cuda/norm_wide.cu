/* norm_wide.cu: batch normalisation, 16 bytes at a time: 8 channels of a 16-bit activation, 4 of a float one.
 *
 * A block is `across` vectors wide (at most 32) and as many rows high as 256 threads make.  Each thread
 * stays with its channels and walks down the rows, so what a channel needs (mean, scale, ...) is loaded
 * once.  Forward: x is read for the sums and again to be normalised; back: x, y and dy twice.  The second
 * look mostly finds them in the L2 cache.
 *
 * Taken where c is a multiple of the vector and all addresses are multiples of 16 bytes. */
#include "norm.cuh"

enum { THREADS = 256, ACROSS = 32, DOWN = 4 };

typedef struct block_shape { int across, down, columns; } block_shape;      /* columns: vectors in a row */

template <class T> static block_shape shape_of(int c)
{
    block_shape b;
    b.columns = c / LINE_OF(T);
    b.across = b.columns < ACROSS ? b.columns : ACROSS;
    b.down = THREADS / b.across;
    return b;
}

/* Where row `row` of a group begins; samples without a gap need no division. */
static __device__ inline size_t row_at(const split &s, int group, long row)
{
    if (s.step == (size_t)s.plane * (size_t)s.c) return ((size_t)group * (size_t)s.rows + (size_t)row) * (size_t)s.c;
    return place(s, group, row, 0);
}

/* Two sums of each of the thread's V channels, over the block's rows, written down as part blockIdx.y. */
template <int V> static __device__ inline void write_part(const split &s, block_shape shape, const float *a, const float *b, float *parts)
{
    __shared__ float sum[THREADS * 2 * V];
    const int wide = shape.across * V, column = (int)blockIdx.x * shape.across * V;
    const int tx = (int)threadIdx.x % shape.across, ty = (int)threadIdx.x / shape.across;
    if (ty < shape.down)
        for (int e = 0; e < V; e++) {
            sum[(ty * 2) * wide + tx * V + e] = a[e];
            sum[(ty * 2 + 1) * wide + tx * V + e] = b[e];
        }
    __syncthreads();
    for (int i = (int)threadIdx.x; i < 2 * wide; i += THREADS) {
        const int which = i / wide, ch = column + i % wide;
        double total = 0;
        for (int row = 0; row < shape.down; row++) total += (double)sum[(row * 2 + which) * wide + i % wide];
        if (ch < s.c) parts[(((size_t)blockIdx.z * (size_t)s.parts + blockIdx.y) * 2 + (size_t)which) * (size_t)s.c + (size_t)ch] = (float)total;
    }
}

/* The thread's vector of columns; false for threads beyond the last one. */
static __device__ inline bool mine(block_shape shape, int *column, int *ty)
{
    *ty = (int)threadIdx.x / shape.across;
    *column = (int)blockIdx.x * shape.across + (int)threadIdx.x % shape.across;
    return *ty < shape.down && *column < shape.columns;
}

/* ---- forward ---- */

template <class T> static __global__ void __launch_bounds__(THREADS) sums_kernel(split s, block_shape shape, const T *x, float *parts)
{
    enum { V = LINE_OF(T) };
    const long first = (long)blockIdx.y * s.part, last = first + s.part < s.rows ? first + s.part : s.rows;
    const int group = (int)blockIdx.z;
    float a[V] = {0}, b[V] = {0}, base[V], v[V];
    int column, ty;
    if (mine(shape, &column, &ty)) {
        load_line(x + row_at(s, group, 0) + (size_t)column * V, base);
#pragma unroll 4
        for (long row = first + ty; row < last; row += shape.down) {
            load_line(x + row_at(s, group, row) + (size_t)column * V, v);
            for (int e = 0; e < V; e++) {
                const float d = v[e] - base[e];
                a[e] += d;
                b[e] += d * d;
            }
        }
    }
    write_part<V>(s, shape, a, b, parts);
}

template <class T>
static __global__ void __launch_bounds__(THREADS) apply_kernel(split s, block_shape shape, norm_call n)
{
    enum { V = LINE_OF(T) };
    const int group = (int)blockIdx.z;
    int column, ty;
    if (!mine(shape, &column, &ty)) return;
    float by[V], mean[V], bias[V], v[V], r[V];
    for (int e = 0; e < V; e++) {
        const int ch = column * V + e, k = group * s.c + ch;
        by[e] = n.scale[ch] * n.end.inverse[k];
        mean[e] = n.end.mean[k];
        bias[e] = n.bias[ch];
    }
    const long first = (long)blockIdx.y * shape.down * DOWN + ty;
#pragma unroll
    for (int i = 0; i < DOWN; i++) {
        const long row = first + (long)i * shape.down;
        if (row >= s.rows) break;
        const size_t at = row_at(s, group, row) + (size_t)column * V;
        load_line((const T *)n.x.p + at, v);
        if (n.residual.p) load_line((const T *)n.residual.p + at, r);
        for (int e = 0; e < V; e++) {
            float y = by[e] * (v[e] - mean[e]) + bias[e];
            if (n.residual.p) y += r[e];
            v[e] = n.act == AM_RELU ? am_arith_act(AM_RELU, y) : am_arith_act(n.act, y);
        }
        store_line((T *)n.y.p + at, v);
    }
}

/* ---- backward ---- */

template <int V> static __device__ inline void through_act(int act, const float *y, float *g)
{
    if (act == AM_LINEAR) return;
    for (int e = 0; e < V; e++) g[e] *= act == AM_RELU ? am_arith_slope(AM_RELU, y[e]) : am_arith_slope(act, y[e]);
}

template <class T> static __global__ void __launch_bounds__(THREADS) back_sums_kernel(split s, block_shape shape, back_call n, float *parts)
{
    enum { V = LINE_OF(T) };
    const long first = (long)blockIdx.y * s.part, last = first + s.part < s.rows ? first + s.part : s.rows;
    const int group = (int)blockIdx.z;
    float a[V] = {0}, b[V] = {0}, mean[V], x[V], y[V], g[V];
    int column, ty;
    if (mine(shape, &column, &ty)) {
        for (int e = 0; e < V; e++) mean[e] = n.saved[group * s.c + column * V + e];
#pragma unroll 2
        for (long row = first + ty; row < last; row += shape.down) {
            const size_t at = row_at(s, group, row) + (size_t)column * V;
            load_line((const T *)n.dy.p + at, g);
            if (n.act != AM_LINEAR) load_line((const T *)n.y.p + at, y);
            load_line((const T *)n.x.p + at, x);
            through_act<V>(n.act, y, g);
            for (int e = 0; e < V; e++) {
                a[e] += g[e];
                b[e] += g[e] * (x[e] - mean[e]);
            }
        }
    }
    write_part<V>(s, shape, a, b, parts);
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

template <class T>
static __global__ void __launch_bounds__(THREADS) back_apply_kernel(split s, block_shape shape, back_call n)
{
    enum { V = LINE_OF(T) };
    const int group = (int)blockIdx.z;
    int column, ty;
    if (!mine(shape, &column, &ty)) return;
    float by[V], mean[V], mean_g[V], pull[V], x[V], y[V], g[V], d[V];
    for (int e = 0; e < V; e++) {
        const int ch = column * V + e, k = group * s.c + ch;
        by[e] = n.scale[ch] * n.end.inverse[k];
        mean[e] = n.saved[k];
        mean_g[e] = n.end.mean_g[k];
        pull[e] = n.end.pull[k];
    }
    const long first = (long)blockIdx.y * shape.down * DOWN + ty;
    for (int i = 0; i < DOWN; i++) {
        const long row = first + (long)i * shape.down;
        if (row >= s.rows) break;
        const size_t at = row_at(s, group, row) + (size_t)column * V;
        load_line((const T *)n.dy.p + at, g);
        if (n.act != AM_LINEAR) load_line((const T *)n.y.p + at, y);
        if (n.dx.d.p) load_line((const T *)n.x.p + at, x);
        through_act<V>(n.act, y, g);
        if (n.dx.d.p)
            for (int e = 0; e < V; e++) d[e] = by[e] * (g[e] - mean_g[e] - pull[e] * (x[e] - mean[e]));
        if (n.residual.d.p) give_line((T *)n.residual.d.p + at, n.residual.beta, g);
        if (n.dx.d.p) give_line((T *)n.dx.d.p + at, n.dx.beta, d);
    }
}

/* ---- launching ---- */

static int fits(am_view v) { return !v.p || (uintptr_t)v.p % 16 == 0; }

static dim3 grid_of(const split &s, block_shape b, long rows_a_block, int groups)
{
    return dim3((unsigned)((b.columns + b.across - 1) / b.across), (unsigned)((s.rows + rows_a_block - 1) / rows_a_block), (unsigned)groups);
}

template <class T> static int forward(am_stream st, const norm_call &given)
{
    const norm_call n = given;
    const split s = split_of(n.x, n.groups);
    const block_shape b = shape_of<T>(s.c);
    const dim3 grid = grid_of(s, b, (long)b.down * DOWN, n.groups);
    if (grid.y > 65535) return 0;
    float *parts = n.saved + 2 * (size_t)n.groups * (size_t)s.c;
    AM_LAUNCH(sums_kernel<T>, grid_of(s, b, s.part, n.groups), dim3(THREADS), st, s, b, (const T *)n.x.p, parts);
    const T *x = (const T *)n.x.p;
    finish(st, s, n.groups, parts, [=] __device__(int ch, int group, double sum, double squares) {
        norm_finish(n.end, s, ch, group, (double)load(x, place(s, group, 0, ch)), sum, squares);
    });
    AM_LAUNCH(apply_kernel<T>, grid, dim3(THREADS), st, s, b, n);
    return 1;
}

int norm_wide(am_stream st, const norm_call &n)
{
    if (n.x.c % (n.x.half ? 8 : 4) || !fits(n.x) || !fits(n.y) || !fits(n.residual)) return 0;
    return BY_TYPE(n.x.half, forward, st, n);
}

template <class T> static int backward(am_stream st, const back_call &given)
{
    const back_call n = given;
    const split s = split_of(n.x, n.groups);
    const block_shape b = shape_of<T>(s.c);
    const dim3 grid = grid_of(s, b, (long)b.down * DOWN, n.groups);
    if (grid.y > 65535) return 0;
    float *parts = n.scratch + 2 * (size_t)n.groups * (size_t)s.c;
    AM_LAUNCH(back_sums_kernel<T>, grid_of(s, b, s.part, n.groups), dim3(THREADS), st, s, b, n, parts);
    finish(st, s, n.groups, parts, [=] __device__(int ch, int group, double a, double with_x) {
        back_finish(n.end, s, ch, group, a, with_x);
    });
    if (n.dx.d.p || n.residual.d.p) AM_LAUNCH(back_apply_kernel<T>, grid, dim3(THREADS), st, s, b, n);
    return 1;
}

int norm_back_wide(am_stream st, const back_call &n)
{
    if (n.x.c % (n.x.half ? 8 : 4) || !fits(n.x) || !fits(n.y) || !fits(n.dy) || !fits(n.dx.d) || !fits(n.residual.d)) return 0;
    return BY_TYPE(n.x.half, backward, st, n);
}
