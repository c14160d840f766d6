/* layout.c: activations in and out of the padded NHWC layout (simd.h). */
#include "simd.h"
#include "vec.h"

/* Elements from one sample to the next; a sample takes a multiple of 16 floats of room. */
static size_t sample_elems(am_shape s)
{
    size_t pixels = (size_t)s.h * (size_t)s.w;
    if (am_simd_one_pixel(s)) return (size_t)s.c;
    size_t unit = 16 * sizeof(float) / sizeof(elem);
    return (pixels * (size_t)am_simd_channels(s.c) + unit - 1) / unit * unit;
}

static size_t room(am_backend *be, am_shape s)
{
    (void)be;
    if (am_simd_one_pixel(s)) return (size_t)s.n * (size_t)s.c;
    return (size_t)s.n * sample_elems(s) * sizeof(elem) / sizeof(float);
}

static elem *elems(am_dev d)
{
    return (elem *)(void *)d.p;
}

static void put_nchw(am_backend *be, am_shape s, const float *nchw, am_dev d)
{
    if (am_simd_one_pixel(s)) {
        am_cpu_put(be, s, nchw, d);
        return;
    }
    size_t pixels = (size_t)s.h * (size_t)s.w, pixel = (size_t)am_simd_channels(s.c);
    for (int n = 0; n < s.n; n++) {
        elem *to = elems(d) + (size_t)n * sample_elems(s);
        memset(to, 0, sample_elems(s) * sizeof *to);
        for (int c = 0; c < s.c; c++, nchw += pixels)
            for (size_t i = 0; i < pixels; i++) to[i * pixel + (size_t)c] = put(nchw[i]);
    }
}

static void get_nchw(am_backend *be, am_shape s, am_dev d, float *nchw)
{
    if (am_simd_one_pixel(s)) {
        am_cpu_get(be, s, d, nchw);
        return;
    }
    size_t pixels = (size_t)s.h * (size_t)s.w, pixel = (size_t)am_simd_channels(s.c);
    for (int n = 0; n < s.n; n++) {
        const elem *from = elems(d) + (size_t)n * sample_elems(s);
        for (int c = 0; c < s.c; c++, nchw += pixels)
            for (size_t i = 0; i < pixels; i++) nchw[i] = get(from[i * pixel + (size_t)c]);
    }
}

static void put_bytes(am_backend *be, am_shape s, const unsigned char *nhwc, const float *mean,
                      const float *std, am_dev d)
{
    if (am_simd_one_pixel(s)) {
        am_cpu_put_bytes(be, s, nhwc, mean, std, d);
        return;
    }
    size_t pixels = (size_t)s.h * (size_t)s.w, pixel = (size_t)am_simd_channels(s.c);
    for (int n = 0; n < s.n; n++) {
        elem *to = elems(d) + (size_t)n * sample_elems(s);
        memset(to, 0, sample_elems(s) * sizeof *to);
        for (size_t i = 0; i < pixels; i++, nhwc += s.c)
            for (int c = 0; c < s.c; c++)
                to[i * pixel + (size_t)c] = put(((float)nhwc[c] / 255 - mean[c]) / std[c]);
    }
}
