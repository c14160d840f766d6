/* methods_masks.c: methods that choose between x_i and x_j pixel by pixel: pixels read back from the
 * mixture, labels held against what was really pasted, draws against the formulas in another form. */
#include "methods.h"
#include "saliency.h"

enum { P = M_SIDE * M_SIDE };
static const double pi = 3.14159265358979323846;

/* 1 where the mixture shows the partner, 0 where itself; checks that a pixel is one of the two. */
static int shows_partner(bench *b, const float *mixed, int i, int p)
{
    float own = 30.0f * (float)i + 10, other = 30.0f * (float)m_perm(b)[i] + 10,
          v = mixed[(i * P + p) * 3];
    assert_true(fabsf(v - own) < 0.01f || fabsf(v - other) < 0.01f);
    return m_perm(b)[i] != i && fabsf(v - other) < 0.01f;
}

static void label_follows_pixels(const char *section)
{
    static float mixed[M_BATCH * P * 3], q[M_BATCH * M_CLASSES];
    char text[2000];
    snprintf(text, sizeof text, M_NET M_BODY "%s", section);
    bench *b = m_open(text);
    int varied = 0;
    for (long step = 0; step < 30; step++) {
        m_learn(b, step);
        m_mixed(b, mixed);
        b->t.be->ops->download(b->t.be, M_BATCH * M_CLASSES, am_here(&b->t.space, b->t.mixed_q), q);
        for (int i = 0; i < M_BATCH; i++) {
            int pasted = 0, j = m_perm(b)[i];
            for (int p = 0; p < P; p++) pasted += shows_partner(b, mixed, i, p);
            if (j == i) continue;
            varied |= pasted > 0 && pasted < P;
            assert_float_equal(m_lam(b, i), 1 - (double)pasted / P, 1e-6);
            for (int k = 0; k < M_CLASSES; k++) {
                float want =
                    (k == i % M_CLASSES) * m_lam(b, i) + (k == j % M_CLASSES) * (1 - m_lam(b, i));
                assert_float_equal(q[i * M_CLASSES + k], want, 1e-6);
            }
        }
    }
    assert_true(varied);
    m_close(b);
}

static void labels(void **state)
{
    (void)state;
    label_follows_pixels("[mix]\nmethod=cutmix\n");
    label_follows_pixels("[mix]\nmethod=resizemix\n");
    label_follows_pixels("[mix]\nmethod=gridmixup\n");
    label_follows_pixels("[mix]\nmethod=saliencymix\n");
    label_follows_pixels("[mix]\nmethod=saliencymix\nsaliency=spectral\n");
}

/* Channels 1 and 2 tell which source pixel was taken. */
static void resize_picks_nearest(void **state)
{
    static float mixed[M_BATCH * P * 3];
    bench *b = m_open(M_NET M_BODY "[mix]\nmethod=resizemix\nalpha=0\nno_repeat=1\n");
    (void)state;
    for (long step = 0; step < 30; step++) {
        m_learn(b, step);
        m_mixed(b, mixed);
        am_rng r = m_chance(b, step);
        double tau = 0.1 + (0.8 - 0.1) * am_rng_real(&r);
        int half = (int)(tau * M_SIDE) / 2, cx = (int)am_rng_below(&r, M_SIDE),
            cy = (int)am_rng_below(&r, M_SIDE);
        int x1 = cx - half > 0 ? cx - half : 0, y1 = cy - half > 0 ? cy - half : 0;
        int x2 = cx + half < M_SIDE ? cx + half : M_SIDE,
            y2 = cy + half < M_SIDE ? cy + half : M_SIDE;
        for (int i = 0; i < M_BATCH; i++)
            for (int y = 0; y < M_SIDE; y++)
                for (int x = 0; x < M_SIDE; x++) {
                    int inside = x >= x1 && x < x2 && y >= y1 && y < y2;
                    assert_int_equal(shows_partner(b, mixed, i, y * M_SIDE + x), inside);
                    double sy = inside ? floor((double)(y - y1) * M_SIDE / (y2 - y1)) : y,
                           sx = inside ? floor((double)(x - x1) * M_SIDE / (x2 - x1)) : x;
                    assert_float_equal(mixed[(i * P + y * M_SIDE + x) * 3 + 1], 20 * sy, 0.01);
                    assert_float_equal(mixed[(i * P + y * M_SIDE + x) * 3 + 2], 20 * sx, 0.01);
                }
    }
    m_close(b);
}

