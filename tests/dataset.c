/* dataset.c: .data files and every layout of images, and what is told when one of them is wrong. */
#include "t.h"
#include "data.h"
#include <sys/stat.h>
#include <unistd.h>

enum { PATH = 300, RECORD100 = 3074, RECORD10 = 3073 };

static char *at(char *path, const char *name) { return t_path(path, PATH, name); }

static void put_bytes(const char *name, const void *bytes, size_t size)
{
    char path[PATH];
    at(path, name);
    for (char *p = path + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        mkdir(path, 0777);
        *p = '/';
    }
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

static void put(const char *name, const char *text) { put_bytes(name, text, strlen(text)); }

/* A picture of one colour. */
static void put_image(const char *name, int value)
{
    char path[PATH];
    am_image img;
    am_err e;
    put(name, "");
    t_ok(am_image_new(&img, 3, 2, &e), &e);
    memset(img.pixel, value, 18);
    t_ok(am_image_write_png(&img, at(path, name), &e), &e);
    am_image_free(&img);
}

/* NAME.data: % stands for the temporary folder. */
static am_status open_text(am_data *d, const char *name, const char *text, int which, am_err *e)
{
    char whole[4000], path[PATH], folder[PATH];
    size_t n = 0;
    at(folder, "");
    folder[strlen(folder) - 1] = 0;
    for (const char *p = text; *p; p++)
        n += (size_t)snprintf(whole + n, sizeof whole - n, *p == '%' ? "%s" : "%.1s",
                              *p == '%' ? folder : p);
    put(name, whole);
    *e = (am_err){0};
    return am_data_open(d, at(path, name), which, e);
}

/* Opening fails in this place, with exactly this text; % as above, also where a table begins
 * a long path with dots. */
static void refused(const char *text, int which, const char *place, const char *why)
{
    am_data d;
    am_err e;
    char folder[PATH], got[800], *p = got;
    assert_int_not_equal(open_text(&d, "x.data", text, which, &e), AM_OK);
    at(folder, "");
    size_t n = strlen(folder) - 1;
    for (const char *s = e.text; *s; s++)
        if (!strncmp(s, "...", 3) && strstr(s, "/l/")) *p++ = '%', s = strstr(s, "/l/") - 1;
        else if (!strncmp(s, folder, n)) *p++ = '%', s += n - 1;
        else *p++ = *s;
    *p = 0;
    assert_string_equal(got, why);
    at(folder, place);
    assert_string_equal(e.place, folder);
    am_data_close(&d); /* harmless after a failure */
}

static void opened(am_data *d, const char *text, int which)
{
    am_err e;
    t_ok(open_text(d, "x.data", text, which, &e), &e);
}

static void reads_value(const am_dataset *d, int index, int value)
{
    am_image img = {0};
    am_err e;
    t_ok(d->read(d, index, &img, &e), &e);
    assert_int_equal(img.pixel[0], value);
    am_image_free(&img);
}

/* ---- .data ---- */

static void put_cifar100(const char *name, int count, int damage)
{
    unsigned char *r = calloc((size_t)count + 1, RECORD100);
    for (int i = 0; i < count; i++) {
        r[i * RECORD100] = (unsigned char)(i % 20);
        r[i * RECORD100 + 1] = (unsigned char)(i == damage ? 100 : i % 100);
        for (int k = 0; k < 3072; k++)
            r[i * RECORD100 + 2 + k] = (unsigned char)(k / 1024 * 80 + (k + i) % 80);
    }
    put_bytes(name, r, (size_t)count * RECORD100);
    free(r);
}

static void reads_keys_and_defaults(void **state)
{
    (void)state;
    am_data d;
    put_cifar100("c/a.bin", 120, -1);
    opened(&d,
           "classes=100\r\ntrain = %/c/a.bin\n\n# "
           "words\nvalid=%/c/a.bin\nbackup=%/backup1\ntop=5\n",
           3);
    assert_int_equal(d.classes, 100);
    assert_int_equal(d.top, 5);
    assert_int_equal(d.per_class, 0);
    assert_int_equal(d.train.count, 120);
    assert_int_equal(d.valid.count, 120);
    assert_null(d.names);
    struct stat st;
    assert_int_equal(stat(d.backup, &st), 0);                                   /* made */
    am_data_close(&d);
    opened(&d, "classes=100\n", 0); /* nothing asked for, nothing looked at */
    assert_int_equal(d.top, 1);
    assert_string_equal(d.backup, "backup");
    am_data_close(&d);
}

static void refuses_wrong_data_files(void **state)
{
    (void)state;
    put_cifar100("c/a.bin", 120, -1);
    put("names3", "a\nb\nc\n");
    put("gap", "a\n\nb\n");
    put("plain", "text");
    refused("clases=3\n", 0, "x.data:1", "[data] has no key 'clases'; did you mean 'classes'?");
    refused("train=x\n", 0, "x.data", "[data] needs classes= (number of classes)");
    refused("classes=3\ntop=5\n", 0, "x.data:2",
            "top=5 of classes=3; top is at most the number of classes");
    refused("classes=2\nnames=%/names3\n", 0, "names3",
            "has 3 names, but classes=2; one line for each class");
    refused("classes=2\nlabels=%/gap\n", 0, "gap:2",
            "a blank line; the line's number is the class, so take it out");
    refused("classes=2\n", 2, "x.data", "valid= is missing: it names the validation images");
    refused("classes=2\nvalid=%/nowhere\n", 2, "x.data:2",
            "valid=%/nowhere: does not exist; paths are relative to the folder automix runs in");
    refused("classes=100\n\nvalid=%/cifar-100-binary/test.bin\n", 2, "x.data:3",
            "valid=%/cifar-100-binary/test.bin: does not exist; scripts/get_cifar100.sh fetches "
            "CIFAR-100 into data/");
    refused("classes=2\nvalid=%/plain\n", 2, "x.data:2",
            "cannot tell what valid=%/plain is; add format=cifar100, cifar10, folder, list, npy or "
            "shapes");
    refused("classes=2\nvalid=%/plain\nformat=lst\n", 2, "x.data:3",
            "format=lst is none of cifar100, cifar10, folder, list, npy, shapes");
}

static void refuses_backup_folders(void **state)
{
    (void)state;
    put_cifar100("c/a.bin", 120, -1);
    put("file", "");
    refused("classes=100\ntrain=%/c/a.bin\nbackup=%/no/such\n", 1, "x.data:3",
            "backup=%/no/such cannot be made: No such file or directory; make the folder, or name "
            "another");
    refused("classes=100\nbackup=%/file\ntrain=%/c/a.bin\n", 1, "x.data:2",
            "backup=%/file is not a folder");
    if (geteuid()) { /* root may write anywhere */
        char path[PATH];
        mkdir(at(path, "locked"), 0555);
        refused("classes=100\nbackup=%/locked\ntrain=%/c/a.bin\n", 1, "x.data:2",
                "backup=%/locked takes no files: Permission denied; weights could not be saved");
    }
    am_data d;
    opened(&d, "classes=100\nbackup=%/file\nvalid=%/c/a.bin\n", 2); /* only training writes */
    am_data_close(&d);
}

/* ---- CIFAR ---- */

static void reads_cifar100(void **state)
{
    (void)state;
    am_data d;
    am_image img = {0};
    am_err e;
    char names[1000] = "", where[PATH];
    for (int i = 0; i < 100; i++) snprintf(names + strlen(names), 20, "n%d\n", i);
    put_cifar100("cifar/train.bin", 250, -1);
    put_cifar100("cifar/test.bin", 100, -1);
    put("cifar/fine_label_names.txt", names);
    opened(&d, "classes=100\ntrain=%/cifar\nvalid=%/cifar/test.bin\nbackup=%/backup1\n", 3);
    assert_int_equal(d.train.count, 250);
    assert_int_equal(d.valid.count, 100);
    assert_int_equal(d.train.label[107], 7); /* the fine one; the coarse one is also 7 */
    assert_int_equal(d.train.label[57], 57);
    assert_string_equal(d.train.name[57], "n57");
    assert_string_equal(d.names[3], "n3");
    t_ok(d.train.read(&d.train, 57, &img, &e), &e);
    assert_int_equal(img.width, 32);
    assert_int_equal(img.height, 32);
    for (int i = 0; i < 1024; i++)
        for (int c = 0; c < 3; c++)
            assert_int_equal(img.pixel[3 * i + c], c * 80 + (c * 1024 + i + 57) % 80);
    am_image_free(&img);
    snprintf(where, sizeof where, "%s record 57", d.train_path);
    assert_non_null(strstr(d.train.where(&d.train, 57), "/train.bin record 57"));
    am_data_close(&d);
}

static void refuses_damaged_cifar(void **state)
{
    (void)state;
    char *bytes = calloc(1, 7000);
    put_bytes("c/cut.bin", bytes, 7000);
    put_bytes("c/empty.bin", bytes, 0);
    free(bytes);
    put_cifar100("c/label.bin", 30, 17);
    put_cifar100("c/good.bin", 30, -1);
    char path[PATH];
    put("c/both.bin", "");
    assert_int_equal(truncate(at(path, "c/both.bin"), RECORD10 * RECORD100), 0);
    refused("classes=10\nvalid=%/c/both.bin\n", 2, "x.data:2",
            "cannot tell what valid=%/c/both.bin is; add format=cifar100, cifar10, folder, list, "
            "npy or shapes");
    refused("classes=100\nformat=cifar100\nvalid=%/c/cut.bin\n", 2, "c/cut.bin",
            "7000 bytes are 2 records of CIFAR-100 (3074 bytes each) and 852 bytes more; the file "
            "is cut or of another kind,"
            " scripts/get_cifar100.sh fetches it");
    refused("classes=100\nformat=cifar100\nvalid=%/c/empty.bin\n", 2, "c/empty.bin",
            "0 bytes are 0 records of CIFAR-100 (3074 bytes each) and 0 bytes more; the file is "
            "cut or of another kind,"
            " scripts/get_cifar100.sh fetches it");
    refused("classes=100\nvalid=%/c/label.bin\n", 2, "c/label.bin",
            "record 17 has class 100, but classes=100; is this CIFAR-100, with classes=100?");
    refused("classes=10\nvalid=%/c/good.bin\n", 2, "c/good.bin",
            "record 10 has class 10, but classes=10; is this CIFAR-100, with classes=100?");
    refused("classes=101\nvalid=%/c/good.bin\n", 2, "x.data",
            "classes=101, but CIFAR-100 has 100; set classes=100");
    refused("classes=10\nformat=cifar10\nvalid=%/c/good.bin\n", 2, "c/good.bin",
            "92220 bytes are 30 records of CIFAR-10 (3073 bytes each) and 30 bytes more; the file "
            "is cut or of another kind,"
            " scripts/get_cifar10.sh fetches it");
}

static void reads_cifar10(void **state)
{
    (void)state;
    am_data d;
    char name[40];
    unsigned char *r = calloc(10, RECORD10);
    for (int f = 0; f < 6; f++) { /* file f has f + 1 records; the sixth tests */
        for (int i = 0; i <= f; i++) {
            r[i * RECORD10] = (unsigned char)(f + i >= 10 ? 0 : f + i);
            memset(r + i * RECORD10 + 1, 10 * f + i, 3072);
        }
        snprintf(name, sizeof name, f < 5 ? "batches/data_batch_%d.bin" : "batches/test_batch.bin",
                 f + 1);
        put_bytes(name, r, (size_t)(f + 1) * RECORD10);
    }
    free(r);
    put("batches/batches.meta.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n");
    opened(&d, "classes=10\ntrain=%/batches\nvalid=%/batches\nbackup=%/backup1\n", 3);
    assert_int_equal(d.train.count, 15);
    assert_int_equal(d.valid.count, 6);
    assert_string_equal(d.names[9], "j");
    int index = 0;
    for (int f = 0; f < 5; f++)
        for (int i = 0; i <= f; i++, index++) {
            assert_int_equal(d.train.label[index], f + i);
            reads_value(&d.train, index, 10 * f + i);
        }
    reads_value(&d.valid, 3, 53);
    assert_non_null(strstr(d.train.where(&d.train, 7), "/data_batch_4.bin record 1"));
    am_data_close(&d);
    opened(&d, "classes=10\nvalid=%/batches/data_batch_3.bin\n", 2);
    assert_int_equal(d.valid.count, 3);
    am_data_close(&d);
    char path[PATH];
    unlink(at(path, "batches/data_batch_4.bin"));
    refused("classes=10\ntrain=%/batches\nbackup=%/backup1\n", 1, "batches/data_batch_4.bin",
            "no such file; paths are relative to the folder automix runs in");
}

static void takes_the_first_of_each_class(void **state)
{
    (void)state;
    am_data d;
    put_cifar100("c/many.bin", 350, -1);
    opened(&d,
           "classes=100\ntrain=%/c/many.bin\nvalid=%/c/many.bin\nper_class=3\nbackup=%/backup1\n",
           3);
    assert_int_equal(d.train.count, 300);
    assert_int_equal(d.valid.count, 350); /* validation is whole */
    for (int i = 0; i < 300; i++) assert_int_equal(d.train.label[i], i % 100);
    reads_value(&d.train, 250, 250 % 80);
    assert_non_null(strstr(d.train.where(&d.train, 250), "record 250"));
    am_data_close(&d);
    refused("classes=100\ntrain=%/c/many.bin\nper_class=4\nbackup=%/backup1\n", 1, "c/many.bin",
            "per_class=4, but class 50 has 3 images; the most that works is the smallest class");
}

/* ---- a folder for each class ---- */

static void reads_folders(void **state)
{
    (void)state;
    am_data d;
    put_image("f/train/cat/2.png", 12);
    put_image("f/train/cat/10.png", 11);
    put_image("f/train/ape/images/deep/z.PNG", 2);
    put_image("f/train/ape/a.png", 1);
    put_image("f/train/dog/x.png", 21);
    put("f/train/cat/notes.txt", "no image");
    put("f/train/.hidden/x.png", "");
    put_image("f/valid/dog/y.png", 31);
    const char *text = "classes=3\ntrain=%/f/train\nvalid=%/f/valid\nbackup=%/backup1\n";
    opened(&d, text, 3);
    assert_int_equal(d.train.count, 5);
    const int label[] = {0, 0, 1, 1, 2}, value[] = {1, 2, 11, 12, 21};
    for (int turn = 0; turn < 2; turn++) /* from the file, then from memory */
        for (int i = 0; i < 5; i++) {
            assert_int_equal(d.train.label[i], label[i]);
            reads_value(&d.train, i, value[i]);
        }
    assert_string_equal(d.names[1], "cat");
    assert_int_equal(d.valid.count, 1);
    assert_int_equal(d.valid.label[0], 2); /* the classes are the training set's */
    assert_non_null(strstr(d.train.where(&d.train, 3), "f/train/cat/2.png"));
    am_data_close(&d);
    opened(&d, "classes=3\ntrain=%/f/train\nper_class=1\nbackup=%/backup1\n", 1);
    assert_int_equal(d.train.count, 3);
    reads_value(&d.train, 1, 11);
    assert_non_null(strstr(d.train.where(&d.train, 1), "f/train/cat/10.png"));
    am_data_close(&d);
    opened(&d, text, 3);
    reads_value(&d.train, 4, 21);
    char path[PATH];
    unlink(at(path, "f/train/dog/x.png"));
    reads_value(&d.train, 4, 21);                                               /* decoded once */
    am_data_close(&d);
    opened(&d, text, 2);
    assert_int_equal(d.valid.label[0], 2); /* also when only validating */
    am_data_close(&d);
    refused(text, 3, "f/train/dog",
            "holds no image (.png, .jpg, .jpeg, .bmp); a class needs some to be learned");
    put("labels3", "dog\nape\ncat\n");
    opened(&d, "classes=3\nlabels=%/labels3\nvalid=%/f/valid\nformat=folder\n", 2);
    assert_int_equal(d.valid.label[0], 0); /* labels= orders them */
    am_data_close(&d);
}

static void refuses_wrong_folders(void **state)
{
    (void)state;
    put_image("g/train/cat/1.png", 1);
    put_image("g/train/dog/1.png", 1);
    put_image("g/valid/cats/1.png", 1);
    put("g/empty/x", "");
    put("g/cut/cat/1.png", "\x89PNG\r\n\x1a\nand no more");
    put_image("g/cut/dog/1.png", 1);
    refused("classes=3\nvalid=%/g/train\n", 2, "g/train",
            "has 2 folders, but classes=3; there must be one folder for each class");
    refused("classes=2\ntrain=%/g/train\nvalid=%/g/valid\n", 2, "g/valid",
            "'cats' is none of the 2 classes of %/g/train; did you mean 'cat'?");
    refused("classes=2\nformat=folder\nvalid=%/g/empty/x\n", 2, "g/empty/x",
            "is not a folder; format=folder wants one folder for each class in it");
    am_data d;
    am_image img = {0};
    am_err e = {0};
    opened(&d, "classes=2\nvalid=%/g/cut\n", 2);
    assert_int_equal(d.valid.read(&d.valid, 0, &img, &e), AM_EINPUT);
    assert_non_null(strstr(e.place, "g/cut/cat/1.png"));
    am_image_free(&img);
    am_data_close(&d);
}

static void reads_tiny_imagenet(void **state)
{
    (void)state;
    am_data d;
    put_image("tiny/train/n02/images/n02_0.png", 20);
    put_image("tiny/train/n01/images/n01_0.png", 10);
    put("tiny/train/n01/n01_boxes.txt", "n01_0.png\t0\t0\t1\t1\n");
    put_image("tiny/val/images/val_0.png", 2);
    put_image("tiny/val/images/val_1.png", 1);
    put("tiny/val/val_annotations.txt", "val_0.png\tn02\t0\t32\t44\t62\r\nval_1."
                                        "png\tn01\t0\t0\t1\t1\r\n");
    const char *text = "classes=2\ntrain=%/tiny/train\nvalid=%/tiny/val\nbackup=%/backup1\n";
    opened(&d, text, 3);
    assert_int_equal(d.train.count, 2);
    assert_int_equal(d.valid.count, 2);
    assert_int_equal(d.valid.label[0], 1);
    assert_int_equal(d.valid.label[1], 0);
    reads_value(&d.train, 0, 10);
    reads_value(&d.valid, 0, 2);
    am_data_close(&d);
    put("tiny/wnids.txt", "n02\nn01\n");
    opened(&d, "classes=2\nvalid=%/tiny/val\n", 2); /* without the training images */
    assert_int_equal(d.valid.label[0], 1);
    am_data_close(&d);
    put("tiny/val/val_annotations.txt", "val_0.png\tn02\t0\t32\t44\t62\nval_7."
                                        "png\tn01\t0\t0\t1\t1\n");
    refused(text, 3, "tiny/val/val_annotations.txt:2",
            "image '%/tiny/val/images/val_7.png' does not exist; unpack the set again, or take the "
            "line out");
    put("tiny/val/val_annotations.txt", "val_0.png\tn03\n");
    refused(text, 2, "tiny/val/val_annotations.txt:1",
            "'n03' is none of the 2 classes of %/tiny/train; did you mean 'n01'?");
}

/* ---- lists ---- */

/* A list of these paths must give these classes. */
static void labels(const char *names, int classes, const char *const *path, const int *class,
                   int count)
{
    char list[4000] = "", text[200], name[100], whole[PATH];
    am_data d;
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof name, "l/%s", path[i]);
        put(name, "");
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s\n", at(whole, name));
    }
    put("l.list", list);
    put("l.labels", names);
    snprintf(text, sizeof text, "classes=%d\nvalid=%%/l.list\nlabels=%%/l.labels\n", classes);
    opened(&d, text, 2);
    assert_int_equal(d.valid.count, count);
    for (int i = 0; i < count; i++)
        if (d.valid.label[i] != class[i])
            fail_msg("%s is class %d, not %d", path[i], d.valid.label[i], class[i]);
    am_data_close(&d);
}

