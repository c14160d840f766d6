/* chart.c: curves over time, panels one under the other.
 *
 * A panel has its title and the unit above, the plot below them, and at the plot's right the
 * legend, with the last value of each curve.  Plots share their left and right edges, so the same
 * epoch stands at the same place in all.  What is not finite is a gap; a point between two gaps is
 * a dot.  On a logarithmic axis what is not positive is a gap too. */
#include "picture.h"
#include "ticks.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 1160, PLOT = 250, EDGE = 28, SCALE = 2, LINE = 26 };
enum { NAME_MOST = 220, SWATCH = 36, MOST_PANELS = 64 };
static const am_colour PAPER = {255, 255, 255}, INK = {32, 36, 44}, PALE = {112, 118, 128},
                       GRID = {232, 235, 239}, FRAME = {170, 176, 185};

/* ---- what is in a panel ---- */

static int usable(const am_axes *p, double x, double y)
{
    return fabs(x) < 1e300 && fabs(y) < 1e300 && (!p->log_y || y > 1e-200);
}

/* May the caller's y_min and y_max be taken? */
static int is_range(const am_axes *p)
{
    return fabs(p->y_min) < 1e300 && fabs(p->y_max) < 1e300 && (!p->log_y || p->y_min > 1e-200)
           && p->y_max - p->y_min > 1e-12 * fabs(p->y_max) + 1e-200;
}

/* Too narrow for numbers to tell its ends apart. */
static int is_point(const am_axis *a)
{
    return !(a->hi - a->lo > 1e-12 * fmax(fabs(a->lo), fabs(a->hi)) + 1e-200);
}

/* The ranges and ticks of both axes; returns how many points there are to show. */
static int panel_axes(const am_axes *p, am_axis *ax, am_axis *ay)
{
    *ax = (am_axis){.lo = INFINITY, .hi = -INFINITY};
    *ay = (am_axis){.lo = INFINITY, .hi = -INFINITY, .log = p->log_y};
    int points = 0, whole = 1;
    for (int s = 0; s < p->count; s++)
        for (int i = 0; i < p->series[s].count; i++) {
            double x = p->series[s].x[i], y = p->series[s].y[i];
            if (!usable(p, x, y)) continue;
            ax->lo = fmin(ax->lo, x);
            ax->hi = fmax(ax->hi, x);
            ay->lo = fmin(ay->lo, am_axis_at(ay, y));
            ay->hi = fmax(ay->hi, am_axis_at(ay, y));
            whole &= x == floor(x);
            points++;
        }
    if (!points) return 0;
    if (p->x_max > p->x_min) ax->lo = p->x_min, ax->hi = p->x_max;
    double aside = is_point(ax) ? fmax(.5, 1e-3 * fabs(ax->hi)) : 0;
    ax->lo -= aside;
    ax->hi += aside;
    if (is_range(p)) {
        ay->lo = am_axis_at(ay, p->y_min);
        ay->hi = am_axis_at(ay, p->y_max);
    } else {
        int positive = !ay->log && ay->lo >= 0;         /* then no paper below 0 */
        double room = .06 * (ay->hi - ay->lo);
        if (is_point(ay)) room = ay->log ? .2 : fabs(ay->hi) > 1e-200 ? .1 * fabs(ay->hi) : 1;
        ay->lo = positive ? fmax(0, ay->lo - room) : ay->lo - room;
        ay->hi += room;
    }
    am_axis_ticks(ax, 10, whole);
    am_axis_ticks(ay, 6, 0);
    return points;
}

/* The series' last value, short. */
static void last_value(const am_axes *p, const am_series *s, char *out, size_t size)
{
    *out = 0;
    for (int i = s->count - 1; i >= 0; i--)
        if (usable(p, s->x[i], s->y[i])) {
            snprintf(out, size, fabs(s->y[i]) >= 100 && fabs(s->y[i]) < 1e6 ? "%.1f" : "%.3g",
                     s->y[i]);
            return;
        }
}

/* text, cut with two dots where it is wider than most */
static const char *fit(const char *text, int most, char *out, size_t size)
{
    snprintf(out, size, "%s", text ? text : "");
    for (size_t n = strlen(out); n > 2 && am_text_width(out, SCALE) > most; n--)
        snprintf(out + n - 3, 3, "..");
    return out;
}

/* ---- drawing ---- */

typedef struct frame { int x, y, w, h; const am_axis *ax, *ay; } frame;

