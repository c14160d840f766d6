/* methods_views.c: AugMix: the operations against Pillow's, the divergence against its definition. */
#include "methods.h"
#include "distort.h"

static void picture(unsigned char *p, int side)
{
    for (int i = 0; i < side * side * 3; i++)
        p[i] = (unsigned char)(40 + (i * 7 + i / 5 * 3 + i % 11 * 9) % 180);
}

/* Sums of Pillow's results over the same picture of 16 x 16; one number in ten may be a grey level off. */
static void operations_are_pillows(void **state)
{
    static const struct {
        int what, sign;
        double level;
        long sum, weighted;
    } known[] = {
        {0, 1, 3, 97078, 4607623},   {1, 1, 3, 99132, 4707494},  {2, 1, 5, 75072, 3601472},
        {3, 1, 3, 92924, 4313382},   {3, 1, 10, 83665, 3849587}, {3, -1, 3, 93002, 4429633},
        {3, -1, 10, 83359, 3875191}, {4, 1, 6, 66096, 3148883},  {5, 1, 8, 85613, 3907247},
        {6, 1, 8, 86767, 4003527},   {7, 1, 7, 78798, 3461270},  {8, 1, 7, 80859, 3688978},
        {5, -1, 8, 88868, 4159895},  {6, -1, 8, 87050, 4112966}, {7, -1, 7, 83322, 4040774},
        {8, -1, 7, 80442, 3904198}};
    enum { S = 16, N = S * S * 3 };
    unsigned char from[N], to[N];
    (void)state;
    picture(from, S);
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        long sum = 0, weighted = 0;
        am_distort(known[k].what, known[k].level, known[k].sign, (am_picture){S, S, 3}, from, to);
        for (int i = 0; i < N; i++) sum += to[i], weighted += (long)to[i] * (i % 97);
        if (labs(sum - known[k].sum) > N / 10 || labs(weighted - known[k].weighted) > 5L * N)
            fail_msg("operation %d: %ld %ld, Pillow %ld %ld", known[k].what, sum, weighted,
                     known[k].sum, known[k].weighted);
    }
}

static void by_hand(void **state)
{
    unsigned char from[12] = {10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120}, to[12];
    (void)state;
    am_distort(AM_TRANSLATE_X, 10, 1, (am_picture){1, 3, 4}, from,
               to); /* a third of 3 pixels: one to the left */
    assert_memory_equal(to, from + 4, 8);
    assert_int_equal(to[8] + to[9] + to[10] + to[11], 0);
    am_distort(AM_SOLARIZE, 5, 1, (am_picture){3, 4, 1},
               (const unsigned char[]){0, 127, 128, 255, 1, 2, 3, 4, 5, 6, 7, 8}, to);
    assert_memory_equal(to, ((const unsigned char[]){0, 127, 127, 0, 1, 2, 3, 4, 5, 6, 7, 8}), 12);
    am_distort(AM_POSTERIZE, 0, 1, (am_picture){3, 4, 1}, from, to);
    for (int i = 0; i < 12; i++) assert_int_equal(to[i], from[i] & 0xf0);
    am_distort(AM_AUTOCONTRAST, 0, 1, (am_picture){3, 4, 1}, from, to);
    for (int i = 0; i < 12; i++) assert_int_equal(to[i], i * 255 / 11);
    am_distort(AM_ROTATE, 0, 1, (am_picture){3, 4, 1}, from, to);
    assert_memory_equal(to, from, 12);
}

