/* norm_wide.cu: batch normalisation of large tensors in two kernels: one for the sums, one that applies what they say.
 *
 * Each block of the first writes down its part of the sums; the last block of a column of blocks adds all parts and
 * finishes its channels, group after group.  Both kernels read x (back: x, y and dy); the second look mostly finds
 * them in the L2 cache. */
#include "norm_wide.cuh"

/* Threads of a block that sums and of one that applies; lines of a tensor that a thread asks for before it uses the first. */
enum { SUM = 512, SUM_AHEAD = 8, BACK_SUM_AHEAD = 4, APPLY = 256, APPLY_AHEAD = 4, BACK_APPLY_AHEAD = 2 };
/* Multiprocessors of a large device, and blocks that apply that one of them holds at once. */
enum { DEVICE = 132, ON_ONE = 3 };

template <class T> static block_shape shape_of(int c, int threads)
{
    block_shape b;
    b.columns = c / LINE_OF(T);
    b.across = b.columns < ACROSS ? b.columns : ACROSS;
    b.down = threads / b.across;
    return b;
}

/* The thread's column of lines; false for threads beyond the last one. */
static __device__ inline bool mine(block_shape shape, int *column, int *ty)
{
    *ty = (int)threadIdx.x / shape.across;
    *column = (int)blockIdx.x * shape.across + (int)threadIdx.x % shape.across;
    return *ty < shape.down && *column < shape.columns;
}

/* ---- sums ---- */

/* The block's sums become part blockIdx.y of its group: parts [groups][parts][2][c]. */
template <int V> static __device__ inline void write_part(const split &s, block_shape shape, const double *total, float *parts)
{
    const int t = (int)threadIdx.x, wide = V * shape.across, which = t / wide, ch = (int)blockIdx.x * wide + t % wide;
    float *part = parts + ((size_t)blockIdx.z * (size_t)s.parts + blockIdx.y) * 2 * (size_t)s.c;
    if (which < 2 && ch < s.c) part[which * s.c + ch] = (float)total[t];
}

/* Writes a part; in the last block finish(channel, group, a, b) is called for each of its channels, for one group after
 * another. */
template <int V, class F>
static __device__ inline void finish_sums(const split &s, block_shape shape, int groups, const float *a, const float *b,
                                          float *parts, unsigned *tickets, F finish)
{
    __shared__ sum_room<SUM, V> room;
    __shared__ double total[2 * V * ACROSS];
    const int t = (int)threadIdx.x, wide = V * shape.across, first = (int)blockIdx.x * wide;
    over_rows(&room, shape, a, b, total);
    write_part<V>(s, shape, total, parts);
    if (!last_block(tickets + blockIdx.x, gridDim.y * gridDim.z)) return;
    for (int group = 0; group < groups; group++) {
        over_parts(&room, s, shape, parts + (size_t)group * (size_t)s.parts * 2 * (size_t)s.c + first, s.c - first, total);
        if (t < wide && first + t < s.c) finish(first + t, group, total[t], total[wide + t]);
    }
}

/* The block's rows begin and end here. */
static __device__ inline int first_of(const split &s) { return (int)blockIdx.y * (int)s.part; }
static __device__ inline int last_of(const split &s)
{
    const int last = first_of(s) + (int)s.part;
    return last < (int)s.rows ? last : (int)s.rows;
}

template <class T>
static __global__ void __launch_bounds__(SUM) sums_kernel(split s, block_shape shape, norm_call n, float *parts)
{
    enum { V = LINE_OF(T) };
    const T *x = (const T *)n.x.p;
    const int last = last_of(s);
    const int own = (int)blockIdx.z;
    float a[V] = {0}, b[V] = {0}, base[V], v[V];
    int column, ty;
    if (mine(shape, &column, &ty)) {
        const T *from = x + (size_t)column * V;
        const line16 first = fetch_line(from + row_at(s, own, 0));
        for (int row = first_of(s) + ty; row < last; row += SUM_AHEAD * shape.down) {
            line16 lines[SUM_AHEAD];
            fetch<SUM_AHEAD>(from, s, own, row, last, shape.down, lines);
            spread_line(x, first, base);
#pragma unroll
            for (int i = 0; i < SUM_AHEAD; i++) {
                if (row + i * shape.down >= last) continue;
                spread_line(x, lines[i], v);
                for (int e = 0; e < V; e++) {
                    const float d = v[e] - base[e];
                    a[e] += d;
                    b[e] += d * d;
                }
            }
        }
    }
    finish_sums<V>(s, shape, n.groups, a, b, parts, n.tickets, [=] __device__(int ch, int group, double sum, double squares) {
        norm_finish(n.end, s, ch, group, (double)load(x, place(s, group, 0, ch)), sum, squares);
    });
}

