/* chart.c: curves over time, panels one under the other.
 *
 * A panel has its title and the unit above, the plot below them, and at the plot's right the
 * legend, with the last value of each curve.  Plots share their left and right edges, so the same
 * epoch stands at the same place in all.  What is not finite is a gap; a point between two gaps is
 * a dot.  On a logarithmic axis what is not positive is a gap too. */
#include "picture.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 1160, PLOT = 250, EDGE = 28, SCALE = 2, LINE = 26, MOST_PANELS = 64, TICKS = 24, NAME_MOST = 220, SWATCH = 36 };
static const am_colour PAPER = {255, 255, 255}, INK = {32, 36, 44}, PALE = {112, 118, 128}, GRID = {232, 235, 239},
                       FRAME = {170, 176, 185};

/* ---- an axis: its range, its ticks ---- */

typedef struct axis { double lo, hi; int log, ticks; double tick[TICKS]; char text[TICKS][24]; } axis;

static double forward(const axis *a, double v) { return a->log ? log10(v) : v; }

/* The least of 1, 2, 5 times a power of ten that is not below v. */
static double round_up(double v)
{
    double ten = pow(10, floor(log10(v)));
    for (int k = 0; k < 3; k++)
        if ((double[]){1, 2, 5}[k] * ten >= v * (1 - 1e-9)) return (double[]){1, 2, 5}[k] * ten;
    return 10 * ten;
}

static void add_tick(axis *a, double v, int decimals)
{
    if (a->ticks == TICKS) return;
    double size = fabs(v);
    if (size > 0 && (size < 1e-4 || size >= 1e6)) snprintf(a->text[a->ticks], sizeof a->text[0], "%.3g", v);
    else snprintf(a->text[a->ticks], sizeof a->text[0], "%.*f", decimals, v);
    a->tick[a->ticks++] = v;
}

static void linear_ticks(axis *a, int most, int whole)
{
    double step = round_up((a->hi - a->lo) / most);
    if (whole && step < 1) step = 1;
    int decimals = (int)fmin(12, fmax(0, ceil(-log10(step) - 1e-9)));
    double first = ceil(a->lo / step - 1e-6);
    for (int i = 0; (first + i) * step <= a->hi + step * 1e-6 && i < TICKS; i++) add_tick(a, (first + i) * step + 0., decimals);
}

/* Whole decades, thinned where there are many, with 2 and 5 between where there are few.  lo and hi are logarithms. */
static void log_ticks(axis *a, int most)
{
    int first = (int)ceil(a->lo - 1e-9), last = (int)floor(a->hi + 1e-9), stride = 1;
    while ((last - first) / stride + 1 > most) stride++;
    int between = last - first < 2;
    for (int d = first - 1; d <= last; d++)
        for (int k = 0; k < 3; k++) {
            double v = (double[]){1, 2, 5}[k] * pow(10, d), at = log10(v);
            if (k ? !between : (d - first) % stride) continue;
            if (at >= a->lo - 1e-9 && at <= a->hi + 1e-9) add_tick(a, v, d < 0 ? -d : 0);
        }
    if (a->ticks < 3) {                                 /* too narrow for them: as on a linear axis */
        a->ticks = 0;
        axis plain = {.lo = pow(10, a->lo), .hi = pow(10, a->hi)};
        linear_ticks(&plain, most, 0);
        memcpy(a->tick, plain.tick, sizeof a->tick);
        memcpy(a->text, plain.text, sizeof a->text);
        a->ticks = plain.ticks;
    }
}

/* ---- what is in a panel ---- */

static int usable(const am_axes *p, double x, double y) { return isfinite(x) && isfinite(y) && fabs(y) < 1e300 && (!p->log_y || y > 0); }

