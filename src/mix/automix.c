/* automix.c: method=automix        AutoMix (Liu et al., ECCV 2022)
 *
 * A small learned layer, the [mixblock], decides pixel by pixel how two images are mixed.  A
 * momentum teacher gives it features and judges its mixtures: are they still classifiable as their
 * labels say?  The student learns from clean and mixed images and sends no gradient to the MixBlock.
 *
 *      z   = the teacher's features of x
 *      m_k = MixBlock(z, lambda_k, perm_k)     x_k = (1-m_k) x + m_k x[perm_k]     teaches the MixBlock
 *      m_q = MixBlock(z, lambda_q, perm_q)     x_q = (1-m_q) x + m_q x[perm_q]     teaches the student
 *
 *      L = CE(student(x)) + mixCE(student(x_q)) + mixCE(teacher(x_k)) + weight * mask loss(m_k)
 *
 * Who learns from what (methods.md 1.2): the first two terms reach the student alone, the last two the
 * MixBlock alone; through the teacher, a fixed function with batch statistics, error only passes on
 * its way to the pixels, and from there by the mixing's adjoint to the mask.
 *
 * Without [momentum_teacher] the student judges itself (the paper's table 6). */
#include "../mixer.h"
#include <string.h>

typedef struct automix {
    double alpha, mask_margin, mask_weight, lambda_margin;
    int mask_loss, mask_schedule, mask_reduce, no_repeat;
    double mask_learning_rate, mask_min_learning_rate, mask_momentum, mask_clip, mask_start;
    int mask_warmup;
} automix;

#define OPTIONS automix
static const am_key keys[] = {
    AM_REAL(alpha, 1e-3, 1000, "2", "lambda is drawn from Beta(alpha, alpha)"),
    AM_CHOICE(mask_loss, AM_MASK_LOSSES, "l1", "what keeps the mean of the mask near 1 - lambda"),
    AM_REAL(mask_margin, 0, 1, "0.1", "the distance that this loss forgives"),
    AM_REAL(mask_weight, 0, 1000, "0.1", "weight of this loss at the start"),
    AM_CHOICE(mask_schedule, "linear|constant|cosine", "linear",
              "how that weight falls to 0 over the training, if it does"),
    AM_CHOICE(mask_reduce, "sample|batch", "sample",
              "one mean for each mask, or one for the whole batch"),
    AM_REAL(lambda_margin, 0, 0.5, "0.08",
            "nearer than this to 0 or 1, the student gets a constant mask"),
    AM_FLAG(no_repeat, "0", "no image is mixed with itself"),
    AM_REAL(mask_learning_rate, -1, 1000, "-1", "of the MixBlock; -1: the net's"),
    AM_REAL(mask_min_learning_rate, 0, 1000, "0",
            "where mask_learning_rate is given: what it falls to, along a cosine by epoch"),
    AM_REAL(mask_momentum, -1, 1, "-1", "of the MixBlock's SGD; -1: the net's"),
    AM_INT(mask_warmup, 0, 1000000000, "0", "updates over which the MixBlock's rate rises from 0"),
    AM_REAL(mask_clip, 0, 1e9, "0", "the MixBlock's gradient is kept to this length; 0: free"),
    AM_REAL(mask_start, 0, 1, "0",
            "share of the training before which masks are constant and the MixBlock waits"),
    {0}
};

typedef struct state {
    int block, feature;
    am_plan features_plan, mask_plan, learn_plan, judge_plan;
    am_pass features, mask, learn, judge;
    am_place z, mask_loss;
} state;

