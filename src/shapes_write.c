/* shapes_write.c: writes the generated set as a folder.
 *
 *   DIR/shapes.data                          ready to train on
 *   DIR/names.txt                            the ten classes
 *   DIR/train/CLASS/NNNNN.png                the pictures; DIR/valid likewise
 *   DIR/train/silhouettes/CLASS/NNNNN.png    the object white on black
 *   DIR/train/boxes.txt                      CLASS/NNNNN.png x y width height, a line each
 *
 * The same options give the same bytes.  boxes.txt comes after the pictures it lists and
 * shapes.data last of all, so a folder whose writing was cut short is not taken for whole.  Nothing
 * is deleted but pictures of an earlier, larger set of the same folder.  Files are not synced one
 * by one: ten thousand of them would take minutes, and they can be written again. */
#include "file.h"
#include "shapes.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH = 4096, MOST = 1000000 };
enum { TAIL = 64 };             /* room for "/train/silhouettes/crescent/NNNNNN.png" */

static const char *const split_name[] = {"train", "valid"};

static am_status make_folder(const char *path, am_err *e)
{
    struct stat st;
    if (!mkdir(path, 0777) || (errno == EEXIST && !stat(path, &st) && S_ISDIR(st.st_mode)))
        return AM_OK;
    return am_fail(e, AM_EIO, (am_loc){path, 0},
                   "cannot make this folder: %s; name a place that may be written",
                   strerror(errno));
}

/* The folder and those above it. */
static am_status make_folders(const char *path, am_err *e)
{
    char part[PATH];
    for (const char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
        memcpy(part, path, (size_t)(p - path));
        part[p - path] = 0;
        AM_TRY(make_folder(part, e));
    }
    return make_folder(path, e);
}

/* Does the file hold just these bytes?  Then it is left alone: to write thousands of files anew
 * takes many times longer. */
static int holds(const char *path, const void *bytes, size_t size)
{
    struct stat st;
    FILE *f = stat(path, &st) || (size_t)st.st_size != size ? NULL : fopen(path, "rb");
    if (!f) return 0;
    char part[4096];
    const char *left = bytes;
    size_t n;
    while (size && (n = fread(part, 1, size < sizeof part ? size : sizeof part, f))
           && !memcmp(part, left, n)) {
        left += n;
        size -= n;
    }
    fclose(f);
    return !size;
}

static am_status write_file(const char *path, const void *bytes, size_t size, am_err *e)
{
    if (holds(path, bytes, size)) return AM_OK;
    FILE *f = fopen(path, "wb");
    int bad = !f || fwrite(bytes, 1, size, f) != size;
    int reason = errno;
    if (f && fclose(f) && !bad) {
        bad = 1;
        reason = errno;
    }
    if (!bad) return AM_OK;
    return am_fail(e, AM_EIO, (am_loc){path, 0}, "cannot write %zu bytes: %s", size,
                   strerror(reason));
}

static am_status write_png(const am_image *img, const char *path, am_err *e)
{
    unsigned char *bytes;
    size_t size;
    AM_TRY(am_image_encode_png(img, &bytes, &size, e));
    am_status s = write_file(path, bytes, size, e);
    free(bytes);
    return s;
}

/* ---- one split ---- */

typedef struct job {
    const char *folder;
    int split, size;
    uint64_t seed;
    am_image img, mask;                                 /* a picture; its silhouette as one */
    unsigned char *plane;
} job;

/* "arrow/00012.png" */
static void picture_name(char *out, size_t size, int class, int number)
{
    snprintf(out, size, "%s/%05d.png", am_shape_name[class], number);
}

static void name_of(const job *j, int index, char *out, size_t size)
{
    picture_name(out, size, am_shape_class(j->seed, j->split, index), index / AM_SHAPES);
}

static am_status job_open(job *j, am_err *e)
{
    AM_TRY(am_image_new(&j->img, j->size, j->size, e));
    AM_TRY(am_image_new(&j->mask, j->size, j->size, e));
    j->plane = malloc((size_t)j->size * (size_t)j->size);
    if (j->plane) return AM_OK;
    return am_fail(e, AM_ENOMEM, AM_NOPLACE, "no memory for a picture of %dx%d", j->size, j->size);
}

static void job_close(job *j)
{
    am_image_free(&j->img);
    am_image_free(&j->mask);
    free(j->plane);
}

static am_status write_one(job *j, int index, am_shape_box *box, am_err *e)
{
    char name[TAIL], path[PATH + 2 * TAIL];
    am_shape_draw(j->seed, j->split, index, &j->img, j->plane, box);
    for (int i = 0; i < j->size * j->size; i++) memset(j->mask.pixel + 3 * i, j->plane[i], 3);
    name_of(j, index, name, sizeof name);
    snprintf(path, sizeof path, "%s/%s/%s", j->folder, split_name[j->split], name);
    AM_TRY(write_png(&j->img, path, e));
    snprintf(path, sizeof path, "%s/%s/silhouettes/%s", j->folder, split_name[j->split], name);
    return write_png(&j->mask, path, e);
}

static am_status write_pictures(const job *like, int count, am_shape_box *box, am_err *e)
{
    am_err first = {0};
#pragma omp parallel
    {
        am_err mine = {0};
        job j = *like;
        am_status s = job_open(&j, &mine);
#pragma omp for schedule(dynamic, 32)
        for (int i = 0; i < count; i++)
            if (!s) s = write_one(&j, i, &box[i], &mine);
        job_close(&j);
        if (s) {
#pragma omp critical(am_shapes_fault)
            first = mine;
        }
    }
    if (first.status && e) *e = first;
    return first.status;
}