static int panel_axes(const am_axes *p, axis *ax, axis *ay)
{
    *ax = (axis){.lo = INFINITY, .hi = -INFINITY};
    *ay = (axis){.lo = INFINITY, .hi = -INFINITY, .log = p->log_y};
    int points = 0, whole = 1;
    for (int s = 0; s < p->count; s++)
        for (int i = 0; i < p->series[s].count; i++) {
            double x = p->series[s].x[i], y = p->series[s].y[i];
            if (!usable(p, x, y)) continue;
            ax->lo = fmin(ax->lo, x);
            ax->hi = fmax(ax->hi, x);
            ay->lo = fmin(ay->lo, forward(ay, y));
            ay->hi = fmax(ay->hi, forward(ay, y));
            whole &= x == floor(x);
            points++;
        }
    if (p->y_min != 0 || p->y_max != 0) {
        ay->lo = p->log_y && p->y_min <= 0 ? ay->lo : forward(ay, p->y_min);
        ay->hi = p->log_y && p->y_max <= 0 ? ay->hi : forward(ay, p->y_max);
    }
    if (!points) return 0;
    if (ax->hi <= ax->lo) {
        ax->lo -= .5;
        ax->hi += .5;
    }
    double room = ay->hi > ay->lo ? .06 * (ay->hi - ay->lo) : ay->log ? .2 : ay->hi != 0 ? .1 * fabs(ay->hi) : 1;
    int zero = !ay->log && ay->lo >= 0;                 /* what cannot be negative gets no negative paper */
    if (p->y_min == 0 && p->y_max == 0) {
        ay->lo = zero ? fmax(0, ay->lo - room) : ay->lo - room;
        ay->hi += room;
    }
    linear_ticks(ax, 10, whole);
    if (ay->log) log_ticks(ay, 6);
    else linear_ticks(ay, 6, 0);
    return points;
}

/* The series' last value, short. */
static void last_value(const am_axes *p, const am_series *s, char *out, size_t size)
{
    *out = 0;
    for (int i = s->count - 1; i >= 0; i--)
        if (usable(p, s->x[i], s->y[i])) {
            snprintf(out, size, fabs(s->y[i]) >= 100 && fabs(s->y[i]) < 1e6 ? "%.1f" : "%.3g", s->y[i]);
            return;
        }
}

/* text, cut with two dots where it is wider than most */
static const char *fit(const char *text, int most, char *out, size_t size)
{
    snprintf(out, size, "%s", text ? text : "");
    for (size_t n = strlen(out); n > 2 && am_text_width(out, SCALE) > most; n--) snprintf(out + n - 3, 3, "..");
    return out;
}

/* ---- drawing ---- */

typedef struct frame { int x, y, w, h; const axis *ax, *ay; } frame;

static double place_x(const frame *f, double x) { return f->x + f->w * (x - f->ax->lo) / (f->ax->hi - f->ax->lo); }

