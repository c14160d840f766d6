/* mixers.c: what the methods draw, and what they make of pixels and labels. */
#include "lab.h"

#define TINY                                                                                       \
    "[net]\nbatch=%d\nwidth=%d\nheight=%d\n[avgpool]\n[connected]\noutput=3\nactivation=linear\n[" \
    "softmax]\n"

static void open_tiny(t_lab *l, am_backend *be, int n, int w, int h, const char *mix)
{
    char text[1000];
    size_t at = (size_t)snprintf(text, sizeof text, TINY, n, w, h);
    snprintf(text + at, sizeof text - at, "%s", mix);
    t_lab_open(l, be, text);
}

/* ---- pixels and labels ---- */

typedef struct mixed {
    float *x, *y, *mask, *q, lambda;
    const int *perm;
} mixed;

/* One step; the batch before and after, the mask, the labels, as the host sees them. */
static mixed mix_once(t_lab *l)
{
    am_trainer *t = &l->t;
    const am_ops *op = l->be->ops;
    float report[AM_REPORT];
    am_shape s = am_batch_of(t->net.input, t->n);
    mixed m = {.x = malloc(am_count(s) * sizeof(float)), .y = malloc(am_count(s) * sizeof(float))};
    assert_true(m.x && m.y);
    t_learn(l, report);
    op->get(l->be, s, am_here(&t->space, t->x), m.x);
    op->get(l->be, s, am_here(&t->space, t->mixed_x), m.y);
    m.mask = t_get(l->be, am_here(&t->space, t->mixed_mask), (size_t)(s.n * s.h * s.w));
    m.q = t_get(l->be, am_here(&t->space, t->mixed_q), (size_t)(t->n * t->classes));
    m.lambda = am_state_host(t, t->pair[1].lam)[0];
    m.perm = am_state_ints(t, t->pair[1].perm);
    for (int i = 0; i < t->n; i++) assert_true(am_state_host(t, t->pair[1].lam)[i] == m.lambda);
    return m;
}

static void drop(mixed *m)
{
    free(m->x);
    free(m->y);
    free(m->mask);
    free(m->q);
}

/* y = (1 - mask) x + mask x[perm], and the labels by lambda. */
static void is_mixed(const t_lab *l, const mixed *m)
{
    const am_trainer *t = &l->t;
    size_t c = (size_t)t->net.input.c, pixels = (size_t)(t->net.input.h * t->net.input.w);
    for (size_t i = 0; i < (size_t)t->n; i++) {
        size_t j = (size_t)m->perm[i];
        for (size_t k = 0; k < c * pixels; k++) {
            double w = m->mask[i * pixels + k % pixels],
                   want = (1 - w) * m->x[i * c * pixels + k] + w * m->x[j * c * pixels + k];
            if (fabs(m->y[i * c * pixels + k] - want) > 1e-6)
                fail_msg("%s: image %zu, number %zu is %g, not %g", l->be->about, i, k,
                         (double)m->y[i * c * pixels + k], want);
        }
        for (int k = 0; k < t->classes; k++) {
            double want = (l->batch.label[i] == k) * (double)m->lambda +
                          (l->batch.label[j] == k) * (1 - (double)m->lambda);
            assert_true(fabs(m->q[i * (size_t)t->classes + (size_t)k] - want) < 1e-6);
        }
    }
}

static void mixup_on(am_backend *be)
{
    t_lab l;
    open_tiny(&l, be, 5, 7, 6, "[mix]\nmethod=mixup\nalpha=1\n");
    for (l.t.step = 0; l.t.step < 8; l.t.step++) {
        mixed m = mix_once(&l);
        is_mixed(&l, &m);
        for (int i = 0; i < 5 * 7 * 6; i++) assert_true(fabsf(m.mask[i] - (1 - m.lambda)) < 1e-7f);
        drop(&m);
    }
    t_lab_close(&l);
}

