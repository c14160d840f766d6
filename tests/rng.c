/* rng.c: the generator is PCG32, its distributions have the moments they should, and streams of
 * different (seed, a, b) have nothing to do with each other.  Seeds are fixed, so a statistic
 * either passes always or never; the bounds are about five standard errors. */
#include "t.h"
#include "rng.h"

enum { N = 200000 };

/* Published output of PCG32 seeded with (42, 54). */
static void is_pcg32(void **state)
{
    (void)state;
    static const uint32_t want[] = {0xa15c02b7, 0x7b47f409, 0xba1d3330,
                                    0x83d2f293, 0xbfa4784b, 0xcbed606e};
    am_rng r = {0, 54 << 1 | 1};
    am_rng_u32(&r);
    r.state += 42;
    am_rng_u32(&r);
    for (int i = 0; i < 6; i++) assert_int_equal(am_rng_u32(&r), want[i]);
}

/* Runs that were made with a seed must come out the same in every later version. */
static void never_changes(void **state)
{
    (void)state;
    am_rng r = am_rng_at(1, 2, 3);
    assert_int_equal(am_rng_u32(&r), 0x25f43c31);
    assert_int_equal(am_rng_u32(&r), 0xc5489b32);
    assert_int_equal(am_rng_below(&r, 1000), 926);
    assert_true(fabs(am_rng_real(&r) - 0.59183360125969919) < 1e-15);
    assert_true(fabs(am_rng_normal(&r) - -0.91725833859180528) < 1e-12);
    assert_true(fabs(am_rng_beta(&r, 0.5, 2) - 0.1543041566901279) < 1e-12);
    int p[8];
    static const int want[8] = {5, 4, 0, 3, 6, 2, 1, 7};
    am_rng_permute(&r, 8, p);
    assert_memory_equal(p, want, sizeof p);
}

typedef struct moments { double mean, var, skew, least, most; } moments;

static moments measure(double (*draw)(am_rng *, double, double), double a, double b)
{
    static double x[N];
    am_rng r = am_rng_at(7, (uint64_t)(a * 1000), (uint64_t)(b * 1000));
    moments m = {0, 0, 0, INFINITY, -INFINITY};
    for (int i = 0; i < N; i++) {
        x[i] = draw(&r, a, b);
        m.mean += x[i] / N;
        m.least = fmin(m.least, x[i]);
        m.most = fmax(m.most, x[i]);
    }
    for (int i = 0; i < N; i++) {
        double d = x[i] - m.mean;
        m.var += d * d / N;
        m.skew += d * d * d / N;
    }
    m.skew /= pow(m.var, 1.5);
    return m;
}

static double between(am_rng *r, double a, double b) { return am_rng_between(r, a, b); }
static double gaussian(am_rng *r, double a, double b) { return a + b * am_rng_normal(r); }
static double gamma_of(am_rng *r, double a, double b) { return am_rng_gamma(r, a) * b; }
static double beta_of(am_rng *r, double a, double b) { return am_rng_beta(r, a, b); }

static void near(double got, double want, double error, const char *what)
{
    if (!(fabs(got - want) <= error)) fail_msg("%s is %g and should be %g", what, got, want);
}

static void moments_are_right(void **state)
{
    (void)state;
    moments m = measure(between, -1, 3);
    near(m.mean, 1, 5 * sqrt(16. / 12 / N), "mean of uniform");
    near(m.var, 16. / 12, 0.02, "variance of uniform");
    assert_true(m.least >= -1 && m.most < 3 && m.least < -0.999 && m.most > 2.999);
    m = measure(gaussian, 0, 1);
    near(m.mean, 0, 5 / sqrt(N), "mean of normal");
    near(m.var, 1, 5 * sqrt(2. / N), "variance of normal");
    near(m.skew, 0, 5 * sqrt(6. / N), "skewness of normal");
    assert_true(m.most > 4 && m.least < -4 && m.most < 7 && m.least > -7);
    static const double shape[] = {0.1, 0.5, 1, 2.5, 30};
    for (int i = 0; i < 5; i++) {
        m = measure(gamma_of, shape[i], 1);
        near(m.mean, shape[i], 5 * sqrt(shape[i] / N), "mean of gamma");
        near(m.var, shape[i], 5 * sqrt((2 * shape[i] * shape[i] + 6 * shape[i]) / N),
             "variance of gamma");
        near(m.skew, 2 / sqrt(shape[i]), 0.15 * (1 + 2 / sqrt(shape[i])), "skewness of gamma");
        assert_true(m.least >= 0);
    }
    static const double ab[][2] = {{0.2, 0.2}, {0.5, 3}, {1, 1}, {2, 2}, {8, 1}};
    for (int i = 0; i < 5; i++) {
        double a = ab[i][0], b = ab[i][1], var = a * b / ((a + b) * (a + b) * (a + b + 1));
        m = measure(beta_of, a, b);
        near(m.mean, a / (a + b), 5 * sqrt(var / N), "mean of beta");
        near(m.var, var, 5 * sqrt(var / N), "variance of beta");
        assert_true(m.least >= 0 && m.most <= 1);
    }
}

