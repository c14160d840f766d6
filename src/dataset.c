/* dataset.c: a .data file, and everything that can be checked before the first batch. */
#include "dataset.h"
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LEAST_SPACE ((unsigned long long)64 << 20)      /* bytes: a checkpoint of a small network */

typedef struct options {
    int classes, top, per_class;
    const char *train, *valid, *names, *labels, *backup, *format, *corruptions;
} options;
#define OPTIONS options
const am_key am_data_keys[] = {
    AM_INT(classes, 1, 1e6, AM_REQUIRED, "number of classes"),
    AM_WORD(train, "", "training images: a list, a folder or a binary file"),
    AM_WORD(valid, "", "validation images, likewise"),
    AM_WORD(labels, "",
            "file with the label of each class, one a line: what occurs in the paths of lists, or "
            "the folders' names"),
    AM_WORD(names, "",
            "file with the name of each class as it is printed, one a line; default: labels, or "
            "what comes with the images"),
    AM_WORD(backup, "backup",
            "folder for weights, logs and pictures of the run; made if its parent exists"),
    AM_INT(top, 1, 1e6, "1", "a prediction counts for top-k when the class is among this many"),
    AM_WORD(format, "",
            "cifar100, cifar10, folder, list, npy or shapes; default: guessed from the path where "
            "that is safe"),
    AM_INT(per_class, 0, 1e6, "0", "train on the first so many images of each class; 0: on all"),
    AM_WORD(corruptions, "",
            "folder of corrupted validation images (CIFAR-100-C): a .npy file for each corruption, "
            "five severities one after the other, and labels.npy; valid scores them too"),
    {0}};

static am_loc line_of(const am_section *s, const char *key)
{
    for (int i = 0; i < s->lines; i++)
        if (!strcmp(s->line[i].key, key)) return s->line[i].loc;
    return s->loc;
}

/* How to get what is not there. */
static const char *hint(const char *path)
{
    if (strstr(path, "CIFAR-100-C"))
        return "scripts/get_cifar100c.sh fetches CIFAR-100-C into data/";
    if (strstr(path, "CIFAR-10-C"))
        return "scripts/get_cifar10c.sh fetches CIFAR-10-C into data/";
    if (strstr(path, "cifar-100") || strstr(path, "cifar100"))
        return "scripts/get_cifar100.sh fetches CIFAR-100 into data/";
    if (strstr(path, "cifar-10") || strstr(path, "cifar10"))
        return "scripts/get_cifar10.sh fetches CIFAR-10 into data/";
    if (strstr(path, "tiny-imagenet"))
        return "scripts/get_tiny_imagenet.sh fetches Tiny-ImageNet into data/";
    if (strstr(path, "CUB_200")) return "scripts/get_cub200.sh fetches CUB-200-2011 into data/";
    if (strstr(path, "fgvc-aircraft"))
        return "scripts/get_aircraft.sh fetches FGVC-Aircraft into data/";
    if (strstr(path, "data/imagenet"))
        return "scripts/get_imagenet.sh unpacks ImageNet, once you have fetched it";
    if (strstr(path, "shapes")) return "automix data shapes FOLDER writes the generated set";
    return "paths are relative to the folder automix runs in";
}

static am_status open_set(am_data *d, am_dataset *set, const am_section *s, const char *key,
                          const char *path, int train, am_err *e)
{
    am_loc at = line_of(s, key);
    struct stat st;
    if (!*path)
        return am_fail(e, AM_EINPUT, at, "%s= is missing: it names the %s images", key,
                       train ? "training" : "validation");
    if (stat(path, &st))
        return am_fail(e, AM_EINPUT, at, "%s=%s: %s; %s", key, path,
                       errno == ENOENT ? "does not exist" : strerror(errno), hint(path));
    const am_format *f = *d->format ? am_format_find(d->format) : am_format_guess(path);
    if (!f && *d->format)
        return am_fail(e, AM_EINPUT, line_of(s, "format"),
                       "format=%s is none of cifar100, cifar10, folder, list, npy, shapes",
                       d->format);
    if (!f)
        return am_fail(e, AM_EINPUT, at,
                       "cannot tell what %s=%s is; add format=cifar100, cifar10, folder, list, "
                       "npy or shapes", key, path);
    AM_TRY(f->open(set, d, path, train, e));
    if (d->names) set->name = d->names;
    if (!set->count) return am_fail(e, AM_EINPUT, at, "%s=%s holds no images", key, path);
    return train && d->per_class ? am_dataset_first(set, d->per_class, path, e) : AM_OK;
}