template <class T, bool ANY>
static __global__ void __launch_bounds__(SUM) back_sums_kernel(split s, block_shape shape, back_call n, float *parts)
{
    enum { V = LINE_OF(T), MANY = ANY ? 1 : BACK_SUM_AHEAD };
    const int last = last_of(s);
    const int own = (int)blockIdx.z;
    float a[V] = {0}, b[V] = {0}, mean[V], g[V], v[V];
    int column, ty;
    if (mine(shape, &column, &ty)) {
        const size_t from = (size_t)column * V;
        for (int e = 0; e < V; e += 4) load_line(n.saved + own * s.c + column * V + e, mean + e);
        for (int row = first_of(s) + ty; row < last; row += MANY * shape.down) {
            line16 x[MANY], y[MANY], dy[MANY];
            fetch_back<MANY, T>(n, s, own, from, row, last, shape.down, x, y, dy);
#pragma unroll
            for (int i = 0; i < MANY; i++) {
                if (row + i * shape.down >= last) continue;
                slope_line<ANY, T>(n.act, y[i], dy[i], g);
                spread_line((const T *)0, x[i], v);
                for (int e = 0; e < V; e++) {
                    a[e] += g[e];
                    b[e] += g[e] * (v[e] - mean[e]);
                }
            }
        }
    }
    finish_sums<V>(s, shape, n.groups, a, b, parts, n.tickets, [=] __device__(int ch, int group, double sum, double with_x) {
        back_finish(n.end, s, ch, group, sum, with_x);
    });
}

/* ---- applying them ---- */

template <class T, bool ANY>
static __global__ void __launch_bounds__(APPLY, ON_ONE) apply_kernel(split s, block_shape shape, norm_call n)
{
    enum { V = LINE_OF(T), MANY = ANY ? 1 : APPLY_AHEAD };
    const int last = last_of(s);
    const int own = (int)blockIdx.z, step = MANY * shape.down;
    int column, ty;
    if (!mine(shape, &column, &ty)) return;
    const T *from = (const T *)n.x.p + (size_t)column * V, *beside = (const T *)n.residual.p + (size_t)column * V;
    int row = first_of(s) + ty;
    line16 x[MANY], r[MANY];
    fetch<MANY>(from, s, own, row, last, shape.down, x);
    if (n.residual.p) fetch<MANY>(beside, s, own, row, last, shape.down, r);
    norm_channels<V> k;
    for (int e = 0; e < V; e += 4) {
        load_line(n.end.inverse + own * s.c + column * V + e, k.by + e);
        load_line(n.end.mean + own * s.c + column * V + e, k.mean + e);
    }
    for (int e = 0; e < V; e++) k.by[e] *= n.scale[column * V + e], k.bias[e] = n.bias[column * V + e];
    for (; row < last; row += step) {
#pragma unroll
        for (int i = 0; i < MANY; i++)
            if (row + i * shape.down < last)
                norm_line<ANY>(k, n.act, x[i], n.residual.p, r[i],
                               (T *)n.y.p + row_at(s, own, row + i * shape.down) + (size_t)column * V);
        fetch<MANY>(from, s, own, row + step, last, shape.down, x);
        if (n.residual.p) fetch<MANY>(beside, s, own, row + step, last, shape.down, r);
    }
}

