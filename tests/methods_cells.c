/* methods_cells.c: methods that choose cell by cell: GridMix and Co-Mixup. */
#include "methods.h"
#include "comix.h"

enum { P = M_SIDE * M_SIDE, GRID = 3, CELL = M_SIDE / GRID };

/* ---- GridMix ---- */
#define LOCAL "[convolutional]\nname=local\ninput=stage2\nfilters=4\nsize=1\nactivation=linear\n"
#define GRIDMIX M_NET M_BODY LOCAL "[mix]\nmethod=gridmix\ngrid=3\nno_repeat=1\nlocal_weight=0.7\n"

static int shows_partner(bench *b, const float *mixed, int i, int p)
{
    float own = 30.0f * (float)i + 10, other = 30.0f * (float)m_perm(b)[i] + 10,
          v = mixed[(i * P + p) * 3];
    assert_true(fabsf(v - own) < 0.01f || fabsf(v - other) < 0.01f);
    return fabsf(v - other) < 0.01f;
}

/* What is pasted are whole cells, as many as lambda asks for, by the same plane for all; labels follow. */
static void grid_pastes_cells(void **state)
{
    static float mixed[M_BATCH * P * 3];
    bench *b = m_open(GRIDMIX);
    int seen[GRID * GRID] = {0};
    (void)state;
    for (long step = 0; step < 40; step++) {
        m_learn(b, step);
        m_mixed(b, mixed);
        am_rng r = m_chance(b, step);
        int pasted = (int)floor((1 - am_rng_beta(&r, 1, 1)) * GRID * GRID + 0.5), found = 0;
        for (int cell = 0; cell < GRID * GRID; cell++) {
            int first = cell / GRID * CELL * M_SIDE + cell % GRID * CELL,
                partner = shows_partner(b, mixed, 0, first);
            found += partner;
            seen[cell] |= 1 << partner;
            for (int i = 0; i < M_BATCH; i++)
                for (int p = 0; p < CELL * CELL; p++)
                    assert_int_equal(
                        shows_partner(b, mixed, i, first + p / CELL * M_SIDE + p % CELL), partner);
        }
        assert_int_equal(found, pasted);
        for (int i = 0; i < M_BATCH; i++)
            assert_float_equal(m_lam(b, i), 1 - (double)pasted / (GRID * GRID), 1e-6);
    }
    for (int cell = 0; cell < GRID * GRID; cell++) assert_int_equal(seen[cell], 3);
    m_close(b);
}

static double cross(const float *logit, int step, int label)
{
    double sum = 0;
    for (int c = 0; c < M_CLASSES; c++) sum += exp(logit[c * step]);
    return log(sum) - logit[label * step];
}

/* The loss is the head's, plus what the local classifier says of each cell held against what that shows. */
static void asks(const char *text)
{
    static float mixed[M_BATCH * P * 3], local[M_BATCH * M_CLASSES * GRID * GRID],
        prob[M_BATCH * M_CLASSES], q[M_BATCH * M_CLASSES];
    bench *b = m_open(text);
    am_trainer *t = &b->t;
    for (long step = 0; step < 5; step++) {
        double want = 0;
        m_learn(b, step);
        m_mixed(b, mixed);
        const am_pass *p = &t->mix[0].mixed.pass;
        const am_layer *l = &t->net.layer[am_net_find(&t->net, "local")];
        t->be->ops->get(t->be, am_batch_of(l->out, M_BATCH), am_y(p, l), local);
        t->be->ops->download(t->be, M_BATCH * M_CLASSES, am_y(p, &t->net.layer[t->clean_head]),
                             prob);
        t->be->ops->download(t->be, M_BATCH * M_CLASSES, am_here(&t->space, t->mixed_q), q);
        for (int i = 0; i < M_BATCH; i++) {
            for (int c = 0; c < M_CLASSES; c++)
                want -= q[i * M_CLASSES + c] * log(prob[i * M_CLASSES + c]) / M_BATCH;
            for (int cell = 0; cell < GRID * GRID; cell++) {
                int of =
                    shows_partner(b, mixed, i, cell / GRID * CELL * M_SIDE + cell % GRID * CELL)
                        ? m_perm(b)[i]
                        : i;
                want +=
                    0.7 / (GRID * GRID * M_BATCH) *
                    cross(local + i * M_CLASSES * GRID * GRID + cell, GRID * GRID, of % M_CLASSES);
            }
        }
        assert_float_equal(m_loss(b, AM_LOSS_MIXED), want, 1e-5);
        assert_true(m_gradient_error(b, step, 1) < 5e-3);
    }
    m_close(b);
}

static void grid_asks_each_cell(void **state)
{
    (void)state;
    asks(GRIDMIX);
    asks(GRIDMIX "[momentum_teacher]\n"); /* beside the lesson of the clean images */
    bench *b = m_open(M_NET M_BODY
               "[convolutional]\nname=local\ninput=stage1\nfilters=4\nsize=1\nactivation=linear\n"
               "[mix]\nmethod=gridmix\ngrid=3\n"); /* places of 6 x 6: means over 2 x 2 */
    assert_true(m_gradient_error(b, 1, 1) < 5e-3);
    m_close(b);
}

