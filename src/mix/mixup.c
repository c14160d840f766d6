/* mixup.c: method=mixup            x = lambda x_i + (1 - lambda) x_j, and so the labels
 *
 * lambda ~ Beta(alpha, alpha), one for the batch.  Zhang et al., mixup: Beyond Empirical Risk
 * Minimization, ICLR 2018. */
#include "../mixer.h"

typedef struct mixup {
    double alpha;
    int no_repeat;
} mixup;
#define OPTIONS mixup
static const am_key keys[] = {
    AM_REAL(alpha, 1e-3, 1000, "1", "lambda is drawn from Beta(alpha, alpha)"),
    AM_FLAG(no_repeat, "0", "no image is mixed with itself"),
    {0}
};

static void draw(am_mix *m, am_trainer *t, am_rng *r)
{
    const mixup *o = m->options;
    am_draw_pair(t, r, 1, am_draw_lambda(t, r, o->alpha), o->no_repeat);
}

static void mask(am_mix *m, am_trainer *t, am_dev to)
{
    (void)m;
    t->be->ops->mask_fill(t->be, t->n, t->net.input.h, t->net.input.w,
                          am_state_dev(t, t->pair[1].lam), to);
}

const am_method am_method_mixup = {
    .name = "mixup",
    .paper = "Zhang et al., ICLR 2018",
    .help = "the two images are averaged, lambda to 1 - lambda",
    .example = "[mix]\nmethod=mixup\nalpha=1\n",
    .keys = keys,
    .options = sizeof(mixup),
    .draw = draw,
    .mask = mask,
};
