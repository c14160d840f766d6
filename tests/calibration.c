/* calibration.c: bins, the calibration error and the gap of predictions written down by hand. */
#include "t.h"
#include "calibration.h"

enum { CLASSES = 5, ROWS = 8 };
/* bins end at m / 15: 0.2 ends the third, 0.6 the ninth */
static const float prob[ROWS][CLASSES] = {
    {0.2f, 0.2f, 0.2f, 0.2f, 0.2f},
    {0.2f, 0.2f, 0.2f, 0.2f, 0.2f},
    {1, 0, 0, 0, 0},
    {0.05f, 0.9f, 0.05f, 0, 0},
    {0.05f, 0.9f, 0.05f, 0, 0},
    {0.4f, 0.6f, 0, 0, 0},
    {0.4f, 0.6000001f, 0, 0, 0},
    {0, 0, 0, 0, 1},
};
static const int label[ROWS] = {0, 1, 0, 1, 2, 0, 1, -1}; /* of equals the first counts */

static void is(double got, double want)
{
    if (!(fabs(got - want) < 1e-6)) fail_msg("%.9g, not %.9g", got, want);
}

static void bins_are_those_of_a_hand(void **state)
{
    static const am_bin want[AM_BINS] = {[2] = {2, 1, 0.4},
                                         [8] = {1, 0, 0.6},
                                         [9] = {1, 1, 0.6},
                                         [13] = {2, 1, 1.8},
                                         [14] = {1, 1, 1}};
    (void)state;
    am_reliability r = {0};
    am_reliability_add(&r, ROWS, CLASSES, prob[0], label);
    for (int m = 0; m < AM_BINS; m++) {
        assert_int_equal(r.bin[m].count, want[m].count);
        assert_int_equal(r.bin[m].right, want[m].right);
        is(r.bin[m].confidence, want[m].confidence);
    }
    is(am_reliability_error(&r), (0.6 + 0.6 + 0.4 + 0.8 + 0) / 7);
    is(am_reliability_gap(&r), (4.4 - 4) / 7);
}

static void batches_add_up(void **state)
{
    (void)state;
    am_reliability whole = {0}, parts = {0};
    am_reliability_add(&whole, ROWS, CLASSES, prob[0], label);
    am_reliability_add(&parts, 3, CLASSES, prob[0], label);
    am_reliability_add(&parts, 5, CLASSES, prob[3], label + 3);
    assert_memory_equal(&whole, &parts, sizeof whole);
}

static void the_signed_gap_has_a_sign(void **state)
{
    static const float sure[2][2] = {{0.9f, 0.1f}, {0.9f, 0.1f}};
    (void)state;
    am_reliability over = {0}, under = {0};
    am_reliability_add(&over, 2, 2, sure[0], (const int[]){0, 1});
    am_reliability_add(&under, 2, 2, sure[0], (const int[]){0, 0});
    is(am_reliability_gap(&over), 0.4);
    is(am_reliability_error(&over), 0.4);
    is(am_reliability_gap(&under), -0.1);
    is(am_reliability_error(&under), 0.1);
}

static void what_is_no_number_shows(void **state)
{
    (void)state;
    const float dead[2] = {NAN, NAN}, half[2] = {NAN, 0.7f};
    am_reliability r = {0};
    assert_true(isnan(am_reliability_error(&r)) && isnan(am_reliability_gap(&r)));
    am_reliability_add(&r, 1, 2, half, (const int[]){1}); /* predicted is what is a number */
    is(am_reliability_error(&r), 0.3);
    am_reliability_add(&r, 1, 2, dead, (const int[]){0});
    assert_int_equal(r.bin[0].right + r.bin[AM_BINS - 1].right, 0);
    assert_true(isnan(am_reliability_error(&r)) && isnan(am_reliability_gap(&r)));
}

T_SUITE(calibration, cmocka_unit_test(bins_are_those_of_a_hand), cmocka_unit_test(batches_add_up),
        cmocka_unit_test(the_signed_gap_has_a_sign), cmocka_unit_test(what_is_no_number_shows));
