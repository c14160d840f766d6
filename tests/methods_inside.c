/* methods_inside.c: methods that mix inside the net. */
#include "methods.h"
#include "transport.h"

/* Mixing after a linear layer is mixing before it. */
static void manifold_commutes_with_linear(void **state)
{
    bench *a = m_open(M_NET M_BODY "[mix]\nmethod=manifoldmix\nlayers=image\n"),
          *b = m_open(M_NET M_BODY "[mix]\nmethod=manifoldmix\nlayers=stem\n");
    static float ga[4000], gb[4000];
    size_t n = a->t.net.learned;
    (void)state;
    assert_true(n <= 4000);
    for (long step = 0; step < 4; step++) {
        m_learn(a, step);
        m_learn(b, step);
        a->t.be->ops->download(a->t.be, n, a->t.student.grad, ga);
        b->t.be->ops->download(b->t.be, n, b->t.student.grad, gb);
        assert_float_equal(m_loss(a, AM_LOSS_MIXED), m_loss(b, AM_LOSS_MIXED), 1e-5);
        double apart = 0, size = 0;
        for (size_t i = 0; i < n; i++) {
            apart += (double)(ga[i] - gb[i]) * (ga[i] - gb[i]);
            size += (double)ga[i] * ga[i];
        }
        assert_true(sqrt(apart / size) < 2e-4);
    }
    m_close(a);
    m_close(b);
}

/* At lambda = 1 nothing is mixed, wherever. */
static void manifold_without_mixing(void **state)
{
    bench *a = m_open(M_NET M_BODY "[mix]\nmethod=manifoldmix\nlayers=stage1\n"),
          *b = m_open(M_NET M_BODY "[mix]\nmethod=none\n");
    (void)state;
    a->t.fixed_lambda = 1;
    m_learn(a, 0);
    m_learn(b, 0);
    assert_float_equal(m_loss(a, AM_LOSS_MIXED), m_loss(b, AM_LOSS_CLEAN), 1e-6);
    m_close(a);
    m_close(b);
}

static void gradients(const char *section)
{
    char text[2000];
    snprintf(text, sizeof text, M_NET M_BODY "%s", section);
    bench *b = m_open(text);
    for (long step = 0; step < 6; step++) {
        double error = m_gradient_error(b, step, 1);
        if (!(error < 3e-4)) fail_msg("%s at update %ld: gradient off by %g", section, step, error);
    }
    m_close(b);
}

static void manifold_gradients(void **state)
{
    (void)state;
    gradients("[mix]\nmethod=mixup\n");
    gradients("[mix]\nmethod=manifoldmix\nlayers=stem\n");
    gradients("[mix]\nmethod=manifoldmix\nlayers=stage1\n");
    gradients("[mix]\nmethod=manifoldmix\nlayers=pool\n");
    gradients("[mix]\nmethod=manifoldmix\n");
    gradients("[mix]\nmethod=manifoldmix\n[momentum_teacher]\n");
}

static void refused(const char *section, const char *part)
{
    char text[2000];
    am_err e = {0};
    bench *b = calloc(1, sizeof *b);
    snprintf(text, sizeof text, M_NET M_BODY M_SECOND "%s", section);
    assert_int_equal(m_try(b, text, &e), AM_EINPUT);
    if (!strstr(e.text, part)) fail_msg("'%s' does not say '%s'", e.text, part);
    m_close(b);
}

static void layers_refused(void **state)
{
    (void)state;
    refused("[mix]\nmethod=manifoldmix\nlayers=stage1,one\nmixed=mix\n[momentum_teacher]\n",
            "does not see 'one'");
    refused("[mix]\nmethod=manifoldmix\nlayers=stge1\n", "stage1");
}

/* ---- patchup ---- */
static void patchup_gradients(void **state)
{
    (void)state;
    gradients("[mix]\nmethod=patchup\nblock=3\nlayers=stem\n");
    gradients("[mix]\nmethod=patchup\nblock=3\nlayers=stage1\n");
    gradients("[mix]\nmethod=patchup\nblock=3\nmode=soft\nlayers=stage1\n");
    gradients("[mix]\nmethod=patchup\nblock=5\n[momentum_teacher]\n");
}

/* With holes everywhere a hard patch is another batch in another order, taught twice as much; a soft one is
 * manifold mixup's, after a linear layer the image's mixup. */
static void patchup_of_everything(void **state)
{
    (void)state;
    for (int soft = 0; soft < 2; soft++) {
        char text[2000];
        snprintf(text, sizeof text,
                 M_NET M_BODY "[mix]\nmethod=patchup\nblock=1\ngamma=1\nlayers=stem\n%s",
                 soft ? "mode=soft\n" : "");
        bench *a = m_open(text), *b = m_open(M_NET M_BODY "[mix]\nmethod=mixup\n");
        a->t.fixed_lambda = b->t.fixed_lambda = soft ? 0.3 : 0;
        for (long step = 0; step < 4; step++) {
            int perm[M_BATCH];
            m_learn(a, step);
            memcpy(perm, m_perm(a), sizeof perm);
            b->t.fixed_perm = perm;
            m_learn(b, step);
            assert_float_equal(m_lam(a, 0), soft ? 0.3 : 0, 1e-6);
            assert_float_equal(m_loss(a, AM_LOSS_MIXED), 2 * m_loss(b, AM_LOSS_MIXED), 2e-5);
        }
        m_close(a);
        m_close(b);
    }
}

/* The label's weight is the share of untouched numbers, read back from the activations themselves: after a
 * linear layer on flat images, a number that shows the partner is the partner's. */
