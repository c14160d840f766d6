/* augment.c: what the network sees of an image, against pixels picked one by one. */
#include "t.h"
#include "data.h"

/* Every pixel has its own colour, so that a place can be told from a colour. */
static am_image numbered(int width, int height)
{
    am_image img;
    am_err e;
    t_ok(am_image_new(&img, width, height, &e), &e);
    for (int i = 0; i < width * height; i++) {
        img.pixel[3 * i] = (unsigned char)(1 + i % width);
        img.pixel[3 * i + 1] = (unsigned char)(1 + i / width);
        img.pixel[3 * i + 2] = 200;
    }
    return img;
}

static am_augment plain(int width, int height)
{
    return (am_augment){.width = width,
                        .height = height,
                        .scale_min = 0.08,
                        .scale_max = 1,
                        .ratio_min = 0.75,
                        .ratio_max = 4.0 / 3,
                        .filter = AM_BILINEAR,
                        .aspect = 1,
                        .saturation = 1,
                        .exposure = 1};
}

/* The pixel at (x, y) of the image padded without end: black, or to and fro between the borders. */
static const unsigned char *padded(const am_image *img, int x, int y, int reflect)
{
    static const unsigned char black[3];
    while (reflect && (x < 0 || x >= img->width)) x = x < 0 ? -x : 2 * (img->width - 1) - x;
    while (reflect && (y < 0 || y >= img->height)) y = y < 0 ? -y : 2 * (img->height - 1) - y;
    if (x < 0 || y < 0 || x >= img->width || y >= img->height) return black;
    return img->pixel + 3 * (y * img->width + x);
}

static int is_window(const am_image *img, const unsigned char *out, int x, int y, int reflect,
                     int flip)
{
    for (int r = 0; r < img->height; r++)
        for (int c = 0; c < img->width; c++) {
            int from = flip ? img->width - 1 - c : c;
            if (memcmp(out + 3 * (r * img->width + c), padded(img, x + from, y + r, reflect), 3))
                return 0;
        }
    return 1;
}

static void crops_of_padded_images(void **state)
{
    (void)state;
    enum { W = 7, H = 6, PAD = 2, DRAWS = 5000, PLACES = (2 * PAD + 1) * (2 * PAD + 1) * 2 };
    for (int reflect = 0; reflect < 2; reflect++) {
        am_image img = numbered(W, H);
        am_augment a = plain(W, H);
        a.flip = 1;
        a.pad_crop = PAD;
        a.pad_reflect = reflect;
        int seen[PLACES] = {0};
        for (int i = 0; i < DRAWS; i++) {
            unsigned char out[3 * W * H];
            am_rng rng = am_rng_at(7, 0, (uint64_t)i);
            am_err e;
            int found = 0;
            memset(out, 77, sizeof out);
            t_ok(am_augment_apply(&a, &img, &rng, out, &e), &e);
            for (int k = 0; k < PLACES && !found; k++) {
                found = is_window(&img, out, k / 2 % 5 - PAD, k / 10 - PAD, reflect, k % 2);
                seen[k] += found;
            }
            if (!found)
                fail_msg("draw %d (reflect %d) is no window of the padded image", i, reflect);
        }
        double chi = 0, mean = (double)DRAWS / PLACES; /* 49 degrees of freedom: 99.9% below 85.4 */
        for (int k = 0; k < PLACES; k++) chi += (seen[k] - mean) * (seen[k] - mean) / mean;
        assert_true(chi < 85.4);
        am_image_free(&img);
    }
}

