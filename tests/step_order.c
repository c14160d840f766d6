/* step_order.c: the whole step of AutoMix: in which order things move; roads that must agree. */
#include "lab.h"

enum { JUDGE = AM_LOSS_JUDGE };

static void follows(am_backend *be)
{
    t_lab l;
    float report[AM_REPORT];
    t_lab_stir(&l, be, "batch=5\nmomentum=0.9\ndecay=0.001\n", "", 1);
    am_trainer *t = &l.t;
    t_span block = t_learned(&t->net, am_net_first(&t->net, "mixblock", 0));
    size_t n = t->net.learned;
    float *old = t_get(be, t->teacher.value, n), *w = t_get(be, t->student.value, n);
    t_learn(&l, report);
    am_step_update(t);
    float *now = t_get(be, t->teacher.value, n), *w2 = t_get(be, t->student.value, n),
          *g = t_get(be, t->student.grad, n);
    double f = am_follow_at(&t->follow, t->step, t->steps);
    for (size_t i = 0; i < n; i++) {
        double want =
            i >= block.at && i < block.at + block.count ? old[i] : f * old[i] + (1 - f) * w2[i];
        assert_true(fabs(now[i] - want) <= 1e-6 + 1e-6 * fabs(want));
        assert_true(w[i] != w2[i] && g[i] == 0);
    }
    free(old);
    free(w);
    free(now);
    free(w2);
    free(g);
    t_lab_close(&l);
}

static void the_teacher_follows_the_new_student(void **state)
{
    (void)state;
    t_each_machine(2, follows);
}

static void statistics(am_backend *be)
{
    t_lab l;
    float report[AM_REPORT];
    be->doubles = 0;            /* two lessons, to give by hand */
    t_lab_stir(&l, be, "batch=5\n", "", 1);
    am_trainer *t = &l.t;
    am_mix *m = &t->mix[0];
    size_t n = t->net.buffers;
    t_learn(&l, report);

    /* clean first, then mixed: the lessons by hand in that order leave the same bytes */
    t_scatter(be, t->student.buffer, n, 0.5, 1.5, 50);
    am_teach(t, &m->clean, am_here(&t->space, t->x), am_here(&t->space, t->q));
    am_teach(t, &m->mixed, am_here(&t->space, t->mixed_x), am_here(&t->space, t->mixed_q));
    float *right = t_get(be, t->student.buffer, n);
    t_scatter(be, t->student.buffer, n, 0.5, 1.5, 50);
    am_teach(t, &m->mixed, am_here(&t->space, t->mixed_x), am_here(&t->space, t->mixed_q));
    am_teach(t, &m->clean, am_here(&t->space, t->x), am_here(&t->space, t->q));
    float *wrong = t_get(be, t->student.buffer, n);
    t_scatter(be, t->student.buffer, n, 0.5, 1.5, 50);
    t_learn(&l, report);
    float *step = t_get(be, t->student.buffer, n);
    assert_memory_equal(step, right, n * sizeof *step);
    assert_memory_not_equal(step, wrong, n * sizeof *step);

    /* each visit keeps nine tenths: from a million, count them.  The trip to the features ends
     * there. */
    be->ops->fill(be, n, 1e6f, t->student.buffer);
    be->ops->fill(be, n, 1e6f, t->teacher.buffer);
    t_learn(&l, report);
    float *student = t_get(be, t->student.buffer, n), *teacher = t_get(be, t->teacher.buffer, n);
    int feature = am_net_find(&t->net, "feature"), seen = 0;
    for (int i = 1; i < t->net.layers; i++)
        for (int k = 0; k < t->net.layer[i].params; k++) {
            const am_param *p = &t->net.layer[i].param[k];
            if (p->role != AM_BUFFER) continue;
            for (size_t x = p->offset; x < p->offset + p->count; x++) {
                int visits = (int)floor(log(teacher[x] / 1e6) / log(0.9) + 0.5);
                assert_int_equal(visits, i < feature ? 2 : 1);
                assert_int_equal((int)floor(log(student[x] / 1e6) / log(0.9) + 0.5), 2);
                seen |= i < feature ? 1 : 2;
            }
        }
    assert_int_equal(seen, 3);
    float *list[] = {right, wrong, step, student, teacher};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) free(list[i]);
    t_lab_close(&l);
}

static void statistics_move_in_order(void **state)
{
    (void)state;
    t_each_machine(2, statistics);
}

/* ---- two roads, one result ---- */

/* What an update found on one of two roads: gradients, and statistics moved. */
typedef struct road {
    float *g, *stats, report[AM_REPORT];
    size_t n, buffers;
} road;

static void learn_on(road *r, t_lab *l)
{
    am_backend *be = l->be;
    t_clear_gradients(l);
    t_learn(l, r->report);
    r->n = l->t.net.learned;
    r->buffers = l->t.net.buffers;
    r->g = t_get(be, l->t.student.grad, r->n);
    r->stats = t_get(be, l->t.student.buffer, r->buffers);
}

static void roads_agree(road r[2])
{
    assert_true(t_off(r[1].g, r[0].g, r[0].n) < 2e-5);
    assert_true(t_off(r[1].stats, r[0].stats, r[0].buffers) < 1e-5);
    for (int i = 0; i < 2; i++) {
        free(r[i].g);
        free(r[i].stats);
    }
}

