/* schedule.c: learning rates, the teacher's momentum, the mask's weight; and one update by hand. */
#include "lab.h"

static am_net_options options(void)
{
    return (am_net_options){.learning_rate = 0.1, .power = 4, .scale = 1, .gamma = 1, .step = 1};
}

static void is(double got, double want)
{
    if (!(fabs(got - want) <= 1e-12 + 1e-10 * fabs(want))) fail_msg("%.12g, not %.12g", got, want);
}

/* Darknet counts updates from 1: u is that number. */
static double rate(const am_net_options *o, long u, long steps)
{
    return am_rate_at(o, u - 1, steps, 10, 1);
}

enum { CONSTANT, STEP, STEPS, EXP, POLY, SIGMOID, RANDOM, COSINE };

static void darknets_policies(void **state)
{
    (void)state;
    am_net_options o = options();
    is(rate(&o, 1, 100), 0.1);
    o.policy = STEP;
    o.step = 30;
    o.scale = 0.1;
    is(rate(&o, 29, 100), 0.1);
    is(rate(&o, 30, 100), 0.01);
    is(rate(&o, 90, 100), 1e-4);
    o.policy = STEPS;
    o.steps = (am_reals){2, {40, 80}};
    o.scales = (am_reals){2, {0.1, 0.5}};
    is(rate(&o, 39, 100), 0.1);
    is(rate(&o, 40, 100), 0.01);
    is(rate(&o, 80, 100), 0.005);
    o.policy = EXP;
    o.gamma = 0.99;
    is(rate(&o, 7, 100), 0.1 * pow(0.99, 7));
    o.policy = POLY;
    o.power = 2;
    is(rate(&o, 50, 100), 0.1 * 0.25);
    is(rate(&o, 100, 100), 0); /* the last update has rate 0 */
    o.policy = SIGMOID;
    o.gamma = 0.2;
    o.step = 50;
    is(rate(&o, 50, 100), 0.05);
    is(rate(&o, 60, 100), 0.1 / (1 + exp(2)));
}

static void burn_in_rises_by_its_power(void **state)
{
    (void)state;
    am_net_options o = options();
    o.burn_in = 10;
    is(rate(&o, 1, 100), 0.1 * 1e-4);
    is(rate(&o, 5, 100), 0.1 * pow(0.5, 4));
    is(rate(&o, 9, 100), 0.1 * pow(0.9, 4));
    is(rate(&o, 10, 100), 0.1);
    o.policy = STEP; /* the schedule behind it is not moved */
    o.step = 12;
    o.scale = 0.5;
    is(rate(&o, 11, 100), 0.1);
    is(rate(&o, 12, 100), 0.05);
    o.burn_in = 12; /* which the update of that number is past */
    is(rate(&o, 12, 100), 0.05);
}

static void a_random_rate_is_a_function_of_seed_and_update(void **state)
{
    (void)state;
    am_net_options o = options();
    double sum = 0;
    o.policy = RANDOM;
    o.power = 1;
    for (long t = 0; t < 1000; t++) {
        double r = am_rate_at(&o, t, 1000, 10, 1);
        assert_true(r >= 0 && r < 0.1 && r == am_rate_at(&o, t, 1000, 10, 1));
        sum += r;
    }
    assert_true(fabs(sum / 1000 - 0.05) < 0.005);
    assert_true(am_rate_at(&o, 3, 1000, 10, 1) != am_rate_at(&o, 3, 1000, 10, 2));
}

/* methods.md 1.8: lr(e) = lr_min + (lr0 - lr_min)(1 + cos(pi e / E)) / 2, e = 0 .. E - 1 */
static void cosine_moves_once_an_epoch(void **state)
{
    (void)state;
    am_net_options o = options();
    o.policy = COSINE;
    o.min_learning_rate = 0.05;
    is(am_rate_at(&o, 0, 200, 10, 1), 0.1);
    is(am_rate_at(&o, 9, 200, 10, 1), 0.1);
    is(am_rate_at(&o, 10, 200, 10, 1), 0.05 + 0.025 * (1 + cos(acos(-1) / 20)));
    is(am_rate_at(&o, 105, 200, 10, 1), 0.075);
    is(am_rate_at(&o, 199, 200, 10, 1), 0.05 + 0.025 * (1 + cos(19 * acos(-1) / 20)));
}