template <class T, bool ANY>
static __global__ void __launch_bounds__(APPLY, ON_ONE) back_apply_kernel(split s, block_shape shape, back_call n)
{
    enum { V = LINE_OF(T), MANY = ANY ? 1 : BACK_APPLY_AHEAD };
    const int last = last_of(s);
    const int own = (int)blockIdx.z, step = MANY * shape.down;
    int column, ty;
    if (!mine(shape, &column, &ty)) return;
    const size_t from = (size_t)column * V;
    int row = first_of(s) + ty;
    line16 x[MANY], y[MANY], dy[MANY];
    fetch_back<MANY, T>(n, s, own, from, row, last, shape.down, x, y, dy);
    back_channels<V> k;
    for (int e = 0; e < V; e += 4) {
        const int at = own * s.c + column * V + e;
        load_line(n.end.inverse + at, k.by + e);
        load_line(n.saved + at, k.mean + e);
        load_line(n.end.mean_g + at, k.mean_g + e);
        load_line(n.end.pull + at, k.pull + e);
    }
    for (int e = 0; e < V; e++) k.by[e] *= n.scale[column * V + e];
    for (; row < last; row += step) {
#pragma unroll
        for (int i = 0; i < MANY; i++) {
            if (row + i * shape.down >= last) continue;
            float g[V];
            slope_line<ANY, T>(n.act, y[i], dy[i], g);
            back_line<T>(k, n, row_at(s, own, row + i * shape.down) + from, x[i], g);
        }
        fetch_back<MANY, T>(n, s, own, from, row + step, last, shape.down, x, y, dy);
    }
}

/* ---- launching ---- */

static long quotient_up(long n, long by) { return (n + by - 1) / by; }

static dim3 grid_of(const split &s, block_shape b, int groups)
{
    return dim3((unsigned)quotient_up(b.columns, b.across), (unsigned)s.parts, (unsigned)groups);
}

/* A block on each multiprocessor, and no more parts than there is room for. */
static split for_sums(split s, block_shape b, int groups)
{
    const long parts = DEVICE / (quotient_up(b.columns, b.across) * groups);
    if (parts < s.parts) s.parts = parts < 1 ? 1 : (int)parts;
    s.part = quotient_up(s.rows, s.parts);
    return s;
}

/* A block's rows in whole fetches, as many as leave no more blocks than run at once. */
static split for_applying(split s, block_shape b, int groups, int ahead)
{
    const long once = (long)b.down * ahead, blocks = quotient_up(s.rows, once) * quotient_up(b.columns, b.across) * groups;
    s.part = once * quotient_up(blocks, ON_ONE * DEVICE);
    s.parts = (int)quotient_up(s.rows, s.part);
    return s;
}

template <class T> static int forward(am_stream st, const norm_call &given)
{
    const norm_call n = given;
    const block_shape tall = shape_of<T>(n.x.c, SUM), b = shape_of<T>(n.x.c, APPLY);
    const split sums = for_sums(split_of(n.x, n.groups), tall, n.groups);
    const split s = for_applying(sums, b, n.groups, APPLY_AHEAD);
    float *parts = n.saved + 2 * (size_t)n.groups * (size_t)n.x.c;
    AM_LAUNCH(sums_kernel<T>, grid_of(sums, tall, n.groups), dim3(SUM), st, sums, tall, n, parts);
    if (plain_act(n.act)) AM_LAUNCH((apply_kernel<T, false>), grid_of(s, b, n.groups), dim3(APPLY), st, s, b, n);
    else AM_LAUNCH((apply_kernel<T, true>), grid_of(s, b, n.groups), dim3(APPLY), st, s, b, n);
    return 1;
}

int norm_wide(am_stream st, const norm_call &n) { return norm_fits(n) && BY_TYPE(n.x.half, forward, st, n); }

template <class T, bool ANY> static void backward_with(am_stream st, const back_call &given)
{
    const back_call n = given;
    const block_shape tall = shape_of<T>(n.x.c, SUM), b = shape_of<T>(n.x.c, APPLY);
    const split sums = for_sums(split_of(n.x, n.groups), tall, n.groups);
    const split s = for_applying(sums, b, n.groups, BACK_APPLY_AHEAD);
    float *parts = n.scratch + 2 * (size_t)n.groups * (size_t)n.x.c;
    AM_LAUNCH((back_sums_kernel<T, ANY>), grid_of(sums, tall, n.groups), dim3(SUM), st, sums, tall, n, parts);
    if (!n.dx.d.p && !n.residual.d.p) return;
    AM_LAUNCH((back_apply_kernel<T, ANY>), grid_of(s, b, n.groups), dim3(APPLY), st, s, b, n);
}

template <class T> static int backward(am_stream st, const back_call &n)
{
    if (plain_act(n.act)) backward_with<T, false>(st, n);
    else backward_with<T, true>(st, n);
    return 1;
}

int norm_back_wide(am_stream st, const back_call &n) { return back_fits(n) && BY_TYPE(n.x.half, backward, st, n); }
