/* ticks.h: an axis and the round numbers on it. */
#ifndef AM_TICKS_H
#define AM_TICKS_H

enum { AM_TICKS = 24 };

typedef struct am_axis {
    double lo, hi;                                      /* of the logarithms, base 10, if log */
    int log, ticks;
    double tick[AM_TICKS];                              /* values, not logarithms */
    char text[AM_TICKS][24];
} am_axis;

double am_axis_at(const am_axis *, double value);       /* value, or its logarithm */

/* Set ticks from lo < hi: about `most` of them, at 1, 2 or 5 times a power of ten; whole: at
 * integers only.  On a logarithmic axis at powers of ten, thinned where there are many, with 2 and
 * 5 between where there are few, and as on a linear axis where there is less than that. */
void am_axis_ticks(am_axis *, int most, int whole);

#endif
