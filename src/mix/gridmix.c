/* gridmix.c: method=gridmix        cells of a grid are of x_i or of x_j, and each is asked for its own label
 *
 * Of grid x grid cells, round((1 - lambda) grid^2) chosen by chance show x_j; lambda ~ Beta(alpha, alpha)
 * becomes the share of the others.  The head learns the mixture as any; besides, a classifier of the places
 * of the last map, a [convolutional] of size 1 with an output a class, learns what each cell shows:
 *
 *   L = CE(head) + local_weight / (n grid^2) sum over images, cells of CE(softmax(mean of the cell's logits))
 *
 * It is linear, so on a map finer than the grid an [avgpool] with a size above it gives the same for less.
 *
 * Baek, Bang and Shim, GridMix, Pattern Recognition 2021, from its description: grid and local_weight are
 * ours.  (What OpenMixup calls gridmix is method=gridmixup.)  The local loss is the host's, which waits for
 * the device twice a step here. */
#include <math.h>
#include "../mixer.h"

typedef struct gridmix {
    double alpha, local_weight;
    int grid, local, no_repeat;
} gridmix;
#define OPTIONS gridmix
static const am_key keys[] = {
    AM_REAL(alpha, 1e-3, 1000, "1", "lambda is drawn from Beta(alpha, alpha)"),
    AM_INT(grid, 1, 64, "4", "cells across the image"),
    AM_LAYER(local, "",
             "the [convolutional] that classifies places of a map; by default the layer of the "
             "name local"),
    AM_REAL(local_weight, 0, 1000, "1", "weight of its loss; 0: there need not be one"),
    AM_FLAG(no_repeat, "0", "no image is mixed with itself"),
    {0}
};

typedef struct state {
    am_trainer *t;
    const gridmix *o;
    am_slot plane;
    am_place loss;
    unsigned char *partner; /* [cells]: 1 shows the partner */
    int *order;
    float *logit,
        *each; /* [n][classes][h][w] of the local classifier, then its gradient; [n] losses */
    double *prob; /* [n][classes]: work */
} state;

static am_status find_local(am_mix *m, am_trainer *t, am_err *e)
{
    const gridmix *o = m->options;
    m->also = o->local >= 0 ? o->local : am_net_find(&t->net, "local");
    if (m->also < 0)
        return am_fail(e, AM_EINPUT, m->loc,
                       "method=gridmix asks each place of a map for its label: below the last "
                       "[softmax] add [convolutional] name=local input=THE LAST MAP filters=%d "
                       "size=1 activation=linear, or say local_weight=0",
                       t->classes);
    const am_layer *l = &t->net.layer[m->also];
    if (m->also < t->clean_head || m->also < t->mixed_head)
        return am_fail(e, AM_EINPUT, l->loc,
                       "the layer of local= must stand below the [softmax] layers");
    if (l->out.c != t->classes || l->out.h % o->grid || l->out.w % o->grid ||
        l->out.h * l->out.w < 2)
        return am_fail(e, AM_EINPUT, l->loc,
                       "local= gives %dx%dx%d; it needs %d channels, one a class, and places that "
                       "divide into grid=%d a side",
                       l->out.w, l->out.h, l->out.c, t->classes, o->grid);
    return AM_OK;
}

static am_status setup(am_mix *m, am_trainer *t, am_err *e)
{
    const gridmix *o = m->options;
    state *s = m->state;
    size_t n = (size_t)t->n, cells = (size_t)(o->grid * o->grid);
    if (t->net.input.h % o->grid || t->net.input.w % o->grid)
        return am_fail(e, AM_EINPUT, m->loc,
                       "grid=%d: an image of %dx%d does not divide into as many cells", o->grid,
                       t->net.input.w, t->net.input.h);
    if (o->local_weight > 0) AM_TRY(find_local(m, t, e));
    s->t = t;
    s->o = o;
    s->plane = am_claim(t, (size_t)(t->net.input.h * t->net.input.w));
    s->loss = am_space_push(&t->space, n);
    s->partner = am_new(&t->mem, cells);
    s->order = am_new(&t->mem, cells * sizeof *s->order);
    s->each = am_new(&t->mem, n * sizeof *s->each);
    s->logit = am_new(&t->mem, n * am_count(t->net.layer[m->also].out) * sizeof *s->logit);
    s->prob = am_new(&t->mem, n * (size_t)t->classes * sizeof *s->prob);
    return s->partner && s->order && s->each && s->logit && s->prob
               ? AM_OK
               : am_fail(e, AM_ENOMEM, m->loc, "out of memory");
}