static void the_teacher_slows_down(void **state)
{
    (void)state;
    static const struct {
        double share, momentum;
    } want[] = {
        {0, 0.999},       {0.0999, 0.999},    {0.25, 0.99914630},
        {0.5, 0.9994995}, {0.75, 0.99985270}, {0.9, 0.99997455},
    };
    am_teacher_options o = {.momentum = 0.999, .end_momentum = 0.999999, .hold = 0.1};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        double got = am_follow_at(&o, (long)(want[i].share * 100000), 100000);
        if (fabs(got - want[i].momentum) > 5.1e-9)
            fail_msg("at %g: %.9f, not %.9f", want[i].share, got, want[i].momentum);
    }
}

static void the_masks_weight(void **state)
{
    enum { LINEAR, FLAT, COS };
    (void)state;
    is(am_mask_weight_at(0.1, LINEAR, 0, 200), 0.1);
    is(am_mask_weight_at(0.1, LINEAR, 50, 200), 0.075);
    is(am_mask_weight_at(0.1, LINEAR, 199, 200), 0.1 / 200);
    is(am_mask_weight_at(0.1, FLAT, 199, 200), 0.1);
    is(am_mask_weight_at(0.1, COS, 100, 200), 0.05);
    is(am_mask_weight_at(0.1, COS, 50, 200), 0.05 * (1 + sqrt(0.5)));
}

/* What the step-state holds for a stretch of parameters. */
static const float *hyper_of(t_lab *l, int layer)
{
    t_span s = t_learned(&l->t.net, layer);
    for (int i = 0; i < l->t.stretches; i++)
        if (s.at >= l->t.stretch[i].at && s.at < l->t.stretch[i].at + l->t.stretch[i].count)
            return am_state_host(&l->t, l->t.stretch[i].hyper);
    fail_msg("layer %d learns nowhere", layer);
    return NULL;
}

static void near(double got, double want)
{
    if (!(fabs(got - want) <= 1e-7 + 1e-6 * fabs(want))) fail_msg("%.9g, not %.9g", got, want);
}

static void the_mixblock_has_rates_of_its_own(void **state)
{
    (void)state;
    char text[3000];
    am_backend be;
    t_lab l;
    t_open_machine(&be, 1);
    t_small_automix(text, sizeof text, "batch=4\npolicy=cosine\nmomentum=0.9",
                    "mask_learning_rate=0.4\nmask_min_learning_rate=0.2\nmask_momentum=0.5\nmask_"
                    "warmup=4\nmask_start=0.2\nmask_weight=0.3\n",
                    1);
    t_lab_open(&l, &be, text); /* 100 updates, 10 an epoch */
    int block = am_net_first(&l.t.net, "mixblock", 0);
    static const struct {
        long t;
        double rate;
    } want[] = {
        {0, 0},
        {19, 0}, /* it waits for a fifth of the run, */
        {20, 0.25 * 0.3809017},
        {22, 0.75 * 0.3809017}, /* rises over 4 updates, */
        {24, 0.3809017},
        {59, 0.3},
        {99, 0.2048943}, /* and follows its own cosine */
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        l.t.step = want[i].t;
        am_step_schedule(&l.t);
        near(hyper_of(&l, block)[AM_HYPER_RATE], want[i].rate);
        near(hyper_of(&l, block)[AM_HYPER_MOMENTUM], 0.5);
        near(hyper_of(&l, 1)[AM_HYPER_RATE],
             0.05 * (1 + cos(acos(-1) * (double)(want[i].t / 10) / 10)));
        near(hyper_of(&l, 1)[AM_HYPER_MOMENTUM], 0.9);
        near(*am_state_host(&l.t, l.t.mask_weight), 0.3 * (1 - (double)want[i].t / 100));
    }
    t_lab_close(&l);
    t_close_machine(&be);
}

/* ---- one update ---- */
typedef struct sgd {
    double rate, momentum, decay;
    int nesterov;
} sgd;

/* PyTorch's SGD, methods.md 1.9, in double. */
static void by_hand(const sgd *o, double *w, double *g, double *v)
{
    *g += o->decay * *w;
    *v = o->momentum * *v + *g;
    *w -= o->rate * (o->nesterov ? *g + o->momentum * *v : *v);
}

