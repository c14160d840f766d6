/* device.cuh: what the kernels share: loads and stores of either element type, one loop over an
 * activation, sums over a block, and one tiled product.
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
#define BY_TYPE(half, f, ...) ((half) ? f<am_bf16>(__VA_ARGS__) : f<float>(__VA_ARGS__))
#define BY_TYPES(half1, half2, f, ...)                                                             \
    ((half1) ? (half2) ? f<am_bf16, am_bf16>(__VA_ARGS__) : f<am_bf16, float>(__VA_ARGS__)         \
             : (half2) ? f<float, am_bf16>(__VA_ARGS__) : f<float, float>(__VA_ARGS__))

static __device__ inline float load(const float *p, size_t i) { return p[i]; }
static __device__ inline float load(const am_bf16 *p, size_t i) { return am_of_bf16(p[i]); }
static __device__ inline void store(float *p, size_t i, float v) { p[i] = v; }
static __device__ inline void store(am_bf16 *p, size_t i, float v) { p[i] = am_to_bf16(v); }

template <class T> static __device__ inline void give(T *p, size_t i, float beta, float g)
{
    store(p, i, beta == 0 ? g : beta * load(p, i) + g);
}

static inline size_t view_sample(am_view v) { return (size_t)v.c * (size_t)v.h * (size_t)v.w; }

/* ---- one loop over n samples of k elements ---- */

enum { EACH = 256, MOST_Y = 32768 };

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

/* ---- out(batch, piece, row, column, sum over k of a(batch, row, k) * b(batch, column, k)) ----
 * The sum is cut into pieces of `piece` terms, each given out on its own.  A block makes TILE x TILE
 * outputs, four a thread, DEEP terms at a time. */

enum { TILE = 32, DEEP = 16 };

template <class A, class B, class Out>
static __global__ void product_kernel(int m, int n, int k, int pieces, int piece, A a, B b, Out out)
{
    __shared__ float sa[DEEP][TILE + 1], sb[DEEP][TILE + 1];
    const int batch = (int)blockIdx.z / pieces, part = (int)blockIdx.z % pieces;
    const int row = (int)blockIdx.x * TILE, column = (int)blockIdx.y * TILE;
    const int first = part * piece, last = first + piece < k ? first + piece : k;
    const int tx = (int)threadIdx.x % 16, ty = (int)threadIdx.x / 16;
    float sum[2][2] = {{0, 0}, {0, 0}};
    for (int at = first; at < last; at += DEEP) {
        for (int i = (int)threadIdx.x; i < TILE * DEEP; i += 256) {
            const int l = i % DEEP, r = i / DEEP;
            sa[l][r] = at + l < last && row + r < m ? a(batch, row + r, at + l) : 0;
            sb[l][r] = at + l < last && column + r < n ? b(batch, column + r, at + l) : 0;
        }
        __syncthreads();
        float s[2][2] = {{0, 0}, {0, 0}};
        for (int l = 0; l < DEEP; l++)
            for (int i = 0; i < 2; i++)
                for (int j = 0; j < 2; j++) s[i][j] += sa[l][ty + 16 * i] * sb[l][tx + 16 * j];
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < 2; j++) sum[i][j] += s[i][j];
        __syncthreads();
    }
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) {
            const int r = row + ty + 16 * i, c = column + tx + 16 * j;
            if (r < m && c < n) out(batch, part, r, c, sum[i][j]);
        }
}

template <class A, class B, class Out>
static void product(am_stream stream, int batches, int m, int n, int k, int pieces, A a, B b, Out out)
{
    if (batches < 1 || m < 1 || n < 1) return;
    const int piece = pieces > 1 ? ((k + pieces - 1) / pieces + DEEP - 1) / DEEP * DEEP : k > 0 ? k : 1;
    dim3 grid((unsigned)((m + TILE - 1) / TILE), (unsigned)((n + TILE - 1) / TILE), (unsigned)(batches * pieces));
    AM_LAUNCH((product_kernel<A, B, Out>), grid, dim3(256), stream, m, n, k, pieces, piece, a, b, out);
}

#endif
