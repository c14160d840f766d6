/* Drawing, the chart of a run, the sheet of mixes. */
#include "t.h"
#include "picture.h"

static const am_colour WHITE = {255, 255, 255}, BLACK = {0, 0, 0}, RED = {220, 10, 20},
                       BLUE = {10, 20, 220};

static am_image paper(int w, int h)
{
    am_err e = {0};
    am_image img;
    t_ok(am_image_new(&img, w, h, &e), &e);
    am_draw_fill(&img, 0, 0, w, h, WHITE);
    return img;
}

static am_colour at(const am_image *img, int x, int y)
{
    const unsigned char *p = img->pixel + 3 * (y * img->width + x);
    return (am_colour){p[0], p[1], p[2]};
}

static int same(am_colour a, am_colour b) { return a.r == b.r && a.g == b.g && a.b == b.b; }

static double ink(const am_image *img)                  /* pixels' worth of black on white */
{
    double sum = 0;
    for (int i = 0; i < img->width * img->height; i++) sum += (255 - img->pixel[3 * i]) / 255.;
    return sum;
}

static void fills_are_clipped(void **state)
{
    (void)state;
    am_image img = paper(8, 6);
    am_draw_fill(&img, -3, 4, 5, 100, BLACK);
    assert_float_equal(ink(&img), 2 * 2, 0);
    am_draw_fill(&img, 7, -2147483647, 2147483647, 2147483647, BLACK);
    am_draw_fill(&img, 100, 100, 5, 5, BLACK);
    am_draw_fill(&img, 2, 2, -4, 3, BLACK);
    assert_float_equal(ink(&img), 4, 0);
    am_image_free(&img);
}

static void lines_cover_length_times_width(void **state)
{
    (void)state;
    am_image img = paper(100, 100);
    am_draw_line(&img, 10, 20, 60, 20, 2, BLACK);       /* on whole pixels: rows 19 and 20, crisp */
    for (int y = 17; y < 23; y++)
        assert_true(same(at(&img, 30, y), y == 19 || y == 20 ? BLACK : WHITE));
    am_draw_fill(&img, 0, 0, 100, 100, WHITE);
    for (double turn = 0; turn < 6.3; turn += .7) {
        am_draw_fill(&img, 0, 0, 100, 100, WHITE);
        am_draw_line(&img, 50, 50, 50 + 40 * cos(turn), 50 + 40 * sin(turn), 3, BLACK);
        assert_float_equal(ink(&img), 40 * 3 + 3.14159 * 1.5 * 1.5, 3);
    }
    am_draw_fill(&img, 0, 0, 100, 100, WHITE);
    am_draw_line(&img, -1e9, 50, 1e9, 50, 2, BLACK);
    assert_float_equal(ink(&img), 200, 1);
    am_draw_line(&img, NAN, 1, 2, 3, 2, BLACK);
    am_draw_line(&img, 0, 0, INFINITY, 3, 2, BLACK);
    am_draw_line(&img, 300, 300, 400, 500, 2, BLACK);
    assert_float_equal(ink(&img), 200, 1);
    am_image_free(&img);
}

