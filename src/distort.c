/* distort.c: what a byte becomes, and where a pixel comes from.
 *
 *   autocontrast   each channel stretched to 0 .. 255        solarize   v >= threshold -> 255 - v
 *   equalize       each channel's histogram levelled         posterize  only the top bits
 *   rotate, shear, translate: the place in the source of each pixel's centre; black where that lies
 *   outside, else bilinear, held at the border
 *
 * Whole numbers of a level are floor(level x / 10): degrees of 30, pixels of a third of the image,
 * thresholds of 256, bits of 4; shears are level 0.3 / 10. */
#include "distort.h"
#include <math.h>
#include <string.h>

static int part(double level, double of)
{
    return (int)floor(level * of / 10);
}

static void use_table(am_picture p, int channel, const unsigned char *table,
                      const unsigned char *from, unsigned char *to)
{
    for (int i = channel; i < p.h * p.w * p.c; i += p.c) to[i] = table[from[i]];
}

static void autocontrast(am_picture p, int channel, const unsigned char *from, unsigned char *table)
{
    int least = 255, most = 0;
    for (int i = channel; i < p.h * p.w * p.c; i += p.c) {
        least = from[i] < least ? from[i] : least;
        most = from[i] > most ? from[i] : most;
    }
    for (int v = 0; v < 256; v++) {
        int stretched = most > least ? (v - least) * 255 / (most - least) : v;
        table[v] = (unsigned char)(stretched < 0 ? 0 : stretched > 255 ? 255 : stretched);
    }
}

static void equalize(am_picture p, int channel, const unsigned char *from, unsigned char *table)
{
    int count[256] = {0}, top = 255, below = 0;
    for (int i = channel; i < p.h * p.w * p.c; i += p.c) count[from[i]]++;
    while (top > 0 && !count[top]) top--;
    int step = (p.h * p.w - count[top]) / 255;
    for (int v = 0; v < 256; v++) {
        int level = step ? (step / 2 + below) / step : v;
        table[v] = (unsigned char)(level > 255 ? 255 : level);
        below += count[v];
    }
}

/* in = m (out's centre) + shift, m row by row */
static void move(am_picture p, const double m[4], double shift_x, double shift_y,
                 const unsigned char *from, unsigned char *to)
{
    for (int y = 0; y < p.h; y++)
        for (int x = 0; x < p.w; x++) {
            double u = m[0] * (x + 0.5) + m[1] * (y + 0.5) + shift_x,
                   v = m[2] * (x + 0.5) + m[3] * (y + 0.5) + shift_y;
            unsigned char *pixel = to + (size_t)((y * p.w + x) * p.c);
            if (!(u >= 0 && u < p.w && v >= 0 && v < p.h)) {
                memset(pixel, 0, (size_t)p.c);
                continue;
            }
            u = fmin(fmax(u - 0.5, 0), p.w - 1);
            v = fmin(fmax(v - 0.5, 0), p.h - 1);
            int x0 = (int)u, y0 = (int)v, x1 = x0 + (x0 < p.w - 1), y1 = y0 + (y0 < p.h - 1);
            double a = u - x0, b = v - y0;
            for (int c = 0; c < p.c; c++) {
                double top =
                    (1 - a) * from[(y0 * p.w + x0) * p.c + c] + a * from[(y0 * p.w + x1) * p.c + c];
                double bottom =
                    (1 - a) * from[(y1 * p.w + x0) * p.c + c] + a * from[(y1 * p.w + x1) * p.c + c];
                pixel[c] = (unsigned char)((1 - b) * top + b * bottom + 1e-9);
            }
        }
}

void am_distort(int what, double level, int sign, am_picture p, const unsigned char *from,
                unsigned char *to)
{
    double angle = -sign * part(level, 30) * 3.14159265358979323846 / 180, co = cos(angle),
           si = sin(angle), shear = sign * level * 0.03;
    unsigned char table[256];
    switch (what) {
    case AM_ROTATE:
        move(p, (double[]){co, si, -si, co}, p.w / 2.0 * (1 - co) - p.h / 2.0 * si,
             p.w / 2.0 * si + p.h / 2.0 * (1 - co), from, to);
        return;
    case AM_SHEAR_X: move(p, (double[]){1, shear, 0, 1}, 0, 0, from, to); return;
    case AM_SHEAR_Y: move(p, (double[]){1, 0, shear, 1}, 0, 0, from, to); return;
    case AM_TRANSLATE_X:
        move(p, (double[]){1, 0, 0, 1}, sign * part(level, p.w / 3.0), 0, from, to);
        return;
    case AM_TRANSLATE_Y:
        move(p, (double[]){1, 0, 0, 1}, 0, sign * part(level, p.h / 3.0), from, to);
        return;
    default: break;
    }
    for (int c = 0; c < p.c; c++) {
        int drop = 4 + part(level, 4), threshold = 256 - part(level, 256);
        if (what == AM_AUTOCONTRAST)
            autocontrast(p, c, from, table);
        else if (what == AM_EQUALIZE)
            equalize(p, c, from, table);
        else
            for (int v = 0; v < 256; v++)
                table[v] = (unsigned char)(what == AM_POSTERIZE ? v >> drop << drop
                                           : v >= threshold     ? 255 - v
                                                                : v);
        use_table(p, c, table, from, to);
    }
}
