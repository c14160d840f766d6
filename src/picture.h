/* picture.h: drawing on an am_image: lines, text, heat maps; the chart of a run and the sheet of
 * mixes are built of these.  Knows no network. */
#ifndef AM_PICTURE_H
#define AM_PICTURE_H
#include "data.h"

typedef struct am_colour { unsigned char r, g, b; } am_colour;

void am_draw_fill(am_image *, int x, int y, int w, int h, am_colour);
void am_draw_line(am_image *, double x0, double y0, double x1, double y1, double width, am_colour);    /* antialiased, clipped */
void am_draw_text(am_image *, int x, int y, int scale, am_colour, const char *text);                   /* x y: top left */
int  am_text_width(const char *text, int scale);
int  am_text_height(int scale);
void am_draw_image(am_image *, int x, int y, const am_image *, int zoom);                              /* each pixel becomes zoom x zoom */
am_colour am_heat(double v);                            /* 0..1, a perceptually even ramp (viridis-like), readable in grey */

/* ---- the chart of a run ---- */
typedef struct am_series { const char *name; am_colour colour; const double *x, *y; int count; int dashed; } am_series;   /* NaN in y: a gap */
typedef struct am_axes {
    const char *title, *x_label, *y_label;
    const am_series *series; int count;
    int log_y;
    double x_min, x_max;                                /* both 0: from the data */
    double y_min, y_max;                                /* likewise */
} am_axes;
/* Panels one under the other, each with axes, ticks at round numbers, grid, legend. */
am_status am_chart_write(const char *path, const char *title, const am_axes *panels, int count, am_err *);

/* ---- the sheet of mixes: one row per pair, one column per lambda ---- */
typedef struct am_sheet_cell {
    am_image mix;                                       /* the mixed image */
    const float *mask;                                  /* [h][w], weight of the partner; NULL: no mask to show */
    char caption[64];                                   /* "lambda 0.25" and the like, under the cell */
} am_sheet_cell;
typedef struct am_sheet_row {
    am_image a, b;                                      /* x_i and x_j */
    char label_a[64], label_b[64];                      /* class names */
    am_sheet_cell *cell;                                /* [columns] */
} am_sheet_row;
typedef struct am_sheet { const char *title; const char *const *column; int columns, rows; am_sheet_row *row; } am_sheet;
/* Each cell shows the mix and beside it the mask as a heat map; the heat map's scale (0: all x_i,
 * 1: all x_j) is drawn at the foot.  Small images are enlarged to be seen. */
am_status am_sheet_write(const char *path, const am_sheet *, am_err *);

/* ---- pictures side by side ---- */
typedef struct am_tile {
    am_image picture;                                   /* none: the caption says why */
    char name[32], caption[256];                        /* above, below */
} am_tile;
/* groups of `each` tiles, `across` on a line */
am_status am_tiles_write(const char *path, const char *title, const am_tile *, int groups, int each, int across, am_err *);

#endif
