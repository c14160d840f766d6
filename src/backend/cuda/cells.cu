/* cells.cu: each cell of a map held against a label of its own, formulas as in cpu/cells.c: a block a cell. */
#include "device.cuh"

enum { N = 128 };

typedef struct cells_call {
    am_view x;
    int grid, cells;
    const float *partner;
    const int *labels, *perm;
    am_trouble trouble;
} cells_call;

/* Elements from the block's sample to place i of its cell. */
static __device__ inline size_t place_of(const cells_call &k, int i)
{
    const int rows = k.x.h / k.grid, columns = k.x.w / k.grid, cell = (int)blockIdx.x % k.cells;
    const int row = cell / k.grid * rows + i / columns, column = cell % k.grid * columns + i % columns;
    return (size_t)(row * k.x.w + column) * (size_t)k.x.c;
}

static __device__ inline int places_of(const cells_call &k) { return k.x.h / k.grid * (k.x.w / k.grid); }

/* The label that the block's cell is asked for, or -1. */
static __device__ inline int label_of(const cells_call &k)
{
    const int sample = (int)blockIdx.x / k.cells, other = k.perm[sample];
    const int of = k.partner[(int)blockIdx.x % k.cells] != 0 ? other : sample;
    const bool known = of >= 0 && of < k.x.n && k.labels[of] < k.x.c;
    if (!known) *k.trouble.word = k.trouble.op;
    return known ? k.labels[of] : -1;
}

template <class T> static __device__ inline float logit(const cells_call &k, const T *sample, int c)
{
    const int places = places_of(k);
    float sum = 0;
    for (int i = 0; i < places; i++) sum += load(sample, place_of(k, i) + (size_t)c);
    return sum / (float)places;
}

template <class T> static __device__ inline const T *sample_of(const cells_call &k)
{
    return (const T *)k.x.p + (size_t)((int)blockIdx.x / k.cells) * k.x.step;
}

template <class T> static __device__ inline float largest(const cells_call &k, const T *sample)
{
    float most = -INFINITY;
    for (int c = (int)threadIdx.x; c < k.x.c; c += N) {
        const float z = logit(k, sample, c);
        most = z <= most ? most : z;
    }
    return block_max<N>(most);
}

template <class T> static __device__ inline double spread(const cells_call &k, const T *sample, float most)
{
    double sum = 0;
    for (int c = (int)threadIdx.x; c < k.x.c; c += N) sum += (double)expf(logit(k, sample, c) - most);
    return block_sum<N>(sum);
}

template <class T> static __global__ void cells_kernel(cells_call k, float *loss)
{
    const T *sample = sample_of<T>(k);
    const float most = largest(k, sample);
    const double sum = spread(k, sample, most);
    if (threadIdx.x) return;
    const int label = label_of(k);
    loss[blockIdx.x] = label < 0 ? 0 : (float)(log(sum) + (double)(most - logit(k, sample, label)));
}

template <class T> static __global__ void cells_back_kernel(cells_call k, float scale, const float *lift, am_view_grad dx)
{
    const T *sample = sample_of<T>(k);
    const float most = largest(k, sample);
    const double sum = spread(k, sample, most);
    const int label = label_of(k), places = places_of(k);
    const float by = label < 0 ? 0 : scale / (float)places * (lift ? lift[0] : 1);
    T *to = (T *)dx.d.p + (size_t)((int)blockIdx.x / k.cells) * dx.d.step;
    for (int c = (int)threadIdx.x; c < k.x.c; c += N) {
        const float g = by * (float)((double)expf(logit(k, sample, c) - most) / sum - (c == label));
        for (int i = 0; i < places; i++) give(to, place_of(k, i) + (size_t)c, dx.beta, g);
    }
}

template <class T> static void cells(am_stream st, const cells_call &k, float *loss)
{
    AM_LAUNCH(cells_kernel<T>, dim3((unsigned)(k.x.n * k.cells)), dim3(N), st, k, loss);
}
void am_gpu_cells(am_stream st, int grid, am_view x, const float *partner, const int *labels, const int *perm, float *loss,
                  am_trouble trouble)
{
    const cells_call k = {x, grid, grid * grid, partner, labels, perm, trouble};
    BY_TYPE(x.half, cells, st, k, loss);
}

template <class T> static void cells_back(am_stream st, const cells_call &k, float scale, const float *lift, am_view_grad dx)
{
    AM_LAUNCH(cells_back_kernel<T>, dim3((unsigned)(k.x.n * k.cells)), dim3(N), st, k, scale, lift, dx);
}
void am_gpu_cells_back(am_stream st, int grid, float scale, const float *lift, am_view x, const float *partner, const int *labels,
                       const int *perm, am_view_grad dx, am_trouble trouble)
{
    const cells_call k = {x, grid, grid * grid, partner, labels, perm, trouble};
    BY_TYPE(x.half, cells_back, st, k, scale, lift, dx);
}
