/* dataset_files.c: a data set that is a list of image files with a label each.
 *
 * Small sets are decoded once: a decoded image stays in memory while all of them take no more than
 * the set's share.  A cached image is published by one atomic exchange, so readers take no lock. */
#include "dataset.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

typedef struct kept { int width, height; unsigned char pixel[]; } kept;

struct am_files {
    am_arena mem;
    char *text;                                         /* the paths, each with its zero */
    size_t used, room;
    size_t *at;                                         /* [count] where in text */
    int *label;                                         /* [count] */
    int count, slots;
    _Atomic(kept *) *kept;                              /* [count], or NULL */
    atomic_size_t left; /* bytes that decoded images may still take */
};

size_t am_files_keep(int train) { return train ? (size_t)768 << 20 : (size_t)256 << 20; }

am_status am_files_new(am_files **out, size_t keep, am_err *e)
{
    am_files *f = *out = calloc(1, sizeof *f);
    if (!f) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "no memory for a list of images");
    atomic_init(&f->left, keep);
    return AM_OK;
}

am_arena *am_files_arena(am_files *f) { return &f->mem; }

int am_files_count(const am_files *f) { return f->count; }

static int grow(am_files *f, size_t need)
{
    if (f->used + need > f->room) {
        size_t room = 2 * f->room + need + 4096;
        char *text = realloc(f->text, room);
        if (!text) return 0;
        f->text = text;
        f->room = room;
    }
    if (f->count == f->slots) {
        int slots = 2 * f->slots + 256;
        size_t *at = realloc(f->at, (size_t)slots * sizeof *at);
        if (at) f->at = at;
        int *label = realloc(f->label, (size_t)slots * sizeof *label);
        if (label) f->label = label;
        if (!at || !label) return 0;
        f->slots = slots;
    }
    return 1;
}

am_status am_files_add(am_files *f, const char *path, int label, am_err *e)
{
    size_t n = strlen(path) + 1;
    if (f->count >= 1 << 29)
        return am_fail(e, AM_EINPUT, (am_loc){path, 0}, "more than %d images in a set", f->count);
    if (!grow(f, n))
        return am_fail(e, AM_ENOMEM, (am_loc){path, 0}, "no memory for the list of images");
    memcpy(f->text + f->used, path, n);
    f->at[f->count] = f->used;
    f->label[f->count++] = label;
    f->used += n;
    return AM_OK;
}

static void keep(am_files *f, int index, const am_image *img)
{
    size_t size = sizeof(kept) + 3 * (size_t)img->width * (size_t)img->height;
    size_t left = atomic_load(&f->left);
    do {
        if (left < size) return;
    } while (!atomic_compare_exchange_weak(&f->left, &left, left - size));
    kept *k = malloc(size), *none = NULL;
    if (!k) return;                                     /* it will be decoded again */
    k->width = img->width;
    k->height = img->height;
    memcpy(k->pixel, img->pixel, size - sizeof *k);
    if (atomic_compare_exchange_strong(&f->kept[index], &none, k)) return;
    free(k);                                            /* another thread was first */
    atomic_fetch_add(&f->left, size);
}

static am_status read_sample(const am_dataset *d, int index, am_image *img, am_err *e)
{
    am_files *f = d->state;
    const kept *k = f->kept ? atomic_load(&f->kept[index]) : NULL;
    if (k) {
        AM_TRY(am_image_fit(img, k->width, k->height, e));
        memcpy(img->pixel, k->pixel, 3 * (size_t)k->width * (size_t)k->height);
        return AM_OK;
    }
    am_image_free(img);
    AM_TRY(am_image_read(img, f->text + f->at[index], e));
    if (f->kept) keep(f, index, img);
    return AM_OK;
}

static const char *where(const am_dataset *d, int index)
{
    const am_files *f = d->state;
    return f->text + f->at[index];
}

void am_files_free(am_files *f)
{
    if (!f) return;
    for (int i = 0; f->kept && i < f->count; i++) free(atomic_load(&f->kept[i]));
    free(f->kept);
    free(f->text);
    free(f->at);
    free(f->label);
    am_arena_free(&f->mem);
    free(f);
}

static void close_set(am_dataset *d)
{
    am_files_free(d->state);
    *d = (am_dataset){0};
}

void am_files_hand_over(am_files *f, am_dataset *d)
{
    f->kept = calloc((size_t)f->count + 1, sizeof *f->kept);
    d->count = f->count;
    d->label = f->label;
    d->state = f;
    d->read = read_sample;
    d->where = where;
    d->close = close_set;
}
