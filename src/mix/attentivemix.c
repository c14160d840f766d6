/* attentivemix.c: method=attentivemix      x_i keeps the cells that a trained network attends to
 *
 * A network that was trained before (weights=, of this very net) looks at the clean batch; attention
 * is the mean over channels of its last map of P cells.  The k cells of each image with most of it
 * stay, the rest is x_j: x = A x_i + (1 - A) x_j, lambda = k / P.  k is top_k, or, with top_k=0,
 * floor(P lambda) within 1 .. P for lambda ~ Beta(alpha, beta).
 * Walawalkar et al., Attentive CutMix, ICASSP 2020; k from lambda as in OpenMixup ("+").
 *
 * The map is read by the host, which waits for the device once a step here. */
#include <string.h>
#include "../train.h"

typedef struct attentivemix {
    const char *weights;
    double alpha, beta;
    int top_k, layer, no_repeat;
} attentivemix;
#define OPTIONS attentivemix
static const am_key keys[] = {
    AM_WORD(weights, "",
            "a .weights file of this net, trained before, for instance with method=none"),
    AM_REAL(alpha, 1e-3, 1000, "2", "with top_k=0, lambda is drawn from Beta(alpha, beta)"),
    AM_REAL(beta, 0, 1000, "0", "see alpha; 0: the same as alpha"),
    AM_INT(top_k, 0, 65536, "0", "cells that are kept; 0: a lambda's share of them"),
    AM_LAYER(layer, "",
             "whose map is looked at; by default what the first [avgpool] over a whole map reads"),
    AM_FLAG(no_repeat, "0", "no image is mixed with itself"),
    {0}
};

typedef struct state {
    am_weights w;
    am_plan plan;
    am_pass pass;
    int layer, kept;
    float *map, *plane, *attention; /* [n][c][h][w], [n][H][W], [h][w] */
} state;

static am_status load(const attentivemix *o, state *s, am_trainer *t, am_err *e)
{
    am_trainer reader = {.be = t->be, .net = t->net};
    AM_TRY(am_weights_open(&s->w, &t->net, 0, e));
    if (t->made_up) return am_weights_init(&s->w, &t->net, 1, e);
    reader.student = s->w;
    return am_weights_load(&reader, o->weights, NULL, e);
}

static am_status setup(am_mix *m, am_trainer *t, am_err *e)
{
    const attentivemix *o = m->options;
    state *s = m->state;
    int map = am_net_last_map(&t->net);
    if (!o->weights[0] && !t->made_up)
        return am_fail(
            e, AM_EINPUT, m->loc,
            "method=attentivemix needs a network that was trained before: train this cfg with -mix "
            "none and give its file with weights=BACKUP/NAME_final.weights");
    if (o->layer < 0 && map < 0)
        return am_fail(e, AM_EINPUT, m->loc,
                       "method=attentivemix looks at what the [avgpool] reads, and the net has "
                       "none; say layer=NAME");
    s->layer = o->layer >= 0 ? o->layer : map;
    am_shape y = t->net.layer[s->layer].out, in = t->net.input;
    if (!s->layer || in.h % y.h || in.w % y.w)
        return am_fail(e, AM_EINPUT, m->loc,
                       "a map of %dx%d cannot be brought to an image of %dx%d: the image must be a "
                       "whole multiple; choose another layer=",
                       y.w, y.h, in.w, in.h);
    if (o->top_k > y.h * y.w)
        return am_fail(e, AM_EINPUT, m->loc, "top_k=%d: the map has only %d cells", o->top_k,
                       y.h * y.w);
    AM_TRY(load(o, s, t, e));
    size_t mark = am_space_mark(&t->space), n = (size_t)t->n;
    AM_TRY(am_pass_make(&s->pass, &s->plan, &t->net, (am_trip){.to = s->layer, .n = t->n}, &s->w,
                        &t->space, e));
    am_space_release(&t->space, mark);
    s->map = am_new(&t->mem, n * am_count(y) * sizeof *s->map);
    s->plane = am_new(&t->mem, n * (size_t)(in.h * in.w) * sizeof *s->plane);
    s->attention = am_new(&t->mem, (size_t)(y.h * y.w) * sizeof *s->attention);
    return s->map && s->plane && s->attention ? AM_OK
                                              : am_fail(e, AM_ENOMEM, m->loc, "out of memory");
}

static void draw(am_mix *m, am_trainer *t, am_rng *r)
{
    const attentivemix *o = m->options;
    state *s = m->state;
    am_shape y = t->net.layer[s->layer].out;
    int cells = y.h * y.w;
    double lambda = t->fixed_lambda >= 0
                        ? t->fixed_lambda
                        : am_rng_beta(r, o->alpha, o->beta > 0 ? o->beta : o->alpha);
    s->kept = o->top_k && t->fixed_lambda < 0 ? o->top_k : (int)(cells * lambda);
    if (s->kept < 1) s->kept = 1;
    am_draw_pair(t, r, 1, (double)s->kept / cells, o->no_repeat);
}

/* Cells of one image by rank; of equals the first counts for more. */
static void fill_plane(const state *s, am_shape y, am_shape in, const float *map, float *plane)
{
    int cells = y.h * y.w, by_h = in.h / y.h, by_w = in.w / y.w;
    for (int i = 0; i < cells; i++) {
        double sum = 0;
        for (int c = 0; c < y.c; c++) sum += map[c * cells + i];
        s->attention[i] = (float)sum;
    }
    for (int i = 0; i < cells; i++) {
        int ahead = 0;
        for (int k = 0; k < cells; k++)
            ahead +=
                s->attention[k] > s->attention[i] || (s->attention[k] == s->attention[i] && k < i);
        for (int v = 0; v < by_h; v++)
            for (int u = 0; u < by_w; u++)
                plane[(i / y.w * by_h + v) * in.w + i % y.w * by_w + u] = ahead >= s->kept;
    }
}

static void mask(am_mix *m, am_trainer *t, am_dev to)
{
    state *s = m->state;
    am_shape y = t->net.layer[s->layer].out, in = t->net.input;
    size_t plane = (size_t)(in.h * in.w);
    s->pass.given = am_here(&t->space, t->x);
    am_forward(&s->pass);
    t->be->ops->get(t->be, am_batch_of(y, t->n), am_y(&s->pass, &t->net.layer[s->layer]), s->map);
    for (size_t i = 0; i < (size_t)t->n; i++)
        fill_plane(s, y, in, s->map + i * am_count(y), s->plane + i * plane);
    t->be->ops->upload(t->be, (size_t)t->n * plane, s->plane, to);
}

static void close(am_mix *m, am_trainer *t)
{
    am_weights_close(&((state *)m->state)->w, &t->net);
}

const am_method am_method_attentivemix = {
    .name = "attentivemix",
    .paper = "Walawalkar et al., ICASSP 2020",
    .help = "an image keeps the cells that a network trained before attends to",
    .example = "[mix]\nmethod=attentivemix\nweights=backup/resnet18_none_final.weights\n",
    .keys = keys,
    .options = sizeof(attentivemix),
    .state = sizeof(state),
    .setup = setup,
    .draw = draw,
    .mask = mask,
    .close = close,
};
