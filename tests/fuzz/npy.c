/* fuzz/npy.c: any bytes as a .npy file: as whole numbers, and as images with four labels beside
 * them.  Beyond not crashing: what is accepted can be read to its last number and image; a refusal
 * says something. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "data.h"
#include "npy.h"

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
    static char folder[] = "fuzz-npy-XXXXXX";
    static const char labels[] = "\x93NUMPY\1\0\76\0{'descr': '|u1', 'fortran_order': False, "
                                 "'shape': (4,), }    \n\0\1\0\1";
    am_npy a;
    (void)argc;
    (void)argv;
    need(mkdtemp(folder) && !chdir(folder));
    put("labels.npy", labels, sizeof labels - 1);
    need(!am_npy_open(&a, "labels.npy", NULL) && a.dim[0] == 4);
    am_npy_close(&a);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    am_npy a;
    am_err e = {0};
    am_data data = {.classes = 2};
    am_dataset d;
    put("x.npy", bytes, size);
    if (am_npy_open(&a, "x.npy", &e)) {
        need(e.text[0] && a.fd < 0);
    } else {
        size_t count = 1;
        int last;
        for (int i = 0; i < a.dims; i++) count *= a.dim[i];
        if (count) need(!am_npy_ints(&a, count - 1, 1, &last, &e));
        am_npy_close(&a);
    }
    if (am_format_find("npy")->open(&d, &data, "x.npy", 0, &e)) {
        need(e.text[0] != 0);
    } else {
        am_image img = {0};
        need(d.count == 4);
        for (int i = 0; i < d.count; i++) need(!d.read(&d, i, &img, &e));
        am_image_free(&img);
        d.close(&d);
    }
    return 0;
}
