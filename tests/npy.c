/* npy.c: arrays of images in .npy files, and every way in which one can be wrong. */
#include "t.h"
#include "data.h"
#include <sys/stat.h>

enum { PATH = 300 };

/* A .npy file: the dictionary as given, padded as numpy pads it, and `size` bytes after it. */
static void put_npy(const char *name, int version, const char *dictionary, const void *bytes,
                    size_t size)
{
    char path[PATH], pad[100];
    FILE *f = fopen(t_path(path, sizeof path, name), "wb");
    assert_non_null(f);
    size_t front = version > 1 ? 12 : 10, length = strlen(dictionary) + 1;
    length += (64 - (front + length) % 64) % 64;
    fprintf(f, "\x93NUMPY%c%c%c%c", version, 0, (int)(length & 255), (int)(length >> 8));
    if (version > 1) fwrite("\0\0", 1, 2, f);
    memset(pad, ' ', sizeof pad);
    fprintf(f, "%s%.*s\n", dictionary, (int)(length - strlen(dictionary) - 1), pad);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

static char *dictionary(char *out, size_t size, const char *type, const char *order,
                        const char *shape)
{
    snprintf(out, size, "{'descr': '%s', 'fortran_order': %s, 'shape': %s, }", type, order, shape);
    return out;
}

static void put_array(const char *name, int version, const char *type, const char *shape,
                      const void *bytes, size_t size)
{
    char text[200];
    put_npy(name, version, dictionary(text, sizeof text, type, "False", shape), bytes, size);
}

/* Four images of 2 rows and 3 columns, byte k of image i is 20 i + k; their classes 0 2 1 2. */
static unsigned char images[4 * 18];

static void put_set(const char *type)
{
    char folder[PATH];
    static const unsigned char one[4] = {0, 2, 1, 2};
    static const int32_t four[4] = {0, 2, 1, 2};
    static const int64_t eight[4] = {0, 2, 1, 2};
    mkdir(t_path(folder, sizeof folder, "npy"), 0777);
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 18; k++) images[18 * i + k] = (unsigned char)(20 * i + k);
    put_array("npy/x.npy", 1, "|u1", "(4, 2, 3, 3)", images, sizeof images);
    put_array("npy/labels.npy", 1, type, "(4,)",
              type[2] == '1'   ? (const void *)one
              : type[2] == '4' ? (const void *)four
                               : (const void *)eight,
              4 * (size_t)(type[2] - '0'));
}

static am_status open_set(am_dataset *d, const char *name, int classes, am_err *e)
{
    char path[PATH];
    am_data data = {.classes = classes};
    *e = (am_err){0};
    return am_format_find("npy")->open(d, &data, t_path(path, sizeof path, name), 0, e);
}

static void check_images(const am_dataset *d)
{
    static const int order[] = {2, 0, 3, 1}, label[] = {0, 2, 1, 2};
    am_image img = {0};
    am_err e = {0};
    assert_int_equal(d->count, 4);
    for (int k = 0; k < 4; k++) {
        t_ok(d->read(d, order[k], &img, &e), &e);
        assert_int_equal(img.width, 3);
        assert_int_equal(img.height, 2);
        assert_memory_equal(img.pixel, images + 18 * order[k], 18);
        assert_int_equal(d->label[k], label[k]);
    }
    assert_non_null(strstr(d->where(d, 3), "npy/x.npy image 3"));
    am_image_free(&img);
}

static void reads_images_and_labels(void **state)
{
    static const char *const types[] = {"|u1", "<i4", "<i8"};
    (void)state;
    am_dataset d;
    am_err e;
    for (int i = 0; i < 3; i++) {
        put_set(types[i]);
        t_ok(open_set(&d, "npy/x.npy", 3, &e), &e);
        check_images(&d);
        d.close(&d);
    }
    for (int version = 2; version < 4; version++) {
        put_array("npy/x.npy", version, "|u1", "(4, 2, 3, 3)", images, sizeof images);
        t_ok(open_set(&d, "npy/x.npy", 3, &e), &e);
        check_images(&d);
        d.close(&d);
    }
    /* other spellings of the same dictionary */
    put_npy("npy/x.npy", 1, "{\"shape\":(4,2,3,3),\"fortran_order\":False,\"descr\":\"|u1\"}",
            images, sizeof images);
    t_ok(open_set(&d, "npy/x.npy", 3, &e), &e);
    check_images(&d);
    d.close(&d);
}

