/* resize.c: resampling as Pillow's, to the same bytes.
 *
 * Output pixel i of an axis looks at c = x0 + (i + 1/2) s of the input, s = box / output.  It is
 * the mean of the inputs k, weighted by f((k + 1/2 - c) / max(s, 1)): where the picture shrinks the
 * kernel is stretched with it, so that every input counts (antialiasing).  First along the rows,
 * rounded to bytes, then along the columns.
 *     bilinear  f(t) = 1 - |t|                                        |t| < 1
 *     bicubic   f(t) = 1.5|t|^3 - 2.5|t|^2 + 1                        |t| < 1
 *                      -0.5|t|^3 + 2.5|t|^2 - 4|t| + 2            1 <= |t| < 2
 * (Keys 1981, a = -1/2).  Weights are fixed point with 22 bits, normalised per output.  Inputs
 * beyond the edge are left out and the rest renormalised. */
#include "dataset.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BITS = 22 }; /* 8 for the pixel, 1 for the sign, 1 for overshoot */

typedef struct tap { int first, count; } tap;
typedef struct axis { tap *tap; int *weight; int most; } axis;      /* weight [outputs][most] */

void *am_scratch_need(am_scratch *s, int which, size_t size)
{
    if (s->size[which] < size) {
        free(s->bytes[which]);
        s->bytes[which] = malloc(size);
        s->size[which] = s->bytes[which] ? size : 0;
    }
    return s->bytes[which];
}

void am_scratch_free(am_scratch *s)
{
    for (int i = 0; i < 3; i++) free(s->bytes[i]);
    *s = (am_scratch){0};
}

static double kernel(am_filter f, double t)
{
    t = fabs(t);
    if (f == AM_BILINEAR) return t < 1 ? 1 - t : 0;
    if (t < 1) return (1.5 * t - 2.5) * t * t + 1;
    return t < 2 ? ((-0.5 * t + 2.5) * t - 4) * t + 2 : 0;
}

static int most_taps(am_filter f, double box, int out)
{
    double stretch = box / out > 1 ? box / out : 1;
    return (int)ceil((f == AM_BILINEAR ? 1 : 2) * stretch) * 2 + 1;
}

static size_t axis_bytes(int out, int most)
{
    return (size_t)out * (sizeof(tap) + (size_t)most * sizeof(int));
}

/* The weights of one axis, in memory of axis_bytes(). */
static axis plan(void *memory, am_filter f, double x0, double box, int in, int out)
{
    double scale = box / out, stretch = scale > 1 ? scale : 1;
    double reach = (f == AM_BILINEAR ? 1 : 2) * stretch;
    axis a = {memory, (int *)((tap *)memory + out), most_taps(f, box, out)};
    for (int i = 0; i < out; i++) {
        double centre = x0 + (i + 0.5) * scale, sum = 0;
        int first = (int)(centre - reach + 0.5), end = (int)(centre + reach + 0.5);
        if (first < 0) first = 0;
        if (end > in) end = in;
        a.tap[i] = (tap){first, end - first};
        for (int k = first; k < end; k++) sum += kernel(f, (k - centre + 0.5) * (1 / stretch));
        for (int k = first; k < end; k++) {
            double w = kernel(f, (k - centre + 0.5) * (1 / stretch));
            if (sum != 0) w *= 1 / sum;
            a.weight[(size_t)i * (size_t)a.most + (size_t)(k - first)] =
                (int)(w * (1 << BITS) + (w < 0 ? -0.5 : 0.5));
        }
    }
    return a;
}

static unsigned char to_byte(int sum)
{
    int v = sum >> BITS;
    return (unsigned char)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* in: `rows` rows of which the axis picks columns; out [rows][width][3] */
static void along_rows(axis a, const unsigned char *in, size_t stride, int rows, int width,
                       unsigned char *out)
{
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < width; x++, out += 3) {
            const unsigned char *p = in + (size_t)y * stride + 3 * (size_t)a.tap[x].first;
            const int *w = a.weight + (size_t)x * (size_t)a.most;
            int r = 1 << (BITS - 1), g = r, b = r;
            for (int k = 0; k < a.tap[x].count; k++, p += 3) {
                r += w[k] * p[0];
                g += w[k] * p[1];
                b += w[k] * p[2];
            }
            out[0] = to_byte(r);
            out[1] = to_byte(g);
            out[2] = to_byte(b);
        }
}

