/* fuzz/list.c: any bytes as a list of images and the labels of their classes, the two with a byte 0xff
 * between.  Beyond not crashing: after success each image has a class there is and a path that was in
 * the list; a refusal says something.  A few files exist, so that paths can be right. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "data.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void need(int true_always)
{
    if (!true_always) abort();
}

static void put(const char *path, const void *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");
    need(f && fwrite(bytes, 1, size, f) == size && !fclose(f));
}

/* Everything happens in a new folder of the one it is started in, so it wants absolute paths. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static char folder[] = "fuzz-list-XXXXXX";
    static const char *const files[] = {"bee.png", "beetle_1.png", "train/bee/1.png",
                                        "train/1_bee.png", "a b.png"};
    (void)argc;
    (void)argv;
    need(mkdtemp(folder) && !chdir(folder) && !mkdir("train", 0777) && !mkdir("train/bee", 0777));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) put(files[i], "", 0);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const uint8_t *cut = size ? memchr(bytes, 0xff, size) : NULL;
    size_t labels = cut ? (size_t)(cut - bytes) : 0, from = cut ? labels + 1 : 0;
    char text[200];
    int classes = 1;
    am_data d;
    am_err e = {0};
    for (size_t i = 0; i + 1 < labels; i++) classes += bytes[i] == '\n';
    put("labels.txt", bytes, labels);
    put("x.list", bytes + from, size - from);
    int n = snprintf(text, sizeof text, "classes=%d\nvalid=x.list\nlabels=labels.txt\n", classes);
    put("x.data", text, (size_t)n);
    if (am_data_open(&d, "x.data", AM_DATA_VALID, &e)) {
        need(e.text[0] && memchr(e.text, 0, sizeof e.text));
        return 0;
    }
    need(d.valid.count > 0 && d.valid.classes == classes);
    for (int i = 0; i < d.valid.count; i++) {
        need(d.valid.label[i] >= 0 && d.valid.label[i] < classes);
        need(!access(d.valid.where(&d.valid, i), F_OK));
    }
    am_data_close(&d);
    return 0;
}
