/* cuda.c: the arithmetic that the cuda backend's kernels share with the host.  Kernels are tested by the
 * backends suites, on a GPU or, built with GPU=emulate, on this processor. */
#include "backends.h"
#include "backend/cuda/arith.h"

static void bf16_rounds_to_nearest_even(void **s)
{
    (void)s;
    const struct { float x, y; } cases[] = {{1, 1}, {-0.0f, -0.0f}, {1.00390625f, 1}, {1.01171875f, 1.015625f}, {1.004f, 1.0078125f},
                                            {3.3895314e38f, 3.3895314e38f}, {3.4e38f, INFINITY}, {-INFINITY, -INFINITY}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const float y = am_of_bf16(am_to_bf16(cases[i].x));
        if (memcmp(&y, &cases[i].y, sizeof y)) fail_msg("%.9g becomes %.9g, not %.9g", (double)cases[i].x, (double)y, (double)cases[i].y);
    }
    assert_true(isnan(am_of_bf16(am_to_bf16(NAN))));
}

/* Every fp16 number comes back from a float, and what lies between two goes to the nearer, ties to the even one. */
static void fp16_rounds_to_nearest_even(void **s)
{
    (void)s;
    for (unsigned bits = 0; bits < 0x7c00; bits++) {
        const float x = am_of_f16((am_f16){(uint16_t)bits}), next = bits < 0x7bff ? am_of_f16((am_f16){(uint16_t)(bits + 1)}) : 65536;
        const float middle = x + (next - x) / 2;
        assert_int_equal(am_to_f16(x).bits, bits);
        assert_int_equal(am_to_f16(-x).bits, bits | 0x8000);
        assert_int_equal(am_to_f16(middle).bits, bits % 2 ? bits + 1 : bits);
        assert_int_equal(am_to_f16(nextafterf(middle, 0)).bits, bits);
        assert_int_equal(am_to_f16(nextafterf(middle, INFINITY)).bits, bits + 1);
    }
    assert_true(am_of_f16((am_f16){1}) == 0x1p-24f && am_of_f16((am_f16){0x3c00}) == 1 && am_of_f16((am_f16){0xfbff}) == -65504);
    assert_true(isinf(am_of_f16(am_to_f16(1e6f))) && isnan(am_of_f16(am_to_f16(NAN))));
}

/* The losses' scale: set after the first update, halved where an update was held, doubled after many good ones. */
static void the_scale_of_losses(void **s)
{
    float scale[AM_SCALES] = {1, 0, -1};
    (void)s;
    am_arith_rescale(scale);
    assert_true(scale[AM_SCALE] == AM_SCALE_FIRST);
    scale[AM_SCALE_HELD] = 1;
    am_arith_rescale(scale);
    assert_true(scale[AM_SCALE] == AM_SCALE_FIRST / 2);
    for (int i = 0; i < 100; i++) am_arith_rescale(scale);
    assert_true(scale[AM_SCALE] == 1);
    scale[AM_SCALE_HELD] = 0;
    for (int i = 0; i < (int)AM_SCALE_PATIENCE; i++) assert_true(scale[AM_SCALE] == 1), am_arith_rescale(scale);
    assert_true(scale[AM_SCALE] == 2);
}

static void activations_agree(void **s)
{
    (void)s;
    for (int act = AM_LINEAR; act <= AM_LHTAN; act++)
        for (float x = -5.96875f; x < 6; x += 0.0625f) {
            const double y = t_act((am_act)act, (double)x);
            if (!(fabs((double)am_arith_act(act, x) - y) <= 2e-6 * fmax(1, fabs(y)))) fail_msg("activation %d of %g", act, (double)x);
            if (!(fabs((double)am_arith_slope(act, (float)y) - t_slope((am_act)act, (double)(float)y)) <= 2e-6)) fail_msg("slope %d at %g", act, (double)x);
        }
}

/* The slope at each pixel is the difference quotient of the value. */
static void mask_terms_and_slopes(void **s)
{
    (void)s;
    enum { N = 6 };
    double m[N] = {.03, .2, .41, .6, .77, .98};
    for (int kind = AM_MASK_NONE; kind <= AM_MASK_SPARSITY; kind++) {
        am_mask_term at = {0};
        for (int i = 0; i < N; i++) {
            double value[3];
            for (int side = -1; side <= 1; side++) {
                double sum = 0, squares = 0, apart = 0;
                m[i] += 1e-6 * side;
                for (int k = 0; k < N; k++) sum += m[k], squares += m[k] * m[k], apart += fabs(m[k] * (m[k] - 1));
                m[i] -= 1e-6 * side;
                const am_mask_term t = am_arith_mask_term(kind, .02, .7, N, sum, squares, apart);
                value[side + 1] = t.value;
                if (!side) at = t;
            }
            const double want = (value[2] - value[0]) / 2e-6 * N;
            if (!(fabs(am_arith_mask_slope(&at, m[i]) - want) < 1e-6)) fail_msg("kind %d: slope %g, not %g", kind, am_arith_mask_slope(&at, m[i]), want);
        }
    }
}

static void every_place_is_shared_out(void **s)
{
    (void)s;
    for (int scale = 1; scale <= 5; scale++)
        for (int size = 1; size <= 4; size++)
            for (int at = 0; at < scale * size; at++)
                for (int bilinear = 0; bilinear < 2; bilinear++) {
                    const am_reach r = am_arith_reach(at, scale, size, bilinear);
                    float all = 0;
                    for (int k = 0; k < size; k++) all += am_arith_share(r, k);
                    assert_true(r.low >= 0 && r.high < size && fabsf(all - 1) < 1e-6f);
                }
}

T_SUITE(cuda, cmocka_unit_test(bf16_rounds_to_nearest_even), cmocka_unit_test(fp16_rounds_to_nearest_even), cmocka_unit_test(the_scale_of_losses),
        cmocka_unit_test(activations_agree),
        cmocka_unit_test(mask_terms_and_slopes), cmocka_unit_test(every_place_is_shared_out));