/* in [..][width][3], whose row 0 is row `above` of the axis; sum [3 width];
 * out [height][width][3] */
static void along_columns(axis a, const unsigned char *in, int above, int width, int height,
                          int *sum, unsigned char *out)
{
    size_t row = 3 * (size_t)width;
    for (int y = 0; y < height; y++, out += row) {
        const int *w = a.weight + (size_t)y * (size_t)a.most;
        const unsigned char *p = in + (size_t)(a.tap[y].first - above) * row;
        for (size_t x = 0; x < row; x++) sum[x] = 1 << (BITS - 1);
        for (int k = 0; k < a.tap[y].count; k++, p += row)
            for (size_t x = 0; x < row; x++) sum[x] += w[k] * p[x];
        for (size_t x = 0; x < row; x++) out[x] = to_byte(sum[x]);
    }
}

static int nearest(double x0, double scale, int i, int size)
{
    int k = (int)floor(x0 + (i + 0.5) * scale);
    return k < 0 ? 0 : k >= size ? size - 1 : k;
}

static void pick(am_view v, double x0, double y0, double w, double h, int width, int height,
                 unsigned char *out)
{
    for (int y = 0; y < height; y++) {
        const unsigned char *row =
            v.pixel + (size_t)nearest(y0, h / height, y, v.height) * v.stride;
        for (int x = 0; x < width; x++, out += 3)
            memcpy(out, row + 3 * nearest(x0, w / width, x, v.width), 3);
    }
}

am_status am_resize_view(am_view v, double x0, double y0, double w, double h, am_filter f,
                         int width, int height, unsigned char *out, am_scratch *s, am_err *e)
{
    if (!(w > 0 && h > 0 && x0 >= 0 && y0 >= 0 && x0 + w <= v.width && y0 + h <= v.height))
        return am_fail(e, AM_EINPUT, AM_NOPLACE,
                       "the box %g %g %g %g does not lie in a picture of %dx%d", x0, y0, w, h,
                       v.width, v.height);
    if (f == AM_NEAREST) {
        pick(v, x0, y0, w, h, width, height, out);
        return AM_OK;
    }
    int wide = most_taps(f, w, width), high = most_taps(f, h, height);
    char *memory = am_scratch_need(
        s, 0, axis_bytes(width, wide) + axis_bytes(height, high) + 3 * sizeof(int) * (size_t)width);
    if (!memory)
        return am_fail(e, AM_ENOMEM, AM_NOPLACE, "no memory to resize a picture to %dx%d", width,
                       height);
    axis across = plan(memory, f, x0, w, v.width, width);
    memory += axis_bytes(width, wide);
    axis down = plan(memory, f, y0, h, v.height, height);
    memory += axis_bytes(height, high);
    tap last = down.tap[height - 1];
    int above = down.tap[0].first,
        rows = last.first + last.count - above; /* only these are looked at */
    unsigned char *half = am_scratch_need(s, 1, 3 * (size_t)rows * (size_t)width);
    if (!half)
        return am_fail(e, AM_ENOMEM, AM_NOPLACE, "no memory to resize a picture to %dx%d", width,
                       height);
    along_rows(across, v.pixel + (size_t)above * v.stride, v.stride, rows, width, half);
    along_columns(down, half, above, width, height, (int *)memory, out);
    return AM_OK;
}

am_status am_image_resize(const am_image *from, double x0, double y0, double w, double h,
                          am_filter f, am_image *to, am_err *e)
{
    am_scratch s = {0};
    am_view v = {from->pixel, 3 * (size_t)from->width, from->width, from->height};
    am_status bad = am_resize_view(v, x0, y0, w, h, f, to->width, to->height, to->pixel, &s, e);
    am_scratch_free(&s);
    return bad;
}