static double place_x(const frame *f, double x)
{
    return f->x + f->w * (x - f->ax->lo) / (f->ax->hi - f->ax->lo);
}

static double place_y(const frame *f, double y)
{
    return f->y + f->h * (1 - (am_axis_at(f->ay, y) - f->ay->lo) / (f->ay->hi - f->ay->lo));
}

/* The part of a segment between the plot's upper and lower edge; 0: none. */
static int clip_segment(const frame *f, double *x0, double *y0, double *x1, double *y1)
{
    double from = 0, to = 1, dx = *x1 - *x0, dy = *y1 - *y0, top = f->y, bottom = f->y + f->h;
    if (dy == 0 && (*y0 < top || *y0 > bottom)) return 0;
    if (dy != 0) {
        double a = (top - *y0) / dy, b = (bottom - *y0) / dy;
        from = fmax(from, fmin(a, b));
        to = fmin(to, fmax(a, b));
    }
    if (from > to) return 0;
    *x1 = *x0 + to * dx;
    *y1 = *y0 + to * dy;
    *x0 += from * dx;
    *y0 += from * dy;
    return 1;
}

/* One segment, whole or in dashes; phase is how far the dashes have come. */
static void draw_segment(am_image *img, const frame *f, double x0, double y0, double x1, double y1,
                         const am_series *s, double *phase)
{
    enum { ON = 9, PERIOD = 16 };
    if (!clip_segment(f, &x0, &y0, &x1, &y1)) return;
    if (!s->dashed) {
        am_draw_line(img, x0, y0, x1, y1, 2, s->colour);
        return;
    }
    double length = hypot(x1 - x0, y1 - y0), dx = (x1 - x0) / length, dy = (y1 - y0) / length;
    for (double at = 0; at < length;) {
        double in = fmod(*phase, PERIOD);
        double step = fmin(length - at, (in < ON ? ON : PERIOD) - in + 1e-6);
        double ax = x0 + at * dx, ay = y0 + at * dy;
        if (in < ON) am_draw_line(img, ax, ay, ax + step * dx, ay + step * dy, 2, s->colour);
        at += step;
        *phase += step;
    }
}

static void draw_series(am_image *img, const frame *f, const am_axes *p, const am_series *s)
{
    double phase = 0;
    int before = 0;
    for (int i = 0; i < s->count; i++) {
        int here = usable(p, s->x[i], s->y[i]);
        int after = i + 1 < s->count && usable(p, s->x[i + 1], s->y[i + 1]);
        double x = here ? place_x(f, s->x[i]) : 0, y = here ? place_y(f, s->y[i]) : 0;
        if (here && !before && !after && y >= f->y - 1 && y <= f->y + f->h + 1)
            am_draw_line(img, x, y, x, y, 6, s->colour);
        if (here && after)
            draw_segment(img, f, x, y, place_x(f, s->x[i + 1]), place_y(f, s->y[i + 1]), s, &phase);
        before = here;
    }
}

static void draw_grid(am_image *img, const frame *f)
{
    int height = am_text_height(SCALE), clear = -1;
    for (int i = 0; i < f->ay->ticks; i++) {
        int y = (int)lrint(place_y(f, f->ay->tick[i]));
        am_draw_fill(img, f->x, y, f->w, 1, GRID);
        am_draw_text(img, f->x - 10 - am_text_width(f->ay->text[i], SCALE), y - 3 * SCALE, SCALE,
                     PALE, f->ay->text[i]);
    }
    for (int i = 0; i < f->ax->ticks; i++) {
        int x = (int)lrint(place_x(f, f->ax->tick[i])), w = am_text_width(f->ax->text[i], SCALE);
        am_draw_fill(img, x, f->y, 1, f->h, GRID);
        if (x - w / 2 <= clear) continue;
        am_draw_text(img, x - w / 2, f->y + f->h + height / 2, SCALE, PALE, f->ax->text[i]);
        clear = x + w / 2 + 8;
    }
    am_draw_fill(img, f->x, f->y, 1, f->h, FRAME);
    am_draw_fill(img, f->x, f->y + f->h, f->w + 1, 1, FRAME);
}

