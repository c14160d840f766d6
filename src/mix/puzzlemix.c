/* puzzlemix.c: method=puzzlemix    each pair's mask keeps what the network finds salient in both
 *
 * Saliency is the root mean square over channels of the clean loss's gradient at the pixels, from a
 * pass of its own; mask and transport of each pair are puzzle.c's.  lambda ~ Beta(alpha, alpha) is
 * only a prior: the label's weight is the mean of the pair's own mask.  The mask has B = 2^e blocks
 * across, e drawn anew for each step.  Kim, Choo and Song, Puzzle Mix, ICML 2020.
 *
 * clean_lambda=0: the pass has running statistics and leaves the weights alone.  Above 0 (1 in the
 * authors' Tiny-ImageNet recipe): it is a training pass on the loss times 2 clean_lambda / classes,
 * and its weights' gradients stay in the step.
 *
 * The cut needs the gradient, so the host waits for the device once a step here; the pairs are shared
 * out over threads.  A sheet shows fine-grained saliency's masks: it has no labels to ask a loss for. */
#include "../puzzle.h"
#include "../salient.h"

typedef struct puzzlemix {
    double alpha, beta, gamma, eta, t_eps, clean_lambda;
    int neigh, labels, transport, t_size, block_min, block_max, no_repeat;
} puzzlemix;
#define OPTIONS puzzlemix
static const am_key keys[] = {
    AM_REAL(alpha, 1e-3, 1000, "1",
            "lambda is drawn from Beta(alpha, alpha), a prior for the masks"),
    AM_REAL(beta, 0, 1000, "1.2", "how smooth the mask is"),
    AM_REAL(gamma, 0, 1, "0.5", "how smooth the mixture is across the mask's borders"),
    AM_REAL(eta, 0, 1000, "0.2", "how near the mask's mean is to lambda"),
    AM_INT(neigh, 1, 1024, "4",
           "the mixture's smoothness looks at means of cells of up to this many pixels"),
    AM_INT(labels, 2, 4, "3", "values that a block of the mask can have"),
    AM_FLAG(transport, "1", "salient blocks move to where the mask shows them"),
    AM_REAL(t_eps, 0, 1000, "0.8", "cost of moving a block across the image"),
    AM_INT(t_size, -1, 1024, "4",
           "blocks of this many pixels move where the mask's are larger; -1: the mask's own"),
    AM_INT(block_min, 1, 4, "1", "the mask has 2^block_min to"),
    AM_INT(block_max, 1, 4, "4", "2^block_max blocks across, as far as they divide the image"),
    AM_REAL(clean_lambda, 0, 1000, "0",
            "weight of the saliency pass as a lesson; 0: it teaches nothing"),
    AM_FLAG(no_repeat, "0", "no image is mixed with itself"),
    {0}
};

typedef struct state {
    am_salient salient;
    int blocks;
    float *to; /* [n][c][h][w] */
} state;

static am_status setup(am_mix *m, am_trainer *t, am_err *e)
{
    const puzzlemix *o = m->options;
    state *s = m->state;
    int side = t->net.input.h, least = 1 << o->block_min;
    if (t->net.input.w != side)
        return am_fail(e, AM_EINPUT, m->loc,
                       "method=puzzlemix cuts square images, and the input is %dx%d",
                       t->net.input.w, side);
    if (side % least || o->block_min > o->block_max)
        return am_fail(e, AM_EINPUT, m->loc,
                       "block_min=%d, block_max=%d: an image of %d pixels must divide into "
                       "2^block_min = %d blocks, and block_min be at most block_max",
                       o->block_min, o->block_max, side, least);
    if (!o->t_size)
        return am_fail(e, AM_EINPUT, m->loc,
                       "t_size=0: give pixels, or -1 for the mask's own blocks");
    AM_TRY(am_salient_open(&s->salient, m, t, o->clean_lambda, e));
    s->to = am_new(&t->mem, (size_t)t->n * am_count(t->net.input) * sizeof *s->to);
    return s->to ? AM_OK : am_fail(e, AM_ENOMEM, m->loc, "out of memory");
}

static void draw(am_mix *m, am_trainer *t, am_rng *r)
{
    const puzzlemix *o = m->options;
    am_draw_pair(t, r, 1, am_draw_lambda(t, r, o->alpha), o->no_repeat);
    int most = o->block_min;
    while (most < o->block_max && t->net.input.h % (2 << most) == 0) most++;
    ((state *)m->state)->blocks =
        1 << (o->block_min + (int)am_rng_below(r, (uint32_t)(most - o->block_min + 1)));
}

static void mix(am_mix *m, am_trainer *t, am_dev x, am_dev to)
{
    const puzzlemix *o = m->options;
    state *s = m->state;
    am_shape shape = am_batch_of(t->net.input, t->n);
    size_t image = am_count(t->net.input), plane = (size_t)(shape.h * shape.w);
    int moved =
        o->t_size > 0 && o->t_size < shape.h / s->blocks && shape.h % (o->t_size * s->blocks) == 0
            ? shape.h / o->t_size
            : s->blocks;
    if (moved > AM_PUZZLE_BLOCKS || moved % s->blocks) moved = s->blocks;
    am_puzzle p = {shape.h,
                   shape.c,
                   s->blocks,
                   moved,
                   o->neigh,
                   o->labels,
                   o->transport,
                   o->beta,
                   o->gamma,
                   o->eta,
                   o->t_eps,
                   t->net.options.mean.at,
                   t->net.options.std.at};
    const int *perm = am_state_ints(t, t->pair[1].perm);
    float *lam = am_state_host(t, t->pair[1].lam);
    const float *map = s->salient.map, *from = s->salient.x;
    am_salient_find(&s->salient, t, x);
    t->be->ops->get(t->be, shape, x, s->salient.x);
#pragma omp parallel for num_threads(t->be->threads) schedule(dynamic)
    for (int i = 0; i < t->n; i++) {
        am_puzzle_pair pair = {from + (size_t)i * image, from + (size_t)perm[i] * image,
                               map + (size_t)i * plane, map + (size_t)perm[i] * plane,
                               (double)lam[i]};
        lam[i] = (float)am_puzzle_mix(&p, &pair, s->to + (size_t)i * image);
    }
    t->be->ops->put(t->be, shape, s->to, to);
    t->be->ops->upload(t->be, (size_t)t->n, lam, am_state_dev(t, t->pair[1].lam));
}

const am_method am_method_puzzlemix = {
    .name = "puzzlemix",
    .paper = "Kim et al., ICML 2020",
    .help =
        "a graph cut keeps what the network finds salient in both images, and moves it together",
    .example = "[mix]\nmethod=puzzlemix\nalpha=1\n",
    .keys = keys,
    .options = sizeof(puzzlemix),
    .state = sizeof(state),
    .setup = setup,
    .draw = draw,
    .mix = mix,
};
