/* dataset_cifar.c: CIFAR's binary files, held in memory whole (CIFAR-100's training set is 154 MB).
 * Sizes and every label are checked at open. */
#include "dataset_cifar.h"
#include "file.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MOST_BYTES ((size_t)1 << 32)

typedef struct part { const char *path; const unsigned char *record; int count; } part;

typedef struct state {
    am_arena mem;
    part part[AM_CIFAR_FILES];
    int parts, label_bytes;
    char place[400];                                    /* what where() answered last */
} state;

static size_t record_bytes(const am_cifar *c) { return (size_t)c->label_bytes + AM_CIFAR_PIXELS; }

static const part *find(const state *s, int *index)
{
    const part *p = s->part;
    while (*index >= p->count) *index -= p++->count;
    return p;
}

static am_status read_sample(const am_dataset *d, int index, am_image *img, am_err *e)
{
    const state *s = d->state;
    AM_TRY(am_image_fit(img, 32, 32, e));
    const part *p = find(s, &index);
    const unsigned char *r =
        p->record + (size_t)index * (size_t)(s->label_bytes + AM_CIFAR_PIXELS) + s->label_bytes;
    for (int i = 0; i < AM_CIFAR_PLANE; i++) {
        img->pixel[3 * i] = r[i];
        img->pixel[3 * i + 1] = r[i + AM_CIFAR_PLANE];
        img->pixel[3 * i + 2] = r[i + 2 * AM_CIFAR_PLANE];
    }
    return AM_OK;
}

static const char *where(const am_dataset *d, int index)
{
    state *s = d->state;
    const part *p = find(s, &index);
    snprintf(s->place, sizeof s->place, "%s record %d", p->path, index);
    return s->place;
}

static void close_set(am_dataset *d)
{
    state *s = d->state;
    if (!s) return;
    am_arena_free(&s->mem);
    free(s);
    *d = (am_dataset){0};
}

static am_status load(state *s, const am_cifar *c, const am_data *data, const char *path, am_err *e)
{
    part *p = &s->part[s->parts++];
    am_loc here = {path, 0};
    char *bytes;
    size_t size, record = record_bytes(c);
    AM_TRY(am_file_slurp(&s->mem, path, MOST_BYTES, &bytes, &size, e));
    if (!size || size % record)
        return am_fail(e, AM_EINPUT, here,
                       "%zu bytes are %zu records of %s (%zu bytes each) and %zu bytes more; the "
                       "file is"
                       " cut or of another kind, %s fetches it",
                       size, size / record, c->title, record, size % record, c->script);
    *p = (part){am_dup(&s->mem, path), (unsigned char *)bytes, (int)(size / record)};
    if (!p->path) return am_fail(e, AM_ENOMEM, here, "no memory for its name");
    for (int i = 0; i < p->count; i++) {
        int label = p->record[(size_t)i * record + (size_t)c->label_bytes - 1];
        if (label >= data->classes)
            return am_fail(e, AM_EINPUT, here,
                           "record %d has class %d, but classes=%d; is this %s, with classes=%d?",
                           i, label, data->classes, c->title, c->classes);
    }
    return AM_OK;
}

/* The names that come with the records, if any. */
static am_status take_names(am_dataset *d, state *s, const am_cifar *c, const am_data *data,
                            am_err *e)
{
    const char *path = s->part[0].path, *slash = strrchr(path, '/');
    const char *names =
        am_print(&s->mem, "%.*s%s", slash ? (int)(slash + 1 - path) : 0, path, c->names);
    struct stat st;
    if (!names)
        return am_fail(e, AM_ENOMEM, (am_loc){path, 0}, "no memory for the names of the classes");
    if (data->names || data->classes != c->classes || stat(names, &st)) return AM_OK;
    return am_names_read(&d->name, &s->mem, names, data->classes, e);
}

am_status am_cifar_open(am_dataset *d, const am_cifar *c, const am_data *data,
                        const char *const *files, am_err *e)
{
    *d = (am_dataset){
        .classes = data->classes, .read = read_sample, .where = where, .close = close_set};
    if (data->classes > c->classes)
        return am_fail(e, AM_EINPUT, (am_loc){data->file, 0},
                       "classes=%d, but %s has %d; set classes=%d", data->classes, c->title,
                       c->classes, c->classes);
    state *s = d->state = calloc(1, sizeof *s);
    am_status bad =
        s ? AM_OK : am_fail(e, AM_ENOMEM, (am_loc){files[0], 0}, "no memory for the data set");
    if (s) s->label_bytes = c->label_bytes;
    for (int i = 0; !bad && i < AM_CIFAR_FILES && files[i]; i++) {
        bad = load(s, c, data, files[i], e);
        if (!bad) d->count += s->part[i].count;
    }
    int *label = bad ? NULL : am_new(&s->mem, (size_t)d->count * sizeof *label);
    if (!bad && !label)
        bad = am_fail(e, AM_ENOMEM, (am_loc){files[0], 0}, "no memory for %d labels", d->count);
    if (!bad) {
        int *to = label;
        for (const part *p = s->part; p < s->part + s->parts; p++)
            for (int i = 0; i < p->count; i++)
                *to++ = p->record[(size_t)i * record_bytes(c) + (size_t)c->label_bytes - 1];
        d->label = label;
        bad = take_names(d, s, c, data, e);
    }
    if (bad) close_set(d);
    return bad;
}

int am_cifar_looks_like(const am_cifar *c, const char *path)
{
    struct stat st;
    size_t n = strlen(path), mine = record_bytes(c),
           other = (size_t)(3 - c->label_bytes) + AM_CIFAR_PIXELS;
    if (n < 4 || strcmp(path + n - 4, ".bin") || stat(path, &st) || !S_ISREG(st.st_mode)
        || st.st_size < 1)
        return 0;
    return (size_t)st.st_size % mine == 0 && (size_t)st.st_size % other != 0;
}

int am_cifar_is_folder(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

int am_cifar_has(const char *folder, const char *file)
{
    char path[4096];
    struct stat st;
    return snprintf(path, sizeof path, "%s/%s", folder, file) < (int)sizeof path && !stat(path, &st)
           && S_ISREG(st.st_mode);
}