static void refused(const char *text, const char *word)
{
    am_err e = {0};
    bench *b = calloc(1, sizeof *b);
    assert_int_equal(m_try(b, text, &e), AM_EINPUT);
    if (!strstr(e.text, word)) fail_msg("'%s' does not speak of %s", e.text, word);
    m_close(b);
}

static void grid_wants_a_classifier(void **state)
{
    (void)state;
    refused(M_NET M_BODY "[mix]\nmethod=gridmix\n", "name=local");
    refused(M_NET M_BODY LOCAL "[mix]\nmethod=gridmix\ngrid=4\n", "grid=4");
    refused(M_NET M_BODY LOCAL "[mix]\nmethod=gridmix\ngrid=5\n", "grid=5");
    m_close(m_open(M_NET M_BODY "[mix]\nmethod=gridmix\nlocal_weight=0\n"));
}

/* ---- Co-Mixup ---- */
enum { N = 4, SIDE = 3, CELLS = SIDE * SIDE };

static void draw_images(uint64_t seed, double *salient, double *near)
{
    am_rng r = am_rng_at(seed, 1, 2);
    for (int k = 0; k < N; k++) {
        double all = 0;
        for (int i = 0; i < CELLS; i++) all += salient[k * CELLS + i] = pow(am_rng_real(&r), 3);
        for (int i = 0; i < CELLS; i++) salient[k * CELLS + i] /= all;
        for (int l = 0; l < N; l++) near[k * N + l] = k == l;
    }
}

/* f of one-hot choices, pair by pair of cells and of mixtures. */
static double by_pairs(const am_comix *o, const double *cost, int choice[N][CELLS])
{
    double f = 0;
    for (int i = 0; i < N; i++)
        for (int a = 0; a < CELLS; a++) {
            f += cost[choice[i][a] * CELLS + a];
            for (int b = a + 1; b < CELLS; b++)
                f += o->beta / CELLS *
                     (choice[i][a] != choice[i][b] &&
                      abs(a / SIDE - b / SIDE) + abs(a % SIDE - b % SIDE) == 1);
            for (int j = 0; j < N; j++)
                for (int b = 0; b < CELLS && j != i; b++)
                    f += o->gamma / CELLS * (choice[i][a] == choice[j][b]);
        }
    return f;
}

static void objective(void **state)
{
    double cost[N * CELLS];
    const am_comix o = {.grid = SIDE, .beta = 0.7, .gamma = 0.3};
    am_rng r = am_rng_at(3, 3, 3);
    (void)state;
    for (int trial = 0; trial < 50; trial++) {
        static float share[N * CELLS * N];
        int choice[N][CELLS];
        memset(share, 0, sizeof share);
        for (int i = 0; i < N * CELLS; i++) {
            cost[i] = am_rng_normal(&r);
            choice[i / CELLS][i % CELLS] = (int)am_rng_below(&r, N);
            share[i * N + choice[i / CELLS][i % CELLS]] = 1;
        }
        assert_float_equal(am_comix_objective(&o, N, cost, share), by_pairs(&o, cost, choice),
                           1e-9);
    }
}

/* Without the terms that tie cells and mixtures together, each cell shows who is most salient there. */
static void salient_images_show(void **state)
{
    const am_comix o = {.grid = SIDE, .alpha = 2, .rounds = 1};
    static float share[N * CELLS * N];
    double salient[N * CELLS], near[N * N], room[N * (CELLS + N)];
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        am_rng r = am_rng_at(seed, 5, 6);
        draw_images(seed, salient, near);
        am_comix_solve(&o, N, salient, near, &r, share, room);
        for (int at = 0; at < N * CELLS; at++) {
            int most = 0;
            for (int k = 1; k < N; k++)
                if (salient[k * CELLS + at % CELLS] > salient[most * CELLS + at % CELLS]) most = k;
            for (int k = 0; k < N; k++) assert_true(share[at * N + k] == (k == most));
        }
    }
}

/* One round of one mixture with nobody else is a Potts cut: against every choice of two images. */
static void first_round_is_a_cut(void **state)
{
    enum { TWO = 2, ALL = 1 << CELLS };
    const am_comix o = {.grid = SIDE, .alpha = 2, .beta = 0.4, .gamma = 0, .eta = 0, .rounds = 1};
    static float share[TWO * CELLS * TWO];
    double salient[N * CELLS], near[N * N], room[N * (CELLS + N)];
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        am_rng r = am_rng_at(seed, 5, 6);
        double best = INFINITY, cost[N * CELLS];
        draw_images(seed, salient, near);
        for (int i = 0; i < N * CELLS; i++) cost[i] = -salient[i];
        am_comix_solve(&o, TWO, salient, (double[]){1, 0, 0, 1}, &r, share, room);
        for (int code = 0; code < ALL; code++) {
            float all[TWO * CELLS * TWO];
            for (int at = 0; at < TWO * CELLS; at++)
                for (int k = 0; k < TWO; k++) all[at * TWO + k] = (code >> at % CELLS & 1) == k;
            best = fmin(best, am_comix_objective(&o, TWO, cost, all));
        }
        assert_float_equal(am_comix_objective(&o, TWO, cost, share), best, 1e-6);
    }
}

