/* plain.cu: flat passes over parameters, and sums. */
#include "device.cuh"

void am_gpu_fill(am_stream st, size_t n, float value, float *y)
{
    each(st, 1, n, [=] __device__(int, size_t i) { y[i] = value; });
}

void am_gpu_sgd(am_stream st, size_t n, float *w, float *g, float *v, float *teacher, const float *hyper, const float *guard,
                const float *held)
{
    each(st, 1, n, [=] __device__(int, size_t i) {
        if ((!guard || guard[0] == 0) && (!held || held[0] == 0)) {
            am_arith_sgd(hyper, g[i], w + i, v + i);
            if (teacher) teacher[i] = am_arith_follow(hyper[4], teacher[i], w[i]);
        }
        g[i] = 0;
    });
}

static __global__ void release(float *scale) { scale[AM_SCALE_HELD] = 0; }
static __global__ void rescale(float *scale) { am_arith_rescale(scale); }

void am_gpu_unscale(am_stream st, size_t n, float *g, float *scale)
{
    AM_LAUNCH(release, dim3(1), dim3(1), st, scale);
    each(st, 1, n, [=] __device__(int, size_t i) {
        const float v = g[i] / scale[AM_SCALE];
        g[i] = v;
        if (v - v != 0) scale[AM_SCALE_HELD] = 1;
    });
    AM_LAUNCH(rescale, dim3(1), dim3(1), st, scale);
}

void am_gpu_guard(am_stream st, size_t n, const float *x, float *guard)
{
    each(st, 1, n, [=] __device__(int, size_t i) {
        if (x[i] - x[i] != 0) guard[0] = 1;
    });
}

/* ---- the length of a vector: always the same 1024 parts, added in their order ---- */

enum { PARTS = 1024, N = 256 };

static __global__ void squares(size_t n, const float *limit, const float *g, float *part)
{
    if (!(limit[0] > 0)) return;
    const size_t size = (n + PARTS - 1) / PARTS, first = (size_t)blockIdx.x * size, last = first + size < n ? first + size : n;
    double sum = 0;
    for (size_t i = first + threadIdx.x; i < last; i += N) sum += (double)g[i] * (double)g[i];
    sum = block_sum<N>(sum);
    if (threadIdx.x == 0) part[blockIdx.x] = (float)sum;
}

static __global__ void shrink(size_t n, const float *limit, const float *part, float *g)
{
    if (!(limit[0] > 0)) return;
    double sum = 0;
    for (int i = (int)threadIdx.x; i < PARTS; i += N) sum += (double)part[i];
    const double length = sqrt(block_sum<N>(sum));
    if (!(length > (double)limit[0])) return;
    const float by = (float)((double)limit[0] / length);
    for (size_t i = (size_t)blockIdx.x * N + threadIdx.x; i < n; i += (size_t)gridDim.x * N) g[i] *= by;
}

void am_gpu_clip(am_stream st, size_t n, const float *limit, float *scratch, float *g)
{
    const size_t blocks = (n + N - 1) / N;
    AM_LAUNCH(squares, dim3(PARTS), dim3(N), st, n, limit, g, scratch);
    AM_LAUNCH(shrink, dim3((unsigned)(blocks < 512 ? blocks : 512)), dim3(N), st, n, limit, scratch, g);
}

static __global__ void total(size_t n, float scale, const float *x, am_sum out)
{
    double sum = 0;
    for (size_t i = threadIdx.x; i < n; i += N) sum += (double)x[i];
    sum = block_sum<N>(sum);
    if (threadIdx.x == 0) out.p[0] = am_arith_give(out.beta, out.p[0], (float)((double)scale * sum));
}
void am_gpu_mean(am_stream st, size_t n, float scale, const float *x, am_sum out)
{
    AM_LAUNCH(total, dim3(1), dim3(N), st, n, scale, x, out);
}
