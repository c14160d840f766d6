/* methods_puzzle.c: the graph cut, and PuzzleMix's mask, transport and saliency. */
#include "methods.h"
#include "graphcut.h"
#include "puzzle.h"

enum { P = M_SIDE * M_SIDE };

/* After the swaps no choice between two labels, over all sites that have either, is better: tried one by one. */
static void no_swap_helps(int side, int labels, int square, long trial, int *global)
{
    double unary[9 * 3], right[9], down[9], distance[9];
    int label[9] = {0}, sites = side * side, other[9];
    am_rng r = am_rng_at(7, (uint64_t)trial, (uint64_t)(side * 10 + labels));
    for (int i = 0; i < sites * labels; i++) unary[i] = am_rng_between(&r, -1, 1);
    for (int i = 0; i < sites; i++) right[i] = am_rng_real(&r), down[i] = am_rng_real(&r);
    for (int a = 0; a < labels; a++)
        for (int b = 0; b < labels; b++)
            distance[a * labels + b] = square ? (a - b) * (a - b) / 4.0 : a != b;
    am_cut c = {side, side, labels, unary, right, down, distance};
    double found = am_cut_swap(&c, label), best = INFINITY;
    assert_float_equal(found, am_cut_energy(&c, label), 1e-9);
    int all = 1;
    for (int i = 0; i < sites; i++) all *= labels;
    for (int code = 0; code < all; code++) {
        int left = code, used = 0, differs = 0;
        for (int i = 0; i < sites; i++, left /= labels) other[i] = left % labels;
        for (int i = 0; i < sites; i++)
            if (other[i] != label[i]) used |= 1 << other[i] | 1 << label[i], differs = 1;
        double e = am_cut_energy(&c, other);
        best = fmin(best, e);
        if (differs && used & (used - 1) && !((used & (used - 1)) & ((used & (used - 1)) - 1)) &&
            e < found - 1e-9)
            fail_msg("%dx%d, %d labels, trial %ld: %g, but a swap reaches %g", side, side, labels,
                     trial, found, e);
    }
    *global += found < best + 1e-9;
}

static void cuts(void **state)
{
    (void)state;
    for (int side = 2; side <= 3; side++)
        for (int labels = 2; labels <= 3; labels++) {
            int global = 0, trials = 40;
            for (int k = 0; k < trials; k++) no_swap_helps(side, labels, k % 2, k, &global);
            assert_true(global >=
                        (labels == 2
                             ? trials
                             : trials * 3 / 4)); /* two labels: one cut is the whole answer */
        }
}

/* ---- the mask ---- */
enum { SIDE = 8, C = 2 };
typedef struct pictures {
    float x[2][C * SIDE * SIDE], g[2][SIDE * SIDE];
} pictures;

static void make_pictures(pictures *p, uint64_t seed)
{
    am_rng r = am_rng_at(seed, 3, 4);
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < C * SIDE * SIDE; i++) p->x[k][i] = (float)am_rng_normal(&r);
        for (int i = 0; i < SIDE * SIDE; i++)
            p->g[k][i] = (float)am_rng_real(&r) * (i % 7 == k ? 5 : 1);
    }
}

/* What a hard 2 x 2 mask costs, from the picture it makes: saliency lost, the prior, torn borders, and
 * the steps in colour across borders between what is really shown. */
