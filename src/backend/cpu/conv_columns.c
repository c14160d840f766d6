/* conv_columns.c: gathering columns (im2col) a panel at a time. */
#include "conv.h"
#include <string.h>

void am_panel_find(const am_job *j, int n, long p, am_panel *panel)
{
    const long plane = (long)j->gh * j->gw, all = plane * n;
    long at = p * AM_NR, end = at + AM_NR < all ? at + AM_NR : all;
    panel->runs = 0;
    for (int first = 0; at < end; panel->runs++) {
        int image = (int)(at / plane), y = (int)(at % plane) / j->gw, x = (int)(at % plane) % j->gw;
        int count = end - at < j->gw - x ? (int)(end - at) : j->gw - x;
        panel->run[panel->runs] = (am_run){first, count, image, y, x};
        first += count;
        at += count;
    }
}

static void clear(float *to, size_t step, size_t count)
{
    for (size_t k = 0; k < count; k++) memset(to + k * step, 0, AM_NR * sizeof(float));
}

/* One tap of a run for all channels: `before` zeros, n numbers lying side by side, `after` zeros.
 * Inlined with n constant, so that the copy becomes a few vector moves. */
static inline void copy(int n, int channels, const float *from, size_t plane, float *to,
                        size_t stride, int before, int after)
{
    for (int c = 0; c < channels; c++, from += plane, to += stride) {
        for (int i = 0; i < before; i++) to[i] = 0;
        memcpy(to + before, from, (size_t)n * sizeof *to);
        for (int i = 0; i < after; i++) to[before + n + i] = 0;
    }
}

/* The lengths that rows of small pictures give: whole, or less one at a border. */
static void copy_any(int n, int channels, const float *from, size_t plane, float *to, size_t stride,
                     int before, int after)
{
    switch (n) {
    case 16: copy(16, channels, from, plane, to, stride, 0, 0); return;
    case 15: copy(15, channels, from, plane, to, stride, before, after); return;
    case 8: copy(8, channels, from, plane, to, stride, before, after); return;
    case 7: copy(7, channels, from, plane, to, stride, before, after); return;
    case 4: copy(4, channels, from, plane, to, stride, before, after); return;
    case 3: copy(3, channels, from, plane, to, stride, before, after); return;
    default: copy(n, channels, from, plane, to, stride, before, after);
    }
}

/* The same with `step` between the numbers. */
static void skip(int n, int channels, const float *from, size_t plane, float *to, size_t stride,
                 int before, int after, int step)
{
    for (int c = 0; c < channels; c++, from += plane, to += stride) {
        for (int i = 0; i < before; i++) to[i] = 0;
        for (int i = 0; i < n; i++) to[before + i] = from[(ptrdiff_t)i * step];
        for (int i = 0; i < after; i++) to[before + n + i] = 0;
    }
}

void am_columns(const am_job *j, const am_panel *panel, const float *source, size_t sample,
                int first, int last, float *to, size_t step)
{
    const size_t plane = (size_t)j->sh * (size_t)j->sw, stride = (size_t)j->taps * step;
    const int channels = last - first;
    const am_run *end = panel->run + panel->runs;
    if (!panel->runs || end[-1].first + end[-1].count < AM_NR)
        clear(to, step, (size_t)channels * (size_t)j->taps);
    for (const am_run *r = panel->run; r < end; r++)
        for (int t = 0; t < j->taps; t++) {
            const int y = r->y * j->step + j->tap[t].dy, x = r->x * j->step + j->tap[t].dx;
            int a = 0, b = r->count;            /* columns a .. b-1 of the run meet the source */
            while (a < b && x + a * j->step < 0) a++;
            while (b > a && x + (b - 1) * j->step >= j->sw) b--;
            if (y < 0 || y >= j->sh) a = b = r->count;
            const float *from = source + (size_t)r->image * sample + (size_t)first * plane;
            if (a < b) from += (ptrdiff_t)y * j->sw + x + (ptrdiff_t)a * j->step;
            float *row = to + (size_t)t * step + r->first;
            if (j->step == 1) copy_any(b - a, channels, from, plane, row, stride, a, r->count - b);
            else skip(b - a, channels, from, plane, row, stride, a, r->count - b, j->step);
        }
}
