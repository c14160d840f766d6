/* The generated set: what is drawn, what is written, what is read back, what is refused. */
#include "t.h"
#include "shapes.h"
#include <sys/stat.h>
#include <unistd.h>

extern const am_format am_format_shapes;
enum { S = 32 };

static void draw(uint64_t seed, int split, int index, unsigned char *pixel, unsigned char *plane,
                 am_shape_box *box)
{
    am_image img = {S, S, pixel};
    am_shape_draw(seed, split, index, &img, plane, box);
}

static void is_a_function_of_seed_split_index(void **state)
{
    (void)state;
    unsigned char a[3 * S * S], b[3 * S * S], pa[S * S], pb[S * S];
    am_shape_box ba, bb;
    draw(7, 0, 41, a, pa, &ba);
    draw(7, 0, 42, b, pb, &bb);
    assert_memory_not_equal(a, b, sizeof a);
    draw(8, 0, 41, b, pb, &bb);
    assert_memory_not_equal(a, b, sizeof a);
    draw(7, 1, 41, b, pb, &bb);
    assert_memory_not_equal(a, b, sizeof a);
    draw(7, 0, 41, b, pb, &bb);
    assert_memory_equal(a, b, sizeof a);
    assert_memory_equal(pa, pb, sizeof pa);
    assert_memory_equal(&ba, &bb, sizeof ba);
}

/* No two pictures share their ground, and an object stands out from it. */
static void scenes_differ_and_show_their_object(void **state)
{
    (void)state;
    enum { N = 300 };
    unsigned char pixel[3 * S * S], plane[S * S], corner[N][3];
    am_shape_box box;
    for (int i = 0; i < N; i++) {
        draw(1, 0, i, pixel, plane, &box);
        memcpy(corner[i], pixel, 3);
        for (int k = 0; k < i; k++) assert_memory_not_equal(corner[i], corner[k], 3);
        double mean[2][3] = {{0}}, count[2] = {0}, distance = 0;
        for (int p = 0; p < S * S; p++) {
            count[plane[p] > 0]++;
            for (int k = 0; k < 3; k++) mean[plane[p] > 0][k] += pixel[3 * p + k];
        }
        for (int k = 0; k < 3; k++)
            distance += pow(mean[0][k] / count[0] - mean[1][k] / count[1], 2);
        if (distance < 30 * 30) fail_msg("picture %d: distance %g", i, sqrt(distance));
    }
}

static void box_is_tight(void **state)
{
    (void)state;
    unsigned char pixel[3 * S * S], plane[S * S];
    am_shape_box b;
    for (int i = 0; i < 200; i++) {
        draw(1, 0, i, pixel, plane, &b);
        int column[S] = {0}, row[S] = {0};
        for (int y = 0; y < S; y++)
            for (int x = 0; x < S; x++) {
                assert_true(plane[y * S + x] == 0 || plane[y * S + x] == 255);
                column[x] |= plane[y * S + x];
                row[y] |= plane[y * S + x];
            }
        for (int k = 0; k < S; k++) {
            if (k < b.x || k >= b.x + b.width) assert_int_equal(column[k], 0);
            if (k < b.y || k >= b.y + b.height) assert_int_equal(row[k], 0);
        }
        assert_true(column[b.x] && column[b.x + b.width - 1] && row[b.y]
                    && row[b.y + b.height - 1]);
    }
}

/* Every ten have every class; steps of any length through the set meet all of them. */
static void classes_are_even_and_shuffled(void **state)
{
    (void)state;
    for (int from = 0; from < 1000; from += AM_SHAPES) {
        int seen = 0;
        for (int i = 0; i < AM_SHAPES; i++) seen |= 1 << am_shape_class(1, 0, from + i);
        assert_int_equal(seen, 1023);
    }
    for (int step = 2; step < 12; step++) {
        int seen = 0;
        for (int i = 0; i < 100; i++) seen |= 1 << am_shape_class(1, 1, i * step);
        assert_int_equal(seen, 1023);
    }
}

/* The area, the colours of object and ground, and the place must not tell the class: the means over
 * many pictures are the same within a few of their standard errors. */
