/* patchup.c: method=patchup        blocks of features of x_j in the features of x_i
 *
 * After one of `layers`, chosen anew for each step; for the image itself it is CutMix with
 * Beta(1, 1).  Else: gamma' = gamma w^2 / (k^2 (w - k + 1)^2); a hole of k x k is opened around each
 * number of a sample's map [c][h][w] with this probability, the same holes for the whole batch.
 *
 *   mode=hard   holes take h_j                             Y = y_j
 *   mode=soft   holes take lambda h_i + (1 - lambda) h_j   Y = lambda y_i + (1 - lambda) y_j
 *   L = u CE(y_i) + (1 - u) CE(Y) + CE(u y_i + (1 - u) Y),  u the share of numbers outside the holes
 *
 * Cross-entropy is linear in its labels, so L = 2 CE(u y_i + (1 - u) Y).  prob=, common to all [mix]
 * sections, is the authors' patchup_prob.  Faramarzi et al., PatchUp, AAAI 2022.
 *
 * With D the difference blend(h) - h and R the holes' 0 and 1, the tap is h + R D, back
 * dy + (blend' - 1) R dy; R times x is relu's way back at R, so no operation is new. */
#include <math.h>
#include <string.h>
#include "../box.h"
#include "../tap.h"

typedef struct patchup {
    double alpha, gamma;
    int block, mode, no_repeat;
    am_layers layers;
} patchup;
#define OPTIONS patchup
static const am_key keys[] = {
    AM_REAL(alpha, 1e-3, 1000, "2", "soft: lambda is drawn from Beta(alpha, alpha)"),
    AM_REAL(gamma, 0, 1, "0.5",
            "how much of a map is changed, before holes overlap; the authors take 0.5 for hard, "
            "0.75 for soft"),
    AM_INT(block, 1, 63, "7", "side of a hole, odd"),
    AM_CHOICE(mode, "hard|soft", "hard", "holes show the partner, or the two averaged"),
    AM_LAYERS(layers, "",
              "after which of these, chosen anew for each step; by default the image, the first "
              "convolution, stage1"),
    AM_FLAG(no_repeat, "0", "no image is mixed with itself"),
    {0}
};
enum { HARD, SOFT };

typedef struct state {
    am_trainer *t;
    am_taps taps;
    am_slot box, own; /* own: the sample's weight in a hole */
    am_place holes;
    float *hole; /* of one sample, the layer's shape */
    int layer;
} state;

static am_status setup(am_mix *m, am_trainer *t, am_err *e)
{
    static const char *const none[] = {NULL};
    const patchup *o = m->options;
    state *s = m->state;
    am_layers layers = o->layers;
    int conv = am_net_first(&t->net, "convolutional", 0), stage = am_net_find(&t->net, "stage1");
    if (o->block % 2 == 0)
        return am_fail(e, AM_EINPUT, m->loc,
                       "block=%d: a hole lies around a number, so its side must be odd", o->block);
    if (!layers.count) {
        if (conv < 0 || stage < 0)
            return am_fail(
                e, AM_EINPUT, m->loc,
                "method=patchup mixes after the first [convolutional] and after 'stage1', and the "
                "net lacks one of them; say where with layers=NAME,NAME");
        layers = (am_layers){3, {0, conv, stage}};
    }
    s->t = t;
    s->box = am_claim(t, 4 * (size_t)t->n);
    s->own = am_claim(t, (size_t)t->n);
    size_t room = 0, values = 0;
    for (int i = 0; i < layers.count; i++) {
        am_shape y = t->net.layer[layers.at[i]].out;
        size_t own = t->be->ops->room(t->be, am_batch_of(y, t->n));
        if (layers.at[i] && (y.h < o->block || y.w < o->block))
            return am_fail(
                e, AM_EINPUT, m->loc,
                "block=%d does not fit into the map of %dx%d after layer %d; give a smaller block",
                o->block, y.w, y.h, layers.at[i] - 1);
        room = own > room ? own : room;
        values = am_count(y) > values ? am_count(y) : values;
    }
    s->holes = am_space_push(&t->space, room);
    s->hole = am_new(&t->mem, values * sizeof *s->hole);
    if (!s->hole) return am_fail(e, AM_ENOMEM, m->loc, "out of memory");
    return am_taps_open(&s->taps, m, t, &layers, none, e);
}

static void draw_box(state *s, am_trainer *t, am_rng *r, int no_repeat)
{
    int w = t->net.input.w, h = t->net.input.h, *to = am_state_ints(t, s->box);
    double side = sqrt(1 - am_draw_lambda(t, r, 1));
    int cx = (int)am_rng_below(r, (uint32_t)w), cy = (int)am_rng_below(r, (uint32_t)h);
    am_box b = am_box_around(cx, cy, (int)(w * side), (int)(h * side), w, h);
    am_draw_pair(t, r, 1, 1 - am_box_share(b, w, h), no_repeat);
    for (int i = 0; i < t->n; i++)
        to[4 * i] = b.x1, to[4 * i + 1] = b.y1, to[4 * i + 2] = b.x2, to[4 * i + 3] = b.y2;
}