static am_status setup(am_mix *self, am_trainer *t, am_err *e)
{
    const automix *o = self->options;
    state *s = self->state;
    const am_ops *op = t->be->ops;
    am_shape image = am_batch_of(t->net.input, t->n);
    const am_weights *judge = t->has_teacher ? &t->teacher : &t->student;
    enum { LEARN = AM_TRAIN | AM_GRAD_WEIGHTS };

    s->block = am_net_first(&t->net, "mixblock", 0);
    if (s->block < 0)
        return am_fail(
            e, AM_EINPUT, self->loc.file ? self->loc : (am_loc){t->net.file, 0},
            "method=automix needs a [mixblock] section in the cfg; see cfg/resnet18_automix.cfg");
    s->feature = t->net.layer[s->block].in[0];
    self->shows = 1;
    t->schedule.weight = o->mask_weight;
    t->schedule.schedule = o->mask_schedule;
    t->schedule.own_rate = o->mask_learning_rate >= 0;
    t->schedule.rate = o->mask_learning_rate;
    t->schedule.min_rate = o->mask_min_learning_rate;
    t->schedule.momentum = o->mask_momentum;
    t->schedule.warmup = o->mask_warmup;
    t->schedule.clip = o->mask_clip;
    t->schedule.start = o->mask_start;

    s->z =
        am_space_push(&t->space, op->room(t->be, am_batch_of(t->net.layer[s->feature].out, t->n)));
    s->mask_loss = am_space_push(&t->space, 16);
    t->judged_x = am_space_push(&t->space, op->room(t->be, image));
    t->judged_q = am_space_push(&t->space, (size_t)t->n * (size_t)t->classes);
    t->judged_mask = am_space_push(&t->space, (size_t)t->n * (size_t)(image.h * image.w));

    size_t mark = am_space_mark(&t->space);
    AM_TRY(am_pass_make(&s->features, &s->features_plan, &t->net,
                        (am_trip){.to = s->feature, .n = t->n, .flags = AM_TRAIN}, judge, &t->space,
                        e));
    am_space_release(&t->space, mark);
    AM_TRY(am_pass_make(&s->mask, &s->mask_plan, &t->net,
                        (am_trip){.from = s->feature, .to = s->block, .n = t->n, .flags = AM_TRAIN},
                        &t->student, &t->space, e));
    am_space_release(&t->space, mark);
    AM_TRY(am_pass_make(&s->learn, &s->learn_plan, &t->net,
                        (am_trip){.from = s->feature, .to = s->block, .n = t->n, .flags = LEARN},
                        &t->student, &t->space, e));
    AM_TRY(am_pass_make(&s->judge, &s->judge_plan, &t->net,
                        (am_trip){.to = t->mixed_head, .n = t->n, .flags = AM_TRAIN | AM_GRAD_FROM},
                        judge, &t->space, e));
    am_space_release(&t->space, mark);
    if (!t->has_teacher || t->follow.clean_loss) return am_student_lessons(self, t, 0, e);
    return am_lesson_make(&self->mixed, t, (am_trip){.to = t->mixed_head, .flags = LEARN},
                          &t->student, AM_LOSS_MIXED, e);
}

static void draw(am_mix *self, am_trainer *t, am_rng *r)
{
    const automix *o = self->options;
    for (int k = 0; k < 2; k++) am_draw_pair(t, r, k, am_draw_lambda(t, r, o->alpha), o->no_repeat);
}

/* The MixBlock looks at the features and says how much of each pixel comes from the partner. */
static void look(am_trainer *t, am_pass *p, am_dev z, int pair, am_dev health)
{
    p->given = z;
    p->perm = am_state_dev(t, t->pair[pair].perm);
    p->lam = am_state_dev(t, t->pair[pair].lam);
    p->health = health;
    am_forward(p);
}

static void blend(am_trainer *t, int pair, am_dev mask, am_place x, am_place q)
{
    const am_ops *op = t->be->ops;
    am_dev perm = am_state_dev(t, t->pair[pair].perm), lam = am_state_dev(t, t->pair[pair].lam);
    op->blend(t->be, am_batch_of(t->net.input, t->n), am_here(&t->space, t->x), perm, mask,
              am_here(&t->space, x));
    op->labels_mix(t->be, t->n, t->classes, am_here(&t->space, t->q), perm, lam,
                   am_here(&t->space, q));
}

