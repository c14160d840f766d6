/* device.cuh: what the kernels share: loads and stores of either element type, one loop over an
 * activation, sums over a block, the block that ends last, and one tiled product.
 *
 * A kernel is written as a lambda over an index; `each` and `product` are the only launchers that
 * most of them need.  AM_EMULATE compiles the same files for a processor (emulate.h). */
#ifndef AM_CUDA_DEVICE_CUH
#define AM_CUDA_DEVICE_CUH
#include "arith.h"
#include "kernels.h"

#ifdef AM_EMULATE
#include "emulate/emulate.h"
#else
#include <cuda_runtime.h>
#define AM_LAUNCH(kernel, grid, block, stream, ...) kernel<<<grid, block, 0, stream>>>(__VA_ARGS__)
#endif

/* Call the template f for the element types at hand. */
#define BY_TYPE(half, f, ...)                                                                      \
    ((half) == AM_HALF_F16 ? f<am_f16>(__VA_ARGS__) : (half) ? f<am_bf16>(__VA_ARGS__) : f<float>(__VA_ARGS__))
#define BY_TYPES(half1, half2, f, ...)                                                             \
    ((half1) == AM_HALF_F16 ? (half2) ? f<am_f16, am_f16>(__VA_ARGS__) : f<am_f16, float>(__VA_ARGS__)      \
     : (half1)              ? (half2) ? f<am_bf16, am_bf16>(__VA_ARGS__) : f<am_bf16, float>(__VA_ARGS__)   \
     : (half2) == AM_HALF_F16 ? f<float, am_f16>(__VA_ARGS__)                                       \
     : (half2)                ? f<float, am_bf16>(__VA_ARGS__)                                      \
                              : f<float, float>(__VA_ARGS__))

static __device__ inline float load(const float *p, size_t i) { return p[i]; }
static __device__ inline float load(const am_bf16 *p, size_t i) { return am_of_bf16(p[i]); }
static __device__ inline float load(const am_f16 *p, size_t i) { return am_of_f16(p[i]); }
static __device__ inline void store(float *p, size_t i, float v) { p[i] = v; }
static __device__ inline void store(am_f16 *p, size_t i, float v) { p[i] = am_to_f16(v); }
static __device__ inline void store(am_bf16 *p, size_t i, float v) { p[i] = am_to_bf16(v); }

template <class T> static __device__ inline void give(T *p, size_t i, float beta, float g)
{
    store(p, i, beta == 0 ? g : beta * load(p, i) + g);
}

/* ---- 16 bytes at a time ---- */

#define LINE_OF(T) (16 / (int)sizeof(T))        /* elements in them */

struct alignas(16) line16 { uint32_t word[4]; };

/* The hardware refuses a line at another address; the emulation must not be kinder. */
#ifdef AM_EMULATE
#define LINE_AT(p) (am_emulate_aligned(p, 16), (p))
#else
#define LINE_AT(p) (p)
#endif

template <class T> static __device__ inline line16 fetch_line(const T *p) { return *(const line16 *)LINE_AT(p); }

static __device__ inline void spread_line(const float *, const line16 &l, float v[4]) { memcpy(v, &l, sizeof l); }
template <class T> static __device__ inline void spread_line(const T *, const line16 &l, float v[8])
{
    T half[8];
    memcpy(half, &l, sizeof l);
    for (int e = 0; e < 8; e++) v[e] = load(half, (size_t)e);
}
template <class T> static __device__ inline void load_line(const T *p, float *v) { spread_line(p, fetch_line(p), v); }

static __device__ inline void store_line(float *p, const float v[4])
{
    line16 l;
    memcpy(&l, v, sizeof l);
    *(line16 *)LINE_AT(p) = l;
}
template <class T> static __device__ inline void store_line(T *p, const float v[8])
{
    line16 l;
    T half[8];
    for (int e = 0; e < 8; e++) store(half, (size_t)e, v[e]);
    memcpy(&l, half, sizeof l);
    *(line16 *)LINE_AT(p) = l;
}

static inline size_t view_sample(am_view v) { return (size_t)v.c * (size_t)v.h * (size_t)v.w; }

/* ---- one loop over n samples of k elements ---- */

enum { EACH = 256, MOST_Y = 32768 };     /* blocks in y and in z: the hardware takes 65535 */

template <class F> static __global__ void each_kernel(int n, size_t k, F f)
{
    const size_t i = (size_t)blockIdx.x * EACH + threadIdx.x;
    if (i >= k) return;
    for (int s = (int)blockIdx.y; s < n; s += (int)gridDim.y) f(s, i);
}

template <class F> static void each(am_stream stream, int n, size_t k, F f)
{
    if (n < 1 || k < 1) return;
    dim3 grid((unsigned)((k + EACH - 1) / EACH), (unsigned)(n < MOST_Y ? n : MOST_Y));
    AM_LAUNCH(each_kernel, grid, dim3(EACH), stream, n, k, f);
}

/* ---- sums over a block of N threads, in a fixed order; every thread gets the sum ---- */

template <int N> static __device__ inline double block_sum(double v)
{
    __shared__ double part[N];
    __syncthreads();
    part[threadIdx.x] = v;
    for (int half = N / 2; half > 0; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
    }
    __syncthreads();
    return part[0];
}

