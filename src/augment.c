/* augment.c: what the network sees of an image.
 *
 * Training, in this order, each only where asked for:
 *     resized_crop   a box of a random share of the area and a random shape becomes the picture
 *     resize         or: the shorter side to this, then a cut at random
 *                    or: where the image has not the net's size, the shorter side to it, then the
 *                    middle
 *     pad_crop p     p pixels on all sides, of black or mirrored without repeating the border, then
 *                    a cut at random
 *     flip           mirrored with probability 1/2
 *     hue, saturation, exposure
 * Darknet's angle, aspect, min_crop and max_crop take the place of the first four lines
 * (augment_darknet.c).  Validation, rng NULL: the cut is in the middle and nothing else happens;
 * resized_crop is not looked at. */
#include "dataset.h"
#include <math.h>
#include <string.h>

static am_view whole(const am_image *img)
{
    return (am_view){img->pixel, 3 * (size_t)img->width, img->width, img->height};
}

static am_view part(am_view v, int x, int y, int width, int height)
{
    return (am_view){v.pixel + (size_t)y * v.stride + 3 * (size_t)x, v.stride, width, height};
}

static void copy(am_view v, unsigned char *out)
{
    size_t row = 3 * (size_t)v.width;
    for (int y = 0; y < v.height; y++)
        memcpy(out + (size_t)y * row, v.pixel + (size_t)y * v.stride, row);
}

/* Szegedy et al. 2015: area A = WH U(scale), shape r = exp U(log ratio), w = sqrt(A r),
 * h = sqrt(A/r), up to ten tries; then the largest box in the middle whose shape is allowed. */
static am_view random_box(const am_augment *a, am_view v, am_rng *rng)
{
    double low = log(a->ratio_min), high = log(a->ratio_max);
    for (int tries = 0; tries < 10; tries++) {
        double area = (double)v.width * v.height * am_rng_between(rng, a->scale_min, a->scale_max);
        double shape = exp(am_rng_between(rng, low, high));
        int w = (int)nearbyint(sqrt(area * shape)), h = (int)nearbyint(sqrt(area / shape));
        if (w < 1 || h < 1 || w > v.width || h > v.height) continue;
        int y = (int)am_rng_below(rng, (uint32_t)(v.height - h + 1));
        int x = (int)am_rng_below(rng, (uint32_t)(v.width - w + 1));
        return part(v, x, y, w, h);
    }
    int w = v.width, h = v.height;
    double shape = (double)w / h;
    if (shape < a->ratio_min) h = (int)nearbyint(w / a->ratio_min);
    else if (shape > a->ratio_max) w = (int)nearbyint(h * a->ratio_max);
    if (w < 1) w = 1;
    if (h < 1) h = 1;
    return part(v, (v.width - w) / 2, (v.height - h) / 2, w, h);
}

/* Where a window of `size` lies in `room` >= size: at random, or in the middle. */
static int place(int room, int size, am_rng *rng)
{
    if (rng) return (int)am_rng_below(rng, (uint32_t)(room - size + 1));
    return (int)nearbyint((room - size) / 2.0);
}

/* Shorter side to `side`, then a window of the net's size; what a window does not need is
 * computed all the same, as the position in the resized picture must be a whole pixel. */
static am_status resize_and_cut(const am_augment *a, am_view v, int side, am_rng *rng,
                                unsigned char *out, am_scratch *s, am_err *e)
{
    int w = side, h = side;
    if (v.width < v.height) h = (int)((double)side * v.height / v.width);
    else w = (int)((double)side * v.width / v.height);
    if (w < a->width || h < a->height) { /* a net that is not square, or resize below its size */
        double grow = fmax((double)a->width / w, (double)a->height / h);
        w = (int)fmax(a->width, nearbyint(w * grow));
        h = (int)fmax(a->height, nearbyint(h * grow));
    }
    am_view big = v;
    if (w != v.width || h != v.height) {
        unsigned char *pixel = am_scratch_need(s, 2, 3 * (size_t)w * (size_t)h);
        if (!pixel)
            return am_fail(e, AM_ENOMEM, AM_NOPLACE, "no memory to resize a picture to %dx%d", w,
                           h);
        AM_TRY(am_resize_view(v, 0, 0, v.width, v.height, a->filter, w, h, pixel, s, e));
        big = (am_view){pixel, 3 * (size_t)w, w, h};
    }
    int y = place(h, a->height, rng), x = place(w, a->width, rng);
    copy(part(big, x, y, a->width, a->height), out);
    return AM_OK;
}

/* Index i of an axis padded by mirroring without the border pixel: -1 is 1, n is n-2.  n = 1 has
 * only its one pixel; a pad beyond the picture bounces to and fro. */
static int mirrored(int i, int n)
{
    int period = n > 1 ? 2 * (n - 1) : 1;
    i %= period;
    if (i < 0) i += period;
    return i < n ? i : period - i;
}