static double picture_cost(const pictures *p, const am_puzzle *o, double lambda, int code)
{
    double cost = 0, b = o->beta / (16 * 2);
    int cell = 2, size = SIDE / 2;
    for (int i = 0; i < 4; i++) {
        int shown = code >> i & 1; /* 1: x_i, which is picture 0 */
        double lost = 0, all = 0;
        for (int k = 0; k < SIDE * SIDE; k++) {
            int block = k / SIDE / size * 2 + k % SIDE / size;
            all += p->g[shown][k];
            if (block == i) lost += p->g[shown][k];
        }
        cost += lost / all - o->eta / 4 * log((shown ? lambda : 1 - lambda) + 1e-8);
    }
    for (int i = 0; i < 4; i++)
        for (int down = 0; down < 2; down++) {
            if (down ? i > 1 : i % 2) continue;
            int other = down ? i + 2 : i + 1, u = code >> i & 1, v = code >> other & 1;
            double step = 0;
            for (int c = 0; c < C; c++)
                for (int k = 0; k < size / cell; k++) {
                    double mean[2] = {0, 0};
                    for (int way = 0; way < 2; way++)
                        for (int q = 0; q < cell * cell; q++) {
                            int across = size - cell + way * cell + q / cell,
                                along = (down ? i % 2 : i / 2) * size + k * cell + q % cell;
                            int y = down ? across : along, x = down ? along : across;
                            mean[way] += (p->x[(way ? v : u) ? 0 : 1][(c * SIDE + y) * SIDE + x] *
                                              o->std[c] +
                                          o->mean[c]) /
                                         (cell * cell);
                        }
                    step += fabs(mean[0] - mean[1]) / (C * size / cell);
                }
            cost += b * (u != v) + b * o->gamma * step;
        }
    return cost;
}

static void mask_is_the_cheapest_picture(void **state)
{
    static const double mean[C] = {0.4, 0.6}, std[C] = {0.3, 0.2};
    int kinds = 0;
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        pictures p;
        float mask[4];
        make_pictures(&p, seed);
        am_puzzle o = {SIDE, C,   2,   2,    2,  2, 0, 1.2 + (double)(seed % 3) * 4,
                       0.5,  0.2, 0.8, mean, std};
        double lambda = 0.2 + 0.01 * (double)seed, best = INFINITY;
        am_puzzle_pair pair = {p.x[0], p.x[1], p.g[0], p.g[1], lambda};
        int at = 0, got = 0;
        am_puzzle_mask(&o, &pair, mask);
        for (int code = 0; code < 16; code++) {
            double cost = picture_cost(&p, &o, lambda, code);
            if (cost < best) best = cost, at = code;
        }
        for (int i = 0; i < 4; i++) got |= (mask[i] == 1) << i;
        assert_float_equal(picture_cost(&p, &o, lambda, got), best, 1e-6);
        kinds |= 1 << at;
    }
    assert_true(kinds & ~(1 | 1 << 15));
}

/* By hand: block 3 holds most and moves to the one place that shows; the others stay or are left over. */
static void transport(void **state)
{
    float one[4] = {1, 0, 0, 0}, all[4] = {1, 1, 1, 1};
    double share[4] = {0.1, 0.1, 0.1, 0.7};
    int source[4], moved[4] = {3, 1, 2, -1}, still[4] = {0, 1, 2, 3};
    (void)state;
    am_puzzle_plan(2, 0.1, one, share, source);
    assert_memory_equal(source, moved, sizeof moved);
    am_puzzle_plan(2, 0.1, all, share, source);
    assert_memory_equal(source, still, sizeof still);
}

/* Transported or not, a block of the mixture is a block of one image where the mask is hard. */
static void labels_follow_blocks(void **state)
{
    static float mixed[M_BATCH * P * 3];
    bench *b = m_open(M_NET M_BODY
                      "[mix]\nmethod=puzzlemix\nlabels=2\ntransport=0\nt_size=-1\nno_repeat=1\n");
    int varied = 0;
    (void)state;
    for (long step = 0; step < 12; step++) {
        m_learn(b, step);
        m_mixed(b, mixed);
        for (int i = 0; i < M_BATCH; i++) {
            int kept = 0;
            for (int p = 0; p < P; p++) {
                float v = mixed[(i * P + p) * 3], own = 30.0f * (float)i + 10,
                      other = 30.0f * (float)m_perm(b)[i] + 10;
                assert_true(fabsf(v - own) < 0.01f || fabsf(v - other) < 0.01f);
                kept += fabsf(v - own) < 0.01f;
            }
            assert_float_equal(m_lam(b, i), (double)kept / P, 1e-6);
            varied |= kept > 0 && kept < P;
        }
    }
    assert_true(varied);
    m_close(b);
}

