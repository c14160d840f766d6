/* saliency.c: two detectors that need no training.
 *
 * Fine-grained (Montabone and Soto 2010), as a camera's eye works: how much brighter (on) or darker
 * (off) is a pixel than the mean of the window around it, summed over six windows.  All in integers
 * where OpenCV's detector has them, so that the map is the same to the bit, but for one thing: the
 * sum of on and off is clamped where OpenCV lets its byte wrap round.  Grey is taken from RGB, and
 * pixels are bytes (the published SaliencyMix hands floats to a detector that reads bytes).
 *
 * Spectral residual (Hou and Zhang 2007): of a 64 x 64 grey image, what the log spectrum has beyond
 * its own 3 x 3 mean, back with the old phase, squared and smoothed. */
#include "saliency.h"
#include <math.h>
#include <string.h>

enum { SIDE = 64 };

size_t am_saliency_room(int h, int w)
{
    size_t pixels = (size_t)h * (size_t)w,
           fine =
               (size_t)(h + 1) * (size_t)(w + 1) * sizeof(float) + pixels * (2 * sizeof(int) + 2);
    size_t spectral = (6 * SIDE * SIDE + 2 * SIDE) * sizeof(double);
    return (fine > spectral ? fine : spectral) + 64;
}

static int grey_of(const unsigned char *p, int c)
{
    return c < 3 ? p[0] : (9798 * p[0] + 19235 * p[1] + 3735 * p[2] + (1 << 14)) >> 15;
}

static int mirror(int i, int n) /* without repeating the edge */
{
    if (n == 1) return 0;
    return i < 0 ? -i : i >= n ? 2 * n - 2 - i : i;
}

/* 3 x 3 [1 2 1] each way, / 16, rounded */
static void blur(const unsigned char *from, int h, int w, unsigned char *to)
{
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            int sum = 0;
            for (int i = -1; i <= 1; i++)
                for (int j = -1; j <= 1; j++)
                    sum += (2 - (i != 0)) * (2 - (j != 0)) *
                           from[mirror(y + i, h) * w + mirror(x + j, w)];
            to[y * w + x] = (unsigned char)((sum + 8) >> 4);
        }
}

static int within(int v, int most)
{
    return v < 0 ? 0 : v > most ? most : v;
}

/* On and off of one window of 2 n + 1, itself not counted. */
static void add_window(const unsigned char *grey, const float *sum, int h, int w, int n, int *on,
                       int *off)
{
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            int x1 = within(x - n + 1, w), x2 = within(x + n + 1, w), y1 = within(y - n + 1, h),
                y2 = within(y + n + 1, h);
            float here = grey[y * w + x];
            float all = sum[y2 * (w + 1) + x2] + sum[y1 * (w + 1) + x1] - sum[y2 * (w + 1) + x1] -
                        sum[y1 * (w + 1) + x2];
            float mean = (all - here) / (float)((x2 - x1) * (y2 - y1) - 1);
            if (here > mean) on[y * w + x] += (int)(here - mean);
            if (mean > here) off[y * w + x] += (int)(mean - here);
        }
}

static int greatest(const int *v, int n)
{
    int most = 0;
    for (int i = 0; i < n; i++) most = v[i] > most ? v[i] : most;
    return most;
}

void am_saliency_fine(const unsigned char *pixel, int h, int w, int c, void *room,
                      unsigned char *map)
{
    static const int windows[] = {12, 24, 48, 28, 56, 112};
    int n = h * w;
    float *sum = room;
    int *on = (int *)(void *)(sum + (size_t)(h + 1) * (size_t)(w + 1)), *off = on + n;
    unsigned char *grey = (unsigned char *)(off + n), *other = grey + n;
    for (int i = 0; i < n; i++) grey[i] = (unsigned char)grey_of(pixel + (size_t)i * (size_t)c, c);
    blur(grey, h, w, other);
    blur(other, h, w, grey);
    memset(sum, 0, (size_t)(h + 1) * (size_t)(w + 1) * sizeof *sum);
    for (int y = 0; y < h; y++) {
        float row = 0;
        for (int x = 0; x < w; x++) {
            row += grey[y * w + x];
            sum[(y + 1) * (w + 1) + x + 1] = sum[y * (w + 1) + x + 1] + row;
        }
    }
    memset(on, 0, 2 * (size_t)n * sizeof *on);
    for (size_t k = 0; k < sizeof windows / sizeof *windows; k++)
        add_window(grey, sum, h, w, windows[k], on, off);
    int most_on = greatest(on, n), most_off = greatest(off, n), most = 0;
    for (int i = 0; i < n; i++) {
        on[i] = most_on ? (int)(255.0 * (double)((float)on[i] / (float)most_on)) : 0;
        off[i] = most_off ? (int)(255.0 * (double)((float)off[i] / (float)most_off)) : 0;
    }
    most_on = greatest(on, n), most_off = greatest(off, n);
    most = most_on > most_off ? most_on : most_off;
    for (int i = 0; i < n; i++) {
        int v = most ? (int)(255.0 * (on[i] + off[i]) / most) : 0;
        map[i] = (unsigned char)(v > 255 ? 255 : v);
    }
}

