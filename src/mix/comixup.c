/* comixup.c: method=comixup        a batch becomes as many mixtures of several images each, all chosen at once
 *
 * The batch is taken in parts of `part` images.  For each, comix.c chooses which image shows in which cell of
 * which mixture: salient ones, in coherent regions, no mixture like another.  Labels are the images' shares
 * of the cells.  Two images whose most salient places are far apart count a little as one (omega):
 *
 *   near = (1 - omega) I + omega part dist / sum(dist),     dist = L1 distance of those places
 *
 * where a place is the greatest mean of saliency over 8 x 8 pixels.  Saliency is a training pass's gradient,
 * which also teaches: 2 clean_lambda / classes of the clean lesson.  Kim et al., Co-Mixup, ICLR 2021.
 *
 * The host waits for the device once a step; parts are shared out over threads.  On a sheet, a pair is a part. */
#include "../comix.h"
#include "../salient.h"
#include <stdlib.h>
#include <string.h>

typedef struct comixup {
    double alpha, beta, gamma, tau, eta, omega, clean_lambda;
    int part, grid, rounds;
} comixup;
#define OPTIONS comixup
static const am_key keys[] = {
    AM_REAL(alpha, 1e-3, 1000, "2", "a prior of the images' shares is drawn from Dirichlet(alpha)"),
    AM_REAL(beta, 0, 1000, "0.32", "how coherent an image's cells are"),
    AM_REAL(gamma, 0, 1000, "1", "how unlike mixtures are"),
    AM_REAL(tau, 0, 1000, "0.83",
            "cells that an image has elsewhere before it costs more, in whole mixtures"),
    AM_REAL(eta, 0, 1000, "0.05", "weight of the prior"),
    AM_REAL(omega, 0, 1, "0.001", "how much images salient in different places count as one"),
    AM_REAL(
        clean_lambda, 0, 1000, "1",
        "weight of the saliency pass as a lesson; 0: it teaches nothing, at running statistics"),
    AM_INT(part, 2, AM_COMIX_PART, "20", "images that are mixed with each other"),
    AM_INT(grid, 1, AM_COMIX_GRID, "4", "cells across an image"),
    AM_INT(rounds, 1, 100, "4", "times that each mixture is chosen anew"),
    {0}
};

enum { WINDOW = 8 };
typedef struct state {
    am_salient salient;
    float *to, *share, *q, *mixed_q; /* [n][c][h][w], [n][cells][part], [n][classes] twice */
    double *room; /* of each part: saliency [part][cells], near [part][part], work */
    size_t part_room;
    int *place; /* [n][2]: where an image is most salient */
    uint64_t seed;
} state;

static am_status setup(am_mix *m, am_trainer *t, am_err *e)
{
    const comixup *o = m->options;
    state *s = m->state;
    am_shape in = t->net.input;
    size_t n = (size_t)t->n, cells = (size_t)(o->grid * o->grid), part = (size_t)o->part,
           parts = n / 2 + 1;
    if (in.h % o->grid || in.w % o->grid || in.h < WINDOW || in.w < WINDOW)
        return am_fail(e, AM_EINPUT, m->loc,
                       "method=comixup: an image of %dx%d does not divide into grid=%d cells a "
                       "side, or is smaller than %d pixels",
                       in.w, in.h, o->grid, WINDOW);
    s->part_room = part * cells + part * part + part * (cells + part);
    AM_TRY(am_salient_open(&s->salient, m, t, o->clean_lambda, e));
    s->to = am_new(&t->mem, n * am_count(in) * sizeof *s->to);
    s->share = am_new(&t->mem, n * cells * part * sizeof *s->share);
    s->q = am_new(&t->mem, n * (size_t)t->classes * sizeof *s->q);
    s->mixed_q = am_new(&t->mem, n * (size_t)t->classes * sizeof *s->mixed_q);
    s->room = am_new(&t->mem, parts * s->part_room * sizeof *s->room);
    s->place = am_new(&t->mem, 2 * n * sizeof *s->place);
    return s->to && s->share && s->q && s->mixed_q && s->room && s->place
               ? AM_OK
               : am_fail(e, AM_ENOMEM, m->loc, "out of memory");
}

static void draw(am_mix *m, am_trainer *t, am_rng *r)
{
    am_draw_pair(t, r, 1, 1, 0); /* no image has one partner */
    uint64_t high = am_rng_u32(r);
    ((state *)m->state)->seed = high << 32 | am_rng_u32(r);
}

static void find_place(const float *map, int h, int w, int *place)
{
    double most = -1;
    for (int y = 0; y + WINDOW <= h; y++)
        for (int x = 0; x + WINDOW <= w; x++) {
            double sum = 0;
            for (int i = 0; i < WINDOW * WINDOW; i++)
                sum += (double)map[(y + i / WINDOW) * w + x + i % WINDOW];
            if (sum <= most) continue;
            most = sum;
            place[0] = y, place[1] = x;
        }
}