/* What is drawn without an image is what is drawn with one, to the last number. */
static void windows_are_drawn_alike(void **state)
{
    (void)state;
    enum { W = 7, H = 6 };
    am_image img = numbered(W, H);
    for (int kind = 0; kind < 8; kind++)
        for (int i = 0; i < 100; i++) {
            am_augment a = plain(W, H);
            unsigned char out[3 * W * H];
            am_window at = {.image = 5};
            am_rng r[2] = {am_rng_at(3, 4, (uint64_t)i), am_rng_at(3, 4, (uint64_t)i)};
            a.flip = kind & 1;
            a.pad_crop = kind & 2 ? 2 : 0;
            a.pad_reflect = kind >> 2;
            assert_true(am_augment_moves(&a));
            t_ok(am_augment_apply(&a, &img, &r[0], out, NULL), &(am_err){0});
            am_augment_window(&a, &r[1], &at);
            assert_int_equal(at.image, 5);
            assert_true(is_window(&img, out, at.x, at.y, a.pad_reflect, at.flip));
            assert_true(am_rng_u32(&r[0]) == am_rng_u32(&r[1]));
        }
    am_image_free(&img);
    am_augment more[8];
    for (int k = 0; k < 8; k++) more[k] = plain(W, H);
    more[0].resized_crop = 1, more[1].resize = 8, more[2].angle = 7, more[3].aspect = 0.75;
    more[4].hue = 0.1, more[5].saturation = 1.5, more[6].exposure = 0.75, more[7].max_crop = 9;
    for (int k = 0; k < 8; k++) assert_false(am_augment_moves(&more[k]));
}

/* A pad wider than the image bounces to and fro, and never reads beyond. */
static void pads_small_images(void **state)
{
    (void)state;
    for (int size = 1; size <= 3; size++) {
        am_image img = numbered(size, size);
        am_augment a = plain(size, size);
        a.pad_crop = 5;
        for (a.pad_reflect = 0; a.pad_reflect < 2; a.pad_reflect++)
            for (int i = 0; i < 200; i++) {
                unsigned char out[27];
                am_rng rng = am_rng_at(1, 2, (uint64_t)i);
                int found = 0;
                t_ok(am_augment_apply(&a, &img, &rng, out, NULL), &(am_err){0});
                if (size == 1 && a.pad_reflect) found = !memcmp(out, img.pixel, 3);
                else
                    for (int k = 0; k < 121; k++)
                        found |= is_window(&img, out, k % 11 - 5, k / 11 - 5, a.pad_reflect, 0);
                assert_true(found);
            }
        am_image_free(&img);
    }
}

static void validation_draws_nothing(void **state)
{
    (void)state;
    am_image img = numbered(8, 8);
    am_augment a = plain(8, 8);
    unsigned char out[192];
    am_err e;
    a.flip = a.pad_crop = a.resized_crop = 1;
    a.hue = 0.5;
    a.angle = 30;
    a.min_crop = 4;
    a.max_crop = 16;
    t_ok(am_augment_apply(&a, &img, NULL, out, &e), &e);
    assert_memory_equal(out, img.pixel, sizeof out);
    am_image_free(&img);
}

/* Shorter side to 6, the other to int(6 * 20 / 10) = 12, then columns round((12 - 4) / 2) = 4 to
 * 7. */
static void resizes_then_takes_the_middle(void **state)
{
    (void)state;
    am_image img = numbered(20, 10), small;
    am_augment a = plain(4, 4);
    unsigned char out[48];
    am_err e;
    a.resize = 6;
    t_ok(am_image_new(&small, 12, 6, &e), &e);
    t_ok(am_image_resize(&img, 0, 0, 20, 10, AM_BILINEAR, &small, &e), &e);
    t_ok(am_augment_apply(&a, &img, NULL, out, &e), &e);
    for (int y = 0; y < 4; y++)
        assert_memory_equal(out + 12 * y, small.pixel + 3 * (12 * (y + 1) + 4), 12);
    am_image_free(&small);
    am_image_free(&img);
}

