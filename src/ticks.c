#include "ticks.h"
#include <math.h>
#include <stdio.h>

static const double ROUND[] = {1, 2, 5};

double am_axis_at(const am_axis *a, double value) { return a->log ? log10(value) : value; }

/* The least of 1, 2, 5 times a power of ten that is not below v. */
static double round_up(double v)
{
    double ten = pow(10, floor(log10(v)));
    for (int k = 0; k < 3; k++)
        if (ROUND[k] * ten >= v * (1 - 1e-9)) return ROUND[k] * ten;
    return 10 * ten;
}

static void add_tick(am_axis *a, double v, int decimals)
{
    if (a->ticks == AM_TICKS) return;
    char *text = a->text[a->ticks];
    double size = fabs(v);
    if (size > 0 && (size < 1e-4 || size >= 1e6)) snprintf(text, sizeof a->text[0], "%.3g", v);
    else snprintf(text, sizeof a->text[0], "%.*f", decimals, v);
    a->tick[a->ticks++] = v;
}

static void linear_ticks(am_axis *a, double lo, double hi, int most, int whole)
{
    double step = round_up((hi - lo) / most);
    if (whole && step < 1) step = 1;
    int decimals = (int)fmin(12, fmax(0, ceil(-log10(step) - 1e-9)));
    double first = ceil(lo / step - 1e-6);
    for (int i = 0; i < AM_TICKS && (first + i) * step <= hi + step * 1e-6; i++)
        add_tick(a, (first + i) * step + 0., decimals); /* + 0.: no "-0" */
}

static void log_ticks(am_axis *a, int most)
{
    int first = (int)ceil(a->lo - 1e-9), last = (int)floor(a->hi + 1e-9), stride = 1;
    while ((last - first) / stride + 1 > most) stride++;
    int between = last - first < 2;
    for (int d = first - 1; d <= last; d++)
        for (int k = 0; k < 3; k++) {
            double v = ROUND[k] * pow(10, d), at = log10(v);
            if (k ? !between : (d - first) % stride) continue;
            if (at >= a->lo - 1e-9 && at <= a->hi + 1e-9) add_tick(a, v, d < 0 ? -d : 0);
        }
}

void am_axis_ticks(am_axis *a, int most, int whole)
{
    a->ticks = 0;
    if (a->log) log_ticks(a, most);
    if (a->ticks > 2) return;
    a->ticks = 0;
    if (a->log) linear_ticks(a, pow(10, a->lo), pow(10, a->hi), most, 0);
    else linear_ticks(a, a->lo, a->hi, most, whole);
}