static void draw(am_mix *m, am_trainer *t, am_rng *r)
{
    const gridmix *o = m->options;
    state *s = m->state;
    int h = t->net.input.h, w = t->net.input.w, cells = o->grid * o->grid;
    int pasted = (int)floor((1 - am_draw_lambda(t, r, o->alpha)) * cells + 0.5);
    float *plane = am_state_host(t, s->plane);
    am_rng_permute(r, cells, s->order);
    for (int i = 0; i < cells; i++) s->partner[s->order[i]] = i < pasted;
    for (int i = 0; i < h * w; i++)
        plane[i] = s->partner[i / w * o->grid / h * o->grid + i % w * o->grid / w];
    am_draw_pair(t, r, 1, 1 - (double)pasted / cells, o->no_repeat);
}

/* One cell of one sample: the mean logits of its places, their loss, and the gradient in their stead. */
static double learn_cell(const am_layer *l, int grid, int cell, int label, float scale,
                         double *prob, float *logit)
{
    int by_h = l->out.h / grid, by_w = l->out.w / grid, places = by_h * by_w, k = l->out.c;
    float *from = logit + cell / grid * by_h * l->out.w + cell % grid * by_w;
    double most = -INFINITY, sum = 0;
    for (int c = 0; c < k; c++) {
        prob[c] = 0;
        for (int i = 0; i < places; i++)
            prob[c] +=
                (double)from[c * l->out.h * l->out.w + i / by_w * l->out.w + i % by_w] / places;
        most = prob[c] > most ? prob[c] : most;
    }
    double loss = most - prob[label];
    for (int c = 0; c < k; c++) sum += prob[c] = exp(prob[c] - most);
    for (int c = 0; c < k; c++) {
        float g = scale / (float)places * (float)(prob[c] / sum - (c == label));
        for (int i = 0; i < places; i++)
            from[c * l->out.h * l->out.w + i / by_w * l->out.w + i % by_w] = g;
    }
    return loss + log(sum);
}

static void forward(const am_pass *p, const am_layer *l, void *user)
{
    state *s = user;
    am_trainer *t = s->t;
    const int *label = am_state_ints(t, t->labels), *perm = am_state_ints(t, t->pair[1].perm),
              cells = s->o->grid * s->o->grid;
    const float weight = (float)s->o->local_weight / (float)cells;
    am_o(p)->get(am_be(p), am_y_shape(p, l), am_y(p, l), s->logit);
#pragma omp parallel for num_threads(t->be->threads) schedule(static)
    for (int i = 0; i < t->n; i++) {
        double loss = 0;
        for (int cell = 0; cell < cells; cell++)
            loss += learn_cell(l, s->o->grid, cell, label[s->partner[cell] ? perm[i] : i],
                               weight * p->scale, s->prob + (size_t)i * (size_t)t->classes,
                               s->logit + (size_t)i * am_count(l->out));
        s->each[i] = weight * (float)loss;
    }
    am_o(p)->upload(am_be(p), (size_t)t->n, s->each, am_here(&t->space, s->loss));
    am_o(p)->mean(am_be(p), t->n, p->scale, am_here(&t->space, s->loss),
                  (am_grad){am_at(t->report, AM_REPORT_LOSS + AM_LOSS_MIXED), 1});
}

static void backward(const am_pass *p, const am_layer *l, void *user)
{
    am_o(p)->put(am_be(p), am_y_shape(p, l), ((state *)user)->logit, am_dy(p, l));
}

static void mask(am_mix *m, am_trainer *t, am_dev to)
{
    state *s = m->state;
    am_mask_spread(t, am_state_dev(t, s->plane), to);
    if (m->also) m->mixed.pass.tap = (am_tap){m->also, forward, backward, s};
}

const am_method am_method_gridmix = {
    .name = "gridmix",
    .paper = "Baek et al., Pattern Recognition 2021",
    .help = "cells of a grid are of either image, and each is asked for its own label",
    .example = "[convolutional]\nname=local\ninput=LAST_MAP\nfilters=CLASSES\nsize=1\nactivation="
               "linear\n\n[mix]\nmethod=gridmix\nalpha=0.2\n",
    .keys = keys,
    .options = sizeof(gridmix),
    .state = sizeof(state),
    .setup = setup,
    .draw = draw,
    .mask = mask,
};