/* Text fills the box that width and height promise; other bytes and places do no harm. */
static void text_is_as_wide_as_promised(void **state)
{
    (void)state;
    static const char *const text[] = {"Hj", "lambda 0.25", "top-1: 84.31 %", "Mw"};
    for (int scale = 1; scale <= 3; scale++)
        for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
            am_image img = paper(500, 60);
            int left = 500, right = -1, top = 60, bottom = -1;
            am_draw_text(&img, 7, 5, scale, BLACK, text[i]);
            for (int y = 0; y < 60; y++)
                for (int x = 0; x < 500; x++)
                    if (at(&img, x, y).r < 128) {
                        left = x < left ? x : left;
                        right = x > right ? x : right;
                        top = y < top ? y : top;
                        bottom = y;
                    }
            assert_int_equal(left, 7);
            assert_int_equal(right - left + 1, am_text_width(text[i], scale));
            assert_in_range(top, 5, 5 + scale);
            assert_true(bottom < 5 + am_text_height(scale));
            am_image_free(&img);
        }
    assert_int_equal(am_text_width("", 2), 0);
    assert_int_equal(am_text_width("111", 1), am_text_width("888", 1));
    assert_int_equal(am_text_width("\xce\xbb", 1), am_text_width("?", 1));
    am_image img = paper(20, 10);
    char every[256];
    for (int i = 0; i < 255; i++) every[i] = (char)(i + 1);
    every[255] = 0;
    am_draw_text(&img, -300, -3, 3, BLACK, every);
    am_draw_text(&img, 15, 5, 2, BLACK, every);
    am_image_free(&img);
}

/* No two printable characters look alike but those that share a shape on purpose. */
static void letters_differ(void **state)
{
    (void)state;
    am_image shape[95];
    for (int c = 0; c < 95; c++) {
        char text[2] = {(char)(c + 32), 0};
        shape[c] = paper(8, 10);
        am_draw_text(&shape[c], 0, 0, 1, BLACK, text);
        for (int d = 0; d < c; d++)
            if (!memcmp(shape[c].pixel, shape[d].pixel, 240) && !(d + 32 == '0' && c + 32 == 'O'))
                fail_msg("%c looks like %c", c + 32, d + 32);
    }
    for (int c = 0; c < 95; c++) am_image_free(&shape[c]);
}

static double lightness(am_colour c)                    /* L* of CIELAB */
{
    double v[3] = {c.r / 255., c.g / 255., c.b / 255.}, y = 0;
    static const double weight[3] = {.2126, .7152, .0722};
    for (int k = 0; k < 3; k++)
        y += weight[k] * (v[k] <= .04045 ? v[k] / 12.92 : pow((v[k] + .055) / 1.055, 2.4));
    return 116 * cbrt(y) - 16;
}

static void heat_rises_evenly(void **state)
{
    (void)state;
    double first = lightness(am_heat(0)), last = lightness(am_heat(1));
    assert_true(first < 25 && last > 88);
    for (int i = 0; i <= 100; i++)
        assert_float_equal(lightness(am_heat(i / 100.)), first + (last - first) * i / 100, 4);
    for (int i = 0; i < 100; i++)
        assert_true(lightness(am_heat(i / 100.)) < lightness(am_heat((i + 1) / 100.)));
    assert_true(same(am_heat(-3), am_heat(0)) && same(am_heat(7), am_heat(1))
                && same(am_heat(NAN), am_heat(0)));
}

/* ---- pages, read back ---- */

static am_image read_back(const char *path)
{
    am_err e = {0};
    am_image img = {0};
    t_ok(am_image_read(&img, path, &e), &e);
    return img;
}

/* In how many columns of the page from x0 to x1 does this colour stand? */
static int columns_with(const am_image *img, am_colour c, int x0, int x1)
{
    int count = 0;
    for (int x = x0; x < x1; x++) {
        int found = 0;
        for (int y = 0; y < img->height && !found; y++) found = same(at(img, x, y), c);
        count += found;
    }
    return count;
}

static am_image chart_of(const am_axes *panels, int count)
{
    char path[300];
    am_err e = {0};
    t_ok(am_chart_write(t_path(path, sizeof path, "chart.png"), "a run", panels, count, &e), &e);
    return read_back(path);
}