static void class_is_told_by_outline_alone(void **state)
{
    (void)state;
    enum { N = 300, WHAT = 9 };
    static const char *const what[WHAT] = {"area",        "object red", "object green",
                                           "object blue", "ground red", "ground green",
                                           "ground blue", "x",          "y"};
    unsigned char pixel[3 * S * S], plane[S * S];
    double mean[AM_SHAPES][WHAT] = {{0}}, square[WHAT] = {0}, all[WHAT] = {0};
    am_shape_box b;
    for (int i = 0; i < N * AM_SHAPES; i++) {
        draw(1, 0, i, pixel, plane, &b);
        double v[WHAT] = {0}, in = 0;
        for (int p = 0; p < S * S; p++) {
            in += plane[p] > 0;
            for (int k = 0; k < 3; k++) v[(plane[p] ? 1 : 4) + k] += pixel[3 * p + k];
            if (plane[p]) v[7] += p % S, v[8] += p / S;
        }
        for (int k = 1; k < WHAT; k++) v[k] /= k < 4 || k > 6 ? in : S * S - in;
        v[0] = in;
        for (int k = 0; k < WHAT; k++) {
            mean[am_shape_class(1, 0, i)][k] += v[k] / N;
            all[k] += v[k] / N / AM_SHAPES;
            square[k] += v[k] * v[k] / N / AM_SHAPES;
        }
    }
    for (int k = 0; k < WHAT; k++) {
        double error = sqrt((square[k] - all[k] * all[k]) / N);
        for (int c = 0; c < AM_SHAPES; c++)
            if (fabs(mean[c][k] - all[k]) > 4 * error)
                fail_msg("mean %s of %s is %.2f, of all %.2f, standard error %.2f", what[k],
                         am_shape_name[c], mean[c][k], all[k], error);
    }
}

/* A picture twice as wide is the same scene. */
static void size_keeps_the_scene(void **state)
{
    (void)state;
    enum { L = 2 * S };
    static unsigned char small[3 * S * S], large[3 * L * L], ps[S * S], pl[L * L];
    am_shape_box box;
    for (int i = 0; i < 20; i++) {
        draw(3, 0, i, small, ps, &box);
        am_image img = {L, L, large};
        am_shape_draw(3, 0, i, &img, pl, &box);
        int object = 0, differ = 0;
        for (int y = 0; y < L; y++)
            for (int x = 0; x < L; x++) {
                object += pl[y * L + x] > 0;
                differ += pl[y * L + x] != ps[y / 2 * S + x / 2];
            }
        assert_in_range(differ, 0, object / 4);
    }
}

/* ---- files ---- */

static char *slurp(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("cannot read %s", path);
    char *bytes = malloc(1 << 20);
    *size = fread(bytes, 1, (1 << 20) - 1, f);
    bytes[*size] = 0;
    fclose(f);
    return bytes;
}