static void cutmix_on(am_backend *be)
{
    enum { W = 9, H = 7 };
    t_lab l;
    open_tiny(&l, be, 4, W, H, "[mix]\nmethod=cutmix\nalpha=1\n");
    for (l.t.step = 0; l.t.step < 40; l.t.step++) {
        mixed m = mix_once(&l);
        is_mixed(&l, &m);
        int pasted = 0;
        for (int i = 0; i < 4 * W * H; i++) {
            assert_true(m.mask[i] == 0 || m.mask[i] == 1);
            assert_true(m.mask[i] == m.mask[i % (W * H)]);
            pasted += i < W * H && m.mask[i] == 1;
        }
        assert_true(
            m.lambda ==
            (float)(1 -
                    pasted / (double)(W * H))); /* the label's weight is the share that is left */
        drop(&m);
    }
    t_lab_close(&l);
}

static void mixup_is_an_average(void **state)
{
    (void)state;
    t_each_machine(2, mixup_on);
}

static void cutmix_pastes_a_box(void **state)
{
    (void)state;
    t_each_machine(2, cutmix_on);
}

/* methods.md 4.2: side 2 (floor(W sqrt(1 - lambda)) / 2) about a centre anywhere, clipped. */
static void cutmix_boxes(void **state)
{
    enum { W = 12, H = 10 };
    static const double lambda[] = {0, 0.19, 0.36, 0.51, 0.75, 0.96, 1};
    (void)state;
    am_backend be;
    t_lab l;
    t_open_machine(&be, 1);
    open_tiny(&l, &be, 2, W, H, "[mix]\nmethod=cutmix\nalpha=1\n");
    for (size_t k = 0; k < sizeof lambda / sizeof *lambda; k++) {
        int bw = (int)(W * sqrt(1 - lambda[k])) / 2 * 2,
            bh = (int)(H * sqrt(1 - lambda[k])) / 2 * 2;
        char seen[W * H] = {0};
        int centres = 0;
        l.t.fixed_lambda = lambda[k];
        for (l.t.step = 0; l.t.step < 1500; l.t.step++) {
            int x1 = W, y1 = H, x2 = 0, y2 = 0, area = 0;
            am_step_draw(&l.t, &l.t.mix[0]);
            am_upload_state(&l.t);
            l.t.mix[0].type->mask(&l.t.mix[0], &l.t, am_here(&l.t.space, l.t.mixed_mask));
            float *mask = t_get(&be, am_here(&l.t.space, l.t.mixed_mask), W * H);
            for (int y = 0; y < H; y++)
                for (int x = 0; x < W; x++)
                    if (mask[y * W + x] == 1) {
                        x1 = x < x1 ? x : x1;
                        x2 = x + 1 > x2 ? x + 1 : x2;
                        y1 = y < y1 ? y : y1;
                        y2 = y + 1 > y2 ? y + 1 : y2;
                        area++;
                    }
            free(mask);
            if (!bw || !bh) {
                assert_int_equal(area, 0);
                continue;
            }
            if (!area) continue; /* a centre in the corner of a box of 2 x 2 */
            assert_int_equal(area, (x2 - x1) * (y2 - y1));
            assert_true(x2 - x1 == bw || (x2 - x1 < bw && (x1 == 0 || x2 == W)));
            assert_true(y2 - y1 == bh || (y2 - y1 < bh && (y1 == 0 || y2 == H)));
            int cx = x1 > 0 ? x1 + bw / 2 : x2 - bw / 2, cy = y1 > 0 ? y1 + bh / 2 : y2 - bh / 2;
            if ((x1 == 0 && x2 == W) || (y1 == 0 && y2 == H))
                continue; /* no telling where the centre was */
            assert_true(cx >= 0 && cx < W && cy >= 0 && cy < H);
            seen[cy * W + cx] = 1;
        }
        for (int i = 0; i < W * H; i++) centres += seen[i];
        if (k == 3) assert_true(centres > 100); /* anywhere in the image */
    }
    t_lab_close(&l);
    t_close_machine(&be);
}

