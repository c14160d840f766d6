/* dataset_subset.c: part of a data set as a set of its own, in the other one's order: the first
 * images of each class (per_class=N, for runs on little data), or a slice. */
#include "dataset.h"
#include <stdlib.h>

typedef struct subset { am_dataset whole; int *index, *label; } subset;      /* [count] */

static am_status read_sample(const am_dataset *d, int i, am_image *img, am_err *e)
{
    const subset *s = d->state;
    return s->whole.read(&s->whole, s->index[i], img, e);
}

static am_status read_silhouette(const am_dataset *d, int i, unsigned char *plane, am_err *e)
{
    const subset *s = d->state;
    return s->whole.silhouette(&s->whole, s->index[i], plane, e);
}

static const char *where(const am_dataset *d, int i)
{
    const subset *s = d->state;
    return s->whole.where ? s->whole.where(&s->whole, s->index[i]) : NULL;
}

static void close_set(am_dataset *d)
{
    subset *s = d->state;
    if (s->whole.close) s->whole.close(&s->whole);
    free(s->index);
    free(s->label);
    free(s);
    *d = (am_dataset){0};
}

am_status am_dataset_first(am_dataset *d, int per_class, const char *path, am_err *e)
{
    int *seen = calloc((size_t)d->classes, sizeof *seen), count = 0;
    subset *s = calloc(1, sizeof *s);
    if (s) s->index = malloc((size_t)d->count * sizeof(int));
    if (s) s->label = malloc((size_t)d->count * sizeof(int));
    am_status bad = AM_OK;
    if (!seen || !s || !s->index || !s->label)
        bad = am_fail(e, AM_ENOMEM, (am_loc){path, 0}, "no memory to pick images of each class");
    for (int i = 0; !bad && i < d->count; i++) {
        int c = d->label[i];
        if (seen[c]++ >= per_class) continue;
        s->index[count] = i;
        s->label[count++] = c;
    }
    for (int c = 0; !bad && c < d->classes; c++)
        if (seen[c] < per_class)
            bad = am_fail(e, AM_EINPUT, (am_loc){path, 0},
                          "per_class=%d, but class %d%s%s has %d images; the most that works is the"
                          " smallest class",
                          per_class, c, d->name ? " " : "", d->name ? d->name[c] : "", seen[c]);
    free(seen);
    if (bad) {
        if (s) free(s->index);
        if (s) free(s->label);
        free(s);
        return bad;
    }
    s->whole = *d;
    d->count = count;
    d->label = s->label;
    d->state = s;
    d->read = read_sample;
    d->where = where;
    d->close = close_set;
    d->silhouette = s->whole.silhouette ? read_silhouette : NULL;
    return AM_OK;
}

/* ---- a slice ---- */
typedef struct slice { const am_dataset *whole; int first; } slice;

static am_status read_slice(const am_dataset *d, int i, am_image *img, am_err *e)
{
    const slice *s = d->state;
    return s->whole->read(s->whole, s->first + i, img, e);
}

static const char *where_in_slice(const am_dataset *d, int i)
{
    const slice *s = d->state;
    return s->whole->where ? s->whole->where(s->whole, s->first + i) : NULL;
}

static void close_slice(am_dataset *d)
{
    free(d->state);
    *d = (am_dataset){0};
}

am_status am_dataset_slice(am_dataset *d, const am_dataset *whole, int first, int count, am_err *e)
{
    slice *s = malloc(sizeof *s);
    *d = (am_dataset){0};
    if (!s) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "no memory for part of a data set");
    *s = (slice){whole, first};
    *d = (am_dataset){.count = count,
                      .classes = whole->classes,
                      .label = whole->label + first,
                      .name = whole->name,
                      .state = s,
                      .read = read_slice,
                      .where = where_in_slice,
                      .close = close_slice};
    return AM_OK;
}
