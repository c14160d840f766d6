/* picture.c: the strokes and fills that charts and sheets are built of.  Whatever lies outside the
 * image is left out. */
#include "picture.h"
#include <math.h>

static int clip(double v, int most) { return v < 0 ? 0 : v > most ? most : (int)v; }

static void blend(unsigned char *pixel, am_colour c, double cover)
{
    pixel[0] = (unsigned char)lrint(pixel[0] + cover * (c.r - pixel[0]));
    pixel[1] = (unsigned char)lrint(pixel[1] + cover * (c.g - pixel[1]));
    pixel[2] = (unsigned char)lrint(pixel[2] + cover * (c.b - pixel[2]));
}

static unsigned char *pixel_at(am_image *img, int x, int y)
{
    return img->pixel + 3 * ((size_t)y * (size_t)img->width + (size_t)x);
}

void am_draw_fill(am_image *img, int x, int y, int w, int h, am_colour c)
{
    int left = clip(x, img->width), right = clip((double)x + w, img->width);
    int top = clip(y, img->height), bottom = clip((double)y + h, img->height);
    for (y = top; y < bottom; y++)
        for (x = left; x < right; x++) {
            unsigned char *p = pixel_at(img, x, y);
            p[0] = c.r;
            p[1] = c.g;
            p[2] = c.b;
        }
}

/* A capsule: a pixel is covered by as much as its centre lies within half the width of the segment,
 * over one pixel of transition.  Points are in pixels, pixel 0 reaching from 0 to 1. */
void am_draw_line(am_image *img, double x0, double y0, double x1, double y1, double width,
                  am_colour c)
{
    double dx = x1 - x0, dy = y1 - y0, length2 = dx * dx + dy * dy, reach = width / 2 + .5;
    if (!isfinite(length2)) return;
    int left = clip(floor(fmin(x0, x1) - reach), img->width);
    int right = clip(ceil(fmax(x0, x1) + reach), img->width);
    int top = clip(floor(fmin(y0, y1) - reach), img->height);
    int bottom = clip(ceil(fmax(y0, y1) + reach), img->height);
    for (int y = top; y < bottom; y++)
        for (int x = left; x < right; x++) {
            double px = x + .5 - x0, py = y + .5 - y0;
            double along = length2 > 0 ? (px * dx + py * dy) / length2 : 0;
            along = along < 0 ? 0 : along > 1 ? 1 : along;
            double cover = reach - hypot(px - along * dx, py - along * dy);
            if (cover > 0) blend(pixel_at(img, x, y), c, cover > 1 ? 1 : cover);
        }
}

void am_draw_image(am_image *img, int x, int y, const am_image *from, int zoom)
{
    for (int v = 0; v < from->height; v++)
        for (int u = 0; u < from->width; u++) {
            size_t at = 3 * ((size_t)v * (size_t)from->width + (size_t)u);
            am_colour c = {from->pixel[at], from->pixel[at + 1], from->pixel[at + 2]};
            am_draw_fill(img, x + u * zoom, y + v * zoom, zoom, zoom, c);
        }
}

/* Linear light to a byte of sRGB. */
static unsigned char encode(double v)
{
    v = v < 0 ? 0 : v > 1 ? 1 : v;
    return (unsigned char)lrint(255 * (v <= .0031308 ? 12.92 * v : 1.055 * pow(v, 1 / 2.4) - .055));
}

/* From dark violet over blue and green to light yellow, in Oklab (Ottosson 2020), where equal steps
 * look equal: lightness rises evenly, the hue turns, and the chroma is what sRGB still can show. */
am_colour am_heat(double v)
{
    v = v > 0 ? v < 1 ? v : 1 : 0;                      /* NaN becomes 0 */
    double light = .27 + .68 * v, chroma = .1 + .05 * v * v * v, hue = 5.32325 - 3.57792 * v;
    double a = chroma * cos(hue), b = chroma * sin(hue);
    double l = pow(light + .3963377774 * a + .2158037573 * b, 3);
    double m = pow(light - .1055613458 * a - .0638541728 * b, 3);
    double s = pow(light - .0894841775 * a - 1.2914855480 * b, 3);
    return (am_colour){
        encode(4.0767416621 * l - 3.3077115913 * m + .2309699292 * s),
        encode(-1.2684380046 * l + 2.6097574011 * m - .3413193965 * s),
        encode(-.0041960863 * l - .7034186147 * m + 1.7076147010 * s),
    };
}