/* In training resize= is followed by a window at random, each place as likely. */
static void resizes_then_cuts_at_random(void **state)
{
    (void)state;
    am_image img = numbered(6, 6);
    am_augment a = plain(4, 4);
    int seen[9] = {0};
    a.resize = 6;
    for (int i = 0; i < 900; i++) {
        unsigned char out[48];
        am_rng rng = am_rng_at(3, 0, (uint64_t)i);
        am_err e;
        t_ok(am_augment_apply(&a, &img, &rng, out, &e), &e);
        int x = out[0] - 1, y = out[1] - 1;
        assert_in_range(x, 0, 2);
        assert_in_range(y, 0, 2);
        for (int r = 0; r < 4; r++)
            assert_memory_equal(out + 12 * r, img.pixel + 3 * (6 * (y + r) + x), 12);
        seen[3 * y + x]++;
    }
    for (int k = 0; k < 9; k++) assert_in_range(seen[k], 60, 140);
    am_image_free(&img);
}

/* Another size than the net's and nothing asked for: shorter side to the net's, then the middle. */
static void fits_images_of_another_size(void **state)
{
    (void)state;
    const int size[][2] = {{12, 6}, {6, 12}, {3, 5}, {5, 3}, {1, 9}, {6, 6}};
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        int w = size[i][0], h = size[i][1], side = w < h ? w : h;
        am_image img = numbered(w, h), big;
        am_augment a = plain(4, 4);
        unsigned char out[48], again[48];
        am_err e;
        t_ok(am_image_new(&big, 4 * w / side, 4 * h / side, &e), &e);
        t_ok(am_image_resize(&img, 0, 0, w, h, AM_BILINEAR, &big, &e), &e);
        t_ok(am_augment_apply(&a, &img, NULL, out, &e), &e);
        int x = (int)nearbyint((big.width - 4) / 2.0), y = (int)nearbyint((big.height - 4) / 2.0);
        for (int r = 0; r < 4; r++)
            assert_memory_equal(out + 12 * r, big.pixel + 3 * (big.width * (y + r) + x), 12);
        am_rng rng = am_rng_at(1, 1, 1);
        t_ok(am_augment_apply(&a, &img, &rng, again, &e), &e);
        assert_memory_equal(again, out, sizeof out); /* in training too */
        am_image_free(&img);
        am_image_free(&big);
    }
}

static void fits_a_net_that_is_not_square(void **state)
{
    (void)state;
    am_image img = numbered(9, 9);
    am_augment a = plain(12, 5);
    unsigned char out[3 * 12 * 5];
    am_err e;
    t_ok(am_augment_apply(&a, &img, NULL, out, &e), &e);
    for (int i = 0; i < 60; i++) assert_int_equal(out[3 * i + 2], 200); /* no black border */
    assert_in_range(out[1], 3, 5); /* 12x12, rows 4 to 8 */
    am_image_free(&img);
}

/* On a ramp the borders of a crop can be read off: areas fill the wanted range, shapes too. */
static void random_resized_crops(void **state)
{
    (void)state;
    enum { W = 200, H = 160, N = 2000 };
    am_image img = numbered(W, H);
    am_augment a = plain(16, 16);
    a.resized_crop = 1;
    a.scale_min = 0.1;
    a.scale_max = 0.5;
    double area_low = 9, area_high = 0, shape_low = 9, shape_high = 0, area_sum = 0;
    for (int i = 0; i < N; i++) {
        unsigned char out[3 * 16 * 16];
        am_rng rng = am_rng_at(5, 0, (uint64_t)i);
        am_err e;
        t_ok(am_augment_apply(&a, &img, &rng, out, &e), &e);
        double w = (out[3 * 12] - out[3 * 3]) / 9.0 * 16,
               h = (out[3 * 16 * 12 + 1] - out[3 * 16 * 3 + 1]) / 9.0 * 16;
        double area = w * h / (W * H), shape = w / h;
        area_low = fmin(area_low, area);
        area_high = fmax(area_high, area);
        shape_low = fmin(shape_low, shape);
        shape_high = fmax(shape_high, shape);
        area_sum += area;
    }
    assert_true(area_low > 0.09 && area_low < 0.11);
    assert_true(area_high > 0.48 && area_high < 0.53);
    assert_true(shape_low > 0.71 && shape_low < 0.79);
    assert_true(shape_high > 1.27 && shape_high < 1.40);
    assert_true(fabs(area_sum / N - 0.3) < 0.01);
    am_image_free(&img);
}