/* FMix's grey image as the inverse transform of all H x W complex coefficients, Hermitian half and all. */
static void fmix_grey(am_rng *r, int paper, double *grey)
{
    static double re[M_SIDE][M_SIDE], im[M_SIDE][M_SIDE];
    const int s = M_SIDE;
    memset(re, 0, sizeof re);
    memset(im, 0, sizeof im);
    for (int kx = 0; kx < (paper ? s / 2 + 1 : 2); kx++)
        for (int ky = 0; ky < (paper ? s : s / 2 + 1); ky++) {
            double f = (double)ky / s, fy = ky > s / 2 ? f - 1 : f, fx = (double)kx / s;
            double a = pow(fmax(paper ? hypot(fx, fy) : f, 1.0 / s), -3),
                   c = paper ? a : pow(fmax(hypot(f, 1.0 / s), 1.0 / s), -3);
            re[ky][kx] = a * am_rng_normal(r);
            im[ky][kx] = c * am_rng_normal(r);
        }
    for (int y = 0; y < s; y++)
        for (int x = 0; x < s; x++) {
            double sum = 0;
            for (int ky = 0; ky < s; ky++)
                for (int kx = 0; kx < s; kx++) {
                    int half = kx <= s / 2, from_y = half ? ky : (s - ky) % s,
                        from_x = half ? kx : s - kx;
                    double u = re[from_y][from_x],
                           v = half ? im[from_y][from_x] : -im[from_y][from_x];
                    double angle = 2 * pi * (ky * y + kx * x) / s;
                    sum += u * cos(angle) - v * sin(angle);
                }
            grey[y * s + x] = sum;
        }
}

static void fmix_keeps_the_largest(void **state)
{
    static float mixed[M_BATCH * P * 3];
    (void)state;
    for (int paper = 0; paper < 2; paper++) {
        bench *b = m_open(paper ? M_NET M_BODY "[mix]\nmethod=fmix\nspectrum=paper\nno_repeat=1\n"
                                : M_NET M_BODY "[mix]\nmethod=fmix\nno_repeat=1\n");
        int ups = 0, downs = 0;
        for (long step = 0; step < 20; step++) {
            double grey[P];
            int perm[M_BATCH], kept = 0;
            m_learn(b, step);
            m_mixed(b, mixed);
            am_rng r = m_chance(b, step);
            double lambda = am_rng_beta(&r, 1, 1);
            assert_float_equal(m_lam(b, 0), lambda, 1e-6);
            am_rng_permute(&r, M_BATCH, perm);
            for (int fixed = 1; fixed;) {
                fixed = 0;
                for (int i = 0; i < M_BATCH; i++) fixed |= perm[i] == i;
                if (fixed) am_rng_permute(&r, M_BATCH, perm);
            }
            assert_memory_equal(perm, m_perm(b), sizeof perm);
            fmix_grey(&r, paper, grey);
            double least_kept = INFINITY, most_gone = -INFINITY;
            for (int p = 0; p < P; p++)
                if (shows_partner(b, mixed, 0, p))
                    most_gone = fmax(most_gone, grey[p]);
                else
                    least_kept = fmin(least_kept, grey[p]), kept++;
            assert_true(kept == (int)ceil(lambda * P) || kept == (int)floor(lambda * P));
            ups += kept == (int)ceil(lambda * P);
            downs += kept == (int)floor(lambda * P);
            assert_true(least_kept > most_gone - 1e-6 * fabs(most_gone));
        }
        assert_true(ups > 2 && downs > 2);
        m_close(b);
    }
}