/* The saliency pass's gradient at the pixels, with running statistics, against the loss's change. */
static void rest_gradient(void **state)
{
    bench *b = m_open(M_NET M_BODY "[mix]\nmethod=puzzlemix\n");
    am_trainer *t = &b->t;
    am_space space = {.be = t->be};
    am_plan plan;
    am_pass pass;
    am_err e = {0};
    static float x[M_BATCH * P * 3], g[M_BATCH * P * 3], d[M_BATCH * P * 3], at[M_BATCH * P * 3];
    am_shape shape = am_batch_of(t->net.input, M_BATCH);
    size_t n = am_count(shape);
    double along = 0, change = 0, size = 0, length = 0;
    (void)state;
    m_learn(b, 0); /* statistics other than 0 and 1 */
    am_place in = am_space_push(&space, t->be->ops->room(t->be, shape)),
             loss = am_space_push(&space, 1);
    t_ok(am_pass_make(&pass, &plan, &t->net,
                      (am_trip){.to = t->clean_head, .n = M_BATCH, .flags = AM_GRAD_FROM},
                      &t->student, &space, &e),
         &e);
    t_ok(am_space_commit(&space, &e), &e);
    pass.given = am_here(&space, in);
    pass.q = am_here(&t->space, t->q);
    pass.scale = 1;
    t->be->ops->get(t->be, shape, am_here(&t->space, t->x), x);
    am_rng r = am_rng_at(1, 2, 3);
    for (int side = -3; side <= 3; side++) {
        float v;
        if (side == -3) {
            t->be->ops->put(t->be, shape, x, pass.given);
            am_forward(&pass);
            am_backward(&pass);
            t->be->ops->get(t->be, shape, am_dy(&pass, &t->net.layer[0]), g);
            for (size_t i = 0; i < n; i++) size += (double)g[i] * g[i];
            for (size_t i = 0; i < n; i++)
                d[i] = (float)(am_rng_normal(&r) / sqrt((double)n) + g[i] / sqrt(size));
            for (size_t i = 0; i < n; i++) length += (double)d[i] * d[i];
            for (size_t i = 0; i < n; i++) along += (double)g[i] * (d[i] /= (float)sqrt(length));
        }
        if (!side || abs(side) == 3) continue;
        for (size_t i = 0; i < n; i++) at[i] = x[i] + (float)side * d[i];
        t->be->ops->put(t->be, shape, at, pass.given);
        am_forward(&pass);
        t->be->ops->mean(t->be, M_BATCH, 1, am_loss(&pass), (am_grad){am_here(&space, loss), 0});
        t->be->ops->download(t->be, 1, am_here(&space, loss), &v);
        change += v * (side == 2 ? -1 : side == 1 ? 8 : side == -1 ? -8 : 1);
    }
    assert_float_equal(change / 12, along, 1e-3 * fabs(along));
    am_space_close(&space);
    m_close(b);
}

/* clean_lambda: the saliency pass teaches 2 clean_lambda / classes of the clean lesson. */
static void clean_lambda_teaches(void **state)
{
    (void)state;
    m_clean_lambda(M_NET M_BODY "[mix]\nmethod=puzzlemix\nclean_lambda=3\n", 3);
}

T_SUITE(methods_puzzle, cmocka_unit_test(cuts), cmocka_unit_test(mask_is_the_cheapest_picture),
        cmocka_unit_test(transport), cmocka_unit_test(labels_follow_blocks),
        cmocka_unit_test(rest_gradient), cmocka_unit_test(clean_lambda_teaches));
