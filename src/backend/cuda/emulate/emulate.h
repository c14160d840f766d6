/* emulate.h: CUDA's language on a processor, so that the kernels are tested where there is no GPU.
 *
 * A block's threads are fibers of one thread: each runs to its next __syncthreads, in an order that
 * changes from launch to launch, so a missing barrier shows as wrong or changing results.  Blocks run one after
 * another, in an order that changes too, so that another one comes last.  Streams and graphs: streams.cpp.
 * Not emulated: warps, time, and what only real concurrency brings out; a fence does nothing. */
#ifndef AM_CUDA_EMULATE_H
#define AM_CUDA_EMULATE_H
#include <functional>

#define __global__
#define __host__
#define __device__
#define __shared__ static
#define __syncthreads am_emulate_barrier
#define __launch_bounds__(...)

struct dim3 {
    unsigned x, y, z;
    explicit dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

extern dim3 threadIdx, blockIdx, blockDim, gridDim;
void am_emulate_barrier();
void am_emulate_aligned(const void *p, unsigned bytes);        /* ends the program where p is not */
void am_emulate_launch(dim3 grid, dim3 block, struct CUstream_st *, const std::function<void()> &kernel);
void am_emulate_issue(struct CUstream_st *, const std::function<void()> &work);    /* streams.cpp */

struct float4 { float x, y, z, w; };
static inline float4 __ldcg(const float4 *p) { return *p; }
static inline void __threadfence() {}
static inline unsigned atomicAdd(unsigned *p, unsigned v)
{
    const unsigned before = *p;
    *p += v;
    return before;
}

/* Arguments are kept by value, as a launch keeps them: it is done later. */
#define AM_LAUNCH(kernel, grid, block, stream, ...)                                                \
    am_emulate_launch(grid, block, stream, [=]() { kernel(__VA_ARGS__); })
#endif