/* No box of the wanted shape fits a strip: the middle of it, of the nearest shape allowed, is
 * taken. */
static void resized_crops_of_strips(void **state)
{
    (void)state;
    am_image img = numbered(90, 6), middle;
    am_augment a = plain(8, 8);
    unsigned char out[192];
    am_err e;
    am_rng rng = am_rng_at(1, 0, 0);
    a.resized_crop = 1;
    a.scale_min = 0.9;
    t_ok(am_image_new(&middle, 8, 6, &e), &e); /* 6 * 4/3 = 8 wide, from column 41 */
    for (int y = 0; y < 6; y++) memcpy(middle.pixel + 24 * y, img.pixel + 3 * (90 * y + 41), 24);
    am_image_free(&img);
    img = numbered(90, 6);
    t_ok(am_augment_apply(&a, &img, &rng, out, &e), &e);
    am_image expected;
    t_ok(am_image_new(&expected, 8, 8, &e), &e);
    t_ok(am_image_resize(&middle, 0, 0, 8, 6, AM_BILINEAR, &expected, &e), &e);
    assert_memory_equal(out, expected.pixel, sizeof out);
    am_image_free(&img);
    am_image_free(&middle);
    am_image_free(&expected);
}

/* min_crop = max_crop = the image's size and the net's: no zoom, no shift, so nothing changes. */
static void darknets_crop_at_rest(void **state)
{
    (void)state;
    am_image img = numbered(8, 8);
    am_augment a = plain(8, 8);
    unsigned char out[192];
    am_err e;
    a.min_crop = a.max_crop = 8;
    for (int i = 0; i < 20; i++) {
        am_rng rng = am_rng_at(1, 0, (uint64_t)i);
        t_ok(am_augment_apply(&a, &img, &rng, out, &e), &e);
        assert_memory_equal(out, img.pixel, sizeof out);
    }
    am_image_free(&img);
}

/* Zoom 2 of 8x8: sample distance one half, shifts within +-4 output pixels: all four corners of
 * the 8x8 window lie inside the image, and a step along a row is half a colour. */
static void darknets_zoom(void **state)
{
    (void)state;
    am_image img = numbered(8, 8);
    am_augment a = plain(8, 8);
    double low = 99, high = 0, sum = 0;
    a.min_crop = a.max_crop = 16;
    for (int i = 0; i < 500; i++) {
        unsigned char out[192];
        am_rng rng = am_rng_at(2, 0, (uint64_t)i);
        am_err e;
        t_ok(am_augment_apply(&a, &img, &rng, out, &e), &e);
        assert_in_range(out[3 * 6] - out[0], 2, 4); /* 6 steps: 3, rounded */
        low = fmin(low, out[0]);
        high = fmax(high, out[0]);
        sum += out[0];
    }
    assert_true(low == 1 && high >= 4);
    assert_true(fabs(sum / 500 - 3) < 0.2); /* 1 + U(0, 4), rounded */
    am_image_free(&img);
}

/* Turned by t, rows change by sin t a column, and columns by -sin t a row. */
static void darknets_angle(void **state)
{
    (void)state;
    enum { SIZE = 101, FROM = 20, TO = 80 };
    am_image img = numbered(SIZE, SIZE);
    am_augment a = plain(SIZE, SIZE);
    a.angle = 10;
    double low = 9, high = -9;
    for (int i = 0; i < 100; i++) {
        static unsigned char out[SIZE][SIZE][3];
        am_rng rng = am_rng_at(4, 0, (uint64_t)i);
        am_err e;
        t_ok(am_augment_apply(&a, &img, &rng, out[0][0], &e), &e);
        double across = (out[50][TO][1] - out[50][FROM][1]) / (double)(TO - FROM);
        double down = (out[TO][50][0] - out[FROM][50][0]) / (double)(TO - FROM);
        assert_true(fabs(across + down) < 0.04);
        low = fmin(low, across);
        high = fmax(high, across);
    }
    assert_true(fabs(high - sin(10 * 3.14159265358979 / 180)) < 0.03);
    assert_true(fabs(low + sin(10 * 3.14159265358979 / 180)) < 0.03);
    am_image_free(&img);
}

