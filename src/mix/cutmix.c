/* cutmix.c: method=cutmix          a box of x_j is pasted into x_i
 *
 * lambda ~ Beta(alpha, alpha); the box has sides floor(W r), floor(H r) with r = sqrt(1 - lambda), a
 * centre anywhere in the image, and is clipped; lambda then becomes the share of x_i that is left,
 * so the labels follow the pixels.  Yun et al., CutMix, ICCV 2019. */
#include "../mixer.h"
#include <math.h>

typedef struct cutmix {
    double alpha;
    int no_repeat;
} cutmix;
#define OPTIONS cutmix
static const am_key keys[] = {
    AM_REAL(alpha, 1e-3, 1000, "1", "lambda is drawn from Beta(alpha, alpha)"),
    AM_FLAG(no_repeat, "0", "no image is mixed with itself"),
    {0}
};

typedef struct state {
    am_slot box;
} state;

static am_status setup(am_mix *m, am_trainer *t, am_err *e)
{
    (void)e;
    ((state *)m->state)->box = am_claim(t, 4 * (size_t)t->n);
    return AM_OK;
}

static int clip(int v, int most)
{
    return v < 0 ? 0 : v > most ? most : v;
}

static void draw(am_mix *m, am_trainer *t, am_rng *r)
{
    const cutmix *o = m->options;
    int w = t->net.input.w, h = t->net.input.h;
    double lambda = am_draw_lambda(t, r, o->alpha), side = sqrt(1 - lambda);
    int bw = (int)(w * side) / 2, bh = (int)(h * side) / 2;
    int cx = (int)am_rng_below(r, (uint32_t)w), cy = (int)am_rng_below(r, (uint32_t)h);
    int box[4] = {clip(cx - bw, w), clip(cy - bh, h), clip(cx + bw, w), clip(cy + bh, h)};
    double pasted = (double)(box[2] - box[0]) * (box[3] - box[1]) / ((double)w * h);
    int *to = am_state_ints(t, ((state *)m->state)->box);
    am_draw_pair(t, r, 1, 1 - pasted, o->no_repeat);
    for (int i = 0; i < t->n; i++)
        for (int k = 0; k < 4; k++) to[4 * i + k] = box[k];
}

static void mask(am_mix *m, am_trainer *t, am_dev to)
{
    t->be->ops->mask_box(t->be, t->n, t->net.input.h, t->net.input.w,
                         am_state_dev(t, ((state *)m->state)->box), to);
}

const am_method am_method_cutmix = {
    .name = "cutmix",
    .paper = "Yun et al., ICCV 2019",
    .help = "a box of one image is pasted into the other",
    .example = "[mix]\nmethod=cutmix\nalpha=1\n",
    .keys = keys,
    .options = sizeof(cutmix),
    .state = sizeof(state),
    .setup = setup,
    .draw = draw,
    .mask = mask,
};
