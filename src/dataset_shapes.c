/* dataset_shapes.c: reads the generated set as shapes_write.c lays it out: pictures and the
 * silhouette of each.  boxes.txt says which pictures there are and in which order; a picture's
 * class is its folder.  Everything is decoded at open (4,000 pictures of 32x32 take 16 MB). */
#include "file.h"
#include "shapes.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH = 4096 };
#define BOXES_MOST ((size_t)256 << 20)

typedef struct state {
    am_arena mem;
    int width, height;
    unsigned char *pixel, *plane;                       /* [count][h][w][3] and [count][h][w] */
    const char **path;                                  /* [count] */
    const char **name;                                  /* [count] below train/ or silhouettes/ */
    int *label;
} state;

static size_t area(const state *s) { return (size_t)s->width * (size_t)s->height; }

static int looks_like(const char *path)
{
    char part[PATH];
    struct stat st;
    if (snprintf(part, sizeof part, "%s/boxes.txt", path) >= (int)sizeof part || stat(part, &st)
        || !S_ISREG(st.st_mode))
        return 0;
    return snprintf(part, sizeof part, "%s/silhouettes", path) < (int)sizeof part
           && !stat(part, &st) && S_ISDIR(st.st_mode);
}

static int class_of(const char *name)
{
    for (int c = 0; c < AM_SHAPES; c++) {
        size_t n = strlen(am_shape_name[c]);
        if (!strncmp(name, am_shape_name[c], n) && name[n] == '/' && name[n + 1]
            && !strchr(name + n + 1, '/'))
            return c;
    }
    return -1;
}

/* One line of boxes.txt; the box itself is for readers of the file, but must be one. */
static am_status read_line(state *s, const char *folder, char *line, int count, am_loc at,
                           am_err *e)
{
    int x, y, w, h, end = -1;
    char *space = strchr(line, ' ');
    if (!space || sscanf(space, "%d %d %d %d %n", &x, &y, &w, &h, &end) != 4 || end < 0
        || space[end] || x < 0 || y < 0 || w < 1 || h < 1)
        return am_fail(e, AM_EINPUT, at,
                       "'%.60s' is not 'CLASS/NNNNN.png x y width height'; write the set anew with"
                       " automix data shapes", line);
    *space = 0;
    s->label[count] = class_of(line);
    if (s->label[count] < 0)
        return am_fail(e, AM_EINPUT, at,
                       "'%.60s' is in no folder of the generated set's classes (arrow, bow, ...);"
                       " other pictures are read with format=folder", line);
    s->name[count] = line;
    s->path[count] = am_print(&s->mem, "%s/%s", folder, line);
    if (s->path[count]) return AM_OK;
    return am_fail(e, AM_ENOMEM, at, "no memory for the names of the pictures");
}

static am_status read_list(state *s, const char *folder, int *count, am_err *e)
{
    char *list = am_print(&s->mem, "%s/boxes.txt", folder), *text;
    size_t size, lines = 1;
    if (!list) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "no memory for the list of pictures");
    AM_TRY(am_file_slurp(&s->mem, list, BOXES_MOST, &text, &size, e));
    for (size_t i = 0; i < size; i++) lines += text[i] == '\n';
    s->name = am_new(&s->mem, lines * sizeof *s->name);
    s->path = am_new(&s->mem, lines * sizeof *s->path);
    s->label = am_new(&s->mem, lines * sizeof *s->label);
    if (!s->name || !s->path || !s->label)
        return am_fail(e, AM_ENOMEM, AM_NOPLACE, "no memory for %zu pictures", lines);
    am_loc at = {list, 0};
    for (char *line = text, *next; line; line = next) {
        at.line++;
        if ((next = strchr(line, '\n'))) *next++ = 0;
        line[strcspn(line, "\r")] = 0;
        if (!*line || *line == '#') continue;
        AM_TRY(read_line(s, folder, line, *count, at, e));
        ++*count;
    }
    if (!*count)
        return am_fail(e, AM_EINPUT, (am_loc){list, 0},
                       "lists no picture; write the set anew with automix data shapes");
    return AM_OK;
}