static void jitters_colours(void **state)
{
    (void)state;
    am_image img;
    am_err e;
    t_ok(am_image_new(&img, 4, 1, &e), &e);
    const unsigned char colours[12] = {200, 100, 50, 90, 90, 90, 0, 0, 0, 10, 250, 130};
    memcpy(img.pixel, colours, 12);
    am_augment a = plain(4, 1);
    double low = 9, high = 0;
    a.exposure = 1.5;
    for (int i = 0; i < 400; i++) { /* value only: channels keep their proportion */
        unsigned char out[12];
        am_rng rng = am_rng_at(6, 0, (uint64_t)i);
        t_ok(am_augment_apply(&a, &img, &rng, out, &e), &e);
        double f = out[0] / 200.0;
        if (out[0] < 255) assert_true(fabs(out[1] - 100 * f) < 1 && fabs(out[2] - 50 * f) < 1);
        if (out[0] < 255)
            assert_true(fabs(out[3] - 90 * f) < 1 && out[3] == out[4] && out[4] == out[5]);
        assert_true(!out[6] && !out[7] && !out[8]);
        low = fmin(low, out[3] / 90.0);
        high = fmax(high, out[3] / 90.0);
    }
    assert_true(low > 0.65 && low < 0.68 && high > 1.48 && high < 1.51);
    a.exposure = 1;
    a.saturation = 2;
    for (int i = 0; i < 400; i++) { /* saturation only: the largest channel and grey stay */
        unsigned char out[12];
        am_rng rng = am_rng_at(6, 1, (uint64_t)i);
        t_ok(am_augment_apply(&a, &img, &rng, out, &e), &e);
        assert_int_equal(out[0], 200);
        assert_memory_equal(out + 3, colours + 3, 6);
        assert_in_range(200 - out[2], 74, 200); /* 150 halved or, at most, clipped */
    }
    a.saturation = 1;
    a.hue = 0.5;
    for (int i = 0; i < 400; i++) { /* hue only: largest and smallest stay */
        unsigned char out[12];
        am_rng rng = am_rng_at(6, 2, (uint64_t)i);
        t_ok(am_augment_apply(&a, &img, &rng, out, &e), &e);
        int most = out[0] > out[1] ? out[0] : out[1], least = out[0] < out[1] ? out[0] : out[1];
        assert_int_equal(most > out[2] ? most : out[2], 200);
        assert_int_equal(least < out[2] ? least : out[2], 50);
        assert_memory_equal(out + 3, colours + 3, 6);
    }
    am_image_free(&img);
}

T_SUITE(augment, cmocka_unit_test(crops_of_padded_images),
        cmocka_unit_test(windows_are_drawn_alike), cmocka_unit_test(pads_small_images),
        cmocka_unit_test(validation_draws_nothing), cmocka_unit_test(resizes_then_takes_the_middle),
        cmocka_unit_test(resizes_then_cuts_at_random),
        cmocka_unit_test(fits_images_of_another_size),
        cmocka_unit_test(fits_a_net_that_is_not_square), cmocka_unit_test(random_resized_crops),
        cmocka_unit_test(resized_crops_of_strips), cmocka_unit_test(darknets_crop_at_rest),
        cmocka_unit_test(darknets_zoom), cmocka_unit_test(darknets_angle),
        cmocka_unit_test(jitters_colours));