static double place_y(const frame *f, double y)
{
    return f->y + f->h * (1 - (forward(f->ay, y) - f->ay->lo) / (f->ay->hi - f->ay->lo));
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
static void draw_segment(am_image *img, const frame *f, double x0, double y0, double x1, double y1, const am_series *s, double *phase)
{
    enum { ON = 9, PERIOD = 16 };
    if (!clip_segment(f, &x0, &y0, &x1, &y1)) return;
    if (!s->dashed) {
        am_draw_line(img, x0, y0, x1, y1, 2, s->colour);
        return;
    }
    double length = hypot(x1 - x0, y1 - y0);
    for (double at = 0; at < length;) {
        double in = fmod(*phase, PERIOD), step = fmin(length - at, (in < ON ? ON : PERIOD) - in + 1e-6), a = at / length, b = (at + step) / length;
        if (in < ON) am_draw_line(img, x0 + a * (x1 - x0), y0 + a * (y1 - y0), x0 + b * (x1 - x0), y0 + b * (y1 - y0), 2, s->colour);
        at += step;
        *phase += step;
    }
}

static void draw_series(am_image *img, const frame *f, const am_axes *p, const am_series *s)
{
    double phase = 0;
    int before = 0;
    for (int i = 0; i < s->count; i++) {
        int here = usable(p, s->x[i], s->y[i]), after = i + 1 < s->count && usable(p, s->x[i + 1], s->y[i + 1]);
        double x = here ? place_x(f, s->x[i]) : 0, y = here ? place_y(f, s->y[i]) : 0;
        if (here && !before && !after && y >= f->y - 1 && y <= f->y + f->h + 1) am_draw_line(img, x, y, x, y, 6, s->colour);
        if (here && after) draw_segment(img, f, x, y, place_x(f, s->x[i + 1]), place_y(f, s->y[i + 1]), s, &phase);
        before = here;
    }
}

static void draw_grid(am_image *img, const frame *f)
{
    int height = am_text_height(SCALE), clear = -1;
    for (int i = 0; i < f->ay->ticks; i++) {
        int y = (int)lrint(place_y(f, f->ay->tick[i]));
        am_draw_fill(img, f->x, y, f->w, 1, GRID);
        am_draw_text(img, f->x - 10 - am_text_width(f->ay->text[i], SCALE), y - 3 * SCALE, SCALE, PALE, f->ay->text[i]);
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
            am_draw_line(img, x + 2 + 14 * k, y + 7, x + (one->dashed ? 10 + 14 * k : 24), y + 7, 3, one->colour);
        last_value(p, one, value, sizeof value);
        int name_room = room - SWATCH - am_text_width(value, SCALE) - 18;
        am_draw_text(img, x + SWATCH, y, SCALE, INK, fit(one->name, name_room, text, sizeof text));
        am_draw_text(img, x + room - am_text_width(value, SCALE), y, SCALE, PALE, value);
    }
}

static int panel_height(const am_axes *p)
{
    int legend = p->count * LINE;
    return 2 * LINE + (legend > PLOT ? legend : PLOT) + (p->x_label && *p->x_label ? 2 : 1) * LINE + LINE;
}

static void draw_panel(am_image *img, const am_axes *p, int y, int left, int right)
{
    axis ax, ay;
    char text[200];
    int points = panel_axes(p, &ax, &ay), height = am_text_height(SCALE);
    frame f = {left, y + LINE + LINE / 2, right - left, panel_height(p) - 3 * LINE - LINE / 2, &ax, &ay};
    if (p->x_label && *p->x_label) f.h -= LINE;
    fit(p->title, f.w, text, sizeof text);
    am_draw_text(img, left, y, SCALE, INK, text);
    am_draw_text(img, left + 1, y, SCALE, INK, text);   /* twice, a pixel apart: bold */
    if (p->y_label) am_draw_text(img, left + am_text_width(text, SCALE) + 16, y, SCALE, PALE, p->y_label);
    if (points) {
        draw_grid(img, &f);
        for (int s = 0; s < p->count; s++) draw_series(img, &f, p, &p->series[s]);
    } else {
        am_draw_fill(img, f.x, f.y, 1, f.h, FRAME);
        am_draw_fill(img, f.x, f.y + f.h, f.w + 1, 1, FRAME);
        am_draw_text(img, f.x + (f.w - am_text_width("nothing yet", SCALE)) / 2, f.y + f.h / 2 - height / 2, SCALE, PALE, "nothing yet");
    }
    if (p->x_label) am_draw_text(img, f.x + (f.w - am_text_width(p->x_label, SCALE)) / 2, f.y + f.h + LINE + 8, SCALE, PALE, p->x_label);
    draw_legend(img, p, right + EDGE, f.y, img->width - EDGE - (right + EDGE));
}

/* Room for the widest tick text at the left and the widest legend at the right, over all panels. */
static void margins(const am_axes *panels, int count, int *left, int *right)
{
    int widest = 0, legend = 0;
    char value[32];
    for (int i = 0; i < count; i++) {
        axis ax, ay;
        if (panel_axes(&panels[i], &ax, &ay))
            for (int k = 0; k < ay.ticks; k++) widest = (int)fmax(widest, am_text_width(ay.text[k], SCALE));
        for (int s = 0; s < panels[i].count; s++) {
            last_value(&panels[i], &panels[i].series[s], value, sizeof value);
            int name = (int)fmin(NAME_MOST, am_text_width(panels[i].series[s].name, SCALE));
            legend = (int)fmax(legend, SWATCH + name + 18 + am_text_width(value, SCALE));
        }
    }
    *left = EDGE + widest + 10;
    *right = WIDTH - EDGE - (legend ? legend + EDGE : 0);
}

am_status am_chart_write(const char *path, const char *title, const am_axes *panels, int count, am_err *e)
{
    int height = EDGE + 2 * LINE, left, right;
    if (count < 0 || count > MOST_PANELS)
        return am_fail(e, AM_EBUG, (am_loc){path, 0}, "a chart of %d panels; it can hold %d", count, MOST_PANELS);
    for (int i = 0; i < count; i++) height += panel_height(&panels[i]);
    am_image img;
    AM_TRY(am_image_new(&img, WIDTH, height, e));
    am_draw_fill(&img, 0, 0, WIDTH, height, PAPER);
    margins(panels, count, &left, &right);
    int scale = am_text_width(title, 3) <= WIDTH - 2 * EDGE ? 3 : 2;
    am_draw_text(&img, EDGE, EDGE, scale, INK, title);
    for (int i = 0, y = EDGE + 2 * LINE; i < count; y += panel_height(&panels[i++])) draw_panel(&img, &panels[i], y, left, right);
    am_status s = am_image_write_png(&img, path, e);
    am_image_free(&img);
    return s;
}