/* The student's mask is 1 - lambda where lambda is within lambda_margin of 0 or 1; the teacher's
 * never. */
static void margin_on(am_backend *be)
{
    char text[3000];
    t_lab l;
    float report[AM_REPORT];
    static const struct {
        double lambda;
        int constant;
    } row[] = {{0.05, 1}, {0.08, 1}, {0.1, 0}, {0.5, 0}, {0.93, 1}};
    t_lab_open(&l, be, t_small_automix(text, sizeof text, "batch=4\n", "lambda_margin=0.08\n", 1));
    am_trainer *t = &l.t;
    t_span s = t_learned(&t->net, am_net_first(&t->net, "mixblock", 0));
    t_scatter(be, am_at(t->student.value, s.at), s.count, -1, 1, 21);
    size_t plane = (size_t)(t->n * t->net.input.h * t->net.input.w);
    for (size_t k = 0; k < sizeof row / sizeof *row; k++) {
        t->fixed_lambda = row[k].lambda;
        t_learn(&l, report);
        float *q = t_get(be, am_here(&t->space, t->mixed_mask), plane),
              *m = t_get(be, am_here(&t->space, t->judged_mask), plane);
        int constant[2] = {1, 1};
        for (size_t i = 0; i < plane; i++) {
            constant[0] &= fabs(q[i] - (1 - row[k].lambda)) < 1e-6;
            constant[1] &= fabs(m[i] - (1 - row[k].lambda)) < 1e-6;
        }
        assert_int_equal(constant[0], row[k].constant);
        assert_int_equal(constant[1], 0);
        free(q);
        free(m);
    }
    t_lab_close(&l);
}

static void lambda_margin_is_for_the_student(void **state)
{
    (void)state;
    t_each_machine(2, margin_on);
}

/* ---- chance ---- */

static void partners(void **state)
{
    static const int sizes[] = {1, 2, 3, 4, 7, 16};
    (void)state;
    am_backend be;
    t_open_machine(&be, 1);
    for (int no_repeat = 0; no_repeat < 2; no_repeat++)
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            t_lab l;
            int n = sizes[k], fixed = 0;
            open_tiny(&l, &be, n, 2, 2,
                      no_repeat ? "[mix]\nmethod=mixup\nno_repeat=1\n" : "[mix]\nmethod=mixup\n");
            for (l.t.step = 0; l.t.step < 400; l.t.step++) {
                int count[16] = {0};
                am_step_draw(&l.t, &l.t.mix[0]);
                const int *perm = am_state_ints(&l.t, l.t.pair[1].perm);
                for (int i = 0; i < n; i++) {
                    assert_in_range(perm[i], 0, n - 1);
                    assert_int_equal(count[perm[i]]++, 0);
                    fixed += perm[i] == i;
                }
            }
            if (no_repeat && n > 1) assert_int_equal(fixed, 0);
            if (!no_repeat)
                assert_true(fixed > 300 && fixed < 500); /* one a permutation, on average */
            t_lab_close(&l);
        }
    t_close_machine(&be);
}

static void lambdas_are_betas(void **state)
{
    static const double alpha[] = {0.2, 1, 2};
    (void)state;
    am_backend be;
    t_open_machine(&be, 1);
    for (size_t k = 0; k < 3; k++) {
        t_lab l;
        char mix[100];
        double sum = 0, squares = 0;
        enum { DRAWS = 20000 };
        snprintf(mix, sizeof mix, "[mix]\nmethod=mixup\nalpha=%g\n", alpha[k]);
        open_tiny(&l, &be, 2, 2, 2, mix);
        for (l.t.step = 0; l.t.step < DRAWS; l.t.step++) {
            am_step_draw(&l.t, &l.t.mix[0]);
            double x = am_state_host(&l.t, l.t.pair[1].lam)[0];
            assert_true(x >= 0 && x <= 1);
            sum += x;
            squares += x * x;
        }
        double mean = sum / DRAWS, variance = squares / DRAWS - mean * mean,
               want = 1 / (4 * (2 * alpha[k] + 1));
        assert_true(fabs(mean - 0.5) < 5 * sqrt(want / DRAWS));
        assert_true(fabs(variance - want) < 0.05 * want);
        t_lab_close(&l);
    }
    t_close_machine(&be);
}