/* The whole search: weights of a cell add up to 1 and are whole or half; no image is left out, and hardly
 * ever are two mixtures the same. */
static void mixtures_differ(void **state)
{
    const am_comix o = {
        .grid = SIDE, .alpha = 2, .beta = 0.1, .gamma = 1, .tau = 0.83, .eta = 0.05, .rounds = 4};
    static float share[N * CELLS * N];
    double salient[N * CELLS], near[N * N], room[N * (CELLS + N)];
    int halves = 0, several = 0, same = 0;
    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++) {
        am_rng r = am_rng_at(seed, 7, 8);
        draw_images(seed, salient, near);
        am_comix_solve(&o, N, salient, near, &r, share, room);
        double used[N] = {0};
        for (int at = 0; at < N * CELLS; at++) {
            float sum = 0;
            for (int k = 0; k < N; k++) {
                float v = share[at * N + k];
                assert_true(v == 0 || v == 0.5f || v == 1);
                sum += v;
                used[k] += (double)v;
                halves += v == 0.5f;
            }
            assert_true(sum == 1);
        }
        for (int k = 0; k < N; k++) assert_true(used[k] > 0);
        for (int i = 0; i < N; i++) {
            int sources = 0;
            for (int k = 0; k < N; k++) {
                float here = 0;
                for (int cell = 0; cell < CELLS; cell++) here += share[(i * CELLS + cell) * N + k];
                sources += here > 0;
            }
            several += sources > 1;
            for (int j = 0; j < i; j++)
                same += !memcmp(share + i * CELLS * N, share + j * CELLS * N,
                                sizeof(float) * CELLS * N);
        }
    }
    assert_true(halves > 0 && several > 40 && same < 24);
}

/* Of the method: cells are read back from the pixels; labels are the images' shares of the cells. */
#define COMIXUP                                                                                    \
    M_NET M_BODY "[mix]\nmethod=comixup\ngrid=3\npart=4\nbeta=0.01\ntau=0.83\nclean_lambda=2\n"
static void labels_are_shares_of_cells(void **state)
{
    static const int grey[M_BATCH] = {2, 6, 18, 54, 162, 250}; /* and no mean of two is a third */
    static float mixed[M_BATCH * P * 3], q[M_BATCH * M_CLASSES];
    bench *b = m_open(COMIXUP);
    int several = 0;
    (void)state;
    for (int i = 0; i < M_BATCH * P; i++) b->pixel[3 * i] = (unsigned char)grey[i / P];
    for (long step = 0; step < 10; step++) {
        m_learn(b, step);
        m_mixed(b, mixed);
        b->t.be->ops->download(b->t.be, M_BATCH * M_CLASSES, am_here(&b->t.space, b->t.mixed_q), q);
        for (int i = 0; i < M_BATCH; i++) {
            double want[M_CLASSES] = {0}, own = 0, most = 0;
            int first = i < 4 ? 0 : 4, last = i < 4 ? 4 : M_BATCH;
            for (int p = 0; p < P; p++) {
                int found = 0;
                for (int a = first; a < last; a++)
                    for (int k = a; k < last; k++) {
                        if (fabs(mixed[(i * P + p) * 3] - (grey[a] + grey[k]) / 2.0) > 0.05)
                            continue;
                        found++;
                        want[a % M_CLASSES] += 0.5 / P;
                        want[k % M_CLASSES] += 0.5 / P;
                        own += 0.5 / P * ((a == i) + (k == i));
                    }
                assert_int_equal(found, 1);
                assert_float_equal(mixed[(i * P + p) * 3 + 1], 20 * (p / M_SIDE), 0.01);
                if (p % CELL)
                    assert_float_equal(mixed[(i * P + p) * 3], mixed[(i * P + p - 1) * 3], 0.01);
            }
            for (int c = 0; c < M_CLASSES; c++) {
                assert_float_equal(q[i * M_CLASSES + c], want[c], 1e-5);
                most = fmax(most, want[c]);
            }
            assert_float_equal(m_lam(b, i), own, 1e-5);
            several += most < 0.999;
        }
    }
    assert_true(several > 10);
    m_close(b);
}

static void clean_lambda_teaches(void **state)
{
    (void)state;
    m_clean_lambda(COMIXUP, 2);
}

T_SUITE(methods_cells, cmocka_unit_test(grid_pastes_cells), cmocka_unit_test(grid_asks_each_cell),
        cmocka_unit_test(grid_wants_a_classifier), cmocka_unit_test(objective),
        cmocka_unit_test(salient_images_show), cmocka_unit_test(first_round_is_a_cut),
        cmocka_unit_test(mixtures_differ), cmocka_unit_test(labels_are_shares_of_cells),
        cmocka_unit_test(clean_lambda_teaches));
