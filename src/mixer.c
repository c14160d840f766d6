/* mixer.c: what all methods share: chance, and the step of every method that only makes a new batch:
 *
 *   without a teacher       the mixed batch teaches the head that predicts
 *   [momentum_teacher]      with clean_loss=1 the clean batch teaches `clean` and the mixed one `mixed`;
 *                           the teacher looks at the clean batch
 */
#include "mixer.h"
#include <string.h>

#define OPTIONS am_mix_common
const am_key am_mix_common_keys[] = {
    AM_WORD(method, AM_REQUIRED, "how two images are mixed; see: automix help METHOD"),
    AM_REAL(prob, 0, 1, "1",
            "of a step being mixed this way; several [mix] sections share the steps"),
    AM_LAYER(clean, "", "the [softmax] that learns clean images; by default the first"),
    AM_LAYER(mixed, "",
             "the [softmax] that learns mixed images; by default the second, if there is one"),
    {0}
};
#undef OPTIONS

#define OPTIONS am_teacher_options
const am_key am_teacher_keys[] = {
    AM_REAL(momentum, 0, 1, "0.999",
            "teacher = momentum * teacher + (1 - momentum) * student, after each update"),
    AM_REAL(end_momentum, 0, 1, "0.999999", "what the momentum rises to, along a cosine"),
    AM_REAL(hold, 0, 1, "0.1", "share of the training during which it stays"),
    AM_FLAG(clean_loss, "1", "the student learns from the clean batch too"),
    {0}
};
#undef OPTIONS

am_slot am_claim(am_trainer *t, size_t floats)
{
    am_slot s = {t->state.count};
    t->state.count += (floats + 15) & ~(size_t)15;
    return s;
}

double am_draw_lambda(am_trainer *t, am_rng *r, double alpha)
{
    return t->fixed_lambda >= 0 ? t->fixed_lambda : am_rng_beta(r, alpha, alpha);
}

static int fixed_points(const int *p, int n)
{
    int count = 0;
    for (int i = 0; i < n; i++) count += p[i] == i;
    return count;
}

void am_draw_pair(am_trainer *t, am_rng *r, int which, double lambda, int no_repeat)
{
    int *perm = am_state_ints(t, t->pair[which].perm);
    float *lam = am_state_host(t, t->pair[which].lam);
    if (t->fixed_perm)
        memcpy(perm, t->fixed_perm, (size_t)t->n * sizeof *perm);
    else
        am_rng_permute(r, t->n, perm);
    if (t->fixed_perm) no_repeat = 0;
    for (int tries = 1; no_repeat && tries < 10 && fixed_points(perm, t->n); tries++)
        am_rng_permute(r, t->n, perm);
    if (no_repeat && t->n > 1 && fixed_points(perm, t->n)) { /* a cyclic shift has none */
        int shift = 1 + (int)am_rng_below(r, (uint32_t)t->n - 1);
        for (int i = 0; i < t->n; i++) perm[i] = (i + shift) % t->n;
    }
    for (int i = 0; i < t->n; i++) lam[i] = (float)lambda;
}

am_status am_mix_setup(am_mix *m, am_trainer *t, am_err *e)
{
    if (m->type->setup) AM_TRY(m->type->setup(m, t, e));
    m->extra_at = t->extra_size;
    t->extra_size += (m->extra + 15) & ~(size_t)15;
    int last = t->net.layer[t->clean_head].in[0];
    if (t->has_teacher && !m->shows && last > 0)
        AM_TRY(am_lesson_make(&m->look, t, (am_trip){.to = last, .flags = AM_TRAIN}, &t->teacher, 0,
                              e));
    return m->type->run ? AM_OK : am_mix_lessons(m, t, 0, e);
}

void am_prepare(void *trainer, const unsigned char *pixel, am_rng *r, unsigned char *extra)
{
    const am_trainer *t = trainer;
    for (int i = 0; i < t->mixes; i++) {
        const am_mix *m = &t->mix[i];
        if (m->extra) m->type->prepare(m, t, pixel, r, extra + m->extra_at);
    }
}

void am_step_draw(am_trainer *t, am_mix *m)
{
    am_rng r =
        am_rng_at(t->seed_value, 0x6d6978,
                  (uint64_t)t->step * (uint64_t)t->net.options.subdivisions + (uint64_t)t->part);
    int *seed = am_state_ints(t, t->seed);
    seed[0] = (int)am_rng_u32(&r);
    seed[1] = (int)am_rng_u32(&r);
    m->type->draw(m, t, &r);
}

void am_mix_batch(am_trainer *t, am_mix *m)
{
    const am_ops *o = t->be->ops;
    am_shape s = am_batch_of(t->net.input, t->n);
    am_dev perm = am_state_dev(t, t->pair[1].perm), lam = am_state_dev(t, t->pair[1].lam),
           mask = am_here(&t->space, t->mixed_mask);
    am_dev x = am_here(&t->space, t->x), to = am_here(&t->space, t->mixed_x),
           q = am_here(&t->space, t->mixed_q);
    if (m->type->mix) {
        m->type->mix(m, t, x, to);
    } else {
        m->type->mask(m, t, mask);
        o->blend(t->be, s, x, perm, mask, to);
    }
    if (m->type->labels)
        m->type->labels(m, t, q);
    else
        o->labels_mix(t->be, t->n, t->classes, am_here(&t->space, t->q), perm, lam, q);
}

/* The average moves parameters only; running statistics come from what a network sees. */
static void look(am_trainer *t, am_lesson *s)
{
    s->pass.given = am_here(&t->space, t->x);
    s->pass.seed = am_state_dev(t, t->seed);
    am_forward(&s->pass);
}

static void learn(am_trainer *t, am_mix *m)
{
    if (m->look.plan.net) look(t, &m->look);
    if (m->type->run) {
        m->type->run(m, t);
        return;
    }
    am_mix_batch(t, m);
    am_mix_teach(t, m, am_here(&t->space, t->mixed_x), am_here(&t->space, t->mixed_q));
}

void am_step_learn(am_trainer *t, am_mix *m)
{
    do {
        t->be->ops->begin(t->be, m->type);
        learn(t, m);
    } while (t->be->ops->end(t->be));
}

void am_levels(const am_net_options *o, float mean[AM_MAX_LIST], float std[AM_MAX_LIST])
{
    for (int i = 0; i < AM_MAX_LIST; i++) {
        mean[i] = (float)o->mean.at[i];
        std[i] = (float)o->std.at[i];
    }
}

void am_put_pixels(am_trainer *t, const unsigned char *pixels, am_dev to)
{
    float mean[AM_MAX_LIST], std[AM_MAX_LIST];
    am_levels(&t->net.options, mean, std);
    t->be->ops->put_bytes(t->be, am_batch_of(t->net.input, t->n), pixels, mean, std, to);
}

void am_mask_spread(am_trainer *t, am_dev plane, am_dev to)
{
    size_t one = (size_t)(t->net.input.h * t->net.input.w), all = (size_t)t->n * one;
    t->be->ops->copy(t->be, one, plane, to);
    for (size_t done = one; done < all; done *= 2) /* what is there is copied behind itself */
        t->be->ops->copy(t->be, done < all - done ? done : all - done, to, am_at(to, done));
}

double am_mask_kept(const float *plane, size_t pixels)
{
    double sum = 0;
    for (size_t i = 0; i < pixels; i++) sum += plane[i];
    return 1 - sum / (double)pixels;
}
