/* conv.c: planning a convolution, packing its weights, and the product of conv.h.
 *
 * A task is a block of columns times a block of rows of one group.  It walks the sum in pieces of
 * whole channels, gathers each piece's columns once into a buffer that stays in the second-level
 * cache, and adds to its tiles; at the end the tiles go out through the epilogue.  Pieces depend
 * on the geometry alone, so an output's sum has one order whatever the number of threads. */
#include "conv.h"
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
int am_cpu_thread(void) { return omp_get_thread_num(); }
#else
int am_cpu_thread(void) { return 0; }
#endif

enum { COLUMN_PANELS = 6, ROW_PANELS = 64, PIECE = 384 };

/* ---- plan ---- */

am_status am_cpu_conv_plan(am_backend *be, am_conv *c, am_loc where, am_err *e)
{
    (void)be;
    c->plan = NULL;
    if (c->groups < 1 || c->c % c->groups || c->filters % c->groups)
        return am_fail(e, AM_EINPUT, where,
                       "groups=%d does not divide %d channels and %d filters; make both multiples",
                       c->groups, c->c, c->filters);
    if (c->size < 1 || c->stride < 1 || c->pad < 0 || c->oh < 1 || c->ow < 1)
        return am_fail(e, AM_EINPUT, where,
                       "size=%d stride=%d and %d pixels of padding leave nothing of %dx%d pixels",
                       c->size, c->stride, c->pad, c->w, c->h);
    const int s = c->stride, window = c->size * c->size;
    am_conv_plan *p =
        malloc(sizeof *p + (size_t)(s * s) * sizeof(am_job) + 2 * (size_t)window * sizeof(am_tap));
    if (!p) return am_fail(e, AM_ENOMEM, where, "no memory for the plan of a convolution");
    am_tap *tap = (am_tap *)(void *)(p->adjoint + s * s);
    p->jobs = s * s;

    p->forward = (am_job){.rows = c->filters / c->groups, .channels = c->c / c->groups,
                          .taps = window, .tap = tap, .sh = c->h, .sw = c->w, .step = s,
                          .gh = c->oh, .gw = c->ow, .oh = c->oh, .ow = c->ow, .ostep = 1};
    for (int id = 0; id < window; id++)
        *tap++ = (am_tap){id / c->size - c->pad, id % c->size - c->pad, id};
    p->prepared = am_packed_group(&p->forward) * (size_t)c->groups;

    /* Input pixel y = s u + oy meets output row v through window row ky where s v + ky - pad = y:
     * v = u + (oy + pad - ky) / s, for those ky that divide. */
    for (int i = 0; i < p->jobs; i++) {
        const int oy = i / s, ox = i % s;
        am_job *j = p->adjoint + i;
        *j = (am_job){.rows = c->c / c->groups, .channels = c->filters / c->groups,
                      .tap = tap, .sh = c->oh, .sw = c->ow, .step = 1,
                      .gh = (c->h - oy + s - 1) / s, .gw = (c->w - ox + s - 1) / s,
                      .oh = c->h, .ow = c->w, .oy = oy, .ox = ox, .ostep = s,
                      .packed = p->prepared};
        for (int id = 0; id < window; id++) {
            const int dy = oy + c->pad - id / c->size, dx = ox + c->pad - id % c->size;
            if (dy % s == 0 && dx % s == 0) *tap++ = (am_tap){dy / s, dx / s, id}, j->taps++;
        }
        p->prepared += am_packed_group(j) * (size_t)c->groups;
    }
    c->plan = p;
    return AM_OK;
}

void am_cpu_conv_drop(am_backend *be, am_conv *c)
{
    (void)be;
    free(c->plan);
    c->plan = NULL;
}

/* ---- weights: [group][row panel][channel, tap][row] ---- */

size_t am_cpu_conv_prepared(am_backend *be, const am_conv *c)
{
    (void)be;
    return ((const am_conv_plan *)c->plan)->prepared;
}

/* In w, the number of a row, a channel and a place in the window lies at
 * row * by_row + channel * by_channel + id within its group. */
static void pack(const am_backend *be, const am_job *j, int groups, const float *w, size_t by_row,
                 size_t by_channel, float *prepared)
{
    const int panels = am_row_panels(j);
    const size_t group = (size_t)j->rows * (size_t)j->channels;
    const size_t window = by_row < by_channel ? by_row : by_channel;
    const size_t panel = am_packed_group(j) / (size_t)panels;
    (void)be;
#pragma omp parallel for num_threads(am_cpu_team(be, am_packed_group(j) * (size_t)groups)) \
    schedule(static)
    for (int i = 0; i < groups * panels; i++) {
        const int first = i % panels * AM_MR;
        const float *from = w + (size_t)(i / panels) * group * window;
        float *to = prepared + j->packed + (size_t)i * panel;
        for (int c = 0; c < j->channels; c++)
            for (int t = 0; t < j->taps; t++)
                for (int r = first; r < first + AM_MR; r++)
                    *to++ = r >= j->rows ? 0 : from[(size_t)r * by_row + (size_t)c * by_channel
                                                    + (size_t)j->tap[t].id];
    }
}

void am_cpu_conv_prepare(am_backend *be, const am_conv *c, am_dev w, am_dev prepared)
{
    if (am_cpu_stopped(be)) return;
    const am_conv_plan *p = c->plan;
    const size_t window = (size_t)c->size * (size_t)c->size,
                 filter = (size_t)(c->c / c->groups) * window;
    pack(be, &p->forward, c->groups, w.p, filter, window, prepared.p);
    for (int i = 0; i < p->jobs; i++)
        pack(be, p->adjoint + i, c->groups, w.p, window, filter, prepared.p);
}

