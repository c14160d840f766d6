/* dataset_folder.c: a folder for each class, images anywhere below it.
 *
 * Class k is the k-th folder of train= in the order of strcmp (or the k-th line of labels=, or of
 * names= where that names the folders); valid= must have no other folders.  Tiny-ImageNet's val/,
 * where val_annotations.txt says the class of each image, is read too.  Names that begin with a dot
 * are passed over, as is what is no image by its ending. */
#include "dataset.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { PATH = 4096, DEEPEST = 8 };

typedef struct entries { char **name; int count; } entries;     /* sorted */
typedef struct named { const char *name; int class; } named;
typedef struct classes { const char *const *name; named *sorted; int count; am_loc from; } classes;

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int is_folder(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

static int is_file(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISREG(st.st_mode);
}

static int is_image_name(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot
           && (!strcasecmp(dot, ".png") || !strcasecmp(dot, ".jpg") || !strcasecmp(dot, ".jpeg")
               || !strcasecmp(dot, ".bmp"));
}

/* path = folder/name */
static am_status join(char *path, const char *folder, const char *name, am_err *e)
{
    size_t n = strlen(folder);
    const char *slash = n && folder[n - 1] == '/' ? "" : "/";
    if (snprintf(path, PATH, "%s%s%s", folder, slash, name) < PATH) return AM_OK;
    return am_fail(e, AM_EINPUT, AM_NOPLACE, "a path below '%.80s...' is longer than %d bytes",
                   folder, PATH - 1);
}

/* What lies in a folder, sorted; its strings are the arena's. */
static am_status list(entries *l, am_arena *mem, const char *folder, am_err *e)
{
    *l = (entries){0};
    DIR *d = opendir(folder);
    if (!d)
        return am_fail(e, AM_EIO, (am_loc){folder, 0}, "the folder cannot be read: %s",
                       strerror(errno));
    am_arena names = {0};                               /* many pieces of 64 bytes, soon gone */
    int room = 0, ok = 1;
    size_t bytes = 0;
    char **name = NULL;
    for (struct dirent *f; ok && (f = readdir(d));) {
        if (f->d_name[0] == '.') continue;
        if (l->count == room) {
            char **more = realloc(name, (size_t)(room = 2 * room + 64) * sizeof *more);
            if (!more) ok = 0;
            else name = more;
        }
        if (ok) ok = (name[l->count++] = am_dup(&names, f->d_name)) != NULL;
        bytes += strlen(f->d_name) + 1;
    }
    closedir(d);
    char *text = ok ? am_new(mem, bytes) : NULL;
    l->name = text ? am_new(mem, (size_t)l->count * sizeof *l->name) : NULL;
    if (l->name) {
        if (l->count) qsort(name, (size_t)l->count, sizeof *name, by_name);
        for (int i = 0; i < l->count; i++) {
            size_t n = strlen(name[i]) + 1;
            l->name[i] = memcpy(text, name[i], n);
            text += n;
        }
    }
    free(name);
    am_arena_free(&names);
    return l->name ? AM_OK
                   : am_fail(e, AM_ENOMEM, (am_loc){folder, 0}, "no memory for the names in it");
}

/* Add all images below a folder, in sorted order. */
static am_status collect(am_files *f, const char *folder, int label, int depth, am_err *e)
{
    am_arena mem = {0};
    entries l;
    char path[PATH];
    am_status bad = list(&l, &mem, folder, e);
    for (int i = 0; !bad && i < l.count; i++) {
        bad = join(path, folder, l.name[i], e);
        if (bad) break;
        if (is_folder(path)) {
            if (depth == DEEPEST)
                bad = am_fail(e, AM_EINPUT, (am_loc){path, 0},
                              "more than %d folders deep; does a link lead back?", depth);
            else bad = collect(f, path, label, depth + 1, e);
        } else if (is_image_name(l.name[i])) {
            if (is_file(path)) bad = am_files_add(f, path, label, e);
            else
                bad = am_fail(e, AM_EINPUT, (am_loc){path, 0},
                              "is no file but a link to nowhere or a device; take it out");
        }
    }
    am_arena_free(&mem);
    return bad;
}

/* The folders in a folder: its classes. */
static am_status class_folders(entries *l, am_arena *mem, const char *folder, am_err *e)
{
    char path[PATH];
    int count = 0;
    AM_TRY(list(l, mem, folder, e));
    for (int i = 0; i < l->count; i++) {
        AM_TRY(join(path, folder, l->name[i], e));
        if (is_folder(path)) l->name[count++] = l->name[i];
    }
    l->count = count;
    return AM_OK;
}

/* Names that are no file of this set's, such as "tabby cat" for n02123045, say nothing of order. */
static int all_in(const entries *l, const char *const *name, int count)
{
    for (int i = 0; i < l->count; i++) {
        int k = 0;
        while (k < count && strcmp(l->name[i], name[k])) k++;
        if (k == count) return 0;
    }
    return l->count > 0;
}

/* Tiny-ImageNet without its training images: wnids.txt beside val/ names their folders. */
static am_status read_wnids(entries *l, am_arena *mem, const char *path, am_err *e)
{
    char file[PATH];
    am_lines lines;
    AM_TRY(join(file, path, "../wnids.txt", e));
    if (!is_file(file)) return AM_OK;
    AM_TRY(am_lines_read(&lines, mem, file, e));
    l->name = (char **)lines.text;
    l->count = lines.count;
    qsort(l->name, (size_t)l->count, sizeof *l->name, by_name);
    return AM_OK;
}

/* The order of classes: labels=, or the folders of train= (of valid= where there is no train=) as
 * names= orders them, or sorted where names= has other words. */
static am_status order_classes(classes *c, am_arena *mem, const am_data *data, const char *path,
                               am_err *e)
{
    entries l;
    int has_train = *data->train_path && is_folder(data->train_path);
    const char *from = has_train ? data->train_path : path;
    *c = (classes){data->labels, NULL, data->classes, {data->file, 0}};
    if (c->name) return AM_OK;
    AM_TRY(class_folders(&l, mem, from, e));
    if (!has_train) AM_TRY(read_wnids(&l, mem, path, e));
    *c = (classes){(const char *const *)l.name, NULL, l.count, {am_dup(mem, from), 0}};
    if (data->names && all_in(&l, data->names, data->classes)) {
        c->name = data->names;
        c->count = data->classes;
    }
    if (l.count == data->classes || (!has_train && c->name == data->names)) return AM_OK;
    return am_fail(e, AM_EINPUT, c->from,
                   "has %d folders, but classes=%d; there must be one folder for each class",
                   l.count, data->classes);
}

static int by_class_name(const void *a, const void *b)
{
    return strcmp(((const named *)a)->name, ((const named *)b)->name);
}

static am_status find_classes(classes *c, am_arena *mem, const am_data *data, const char *path,
                              am_err *e)
{
    AM_TRY(order_classes(c, mem, data, path, e));
    c->sorted = am_new(mem, (size_t)c->count * sizeof *c->sorted);
    if (!c->sorted) return am_fail(e, AM_ENOMEM, (am_loc){path, 0}, "no memory for its classes");
    for (int i = 0; i < c->count; i++) c->sorted[i] = (named){c->name[i], i};
    qsort(c->sorted, (size_t)c->count, sizeof *c->sorted, by_class_name);
    for (int i = 1; i < c->count; i++)
        if (!strcmp(c->sorted[i].name, c->sorted[i - 1].name))
            return am_fail(e, AM_EINPUT, c->from, "the class '%.100s' is named twice",
                           c->sorted[i].name);
    return AM_OK;
}

static am_status class_of(int *label, const char *name, const classes *c, am_loc at, am_err *e)
{
    const named *n = bsearch(&(named){name, 0}, c->sorted, (size_t)c->count, sizeof *c->sorted,
                             by_class_name);
    if (n) {
        *label = n->class;
        return AM_OK;
    }
    const char *near = am_nearest(name, c->name, c->count);
    return am_fail(e, AM_EINPUT, at, "'%.100s' is none of the %d classes of %s%s%s%s", name,
                   c->count, c->from.file, near ? "; did you mean '" : "", near ? near : "",
                   near ? "'?" : "");
}

/* val_annotations.txt: FILE <tab> CLASS <tab> box */
static am_status read_annotations(am_files *f, const classes *c, const char *folder, am_err *e)
{
    char list_path[PATH], path[PATH];
    am_lines l;
    AM_TRY(join(list_path, folder, "val_annotations.txt", e));
    char *place = am_dup(am_files_arena(f), list_path);
    if (!place) return am_fail(e, AM_ENOMEM, (am_loc){folder, 0}, "no memory for its name");
    AM_TRY(am_lines_read(&l, am_files_arena(f), list_path, e));
    for (int i = 0; i < l.count; i++) {
        am_loc at = {place, l.number[i]};
        char file[256], name[256], inside[300];
        int label;
        if (sscanf(l.text[i], "%255[^\t]\t%255[^\t]", file, name) != 2)
            return am_fail(e, AM_EINPUT, at, "'%.80s' is not 'FILE <tab> CLASS <tab> box'",
                           l.text[i]);
        AM_TRY(class_of(&label, name, c, at, e));
        snprintf(inside, sizeof inside, "images/%s", file);
        AM_TRY(join(path, folder, inside, e));
        if (!is_file(path))
            return am_fail(e, AM_EINPUT, at,
                           "image '%s' does not exist; unpack the set again, or take the line out",
                           path);
        AM_TRY(am_files_add(f, path, label, e));
    }
    return AM_OK;
}

static am_status read_folders(am_files *f, const classes *c, const char *folder, int train,
                              am_err *e)
{
    entries l;
    char path[PATH];
    AM_TRY(class_folders(&l, am_files_arena(f), folder, e));
    if (!l.count)
        return am_fail(e, AM_EINPUT, (am_loc){folder, 0},
                       "has no folders; format=folder wants one for each class");
    for (int i = 0; i < l.count; i++) {
        int label, before = am_files_count(f);
        AM_TRY(class_of(&label, l.name[i], c, (am_loc){folder, 0}, e));
        AM_TRY(join(path, folder, l.name[i], e));
        AM_TRY(collect(f, path, label, 0, e));
        if (train && am_files_count(f) == before)
            return am_fail(e, AM_EINPUT, (am_loc){path, 0},
                           "holds no image (.png, .jpg, .jpeg, .bmp); a class needs some to be "
                           "learned");
    }
    return AM_OK;
}

static am_status fill(am_files *f, am_dataset *d, const am_data *data, const char *path, int train,
                      am_err *e)
{
    classes c;
    char annotations[PATH];
    if (!is_folder(path))
        return am_fail(e, AM_EINPUT, (am_loc){path, 0},
                       "is not a folder; format=folder wants one folder for each class in it");
    AM_TRY(find_classes(&c, am_files_arena(f), data, path, e));
    AM_TRY(join(annotations, path, "val_annotations.txt", e));
    if (is_file(annotations)) AM_TRY(read_annotations(f, &c, path, e));
    else AM_TRY(read_folders(f, &c, path, train, e));
    d->name = c.name;
    return AM_OK;
}

static am_status open_set(am_dataset *d, const am_data *data, const char *path, int train,
                          am_err *e)
{
    am_files *f;
    *d = (am_dataset){.classes = data->classes};
    AM_TRY(am_files_new(&f, am_files_keep(train), e));
    am_status bad = fill(f, d, data, path, train, e);
    if (bad) {
        am_files_free(f);
        *d = (am_dataset){0};
    } else am_files_hand_over(f, d);
    return bad;
}

/* Folders in it, and not one of the layouts that other formats know. */
static int looks_like(const char *path)
{
    static const char *const others[] = {"boxes.txt", "train.bin", "test.bin", "data_batch_1.bin",
                                         "test_batch.bin"};
    am_arena mem = {0};
    entries l;
    char file[PATH];
    if (!is_folder(path)) return 0;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (!join(file, path, others[i], NULL) && is_file(file)) return 0;
    int yes = !class_folders(&l, &mem, path, NULL) && l.count > 0;
    am_arena_free(&mem);
    return yes;
}

const am_format am_format_folder = {
    .name = "folder",
    .help = "a folder for each class; Tiny-ImageNet's val/ with val_annotations.txt too",
    .looks_like = looks_like,
    .open = open_set};
