/* norm_slice.cu: batch normalisation of small tensors in one kernel: a block does all rows of a group for one line of channels,
 * and keeps what it has read in registers until the sums are known.
 *
 * A group's statistics need no other block.  What all groups add to (running statistics, dscale, dbias) is done by whichever
 * block of a slice ends last, group after group. */
#include "norm_wide.cuh"

/* Threads of a block; lines that a thread keeps, as many as its 128 registers hold.  Back there are three tensors to keep. */
enum { TALL = 512, FEW = 4, MANY = 14 };

static __device__ inline block_shape slice_shape() { return block_shape{1, TALL, 1}; }

/* f(group, outcome) for each group in its order, by the last of a channel's threads; outcomes: [groups][c], this launch's own. */
template <class F>
static __device__ inline void in_order(const split &s, int groups, int ch, outcome own, outcome *outcomes, unsigned *tickets, F f)
{
    if (groups == 1) {
        f(0, own);
        return;
    }
    outcomes[(size_t)blockIdx.y * (size_t)s.c + (size_t)ch] = own;
    if (!last_thread(tickets + ch, (unsigned)groups)) return;
    for (int group = 0; group < groups; group++) {
        const volatile outcome *o = outcomes + (size_t)group * (size_t)s.c + (size_t)ch;
        f(group, outcome{o->first, o->second});
    }
}

/* ---- forward ---- */

template <class T, int KEPT>
static __global__ void __launch_bounds__(TALL) slice_kernel(split s, norm_call n, outcome *outcomes)
{
    enum { V = LINE_OF(T), BESIDE = KEPT > FEW ? 2 : FEW };     /* BESIDE: lines of the residual that it asks for at once */
    __shared__ sum_room<TALL, V> room;
    __shared__ double total[2 * V];
    __shared__ norm_channels<V> channels;
    const int t = (int)threadIdx.x, own = (int)blockIdx.y, ch = (int)blockIdx.x * V + t;
    const size_t column = (size_t)blockIdx.x * V;
    const T *x = (const T *)n.x.p;
    line16 kept[KEPT], first;
    fetch<KEPT>(x + column, s, own, t, (int)s.rows, TALL, kept);
    first = fetch_line(x + column + row_at(s, own, 0));
    float a[V] = {0}, b[V] = {0}, base[V], v[V], scale = 0, bias = 0;
    if (t < V) scale = n.scale[ch], bias = n.bias[ch];
    spread_line(x, first, base);
#pragma unroll
    for (int i = 0; i < KEPT; i++) {
        if (t + i * TALL >= s.rows) continue;
        spread_line(x, kept[i], v);
        for (int e = 0; e < V; e++) {
            const float d = v[e] - base[e];
            a[e] += d;
            b[e] += d * d;
        }
    }
    over_rows(&room, slice_shape(), a, b, total);
    outcome o = {0, 0};
    if (t < V) {
        o = norm_settle(n.end, s, ch, own, (double)load(x, place(s, own, 0, ch)), total[t], total[V + t]);
        channels.by[t] = scale * n.end.inverse[own * s.c + ch];
        channels.mean[t] = n.end.mean[own * s.c + ch];
        channels.bias[t] = bias;
    }
    __syncthreads();
    const norm_channels<V> k = channels;
#pragma unroll
    for (int i = 0; i < KEPT; i += BESIDE) {
        line16 r[BESIDE];
        if (n.residual.p) fetch<BESIDE>((const T *)n.residual.p + column, s, own, t + i * TALL, (int)s.rows, TALL, r);
#pragma unroll
        for (int j = 0; j < BESIDE; j++) {
            const int row = t + (i + j) * TALL;
            if (row < s.rows)
                norm_line<false>(k, n.act, kept[i + j], n.residual.p, r[j], (T *)n.y.p + row_at(s, own, row) + column);
        }
    }
    if (t < V) in_order(s, n.groups, ch, o, outcomes, n.tickets, [=] __device__(int, outcome of) { norm_follow(n.end, ch, of); });
}