static void fused(am_backend *be)
{
    road r[2];
    if (!be->fuses) return;
    be->doubles = 0;
    for (int i = 0; i < 2; i++) {
        t_lab l;
        be->fuses = i;
        t_lab_stir(&l, be, "batch=5\n", "", 1);
        learn_on(&r[i], &l);
        int shortcut = am_net_first(&l.t.net, "shortcut", 0);
        assert_int_equal(l.t.mix[0].clean.plan.fused[shortcut], i ? -1 : 0);
        t_lab_close(&l);
    }
    be->fuses = 1;
    roads_agree(r);
    for (int k = 0; k < AM_LOSSES; k++) assert_true(fabsf(r[0].report[k] - r[1].report[k]) < 1e-5f);
}

static void fused_and_plain_agree(void **state)
{
    (void)state;
    t_each_machine(2, fused);
}

/* Clean and mixed images as one batch, and each by itself. */
static void doubled(am_backend *be)
{
    road r[2];
    for (int i = 0; i < 2; i++) {
        t_lab l;
        be->doubles = i;
        t_lab_stir(&l, be, "batch=5\n", "", 1);
        learn_on(&r[i], &l);
        const am_mix *m = &l.t.mix[0];
        assert_int_equal(m->trunk.plan.net != NULL, i);
        if (i) {
            const am_trip *trunk = &m->trunk.plan.trip;
            assert_int_equal(trunk->n, 10);
            assert_int_equal(trunk->groups, 2);
            assert_int_equal(m->clean.plan.trip.from, trunk->to);
            assert_int_equal(m->mixed.plan.trip.from, trunk->to);
        }
        t_lab_close(&l);
    }
    roads_agree(r);
    for (int k = 0; k < AM_REPORT; k++) {
        const float one = r[0].report[k];
        assert_true(fabsf(one - r[1].report[k]) <= 1e-5f + 1e-5f * fabsf(one));
    }
}

static void one_batch_or_two(void **state)
{
    (void)state;
    t_each_machine(2, doubled);
}

/* subdivisions=2: two batches of 5, each normalised by itself; the gradient is that of the mean
 * over all ten.  The parts draw from the streams of two steps of one part each. */
static void parts(am_backend *be)
{
    t_lab two, one;
    float report[AM_REPORT], sum[AM_LOSSES] = {0};
    t_lab_stir(&two, be, "batch=10\nsubdivisions=2\n", "", 1);
    t_lab_stir(&one, be, "batch=5\n", "", 1);
    assert_int_equal(two.t.n, 5);
    size_t n = one.t.net.learned;
    for (int part = 0; part < 2; part++) {
        one.t.step = part;
        t_learn(&one, report);
        for (int k = 0; k < AM_LOSSES; k++) sum[k] += report[k] / 2;
    }
    float *g = t_get(be, one.t.student.grad, n);
    for (size_t i = 0; i < n; i++) g[i] /= 2;
    two.t.step = 0;
    t_clear_gradients(&two);
    t_learn(&two, report);
    float *g2 = t_get(be, two.t.student.grad, n);
    assert_true(t_off(g2, g, n) < 2e-6);
    for (int k = 0; k < AM_LOSSES; k++)
        assert_true(fabsf(report[k] - sum[k]) < 2e-6f * (1 + sum[k]));
    free(g);
    free(g2);
    t_lab_close(&one);
    t_lab_close(&two);
}

static void subdivisions_are_a_mean(void **state)
{
    (void)state;
    t_each_machine(2, parts);
}

/* Before mask_start the MixBlock waits: constant masks, no gradient, no judge. */
static void waiting(am_backend *be)
{
    t_lab l;
    float report[AM_REPORT];
    t_lab_stir(&l, be, "batch=5\n", "mask_start=0.5\n", 1);
    am_trainer *t = &l.t;
    t_span block = t_learned(&t->net, am_net_first(&t->net, "mixblock", 0));
    size_t plane = (size_t)(t->n * t->net.input.h * t->net.input.w);
    for (t->step = 49; t->step < 51; t->step++) {
        t_clear_gradients(&l);
        t_learn(&l, report);
        float *g = t_get(be, t->student.grad, t->net.learned),
              *mask = t_get(be, am_here(&t->space, t->mixed_mask), plane);
        float lambda = am_state_host(t, t->pair[1].lam)[0];
        assert_int_equal(t_all_zero(g, block), t->step < 50);
        assert_int_equal(report[JUDGE] == 0, t->step < 50);
        int constant = 1;
        for (size_t i = 0; i < plane; i++) constant &= fabsf(mask[i] - (1 - lambda)) < 1e-6f;
        assert_int_equal(constant, t->step < 50);
        free(g);
        free(mask);
    }
    t_lab_close(&l);
}

static void the_mixblock_waits_for_its_start(void **state)
{
    (void)state;
    t_each_machine(2, waiting);
}

T_SUITE(step_order, cmocka_unit_test(the_teacher_follows_the_new_student),
        cmocka_unit_test(statistics_move_in_order), cmocka_unit_test(fused_and_plain_agree),
        cmocka_unit_test(one_batch_or_two), cmocka_unit_test(subdivisions_are_a_mean),
        cmocka_unit_test(the_mixblock_waits_for_its_start));
