/* dataset_npy.c: images as one array of bytes (N, height, width, 3) in a .npy file, the form of
 * CIFAR-10-C and CIFAR-100-C (Hendrycks and Dietterich 2019).  The class of each is a number in a
 * second file beside it: NAME_labels.npy of NAME.npy, or else labels.npy.
 *
 * Read image by image, as CIFAR's own files are; shapes, sizes and every label are checked at open.
 * */
#include "dataset.h"
#include "file.h"
#include "npy.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MOST_SIDE = 16384 };

typedef struct state {
    am_arena mem;
    am_npy images;
    int width, height;
    char place[400]; /* what where() answered last */
} state;

static am_status read_sample(const am_dataset *d, int index, am_image *img, am_err *e)
{
    const state *s = d->state;
    size_t bytes = 3 * (size_t)s->width * (size_t)s->height;
    AM_TRY(am_image_fit(img, s->width, s->height, e));
    return am_file_read_at(s->images.fd, s->images.path, s->images.at + (size_t)index * bytes,
                           img->pixel, bytes, e);
}

static const char *where(const am_dataset *d, int index)
{
    state *s = d->state;
    snprintf(s->place, sizeof s->place, "%s image %d", s->images.path, index);
    return s->place;
}

static void close_set(am_dataset *d)
{
    state *s = d->state;
    if (!s) return;
    am_npy_close(&s->images);
    am_arena_free(&s->mem);
    free(s);
    *d = (am_dataset){0};
}

static am_status open_images(am_dataset *d, state *s, const char *path, am_err *e)
{
    const am_npy *a = &s->images;
    AM_TRY(am_npy_open(&s->images, path, e));
    if (a->dims != 4 || a->item != 1 || a->dim[3] != 3 || a->dim[0] > INT_MAX || a->dim[1] < 1 ||
        a->dim[1] > MOST_SIDE || a->dim[2] < 1 || a->dim[2] > MOST_SIDE)
        return am_fail(
            e, AM_EINPUT, (am_loc){path, 0},
            "is an array of %d dimensions of '%s', not of images: (number, height, width, "
            "3) of bytes, '|u1'%s",
            a->dims, a->type, a->dims == 4 ? "; the last dimension is red, green, blue" : "");
    d->count = (int)a->dim[0];
    s->height = (int)a->dim[1];
    s->width = (int)a->dim[2];
    return AM_OK;
}

static am_status read_labels(am_dataset *d, state *s, const am_npy *a, am_err *e)
{
    am_loc at = {a->path, 0};
    if (a->dims != 1 || a->dim[0] != (size_t)d->count)
        return am_fail(e, AM_EINPUT, at,
                       "has %d dimensions and %zu numbers, not one for each of the %d images of %s",
                       a->dims, a->dims ? a->dim[0] : 1, d->count, s->images.path);
    int *label = am_new(&s->mem, ((size_t)d->count + 1) * sizeof *label);
    if (!label) return am_fail(e, AM_ENOMEM, at, "no memory for %d labels", d->count);
    AM_TRY(am_npy_ints(a, 0, d->count, label, e));
    for (int i = 0; i < d->count; i++)
        if (label[i] < 0 || label[i] >= d->classes)
            return am_fail(e, AM_EINPUT, at, "image %d has class %d, but classes=%d", i, label[i],
                           d->classes);
    d->label = label;
    return AM_OK;
}

/* NAME_labels.npy, or labels.npy beside it */
static const char *labels_of(am_arena *mem, const char *path)
{
    struct stat st;
    const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
    int folder = slash ? (int)(slash + 1 - path) : 0;
    int name = dot && dot >= path + folder ? (int)(dot - path) : (int)strlen(path);
    const char *own = am_print(mem, "%.*s_labels.npy", name, path);
    return own && !stat(own, &st) ? own : am_print(mem, "%.*slabels.npy", folder, path);
}

static am_status open_set(am_dataset *d, const am_data *data, const char *path, int train,
                          am_err *e)
{
    am_npy labels;
    (void)train;
    *d = (am_dataset){
        .classes = data->classes, .read = read_sample, .where = where, .close = close_set};
    state *s = d->state = calloc(1, sizeof *s);
    if (!s) return am_fail(e, AM_ENOMEM, (am_loc){path, 0}, "no memory for the data set");
    s->images.fd = -1;
    const char *own = am_dup(&s->mem, path), *second = own ? labels_of(&s->mem, own) : NULL;
    am_status bad = second ? AM_OK : am_fail(e, AM_ENOMEM, (am_loc){path, 0}, "out of memory");
    if (!bad) bad = open_images(d, s, own, e);
    if (!bad) bad = am_npy_open(&labels, second, e);
    if (!bad) {
        bad = read_labels(d, s, &labels, e);
        am_npy_close(&labels);
    }
    if (bad) close_set(d);
    return bad;
}

static int looks_like(const char *path)
{
    size_t n = strlen(path);
    return n > 4 && !strcmp(path + n - 4, ".npy");
}

const am_format am_format_npy = {
    .name = "npy",
    .help = "an array of images as numpy.save writes it, its labels in a second one beside it",
    .looks_like = looks_like,
    .open = open_set};