/* The distribution itself, not only its moments: Beta(2, 2) has P(x <= t) = 3t^2 - 2t^3. */
static void beta_has_its_shape(void **state)
{
    (void)state;
    am_rng r = am_rng_at(3, 1, 4);
    int bin[10] = {0};
    for (int i = 0; i < N; i++) {
        int k = (int)(am_rng_beta(&r, 2, 2) * 10);
        bin[k > 9 ? 9 : k]++;
    }
    double chi = 0;
    for (int i = 0; i < 10; i++) {
        double lo = i / 10., hi = (i + 1) / 10.;
        double want = N * ((3 * hi * hi - 2 * hi * hi * hi) - (3 * lo * lo - 2 * lo * lo * lo));
        chi += (bin[i] - want) * (bin[i] - want) / want;
    }
    assert_true(chi < 34);                              /* 9 degrees of freedom, p about 1e-4 */
}

/* For tiny a and b both gammas underflow at times, and Beta is all but the two points 0 and 1. */
static void beta_of_tiny_numbers_has_two_points(void **state)
{
    (void)state;
    am_rng r = am_rng_at(3, 1, 6);
    int ones = 0, inside = 0;
    for (int i = 0; i < 10000; i++) {
        double x = am_rng_beta(&r, 0.001, 0.003);
        ones += x > 0.99;
        inside += x > 0.01 && x < 0.99;
    }
    near(ones, 2500, 5 * sqrt(10000 * 0.25 * 0.75), "draws near 1");
    assert_true(inside < 200);                          /* about 9.2 ab / (a + b) of 10000: 69 */
}

static void below_has_no_favourites(void **state)
{
    (void)state;
    am_rng r = am_rng_at(5, 0, 0);
    int bin[7] = {0};
    for (int i = 0; i < 70000; i++) bin[am_rng_below(&r, 7)]++;
    double chi = 0;
    for (int i = 0; i < 7; i++) chi += (bin[i] - 10000.) * (bin[i] - 10000.) / 10000;
    assert_true(chi < 28);                              /* 6 degrees, p about 1e-4 */
    for (int i = 0; i < 100; i++) assert_int_equal(am_rng_below(&r, 1), 0);
    /* 3 * 2^30 of 2^32: x % n alone would favour the low third by 2 to 1 */
    int low = 0;
    for (int i = 0; i < 30000; i++) low += am_rng_below(&r, 3u << 30) < 1u << 30;
    near(low, 10000, 5 * sqrt(30000 * 2 / 9.), "draws in the low third");
}

static void permutations_are_equally_likely(void **state)
{
    (void)state;
    am_rng r = am_rng_at(11, 0, 0);
    int seen[256] = {0}, p[4], kinds = 0;
    double chi = 0;
    for (int i = 0; i < 24000; i++) {
        am_rng_permute(&r, 4, p);
        int met = 0;
        for (int k = 0; k < 4; k++) met |= 1 << p[k];
        assert_int_equal(met, 15);
        seen[p[0] | p[1] << 2 | p[2] << 4 | p[3] << 6]++;
    }
    for (int i = 0; i < 256; i++) {
        if (!seen[i]) continue;
        kinds++;
        chi += (seen[i] - 1000.) * (seen[i] - 1000.) / 1000;
    }
    assert_int_equal(kinds, 24);
    assert_true(chi < 58);                              /* 23 degrees, p about 1e-4 */
    am_rng_permute(&r, 0, p);
}

/* First draws over neighbouring streams are uniform and uncorrelated, as of one generator. */
static void streams_are_strangers(void **state)
{
    (void)state;
    enum { M = 40000 };
    static double x[3][M];
    for (int i = 0; i < M; i++) {
        am_rng by_seed = am_rng_at((uint64_t)i, 0, 0), by_a = am_rng_at(1, (uint64_t)i, 0);
        am_rng by_b = am_rng_at(1, 0, (uint64_t)i);
        x[0][i] = am_rng_real(&by_seed) - 0.5;
        x[1][i] = am_rng_real(&by_a) - 0.5;
        x[2][i] = am_rng_real(&by_b) - 0.5;
    }
    for (int k = 0; k < 3; k++) {
        double mean = 0, var = 0, next = 0, other = 0;
        for (int i = 0; i < M; i++) {
            mean += x[k][i] / M;
            var += x[k][i] * x[k][i] / M;
            if (i) next += x[k][i] * x[k][i - 1] / M;
            if (i) other += x[k][i] * x[(k + 1) % 3][i] / M;
        }
        near(mean, 0, 5 / sqrt(12. * M), "mean over streams");
        near(var, 1 / 12., 0.002, "variance over streams");
        near(next * 12, 0, 5 / sqrt(M), "correlation with the next stream");
        near(other * 12, 0, 5 / sqrt(M), "correlation of seed, a and b");
    }
    am_rng p = am_rng_at(1, 2, 3), q = am_rng_at(1, 3, 2), s = am_rng_at(2, 1, 3);
    uint32_t first = am_rng_u32(&p);
    assert_int_not_equal(first, am_rng_u32(&q));
    assert_int_not_equal(first, am_rng_u32(&s));
}

T_SUITE(rng, cmocka_unit_test(is_pcg32), cmocka_unit_test(never_changes),
        cmocka_unit_test(moments_are_right), cmocka_unit_test(beta_has_its_shape),
        cmocka_unit_test(beta_of_tiny_numbers_has_two_points),
        cmocka_unit_test(below_has_no_favourites),
        cmocka_unit_test(permutations_are_equally_likely), cmocka_unit_test(streams_are_strangers));
