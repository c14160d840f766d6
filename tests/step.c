/* step.c: the whole step of AutoMix: who learns from what, and by how much (methods.md 1.2).
 *
 * The net is smooth and small (t_small_automix).  The step's draws depend on its number alone, so
 * the loss of the same step is a function of the weights, and its gradient can be told by
 * differences. */
#include "lab.h"

enum { CLEAN = AM_LOSS_CLEAN, MIXED = AM_LOSS_MIXED, JUDGE = AM_LOSS_JUDGE, MASK = AM_LOSS_MASK };

/* Move one parameter; the loss of a step is then asked for, and it is moved back. */
static void losses_at(t_lab *l, const am_weights *w, size_t at, float v, float report[AM_REPORT])
{
    float *old = t_get(l->be, am_at(w->value, at), 1);
    t_set(l->be, am_at(w->value, at), 1, &v);
    am_weights_prepare(&l->t.net, w);
    t_learn(l, report);
    t_set(l->be, am_at(w->value, at), 1, old);
    am_weights_prepare(&l->t.net, w);
    free(old);
}

/* ---- who is reached by whom ---- */

/* Which losses move, to the last bit, when a group of weights does. */
static void values(am_backend *be)
{
    t_lab l;
    t_lab_stir(&l, be, "batch=5\n", "", 1);
    am_net *net = &l.t.net;
    int one = am_net_first(net, "connected", 0), mix = am_net_first(net, "connected", 1),
        block = am_net_first(net, "mixblock", 0);
    const struct {
        const char *what;
        const am_weights *w;
        int layer, moves[AM_LOSSES];
    } row[] = {
        {"student's first layer", &l.t.student, 1, {1, 1, 0, 0}},
        {"student's clean head", &l.t.student, one, {1, 0, 0, 0}},
        {"student's mixed head", &l.t.student, mix, {0, 1, 0, 0}},
        {"MixBlock", &l.t.student, block, {0, 1, 1, 1}},
        {"teacher's first layer", &l.t.teacher, 1, {0, 1, 1, 1}},
        {"teacher's clean head", &l.t.teacher, one, {0, 0, 0, 0}},
        {"teacher's mixed head", &l.t.teacher, mix, {0, 0, 1, 0}},
    };
    float before[AM_REPORT], after[AM_REPORT];
    t_learn(&l, before);
    for (int k = 0; k < AM_LOSSES; k++) assert_true(before[k] > 0);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        size_t at = t_learned(net, row[i].layer).at;
        float *now = t_get(be, am_at(row[i].w->value, at), 1);
        losses_at(&l, row[i].w, at, *now + 0.3f, after);
        free(now);
        for (int k = 0; k < AM_LOSSES; k++)
            if ((after[k] != before[k]) != row[i].moves[k])
                fail_msg("%s: moving the %s takes loss %d from %.9g to %.9g", be->about,
                         row[i].what, k, (double)before[k], (double)after[k]);
    }
    t_learn(&l, after);
    assert_memory_equal(before, after, AM_LOSSES * sizeof *before);
    t_lab_close(&l);
}

static void what_each_loss_sees(void **state)
{
    (void)state;
    t_each_machine(2, values);
}

static int any_zero(const float *g, t_span s)
{
    for (size_t i = s.at; i < s.at + s.count; i++)
        if (g[i] == 0) return 1;
    return 0;
}

static void routes(am_backend *be)
{
    t_lab l;
    float report[AM_REPORT];
    be->doubles = 0;            /* two lessons, to give by hand */
    t_lab_stir(&l, be, "batch=5\n", "", 1);
    am_trainer *t = &l.t;
    am_mix *m = &t->mix[0];
    size_t n = t->net.learned;
    t_span one = t_learned(&t->net, am_net_first(&t->net, "connected", 0)),
           mix = t_learned(&t->net, am_net_first(&t->net, "connected", 1));
    t_span block = t_learned(&t->net, am_net_first(&t->net, "mixblock", 0)),
           first = t_learned(&t->net, 1),
           feature = t_learned(&t->net, am_net_find(&t->net, "narrow"));
    float *teacher = t_get(be, t->teacher.value, n), *student = t_get(be, t->student.value, n);

    t_clear_gradients(&l);
    t_learn(&l, report);
    float *all = t_get(be, t->student.grad, n);
    t_clear_gradients(&l);
    am_teach(t, &m->clean, am_here(&t->space, t->x), am_here(&t->space, t->q));
    float *clean = t_get(be, t->student.grad, n);
    am_teach(t, &m->mixed, am_here(&t->space, t->mixed_x), am_here(&t->space, t->mixed_q));
    float *both = t_get(be, t->student.grad, n);
    t_clear_gradients(&l);
    am_teach(t, &m->mixed, am_here(&t->space, t->mixed_x), am_here(&t->space, t->mixed_q));
    float *mixed = t_get(be, t->student.grad, n);

    assert_false(any_zero(clean, one) || any_zero(clean, first) || any_zero(clean, feature));
    assert_true(t_all_zero(clean, mix) && t_all_zero(clean, block));
    assert_false(any_zero(mixed, mix) || any_zero(mixed, first) || any_zero(mixed, feature));
    assert_true(t_all_zero(mixed, one) && t_all_zero(mixed, block));
    /* judge and mask loss reach the MixBlock alone: elsewhere the whole step's gradient is that
     * of the two lessons, bit for bit */
    assert_false(any_zero(all, block));
    for (size_t i = 0; i < n; i++)
        if (i < block.at || i >= block.at + block.count) assert_true(all[i] == both[i]);
    /* learning moves no weights, and there is nothing for the teacher to learn with */
    assert_false(am_is(t->teacher.grad) || am_is(t->teacher.velocity));
    float *teacher2 = t_get(be, t->teacher.value, n), *student2 = t_get(be, t->student.value, n);
    assert_memory_equal(teacher, teacher2, n * sizeof *teacher);
    assert_memory_equal(student, student2, n * sizeof *student);
    float *list[] = {teacher, student, all, clean, both, mixed, teacher2, student2};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) free(list[i]);
    t_lab_close(&l);
}