static am_status read_names(am_data *d, const options *o, am_err *e)
{
    if (*o->labels) {
        AM_TRY(am_names_read(&d->labels, &d->mem, o->labels, d->classes, e));
        d->names = d->labels;
    }
    return *o->names ? am_names_read(&d->names, &d->mem, o->names, d->classes, e) : AM_OK;
}

/* Hours of training must not end in a folder that takes no file. */
static am_status check_backup(const am_data *d, am_loc at, am_err *e)
{
    struct stat st;
    struct statvfs disk;
    const char *dir = d->backup;
    if (mkdir(dir, 0777) && errno != EEXIST)
        return am_fail(e, AM_EIO, at,
                       "backup=%s cannot be made: %s; make the folder, or name another", dir,
                       strerror(errno));
    if (stat(dir, &st) || !S_ISDIR(st.st_mode))
        return am_fail(e, AM_EIO, at, "backup=%s is not a folder", dir);
    char path[4096];
    if (snprintf(path, sizeof path, "%s/write-test.%ld", dir, (long)getpid()) >= (int)sizeof path)
        return am_fail(e, AM_EINPUT, at, "backup= is longer than any path may be");
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return am_fail(e, AM_EIO, at, "backup=%s takes no files: %s; weights could not be saved",
                       dir, strerror(errno));
    close(fd);
    unlink(path);
    if (statvfs(dir, &disk)) return AM_OK;
    unsigned long long space = (unsigned long long)disk.f_bavail * disk.f_frsize;
    if (space < LEAST_SPACE)
        return am_fail(e, AM_EIO, at,
                       "backup=%s has %llu MiB of disk left, and a checkpoint may take %llu; make "
                       "room or name another folder",
                       dir, space >> 20, LEAST_SPACE >> 20);
    return AM_OK;
}

static am_status open_data(am_data *d, const char *file, int which, am_err *e)
{
    am_section s;
    options o;
    struct stat st;
    d->file = am_dup(&d->mem, file);
    if (!d->file) return am_fail(e, AM_ENOMEM, (am_loc){file, 0}, "no memory for its name");
    AM_TRY(am_cfg_load_data(&s, &d->mem, file, e));
    AM_TRY(am_keys_read(am_data_keys, &o, NULL, NULL, &s, NULL, e));
    d->classes = o.classes;
    d->top = o.top;
    d->per_class = o.per_class;
    d->backup = o.backup;
    d->format = o.format;
    d->corruptions = o.corruptions;
    d->train_path = o.train;
    d->valid_path = o.valid;
    if (d->top > d->classes)
        return am_fail(e, AM_EINPUT, line_of(&s, "top"),
                       "top=%d of classes=%d; top is at most the number of classes", d->top,
                       d->classes);
    AM_TRY(read_names(d, &o, e));
    if (which & AM_DATA_TRAIN) AM_TRY(check_backup(d, line_of(&s, "backup"), e));
    if (which & AM_DATA_TRAIN) AM_TRY(open_set(d, &d->train, &s, "train", o.train, 1, e));
    if (which & AM_DATA_VALID) AM_TRY(open_set(d, &d->valid, &s, "valid", o.valid, 0, e));
    if (which & AM_DATA_VALID && *d->corruptions &&
        (stat(d->corruptions, &st) || !S_ISDIR(st.st_mode)))
        return am_fail(e, AM_EINPUT, line_of(&s, "corruptions"), "corruptions=%s is no folder; %s",
                       d->corruptions, hint(d->corruptions));
    if (!d->names) d->names = d->train.name ? d->train.name : d->valid.name;
    return AM_OK;
}

am_status am_data_open(am_data *d, const char *file, int which, am_err *e)
{
    *d = (am_data){0};
    am_status bad = open_data(d, file, which, e);
    if (bad) am_data_close(d);
    return bad;
}

void am_data_close(am_data *d)
{
    if (d->train.close) d->train.close(&d->train);
    if (d->valid.close) d->valid.close(&d->valid);
    am_arena_free(&d->mem);
    *d = (am_data){0};
}
