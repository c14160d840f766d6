/* conv.h: what conv.c, conv_columns.c and conv_back.c share.
 *
 * Everything is "rows times columns": a column is one output pixel, holding the numbers of the
 * source that its output depends on (channels x taps of them); a row is a filter.  The adjoint of
 * a convolution with stride s is s * s such products with stride 1, one for each residue of the
 * output's pixels modulo s, each with those taps of the window that meet it.  So a `job` describes
 * both directions, and the forward pass is the job with all taps.
 *
 * Columns are counted through the batch and taken AM_NR at a time: a panel. */
#ifndef AM_CPU_CONV_H
#define AM_CPU_CONV_H
#include "cpu.h"

typedef struct am_tap {
    int dy, dx, id;
} am_tap; /* offset in the source; place in the window */

typedef struct am_job {
    int rows, channels, taps;               /* of one group */
    int sh, sw, step; /* source plane; pixels of the source from column to column */
    int gh, gw;                             /* columns of one image */
    int oh, ow, oy, ox, ostep;              /* where they go in the output plane */
    const am_tap *tap;
    size_t packed;                          /* where its weights begin in `prepared` */
} am_job;

typedef struct am_conv_plan {
    am_job forward;
    int jobs;                               /* of the adjoint: stride * stride */
    size_t prepared;                        /* floats */
    am_job adjoint[];                       /* followed by their taps */
} am_conv_plan;

/* Columns that lie side by side in one row of one image. */
typedef struct am_run { int first, count, image, y, x; } am_run;
typedef struct am_panel { int runs; am_run run[AM_NR]; } am_panel;

static inline long am_job_panels(const am_job *j, int n)
{
    return ((long)n * j->gh * j->gw + AM_NR - 1) / AM_NR;
}
static inline int am_row_panels(const am_job *j) { return (j->rows + AM_MR - 1) / AM_MR; }
static inline size_t am_packed_group(const am_job *j)
{
    return (size_t)am_row_panels(j) * AM_MR * (size_t)j->channels * (size_t)j->taps;
}

/* Panel number p of a batch of n; past the last column there are no runs. */
void am_panel_find(const am_job *, int n, long p, am_panel *);

/* Write the columns of one panel, for channels first <= c < last of one group: number k of column
 * i goes to to[k * step + i], k = (c - first) * taps + tap.  source: the group's first plane in
 * the batch; sample: floats from image to image.  Missing columns and pixels become 0. */
void am_columns(const am_job *, const am_panel *, const float *source, size_t sample, int first,
                int last, float *to, size_t step);

/* The product of a job over a batch.  give is called for each row of each run of outputs. */
typedef void am_give_run(void *how, int row, const am_run *, float *values);
void am_job_run(am_backend *, const am_job *, int groups, int n, const float *source, size_t sample,
                const float *prepared, float *scratch, am_give_run *, void *how);
size_t am_job_scratch(const am_backend *, const am_job *);

int am_cpu_thread(void);                    /* which of the team */
#endif