static void updates(am_backend *be)
{
    static const char text[] =
        "[net]\nbatch=4\nwidth=4\nheight=4\nlearning_rate=0.05\nmomentum=0.9\ndecay=0.01\n%s"
        "[convolutional]\nfilters=4\nsize=3\npad=1\nbatch_normalize=1\nactivation=relu\n"
        "[convolutional]\nlearning_rate=0.1\nfilters=4\nsize=1\nactivation=relu\n"
        "[avgpool]\n[connected]\noutput=3\nactivation=linear\n[softmax]\n[momentum_teacher]"
        "\nmomentum=0.75\n";
    static const struct {
        const char *net;
        int nesterov, norm, bias;
    } variant[] = {
        {"", 0, 1, 1},
        {"nesterov=1\n", 1, 1, 1},
        {"decay_exempt=norm\n", 0, 0, 1},
        {"decay_exempt=bias\n", 0, 1, 0},
        {"decay_exempt=norm,bias\n", 0, 0, 0},
    };
    for (size_t k = 0; k < sizeof variant / sizeof *variant; k++) {
        char cfg[1000];
        t_lab l;
        snprintf(cfg, sizeof cfg, text, variant[k].net);
        t_lab_open(&l, be, cfg);
        am_trainer *t = &l.t;
        size_t n = t->net.learned;
        t_scatter(be, t->student.value, n, -1, 1, 1);
        t_scatter(be, t->student.grad, n, -1, 1, 2);
        t_scatter(be, t->student.velocity, n, -1, 1, 3);
        t_scatter(be, t->teacher.value, n, -1, 1, 4);
        float *w = t_get(be, t->student.value, n), *g = t_get(be, t->student.grad, n),
              *v = t_get(be, t->student.velocity, n), *z = t_get(be, t->teacher.value, n);
        am_step_begin(t);
        am_step_schedule(t);
        am_upload_state(t);
        am_step_update(t);
        float *w2 = t_get(be, t->student.value, n), *g2 = t_get(be, t->student.grad, n),
              *v2 = t_get(be, t->student.velocity, n), *z2 = t_get(be, t->teacher.value, n);
        for (int i = 1; i < t->net.layers; i++)
            for (int j = 0; j < t->net.layer[i].params; j++) {
                const am_param *p = &t->net.layer[i].param[j];
                if (p->role != AM_LEARNED) continue;
                int norm = !strcmp(p->name, "scales") || (i == 1 && !strcmp(p->name, "biases")),
                    bias = !strcmp(p->name, "biases");
                int decays = !((norm && !variant[k].norm) || (bias && !variant[k].bias));
                sgd o = {i == 2 ? 0.005 : 0.05, 0.9, decays ? 0.01 : 0, variant[k].nesterov};
                for (size_t x = p->offset; x < p->offset + p->count; x++) {
                    double dw = w[x], dg = g[x], dv = v[x];
                    by_hand(&o, &dw, &dg, &dv);
                    near(v2[x], dv);
                    near(w2[x], dw);
                    near(z2[x],
                         0.75 * z[x] +
                             0.25 * dw); /* the teacher follows what the student has become */
                    assert_true(g2[x] == 0);
                }
            }
        float *all[] = {w, g, v, z, w2, g2, v2, z2};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
        t_lab_close(&l);
    }
}

static void one_update_by_hand(void **state)
{
    (void)state;
    t_each_machine(2, updates);
}

/* A loss that is not finite leaves the weights alone, and so does what was issued before the host knew. */
static void guarded(am_backend *be)
{
    t_lab l;
    am_err e = {0};
    float report[AM_REPORT], nan = NAN;
    t_lab_open(&l, be,
               "[net]\nbatch=4\nwidth=4\nheight=4\n[avgpool]\n[connected]\noutput=3\nactivation="
               "linear\n[softmax]\n[momentum_teacher]\n");
    am_trainer *t = &l.t;
    float *w = t_get(be, t->student.value, t->net.learned);
    t_scatter(be, t->student.grad, t->net.learned, -1, 1, 2);
    am_step_begin(t);
    am_report_clear(t);
    am_step_schedule(t);
    am_upload_state(t);
    t_set(be, am_at(t->report, AM_LOSS_MIXED), 1, &nan);
    am_step_update(t);
    t_ok(am_step_report(t, report, &e), &e);
    assert_true(report[AM_REPORT_GUARD] != 0);
    t_scatter(be, t->student.grad, t->net.learned, -1, 1, 3);
    am_step_begin(t);
    am_report_clear(t);
    am_step_update(t);
    t_ok(am_step_report(t, report, &e), &e);
    assert_true(report[AM_REPORT_GUARD] != 0 && report[AM_LOSS_MIXED] == 0);
    float *w2 = t_get(be, t->student.value, t->net.learned),
          *z = t_get(be, t->teacher.value, t->net.learned),
          *g = t_get(be, t->student.grad, t->net.learned);
    assert_memory_equal(w, w2, t->net.learned * sizeof *w);
    assert_memory_equal(w, z, t->net.learned * sizeof *w);
    for (size_t i = 0; i < t->net.learned; i++) assert_true(g[i] == 0);
    free(w);
    free(w2);
    free(z);
    free(g);
    t_lab_close(&l);
}

