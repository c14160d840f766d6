/* pool.cu: max pooling by Darknet's rule, and the global average.
 *
 * A window begins at -(pad / 2), rounded towards zero; outside counts as -infinity.  Of equal values
 * the first in reading order wins and alone gets the gradient; its place in the window is kept, -1
 * for a window that lies wholly outside.  The way back gathers: each pixel asks the windows it is in. */
#include "device.cuh"

template <class X, class Y> static void maxpool(am_stream st, am_pool p, am_view x, am_view y, short *index)
{
    const int begin = -(p.pad / 2);
    each(st, y.n, view_sample(y), [=] __device__(int s, size_t i) {
        const int ch = (int)(i % (size_t)y.c), pixel = (int)(i / (size_t)y.c), v = pixel / y.w, u = pixel % y.w;
        float best = -INFINITY;
        int where = -1;
        for (int k = 0; k < p.size * p.size; k++) {
            const int row = begin + v * p.stride + k / p.size, column = begin + u * p.stride + k % p.size;
            if (row < 0 || row >= x.h || column < 0 || column >= x.w) continue;
            const float value = load((const X *)x.p, (size_t)s * x.step + (size_t)(row * x.w + column) * (size_t)x.c + (size_t)ch);
            if (where < 0 || value > best) best = value, where = k;
        }
        store((Y *)y.p, (size_t)s * y.step + i, best);
        if (index) index[(size_t)s * y.step + i] = (short)where;
    });
}
void am_gpu_maxpool(am_stream st, am_pool p, am_view x, am_view y, short *index)
{
    BY_TYPES(x.half, y.half, maxpool, st, p, x, y, index);
}

template <class X, class Y>
static void maxpool_back(am_stream st, am_pool p, const short *index, am_view dy, am_view_grad dx)
{
    const am_view d = dx.d;
    const int begin = -(p.pad / 2);
    each(st, d.n, view_sample(d), [=] __device__(int s, size_t i) {
        const int ch = (int)(i % (size_t)d.c), pixel = (int)(i / (size_t)d.c);
        const int row = pixel / d.w - begin, column = pixel % d.w - begin;      /* from the first window's corner */
        const int v0 = row < p.size ? 0 : (row - p.size) / p.stride + 1, u0 = column < p.size ? 0 : (column - p.size) / p.stride + 1;
        float sum = 0;
        for (int v = v0; v < dy.h && v * p.stride <= row; v++)
            for (int u = u0; u < dy.w && u * p.stride <= column; u++) {
                const size_t at = (size_t)s * dy.step + (size_t)(v * dy.w + u) * (size_t)dy.c + (size_t)ch;
                if (index[at] == (row - v * p.stride) * p.size + column - u * p.stride) sum += load((const Y *)dy.p, at);
            }
        give((X *)d.p, (size_t)s * d.step + i, dx.beta, sum);
    });
}
void am_gpu_maxpool_back(am_stream st, am_pool p, const short *index, am_view dy, am_view_grad dx)
{
    BY_TYPES(dx.d.half, dy.half, maxpool_back, st, p, index, dy, dx);
}

template <class T> static void avgpool(am_stream st, am_view x, float *y)
{
    const int plane = x.h * x.w;
    each(st, x.n, (size_t)x.c, [=] __device__(int s, size_t ch) {
        double sum = 0;
        for (int k = 0; k < plane; k++) sum += (double)load((const T *)x.p, (size_t)s * x.step + (size_t)k * (size_t)x.c + ch);
        y[(size_t)s * (size_t)x.c + ch] = (float)(sum / plane);
    });
}
void am_gpu_avgpool(am_stream st, am_view x, float *y) { BY_TYPE(x.half, avgpool, st, x, y); }

template <class T> static void avgpool_back(am_stream st, const float *dy, am_view_grad dx)
{
    const am_view d = dx.d;
    const float plane = (float)(d.h * d.w);
    each(st, d.n, view_sample(d), [=] __device__(int s, size_t i) {
        give((T *)d.p, (size_t)s * d.step + i, dx.beta, dy[(size_t)s * (size_t)d.c + i % (size_t)d.c] / plane);
    });
}
void am_gpu_avgpool_back(am_stream st, const float *dy, am_view_grad dx) { BY_TYPE(dx.d.half, avgpool_back, st, dy, dx); }