/* The pairs of CIFAR-100 that Darknet confuses, in the usual places of a label. */
static void labels_stand_by_themselves(void **state)
{
    (void)state;
    static const char *const word[] = {"bee",    "beetle", "cup",     "porcupine", "man",
                                       "woman",  "sea",    "seal",    "train",     "sweet_pepper",
                                       "pepper", "tree",   "oak_tree"};
    enum { N = sizeof word / sizeof *word };
    static const char *const layout[] = {"train/7_%s.png",         "train/%s/7.png",
                                         "cifar/train/%s_000.png", "train/a.%s.png",
                                         "x/%s/images/%s_7.png",   "train/%s.png"};
    char names[300] = "", path[N][80];
    const char *list[N];
    int class[N];
    for (int i = 0; i < N; i++) snprintf(names + strlen(names), 20, "%s\n", word[i]);
    for (size_t k = 0; k < sizeof layout / sizeof *layout; k++) {
        for (int i = 0; i < N; i++) {
            snprintf(path[i], sizeof path[i], layout[k], word[i], word[i]);
            list[i] = path[i];
            class[i] = i;
        }
        labels(names, N, list, class, N);
        for (int i = 0; i < N; i++) /* alone in a list, too */
            if (k != 1 || strcmp(word[i], "train")) labels(names, N, list + i, class + i, 1);
    }
}