static void gaps_stay_empty(void **state)
{
    (void)state;
    double x[100], y[100];
    for (int i = 0; i < 100; i++) {
        x[i] = i;
        y[i] = i >= 40 && i < 60 ? NAN : 2;
    }
    am_series s = {"loss", RED, x, y, 100, 0};
    am_axes p = {.title = "Loss", .series = &s, .count = 1};
    am_image img = chart_of(&p, 1);
    int with_gap = columns_with(&img, RED, 0, img.width);
    for (int i = 40; i < 60; i++) y[i] = 2;
    am_image whole = chart_of(&p, 1);
    int without = columns_with(&whole, RED, 0, img.width);
    assert_true(with_gap > 500 && without > with_gap);
    assert_float_equal((without - with_gap) / (without * 20 / 100.), 1, .15);
    s.dashed = 1;
    am_image dashes = chart_of(&p, 1);
    assert_in_range(columns_with(&dashes, RED, 0, img.width), without * 4 / 10, without * 8 / 10);
    am_image_free(&img);
    am_image_free(&whole);
    am_image_free(&dashes);
}

/* What goes off the axis is left out and does not run into the legend or other panels. */
static void curves_stay_in_their_plot(void **state)
{
    (void)state;
    double x[] = {0, 1, 2}, y[] = {0, 1000, 0};
    am_series s = {"", RED, x, y, 3, 0};
    am_axes p[] = {{.title = "upper", .series = NULL, .count = 0},
                   {.title = "lower", .series = &s, .count = 1, .y_min = 0, .y_max = 10}};
    am_image img = chart_of(p, 2);
    for (int row = 0; row < img.height / 2; row++)
        for (int k = 0; k < img.width; k++) assert_false(same(at(&img, k, row), RED));
    am_image_free(&img);
}

static void any_numbers_make_a_chart(void **state)
{
    (void)state;
    static const double odd[] = {0,       -0.,  1,    -1,  1e-300,    -1e-300,  1e300,     -1e300,
                                 1.7e308, 1e-9, 3.14, 1e6, 0x1p-1074, INFINITY, -INFINITY, NAN};
    enum { N = sizeof odd / sizeof *odd };
    am_rng r = am_rng_at(1, 0, 0);
    for (int trial = 0; trial < 60; trial++) {
        double x[6], y[6];
        int n = (int)am_rng_below(&r, 7);
        for (int i = 0; i < n; i++) {
            x[i] = odd[am_rng_below(&r, N)];
            y[i] = odd[am_rng_below(&r, N)];
        }
        am_series s = {"odd", BLUE, x, y, n, trial & 1};
        am_axes p = {.title = "t",
                     .x_label = "x",
                     .y_label = "y",
                     .series = &s,
                     .count = 1,
                     .log_y = trial >> 1 & 1};
        if (trial & 4) p.y_min = odd[am_rng_below(&r, N)], p.y_max = odd[am_rng_below(&r, N)];
        am_image img = chart_of(&p, 1);
        am_image_free(&img);
    }
    am_image img = chart_of(NULL, 0);
    am_image_free(&img);
    char path[300];
    am_err e = {0};
    assert_int_not_equal(
        am_chart_write(t_path(path, sizeof path, "no/such/folder.png"), "", NULL, 0, &e), AM_OK);
}

enum { SIDE = 8, ZOOM = 14 };

static am_image noise(int seed)
{
    am_err e = {0};
    am_rng r = am_rng_at((uint64_t)seed, 0, 0);
    am_image img;
    t_ok(am_image_new(&img, SIDE, SIDE, &e), &e);
    for (int i = 0; i < 3 * SIDE * SIDE; i++) img.pixel[i] = (unsigned char)am_rng_below(&r, 256);
    return img;
}

/* Does the enlarged picture stand with its corner at x y? */
static int stands_at(const am_image *page, const am_image *img, int x, int y)
{
    for (int v = 0; v < SIDE * ZOOM; v++)
        for (int u = 0; u < SIDE * ZOOM; u++)
            if (x + u >= page->width || y + v >= page->height
                || !same(at(page, x + u, y + v), at(img, u / ZOOM, v / ZOOM)))
                return 0;
    return 1;
}