/* The divergence as entropies: 3 (H(M) - mean H(p)) / 3 times the weight. */
static void divergence(void **state)
{
    enum { N = 4, K = 5 };
    float x[3 * N * K], q[N * K] = {0}, back[3 * N * K], loss[N], cross[N];
    bench *b = m_open(M_NET M_BODY "[mix]\nmethod=none\n");
    am_backend *be = &b->be;
    am_dev dx = be->ops->alloc(be, 3 * N * K), dp = be->ops->alloc(be, 3 * N * K),
           dl = be->ops->alloc(be, N * K), dq = be->ops->alloc(be, 3 * N * K);
    am_dev dg = be->ops->alloc(be, 3 * N * K), dc = be->ops->alloc(be, N),
           dj = be->ops->alloc(be, N);
    am_rng r = am_rng_at(1, 1, 1);
    (void)state;
    for (int i = 0; i < 3 * N * K; i++) x[i] = (float)am_rng_normal(&r);
    for (int i = 0; i < N; i++) q[i * K + i] = 0.75f, q[i * K + i + 1] = 0.25f;
    be->ops->upload(be, N * K, q, dl);
    for (int probe = -1; probe < 3 * N * K;
         probe += 7) { /* -1: the value; else one logit's gradient */
        double sides[2] = {0, 0}, h = 1e-2;
        for (int side = 0; side < (probe < 0 ? 1 : 2); side++) {
            float was = probe < 0 ? 0 : x[probe];
            if (probe >= 0) x[probe] += (float)(side ? h : -h);
            be->ops->upload(be, 3 * N * K, x, dx);
            be->ops->softmax(be, 3 * N, K, 1, dx, AM_NOWHERE, dp, AM_NOWHERE);
            be->ops->jsd(be, N, K, 12, dp, dl, dq, dc, dj);
            be->ops->download(be, N, dc, cross);
            be->ops->download(be, N, dj, loss);
            if (probe >= 0) x[probe] = was;
            for (int i = 0; i < N; i++) sides[side] += cross[i] + loss[i];
        }
        if (probe < 0) {
            double want = 0;
            for (int i = 0; i < N; i++) {
                double p[3][K], m[K] = {0}, own = 0, of_mean = 0;
                int row[3] = {i, N + 2 * i, N + 2 * i + 1};
                for (int v = 0; v < 3; v++) {
                    double sum = 0;
                    for (int c = 0; c < K; c++) sum += exp(x[row[v] * K + c]);
                    for (int c = 0; c < K; c++)
                        p[v][c] = exp(x[row[v] * K + c]) / sum, m[c] += p[v][c] / 3,
                        own -= p[v][c] * log(p[v][c]) / 3;
                }
                for (int c = 0; c < K; c++) of_mean -= m[c] * log(m[c]);
                for (int c = 0; c < K; c++) want -= q[i * K + c] * log(p[0][c]);
                want += 12 * (of_mean - own);
            }
            assert_float_equal(sides[0], want, 1e-4);
            continue;
        }
        be->ops->upload(be, 3 * N * K, x, dx);
        be->ops->softmax(be, 3 * N, K, 1, dx, AM_NOWHERE, dp, AM_NOWHERE);
        be->ops->jsd(be, N, K, 12, dp, dl, dq, dc, dj);
        be->ops->softmax_back(be, 3 * N, K, 1, 1, dp, dq, (am_grad){dg, 0});
        be->ops->download(be, 3 * N * K, dg, back);
        assert_float_equal(back[probe], (sides[1] - sides[0]) / (2 * h), 2e-3);
    }
    am_dev all[] = {dx, dp, dl, dq, dg, dc, dj};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) be->ops->free(be, all[i]);
    m_close(b);
}

static void whole_gradient(void **state)
{
    bench *b = m_open(M_NET M_BODY "[mix]\nmethod=augmix\n[momentum_teacher]\n");
    (void)state;
    for (long step = 0; step < 3; step++) assert_true(m_gradient_error(b, step, 1) < 1e-3);
    assert_true(m_loss(b, AM_LOSS_MIXED) > 0);
    m_close(b);
}

/* Views of a flat image keep its mean but for black corners and inversions; chance comes from the stream alone. */
static void views_depend_on_the_stream(void **state)
{
    bench *b = m_open(M_NET M_BODY "[mix]\nmethod=augmix\nwidth=2\n");
    unsigned char *one = calloc(2, b->t.extra_size), *two = one + b->t.extra_size;
    const size_t image = M_SIDE * M_SIDE * 3;
    (void)state;
    am_rng r = am_rng_at(3, 1, 4), s = r;
    am_prepare(&b->t, b->pixel, &r, one);
    am_prepare(&b->t, b->pixel, &s, two);
    assert_memory_equal(one, two, 2 * image * sizeof(float));
    am_prepare(&b->t, b->pixel, &s, two);
    assert_memory_not_equal(one, two, 2 * image * sizeof(float));
    const float *view = (const float *)(const void *)one;
    for (size_t i = 0; i < 2 * image; i++) {
        double v = view[i] * b->t.net.options.std.at[i / (image / 3) % 3] +
                   b->t.net.options.mean.at[i / (image / 3) % 3];
        assert_true(v > -1e-4 && v < 1 + 1e-4);
    }
    free(one);
    m_close(b);
}

T_SUITE(methods_views, cmocka_unit_test(operations_are_pillows), cmocka_unit_test(by_hand),
        cmocka_unit_test(divergence), cmocka_unit_test(whole_gradient),
        cmocka_unit_test(views_depend_on_the_stream));