static void fill_shares(const float *map, int h, int w, int grid, double *share)
{
    double all = 0;
    memset(share, 0, (size_t)(grid * grid) * sizeof *share);
    for (int i = 0; i < h * w; i++) {
        share[i / w * grid / h * grid + i % w * grid / w] += (double)map[i];
        all += (double)map[i];
    }
    for (int i = 0; i < grid * grid; i++) share[i] = all > 0 ? share[i] / all : 1.0 / (grid * grid);
}

static void fill_near(const comixup *o, const state *s, int n, const int *member, double *near)
{
    double all = 0;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            const int *a = s->place + 2 * member[i], *b = s->place + 2 * member[j];
            all += near[i * n + j] = abs(a[0] - b[0]) + abs(a[1] - b[1]);
        }
    for (int i = 0; i < n * n; i++)
        near[i] = (1 - o->omega) * (i / n == i % n) + (all > 0 ? o->omega * n * near[i] / all : 0);
}

/* Mixture i of a part: its pixels, its labels, and the share of image i itself. */
static float mix_one(const state *s, const am_trainer *t, int grid, int n, const int *member, int i,
                     const float *share)
{
    am_shape in = t->net.input;
    size_t image = am_count(in);
    int cells = grid * grid, k = t->classes;
    float *to = s->to + (size_t)member[i] * image, *q = s->mixed_q + (size_t)member[i] * (size_t)k,
          own = 0;
    memset(to, 0, image * sizeof *to);
    memset(q, 0, (size_t)k * sizeof *q);
    for (int j = 0; j < n; j++) {
        const float *from = s->salient.x + (size_t)member[j] * image,
                    *label = s->q + (size_t)member[j] * (size_t)k;
        float all = 0;
        for (int cell = 0; cell < cells; cell++) all += share[cell * n + j];
        if (all <= 0) continue;
        if (j == i) own = all / (float)cells;
        for (int c = 0; c < k; c++) q[c] += all / (float)cells * label[c];
        for (int p = 0; p < (int)image; p++) {
            int y = p / in.w % in.h, x = p % in.w;
            to[p] += share[(y * grid / in.h * grid + x * grid / in.w) * n + j] * from[p];
        }
    }
    return own;
}

static void mix(am_mix *m, am_trainer *t, am_dev x, am_dev to)
{
    const comixup *o = m->options;
    state *s = m->state;
    am_shape shape = am_batch_of(t->net.input, t->n);
    const am_comix how = {o->grid, o->alpha, o->beta, o->gamma, o->tau, o->eta, o->rounds};
    size_t plane = (size_t)(shape.h * shape.w);
    int cells = o->grid * o->grid, sheet = t->fixed_perm != NULL,
        parts = sheet ? t->n / 2 : (t->n + o->part - 1) / o->part;
    float *lam = am_state_host(t, t->pair[1].lam);
    am_salient_find(&s->salient, t, x);
    t->be->ops->get(t->be, shape, x, s->salient.x);
    t->be->ops->download(t->be, (size_t)t->n * (size_t)t->classes, am_here(&t->space, t->q), s->q);
#pragma omp parallel for num_threads(t->be->threads) schedule(dynamic)
    for (int part = 0; part < parts; part++) {
        int first = sheet ? 2 * part : part * o->part,
            n = sheet                    ? 2
                : t->n - first < o->part ? t->n - first
                                         : o->part,
            member[AM_COMIX_PART];
        double *salient = s->room + (size_t)part * s->part_room, *near = salient + n * cells;
        float *share = s->share + (size_t)first * (size_t)(cells * o->part);
        am_rng r = am_rng_at(s->seed, 0x636f6d6978, (uint64_t)part);
        for (int i = 0; i < n; i++) {
            member[i] = sheet ? part + i * parts : first + i;
            find_place(s->salient.map + (size_t)member[i] * plane, shape.h, shape.w,
                       s->place + 2 * member[i]);
            fill_shares(s->salient.map + (size_t)member[i] * plane, shape.h, shape.w, o->grid,
                        salient + i * cells);
        }
        fill_near(o, s, n, member, near);
        am_comix_solve(&how, n, salient, near, &r, share, near + n * n);
        for (int i = 0; i < n; i++)
            lam[member[i]] = mix_one(s, t, o->grid, n, member, i, share + i * cells * n);
    }
    t->be->ops->put(t->be, shape, s->to, to);
}

static void labels(am_mix *m, am_trainer *t, am_dev to)
{
    t->be->ops->upload(t->be, (size_t)t->n * (size_t)t->classes, ((state *)m->state)->mixed_q, to);
}

const am_method am_method_comixup = {
    .name = "comixup",
    .paper = "Kim et al., ICLR 2021",
    .help =
        "a batch becomes as many mixtures of several images each, salient and unlike each other",
    .example = "[mix]\nmethod=comixup\nalpha=2\n",
    .keys = keys,
    .options = sizeof(comixup),
    .state = sizeof(state),
    .setup = setup,
    .draw = draw,
    .mix = mix,
    .labels = labels,
};