static void fmix_reformulated(void **state)
{
    static float mixed[M_BATCH * P * 3], q[M_BATCH * M_CLASSES];
    bench *b = m_open(M_NET M_BODY "[mix]\nmethod=fmix\nalpha=1\nreformulate=1\nno_repeat=1\n");
    (void)state;
    for (long step = 0; step < 20; step++) {
        int kept = 0;
        m_learn(b, step);
        m_mixed(b, mixed);
        am_rng r = m_chance(b, step);
        double lambda = am_rng_beta(&r, 2, 1);
        for (int p = 0; p < P; p++) kept += !shows_partner(b, mixed, 0, p);
        assert_true(kept == (int)ceil(lambda * P) || kept == (int)floor(lambda * P));
        b->t.be->ops->download(b->t.be, M_BATCH * M_CLASSES, am_here(&b->t.space, b->t.mixed_q), q);
        for (int i = 0; i < M_BATCH * M_CLASSES; i++)
            assert_true(q[i] == (i % M_CLASSES == i / M_CLASSES % M_CLASSES));
    }
    m_close(b);
}

static void fmix_ramp(void **state)
{
    bench *b = m_open(M_NET M_BODY "[mix]\nmethod=fmix\nmax_soft=0.2\n");
    static float plane[P];
    (void)state;
    b->t.fixed_lambda = 0.5;
    m_learn(b, 0);
    b->t.be->ops->download(b->t.be, P, am_here(&b->t.space, b->t.mixed_mask), plane);
    int between = 0;
    for (int p = 0; p < P; p++) between += plane[p] > 0 && plane[p] < 1;
    assert_int_equal(between, 2 * (int)(0.2 * P) - 1); /* the ramp begins with a whole 1 */
    assert_float_equal(am_mask_kept(plane, P), 0.5, 1.0 / P);
    m_close(b);
}

/* The holes cell by cell. */
static void grid_of_holes(void **state)
{
    static float plane[P];
    bench *b = m_open(M_NET M_BODY "[mix]\nmethod=gridmixup\n");
    (void)state;
    for (long step = 0; step < 40; step++) {
        static float want[P];
        m_learn(b, step);
        b->t.be->ops->download(b->t.be, P, am_here(&b->t.space, b->t.mixed_mask), plane);
        am_rng r = m_chance(b, step);
        double lambda = am_rng_beta(&r, 1, 1);
        int n = 2 + (int)am_rng_below(&r, 5);
        double a = am_rng_between(&r, 0.5, 1), rho = am_rng_between(&r, 0.5, 2);
        int w = (int)sqrt(a * P / rho);
        w = w > M_SIDE ? M_SIDE : w;
        int h = (int)(w * rho);
        h = h > M_SIDE ? M_SIDE : h;
        int x0 = (int)am_rng_below(&r, (uint32_t)(M_SIDE - w + 1)),
            y0 = (int)am_rng_below(&r, (uint32_t)(M_SIDE - h + 1));
        int cell = (int)ceil((double)w / n), hole = (int)(cell * sqrt(1 - lambda));
        if (hole > cell - 1) hole = cell - 1;
        if (hole < 1) hole = 1;
        memset(want, 0, sizeof want);
        for (int cy = y0; cy < y0 + h; cy += cell)
            for (int cx = x0; cx < x0 + w; cx += cell)
                for (int y = cy; y < cy + hole && y < y0 + h; y++)
                    for (int x = cx; x < cx + hole && x < x0 + w; x++) want[y * M_SIDE + x] = 1;
        assert_memory_equal(want, plane, sizeof want);
    }
    m_close(b);
}

