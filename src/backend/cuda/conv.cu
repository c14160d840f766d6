/* conv.cu: the convolution as a product over gathered numbers, one obvious index per formula; and
 * weights on their way between Darknet's order and cuDNN's.
 *
 * These products serve every geometry in every element type; cuDNN takes over where it has an engine. */
#include "device.cuh"

/* Places of number k of a window of one group, k = (channel * size + row) * size + column. */
typedef struct window { int channel, row, column; } window;
static __device__ inline window window_of(int k, int size)
{
    window w;
    w.column = k % size;
    w.row = k / size % size;
    w.channel = k / (size * size);
    return w;
}

/* ---- plain [filters][per][taps] to cuDNN's [filters][taps][per], per = c / groups, and the gradient back ----
 * A filter's numbers lie together in both.  A block turns a slice of a filter's channels over in shared memory, so
 * that it reads and writes in order.  A window has at most TURN numbers: a cfg's size ends at 31. */

enum { TURNERS = 256, SLICE = 128, TURN = 4096 };

typedef struct slices { int per, taps, slice; } slices;

static __device__ inline int slice_of(slices s, int *first)
{
    *first = (int)blockIdx.y * s.slice;
    return *first + s.slice < s.per ? s.slice : s.per - *first;
}

/* Where channel ch of tap lies in cuDNN's order. */
static __device__ inline size_t turned(slices s, int tap, int ch)
{
    return ((size_t)blockIdx.x * (size_t)s.taps + (size_t)tap) * (size_t)s.per + (size_t)ch;
}

template <class T> static __global__ void __launch_bounds__(TURNERS) prepare_kernel(slices s, const float *w, T *to)
{
    __shared__ float tile[TURN];
    int first;
    const int count = slice_of(s, &first), all = count * s.taps;
    w += ((size_t)blockIdx.x * (size_t)s.per + (size_t)first) * (size_t)s.taps;
    for (int i = (int)threadIdx.x; i < all; i += TURNERS) tile[i] = w[i];
    __syncthreads();
    for (int i = (int)threadIdx.x; i < all; i += TURNERS) {
        const int tap = i / count, ch = i % count;
        store(to, turned(s, tap, first + ch), tile[ch * s.taps + tap]);
    }
}

template <class T> static __global__ void __launch_bounds__(TURNERS) gather_kernel(slices s, const T *from, am_sum sum)
{
    __shared__ float tile[TURN];
    int first;
    const int count = slice_of(s, &first), all = count * s.taps;
    const size_t base = ((size_t)blockIdx.x * (size_t)s.per + (size_t)first) * (size_t)s.taps;
    for (int i = (int)threadIdx.x; i < all; i += TURNERS)
        tile[i % count * s.taps + i / count] = load(from, turned(s, i / count, first + i % count));
    __syncthreads();
    for (int i = (int)threadIdx.x; i < all; i += TURNERS)
        give(sum.p, base + (size_t)i, sum.beta, tile[i]);
}

static slices slices_of(const am_conv *c)
{
    slices s;
    s.per = c->c / c->groups;
    s.taps = c->size * c->size;
    s.slice = SLICE * s.taps <= TURN ? SLICE : TURN / s.taps;
    return s;
}
static dim3 slices_grid(const am_conv *c, slices s)
{
    return dim3((unsigned)c->filters, (unsigned)((s.per + s.slice - 1) / s.slice));
}

template <class T> static void prepare(am_stream st, const am_conv *c, const float *w, void *prepared)
{
    const slices s = slices_of(c);
    AM_LAUNCH(prepare_kernel<T>, slices_grid(c, s), dim3(TURNERS), st, s, w, (T *)prepared);
}
void am_gpu_conv_prepare(am_stream st, const am_conv *c, int half, const float *w, void *prepared)
{
    BY_TYPE(half, prepare, st, c, w, prepared);
}

template <class T> static void gather_dw(am_stream st, const am_conv *c, const void *dw, am_sum sum)
{
    const slices s = slices_of(c);
    AM_LAUNCH(gather_kernel<T>, slices_grid(c, s), dim3(TURNERS), st, s, (const T *)dw, sum);
}
void am_gpu_conv_gather_dw(am_stream st, const am_conv *c, int half, const void *dw, am_sum to)
{
    BY_TYPE(half, gather_dw, st, c, dw, to);
}

/* ---- forward: rows are output pixels, columns filters of one group ---- */

template <class X, class Y> static void forward(am_stream st, const am_conv *geometry, am_view x, const float *w, am_view y)
{
    am_conv c = *geometry;
    const int per = c.c / c.groups, filters = c.filters / c.groups, plane = c.oh * c.ow, k = per * c.size * c.size;
    product(st, c.groups, x.n * plane, filters, k, 1,
            [=] __device__(int group, int pixel, int at) {
                const window v = window_of(at, c.size);
                const int row = pixel % plane / c.ow * c.stride - c.pad + v.row, column = pixel % c.ow * c.stride - c.pad + v.column;
                if (row < 0 || row >= c.h || column < 0 || column >= c.w) return 0.0f;
                return load((const X *)x.p, (size_t)(pixel / plane) * x.step + (size_t)(row * c.w + column) * (size_t)c.c +
                                                (size_t)(group * per + v.channel));
            },
            [=] __device__(int group, int filter, int at) {
                return w[(size_t)(group * filters + filter) * (size_t)k + (size_t)at];
            },
            [=] __device__(int group, int, int pixel, int filter, float sum) {
                store((Y *)y.p, (size_t)(pixel / plane) * y.step + (size_t)(pixel % plane) * (size_t)c.filters +
                                    (size_t)(group * filters + filter), sum);
            });
}
void am_gpu_conv(am_stream st, const am_conv *c, am_view x, const float *w, am_view y)
{
    BY_TYPES(x.half, y.half, forward, st, c, x, w, y);
}