static void spew(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void write_set(const char *folder, int train, int valid)
{
    am_err e = {0};
    t_ok(am_shapes_write(folder, &(am_shapes_options){train, valid, S, 5}, &e), &e);
}

static void round_trip(void **state)
{
    (void)state;
    char dir[300], path[400];
    am_err e = {0};
    t_path(dir, sizeof dir, "new/deep/shapes");
    write_set(dir, 40, 20);
    snprintf(path, sizeof path, "%s/train", dir);
    assert_true(am_format_shapes.looks_like(path));
    assert_false(am_format_shapes.looks_like(dir));
    am_dataset d;
    t_ok(am_format_shapes.open(&d, &(am_data){0}, path, 1, &e), &e);
    assert_int_equal(d.count, 40);
    assert_int_equal(d.classes, AM_SHAPES);
    for (int i = 0; i < 40; i++) {
        unsigned char pixel[3 * S * S], plane[S * S], read[S * S];
        am_shape_box b;
        am_image img = {0};
        draw(5, 0, i, pixel, plane, &b);
        assert_int_equal(d.label[i], am_shape_class(5, 0, i));
        t_ok(d.read(&d, i, &img, &e), &e);
        assert_memory_equal(img.pixel, pixel, sizeof pixel);
        t_ok(d.silhouette(&d, i, read, &e), &e);
        assert_memory_equal(read, plane, sizeof plane);
        am_image_free(&img);
    }
    snprintf(path, sizeof path, "/train/%s/00001.png", am_shape_name[d.label[13]]);
    assert_non_null(strstr(d.where(&d, 13), path));
    d.close(&d);
}

/* Once more: the same bytes; smaller: no older picture is left; what is not ours stays. */
static void writes_again(void **state)
{
    (void)state;
    char dir[300], path[400];
    size_t n, m;
    t_path(dir, sizeof dir, "again");
    write_set(dir, 40, 20);
    snprintf(path, sizeof path, "%s/train/heart/00002.png", dir);
    char *before = slurp(path, &n);
    write_set(dir, 40, 20);
    char *after = slurp(path, &m);
    assert_int_equal(n, m);
    assert_memory_equal(before, after, n);
    free(before);
    free(after);
    char own[400];
    snprintf(own, sizeof own, "%s/train/heart/mine.png", dir);
    spew(own, "mine");
    write_set(dir, 20, 20);
    assert_int_equal(access(path, F_OK), -1);
    snprintf(path, sizeof path, "%s/train/silhouettes/heart/00002.png", dir);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(access(own, F_OK), 0);
    snprintf(path, sizeof path, "%s/shapes.data", dir);
    char *text = slurp(path, &n);
    assert_non_null(strstr(text, "classes=10\nformat=shapes\n"));
    free(text);
}

/* Whatever the numbers, the folder holds as many pictures as were asked for. */
static void leaves_no_older_picture(void **state)
{
    (void)state;
    static const int count[] = {45, 27, 10, 13, 31};
    char dir[300], path[400];
    t_path(dir, sizeof dir, "shrunk");
    for (size_t k = 0; k < sizeof count / sizeof *count; k++) {
        write_set(dir, count[k], 10);
        int there = 0;
        for (int i = 0; i < 10 * AM_SHAPES; i++) {
            snprintf(path, sizeof path, "%s/train/%s/%05d.png", dir, am_shape_name[i % 10], i / 10);
            there += !access(path, F_OK);
        }
        assert_int_equal(there, count[k]);
    }
}

static void refuses_options(void **state)
{
    (void)state;
    am_err e = {0};
    assert_int_equal(am_shapes_write("", &(am_shapes_options){40, 20, S, 1}, &e), AM_EUSAGE);
    assert_int_equal(am_shapes_write("x", &(am_shapes_options){4, 20, S, 1}, &e), AM_EUSAGE);
    assert_string_equal(e.text, "4 train pictures: 10 to 1000000 can be drawn");
    assert_int_equal(am_shapes_write("x", &(am_shapes_options){40, 20, 8, 1}, &e), AM_EUSAGE);
    char file[300], dir[310];
    t_path(file, sizeof file, "no_folder");
    spew(file, "");
    snprintf(dir, sizeof dir, "%s/set", file);
    assert_int_equal(am_shapes_write(dir, &(am_shapes_options){40, 20, S, 1}, &e), AM_EIO);
    assert_string_equal(e.place, file);
    assert_int_equal(am_shapes_write("/proc/none", &(am_shapes_options){40, 20, S, 1}, &e), AM_EIO);
    assert_string_equal(e.place, "/proc/none");
}

static void refuse(const char *folder, const char *place, const char *finding)
{
    am_err e = {0};
    am_dataset d;
    assert_int_not_equal(am_format_shapes.open(&d, &(am_data){0}, folder, 1, &e), AM_OK);
    if (!strstr(e.place, place) || !strstr(e.text, finding))
        fail_msg("wanted '%s' ... '%s', got '%s' '%s'", place, finding, e.place, e.text);
}

static void refuses_damage(void **state)
{
    (void)state;
    char dir[300], train[320], list[340], picture[400];
    t_path(dir, sizeof dir, "damaged");
    refuse(dir, dir, "no such folder");
    write_set(dir, 20, 20);
    snprintf(train, sizeof train, "%s/train", dir);
    snprintf(list, sizeof list, "%s/boxes.txt", train);

    spew(list, "# only this\n");
    refuse(train, "boxes.txt", "lists no picture");
    spew(list, "arrow/00000.png 1 2 3 4\narrow/00001.png 1 2 3\n");
    refuse(train, "boxes.txt:2", "'arrow/00001.png 1 2 3' is not");
    spew(list, "arrow/00000.png 1 2 3 4 5\n");
    refuse(train, "boxes.txt:1", "is not");
    spew(list, "# head\r\narrow/00000.png 1 2 3 4\r\nblob/00000.png 1 2 3 4\r\n");
    refuse(train, "boxes.txt:3", "'blob/00000.png' is in no folder");
    spew(list, "arrow/../disc/00000.png 1 2 3 4\n");
    refuse(train, "boxes.txt:1", "is in no folder");

    write_set(dir, 20, 20);
    snprintf(picture, sizeof picture, "%s/silhouettes/disc/00001.png", train);
    unlink(picture);
    refuse(train, "silhouettes/disc/00001.png", "");
    write_set(dir, 20, 20);
    snprintf(picture, sizeof picture, "%s/disc/00001.png", train);
    truncate(picture, 100) == 0 ? (void)0 : fail();
    refuse(train, "train/disc/00001.png", "");
    am_err e = {0};
    am_image img = {0};
    t_ok(am_image_new(&img, 16, 16, &e), &e);
    t_ok(am_image_write_png(&img, picture, &e), &e);
    am_image_free(&img);
    refuse(train, "train/disc/00001.png", "16x16, but the first picture");
}

T_SUITE(shapes, cmocka_unit_test(is_a_function_of_seed_split_index),
        cmocka_unit_test(scenes_differ_and_show_their_object), cmocka_unit_test(box_is_tight),
        cmocka_unit_test(classes_are_even_and_shuffled),
        cmocka_unit_test(class_is_told_by_outline_alone), cmocka_unit_test(size_keeps_the_scene),
        cmocka_unit_test(round_trip), cmocka_unit_test(writes_again),
        cmocka_unit_test(leaves_no_older_picture), cmocka_unit_test(refuses_options),
        cmocka_unit_test(refuses_damage));