/* The holes of one sample; returns the share of numbers outside. */
static double draw_holes(const patchup *o, state *s, am_shape y, am_rng *r)
{
    int reach = o->block / 2, free_h = y.h - o->block + 1, free_w = y.w - o->block + 1;
    double chance = o->gamma * y.h * y.w / ((double)o->block * o->block * free_h * free_w),
           outside = 0;
    size_t n = am_count(am_batch_of(y, 1));
    memset(s->hole, 0, n * sizeof *s->hole);
    for (size_t i = 0; i < n; i++) {
        if (am_rng_real(r) >= chance) continue;
        int row = (int)(i / (size_t)y.w) % y.h, column = (int)(i % (size_t)y.w);
        float *map = s->hole + i / (size_t)(y.h * y.w) * (size_t)(y.h * y.w);
        for (int v = row - reach; v <= row + reach; v++)
            for (int u = column - reach; u <= column + reach; u++)
                if (v >= 0 && v < y.h && u >= 0 && u < y.w) map[v * y.w + u] = 1;
    }
    for (size_t i = 0; i < n; i++) outside += 1 - s->hole[i];
    return outside / (double)n;
}

static void draw(am_mix *m, am_trainer *t, am_rng *r)
{
    const patchup *o = m->options;
    state *s = m->state;
    s->layer = s->taps.layer[am_rng_below(r, (uint32_t)s->taps.count)];
    if (!s->layer) {
        draw_box(s, t, r, o->no_repeat);
        return;
    }
    double own = o->mode == SOFT ? am_draw_lambda(t, r, o->alpha) : 0,
           outside = draw_holes(o, s, t->net.layer[s->layer].out, r);
    am_draw_pair(t, r, 1, outside + (1 - outside) * own, o->no_repeat);
    for (int i = 0; i < t->n; i++) am_state_host(t, s->own)[i] = (float)own;
}

static void put_holes(state *s, am_trainer *t)
{
    am_shape y = am_batch_of(t->net.layer[s->layer].out, 1);
    am_dev to = am_here(&t->space, s->holes);
    size_t one = t->be->ops->room(t->be, y), all = t->be->ops->room(t->be, am_batch_of(y, t->n));
    t->be->ops->put(t->be, y, s->hole, to);
    for (size_t done = one; done < all; done *= 2)
        t->be->ops->copy(t->be, done < all - done ? done : all - done, to, am_at(to, done));
}

static void forward(const am_pass *p, const am_layer *l, void *user)
{
    state *s = user;
    am_trainer *t = s->t;
    const am_ops *o = am_o(p);
    am_shape shape = am_y_shape(p, l);
    am_dev keep = am_here(&t->space, s->taps.keep), spare = am_here(&t->space, s->taps.spare),
           mask = am_here(&t->space, s->taps.mask);
    am_tap_keep(p, l, keep);
    put_holes(s, t);
    o->mask_fill(am_be(p), t->n, l->out.h, l->out.w, am_state_dev(t, s->own), mask);
    o->blend(am_be(p), shape, keep, am_state_dev(t, t->pair[1].perm), mask, spare);
    o->add(am_be(p), shape, 1, spare, -1, keep, AM_LINEAR, spare);
    o->act_back(am_be(p), shape, AM_RELU, am_here(&t->space, s->holes), spare, 1,
                (am_grad){am_y(p, l), 1});
}

static void backward(const am_pass *p, const am_layer *l, void *user)
{
    state *s = user;
    am_trainer *t = s->t;
    const am_ops *o = am_o(p);
    am_shape shape = am_y_shape(p, l);
    am_dev keep = am_here(&t->space, s->taps.keep), spare = am_here(&t->space, s->taps.spare),
           mask = am_here(&t->space, s->taps.mask), dy = am_dy(p, l);
    am_tap_put_back(p, l, keep);
    o->act_back(am_be(p), shape, AM_RELU, am_here(&t->space, s->holes), dy, 1, (am_grad){spare, 0});
    o->blend_back_x(am_be(p), shape, am_state_dev(t, t->pair[1].perm), mask, spare,
                    (am_grad){keep, 0});
    o->add(am_be(p), shape, 1, keep, -1, spare, AM_LINEAR, keep);
    o->add(am_be(p), shape, 1, dy, 1, keep, AM_LINEAR, dy);
}

static void run(am_mix *m, am_trainer *t)
{
    state *s = m->state;
    const am_ops *o = t->be->ops;
    am_shape rows = {t->n, t->classes, 1, 1};
    am_dev x = am_here(&t->space, t->x), mixed = am_here(&t->space, t->mixed_x),
           mask = am_here(&t->space, t->mixed_mask), q = am_here(&t->space, t->mixed_q);
    am_dev perm = am_state_dev(t, t->pair[1].perm);
    o->labels_mix(t->be, t->n, t->classes, am_here(&t->space, t->q), perm,
                  am_state_dev(t, t->pair[1].lam), q);
    m->mixed.pass.tap = (am_tap){s->layer, forward, backward, s};
    if (s->layer) {
        o->add(t->be, rows, 1, q, 1, q, AM_LINEAR, q); /* the loss counts twice */
    } else {
        o->mask_box(t->be, t->n, t->net.input.h, t->net.input.w, am_state_dev(t, s->box), mask);
        o->blend(t->be, am_batch_of(t->net.input, t->n), x, perm, mask, mixed);
    }
    am_mix_teach(t, m, s->layer ? x : mixed, q);
}

const am_method am_method_patchup = {
    .name = "patchup",
    .paper = "Faramarzi et al., AAAI 2022",
    .help = "blocks of the features of one image are put into the other's",
    .example = "[mix]\nmethod=patchup\nmode=soft\ngamma=0.75\n",
    .keys = keys,
    .options = sizeof(patchup),
    .state = sizeof(state),
    .setup = setup,
    .draw = draw,
    .run = run,
};
