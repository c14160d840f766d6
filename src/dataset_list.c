/* dataset_list.c: Darknet's lists: an image path a line, whose class is the label that it holds.
 *
 * Darknet takes a label anywhere in the path: a beetle is a bee too, and every image below train/
 * is a train.  Here a label must stand by itself, between ends of the path and characters that are
 * neither letters nor digits (labels that bring their own, such as "_bee.", as they are), and a
 * label within a longer one is not seen ("pepper" in "sweet_pepper").  Then, in this order:
 *     - folders that all paths of the list begin with tell nothing and are not looked at
 *       (unless nothing else does);
 *     - a folder named as the parts of a data set are (train, test, ...) counts only when nothing
 *       to its right does;
 *     - what is left must be one label.
 * Nothing is guessed: images with several labels or none are refused with a table, and all files
 * must exist. */
#include "dataset.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MOST_HITS = 32, SHOWN = 4 };

typedef struct word { const char *text; size_t size; int class; } word;
typedef struct words { word *word; int count; size_t longest; } words;  /* sorted by text */
typedef struct hit { size_t from, to; const word *word; } hit;
typedef struct hits { hit hit[MOST_HITS]; int count; } hits;

/* What is wrong with the list, told once for all of it. */
typedef struct faults {
    int none, several, missing;
    char shown[400];
    size_t used;
    int lines;
} faults;

static int by_text(const void *a, const void *b)
{
    return strcmp(((const word *)a)->text, ((const word *)b)->text);
}

/* Letters and digits in any script: bytes of UTF-8 beyond ASCII are letters. */
static int is_inner(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c & 0x80);
}

/* The word equal to n bytes of text, or NULL. */
static const word *find(const words *w, const char *text, size_t n)
{
    int low = 0, high = w->count;
    while (low < high) {
        int middle = (low + high) / 2;
        const word *m = &w->word[middle];
        int order = memcmp(text, m->text, n < m->size ? n : m->size);
        if (!order) order = (n > m->size) - (n < m->size);
        if (!order) return m;
        if (order < 0) high = middle;
        else low = middle + 1;
    }
    return NULL;
}

/* May a word begin (end) between text[i-1] and text[i]? */
static int is_edge(const char *text, size_t i)
{
    return !i || !text[i] || !is_inner(text[i - 1]) || !is_inner(text[i]);
}

/* The labels that stand by themselves in text, without those inside longer ones. */
static void find_all(hits *h, const words *w, const char *text)
{
    size_t n = strlen(text);
    h->count = 0;
    for (size_t i = 0; i < n; i++) {
        if (!is_edge(text, i)) continue;
        size_t end = n - i < w->longest ? n : i + w->longest;
        while (end > i && !(is_edge(text, end) && find(w, text + i, end - i))) end--;
        if (end == i) continue;
        int within = 0;
        for (int k = 0; k < h->count; k++) within |= h->hit[k].to >= end;
        if (!within && h->count < MOST_HITS)
            h->hit[h->count++] = (hit){i, end, find(w, text + i, end - i)};
    }
}

/* Is the hit a whole folder with a name that sets of images use for their parts? */
static int is_part_name(const char *text, const hit *h)
{
    static const char *const names[] = {"train", "test", "valid", "val", "validation", "images"};
    if (text[h->to] != '/' || (h->from && text[h->from - 1] != '/')) return 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == h->to - h->from
            && !strncmp(text + h->from, names[i], h->to - h->from))
            return 1;
    return 0;
}

/* Drop what counts only when nothing to its right does, and what says the same again. */
static void settle(hits *h, const char *text)
{
    int count = 0;
    for (int i = 0; i < h->count; i++) {
        if (is_part_name(text, &h->hit[i]) && i + 1 < h->count) continue;
        int again = 0;
        for (int k = 0; k < count; k++) again |= h->hit[k].word == h->hit[i].word;
        if (!again) h->hit[count++] = h->hit[i];
    }
    h->count = count;
}

/* Nothing but the folders that all paths share tells a class: a list of one class.  The nearest
 * folder decides; parts of a set (train/) are no class here. */
static void nearest_folder(hits *h, const char *text)
{
    int count = 0;
    for (int i = 0; i < h->count; i++)
        if (!is_part_name(text, &h->hit[i])) h->hit[0] = h->hit[i], count = 1;
    h->count = count;
}

static void classify(hits *h, const words *w, const char *path, size_t shared)
{
    find_all(h, w, path + shared);
    settle(h, path + shared);
    if (h->count || !shared) return;
    find_all(h, w, path);
    nearest_folder(h, path);
}

/* Bytes of the folders that all paths begin with. */
static size_t shared_folders(const am_lines *l)
{
    size_t n = strlen(l->text[0]);
    for (int i = 1; i < l->count; i++) {
        size_t k = 0;
        while (k < n && l->text[i][k] == l->text[0][k]) k++;
        n = k;
    }
    while (n && l->text[0][n - 1] != '/') n--;
    return n;
}