static void where_each_gradient_goes(void **state)
{
    (void)state;
    t_each_machine(2, routes);
}

/* ---- by how much ---- */

/* Gradient of the sum of losses a and b in the parameters of s, number by number (at most 40). */
static void differences(t_lab *l, const char *what, const float *g, t_span s, int a, int b)
{
    const double h = 1.0 / 128;
    double most = 0;
    size_t tested = s.count < 40 ? s.count : 40;
    float *w = t_get(l->be, am_at(l->t.student.value, s.at), s.count);
    for (size_t i = 0; i < s.count; i++) most = fmax(most, fabs((double)g[s.at + i]));
    for (size_t k = 0; k < tested; k++) {
        size_t i = k * s.count / tested;
        double v[5];
        for (int d = -2; d <= 2; d++) {
            float report[AM_REPORT];
            if (!d) continue;
            losses_at(l, &l->t.student, s.at + i, (float)(w[i] + d * h), report);
            v[d + 2] = (double)report[a] + report[b];
        }
        double fd = (8 * (v[3] - v[1]) - (v[4] - v[0])) / (12 * h);
        if (!(fabs(fd - g[s.at + i]) <= 1e-3 * most + 2e-5)) /* seen: 1.7e-4 of the largest */
            fail_msg("%s: %s[%zu]: gradient %.6g, difference %.6g (largest gradient %.3g)",
                     l->be->about, what, i, (double)g[s.at + i], fd, most);
    }
    free(w);
}

/* The mask loss has kinks where a mask's share is lambda, or lambda +- the margin of 0.01: find a
 * step whose masks all are far from there. */
static void find_smooth_step(t_lab *l)
{
    am_trainer *t = &l->t;
    size_t each = (size_t)(t->net.input.h * t->net.input.w);
    for (t->step = 0; t->step < 99; t->step++) {
        float report[AM_REPORT];
        double mean = 0, least = 1;
        t_learn(l, report);
        float *mask = t_get(l->be, am_here(&t->space, t->judged_mask), (size_t)t->n * each);
        for (int i = 0; i < t->n; i++) {
            double off = 1 - am_state_host(t, t->pair[0].lam)[0];
            for (size_t k = 0; k < each; k++) off -= mask[(size_t)i * each + k] / (double)each;
            mean += off / t->n;
            least = fmin(least, fabs(off));
        }
        free(mask);
        if (fmin(least, fabs(mean)) > 0.06) return;
    }
    fail_msg("no step has masks far from lambda");
}

static void by_differences(am_backend *be, const char *mix, int teacher)
{
    t_lab l;
    float report[AM_REPORT];
    t_lab_stir(&l, be, "batch=5\n", mix, teacher);
    am_net *net = &l.t.net;
    find_smooth_step(&l);
    t_clear_gradients(&l);
    t_learn(&l, report);
    float *g = t_get(be, l.t.student.grad, net->learned);
    differences(&l, "MixBlock", g, t_learned(net, am_net_first(net, "mixblock", 0)), JUDGE, MASK);
    if (teacher) { /* else the features, and so the masks, move with the student */
        differences(&l, "first layer", g, t_learned(net, 1), CLEAN, MIXED);
        differences(&l, "feature layer", g, t_learned(net, am_net_find(net, "narrow")), CLEAN,
                    MIXED);
        differences(&l, "clean head", g, t_learned(net, am_net_first(net, "connected", 0)), CLEAN,
                    MIXED);
        differences(&l, "mixed head", g, t_learned(net, am_net_first(net, "connected", 1)), CLEAN,
                    MIXED);
    }
    free(g);
    t_lab_close(&l);
}

static void as_the_paper_has_it(am_backend *be)
{
    by_differences(be, "mask_reduce=sample\n", 1);
}
static void with_other_losses(am_backend *be)
{
    by_differences(be, "mask_reduce=batch\nmask_loss=l2var\n", 1);
}
static void without_a_teacher(am_backend *be)
{
    by_differences(be, "", 0);
}

static void gradients_by_differences(void **state)
{
    (void)state;
    t_each_machine(1, as_the_paper_has_it);
    t_each_machine(1, with_other_losses);
    t_each_machine(1, without_a_teacher);
}

T_SUITE(step, cmocka_unit_test(what_each_loss_sees), cmocka_unit_test(where_each_gradient_goes),
        cmocka_unit_test(gradients_by_differences));