static void run(am_mix *self, am_trainer *t)
{
    const automix *o = self->options;
    state *s = self->state;
    const am_ops *op = t->be->ops;
    const am_layer *block = &t->net.layer[s->block], *image = &t->net.layer[0];
    int n = t->n, h = t->net.input.h, w = t->net.input.w;
    size_t plane = (size_t)n * (size_t)(h * w);
    am_dev x = am_here(&t->space, t->x), z = am_here(&t->space, s->z);
    am_dev mask_q = am_here(&t->space, t->mixed_mask), mask_k = am_here(&t->space, t->judged_mask);
    am_dev lam_k = am_state_dev(t, t->pair[0].lam), lam_q = am_state_dev(t, t->pair[1].lam);
    am_dev health = am_at(t->report, AM_REPORT_HEALTH);
    int waiting = t->step < (long)(t->schedule.start * (double)t->steps);

    s->features.given = x;
    am_forward(&s->features);
    op->copy(t->be, op->room(t->be, am_batch_of(t->net.layer[s->feature].out, n)),
             am_y(&s->features, &t->net.layer[s->feature]), z);

    /* a mixture for the student, to whom the mask is a constant */
    look(t, &s->mask, z, 1, AM_NOWHERE);
    op->copy(t->be, plane, am_y(&s->mask, block), mask_q);
    op->mask_margin(t->be, n, h, w, lam_q, waiting ? 1 : (float)o->lambda_margin, mask_q);
    blend(t, 1, mask_q, t->mixed_x, t->mixed_q);

    /* a mixture for the teacher to judge: its error goes through the frozen teacher to the pixels, by
     * the mixing's adjoint to the mask, and into the MixBlock */
    if (!waiting) {
        look(t, &s->learn, z, 0, health);
        op->copy(t->be, plane, am_y(&s->learn, block), mask_k);
        op->mask_health(t->be, n, h, w, lam_k, mask_k, health);
        blend(t, 0, mask_k, t->judged_x, t->judged_q);
        am_pass *judge = &s->judge;
        judge->given = am_here(&t->space, t->judged_x);
        judge->q = am_here(&t->space, t->judged_q);
        judge->seed = am_state_dev(t, t->seed);
        judge->scale = am_update_share(t);
        am_forward(judge);
        op->mean(t->be, n, judge->scale, am_loss(judge),
                 (am_grad){am_at(t->report, AM_REPORT_LOSS + AM_LOSS_JUDGE), 1});
        am_backward(judge);
        am_dev dmask = am_dy(&s->learn, block), loss = am_here(&t->space, s->mask_loss);
        op->blend_back(t->be, am_batch_of(t->net.input, n), x, am_state_dev(t, t->pair[0].perm),
                       am_dy(judge, image), (am_grad){dmask, 0});
        op->mask_loss(t->be, n, h, w, o->mask_loss, o->mask_reduce, (float)o->mask_margin,
                      am_state_dev(t, t->mask_weight), lam_k, mask_k, loss, (am_grad){dmask, 1});
        op->mean(t->be, 1, 1, loss, (am_grad){am_at(t->report, AM_REPORT_LOSS + AM_LOSS_MASK), 1});
        am_backward(&s->learn);
    }

    am_mix_teach(t, self, am_here(&t->space, t->mixed_x), am_here(&t->space, t->mixed_q));
}

const am_method am_method_automix = {
    .name = "automix",
    .paper =
        "Liu et al., AutoMix: Unveiling the Power of Mixup for Stronger Classifiers, ECCV 2022",
    .help = "a MixBlock learns the mask of every pair, judged by a momentum teacher",
    .example = "[mix]\nmethod=automix\nalpha=2\n[momentum_teacher]\n",
    .keys = keys,
    .options = sizeof(automix),
    .state = sizeof(state),
    .setup = setup,
    .draw = draw,
    .run = run,
};
