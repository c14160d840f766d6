/* conv_back.c: the gradients of a convolution.
 *
 *   dx  the adjoint, by the jobs of conv.h with dy as the source
 *   dw  [filter][channel, tap] = sum over images and pixels of dy * column
 *
 * dw is shared out by outputs: a task owns a block of filters and a block of whole channels, walks
 * all pixels of the batch in the same order as every other, and alone writes its part. */
#include "conv.h"
#include <string.h>

enum { PIXEL_PANELS = 32, PIXELS = PIXEL_PANELS * AM_NR, FILTERS = 96, COLUMNS = 72 };

/* What a task needs: rows of dy, rows of columns, sums.  Rows are rounded up to whole tiles. */
static int channels_of_task(const am_job *j)
{
    return j->taps >= COLUMNS ? 1 : COLUMNS / j->taps < j->channels ? COLUMNS / j->taps : j->channels;
}
static int rounded(int k, int to) { return (k + to - 1) / to * to; }

static size_t task_room(const am_job *j, int channels)
{
    const size_t f = FILTERS, k = (size_t)rounded(channels * j->taps, AM_DOT_N);
    return f * PIXELS + k * PIXELS + f * k;
}

size_t am_cpu_conv_scratch(am_backend *be, const am_conv *c, int n, int back)
{
    (void)n;
    const am_conv_plan *p = c->plan;
    size_t most = am_job_scratch(be, &p->forward);
    for (int i = 0; back && i < p->jobs; i++) {
        size_t k = am_job_scratch(be, p->adjoint + i);
        if (k > most) most = k;
    }
    size_t k = back ? (size_t)be->threads * task_room(&p->forward, channels_of_task(&p->forward)) : 0;
    return k > most ? k : most;
}

/* ---- dx ---- */

typedef struct scatter { const am_job *job; size_t sample; am_grad dx; } scatter;

static void give(void *how, int row, const am_run *run, float *v)
{
    const scatter *s = how;
    const am_job *j = s->job;
    const size_t step = (size_t)j->ostep, plane = (size_t)j->oh * (size_t)j->ow;
    const size_t y = (size_t)run->y * step + (size_t)j->oy, x = (size_t)run->x * step + (size_t)j->ox;
    float *to = s->dx.d.p + (size_t)run->image * s->sample + (size_t)row * plane + y * (size_t)j->ow + x;
    const float beta = s->dx.beta;
    if (beta == 0) for (size_t i = 0; i < (size_t)run->count; i++) to[i * step] = v[i];
    else for (size_t i = 0; i < (size_t)run->count; i++) to[i * step] = beta * to[i * step] + v[i];
}

/* ---- dw ---- */

/* dy as rows of pixels, in the order of the columns: rows first <= f < last of one group. */
static void gather(const am_job *j, const am_panel *panel, const float *dy, size_t sample, int first, int last,
                   float *to)
{
    const size_t plane = (size_t)j->gh * (size_t)j->gw;
    const am_run *end = panel->run + panel->runs;
    const int filled = panel->runs ? end[-1].first + end[-1].count : 0;
    for (int f = first; f < last; f++, to += PIXELS) {
        for (const am_run *r = panel->run; r < end; r++)
            memcpy(to + r->first, dy + (size_t)r->image * sample + (size_t)f * plane + (size_t)(r->y * j->gw + r->x),
                   (size_t)r->count * sizeof(float));
        for (int i = filled; i < AM_NR; i++) to[i] = 0;
    }
}

typedef struct task { int group, filter, filters, channel, channels; } task;

