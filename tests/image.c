/* image.c: pictures from and to files, and resampling, against Pillow's bytes. */
#include "t.h"
#include "data.h"
#include "image_pillow.h"

/* Structure at every frequency, and every byte from 0 to 255. */
static am_image pattern(int width, int height)
{
    am_image img;
    am_err e;
    t_ok(am_image_new(&img, width, height, &e), &e);
    unsigned char *p = img.pixel;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < 3; c++)
                *p++ = (unsigned char)(x * x * 7 + y * 13 * (c + 1) + x * y * c * 5
                                       + (x * 31 + y * 17 + c) % 11 * 9);
    return img;
}

static void resizes_as_pillow_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof pillow_resized / sizeof *pillow_resized; i++) {
        const resized *r = &pillow_resized[i];
        am_image from = pattern(r->width, r->height), to;
        am_err e;
        t_ok(am_image_new(&to, r->to_width, r->to_height, &e), &e);
        t_ok(am_image_resize(&from, r->x, r->y, r->w, r->h, r->filter, &to, &e), &e);
        assert_memory_equal(to.pixel, r->pixel, (size_t)(3 * r->to_width * r->to_height));
        am_image_free(&from);
        am_image_free(&to);
    }
}

static void keeps_a_picture_of_the_same_size(void **state)
{
    (void)state;
    for (int f = AM_NEAREST; f <= AM_BICUBIC; f++) {
        am_image from = pattern(13, 9), to;
        am_err e;
        t_ok(am_image_new(&to, 13, 9, &e), &e);
        t_ok(am_image_resize(&from, 0, 0, 13, 9, (am_filter)f, &to, &e), &e);
        assert_memory_equal(to.pixel, from.pixel, 3 * 13 * 9);
        am_image_free(&from);
        am_image_free(&to);
    }
}

static void refuses_a_box_beyond_the_picture(void **state)
{
    (void)state;
    am_image from = pattern(6, 5), to = pattern(2, 2);
    am_err e;
    assert_int_equal(am_image_resize(&from, 1, 0, 6, 5, AM_BILINEAR, &to, &e), AM_EINPUT);
    assert_string_equal(e.text, "the box 1 0 6 5 does not lie in a picture of 6x5");
    assert_int_equal(am_image_resize(&from, 0, 0, NAN, 5, AM_BILINEAR, &to, &e), AM_EINPUT);
    assert_int_equal(am_image_resize(&from, 0, 0, 0, 5, AM_NEAREST, &to, &e), AM_EINPUT);
    am_image_free(&from);
    am_image_free(&to);
}

static void decodes(const void *bytes, size_t size, int width, int height,
                    const unsigned char *pixel, int off)
{
    am_image img;
    am_err e;
    t_ok(am_image_decode(&img, bytes, size, "x", &e), &e);
    assert_int_equal(img.width, width);
    assert_int_equal(img.height, height);
    for (int i = 0; i < 3 * width * height; i++)
        assert_in_range(img.pixel[i] - pixel[i] + off, 0, 2 * off);
    am_image_free(&img);
}

static void decodes_what_pillow_encodes(void **state)
{
    (void)state;
    am_image p = pattern(5, 3), q = pattern(4, 3);
    decodes(bmp_5x3, sizeof bmp_5x3, 5, 3, p.pixel, 0);
    decodes(alpha_png_4x3, sizeof alpha_png_4x3, 4, 3, q.pixel, 0); /* alpha is dropped */
    for (int i = 0; i < 15; i++) p.pixel[3 * i + 1] = p.pixel[3 * i + 2] = p.pixel[3 * i];
    decodes(grey_png_5x3, sizeof grey_png_5x3, 5, 3, p.pixel, 0);               /* grey thrice */
    decodes(jpeg_9x7, sizeof jpeg_9x7, 9, 7, jpeg_9x7_pixels, 6); /* decoders round apart */
    am_image_free(&p);
    am_image_free(&q);
}

static void refuses_every_cut(void **state)
{
    (void)state;
    const struct { const unsigned char *bytes; size_t size; } file[] = {
        {jpeg_9x7, sizeof jpeg_9x7},
        {bmp_5x3, sizeof bmp_5x3},
        {grey_png_5x3, sizeof grey_png_5x3},
        {alpha_png_4x3, sizeof alpha_png_4x3}};
    for (size_t f = 0; f < sizeof file / sizeof *file; f++)
        for (size_t n = 0; n < file[f].size; n++) {
            am_image img;
            am_err e = {0};
            char *cut = malloc(n + !n); /* so that a sanitizer sees its end */
            memcpy(cut, file[f].bytes, n);
            if (am_image_decode(&img, cut, n, "cut", &e) != AM_EINPUT)
                fail_msg("file %zu cut at %zu bytes is taken", f, n);
            assert_string_equal(e.place, "cut");
            assert_null(img.pixel);
            free(cut);
        }
}

/* Anything may happen to the picture, but nothing to us. */
static void survives_flipped_bytes(void **state)
{
    (void)state;
    const struct { const unsigned char *bytes; size_t size;
    } file[] = {{jpeg_9x7, sizeof jpeg_9x7},
                {bmp_5x3, sizeof bmp_5x3},
                {alpha_png_4x3, sizeof alpha_png_4x3}};
    for (size_t f = 0; f < sizeof file / sizeof *file; f++)
        for (size_t n = 0; n < file[f].size; n++) {
            am_image img;
            unsigned char *copy = malloc(file[f].size);
            memcpy(copy, file[f].bytes, file[f].size);
            copy[n] ^= 0x81;
            am_status s = am_image_decode(&img, copy, file[f].size, "flipped", NULL);
            assert_true(s == AM_OK || s == AM_EINPUT);
            am_image_free(&img);
            free(copy);
        }
}