static void smooth_window(void **state)
{
    static float plane[M_BATCH * P];
    bench *b = m_open(M_NET M_BODY "[mix]\nmethod=smoothmix\n");
    (void)state;
    for (long step = 0; step < 20; step++) {
        m_learn(b, step);
        b->t.be->ops->download(b->t.be, M_BATCH * P, am_here(&b->t.space, b->t.mixed_mask), plane);
        am_rng r = m_chance(b, step);
        double cx = am_rng_below(&r, M_SIDE) - 0.5, cy = am_rng_below(&r, M_SIDE) - 0.5,
               s = 12 * am_rng_between(&r, 0.25, 0.5), sum = 0;
        for (int i = 0; i < M_BATCH * P; i++) { /* separable: a product of two windows */
            double gy = exp(-0.5 * pow((i / M_SIDE % M_SIDE - cy) / s, 2)),
                   gx = exp(-0.5 * pow((i % M_SIDE - cx) / s, 2));
            assert_float_equal(plane[i], gy * gx, 1e-6);
            sum += gy * gx;
        }
        assert_float_equal(m_lam(b, 3), 1 - sum / (M_BATCH * P), 1e-6);
    }
    b->t.fixed_lambda = 0.25;
    m_learn(b, 3);
    assert_float_equal(m_lam(b, 0), 0.25, 1e-3);
    m_close(b);
}

/* ---- saliency ---- */
static void picture(unsigned char *p, int h, int w, int k)
{
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int c = 0; c < 3; c++) {
                int d = (x - w / 2) * (x - w / 2) + (y - h / 3) * (y - h / 3);
                p[(y * w + x) * 3 + c] = (unsigned char)((x * 7 + y * 13 + c * 29 + k * 17 +
                                                          x * y / 3 * 5 + (d < 9) * 111) %
                                                         256);
            }
}

/* OpenCV's maps of the same pictures (StaticSaliencyFineGrained), as sums 31 s + v. */
static void fine_saliency_is_opencvs(void **state)
{
    static const struct {
        int h, w, k;
        uint32_t sum;
    } known[] = {{12, 10, 1, 2472598407u},
                 {32, 32, 2, 866513222u},
                 {64, 48, 3, 969532700u},
                 {130, 140, 4, 1287140661u}};
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        int h = known[i].h, w = known[i].w;
        unsigned char *p = malloc((size_t)(h * w * 3)), *map = malloc((size_t)(h * w));
        void *room = malloc(am_saliency_room(h, w));
        uint32_t sum = 0;
        picture(p, h, w, known[i].k);
        am_saliency_fine(p, h, w, 3, room, map);
        for (int k = 0; k < h * w; k++) sum = sum * 31 + map[k];
        assert_int_equal(sum, known[i].sum);
        free(p);
        free(map);
        free(room);
    }
}

/* numpy's Fourier transform of the same picture. */
static void spectral_saliency(void **state)
{
    static unsigned char p[64 * 64 * 3];
    static float map[64 * 64];
    static const struct {
        int y, x;
        float v;
    } known[] = {{0, 0, 0.713683f},   {5, 7, 0.423682f},   {20, 32, 0.567627f},
                 {33, 60, 0.398997f}, {63, 63, 0.493214f}, {40, 11, 0.436721f}};
    void *room = malloc(am_saliency_room(64, 64));
    (void)state;
    picture(p, 64, 64, 5);
    am_saliency_spectral(p, 64, 64, 3, room, map);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_float_equal(map[known[i].y * 64 + known[i].x], known[i].v, 2e-5);
    free(room);
}

/* The box lies around the most salient pixel of the first image's partner. */
static void box_around_the_peak(void **state)
{
    static float mixed[M_BATCH * P * 3];
    bench *b = m_open(M_NET M_BODY "[mix]\nmethod=saliencymix\nno_repeat=1\n");
    void *room = malloc(am_saliency_room(M_SIDE, M_SIDE));
    (void)state;
    for (int i = 0; i < M_BATCH; i++)
        for (int p = 0; p < P; p++)
            for (int c = 1; c < 3; c++)
                b->pixel[(i * P + p) * 3 + c] =
                    (unsigned char)((p * (11 + 2 * i) + c * 40 + p * p / 7) % 256);
    for (long step = 0; step < 30; step++) {
        unsigned char map[P];
        int peak = 0;
        m_learn(b, step);
        m_mixed(b, mixed);
        am_rng r = m_chance(b, step);
        int half = (int)(M_SIDE * sqrt(1 - am_rng_beta(&r, 1, 1))) / 2;
        am_saliency_fine(b->pixel + m_perm(b)[0] * P * 3, M_SIDE, M_SIDE, 3, room, map);
        for (int p = 1; p < P; p++) peak = map[p] > map[peak] ? p : peak;
        for (int p = 0; p < P; p++) {
            int dy = p / M_SIDE - peak / M_SIDE, dx = p % M_SIDE - peak % M_SIDE;
            assert_int_equal(shows_partner(b, mixed, 2, p),
                             dy >= -half && dy < half && dx >= -half && dx < half);
        }
    }
    free(room);
    m_close(b);
}

