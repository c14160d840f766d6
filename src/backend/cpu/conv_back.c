/* conv_back.c: the gradients of a convolution.
 *
 *   dx  the adjoint, by the jobs of conv.h with dy as the source
 *   dw  [filter][channel, tap] = sum over images and pixels of dy * column
 *
 * dw is shared out by outputs: a task owns a band of filters and a block of whole channels, walks
 * all pixels of the batch in the same order as every other, and alone writes its part.  A block of
 * columns is gathered once, stays in the second-level cache, and meets every filter there. */
#include "conv.h"
#include <string.h>

enum { PIXEL_PANELS = 32, PIXELS = PIXEL_PANELS * AM_NR, COLUMNS = 72 };

static int channels_of_task(const am_job *j)
{
    const int most = j->taps >= COLUMNS ? 1 : COLUMNS / j->taps;
    return most < j->channels ? most : j->channels;
}
static int rounded(int k, int to) { return (k + to - 1) / to * to; }

/* For each task: some rows of dy, rows of columns, sums [column][filter], all in whole tiles. */
static size_t task_room(const am_job *j)
{
    const size_t k = (size_t)rounded(channels_of_task(j) * j->taps, AM_DOT_M);
    return (AM_DOT_N + k) * PIXELS + k * (size_t)rounded(j->rows, AM_DOT_N);
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
    size_t k = back ? (size_t)be->threads * task_room(&p->forward) : 0;
    return k > most ? k : most;
}

/* ---- dx ---- */

typedef struct scatter { const am_job *job; size_t sample; am_grad dx; } scatter;

static void give(void *how, int row, const am_run *run, float *v)
{
    const scatter *s = how;
    const am_job *j = s->job;
    const size_t step = (size_t)j->ostep, plane = (size_t)j->oh * (size_t)j->ow;
    const size_t y = (size_t)run->y * step + (size_t)j->oy,
                 x = (size_t)run->x * step + (size_t)j->ox;
    float *to =
        s->dx.d.p + (size_t)run->image * s->sample + (size_t)row * plane + y * (size_t)j->ow + x;
    const float beta = s->dx.beta;
    if (beta == 0) for (size_t i = 0; i < (size_t)run->count; i++) to[i * step] = v[i];
    else for (size_t i = 0; i < (size_t)run->count; i++) to[i * step] = beta * to[i * step] + v[i];
}

/* ---- dw ---- */

/* Rows first .. first + AM_DOT_N - 1 of dy as rows of `count` pixels, from pixel `from` of the
 * batch on.  A row past the last, a pixel past the last, is 0. */
static void gather(const am_job *j, int n, const float *dy, size_t sample, int first, int last,
                   long from, int count, float *to)
{
    const long plane = (long)j->gh * j->gw, all = plane * n;
    const int some = last - first < AM_DOT_N ? last - first : AM_DOT_N;
    memset(to, 0, (size_t)AM_DOT_N * PIXELS * sizeof *to);
    for (long at = from; at < all && at < from + count;) {
        const long end =
            (at / plane + 1) * plane < from + count ? (at / plane + 1) * plane : from + count;
        const float *source =
            dy + (size_t)(at / plane) * sample + (size_t)first * (size_t)plane + at % plane;
        for (int f = 0; f < some; f++)
            memcpy(to + f * PIXELS + (at - from), source + (size_t)f * (size_t)plane,
                   (size_t)(end - at) * sizeof *to);
        at = end;
    }
}

typedef struct task { int group, filter, filters, channel, channels; } task;