static am_status write_boxes(const job *j, int count, const am_shape_box *box, am_err *e)
{
    char name[TAIL], path[PATH + TAIL];
    size_t size, room = (size_t)count * 2 * TAIL + TAIL;
    char *text = malloc(room);
    if (!text)
        return am_fail(e, AM_ENOMEM, AM_NOPLACE, "no memory for the boxes of %d pictures", count);
    size = (size_t)snprintf(text, room, "# picture; left, top, width, height of its object\n");
    for (int i = 0; i < count; i++) {
        name_of(j, i, name, sizeof name);
        size += (size_t)snprintf(text + size, room - size, "%s %d %d %d %d\n", name, box[i].x,
                                 box[i].y, box[i].width, box[i].height);
    }
    snprintf(path, sizeof path, "%s/%s/boxes.txt", j->folder, split_name[j->split]);
    am_status s = write_file(path, text, size, e);
    free(text);
    return s;
}

static int remove_picture(const job *j, int class, int number)
{
    char name[TAIL], path[PATH + 2 * TAIL];
    picture_name(name, sizeof name, class, number);
    snprintf(path, sizeof path, "%s/%s/silhouettes/%s", j->folder, split_name[j->split], name);
    unlink(path);
    snprintf(path, sizeof path, "%s/%s/%s", j->folder, split_name[j->split], name);
    return !unlink(path);
}

/* Pictures that an earlier and larger set left: numbers follow each other without a gap. */
static void remove_older(const job *j, int count)
{
    int number = count / AM_SHAPES, ours[AM_SHAPES] = {0}, found = 1;
    for (int i = number * AM_SHAPES; i < count; i++) ours[am_shape_class(j->seed, j->split, i)] = 1;
    for (int c = 0; c < AM_SHAPES; c++)
        if (!ours[c]) remove_picture(j, c, number);
    while (found && ++number <= MOST / AM_SHAPES) {
        found = 0;
        for (int c = 0; c < AM_SHAPES; c++) found |= remove_picture(j, c, number);
    }
}

static am_status write_split(const job *j, int count, am_err *e)
{
    char path[PATH + 2 * TAIL];
    const char *split = split_name[j->split];
    snprintf(path, sizeof path, "%s/%s/silhouettes", j->folder, split);
    AM_TRY(make_folders(path, e));
    for (int c = 0; c < AM_SHAPES; c++) {
        snprintf(path, sizeof path, "%s/%s/%s", j->folder, split, am_shape_name[c]);
        AM_TRY(make_folder(path, e));
        snprintf(path, sizeof path, "%s/%s/silhouettes/%s", j->folder, split, am_shape_name[c]);
        AM_TRY(make_folder(path, e));
    }
    snprintf(path, sizeof path, "%s/%s/boxes.txt", j->folder, split);
    unlink(path);
    am_shape_box *box = calloc((size_t)count, sizeof *box);
    if (!box) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "no memory for %d boxes", count);
    am_status s = write_pictures(j, count, box, e);
    if (!s) remove_older(j, count);
    if (!s) s = write_boxes(j, count, box, e);
    free(box);
    return s;
}

static am_status write_data_file(const char *folder, const am_shapes_options *o, am_err *e)
{
    char path[PATH + TAIL], names[AM_SHAPES * TAIL], text[6 * PATH];
    size_t size = 0;
    for (int c = 0; c < AM_SHAPES; c++)
        size += (size_t)snprintf(names + size, sizeof names - size, "%s\n", am_shape_name[c]);
    snprintf(path, sizeof path, "%s/names.txt", folder);
    AM_TRY(write_file(path, names, size, e));
    int n = snprintf(text, sizeof text,
                     "# the generated set: %d pictures to train on, %d to validate, %dx%d,"
                     " seed %llu\n"
                     "classes=%d\nformat=shapes\ntrain=%s/train\nvalid=%s/valid\n"
                     "names=%s/names.txt\nbackup=%s/backup\ntop=2\n",
                     o->train, o->valid, o->size, o->size, (unsigned long long)o->seed, AM_SHAPES,
                     folder, folder, folder, folder);
    snprintf(path, sizeof path, "%s/shapes.data", folder);
    return write_file(path, text, (size_t)n, e);
}

am_status am_shapes_write(const char *folder, const am_shapes_options *o, am_err *e)
{
    char base[PATH];
    size_t length = strlen(folder);
    while (length > 1 && folder[length - 1] == '/') length--;
    if (!length || length >= sizeof base - TAIL)
        return am_fail(e, AM_EUSAGE, AM_NOPLACE,
                       "the folder's name has %zu letters; 1 to %d will do", length,
                       PATH - TAIL - 1);
    memcpy(base, folder, length);
    base[length] = 0;
    if (o->size < 16 || o->size > 512)
        return am_fail(e, AM_EUSAGE, AM_NOPLACE,
                       "size %d: the generated pictures are 16 to 512 pixels wide", o->size);
    int count[] = {o->train, o->valid};
    for (int split = 0; split < 2; split++)
        if (count[split] < AM_SHAPES || count[split] > MOST)
            return am_fail(e, AM_EUSAGE, AM_NOPLACE, "%d %s pictures: %d to %d can be drawn",
                           count[split], split_name[split], AM_SHAPES, MOST);
    AM_TRY(make_folders(base, e));
    char path[PATH + TAIL];
    snprintf(path, sizeof path, "%s/shapes.data", base);
    unlink(path);
    for (int split = 0; split < 2; split++) {
        job j = {.folder = base, .split = split, .size = o->size, .seed = o->seed};
        AM_TRY(write_split(&j, count[split], e));
    }
    return write_data_file(base, o, e);
}