/* The step-state that a step draws, as bytes. */
static float *drawn(t_lab *l, long step)
{
    l->t.step = step;
    memset(l->t.state.host, 0, l->t.state.count * sizeof *l->t.state.host);
    am_step_draw(&l->t, &l->t.mix[0]);
    float *copy = malloc(l->t.state.count * sizeof *copy);
    assert_non_null(copy);
    return memcpy(copy, l->t.state.host, l->t.state.count * sizeof *copy);
}

static void draws_are_of_seed_and_step(void **state)
{
    static const char *const mixes[] = {"mixup", "cutmix", "automix"};
    (void)state;
    am_backend be;
    t_open_machine(&be, 1);
    for (size_t k = 0; k < 3; k++) {
        char text[3000];
        t_lab l;
        if (k < 2)
            snprintf(text, sizeof text, TINY "[mix]\nmethod=%s\n", 6, 8, 8, mixes[k]);
        else
            t_small_automix(text, sizeof text, "batch=6\n", "", 1);
        t_lab_open(&l, &be, text);
        size_t bytes = l.t.state.count * sizeof(float);
        float *a = drawn(&l, 7), *b = drawn(&l, 3), *c = drawn(&l, 7);
        l.t.seed_value++;
        float *d = drawn(&l, 7);
        assert_memory_equal(a, c, bytes);
        assert_memory_not_equal(a, b, bytes);
        assert_memory_not_equal(a, d, bytes);
        if (k == 2) { /* two mixtures, drawn apart */
            assert_true(am_state_host(&l.t, l.t.pair[0].lam)[0] !=
                        am_state_host(&l.t, l.t.pair[1].lam)[0]);
            assert_memory_not_equal(am_state_ints(&l.t, l.t.pair[0].perm),
                                    am_state_ints(&l.t, l.t.pair[1].perm), 6 * sizeof(int));
        }
        free(a);
        free(b);
        free(c);
        free(d);
        t_lab_close(&l);
    }
    t_close_machine(&be);
}

static void sections_share_the_steps(void **state)
{
    (void)state;
    am_backend be;
    t_lab l;
    int count[3] = {0};
    enum { STEPS = 6000 };
    t_open_machine(&be, 1);
    open_tiny(&l, &be, 2, 4, 4, "[mix]\nmethod=mixup\nprob=0.3\n[mix]\nmethod=cutmix\nprob=0.5\n");
    for (l.t.step = 0; l.t.step < STEPS; l.t.step++) {
        am_mix *m = am_step_mix(&l.t);
        count[m == &l.t.plain ? 2 : m - l.t.mix]++;
    }
    assert_true(fabs(count[0] / (double)STEPS - 0.3) < 0.03);
    assert_true(fabs(count[1] / (double)STEPS - 0.5) < 0.03);
    assert_true(fabs(count[2] / (double)STEPS - 0.2) < 0.03);
    t_lab_close(&l);
    t_close_machine(&be);
}

/* [momentum_teacher] around a handcrafted method: with clean_loss the student learns from both
 * batches. */