template <int N> static __device__ inline float block_max(float v)
{
    __shared__ float part[N];
    __syncthreads();
    part[threadIdx.x] = v;
    for (int half = N / 2; half > 0; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < half && part[threadIdx.x + half] > part[threadIdx.x])
            part[threadIdx.x] = part[threadIdx.x + half];
    }
    __syncthreads();
    return part[0];
}

/* ---- who comes last ----
 * A ticket is 0 between launches.  Each of `count` calls tells what its thread, or its block, has written; the last one,
 * whichever that is, may read what all have written, past the multiprocessor's own cache (fresh_line). */

static __device__ inline bool last_thread(unsigned *ticket, unsigned count)
{
    __threadfence();
    const bool last = atomicAdd(ticket, 1u) == count - 1;
    __threadfence();
    if (last) *ticket = 0;
    return last;
}

/* The barriers carry the first thread's fences over to the others. */
static __device__ inline bool last_block(unsigned *ticket, unsigned count)
{
    __shared__ bool last;
    __syncthreads();
    if (threadIdx.x == 0) last = last_thread(ticket, count);
    __syncthreads();
    return last;
}

static __device__ inline float4 fresh_line(const float *p) { return __ldcg((const float4 *)LINE_AT(p)); }

/* ---- out(batch, piece, row, column, sum over k of a(batch, row, k) * b(batch, column, k)) ----
 * The sum is cut into pieces of `piece` terms, each given out on its own.  A block makes TILE x TILE
 * outputs, PER x PER a thread, DEEP terms at a time: large tiles where that leaves a block for each
 * multiprocessor, small ones elsewhere. */

enum { SIDE = 16, DEEP = 16, SMALL = 2, LARGE = 4, BLOCKS_ENOUGH = 96 };

template <int PER, class A, class B, class Out>
static __device__ inline void product_tile(int layer, int m, int n, int k, int pieces, int piece, const A &a, const B &b,
                                           const Out &out)
{
    enum { TILE = SIDE * PER };
    __shared__ float sa[DEEP][TILE + 1], sb[DEEP][TILE + 1];
    const int row = (int)blockIdx.x * TILE, column = (int)blockIdx.y * TILE;
    const int tx = (int)threadIdx.x % SIDE, ty = (int)threadIdx.x / SIDE;
    const int batch = layer / pieces, part = layer % pieces;
    const int first = part * piece, last = first + piece < k ? first + piece : k;
    float sum[PER][PER] = {{0}};
    for (int at = first; at < last; at += DEEP) {
        for (int i = (int)threadIdx.x; i < TILE * DEEP; i += SIDE * SIDE) {
            const int l = i % DEEP, r = i / DEEP;
            sa[l][r] = at + l < last && row + r < m ? a(batch, row + r, at + l) : 0;
            sb[l][r] = at + l < last && column + r < n ? b(batch, column + r, at + l) : 0;
        }
        __syncthreads();
        float s[PER][PER] = {{0}};
        for (int l = 0; l < DEEP; l++) {
            float left[PER], right[PER];
            for (int i = 0; i < PER; i++) left[i] = sa[l][ty + SIDE * i], right[i] = sb[l][tx + SIDE * i];
            for (int i = 0; i < PER; i++)
                for (int j = 0; j < PER; j++) s[i][j] += left[i] * right[j];
        }
        for (int i = 0; i < PER; i++)
            for (int j = 0; j < PER; j++) sum[i][j] += s[i][j];
        __syncthreads();
    }
    for (int i = 0; i < PER; i++)
        for (int j = 0; j < PER; j++) {
            const int r = row + ty + SIDE * i, c = column + tx + SIDE * j;
            if (r < m && c < n) out(batch, part, r, c, sum[i][j]);
        }
}

template <int PER, class A, class B, class Out>
static __global__ void __launch_bounds__(SIDE * SIDE)
    product_kernel(int layers, int m, int n, int k, int pieces, int piece, A a, B b, Out out)
{
    for (int layer = (int)blockIdx.z; layer < layers; layer += (int)gridDim.z)
        product_tile<PER>(layer, m, n, k, pieces, piece, a, b, out);
}

template <class A, class B, class Out>
static void product(am_stream stream, int batches, int m, int n, int k, int pieces, A a, B b, Out out)
{
    if (batches < 1 || m < 1 || n < 1) return;
    const int piece = pieces > 1 ? ((k + pieces - 1) / pieces + DEEP - 1) / DEEP * DEEP : k > 0 ? k : 1;
    const int layers = batches * pieces;
    const long tile = SIDE * LARGE;
    const bool large = (m + tile - 1) / tile * ((n + tile - 1) / tile) * layers >= BLOCKS_ENOUGH && m > tile / 2 && n > tile / 2;
    const int side = large ? (int)tile : SIDE * SMALL;
    dim3 grid((unsigned)((m + side - 1) / side), (unsigned)((n + side - 1) / side), (unsigned)(layers < MOST_Y ? layers : MOST_Y));
    if (large) AM_LAUNCH((product_kernel<LARGE, A, B, Out>), grid, dim3(SIDE * SIDE), stream, layers, m, n, k, pieces, piece, a, b, out);
    else AM_LAUNCH((product_kernel<SMALL, A, B, Out>), grid, dim3(SIDE * SIDE), stream, layers, m, n, k, pieces, piece, a, b, out);
}

#endif