static int places(const am_image *page, const am_image *img, int *px, int *py)
{
    int count = 0;
    for (int y = 0; y < page->height; y++)
        for (int x = 0; x < page->width; x++)
            if (same(at(page, x, y), at(img, 0, 0)) && stands_at(page, img, x, y)) {
                *px = x;
                *py = y;
                count++;
            }
    return count;
}

static void sheet_shows_all(void **state)
{
    (void)state;
    enum { COLUMNS = 3, ROWS = 2 };
    static const char *const head[COLUMNS] = {
        "lambda 0", "lambda 0.5", "a heading that is much too long for the width of its column"};
    static am_sheet_cell cell[ROWS][COLUMNS];
    static float mask[ROWS][COLUMNS][SIDE * SIDE];
    am_sheet_row row[ROWS];
    for (int r = 0; r < ROWS; r++) {
        row[r] = (am_sheet_row){.a = noise(10 * r),
                                .b = noise(10 * r + 1),
                                .label_a = "cat",
                                .label_b = "aquarium_fish_of_the_deep_sea",
                                .cell = cell[r]};
        for (int c = 0; c < COLUMNS; c++) {
            cell[r][c] = (am_sheet_cell){.mix = noise(10 * r + 2 + c),
                                         .mask = r == 1 && c == 2 ? NULL : mask[r][c]};
            snprintf(cell[r][c].caption, sizeof cell[r][c].caption, "share %d", c);
            for (int i = 0; i < SIDE * SIDE; i++)
                mask[r][c][i] = (float)((i * 7 + r + c) % 64) / 63;
        }
    }
    char path[300];
    am_err e = {0};
    am_sheet s = {"mixes", head, COLUMNS, ROWS, row};
    t_ok(am_sheet_write(t_path(path, sizeof path, "sheet.png"), &s, &e), &e);
    am_image page = read_back(path);
    int x = 0, y = 0, left = 0;
    for (int r = 0; r < ROWS; r++) {
        assert_int_equal(places(&page, &row[r].a, &x, &y), 1);
        left = x;
        int top = y;
        assert_int_equal(places(&page, &row[r].b, &x, &y), 1);
        assert_true(x > left && y == top);
        for (int c = 0; c < COLUMNS; c++) {
            left = x;
            assert_int_equal(places(&page, &cell[r][c].mix, &x, &y), 1);
            assert_true(x > left && y == top);
            if (!cell[r][c].mask) continue;
            am_image heat = noise(0);
            for (int i = 0; i < SIDE * SIDE; i++) {
                am_colour h = am_heat(mask[r][c][i]);
                memcpy(heat.pixel + 3 * i, (unsigned char[]){h.r, h.g, h.b}, 3);
            }
            assert_int_equal(stands_at(&page, &heat, x + SIDE * ZOOM + 4, y), 1);
            am_image_free(&heat);
        }
    }
    am_image_free(&page);
    s.columns = 4000;
    s.rows = 0;
    assert_int_equal(am_sheet_write(path, &s, &e), AM_EUSAGE);
    assert_non_null(strstr(e.text, "ask for fewer"));
    s.columns = COLUMNS;
    t_ok(am_sheet_write(path, &s, &e), &e);
    for (int r = 0; r < ROWS; r++) {
        am_image_free(&row[r].a);
        am_image_free(&row[r].b);
        for (int c = 0; c < COLUMNS; c++) am_image_free(&cell[r][c].mix);
    }
}

T_SUITE(picture, cmocka_unit_test(fills_are_clipped),
        cmocka_unit_test(lines_cover_length_times_width),
        cmocka_unit_test(text_is_as_wide_as_promised), cmocka_unit_test(letters_differ),
        cmocka_unit_test(heat_rises_evenly), cmocka_unit_test(gaps_stay_empty),
        cmocka_unit_test(curves_stay_in_their_plot), cmocka_unit_test(any_numbers_make_a_chart),
        cmocka_unit_test(sheet_shows_all));
