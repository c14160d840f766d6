/* blend.cu: y = (1 - m) * x + m * x[perm], the same m for all channels of a sample, and its adjoints. */
#include "device.cuh"

template <class T> static void blend(am_stream st, am_view x, const int *perm, const float *m, am_view y, am_trouble trouble)
{
    const size_t plane = (size_t)x.h * (size_t)x.w;
    each(st, x.n, view_sample(x), [=] __device__(int s, size_t i) {
        const int partner = perm[s];
        if (partner < 0 || partner >= x.n) {
            *trouble.word = trouble.op;
            return;
        }
        const float weight = m[(size_t)s * plane + i / (size_t)x.c];
        const float mine = load((const T *)x.p, (size_t)s * x.step + i), other = load((const T *)x.p, (size_t)partner * x.step + i);
        store((T *)y.p, (size_t)s * y.step + i, (1 - weight) * mine + weight * other);
    });
}
void am_gpu_blend(am_stream st, am_view x, const int *perm, const float *m, am_view y, am_trouble trouble)
{
    BY_TYPE(x.half, blend, st, x, perm, m, y, trouble);
}

template <class T> static void blend_back(am_stream st, am_view x, const int *perm, am_view dy, am_sum dm, am_trouble trouble)
{
    const size_t plane = (size_t)x.h * (size_t)x.w;
    each(st, x.n, plane, [=] __device__(int s, size_t pixel) {
        const int partner = perm[s];
        if (partner < 0 || partner >= x.n) {
            *trouble.word = trouble.op;
            return;
        }
        const T *mine = (const T *)x.p + (size_t)s * x.step, *other = (const T *)x.p + (size_t)partner * x.step;
        const T *g = (const T *)dy.p + (size_t)s * dy.step;
        float sum = 0;
        for (size_t at = pixel * (size_t)x.c; at < (pixel + 1) * (size_t)x.c; at++)
            sum += load(g, at) * (load(other, at) - load(mine, at));
        give(dm.p, (size_t)s * plane + pixel, dm.beta, sum);
    });
}
void am_gpu_blend_back(am_stream st, am_view x, const int *perm, am_view dy, am_sum dm, am_trouble trouble)
{
    BY_TYPE(x.half, blend_back, st, x, perm, dy, dm, trouble);
}

/* Each sample gets back what it lent: (1 - m) dy of its own, m dy of the one whose partner it is.  A
 * block works on one sample and first finds that borrower. */
enum { N = 256 };

template <class T>
static __global__ void back_x_kernel(am_view dy, const int *perm, const float *m, am_view_grad dx)
{
    __shared__ int borrower;
    const int s = (int)blockIdx.y;
    const size_t k = (size_t)dy.c * (size_t)dy.h * (size_t)dy.w, plane = (size_t)dy.h * (size_t)dy.w;
    if (threadIdx.x == 0) borrower = -1;
    __syncthreads();
    for (int j = (int)threadIdx.x; j < dy.n; j += N)
        if (perm[j] == s) borrower = j;
    __syncthreads();
    const size_t i = (size_t)blockIdx.x * N + threadIdx.x;
    if (i >= k) return;
    const size_t pixel = i / (size_t)dy.c;
    float g = (1 - m[(size_t)s * plane + pixel]) * load((const T *)dy.p, (size_t)s * dy.step + i);
    if (borrower >= 0)
        g += m[(size_t)borrower * plane + pixel] * load((const T *)dy.p, (size_t)borrower * dy.step + i);
    give((T *)dx.d.p, (size_t)s * dx.d.step + i, dx.beta, g);
}

template <class T> static void blend_back_x(am_stream st, const int *perm, const float *m, am_view dy, am_view_grad dx)
{
    dim3 grid((unsigned)((view_sample(dy) + N - 1) / N), (unsigned)dy.n);
    AM_LAUNCH(back_x_kernel<T>, grid, dim3(N), st, dy, perm, m, dx);
}
void am_gpu_blend_back_x(am_stream st, const int *perm, const float *m, am_view dy, am_view_grad dx)
{
    BY_TYPE(dy.half, blend_back_x, st, perm, m, dy, dx);
}