static void weights(const am_backend *be, const am_job *j, const task *t, int n, const float *x, size_t x_sample,
                    const float *dy, size_t dy_sample, float *a, am_grad dw)
{
    const int columns = t->channels * j->taps, k = rounded(columns, AM_DOT_N), m = rounded(t->filters, AM_DOT_M);
    float *b = a + (size_t)FILTERS * PIXELS, *sum = b + (size_t)k * PIXELS;
    const float *source = x + (size_t)t->group * (size_t)j->channels * (size_t)j->sh * (size_t)j->sw;
    memset(sum, 0, (size_t)m * (size_t)k * sizeof(float));
    memset(a + (size_t)t->filters * PIXELS, 0, (size_t)(m - t->filters) * PIXELS * sizeof(float));
    memset(b + (size_t)columns * PIXELS, 0, (size_t)(k - columns) * PIXELS * sizeof(float));

    const long panels = am_job_panels(j, n);
    for (long first = 0; first < panels; first += PIXEL_PANELS) {
        const int wide = panels - first < PIXEL_PANELS ? (int)(panels - first) : PIXEL_PANELS;
        for (int p = 0; p < wide; p++) {
            am_panel panel;
            am_panel_find(j, n, first + p, &panel);
            gather(j, &panel, dy, dy_sample, t->group * j->rows + t->filter, t->group * j->rows + t->filter + t->filters,
                   a + p * AM_NR);
            am_columns(j, &panel, source, x_sample, t->channel, t->channel + t->channels, b + p * AM_NR, PIXELS);
        }
        for (int c = 0; c < k; c += AM_DOT_N)
            for (int f = 0; f < m; f += AM_DOT_M)
                am_cpu_of(be)->kernels->dots(wide * AM_NR, a + (size_t)f * PIXELS, PIXELS, b + (size_t)c * PIXELS,
                                             PIXELS, sum + (size_t)f * (size_t)k + c, (size_t)k);
    }
    for (int f = 0; f < t->filters; f++)
        am_cpu_give(dw, ((size_t)(t->group * j->rows + t->filter + f) * (size_t)j->channels + (size_t)t->channel)
                        * (size_t)j->taps, (size_t)columns, 1, sum + (size_t)f * (size_t)k);
}

void am_cpu_conv_back(am_backend *be, const am_conv *c, int n, am_dev x, am_dev w, am_dev prepared, am_dev dy,
                      am_dev scratch, am_grad dx, am_grad dw)
{
    (void)w;
    if (am_cpu_stopped(be)) return;
    const am_conv_plan *p = c->plan;
    am_shape xs = {n, c->c, c->h, c->w}, ys = {n, c->filters, c->oh, c->ow};
    for (int i = 0; am_is(dx.d) && i < p->jobs; i++) {
        scatter s = {p->adjoint + i, am_cpu_sample(xs), dx};
        am_job_run(be, p->adjoint + i, c->groups, n, dy.p, am_cpu_sample(ys), prepared.p, scratch.p, give, &s);
    }
    if (!am_is(dw.d)) return;

    const am_job *j = &p->forward;
    const int high = (j->rows + FILTERS - 1) / FILTERS;
    int channels = channels_of_task(j);
    const size_t room = task_room(j, channels);
    while (channels > 1 && c->groups * high * ((j->channels + channels - 1) / channels) < be->threads) channels /= 2;
    const int wide = (j->channels + channels - 1) / channels;
#pragma omp parallel for num_threads(am_cpu_team(be, am_packed_group(j) * am_count(ys))) schedule(dynamic)
    for (int i = 0; i < c->groups * high * wide; i++) {
        task t = {.group = i / (high * wide), .filter = i / wide % high * FILTERS, .channel = i % wide * channels};
        t.filters = j->rows - t.filter < FILTERS ? j->rows - t.filter : FILTERS;
        t.channels = j->channels - t.channel < channels ? j->channels - t.channel : channels;
        weights(be, j, &t, n, x.p, am_cpu_sample(xs), dy.p, am_cpu_sample(ys),
                scratch.p + (size_t)am_cpu_thread() * room, dw);
    }
}

void am_cpu_bias_back(am_backend *be, am_shape s, am_dev dy, am_grad db)
{
    if (am_cpu_stopped(be) || !am_is(db.d)) return;
    const size_t plane = am_cpu_plane(s), step = am_cpu_sample(s);
#pragma omp parallel for num_threads(am_cpu_team(be, am_count(s))) schedule(static)
    for (int c = 0; c < s.c; c++) {
        double sum = 0;
        for (int i = 0; i < s.n; i++) sum += am_cpu_sum(plane, dy.p + (size_t)i * step + (size_t)c * plane);
        am_cpu_give1(db, (size_t)c, (float)sum);
    }
}
