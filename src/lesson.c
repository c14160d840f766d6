/* lesson.c: what the student learns in a step: clean images, mixed ones, or both.
 *
 * Both may go as one batch of twice the size (am_backend.doubles): through `trunk`, up to the last
 * layer that both heads see, with two groups of statistics, clean before mixed; then each half to
 * its head, and their errors back through the trunk together.  Launches are half as many and twice
 * as full; only the order of the sums over the batch differs. */
#include "mixer.h"

enum { LEARN = AM_TRAIN | AM_GRAD_WEIGHTS };

am_status am_lesson_make(am_lesson *s, am_trainer *t, am_trip trip, const am_weights *w, int loss,
                         am_err *e)
{
    size_t mark = am_space_mark(&t->space);
    trip.n = t->n;
    s->loss = loss;
    AM_TRY(am_pass_make(&s->pass, &s->plan, &t->net, trip, w, &t->space, e));
    am_space_release(&t->space, mark);
    return AM_OK;
}

void am_teach(am_trainer *t, am_lesson *s, am_dev x, am_dev q)
{
    const am_ops *o = t->be->ops;
    am_pass *p = &s->pass;
    p->given = x;
    p->q = q;
    p->seed = am_state_dev(t, t->seed);
    p->scale = am_update_share(t);
    am_forward(p);
    o->mean(t->be, t->n, p->scale, am_loss(p),
            (am_grad){am_at(t->report, AM_REPORT_LOSS + (size_t)s->loss), 1});
    if (s->loss == AM_LOSS_CLEAN)
        o->score(t->be, t->n, t->classes, 1, am_y(p, &t->net.layer[s->plan.trip.to]),
                 am_state_dev(t, t->labels), am_loss(p), am_at(t->report, AM_REPORT_TALLY));
    am_backward(p);
}

/* ---- as one batch ---- */

/* The last layer on which both heads stand, each by layers of one input; 0: none. */
static int common_layer(const am_trainer *t)
{
    const am_layer *all = t->net.layer;
    for (int a = all[t->clean_head].in[0]; a > 0; a = all[a].in[0]) {
        for (int b = all[t->mixed_head].in[0]; b >= a; b = all[b].in[0]) {
            if (b == a) return a;
            if (all[b].ins != 1) break;
        }
        if (all[a].ins != 1) break;
    }
    return 0;
}

static size_t half_room(const am_trainer *t, const am_layer *l)
{
    return t->be->ops->room(t->be, am_batch_of(l->out, t->n));
}

/* Do two halves, one behind the other, lie as a batch of twice the size does? */
static int halves_join(const am_trainer *t, const am_layer *l)
{
    return t->be->ops->room(t->be, am_batch_of(l->out, 2 * t->n)) == 2 * half_room(t, l);
}

/* Not where the mixed lesson computes a layer beside its head, which may stand on another part of the trunk. */
static int goes_as_one(const am_mix *m, const am_trainer *t, int trunk)
{
    const am_layer *image = &t->net.layer[0];
    return t->be->doubles && !m->also && trunk > 0 && halves_join(t, image) &&
           halves_join(t, &t->net.layer[trunk]) && t->mixed_x.at == t->x.at + half_room(t, image);
}

static am_status make_as_one(am_mix *m, am_trainer *t, int trunk, am_err *e)
{
    size_t mark = am_space_mark(&t->space);
    am_trip both = {.to = trunk, .n = 2 * t->n, .groups = 2, .flags = LEARN};
    am_trip head = {.from = trunk, .flags = LEARN | AM_GRAD_FROM};
    AM_TRY(am_pass_make(&m->trunk.pass, &m->trunk.plan, &t->net, both, &t->student, &t->space, e));
    head.to = t->clean_head;
    AM_TRY(am_lesson_make(&m->clean, t, head, &t->student, AM_LOSS_CLEAN, e));
    head.to = t->mixed_head;
    AM_TRY(am_lesson_make(&m->mixed, t, head, &t->student, AM_LOSS_MIXED, e));
    am_space_release(&t->space, mark);
    return AM_OK;
}

static void teach_half(am_trainer *t, const am_pass *trunk, am_lesson *s, int half, am_dev q)
{
    const am_layer *l = &t->net.layer[trunk->plan->trip.to];
    size_t room = half_room(t, l), at = (size_t)half * room;
    am_teach(t, s, am_at(am_y(trunk, l), at), q);
    t->be->ops->copy(t->be, room, am_dy(&s->pass, l), am_at(am_dy(trunk, l), at));
}

static void teach_as_one(am_trainer *t, am_mix *m, am_dev mixed_q)
{
    am_pass *trunk = &m->trunk.pass;
    trunk->given = am_here(&t->space, t->x);
    trunk->seed = am_state_dev(t, t->seed);
    am_forward(trunk);
    teach_half(t, trunk, &m->clean, 0, am_here(&t->space, t->q));
    teach_half(t, trunk, &m->mixed, 1, mixed_q);
    am_backward(trunk);
}

/* ---- the lessons of a step ---- */

am_status am_student_lessons(am_mix *m, am_trainer *t, int apart, am_err *e)
{
    int trunk = common_layer(t);
    am_trip clean = {.to = t->clean_head, .flags = LEARN},
            mixed = {.to = t->mixed_head, .also = m->also, .flags = LEARN};
    if (!apart && goes_as_one(m, t, trunk)) return make_as_one(m, t, trunk, e);
    AM_TRY(am_lesson_make(&m->clean, t, clean, &t->student, AM_LOSS_CLEAN, e));
    return am_lesson_make(&m->mixed, t, mixed, &t->student, AM_LOSS_MIXED, e);
}

am_status am_mix_lessons(am_mix *m, am_trainer *t, int apart, am_err *e)
{
    am_trip mixed = {.to = t->clean_head, .also = m->also, .flags = LEARN};
    if (t->has_teacher && t->follow.clean_loss) return am_student_lessons(m, t, apart, e);
    return am_lesson_make(&m->mixed, t, mixed, &t->student, AM_LOSS_MIXED, e);
}

void am_mix_teach(am_trainer *t, am_mix *m, am_dev mixed_x, am_dev mixed_q)
{
    if (m->trunk.plan.net) {
        teach_as_one(t, m, mixed_q);
        return;
    }
    if (m->clean.plan.net)
        am_teach(t, &m->clean, am_here(&t->space, t->x), am_here(&t->space, t->q));
    am_teach(t, &m->mixed, mixed_x, mixed_q);
}