static am_status check_size(const state *s, const am_image *img, const char *path, am_err *e)
{
    if (img->width == s->width && img->height == s->height) return AM_OK;
    return am_fail(e, AM_EINPUT, (am_loc){path, 0},
                   "%dx%d, but the first picture, '%s', is %dx%d; write the set anew with"
                   " automix data shapes",
                   img->width, img->height, s->path[0], s->width, s->height);
}

/* Decode a picture or a silhouette to its place; the first picture sets the size. */
static am_status load(state *s, int i, int count, const char *path, int silhouette, am_err *e)
{
    am_image img = {0};
    AM_TRY(am_image_read(&img, path, e));
    if (!s->pixel) {
        s->width = img.width;
        s->height = img.height;
        s->pixel = malloc((size_t)count * area(s) * 3);
        s->plane = malloc((size_t)count * area(s));
    }
    am_status bad = AM_OK;
    if (!s->pixel || !s->plane)
        bad = am_fail(e, AM_ENOMEM, (am_loc){path, 0}, "no memory for %d pictures of %dx%d", count,
                      s->width, s->height);
    if (!bad) bad = check_size(s, &img, path, e);
    if (!bad && !silhouette) memcpy(s->pixel + (size_t)i * area(s) * 3, img.pixel, area(s) * 3);
    if (!bad && silhouette)
        for (size_t k = 0; k < area(s); k++)
            s->plane[(size_t)i * area(s) + k] = img.pixel[3 * k] >= 128 ? 255 : 0;
    am_image_free(&img);
    return bad;
}

static am_status read_sample(const am_dataset *d, int index, am_image *img, am_err *e)
{
    const state *s = d->state;
    if (img->width != s->width || img->height != s->height || !img->pixel) {
        am_image_free(img);
        AM_TRY(am_image_new(img, s->width, s->height, e));
    }
    memcpy(img->pixel, s->pixel + (size_t)index * area(s) * 3, area(s) * 3);
    return AM_OK;
}

static am_status read_silhouette(const am_dataset *d, int index, unsigned char *plane, am_err *e)
{
    (void)e;
    const state *s = d->state;
    memcpy(plane, s->plane + (size_t)index * area(s), area(s));
    return AM_OK;
}

static const char *where(const am_dataset *d, int index)
{
    return ((const state *)d->state)->path[index];
}

static void close_set(am_dataset *d)
{
    state *s = d->state;
    if (!s) return;
    free(s->pixel);
    free(s->plane);
    am_arena_free(&s->mem);
    free(s);
    *d = (am_dataset){0};
}

static am_status fill(am_dataset *d, state *s, const char *folder, am_err *e)
{
    char path[PATH];
    struct stat st;
    if (stat(folder, &st) || !S_ISDIR(st.st_mode))
        return am_fail(e, AM_EINPUT, (am_loc){folder, 0},
                       "no such folder; automix data shapes writes it");
    AM_TRY(read_list(s, folder, &d->count, e));
    for (int i = 0; i < d->count; i++) {
        AM_TRY(load(s, i, d->count, s->path[i], 0, e));
        if (snprintf(path, sizeof path, "%s/silhouettes/%s", folder, s->name[i])
            >= (int)sizeof path)
            return am_fail(e, AM_EINPUT, (am_loc){folder, 0}, "the path is too long");
        AM_TRY(load(s, i, d->count, path, 1, e));
    }
    return AM_OK;
}

static am_status open_set(am_dataset *d, const am_data *data, const char *path, int train,
                          am_err *e)
{
    (void)data;
    (void)train;
    state *s = calloc(1, sizeof *s);
    if (!s) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "no memory to open '%s'", path);
    *d = (am_dataset){.classes = AM_SHAPES, .name = am_shape_name, .state = s, .read = read_sample,
                      .where = where, .close = close_set, .silhouette = read_silhouette};
    am_status bad = fill(d, s, path, e);
    if (bad) close_set(d);
    else d->label = s->label;
    return bad;
}

const am_format am_format_shapes = {
    "shapes", "the generated set, as automix data shapes writes it", looks_like, open_set,
};
