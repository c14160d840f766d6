/* dataset_cifar.c: CIFAR's binary files, read record by record: the system keeps in memory what is
 * read again and again, and gives it up where a net needs the room.  Sizes and every label are checked
 * at open. */
#include "dataset_cifar.h"
#include "file.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_BYTES ((size_t)1 << 32)
enum { MOST_RECORD = 2 + AM_CIFAR_PIXELS, CHUNK = 256 };

typedef struct part { const char *path; int fd, count; } part;

typedef struct state {
    am_arena mem;
    part part[AM_CIFAR_FILES];
    int parts, label_bytes;
    char place[400];                                    /* what where() answered last */
} state;

static size_t record_bytes(int label_bytes) { return (size_t)label_bytes + AM_CIFAR_PIXELS; }

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
    size_t at = (size_t)index * record_bytes(s->label_bytes) + (size_t)s->label_bytes;
    unsigned char r[AM_CIFAR_PIXELS];
    AM_TRY(am_file_read_at(p->fd, p->path, at, r, sizeof r, e));
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
    for (int i = 0; i < s->parts; i++) close(s->part[i].fd);
    am_arena_free(&s->mem);
    free(s);
    *d = (am_dataset){0};
}

static am_status open_part(state *s, const am_cifar *c, const char *path, am_err *e)
{
    part *p = &s->part[s->parts];
    size_t size, record = record_bytes(c->label_bytes);
    AM_TRY(am_file_open(path, &p->fd, &size, e));
    s->parts++; /* close_set owes a close from here on */
    if (!size || size % record || size > MOST_BYTES)
        return am_fail(e, AM_EINPUT, (am_loc){path, 0},
                       "%zu bytes are %zu records of %s (%zu bytes each) and %zu bytes more; the "
                       "file is cut or of another kind, %s fetches it",
                       size, size / record, c->title, record, size % record, c->script);
    p->count = (int)(size / record);
    p->path = am_dup(&s->mem, path);
    return p->path ? AM_OK : am_fail(e, AM_ENOMEM, (am_loc){path, 0}, "no memory for its name");
}

/* Writes the part's labels, count numbers. */
static am_status read_labels(const part *p, const am_cifar *c, int classes, int *label,
                             unsigned char *chunk, am_err *e)
{
    size_t record = record_bytes(c->label_bytes);
    for (int first = 0; first < p->count; first += CHUNK) {
        int n = p->count - first < CHUNK ? p->count - first : CHUNK;
        AM_TRY(am_file_read_at(p->fd, p->path, (size_t)first * record, chunk, (size_t)n * record, e));
        for (int i = 0; i < n; i++) {
            int is = chunk[(size_t)i * record + (size_t)c->label_bytes - 1];
            if (is >= classes)
                return am_fail(
                    e, AM_EINPUT, (am_loc){p->path, 0},
                    "record %d has class %d, but classes=%d; is this %s, with classes=%d?",
                    first + i, is, classes, c->title, c->classes);
            label[first + i] = is;
        }
    }
    return AM_OK;
}

static am_status read_all_labels(am_dataset *d, state *s, const am_cifar *c, am_err *e)
{
    for (const part *p = s->part; p < s->part + s->parts; p++) d->count += p->count;
    int *label = am_new(&s->mem, (size_t)d->count * sizeof *label);
    unsigned char *chunk = malloc((size_t)CHUNK * MOST_RECORD);
    am_status bad = AM_OK;
    if (!label || !chunk)
        bad = am_fail(e, AM_ENOMEM, (am_loc){s->part[0].path, 0}, "no memory for %d labels",
                      d->count);
    d->label = label;
    for (const part *p = s->part; !bad && p < s->part + s->parts; label += p++->count)
        bad = read_labels(p, c, d->classes, label, chunk, e);
    free(chunk);
    return bad;
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
    for (int i = 0; !bad && i < AM_CIFAR_FILES && files[i]; i++) bad = open_part(s, c, files[i], e);
    if (!bad) bad = read_all_labels(d, s, c, e);
    if (!bad) bad = take_names(d, s, c, data, e);
    if (bad) close_set(d);
    return bad;
}

int am_cifar_looks_like(const am_cifar *c, const char *path)
{
    struct stat st;
    size_t n = strlen(path), mine = record_bytes(c->label_bytes),
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