/* What a damaged file claims is not believed: neither tables and chunks beyond what there is, nor
 * sizes that so few bytes cannot hold. */
static void believes_no_claims(void **state)
{
    (void)state;
    am_image img;
    am_err e = {0};
    unsigned char bytes[sizeof jpeg_9x7];
    size_t at = 0;
    memcpy(bytes, jpeg_9x7, sizeof bytes);
    while (bytes[at] != 0xff || bytes[at + 1] != 0xc4) at++;                    /* Huffman tables */
    bytes[at + 5 + 15] = 255;
    assert_int_equal(am_image_decode(&img, bytes, sizeof bytes, "x", &e), AM_EINPUT);
    assert_string_equal(e.text, "the picture is damaged; fetch the file again or take it out of "
                                "the data set");
    unsigned char codes[4 + 17 + 300 + 2 + 2] = {
        0xff, 0xd8, 0xff, 0xc4, 1, 19 + 300 - 256, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 45};
    memcpy(codes + sizeof codes - 2, "\xff\xd9", 2);
    assert_int_equal(am_image_decode(&img, codes, sizeof codes, "x", &e), AM_EINPUT);
    assert_string_equal(e.text, "the picture is damaged; fetch the file again or take it out of "
                                "the data set");
    memcpy(bytes, grey_png_5x3, sizeof grey_png_5x3);
    bytes[18] = bytes[22] = 63; /* 16,133 x 16,131 */
    assert_int_equal(am_image_decode(&img, bytes, sizeof grey_png_5x3, "x", &e), AM_EINPUT);
    assert_string_equal(e.text, "the picture is damaged; fetch the file again or take it out of "
                                "the data set");
    bytes[18] = bytes[22] = 64; /* 16,389 x 16,387 */
    assert_int_equal(am_image_decode(&img, bytes, sizeof grey_png_5x3, "x", &e), AM_EINPUT);
    memcpy(bytes, grey_png_5x3, sizeof grey_png_5x3);
    bytes[33] = 0x70; /* a chunk of 1.8 GB */
    assert_int_equal(am_image_decode(&img, bytes, sizeof grey_png_5x3, "x", &e), AM_EINPUT);
    assert_string_equal(e.text, "the picture is cut off after 83 bytes; fetch the file again or "
                                "take it out of the data set");
}

static void says_what_is_wrong_with_a_file(void **state)
{
    (void)state;
    am_image img;
    am_err e = {0};
    char path[300];
    assert_int_equal(am_image_decode(&img, "GIF89a, say", 11, "a/b.gif", &e), AM_EINPUT);
    assert_string_equal(e.place, "a/b.gif");
    assert_string_equal(e.text, "is no picture; PNG, JPEG and BMP are read");
    assert_int_equal(am_image_decode(&img, "", 0, "a/b.png", &e), AM_EINPUT);
    assert_string_equal(e.text, "is an empty file; PNG, JPEG and BMP are read");
    assert_int_equal(am_image_decode(&img, jpeg_9x7, 700, "a/b.jpg", &e), AM_EINPUT);
    assert_string_equal(e.text, "the picture is cut off after 700 bytes; fetch the file again or "
                                "take it out of the data set");
    t_path(path, sizeof path, "nosuch.png");
    assert_int_equal(am_image_read(&img, path, &e), AM_EINPUT);
    assert_string_equal(e.place, path);
    unsigned char huge[sizeof bmp_5x3];
    memcpy(huge, bmp_5x3, sizeof huge);
    huge[19] = 0x50; /* a width of 20,485 */
    assert_int_equal(am_image_decode(&img, huge, sizeof huge, "huge.bmp", &e), AM_EINPUT);
    assert_string_equal(e.place, "huge.bmp");
}

static void writes_what_it_reads(void **state)
{
    (void)state;
    const int size[][2] = {{1, 1}, {3, 1}, {1, 5}, {64, 33}};
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        am_image img = pattern(size[i][0], size[i][1]), back;
        am_err e;
        char path[300];
        t_ok(am_image_write_png(&img, t_path(path, sizeof path, "round.png"), &e), &e);
        t_ok(am_image_read(&back, path, &e), &e);
        assert_int_equal(back.width, img.width);
        assert_int_equal(back.height, img.height);
        assert_memory_equal(back.pixel, img.pixel, (size_t)(3 * img.width * img.height));
        am_image_free(&img);
        am_image_free(&back);
    }
}

static void keeps_the_buffer_that_fits(void **state)
{
    (void)state;
    am_image img = pattern(6, 4);
    am_err e;
    const unsigned char *before = img.pixel;
    t_ok(am_image_fit(&img, 4, 6, &e), &e);
    assert_ptr_equal(img.pixel, before);
    assert_int_equal(img.width, 4);
    assert_int_equal(am_image_fit(&img, 0, 6, &e), AM_EINPUT);
    assert_int_equal(am_image_fit(&img, 16385, 1, &e), AM_EINPUT);
    am_image_free(&img);
    am_image_free(&img);
}

T_SUITE(image, cmocka_unit_test(resizes_as_pillow_does),
        cmocka_unit_test(keeps_a_picture_of_the_same_size),
        cmocka_unit_test(refuses_a_box_beyond_the_picture),
        cmocka_unit_test(decodes_what_pillow_encodes), cmocka_unit_test(refuses_every_cut),
        cmocka_unit_test(survives_flipped_bytes), cmocka_unit_test(believes_no_claims),
        cmocka_unit_test(says_what_is_wrong_with_a_file), cmocka_unit_test(writes_what_it_reads),
        cmocka_unit_test(keeps_the_buffer_that_fits));