static void patchup_label(void **state)
{
    bench *b = m_open(M_NET M_BODY "[mix]\nmethod=patchup\nblock=3\nlayers=stem\nno_repeat=1\n"),
          *c = m_open(M_NET M_BODY "[mix]\nmethod=none\n");
    static float mixed[M_BATCH * 5 * M_SIDE * M_SIDE], plain[M_BATCH * 5 * M_SIDE * M_SIDE];
    int stem = am_net_find(&b->t.net, "stem");
    am_shape shape = am_batch_of(b->t.net.layer[stem].out, M_BATCH);
    size_t one = am_count(am_batch_of(shape, 1));
    int varied = 0;
    (void)state;
    for (long step = 0; step < 8; step++) {
        m_learn(b, step);
        m_learn(c, step);
        am_pass *p = &b->t.mix[0].mixed.pass;
        am_forward(p);
        b->t.be->ops->get(b->t.be, shape, am_y(p, &b->t.net.layer[stem]), mixed);
        am_forward(&c->t.mix[0].clean.pass);
        c->t.be->ops->get(c->t.be, shape, am_y(&c->t.mix[0].clean.pass, &c->t.net.layer[stem]),
                          plain);
        for (int i = 0; i < M_BATCH; i++) {
            int own = 0;
            for (size_t k = 0; k < one; k++) {
                float mine = plain[(size_t)i * one + k],
                      other = plain[(size_t)m_perm(b)[i] * one + k], v = mixed[(size_t)i * one + k];
                assert_true(fabsf(v - mine) < 1e-5f || fabsf(v - other) < 1e-5f);
                own += fabsf(v - mine) < 1e-5f;
            }
            assert_float_equal(m_lam(b, i), (double)own / (double)one, 1e-6);
            varied |= own > 0 && own < (int)one;
        }
    }
    assert_true(varied);
    m_close(b);
    m_close(c);
}

/* The share of changed numbers is near gamma where holes hardly overlap. */
static void patchup_share(void **state)
{
    bench *b = m_open(M_NET M_BODY "[mix]\nmethod=patchup\nblock=3\ngamma=0.1\nlayers=stem\n");
    double sum = 0;
    (void)state;
    for (long step = 0; step < 60; step++) {
        m_learn(b, step);
        sum += 1 - m_lam(b, 0);
    }
    assert_true(sum / 60 > 0.08 &&
                sum / 60 < 0.14); /* gamma', to a larger border than dropblock's, less overlap */
    m_close(b);
}

/* ---- alignmix ---- */
/* The same features in another order are found again; rows and columns of the plan add up to 1. */
static void plan_finds_the_order(void **state)
{
    enum { N = 9, C = 5 };
    float a[C * N], b[C * N], plan[N * N];
    int order[N];
    am_rng r = am_rng_at(2, 3, 4);
    (void)state;
    am_rng_permute(&r, N, order);
    for (int c = 0; c < C; c++)
        for (int i = 0; i < N; i++) b[c * N + order[i]] = a[c * N + i] = (float)am_rng_normal(&r);
    am_transport_plan(N, C, a, b, 0.1, 100, plan);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) assert_float_equal(plan[i * N + j], j == order[i], 0.02);
    for (int i = 0; i < C * N; i++) b[i] = (float)am_rng_normal(&r);
    am_transport_plan(N, C, a, b, 1, 1000, plan);
    for (int i = 0; i < N; i++) {
        double row = 0, column = 0;
        for (int j = 0; j < N; j++) row += plan[i * N + j], column += plan[j * N + i];
        assert_float_equal(column, 1, 1e-5);
        assert_float_equal(row, 1, 0.2);
    }
    am_transport_plan(N, C, a, b, 1e9, 100, plan);
    for (int i = 0; i < N * N; i++) assert_float_equal(plan[i], 1.0 / N, 1e-6);
}

/* Where the plan hangs on nothing, the gradient is that of the loss; at lambda 1 and 0 one side stays as it is. */
static void align_gradients(void **state)
{
    (void)state;
    gradients("[mix]\nmethod=alignmix\neps=1e9\nlayers=stage1\n");
    gradients("[mix]\nmethod=alignmix\neps=1e9\nlayers=image,stage2\n[momentum_teacher]\n");
}

static void align_with_itself(void **state)
{
    bench *a = m_open(M_NET M_BODY "[mix]\nmethod=alignmix\neps=0.001\nlayers=stage2\n"),
          *b = m_open(M_NET M_BODY "[mix]\nmethod=none\n");
    int itself[M_BATCH];
    (void)state;
    for (int i = 0; i < M_BATCH; i++) itself[i] = i;
    a->t.fixed_perm = itself;
    for (long step = 0; step < 4; step++) { /* features correspond to themselves */
        m_learn(a, step);
        m_learn(b, step);
        assert_float_equal(m_loss(a, AM_LOSS_MIXED), m_loss(b, AM_LOSS_CLEAN), 2e-3);
    }
    m_close(a);
    m_close(b);
}

T_SUITE(methods_inside, cmocka_unit_test(manifold_commutes_with_linear),
        cmocka_unit_test(manifold_without_mixing), cmocka_unit_test(manifold_gradients),
        cmocka_unit_test(layers_refused), cmocka_unit_test(patchup_gradients),
        cmocka_unit_test(patchup_of_everything), cmocka_unit_test(patchup_label),
        cmocka_unit_test(patchup_share), cmocka_unit_test(plan_finds_the_order),
        cmocka_unit_test(align_gradients), cmocka_unit_test(align_with_itself));