/* ---- attentivemix ---- */
static void attention_wants_weights(void **state)
{
    bench *b = calloc(1, sizeof *b);
    am_err e = {0};
    (void)state;
    assert_int_equal(m_try(b, M_NET M_BODY "[mix]\nmethod=attentivemix\n", &e), AM_EINPUT);
    assert_non_null(strstr(e.text, "weights="));
    m_close(b);
}

/* The kept cells are those with most attention in the file's network, in inference. */
static void attention_keeps_the_most(void **state)
{
    static float mixed[M_BATCH * P * 3], map[M_BATCH * 8 * 9];
    char path[300], text[2000];
    am_err e = {0};
    bench *a = m_open(M_NET M_BODY "[mix]\nmethod=none\n");
    (void)state;
    for (long step = 0; step < 3; step++) {
        m_learn(a, step);
        am_step_update(&a->t);
    }
    t_path(path, sizeof path, "attention.weights");
    t_ok(am_weights_save(&a->t, path, AM_SAVE_WEIGHTS, NULL, &e), &e);
    snprintf(text, sizeof text,
             M_NET M_BODY "[mix]\nmethod=attentivemix\nweights=%s\nno_repeat=1\n", path);
    bench *b = m_open(text);
    am_space space = {.be = &a->be};
    am_plan plan;
    am_pass pass;
    int layer = am_net_find(&a->t.net, "stage2");
    t_ok(am_pass_make(&pass, &plan, &a->t.net, (am_trip){.to = layer, .n = M_BATCH}, &a->t.student,
                      &space, &e),
         &e);
    t_ok(am_space_commit(&space, &e), &e);
    pass.given = am_here(&a->t.space, a->t.x);
    am_forward(&pass);
    a->be.ops->get(&a->be, am_batch_of(a->t.net.layer[layer].out, M_BATCH),
                   am_y(&pass, &a->t.net.layer[layer]), map);
    for (long step = 0; step < 10; step++) {
        m_learn(b, step);
        m_mixed(b, mixed);
        for (int i = 0; i < M_BATCH; i++) {
            int kept = 0;
            double least_kept = INFINITY, most_gone = -INFINITY;
            for (int cell = 0; cell < 9; cell++) {
                double attention = 0;
                int partner = shows_partner(b, mixed, i, cell / 3 * 4 * M_SIDE + cell % 3 * 4);
                for (int p = 0; p < 16; p++) /* a cell is of one image */
                    assert_int_equal(
                        shows_partner(b, mixed, i,
                                      (cell / 3 * 4 + p / 4) * M_SIDE + cell % 3 * 4 + p % 4),
                        partner);
                for (int c = 0; c < 8; c++) attention += map[(i * 8 + c) * 9 + cell];
                if (partner)
                    most_gone = fmax(most_gone, attention);
                else
                    least_kept = fmin(least_kept, attention), kept++;
            }
            assert_float_equal(m_lam(b, i), kept / 9.0, 1e-6);
            assert_true(least_kept >= most_gone);
        }
    }
    am_space_close(&space);
    m_close(a);
    m_close(b);
}

T_SUITE(methods_masks, cmocka_unit_test(labels), cmocka_unit_test(resize_picks_nearest),
        cmocka_unit_test(fmix_keeps_the_largest), cmocka_unit_test(fmix_ramp),
        cmocka_unit_test(fmix_reformulated), cmocka_unit_test(grid_of_holes),
        cmocka_unit_test(smooth_window), cmocka_unit_test(fine_saliency_is_opencvs),
        cmocka_unit_test(spectral_saliency), cmocka_unit_test(box_around_the_peak),
        cmocka_unit_test(attention_wants_weights), cmocka_unit_test(attention_keeps_the_most));