/* Bilinear, half-pixel centres, held at the border. */
static double sample(const double *from, int n_h, int n_w, double y, double x)
{
    y = fmin(fmax(y, 0), n_h - 1);
    x = fmin(fmax(x, 0), n_w - 1);
    int y0 = (int)y, x0 = (int)x, y1 = y0 + (y0 < n_h - 1), x1 = x0 + (x0 < n_w - 1);
    double a = y - y0, b = x - x0;
    return (1 - a) * ((1 - b) * from[y0 * n_w + x0] + b * from[y0 * n_w + x1]) +
           a * ((1 - b) * from[y1 * n_w + x0] + b * from[y1 * n_w + x1]);
}

/* Two-dimensional Fourier transform in place by plain sums along rows, then columns. */
static void transform(double *re, double *im, int sign, double *line)
{
    for (int way = 0; way < 2; way++)
        for (int k = 0; k < SIDE; k++) {
            int first = way ? k : k * SIDE, step = way ? SIDE : 1;
            for (int f = 0; f < SIDE; f++) {
                double a = 0, b = 0;
                for (int i = 0; i < SIDE; i++) {
                    double angle = sign * 6.283185307179586 * (f * i % SIDE) / SIDE, c = cos(angle),
                           s = sin(angle);
                    a += re[first + i * step] * c - im[first + i * step] * s;
                    b += re[first + i * step] * s + im[first + i * step] * c;
                }
                line[2 * f] = a;
                line[2 * f + 1] = b;
            }
            for (int f = 0; f < SIDE; f++) {
                re[first + f * step] = line[2 * f];
                im[first + f * step] = line[2 * f + 1];
            }
        }
}

/* Mean under a kernel of 2 reach + 1 with weights exp(-d^2 / (2 sigma^2)); sigma 0: all alike. */
static void smooth(const double *from, int reach, double sigma, double *to)
{
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            double sum = 0, weights = 0;
            for (int i = -reach; i <= reach; i++)
                for (int j = -reach; j <= reach; j++) {
                    double weight = sigma > 0 ? exp(-(i * i + j * j) / (2 * sigma * sigma)) : 1;
                    sum += weight * from[mirror(y + i, SIDE) * SIDE + mirror(x + j, SIDE)];
                    weights += weight;
                }
            to[y * SIDE + x] = sum / weights;
        }
}

void am_saliency_spectral(const unsigned char *pixel, int h, int w, int c, void *room, float *map)
{
    enum { ALL = SIDE * SIDE };
    double *re = room, *im = re + ALL, *size = im + ALL, *mean = size + ALL, *line = mean + ALL;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            double v = (y + 0.5) * h / SIDE - 0.5, u = (x + 0.5) * w / SIDE - 0.5;
            v = fmin(fmax(v, 0), h - 1);
            u = fmin(fmax(u, 0), w - 1);
            int y0 = (int)v, x0 = (int)u, y1 = y0 + (y0 < h - 1), x1 = x0 + (x0 < w - 1);
            double a = v - y0, b = u - x0;
            re[y * SIDE + x] = (1 - a) * ((1 - b) * grey_of(pixel + (y0 * w + x0) * c, c) +
                                          b * grey_of(pixel + (y0 * w + x1) * c, c)) +
                               a * ((1 - b) * grey_of(pixel + (y1 * w + x0) * c, c) +
                                    b * grey_of(pixel + (y1 * w + x1) * c, c));
            im[y * SIDE + x] = 0;
        }
    transform(re, im, -1, line);
    for (int i = 0; i < ALL; i++) size[i] = log(sqrt(re[i] * re[i] + im[i] * im[i]) + 1e-9);
    smooth(size, 1, 0, mean);
    for (int i = 0; i < ALL; i++) { /* amplitude exp(residual), the phase as it was */
        double was = sqrt(re[i] * re[i] + im[i] * im[i]) + 1e-9, is = exp(size[i] - mean[i]);
        re[i] *= is / was;
        im[i] *= is / was;
    }
    transform(re, im, 1, line);
    for (int i = 0; i < ALL; i++) size[i] = sqrt(re[i] * re[i] + im[i] * im[i]) / ALL;
    smooth(size, 2, 8, mean);
    double most = 0;
    for (int i = 0; i < ALL; i++) {
        mean[i] *= mean[i];
        most = fmax(most, mean[i]);
    }
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            map[y * w + x] = most > 0 ? (float)(sample(mean, SIDE, SIDE, (y + 0.5) * SIDE / h - 0.5,
                                                       (x + 0.5) * SIDE / w - 0.5) /
                                                most)
                                      : 0;
}