/* The window at (x, y), which may hang over the edges of v. */
static void cut_padded(am_view v, int x, int y, int reflect, unsigned char *out)
{
    size_t row = 3 * (size_t)v.width;
    for (int r = 0; r < v.height; r++, out += row) {
        int from = y + r;
        if (reflect) from = mirrored(from, v.height);
        if (from < 0 || from >= v.height) {
            memset(out, 0, row);
            continue;
        }
        const unsigned char *line = v.pixel + (size_t)from * v.stride;
        int left = x < 0 ? -x : 0, right = x > 0 ? x : 0;       /* columns beyond the edge */
        if (left > v.width) left = v.width;
        if (right > v.width) right = v.width;
        int inside = v.width - left - right;
        if (inside > 0) memcpy(out + 3 * left, line + 3 * (x > 0 ? x : 0), 3 * (size_t)inside);
        if (!reflect) {
            memset(out, 0, 3 * (size_t)left);
            memset(out + 3 * (v.width - right), 0, 3 * (size_t)right);
            continue;
        }
        for (int c = 0; c < left; c++) memcpy(out + 3 * c, line + 3 * mirrored(x + c, v.width), 3);
        for (int c = v.width - right; c < v.width; c++)
            memcpy(out + 3 * c, line + 3 * mirrored(x + c, v.width), 3);
    }
}

static void mirror(unsigned char *pixel, int width, int height)
{
    for (int y = 0; y < height; y++, pixel += 3 * (size_t)width)
        for (unsigned char *l = pixel, *r = pixel + 3 * ((size_t)width - 1); l < r;
             l += 3, r -= 3) {
            unsigned char t[3];
            memcpy(t, l, 3);
            memcpy(l, r, 3);
            memcpy(r, t, 3);
        }
}

static am_status to_size(const am_augment *a, const am_image *img, am_rng *rng, unsigned char *out,
                         am_scratch *s, am_err *e)
{
    am_view v = whole(img);
    if (rng && a->resized_crop) {
        v = random_box(a, v, rng);
        return am_resize_view(v, 0, 0, v.width, v.height, a->filter, a->width, a->height, out, s,
                              e);
    }
    if (a->resize > 0) return resize_and_cut(a, v, a->resize, rng, out, s, e);
    if (v.width != a->width || v.height != a->height)
        return resize_and_cut(a, v, a->width > a->height ? a->width : a->height, NULL, out, s, e);
    copy(v, out);
    return AM_OK;
}

static void draw_corner(const am_augment *a, am_rng *rng, am_window *to)
{
    uint32_t span = 2 * (uint32_t)a->pad_crop + 1;
    to->y = (int)am_rng_below(rng, span) - a->pad_crop;
    to->x = (int)am_rng_below(rng, span) - a->pad_crop;
}

static int draw_flip(const am_augment *a, am_rng *rng)
{
    return a->flip && am_rng_below(rng, 2);
}

int am_augment_moves(const am_augment *a)
{
    return !a->resized_crop && a->resize <= 0 && !am_distort_wanted(a) && !am_colour_wanted(a);
}

void am_augment_window(const am_augment *a, am_rng *rng, am_window *to)
{
    to->x = to->y = 0;
    if (a->pad_crop > 0) draw_corner(a, rng, to);
    to->flip = draw_flip(a, rng);
}

static am_status pad_and_cut(const am_augment *a, const am_image *img, am_rng *rng,
                             unsigned char *out, am_scratch *s, am_err *e)
{
    am_view v = whole(img);
    if (v.width != a->width || v.height != a->height || a->resize > 0 || a->resized_crop) {
        size_t size = 3 * (size_t)a->width * (size_t)a->height;
        AM_TRY(to_size(a, img, rng, out, s, e));
        unsigned char *pixel = am_scratch_need(s, 2, size);
        if (!pixel)
            return am_fail(e, AM_ENOMEM, AM_NOPLACE, "no memory to pad a picture of %dx%d",
                           a->width, a->height);
        memcpy(pixel, out, size);
        v = (am_view){pixel, 3 * (size_t)a->width, a->width, a->height};
    }
    am_window at;
    draw_corner(a, rng, &at);
    cut_padded(v, at.x, at.y, a->pad_reflect, out);
    return AM_OK;
}

am_status am_augment_with(const am_augment *a, const am_image *img, am_rng *rng, unsigned char *out,
                          am_scratch *s, am_err *e)
{
    if (!rng) return to_size(a, img, NULL, out, s, e);
    if (am_distort_wanted(a)) am_distort_apply(a, img, rng, out);
    else if (a->pad_crop > 0) AM_TRY(pad_and_cut(a, img, rng, out, s, e));
    else AM_TRY(to_size(a, img, rng, out, s, e));
    if (draw_flip(a, rng)) mirror(out, a->width, a->height);
    am_colour_jitter(a, rng, out, (size_t)a->width * (size_t)a->height);
    return AM_OK;
}

am_status am_augment_apply(const am_augment *a, const am_image *img, am_rng *rng,
                           unsigned char *out, am_err *e)
{
    am_scratch s = {0};
    am_status bad = am_augment_with(a, img, rng, out, &s, e);
    am_scratch_free(&s);
    return bad;
}