/* ---- to x: rows are input pixels, columns channels of one group; the sum runs over filters and taps ---- */

template <class X, class Y> static void back_x(am_stream st, const am_conv *geometry, am_view dy, const float *w, am_view_grad dx)
{
    am_conv c = *geometry;
    const am_view d = dx.d;
    const int per = c.c / c.groups, filters = c.filters / c.groups, plane = c.h * c.w, taps = c.size * c.size;
    product(st, c.groups, d.n * plane, per, filters * taps, 1,
            [=] __device__(int group, int pixel, int at) {
                const window v = window_of(at, c.size);
                const int row = pixel % plane / c.w + c.pad - v.row, column = pixel % c.w + c.pad - v.column;
                if (row < 0 || column < 0 || row % c.stride || column % c.stride) return 0.0f;
                const int oy = row / c.stride, ox = column / c.stride;
                if (oy >= c.oh || ox >= c.ow) return 0.0f;
                return load((const Y *)dy.p, (size_t)(pixel / plane) * dy.step + (size_t)(oy * c.ow + ox) * (size_t)c.filters +
                                                 (size_t)(group * filters + v.channel));
            },
            [=] __device__(int group, int channel, int at) {
                const int filter = at / taps, tap = at % taps;
                return w[((size_t)(group * filters + filter) * (size_t)per + (size_t)channel) * (size_t)taps + (size_t)tap];
            },
            [=] __device__(int group, int, int pixel, int channel, float sum) {
                give((X *)d.p, (size_t)(pixel / plane) * d.step + (size_t)(pixel % plane) * (size_t)c.c +
                                   (size_t)(group * per + channel), dx.beta, sum);
            });
}
void am_gpu_conv_back_x(am_stream st, const am_conv *c, am_view dy, const float *w, am_view_grad dx)
{
    BY_TYPES(dx.d.half, dy.half, back_x, st, c, dy, w, dx);
}

/* ---- to w: rows are filters, columns numbers of the window; the sum runs over all output pixels, in
 * pieces that are added in their order ---- */

enum { PIXELS_A_PIECE = 4096, MOST_PIECES = 64 };

int am_gpu_conv_pieces(const am_conv *c, int n)
{
    const long pieces = ((long)n * c->oh * c->ow + PIXELS_A_PIECE - 1) / PIXELS_A_PIECE;
    return pieces < 1 ? 1 : pieces > MOST_PIECES ? MOST_PIECES : (int)pieces;
}

template <class X, class Y>
static void back_w(am_stream st, const am_conv *geometry, am_view x, am_view dy, float *scratch, am_sum dw)
{
    am_conv c = *geometry;
    const int per = c.c / c.groups, filters = c.filters / c.groups, plane = c.oh * c.ow, k = per * c.size * c.size;
    const int pieces = am_gpu_conv_pieces(&c, x.n);
    const size_t weights = (size_t)c.filters * (size_t)k;
    product(st, c.groups, filters, k, x.n * plane, pieces,
            [=] __device__(int group, int filter, int pixel) {
                return load((const Y *)dy.p, (size_t)(pixel / plane) * dy.step + (size_t)(pixel % plane) * (size_t)c.filters +
                                                 (size_t)(group * filters + filter));
            },
            [=] __device__(int group, int at, int pixel) {
                const window v = window_of(at, c.size);
                const int row = pixel % plane / c.ow * c.stride - c.pad + v.row, column = pixel % c.ow * c.stride - c.pad + v.column;
                if (row < 0 || row >= c.h || column < 0 || column >= c.w) return 0.0f;
                return load((const X *)x.p, (size_t)(pixel / plane) * x.step + (size_t)(row * c.w + column) * (size_t)c.c +
                                                (size_t)(group * per + v.channel));
            },
            [=] __device__(int group, int piece, int filter, int at, float sum) {
                scratch[(size_t)piece * weights + (size_t)(group * filters + filter) * (size_t)k + (size_t)at] = sum;
            });
    each(st, 1, weights, [=] __device__(int, size_t i) {
        float sum = 0;
        for (int p = 0; p < pieces; p++) sum += scratch[(size_t)p * weights + i];
        give(dw.p, i, dw.beta, sum);
    });
}
void am_gpu_conv_back_w(am_stream st, const am_conv *c, am_view x, am_view dy, float *scratch, am_sum dw)
{
    BY_TYPES(x.half, dy.half, back_w, st, c, x, dy, scratch, dw);
}