static void weights(const am_backend *be, const am_job *j, const task *t, int n, const float *x,
                    size_t x_sample, const float *dy, size_t dy_sample, float *b, am_grad dw)
{
    const int columns = t->channels * j->taps, k = rounded(columns, AM_DOT_M),
              m = rounded(t->filters, AM_DOT_N);
    const int top = t->group * j->rows + t->filter, bottom = top + t->filters;
    float *a = b + AM_DOT_N * PIXELS, *sum = a + (size_t)k * PIXELS;
    const float *source =
        x + (size_t)t->group * (size_t)j->channels * (size_t)j->sh * (size_t)j->sw;
    memset(sum, 0, (size_t)m * (size_t)k * sizeof(float));
    memset(a + (size_t)columns * PIXELS, 0, (size_t)(k - columns) * PIXELS * sizeof(float));

    const long panels = am_job_panels(j, n);
    for (long first = 0; first < panels; first += PIXEL_PANELS) {
        const int wide = panels - first < PIXEL_PANELS ? (int)(panels - first) : PIXEL_PANELS;
        for (int p = 0; p < wide; p++) {
            am_panel panel;
            am_panel_find(j, n, first + p, &panel);
            am_columns(j, &panel, source, x_sample, t->channel, t->channel + t->channels,
                       a + p * AM_NR, PIXELS);
        }
        for (int f = 0; f < m; f += AM_DOT_N) {
            gather(j, n, dy, dy_sample, top + f, bottom, first * AM_NR, wide * AM_NR, b);
            for (int c = 0; c < k; c += AM_DOT_M)
                am_cpu_of(be)->kernels->dots(wide * AM_NR, a + (size_t)c * PIXELS, PIXELS, b,
                                             PIXELS, sum + (size_t)c * (size_t)m + f, (size_t)m);
        }
    }
    for (int f = 0; f < t->filters; f++) {
        const size_t filter = (size_t)(top + f) * (size_t)j->channels + (size_t)t->channel;
        for (int c = 0; c < columns; c++)
            am_cpu_give1(dw, filter * (size_t)j->taps + (size_t)c,
                         sum[(size_t)c * (size_t)m + (size_t)f]);
    }
}

void am_cpu_conv_back(am_backend *be, const am_conv *c, int n, am_dev x, am_dev w, am_dev prepared,
                      am_dev dy, am_dev scratch, am_grad dx, am_grad dw)
{
    (void)w;
    if (am_cpu_stopped(be)) return;
    const am_conv_plan *p = c->plan;
    am_shape xs = {n, c->c, c->h, c->w}, ys = {n, c->filters, c->oh, c->ow};
    for (int i = 0; am_is(dx.d) && i < p->jobs; i++) {
        if (!p->adjoint[i].taps && dx.beta == 1) continue;
        scatter s = {p->adjoint + i, am_cpu_sample(xs), dx};
        am_job_run(be, p->adjoint + i, c->groups, n, dy.p, am_cpu_sample(ys), prepared.p, scratch.p,
                   give, &s);
    }
    if (!am_is(dw.d)) return;

    const am_job *j = &p->forward;
    const size_t room = task_room(j);
    int channels = channels_of_task(j), filters = j->rows;
    while (channels > 1 && c->groups * ((j->channels + channels - 1) / channels) < be->threads)
        channels /= 2;
    const int wide = (j->channels + channels - 1) / channels;
    while (filters > 16 && c->groups * wide * ((j->rows + filters - 1) / filters) < be->threads)
        filters = rounded(filters / 2, AM_DOT_N);
    const int high = (j->rows + filters - 1) / filters;
#pragma omp parallel for num_threads(am_cpu_team(be, am_packed_group(j) * am_count(ys))) \
    schedule(dynamic)
    for (int i = 0; i < c->groups * high * wide; i++) {
        task t = {.group = i / (high * wide),
                  .filter = i / wide % high * filters,
                  .channel = i % wide * channels};
        t.filters = j->rows - t.filter < filters ? j->rows - t.filter : filters;
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
        for (int i = 0; i < s.n; i++)
            sum += am_cpu_sum(plane, dy.p + (size_t)i * step + (size_t)c * plane);
        am_cpu_give1(db, (size_t)c, (float)sum);
    }
}
