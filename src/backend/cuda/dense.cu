/* dense.cu: y = x w' + b over rows.  x is an activation whose numbers w counts in CHW. */
#include "device.cuh"

/* Number q of a sample, counted in CHW, where it lies in NHWC. */
static __device__ inline size_t inside(am_view x, int q)
{
    const int plane = x.h * x.w;
    return (size_t)(q % plane) * (size_t)x.c + (size_t)(q / plane);
}

/* ---- few outputs: a warp for each and for ROWS samples, its lanes along the sum ---- */

enum { LANES = 32, WARPS = 8, ROWS = 4, FEW = 1 << 15 };

template <class T> static __global__ void dense_kernel(am_view x, int out, int k, const float *w, const float *b, float *y)
{
    __shared__ float part[ROWS][WARPS * LANES];
    const int t = (int)threadIdx.x, lane = t % LANES, o = (int)blockIdx.x * WARPS + t / LANES, first = (int)blockIdx.y * ROWS;
    float sum[ROWS] = {0};
    for (int q = lane; o < out && q < k; q += LANES) {
        const float v = w[(size_t)o * (size_t)k + (size_t)q];
        const T *from = (const T *)x.p + inside(x, q);
        for (int r = 0; r < ROWS; r++)
            if (first + r < x.n) sum[r] += v * load(from, (size_t)(first + r) * x.step);
    }
    for (int r = 0; r < ROWS; r++) part[r][t] = sum[r];
    for (int half = LANES / 2; half > 0; half /= 2) {
        __syncthreads();
        if (lane < half)
            for (int r = 0; r < ROWS; r++) part[r][t] += part[r][t + half];
    }
    if (lane || o >= out) return;
    for (int r = 0; r < ROWS && first + r < x.n; r++)
        y[(size_t)(first + r) * (size_t)out + (size_t)o] = part[r][t] + (b ? b[o] : 0);
}

template <class T> static void dense(am_stream st, int out, am_view x, const float *w, const float *b, float *y)
{
    const int k = (int)view_sample(x);
    const T *from = (const T *)x.p;
    if ((long)x.n * out <= FEW) {
        dim3 grid((unsigned)((out + WARPS - 1) / WARPS), (unsigned)((x.n + ROWS - 1) / ROWS));
        AM_LAUNCH(dense_kernel<T>, grid, dim3(WARPS * LANES), st, x, out, k, w, b, y);
        return;
    }
    product(st, 1, x.n, out, k, 1,
            [=] __device__(int, int i, int q) { return load(from, (size_t)i * x.step + inside(x, q)); },
            [=] __device__(int, int o, int q) { return w[(size_t)o * (size_t)k + (size_t)q]; },
            [=] __device__(int, int, int i, int o, float sum) {
                y[(size_t)i * (size_t)out + (size_t)o] = b ? sum + b[o] : sum;
            });
}
void am_gpu_dense(am_stream st, int out, am_view x, const float *w, const float *b, float *y)
{
    BY_TYPE(x.half, dense, st, out, x, w, b, y);
}

template <class T>
static void dense_back(am_stream st, int out, am_view x, const float *w, const float *dy, am_view_grad dx, am_sum dw)
{
    const int k = (int)view_sample(x);
    const T *from = (const T *)x.p;
    T *to = (T *)dx.d.p;
    if (to)
        product(st, 1, x.n, k, out, 1,
                [=] __device__(int, int i, int o) { return dy[(size_t)i * (size_t)out + (size_t)o]; },
                [=] __device__(int, int q, int o) { return w[(size_t)o * (size_t)k + (size_t)q]; },
                [=] __device__(int, int, int i, int q, float sum) { give(to, (size_t)i * x.step + inside(x, q), dx.beta, sum); });
    if (dw.p)
        product(st, 1, out, k, x.n, 1,
                [=] __device__(int, int o, int i) { return dy[(size_t)i * (size_t)out + (size_t)o]; },
                [=] __device__(int, int q, int i) { return load(from, (size_t)i * x.step + inside(x, q)); },
                [=] __device__(int, int, int o, int q, float sum) { give(dw.p, (size_t)o * (size_t)k + (size_t)q, dw.beta, sum); });
}
void am_gpu_dense_back(am_stream st, int out, am_view x, const float *w, const float *dy, am_view_grad dx, am_sum dw, am_sum db)
{
    BY_TYPE(x.half, dense_back, st, out, x, w, dy, dx, dw);
    if (!db.p) return;
    const am_view rows = {(void *)dy, 0, x.n, out, 1, 1, (size_t)out};
    am_gpu_bias_back(st, rows, db);
}
