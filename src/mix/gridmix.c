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
 * ours.  (What OpenMixup calls gridmix is method=gridmixup.) */
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
    am_slot plane, partner;  /* [h][w] and [grid][grid]: 1 shows the partner */
    am_place loss;           /* [n][grid][grid] */
    int *order;
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
    s->partner = am_claim(t, cells);
    s->loss = am_space_push(&t->space, n * cells);
    s->order = am_new(&t->mem, cells * sizeof *s->order);
    return s->order ? AM_OK : am_fail(e, AM_ENOMEM, m->loc, "out of memory");
}

static void draw(am_mix *m, am_trainer *t, am_rng *r)
{
    const gridmix *o = m->options;
    state *s = m->state;
    int h = t->net.input.h, w = t->net.input.w, cells = o->grid * o->grid;
    int pasted = (int)floor((1 - am_draw_lambda(t, r, o->alpha)) * cells + 0.5);
    float *plane = am_state_host(t, s->plane), *partner = am_state_host(t, s->partner);
    am_rng_permute(r, cells, s->order);
    for (int i = 0; i < cells; i++) partner[s->order[i]] = i < pasted;
    for (int i = 0; i < h * w; i++)
        plane[i] = partner[i / w * o->grid / h * o->grid + i % w * o->grid / w];
    am_draw_pair(t, r, 1, 1 - (double)pasted / cells, o->no_repeat);
}

static am_cells asked(const state *s)
{
    const am_trainer *t = s->t;
    return (am_cells){s->o->grid, am_state_dev(t, s->partner), am_state_dev(t, t->labels),
                      am_state_dev(t, t->pair[1].perm)};
}

static float share_of_cell(const am_pass *p, const state *s)
{
    return (float)s->o->local_weight / (float)(s->o->grid * s->o->grid) * p->scale;
}

static void forward(const am_pass *p, const am_layer *l, void *user)
{
    const state *s = user;
    const am_cells cells = asked(s);
    const am_dev loss = am_here(&s->t->space, s->loss);
    am_o(p)->cells(am_be(p), am_y_shape(p, l), &cells, am_y(p, l), loss);
    am_o(p)->mean(am_be(p), s->t->n * cells.grid * cells.grid, share_of_cell(p, s), loss,
                  (am_grad){am_at(s->t->report, AM_REPORT_LOSS + AM_LOSS_MIXED), 1});
}

static void backward(const am_pass *p, const am_layer *l, void *user)
{
    const am_cells cells = asked(user);
    am_o(p)->cells_back(am_be(p), am_y_shape(p, l), &cells, share_of_cell(p, user), am_y(p, l),
                        (am_grad){am_dy(p, l), 0});
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