static void stock_labels_are_taken_as_they_are(void **state)
{
    (void)state;
    labels("/bee/\n/beetle/\n", 2,
           (const char *const[]){"bee/1.png", "beetle/2.png", "bee/beetle.png"},
           (const int[]){0, 1, 0}, 3);
    labels("_bee.\n_beetle.\n", 2, (const char *const[]){"q/1_bee.png", "q/2_beetle.png"},
           (const int[]){0, 1}, 2);
    labels("n01440764\nn01443537\n", 2,
           (const char *const[]){"n01440764/n01440764_10026.JPEG", "n01443537/n01443537_2.JPEG"},
           (const int[]){0, 1}, 2);
}

static void parts_of_a_set_are_no_class(void **state)
{
    (void)state;
    labels("tree\noak_tree\noak_bush\n", 3,
           (const char *const[]){"q/oak_tree.png", "q/oak_bush.png"}, (const int[]){1, 2},
           2); /* names begin alike: no folder */
    labels("train\nbus\n", 2,
           (const char *const[]){"train/1_bus.png", "test/2_train.png", "train/bus/3.png",
                                 "train/train/4.png"},
           (const int[]){1, 0, 1, 0}, 4);
}

static void lists_are_read_leniently(void **state)
{
    (void)state;
    am_data d;
    char path[PATH], list[1000];
    put_image("m/a cat/1 1.png", 5);
    put_image("m/dog/2.png", 6);
    put("m.labels", "\xef\xbb\xbf" "a cat\r\ndog\r\n\r\n");
    put("m.names", "Cat\nDog\n");
    snprintf(list, sizeof list, "\r\n  %s \r\n\r\n", at(path, "m/a cat/1 1.png"));
    snprintf(list + strlen(list), sizeof list - strlen(list), "%s", at(path, "m/dog/2.png"));
    put("m.list", list);
    opened(&d, "classes=2\nvalid=%/m.list\nlabels=%/m.labels\nnames=%/m.names\n", 2);
    assert_int_equal(d.valid.count, 2);
    assert_string_equal(d.valid.name[0], "Cat");
    reads_value(&d.valid, 0, 5);
    reads_value(&d.valid, 1, 6);
    am_data_close(&d);
    opened(&d, "classes=2\nvalid=%/m.list\nnames=%/m.labels\n", 2); /* names= does for labels= */
    assert_int_equal(d.valid.label[1], 1);
    am_data_close(&d);
}

