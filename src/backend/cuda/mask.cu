/* mask.cu: masks, planes [n][h][w] that weigh the partner; what pulls them towards lambda; and what to
 * watch them by.  The formulas of the mask loss are am_arith_mask_term's. */
#include "device.cuh"

enum { N = 256 };

void am_gpu_mask_fill(am_stream st, int n, int plane, const float *lam, float *m)
{
    each(st, n, (size_t)plane, [=] __device__(int s, size_t i) { m[(size_t)s * (size_t)plane + i] = 1 - lam[s]; });
}

void am_gpu_mask_box(am_stream st, int n, int h, int w, const int *box, float *m)
{
    each(st, n, (size_t)h * (size_t)w, [=] __device__(int s, size_t i) {
        const int *b = box + 4 * s, x = (int)(i % (size_t)w), y = (int)(i / (size_t)w);
        m[(size_t)s * (size_t)(h * w) + i] = x >= b[0] && y >= b[1] && x < b[2] && y < b[3] ? 1 : 0;
    });
}

void am_gpu_mask_margin(am_stream st, int n, int plane, const float *lam, float margin, float *m)
{
    each(st, n, (size_t)plane, [=] __device__(int s, size_t i) {
        const float l = lam[s];
        if (l <= margin || 1 - l <= margin) m[(size_t)s * (size_t)plane + i] = 1 - l;
    });
}

/* ---- the loss: sums of each sample, then the terms, then the slopes ---- */

/* partial of a sample: sum m, sum m^2, sum |m (m - 1)|, then its am_mask_term */
static __global__ void sums_kernel(int plane, const float *m, double *partial)
{
    m += (size_t)blockIdx.x * (size_t)plane;
    double sum = 0, squares = 0, apart = 0;
    for (int i = (int)threadIdx.x; i < plane; i += N) {
        const double v = (double)m[i];
        sum += v;
        squares += v * v;
        apart += fabs(v * (v - 1));
    }
    sum = block_sum<N>(sum);
    squares = block_sum<N>(squares);
    apart = block_sum<N>(apart);
    double *to = partial + (size_t)blockIdx.x * AM_MASK_PARTIAL;
    if (threadIdx.x == 0) to[0] = sum, to[1] = squares, to[2] = apart;
}

static __device__ inline void keep(double *to, const am_mask_term &t)
{
    to[3] = t.flat;
    to[4] = t.spread;
    to[5] = t.sparse;
    to[6] = t.mean;
}

static __global__ void terms_kernel(int n, int plane, int kind, int batch, double margin, const float *weight, const float *lam,
                                    double *partial, float *loss)
{
    double value = 0;
    if (batch) {
        double sum = 0, squares = 0, apart = 0, lambda = 0;
        for (int i = (int)threadIdx.x; i < n; i += N) {
            const double *from = partial + (size_t)i * AM_MASK_PARTIAL;
            sum += from[0];
            squares += from[1];
            apart += from[2];
            lambda += (double)lam[i];
        }
        sum = block_sum<N>(sum);
        squares = block_sum<N>(squares);
        apart = block_sum<N>(apart);
        lambda = block_sum<N>(lambda);
        const am_mask_term t = am_arith_mask_term(kind, margin, lambda / n, (double)n * plane, sum, squares, apart);
        for (int i = (int)threadIdx.x; i < n; i += N) keep(partial + (size_t)i * AM_MASK_PARTIAL, t);
        value = t.value;
    } else {
        for (int i = (int)threadIdx.x; i < n; i += N) {
            double *at = partial + (size_t)i * AM_MASK_PARTIAL;
            const am_mask_term t = am_arith_mask_term(kind, margin, (double)lam[i], plane, at[0], at[1], at[2]);
            keep(at, t);
            value += t.value;
        }
        value = block_sum<N>(value) / n;
    }
    if (threadIdx.x == 0 && loss) loss[0] = (float)((double)weight[0] * value);
}

void am_gpu_mask_loss(am_stream st, int n, int plane, int kind, int reduce_batch, float margin, const float *weight, const float *lam,
                      const float *m, const float *lift, double *partial, float *loss, am_sum dm)
{
    AM_LAUNCH(sums_kernel, dim3((unsigned)n), dim3(N), st, plane, m, partial);
    AM_LAUNCH(terms_kernel, dim3(1), dim3(N), st, n, plane, kind, reduce_batch, (double)margin, weight, lam, partial, loss);
    if (!dm.p) return;
    const double count = (double)n * plane;     /* per sample: 1 / n of each sample's mean */
    each(st, n, (size_t)plane, [=] __device__(int s, size_t i) {
        const double *from = partial + (size_t)s * AM_MASK_PARTIAL;
        am_mask_term t;
        t.value = 0;
        t.flat = from[3];
        t.spread = from[4];
        t.sparse = from[5];
        t.mean = from[6];
        const size_t at = (size_t)s * (size_t)plane + i;
        give(dm.p, at, dm.beta, (float)((double)(lift ? lift[0] : 1) * (double)weight[0] * am_arith_mask_slope(&t, (double)m[at]) / count));
    });
}

/* ---- health ---- */

static __global__ void health_kernel(int plane, const float *lam, const float *m, double *partial)
{
    m += (size_t)blockIdx.x * (size_t)plane;
    double sum = 0, square = 0, outside = 0;
    for (int i = (int)threadIdx.x; i < plane; i += N) sum += (double)m[i];
    const double mean = block_sum<N>(sum) / plane, d = (1 - mean) - (double)lam[blockIdx.x];
    for (int i = (int)threadIdx.x; i < plane; i += N) {
        square += ((double)m[i] - mean) * ((double)m[i] - mean);
        outside += m[i] < 0.01f || m[i] > 0.99f;
    }
    square = block_sum<N>(square);
    outside = block_sum<N>(outside);
    double *to = partial + (size_t)blockIdx.x * AM_MASK_PARTIAL;
    if (threadIdx.x == 0) to[0] = fabs(d), to[1] = d, to[2] = sqrt(square / plane), to[3] = outside / plane;
}

static __global__ void health_total(int n, const double *partial, float *health)
{
    double sum[4] = {0, 0, 0, 0};
    for (int i = (int)threadIdx.x; i < n; i += N)
        for (int k = 0; k < 4; k++) sum[k] += partial[(size_t)i * AM_MASK_PARTIAL + (size_t)k];
    for (int k = 0; k < 4; k++) sum[k] = block_sum<N>(sum[k]);
    if (threadIdx.x) return;
    health[AM_HEALTH_SHARE] += (float)sum[0];
    health[AM_HEALTH_DRIFT] += (float)sum[1];
    health[AM_HEALTH_STRUCTURE] += (float)sum[2];
    health[AM_HEALTH_SATURATED] += (float)sum[3];
    health[AM_HEALTH_SAMPLES] += (float)n;
}

void am_gpu_mask_health(am_stream st, int n, int plane, const float *lam, const float *m, double *partial, float *health)
{
    AM_LAUNCH(health_kernel, dim3((unsigned)n), dim3(N), st, plane, lam, m, partial);
    AM_LAUNCH(health_total, dim3(1), dim3(N), st, n, partial, health);
}
