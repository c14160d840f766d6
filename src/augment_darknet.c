/* augment_darknet.c: Darknet's distortions, so that its cfgs keep their meaning.
 *
 * A crop of the net's size w x h is taken from the image W x H turned by t, stretched by a, scaled
 * by s = r / min(H, W a) with r a whole number in min_crop..max_crop (0: the net's size), shifted
 * by dx, dy.  Output pixel (x, y) is read, bilinearly and black outside, at
 *     X = W/2 + cos t a (x - w/2 + dx)/s - sin t (y - h/2 + dy)/s
 *     Y = H/2 + sin t a (x - w/2 + dx)/s + cos t (y - h/2 + dy)/s
 * Shifts are uniform within what keeps the untilted crop inside the image; where the crop is larger
 * than the image there is no shift (pjreddie's goes to and fro over a black border).  aspect,
 * saturation and exposure v stand for u or 1/u with equal chance, u uniform in 1..v; hue is
 * added. */
#include "dataset.h"
#include <math.h>

int am_distort_wanted(const am_augment *a)
{
    return a->angle != 0 || (a->aspect != 1 && a->aspect > 0) || a->min_crop > 0 || a->max_crop > 0;
}

static double factor(am_rng *rng, double most)
{
    if (most <= 0) return 1;
    if (most < 1) most = 1 / most;
    double v = am_rng_between(rng, 1, most);
    return am_rng_below(rng, 2) ? 1 / v : v;
}

/* Pixel (x, y) of three channels, black outside, into sum with weight w. */
static void add_pixel(const am_image *img, int x, int y, double w, double *sum)
{
    if (x < 0 || y < 0 || x >= img->width || y >= img->height) return;
    const unsigned char *p = img->pixel + 3 * ((size_t)y * (size_t)img->width + (size_t)x);
    for (int c = 0; c < 3; c++) sum[c] += w * p[c];
}

void am_distort_apply(const am_augment *a, const am_image *img, am_rng *rng, unsigned char *out)
{
    int w = a->width, h = a->height, size = w < h ? w : h;
    int low = a->min_crop > 0 ? a->min_crop : size, high = a->max_crop > 0 ? a->max_crop : low;
    if (high < low) high = low;
    double stretch = factor(rng, a->aspect);
    int r = low + (int)am_rng_below(rng, (uint32_t)(high - low + 1));
    double W = img->width, H = img->height, s = r / fmin(H, W * stretch);
    double t = am_rng_between(rng, -a->angle, a->angle) * 3.14159265358979323846 / 180;
    double most_x = fmax(0, (W * s / stretch - w) / 2), most_y = fmax(0, (H * s - h) / 2);
    double dx = am_rng_between(rng, -most_x, most_x), dy = am_rng_between(rng, -most_y, most_y);
    double cosine = cos(t), sine = sin(t);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++, out += 3) {
            double u = stretch * (x - w / 2.0 + dx) / s, v = (y - h / 2.0 + dy) / s;
            double X = W / 2 + cosine * u - sine * v, Y = H / 2 + sine * u + cosine * v;
            int x0 = (int)floor(X), y0 = (int)floor(Y);
            double fx = X - x0, fy = Y - y0, sum[3] = {0.5, 0.5, 0.5};
            add_pixel(img, x0, y0, (1 - fx) * (1 - fy), sum);
            add_pixel(img, x0 + 1, y0, fx * (1 - fy), sum);
            add_pixel(img, x0, y0 + 1, (1 - fx) * fy, sum);
            add_pixel(img, x0 + 1, y0 + 1, fx * fy, sum);
            for (int c = 0; c < 3; c++) out[c] = (unsigned char)sum[c];
        }
}

/* One pixel through HSV: h in 0..6 counts sextants from red, v = max, s = (max - min) / max. */
static void jitter(unsigned char *p, double turn, double s_factor, double v_factor)
{
    double r = p[0] / 255.0, g = p[1] / 255.0, b = p[2] / 255.0;
    double v = fmax(r, fmax(g, b)), range = v - fmin(r, fmin(g, b)), h = 0;
    if (range > 0) {
        if (v == r) h = (g - b) / range;
        else if (v == g) h = 2 + (b - r) / range;
        else h = 4 + (r - g) / range;
    }
    double s = v > 0 ? fmin(1, range / v * s_factor) : 0;
    v = fmin(1, v * v_factor);
    h = fmod(h + 6 * turn + 12, 6);
    for (int c = 0; c < 3; c++) {
        double k = fmod(h + (double[]){5, 3, 1}[c], 6);
        double level = v - v * s * fmax(0, fmin(1, fmin(k, 4 - k)));
        p[c] = (unsigned char)(level * 255 + 0.5);
    }
}

int am_colour_wanted(const am_augment *a)
{
    int still =
        (a->saturation == 1 || a->saturation <= 0) && (a->exposure == 1 || a->exposure <= 0);
    return a->hue != 0 || !still;
}

void am_colour_jitter(const am_augment *a, am_rng *rng, unsigned char *pixel, size_t pixels)
{
    if (!am_colour_wanted(a)) return;
    double turn = am_rng_between(rng, -a->hue, a->hue);
    double s = factor(rng, a->saturation), v = factor(rng, a->exposure);
    for (size_t i = 0; i < pixels; i++) jitter(pixel + 3 * i, turn, s, v);
}