static void teacher_wraps_any_method(void **state)
{
    (void)state;
    am_backend be;
    t_open_machine(&be, 1);
    for (int clean = 0; clean < 2; clean++) {
        char mix[200];
        t_lab l;
        float report[AM_REPORT];
        snprintf(mix, sizeof mix,
                 "[mix]\nmethod=cutmix\n[momentum_teacher]\nmomentum=0.5\nclean_loss=%d\n", clean);
        open_tiny(&l, &be, 4, 6, 6, mix);
        float *before = t_get(&be, l.t.teacher.value, l.t.net.learned);
        t_learn(&l, report);
        assert_int_equal(report[AM_LOSS_CLEAN] > 0, clean);
        assert_true(report[AM_LOSS_MIXED] > 0 && report[AM_LOSS_JUDGE] == 0);
        am_step_update(&l.t);
        float *after = t_get(&be, l.t.teacher.value, l.t.net.learned),
              *student = t_get(&be, l.t.student.value, l.t.net.learned);
        for (size_t i = 0; i < l.t.net.learned; i++)
            assert_true(fabsf(after[i] - (before[i] + student[i]) / 2) < 1e-6f);
        assert_memory_not_equal(before, after, l.t.net.learned * sizeof *before);
        free(before);
        free(after);
        free(student);
        t_lab_close(&l);
    }
    t_close_machine(&be);
}

/* ---- the teacher's statistics ---- */

/* Running statistics are not averaged with the parameters: the teacher sees images under every method. */
static void every_teacher_sees_images(void **state)
{
    static const char text[] =
        "[net]\nbatch=8\nwidth=16\nheight=16\nlearning_rate=0.1\n"
        "[convolutional]\nname=stage1\nbatch_normalize=1\nfilters=8\nsize=3\npad=1\nactivation="
        "relu\n"
        "[convolutional]\nname=stage2\nbatch_normalize=1\nfilters=8\nsize=3\npad=1\nactivation="
        "relu\n"
        "[avgpool]\nname=pool\n[connected]\noutput=3\nactivation=linear\n[softmax]\nname=one\n"
        "[connected]\ninput=pool\noutput=3\nactivation=linear\n[softmax]\nname=mix\n"
        "[mixblock]\ninput=stage2\n"
        "[mix]\nmethod=%s\n%s[momentum_teacher]\nmomentum=0\nend_momentum=0\nclean_loss=%d\n";
    (void)state;
    am_backend be;
    t_open_machine(&be, 1);
    for (int i = 0; am_methods()[i]; i++)
        for (int clean = 0; clean < 2; clean++) {
            const char *name = am_methods()[i]->name;
            char cfg[2000];
            t_lab l;
            if (!strcmp(name, "attentivemix")) continue; /* wants a file that training makes */
            snprintf(cfg, sizeof cfg, text, name, strcmp(name, "gridmix") ? "" : "local_weight=0\n",
                     clean);
            t_lab_open(&l, &be, cfg);
            size_t n = l.t.net.buffers;
            float *before = t_get(&be, l.t.teacher.buffer, n);
            t_update(&l);
            float *after = t_get(&be, l.t.teacher.buffer, n),
                  *student = t_get(&be, l.t.student.buffer, n);
            for (size_t k = 0; k < n; k++)
                if (after[k] == before[k])
                    fail_msg("%s: number %zu of the teacher's statistics stays", name, k);
            if (!strcmp(name, "none") && memcmp(after, student, n * sizeof *after))
                fail_msg("student and teacher began alike and saw the same images");
            free(before);
            free(after);
            free(student);
            t_lab_close(&l);
        }
    t_close_machine(&be);
}

T_SUITE(mixers, cmocka_unit_test(every_teacher_sees_images), cmocka_unit_test(mixup_is_an_average),
        cmocka_unit_test(cutmix_pastes_a_box), cmocka_unit_test(cutmix_boxes),
        cmocka_unit_test(lambda_margin_is_for_the_student), cmocka_unit_test(partners),
        cmocka_unit_test(lambdas_are_betas), cmocka_unit_test(draws_are_of_seed_and_step),
        cmocka_unit_test(sections_share_the_steps), cmocka_unit_test(teacher_wraps_any_method));