static void a_bad_loss_changes_nothing(void **state)
{
    (void)state;
    t_each_machine(2, guarded);
}

/* A report that is read when the next update is already issued is that of its own update. */
static void heard_later(am_backend *be)
{
    enum { STEPS = 5 };
    float report[2][STEPS][AM_REPORT];
    char text[3000];
    am_err e = {0};
    t_small_automix(text, sizeof text, "batch=4", "", 1);
    for (int ahead = 0; ahead < AM_ASIDES; ahead++) {
        t_lab l;
        t_lab_open(&l, be, text);
        am_trainer *t = &l.t;
        for (long heard = 0; heard < STEPS; heard++) {
            for (; t->step < STEPS && t->step <= heard + ahead; t->step++) {
                t_batch(&l, (uint64_t)t->step);
                am_step_begin(t);
                am_report_clear(t);
                am_step_schedule(t);
                am_step_part(t, am_step_mix(t), &l.batch);
                am_step_update(t);
                am_step_leave(t);
            }
            t_ok(am_step_read(t, heard, report[ahead][heard], &e), &e);
        }
        t_lab_close(&l);
    }
    assert_memory_equal(report[0], report[1], sizeof report[0]);
    for (int k = 1; k < STEPS; k++) assert_true(report[0][k][0] != report[0][k - 1][0]);
}

static void reports_may_be_read_a_step_later(void **state)
{
    (void)state;
    t_each_machine(2, heard_later);
}

static void clipped(am_backend *be)
{
    char text[3000];
    t_lab l;
    t_small_automix(text, sizeof text, "batch=4\nmomentum=0\ndecay=0",
                    "mask_clip=0.5\nmask_learning_rate=1\nmask_min_learning_rate=1\n", 1);
    t_lab_open(&l, be, text);
    am_trainer *t = &l.t;
    t_span s = t_learned(&t->net, am_net_first(&t->net, "mixblock", 0));
    for (int large = 0; large < 2; large++) {
        double length = 0, moved = 0;
        float *w = t_get(be, am_at(t->student.value, s.at), s.count);
        t_scatter(be, am_at(t->student.grad, s.at), s.count, large ? -3 : -0.02, large ? 3 : 0.02,
                  2);
        float *g = t_get(be, am_at(t->student.grad, s.at), s.count);
        am_step_begin(t);
        am_step_schedule(t);
        am_upload_state(t);
        am_step_update(t);
        float *w2 = t_get(be, am_at(t->student.value, s.at), s.count);
        for (size_t i = 0; i < s.count; i++) {
            length += (double)g[i] * g[i];
            moved += ((double)w2[i] - w[i]) * ((double)w2[i] - w[i]);
        }
        assert_true(large ? sqrt(length) > 1 : sqrt(length) < 0.5);
        double want = large ? 0.5 : sqrt(length);
        if (fabs(sqrt(moved) - want) > 1e-5)
            fail_msg("%s: the MixBlock moved by %.7g, not %.7g", be->about, sqrt(moved), want);
        free(w);
        free(g);
        free(w2);
    }
    t_lab_close(&l);
}

static void the_mixblocks_gradient_is_kept_short(void **state)
{
    (void)state;
    t_each_machine(2, clipped);
}

T_SUITE(schedule, cmocka_unit_test(darknets_policies), cmocka_unit_test(burn_in_rises_by_its_power),
        cmocka_unit_test(a_random_rate_is_a_function_of_seed_and_update),
        cmocka_unit_test(cosine_moves_once_an_epoch), cmocka_unit_test(the_teacher_slows_down),
        cmocka_unit_test(the_masks_weight), cmocka_unit_test(the_mixblock_has_rates_of_its_own),
        cmocka_unit_test(one_update_by_hand), cmocka_unit_test(a_bad_loss_changes_nothing),
        cmocka_unit_test(reports_may_be_read_a_step_later),
        cmocka_unit_test(the_mixblocks_gradient_is_kept_short));