static void a_file_of_its_own_goes_before_labels(void **state)
{
    (void)state;
    am_dataset d;
    am_err e;
    put_set("|u1");
    put_array("npy/x_labels.npy", 1, "|u1", "(4,)", "\2\2\2\2", 4);
    t_ok(open_set(&d, "npy/x.npy", 3, &e), &e);
    assert_int_equal(d.label[0], 2);
    d.close(&d);
    char path[PATH];
    remove(t_path(path, sizeof path, "npy/x_labels.npy"));
}

static void a_slice_is_a_set(void **state)
{
    (void)state;
    am_dataset d, part;
    am_image img = {0};
    am_err e;
    put_set("|u1");
    t_ok(open_set(&d, "npy/x.npy", 3, &e), &e);
    t_ok(am_dataset_slice(&part, &d, 1, 2, &e), &e);
    assert_int_equal(part.count, 2);
    assert_int_equal(part.label[1], 1);
    t_ok(part.read(&part, 1, &img, &e), &e);
    assert_memory_equal(img.pixel, images + 36, 18);
    part.close(&part);
    check_images(&d); /* the whole is untouched */
    d.close(&d);
    am_image_free(&img);
}

/* `name` is refused, in `place`, with words that hold `why`. */
static void refused(const char *name, const char *place, const char *why)
{
    am_dataset d;
    am_err e;
    size_t n = strlen(place);
    assert_int_equal(open_set(&d, name, 3, &e), AM_EINPUT);
    if (!strstr(e.text, why)) fail_msg("wanted '... %s ...', got '%s'", why, e.text);
    if (strlen(e.place) < n || strcmp(e.place + strlen(e.place) - n, place))
        fail_msg("wanted '%s', got '%s'", place, e.place);
}

static void refused_header(const char *type, const char *order, const char *shape, size_t size,
                           const char *why)
{
    char text[200];
    put_npy("npy/x.npy", 1, dictionary(text, sizeof text, type, order, shape), images, size);
    refused("npy/x.npy", "npy/x.npy", why);
}

static void refuses_arrays_that_are_no_images(void **state)
{
    (void)state;
    put_set("|u1");
    refused_header("|u1", "True", "(4, 2, 3, 3)", 72, "lies column by column");
    refused_header("<f4", "False", "(1, 2, 3, 3)", 72, "numbers of type '<f4'");
    refused_header(">i4", "False", "(1, 2, 3, 3)", 72, "numbers of type '>i4'");
    refused_header("<i4", "False", "(1, 2, 3, 3)", 72,
                   "an array of 4 dimensions of '<i4', not of images");
    refused_header("|u1", "False", "(4, 3, 2, 3)", 71,
                   "has 71 bytes of numbers, and its shape takes 72; the file is cut");
    refused_header("|u1", "False", "(3, 2, 3, 3)", 72,
                   "has 72 bytes of numbers, and its shape takes 54; the file is damaged");
    refused_header("|u1", "False", "(4, 3, 2, 3)", 0, "the file is cut");
    refused_header("|u1", "False", "(4, 3, 3, 2)", 72, "the last dimension is red, green, blue");
    refused_header("|u1", "False", "(4, 18)", 72, "an array of 2 dimensions");
    refused_header("|u1", "False", "(72,)", 72, "an array of 1 dimensions");
    refused_header("|u1", "False", "(1, 1, 1, 1, 1, 1, 1, 1, 72)", 72,
                   "not a type, an order and a shape");
    refused_header("|u1", "False", "(4294967296, 4294967296, 4294967296, 3)", 72,
                   "more than any disk holds");
    refused_header("|u1", "False", "(-4, 2, 3, 3)", 72, "not a type, an order and a shape");
    refused_header("|u1", "Maybe", "(4, 2, 3, 3)", 72, "not a type, an order and a shape");
    refused_header("|u1', 'descr': '|u1", "False", "(4, 2, 3, 3)", 72, "not a type, an order");
    put_npy("npy/x.npy", 1, "{'descr': '|u1', 'shape': (4, 2, 3, 3), }", images, 72);
    refused("npy/x.npy", "npy/x.npy", "not a type, an order and a shape");
    put_npy("npy/x.npy", 1, "{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (72,), }",
            images, 72);
    refused("npy/x.npy", "npy/x.npy", "holds no plain array");
    put_npy("npy/x.npy", 4, "{}", images, 72);
    refused("npy/x.npy", "npy/x.npy", "version 4.0; automix reads 1 to 3");
}