/* ---- the product ---- */

static int piece(const am_job *j)               /* channels of one piece of the sum */
{
    return j->taps > PIECE || !j->taps ? 1 : PIECE / j->taps;
}

static size_t columns_room(const am_job *j)
{
    return (size_t)COLUMN_PANELS * AM_NR * (size_t)piece(j) * (size_t)j->taps;
}

size_t am_job_scratch(const am_backend *be, const am_job *j)
{
    return (size_t)be->threads
           * (columns_room(j) + (size_t)ROW_PANELS * COLUMN_PANELS * AM_MR * AM_NR);
}

void am_job_run(am_backend *be, const am_job *j, int groups, int n, const float *source,
                size_t sample, const float *prepared, float *scratch, am_give_run *give, void *how)
{
    const long panels = am_job_panels(j, n), blocks = (panels + COLUMN_PANELS - 1) / COLUMN_PANELS;
    const size_t room = am_job_scratch(be, j) / (size_t)be->threads,
                 plane = (size_t)j->sh * (size_t)j->sw;
    const int row_panels = am_row_panels(j), most = piece(j);
    const size_t packed_panel = am_packed_group(j) / (size_t)row_panels;
    int height = row_panels < ROW_PANELS ? row_panels : ROW_PANELS;
    while (height > 8 && blocks * groups * ((row_panels + height - 1) / height) < be->threads)
        height = (height + 1) / 2;
    const int bands = (row_panels + height - 1) / height;
    const long tasks = blocks * groups * bands;
#pragma omp parallel for num_threads(am_cpu_team(be, (size_t)panels * am_packed_group(j))) \
    schedule(dynamic)
    for (long task = 0; task < tasks; task++) {
        float *columns = scratch + (size_t)am_cpu_thread() * room,
              *tiles = columns + columns_room(j);
        const int group = (int)(task / (blocks * bands)), band = (int)(task / blocks % bands);
        const int top = band * height, rows = row_panels - top < height ? row_panels - top : height;
        am_panel panel[COLUMN_PANELS];
        for (int p = 0; p < COLUMN_PANELS; p++)
            am_panel_find(j, n, task % blocks * COLUMN_PANELS + p, panel + p);
        int wide = COLUMN_PANELS;
        while (wide > 2 && !panel[wide - 2].runs) wide -= 2; /* the kernel wants an even number */

        memset(tiles, 0, (size_t)(rows * wide * AM_MR * AM_NR) * sizeof(float));
        for (int c = 0; c < j->channels && j->taps; c += most) {
            const int last = c + most < j->channels ? c + most : j->channels,
                      k = (last - c) * j->taps;
            const float *a = prepared + j->packed + (size_t)group * am_packed_group(j);
            for (int p = 0; p < wide; p++)
                am_columns(j, panel + p, source + (size_t)group * (size_t)j->channels * plane,
                           sample, c, last, columns + (size_t)p * (size_t)k * AM_NR, AM_NR);
            a += ((size_t)top * (size_t)j->channels + (size_t)c) * (size_t)j->taps * AM_MR;
            for (int r = 0; r < rows; r++, a += packed_panel)
                am_cpu_of(be)->kernels->block(k, wide, a, columns,
                                              tiles + r * wide * AM_MR * AM_NR);
        }
        for (int r = 0; r < rows * AM_MR && top * AM_MR + r < j->rows; r++)
            for (int p = 0; p < wide; p++)
                for (const am_run *run = panel[p].run; run < panel[p].run + panel[p].runs; run++)
                    give(how, group * j->rows + top * AM_MR + r, run,
                         tiles + ((r / AM_MR * wide + p) * AM_MR + r % AM_MR) * AM_NR + run->first);
    }
}

/* ---- forward ---- */

typedef struct forward { const am_post *post; size_t sample, plane; int width; float *y; } forward;

static void finish(void *how, int row, const am_run *run, float *v)
{
    const forward *f = how;
    const am_post *post = f->post;
    const size_t n = (size_t)run->count;
    const size_t at = (size_t)run->image * f->sample + (size_t)row * f->plane
                      + (size_t)(run->y * f->width + run->x);
    if (post) {
        const float scale = am_is(post->scale) ? post->scale.p[row] : 1,
                    shift = am_is(post->shift) ? post->shift.p[row] : 0;
        if (am_is(post->scale) || am_is(post->shift))
            for (size_t i = 0; i < n; i++) v[i] = scale * v[i] + shift;
        if (am_is(post->residual))
            for (size_t i = 0; i < n; i++) v[i] += post->residual.p[at + i];
        am_cpu_act(post->act, n, v);
    }
    memcpy(f->y + at, v, n * sizeof(float));
}

void am_cpu_conv(am_backend *be, const am_conv *c, int n, am_dev x, am_dev w, am_dev prepared,
                 am_dev scratch, const am_post *post, am_dev y)
{
    (void)w;
    if (am_cpu_stopped(be)) return;
    const am_conv_plan *p = c->plan;
    am_shape xs = {n, c->c, c->h, c->w}, ys = {n, c->filters, c->oh, c->ow};
    forward f = {post, am_cpu_sample(ys), am_cpu_plane(ys), c->ow, y.p};
    am_job_run(be, &p->forward, c->groups, n, x.p, am_cpu_sample(xs), prepared.p, scratch.p, finish,
               &f);
}