static void refused_list(const char *names, int classes, const char *const *path, int count,
                         const char *why)
{
    char list[4000] = "", text[200], name[100], whole[PATH];
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof name, "l/%s", path[i]);
        if (path[i][0] != '!') put(name, "");
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s\n", at(whole, name));
    }
    put("l.list", list);
    put("l.labels", names);
    snprintf(text, sizeof text, "classes=%d\nvalid=%%/l.list\nlabels=%%/l.labels\n", classes);
    refused(text, 2, "l.list", why);
}

static void refuses_unclear_lists(void **state)
{
    (void)state;
    refused_list("man\nwoman\n", 2,
                 (const char *const[]){"u/1_man.png", "u/2_human.png", "u/3_man_woman.png",
                                       "u/man/4_woman.png"},
                 4,
                 "1 of 4 images have no label in their path, 2 have several; a label must stand by "
                 "itself, and labels= may hold it"
                 " with its neighbours (/bee/, _bee.)\n  line 2: %/l/u/2_human.png: no label\n  "
                 "line 3: %/l/u/3_man_woman.png: man,"
                 " woman\n  line 4: %/l/u/man/4_woman.png: man, woman");
    refused_list("bee\nant\n", 2, (const char *const[]){"u/1_bee.png", "!/2_ant.png"}, 2,
                 "1 of 2 images do not exist; paths are relative to the folder automix runs in\n  "
                 "line 2: %/l/!/2_ant.png: no such file");
    refused_list("train\nant\n", 2, (const char *const[]){"train/1.png", "train/2.png"}, 2,
                 "2 of 2 images have no label in their path, 0 have several; a label must stand by "
                 "itself, and labels= may hold it"
                 " with its neighbours (/bee/, _bee.)\n  line 1: %/l/train/1.png: no label\n  line "
                 "2: %/l/train/2.png: no label");
    put("l.labels", "ant\nant\n");
    refused("classes=2\nvalid=%/l.list\nlabels=%/l.labels\n", 2, "x.data",
            "labels= has 'ant' twice; a path could not tell the classes apart");
    refused("classes=2\nvalid=%/l.list\n", 2, "x.data",
            "a list needs labels= (or names=): a file with the label of each class as it occurs in "
            "the paths of %/l.list");
    put("l.list", "\n\n");
    refused("classes=2\nvalid=%/l.list\nnames=%/m.names\n", 2, "l.list",
            "the list is empty; one image path a line");
}

T_SUITE(dataset, cmocka_unit_test(reads_keys_and_defaults),
        cmocka_unit_test(refuses_wrong_data_files), cmocka_unit_test(refuses_backup_folders),
        cmocka_unit_test(reads_cifar100), cmocka_unit_test(refuses_damaged_cifar),
        cmocka_unit_test(reads_cifar10), cmocka_unit_test(takes_the_first_of_each_class),
        cmocka_unit_test(reads_folders), cmocka_unit_test(refuses_wrong_folders),
        cmocka_unit_test(reads_tiny_imagenet), cmocka_unit_test(labels_stand_by_themselves),
        cmocka_unit_test(stock_labels_are_taken_as_they_are),
        cmocka_unit_test(parts_of_a_set_are_no_class), cmocka_unit_test(lists_are_read_leniently),
        cmocka_unit_test(refuses_unclear_lists));