static void draw_legend(am_image *img, const am_axes *p, int x, int y, int room)
{
    char text[160], value[32];
    for (int s = 0; s < p->count; s++, y += LINE) {
        const am_series *one = &p->series[s];
        for (int k = 0; k < (one->dashed ? 2 : 1); k++)
            am_draw_line(img, x + 2 + 14 * k, y + 7, x + (one->dashed ? 10 + 14 * k : 24), y + 7, 3,
                         one->colour);
        last_value(p, one, value, sizeof value);
        int name_room = room - SWATCH - am_text_width(value, SCALE) - 18;
        am_draw_text(img, x + SWATCH, y, SCALE, INK, fit(one->name, name_room, text, sizeof text));
        am_draw_text(img, x + room - am_text_width(value, SCALE), y, SCALE, PALE, value);
    }
}

static int panel_height(const am_axes *p)
{
    int legend = p->count * LINE;
    int below = p->x_label && *p->x_label ? 2 * LINE : LINE;
    return 3 * LINE + (legend > PLOT ? legend : PLOT) + below;
}

static void draw_panel(am_image *img, const am_axes *p, int y, int left, int right)
{
    am_axis ax, ay;
    char text[200];
    int points = panel_axes(p, &ax, &ay), height = am_text_height(SCALE);
    int above = LINE + LINE / 2, below = 2 * LINE;
    frame f = {left, y + above, right - left, panel_height(p) - above - below, &ax, &ay};
    if (p->x_label && *p->x_label) f.h -= LINE;
    fit(p->title, f.w, text, sizeof text);
    am_draw_text(img, left, y, SCALE, INK, text);
    am_draw_text(img, left + 1, y, SCALE, INK, text);   /* twice, a pixel apart: bold */
    if (p->y_label)
        am_draw_text(img, left + am_text_width(text, SCALE) + 16, y, SCALE, PALE, p->y_label);
    if (points) {
        draw_grid(img, &f);
        for (int s = 0; s < p->count; s++) draw_series(img, &f, p, &p->series[s]);
    } else {
        am_draw_fill(img, f.x, f.y, 1, f.h, FRAME);
        am_draw_fill(img, f.x, f.y + f.h, f.w + 1, 1, FRAME);
        am_draw_text(img, f.x + (f.w - am_text_width("nothing yet", SCALE)) / 2,
                     f.y + f.h / 2 - height / 2, SCALE, PALE, "nothing yet");
    }
    if (p->x_label)
        am_draw_text(img, f.x + (f.w - am_text_width(p->x_label, SCALE)) / 2, f.y + f.h + LINE + 8,
                     SCALE, PALE, p->x_label);
    draw_legend(img, p, right + EDGE, f.y, img->width - EDGE - (right + EDGE));
}

/* Room for the widest tick text at the left and the widest legend at the right, over all panels. */
static void margins(const am_axes *panels, int count, int *left, int *right)
{
    int widest = 0, legend = 0;
    char value[32];
    for (int i = 0; i < count; i++) {
        am_axis ax, ay;
        if (panel_axes(&panels[i], &ax, &ay))
            for (int k = 0; k < ay.ticks; k++)
                widest = (int)fmax(widest, am_text_width(ay.text[k], SCALE));
        for (int s = 0; s < panels[i].count; s++) {
            last_value(&panels[i], &panels[i].series[s], value, sizeof value);
            int name = (int)fmin(NAME_MOST, am_text_width(panels[i].series[s].name, SCALE));
            legend = (int)fmax(legend, SWATCH + name + 18 + am_text_width(value, SCALE));
        }
    }
    *left = EDGE + widest + 10;
    *right = WIDTH - EDGE - (legend ? legend + EDGE : 0);
}

am_status am_chart_write(const char *path, const char *title, const am_axes *panels, int count,
                         am_err *e)
{
    int height = EDGE + 2 * LINE, left, right;
    if (count < 0 || count > MOST_PANELS)
        return am_fail(e, AM_EBUG, (am_loc){path, 0}, "a chart of %d panels; it can hold %d", count,
                       MOST_PANELS);
    for (int i = 0; i < count; i++) height += panel_height(&panels[i]);
    am_image img;
    AM_TRY(am_image_new(&img, WIDTH, height, e));
    am_draw_fill(&img, 0, 0, WIDTH, height, PAPER);
    margins(panels, count, &left, &right);
    int scale = am_text_width(title, 3) <= WIDTH - 2 * EDGE ? 3 : 2;
    am_draw_text(&img, EDGE, EDGE, scale, INK, title);
    for (int i = 0, y = EDGE + 2 * LINE; i < count; y += panel_height(&panels[i++]))
        draw_panel(&img, &panels[i], y, left, right);
    am_status s = am_image_write_png(&img, path, e);
    am_image_free(&img);
    return s;
}