static void put_bytes(const char *name, const char *bytes, size_t size)
{
    char path[PATH];
    FILE *f = fopen(t_path(path, sizeof path, name), "wb");
    assert_non_null(f);
    fwrite(bytes, 1, size, f);
    fclose(f);
}

static void refuses_files_that_are_none(void **state)
{
    (void)state;
    put_set("|u1");
    put_bytes("npy/x.npy", "", 0);
    refused("npy/x.npy", "npy/x.npy", "too few for a .npy file");
    put_bytes("npy/x.npy", "PK\3\4 a zip archive, as .npz is", 30);
    refused("npy/x.npy", "npy/x.npy", "is not a .npy file");
    put_bytes("npy/x.npy", "\x93NUMPY\1\0\166\0{'descr'", 18);
    refused("npy/x.npy", "npy/x.npy", "its header of 118 bytes does not fit");
    put_bytes("npy/x.npy", "\x93NUMPY\2\0\0\0\0\177{'descr'", 20);
    refused("npy/x.npy", "npy/x.npy", "does not fit into the file of 20");
    refused("npy/none.npy", "npy/none.npy", "no such file");
}

static void refuses_labels_that_do_not_fit(void **state)
{
    (void)state;
    char path[PATH];
    put_set("|u1");
    put_array("npy/labels.npy", 1, "|u1", "(3,)", "\0\1\2", 3);
    refused("npy/x.npy", "npy/labels.npy",
            "1 dimensions and 3 numbers, not one for each of the 4 images");
    put_array("npy/labels.npy", 1, "|u1", "(2, 2)", "\0\1\2\0", 4);
    refused("npy/x.npy", "npy/labels.npy", "2 dimensions");
    put_array("npy/labels.npy", 1, "|u1", "()", "\4", 1);
    refused("npy/x.npy", "npy/labels.npy", "0 dimensions");
    put_array("npy/labels.npy", 1, "|u1", "(4,)", "\0\1\3\0", 4);
    refused("npy/x.npy", "npy/labels.npy", "image 2 has class 3, but classes=3");
    put_array("npy/labels.npy", 1, "<i8", "(4,)", (const int64_t[]){0, 1, 2, -1}, 32);
    refused("npy/x.npy", "npy/labels.npy", "image 3 has class -1, but classes=3");
    put_array("npy/labels.npy", 1, "<i8", "(4,)", (const int64_t[]){0, INT64_C(1) << 32, 2, 1}, 32);
    refused("npy/x.npy", "npy/labels.npy", "image 1 has class 2147483647");
    put_array("npy/labels.npy", 1, "<f8", "(4,)", images, 32);
    refused("npy/x.npy", "npy/labels.npy", "numbers of type '<f8'");
    remove(t_path(path, sizeof path, "npy/labels.npy"));
    refused("npy/x.npy", "npy/labels.npy", "no such file");
}

T_SUITE(npy, cmocka_unit_test(reads_images_and_labels),
        cmocka_unit_test(a_file_of_its_own_goes_before_labels), cmocka_unit_test(a_slice_is_a_set),
        cmocka_unit_test(refuses_arrays_that_are_no_images),
        cmocka_unit_test(refuses_files_that_are_none),
        cmocka_unit_test(refuses_labels_that_do_not_fit));
