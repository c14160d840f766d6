/* elementwise.cu: one output number from a few input numbers, in whatever element type. */
#include "device.cuh"

/* Element i of a sample in NHWC, counted in NCHW. */
static __device__ inline size_t planar(size_t i, int c, size_t plane) { return i % (size_t)c * plane + i / (size_t)c; }

template <class T> static void put(am_stream st, const float *nchw, am_view v)
{
    const size_t k = view_sample(v), plane = (size_t)v.h * (size_t)v.w;
    each(st, v.n, k, [=] __device__(int s, size_t i) {
        store((T *)v.p, (size_t)s * v.step + i, nchw[(size_t)s * k + planar(i, v.c, plane)]);
    });
}
void am_gpu_put(am_stream st, const float *nchw, am_view v) { BY_TYPE(v.half, put, st, nchw, v); }

template <class T> static void get(am_stream st, am_view v, float *nchw)
{
    const size_t k = view_sample(v), plane = (size_t)v.h * (size_t)v.w;
    each(st, v.n, k, [=] __device__(int s, size_t i) {
        nchw[(size_t)s * k + planar(i, v.c, plane)] = load((const T *)v.p, (size_t)s * v.step + i);
    });
}
void am_gpu_get(am_stream st, am_view v, float *nchw) { BY_TYPE(v.half, get, st, v, nchw); }

template <class T>
static void put_bytes(am_stream st, const unsigned char *nhwc, am_channels by, am_view v)
{
    const size_t k = view_sample(v);
    each(st, v.n, k, [=] __device__(int s, size_t i) {
        const size_t ch = i % (size_t)v.c;
        store((T *)v.p, (size_t)s * v.step + i, am_arith_level(nhwc[(size_t)s * k + i], by.mean[ch], by.std[ch]));
    });
}
void am_gpu_put_bytes(am_stream st, const unsigned char *nhwc, am_channels by, am_view v)
{
    BY_TYPE(v.half, put_bytes, st, nhwc, by, v);
}

template <class T>
static void gather(am_stream st, int images, const unsigned char *set, const int *windows, int reflect, am_channels by,
                   am_view v, am_trouble trouble)
{
    const size_t k = view_sample(v);
    each(st, v.n, k, [=] __device__(int s, size_t i) {
        const int *w = windows + (size_t)AM_WINDOW * (size_t)s, image = w[AM_WINDOW_IMAGE];
        const int ch = (int)i % v.c, pixel = (int)i / v.c, column = pixel % v.w;
        int row = w[AM_WINDOW_Y] + pixel / v.w, at = w[AM_WINDOW_X] + (w[AM_WINDOW_FLIP] ? v.w - 1 - column : column);
        if (image >= images) {
            *trouble.word = trouble.op;
            return;
        }
        if (reflect) row = am_arith_mirrored(row, v.h), at = am_arith_mirrored(at, v.w);
        unsigned char byte = 0;
        if (image >= 0 && row >= 0 && row < v.h && at >= 0 && at < v.w)
            byte = set[(size_t)image * k + ((size_t)row * (size_t)v.w + (size_t)at) * (size_t)v.c + (size_t)ch];
        store((T *)v.p, (size_t)s * v.step + i, am_arith_level(byte, by.mean[ch], by.std[ch]));
    });
}
void am_gpu_gather(am_stream st, int images, const unsigned char *set, const int *windows, int reflect, am_channels by,
                   am_view v, am_trouble trouble)
{
    BY_TYPE(v.half, gather, st, images, set, windows, reflect, by, v, trouble);
}

template <class T> static void add(am_stream st, float a, am_view x, float b, am_view r, int act, am_view y)
{
    each(st, x.n, view_sample(x), [=] __device__(int s, size_t i) {
        const size_t at = (size_t)s * x.step + i;
        float v = a * load((const T *)x.p, at);
        if (r.p) v += b * load((const T *)r.p, at);
        store((T *)y.p, at, am_arith_act(act, v));
    });
}
void am_gpu_add(am_stream st, float a, am_view x, float b, am_view r, int act, am_view y)
{
    BY_TYPE(x.half, add, st, a, x, b, r, act, y);
}

template <class T> static void act_back(am_stream st, int act, am_view y, am_view dy, float a, am_view_grad dx)
{
    each(st, dy.n, view_sample(dy), [=] __device__(int s, size_t i) {
        const size_t at = (size_t)s * dy.step + i;
        const float slope = act == AM_LINEAR ? 1 : am_arith_slope(act, load((const T *)y.p, at));
        give((T *)dx.d.p, at, dx.beta, a * slope * load((const T *)dy.p, at));
    });
}
void am_gpu_act_back(am_stream st, int act, am_view y, am_view dy, float a, am_view_grad dx)
{
    BY_TYPE(dy.half, act_back, st, act, y, dy, a, dx);
}