template <class T> static int forward(am_stream st, const norm_call &given)
{
    const norm_call n = given;
    const split s = split_of(n.x, n.groups);
    if (s.rows > (long)MANY * TALL) return 0;
    const dim3 grid((unsigned)(s.c / LINE_OF(T)), (unsigned)n.groups);
    outcome *outcomes = (outcome *)(void *)(n.saved + 2 * (size_t)n.groups * (size_t)s.c);
    if (s.rows <= (long)FEW * TALL) AM_LAUNCH((slice_kernel<T, FEW>), grid, dim3(TALL), st, s, n, outcomes);
    else AM_LAUNCH((slice_kernel<T, MANY>), grid, dim3(TALL), st, s, n, outcomes);
    return 1;
}

int norm_slice(am_stream st, const norm_call &n)
{
    return norm_fits(n) && plain_act(n.act) && BY_TYPE(n.x.half, forward, st, n);
}

/* ---- backward ---- */

template <class T> static __global__ void __launch_bounds__(TALL) back_slice_kernel(split s, back_call n, outcome *outcomes)
{
    enum { V = LINE_OF(T) };
    __shared__ sum_room<TALL, V> room;
    __shared__ double total[2 * V];
    __shared__ back_channels<V> channels;
    const int t = (int)threadIdx.x, own = (int)blockIdx.y, ch = (int)blockIdx.x * V + t;
    const size_t column = (size_t)blockIdx.x * V;
    line16 x[FEW], y[FEW], dy[FEW];
    fetch_back<FEW, T>(n, s, own, column, t, (int)s.rows, TALL, x, y, dy);
    float a[V] = {0}, b[V] = {0}, mean[V], v[V], g[V], scale = 0;
    for (int e = 0; e < V; e += 4) load_line(n.saved + (size_t)own * (size_t)s.c + column + e, mean + e);
    if (t < V) scale = n.scale[ch];
#pragma unroll
    for (int i = 0; i < FEW; i++) {
        if (t + i * TALL >= s.rows) continue;
        slope_line<false, T>(n.act, y[i], dy[i], g);
        spread_line((const T *)0, x[i], v);
        for (int e = 0; e < V; e++) {
            a[e] += g[e];
            b[e] += g[e] * (v[e] - mean[e]);
        }
    }
    over_rows(&room, slice_shape(), a, b, total);
    outcome o = {0, 0};
    if (t < V) {
        const int k = own * s.c + ch;
        o = back_settle(n.end, s, ch, own, total[t], total[V + t]);
        channels.by[t] = scale * n.end.inverse[k];
        channels.mean[t] = n.saved[k];
        channels.mean_g[t] = n.end.mean_g[k];
        channels.pull[t] = n.end.pull[k];
    }
    __syncthreads();
    const back_channels<V> k = channels;
#pragma unroll
    for (int i = 0; i < FEW; i++) {
        const int row = t + i * TALL;
        if (row >= s.rows) continue;
        slope_line<false, T>(n.act, y[i], dy[i], g);
        back_line<T>(k, n, row_at(s, own, row) + column, x[i], g);
    }
    if (t < V)
        in_order(s, n.groups, ch, o, outcomes, n.tickets, [=] __device__(int group, outcome of) {
            back_follow(n.end, ch, group, of);
        });
}

template <class T> static int backward(am_stream st, const back_call &given)
{
    const back_call n = given;
    const split s = split_of(n.x, n.groups);
    if (s.rows > (long)FEW * TALL) return 0;
    outcome *outcomes = (outcome *)(void *)(n.scratch + 2 * (size_t)n.groups * (size_t)s.c);
    AM_LAUNCH((back_slice_kernel<T>), dim3((unsigned)(s.c / LINE_OF(T)), (unsigned)n.groups), dim3(TALL), st, s, n, outcomes);
    return 1;
}

int norm_back_slice(am_stream st, const back_call &n)
{
    return back_fits(n) && plain_act(n.act) && BY_TYPE(n.x.half, backward, st, n);
}