/* One line of the table: the end of the path, as its beginning is the same for all. */
static void show(faults *f, int number, const char *path, const char *what)
{
    if (f->lines++ >= SHOWN) return;
    size_t n = strlen(path);
    const char *end = n > 40 ? path + n - 37 : path;
    int used = snprintf(f->shown + f->used, sizeof f->shown - f->used, "\n  line %d: %s%s: %.40s",
                        number, n > 40 ? "..." : "", end, what);
    if (used > 0) f->used += (size_t)used;
    if (f->used >= sizeof f->shown) f->used = sizeof f->shown - 1;
}

static int class_of(const am_lines *l, int i, const words *w, size_t shared, faults *f)
{
    hits h;
    struct stat st;
    char what[80];
    const char *path = l->text[i];
    if (stat(path, &st) || !S_ISREG(st.st_mode)) {
        f->missing++;
        show(f, l->number[i], path, "no such file");
        return -1;
    }
    classify(&h, w, path, shared);
    if (h.count == 1) return h.hit[0].word->class;
    if (h.count)
        snprintf(what, sizeof what, "%.30s, %.30s", h.hit[0].word->text, h.hit[1].word->text);
    f->several += h.count > 1;
    f->none += !h.count;
    show(f, l->number[i], path, h.count ? what : "no label");
    return -1;
}

static am_status report(const faults *f, int count, const char *path, am_err *e)
{
    if (f->missing)
        return am_fail(e, AM_EINPUT, (am_loc){path, 0},
                       "%d of %d images do not exist; paths are relative to the folder automix"
                       " runs in%s",
                       f->missing, count, f->shown);
    if (f->none || f->several)
        return am_fail(e, AM_EINPUT, (am_loc){path, 0},
                       "%d of %d images have no label in their path, %d have several; a label must"
                       " stand by itself, and labels= may hold it with its neighbours"
                       " (/bee/, _bee.)%s",
                       f->none, count, f->several, f->shown);
    return AM_OK;
}

static am_status read_words(words *w, am_arena *mem, const am_data *data, const char *path,
                            am_err *e)
{
    const char *const *label = data->labels ? data->labels : data->names;
    if (!label)
        return am_fail(e, AM_EINPUT, (am_loc){data->file, 0},
                       "a list needs labels= (or names=): a file with the label of each class"
                       " as it occurs in the paths of %s",
                       path);
    w->count = data->classes;
    w->word = am_new(mem, (size_t)w->count * sizeof *w->word);
    if (!w->word)
        return am_fail(e, AM_ENOMEM, (am_loc){path, 0}, "no memory for %d labels", w->count);
    for (int i = 0; i < w->count; i++) {
        w->word[i] = (word){label[i], strlen(label[i]), i};
        if (w->word[i].size > w->longest) w->longest = w->word[i].size;
    }
    qsort(w->word, (size_t)w->count, sizeof *w->word, by_text);
    for (int i = 1; i < w->count; i++)
        if (!strcmp(w->word[i].text, w->word[i - 1].text))
            return am_fail(e, AM_EINPUT, (am_loc){data->file, 0},
                           "labels= has '%.80s' twice; a path could not tell the classes apart",
                           w->word[i].text);
    return AM_OK;
}

static am_status fill(am_files *f, const am_data *data, const char *path, am_err *e)
{
    words w = {0};
    am_lines l;
    faults bad = {0};
    AM_TRY(read_words(&w, am_files_arena(f), data, path, e));
    AM_TRY(am_lines_read(&l, am_files_arena(f), path, e));
    if (!l.count)
        return am_fail(e, AM_EINPUT, (am_loc){path, 0}, "the list is empty; one image path a line");
    size_t shared = shared_folders(&l);
    for (int i = 0; i < l.count; i++) {
        int class = class_of(&l, i, &w, shared, &bad);
        if (class >= 0) AM_TRY(am_files_add(f, l.text[i], class, e));
    }
    return report(&bad, l.count, path, e);
}

static am_status open_set(am_dataset *d, const am_data *data, const char *path, int train,
                          am_err *e)
{
    am_files *f;
    *d = (am_dataset){.classes = data->classes};
    AM_TRY(am_files_new(&f, am_files_keep(train), e));
    am_status bad = fill(f, data, path, e);
    if (bad) {
        am_files_free(f);
        *d = (am_dataset){0};
    } else am_files_hand_over(f, d);
    return bad;
}

static int looks_like(const char *path)
{
    struct stat st;
    size_t n = strlen(path);
    if (stat(path, &st) || !S_ISREG(st.st_mode)) return 0;
    return (n > 5 && !strcmp(path + n - 5, ".list")) || (n > 4 && !strcmp(path + n - 4, ".txt"));
}

const am_format am_format_list = {
    .name = "list",
    .help = "Darknet's lists: an image path a line, with the label of its class in the path",
    .looks_like = looks_like,
    .open = open_set};