template <class T> static void dropout(am_stream st, float p, const int *seed, int salt, am_view x, am_view_grad y)
{
    const size_t k = view_sample(x), plane = (size_t)x.h * (size_t)x.w;
    const float keep = 1 / (1 - p);
    each(st, x.n, k, [=] __device__(int s, size_t i) {
        const size_t at = (size_t)s * x.step + i;
        const float chance = am_arith_chance(seed[0], seed[1], salt, (uint64_t)s * k + planar(i, x.c, plane));
        give((T *)y.d.p, at, y.beta, chance < p ? 0 : keep * load((const T *)x.p, at));
    });
}
void am_gpu_dropout(am_stream st, float p, const int *seed, int salt, am_view x, am_view y)
{
    const am_view_grad to = {y, 0};
    BY_TYPE(x.half, dropout, st, p, seed, salt, x, to);
}
void am_gpu_dropout_back(am_stream st, float p, const int *seed, int salt, am_view dy, am_view_grad dx)
{
    BY_TYPE(dy.half, dropout, st, p, seed, salt, dy, dx);
}

/* Several threads may write the flag, all of them the same 1. */
template <class T> static void finite(am_stream st, am_view x, float *flag)
{
    each(st, x.n, view_sample(x), [=] __device__(int s, size_t i) {
        const float v = load((const T *)x.p, (size_t)s * x.step + i);
        if (v - v != 0) *flag = 1;
    });
}
void am_gpu_finite(am_stream st, am_view x, float *flag) { BY_TYPE(x.half, finite, st, x, flag); }

template <class T>
static void affine(am_stream st, am_view x, const float *scale, const float *shift, am_view residual, int act, am_view y)
{
    each(st, x.n, view_sample(x), [=] __device__(int s, size_t i) {
        const size_t at = (size_t)s * x.step + i, ch = i % (size_t)x.c;
        float v = load((const T *)x.p, at);
        if (scale) v *= scale[ch];
        if (shift) v += shift[ch];
        if (residual.p) v += load((const T *)residual.p, at);
        store((T *)y.p, at, am_arith_act(act, v));
    });
}
void am_gpu_affine(am_stream st, am_view x, const float *scale, const float *shift, am_view residual, int act, am_view y)
{
    BY_TYPE(x.half, affine, st, x, scale, shift, residual, act, y);
}

/* ---- routes: x is channels first .. first + x.c of y ---- */

template <class T> static void route(am_stream st, am_view x, int first, am_view y)
{
    each(st, x.n, view_sample(x), [=] __device__(int s, size_t i) {
        const size_t pixel = i / (size_t)x.c, ch = (size_t)first + i % (size_t)x.c;
        ((T *)y.p)[(size_t)s * y.step + pixel * (size_t)y.c + ch] = ((const T *)x.p)[(size_t)s * x.step + i];
    });
}
void am_gpu_route(am_stream st, am_view x, int first, am_view y) { BY_TYPE(x.half, route, st, x, first, y); }

template <class T> static void route_back(am_stream st, am_view dy, int first, am_view_grad dx)
{
    const am_view d = dx.d;
    each(st, d.n, view_sample(d), [=] __device__(int s, size_t i) {
        const size_t pixel = i / (size_t)d.c, ch = (size_t)first + i % (size_t)d.c;
        give((T *)d.p, (size_t)s * d.step + i, dx.beta,
             load((const T *)dy.p, (size_t)s * dy.step + pixel * (size_t)dy.c + ch));
    });
}
void am_gpu_route_back(am_stream st, am_view dy, int first, am_view_grad dx)
{
    BY_TYPE(dy.half, route_back, st, dy, first, dx);
}

/* ---- upsampling by repetition; one pixel in may be rows while what comes out is not ---- */

template <class X, class Y> static void upsample(am_stream st, int stride, float scale, am_view x, am_view y)
{
    each(st, y.n, view_sample(y), [=] __device__(int s, size_t i) {
        const int ch = (int)(i % (size_t)y.c), pixel = (int)(i / (size_t)y.c);
        const int v = pixel / y.w / stride, u = pixel % y.w / stride;
        const size_t from = (size_t)s * x.step + (size_t)(v * x.w + u) * (size_t)x.c + (size_t)ch;
        store((Y *)y.p, (size_t)s * y.step + i, scale * load((const X *)x.p, from));
    });
}
void am_gpu_upsample(am_stream st, int stride, float scale, am_view x, am_view y)
{
    BY_TYPES(x.half, y.half, upsample, st, stride, scale, x, y);
}

template <class X, class Y>
static void upsample_back(am_stream st, int stride, float scale, am_view dy, am_view_grad dx)
{
    const am_view d = dx.d;
    each(st, d.n, view_sample(d), [=] __device__(int s, size_t i) {
        const int ch = (int)(i % (size_t)d.c), pixel = (int)(i / (size_t)d.c);
        const int v = pixel / d.w * stride, u = pixel % d.w * stride;
        float sum = 0;
        for (int a = 0; a < stride; a++)
            for (int b = 0; b < stride; b++)
                sum += load((const Y *)dy.p, (size_t)s * dy.step + (size_t)((v + a) * dy.w + u + b) * (size_t)dy.c + (size_t)ch);
        give((X *)d.p, (size_t)s * d.step + i, dx.beta, scale * sum);
    });
}
void am_gpu_upsample_back(am_stream st, int stride, float scale, am_view dy, am_view_grad dx)
{
    BY_TYPES(dx.d.half, dy.half, upsample_back, st, stride, scale, dy, dx);
}
