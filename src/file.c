/* file.c: whole files, read at once and written so that no crash leaves half of one; and what the
 * two formats of named tensors share. */
#include "file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 1 << 22 };                               /* bytes per write(2) */

/* A write that failed: the system's reason, and what can be done about it. */
static am_status refused(am_err *e, const char *path, const char *doing, int why, size_t bytes)
{
    const char *next = "";
    switch (why) {
    case ENOENT: next = "; its folder does not exist, create it first"; break;
    case EACCES:
    case EPERM:
    case EROFS: next = "; choose another folder or change its permissions"; break;
    case ENOSPC:
    case EDQUOT:
    case EFBIG: next = "; make room or choose another folder"; break;
    }
    return am_fail(e, AM_EIO, (am_loc){path, 0}, "%s: %s (%zu bytes are needed)%s", doing,
                   strerror(why), bytes, next);
}

static int write_all(int fd, const char *bytes, size_t size)
{
    while (size) {
        ssize_t n = write(fd, bytes, size < CHUNK ? size : CHUNK);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -1;
        bytes += n;
        size -= (size_t)n;
    }
    return 0;
}

/* The new name is on the disk only when its folder is.  Some file systems refuse to sync folders,
 * and the file itself is safe by then: no fault. */
static void sync_folder(const char *path)
{
    char *folder = strdup(path);
    if (!folder) return;
    char *slash = strrchr(folder, '/');
    if (slash) slash[slash == folder] = 0;
    int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(folder);
}

static am_status replace(const char *path, const char *part, const am_span *spans, int count,
                         am_err *e)
{
    size_t bytes = 0;
    for (int i = 0; i < count; i++) bytes += spans[i].size;
    struct stat now;
    if (!stat(path, &now) && !S_ISREG(now.st_mode))
        return am_fail(e, AM_EIO, (am_loc){path, 0}, "%s; give the name of a file",
                       S_ISDIR(now.st_mode) ? "is a folder" : "is a device or a pipe");
    int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return refused(e, path, "cannot be written", errno, bytes);
    int bad = 0;
    for (int i = 0; i < count && !bad; i++) bad = write_all(fd, spans[i].bytes, spans[i].size);
    if (!bad) bad = fsync(fd);
    int why = errno;
    if (close(fd) && !bad) bad = 1, why = errno;
    if (!bad && rename(part, path)) bad = 1, why = errno;
    if (bad) {
        unlink(part);
        return refused(e, path, "cannot be written; what was there is untouched", why, bytes);
    }
    sync_folder(path);
    return AM_OK;
}

am_status am_file_replace(const char *path, const am_span *spans, int count, am_err *e)
{
    size_t n = strlen(path);
    char *part = malloc(n + sizeof ".part");
    if (!part) return am_fail(e, AM_ENOMEM, (am_loc){path, 0}, "out of memory");
    memcpy(part, path, n);
    memcpy(part + n, ".part", sizeof ".part");
    am_status s = replace(path, part, spans, count, e);
    free(part);
    return s;
}

am_status am_file_open(const char *path, int *fd, size_t *size, am_err *e)
{
    am_loc loc = {path, 0};
    struct stat st;
    /* a pipe without a writer must not hang us */
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0 && errno == ENOENT)
        return am_fail(e, AM_EINPUT, loc,
                       "no such file; paths are relative to the folder automix runs in");
    if (*fd < 0) return am_fail(e, AM_EIO, loc, "cannot be opened: %s", strerror(errno));
    am_status s = AM_OK;
    if (fstat(*fd, &st)) s = am_fail(e, AM_EIO, loc, "cannot be read: %s", strerror(errno));
    else if (S_ISDIR(st.st_mode))
        s = am_fail(e, AM_EINPUT, loc, "is a folder; give the name of a file");
    else if (!S_ISREG(st.st_mode)) s = am_fail(e, AM_EINPUT, loc, "is not a regular file");
    else *size = (size_t)st.st_size;
    if (s) {
        close(*fd);
        *fd = -1;
    }
    return s;
}

am_status am_file_read_at(int fd, const char *path, size_t at, void *to, size_t size, am_err *e)
{
    for (size_t have = 0; have < size;) {
        ssize_t n = pread(fd, (char *)to + have, size - have, (off_t)(at + have));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            return am_fail(e, AM_EIO, (am_loc){path, 0}, "cannot be read: %s", strerror(errno));
        if (n == 0)
            return am_fail(e, AM_EIO, (am_loc){path, 0},
                           "became shorter while it was read; try again");
        have += (size_t)n;
    }
    return AM_OK;
}

am_status am_file_slurp(am_arena *mem, const char *path, size_t most, char **bytes, size_t *size,
                        am_err *e)
{
    int fd;
    size_t all;
    AM_TRY(am_file_open(path, &fd, &all, e));
    am_status s = AM_OK;
    char *to = NULL;
    if (all > most)
        s = am_fail(e, AM_EINPUT, (am_loc){path, 0},
                    "has %zu bytes; more than %zu cannot be right, is it another file?", all, most);
    if (!s && !(to = am_new(mem, all + 1)))
        s = am_fail(e, AM_ENOMEM, (am_loc){path, 0}, "out of memory: the file has %zu bytes", all);
    if (!s) s = am_file_read_at(fd, path, 0, to, all, e);
    close(fd);
    *bytes = to;
    *size = all;
    return s;
}

size_t am_type_size(am_type t)
{
    switch (t) {
    case AM_F32:
    case AM_I32: return 4;
    case AM_F64:
    case AM_I64: return 8;
    case AM_U8: return 1;
    }
    return 0;
}

size_t am_tensor_count(const am_tensor *t)
{
    size_t n = 1;
    for (int i = 0; i < t->dims; i++) n *= t->dim[i];
    return n;
}

int am_tensor_bytes(const am_tensor *t, size_t *bytes)
{
    size_t n = am_type_size(t->type);
    for (int i = 0; i < t->dims; i++)
        if (t->dim[i] == 0) n = 0;
    *bytes = n;
    for (int i = 0; i < t->dims && n; i++) {
        if (t->dim[i] > SIZE_MAX / 4 / *bytes) return 0;
        *bytes *= t->dim[i];
    }
    return 1;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

am_status am_tensors_distinct(const am_tensor *t, int count, const char *file, am_err *e)
{
    am_status s = AM_OK;
    const char **name = malloc(((size_t)count + 1) * sizeof *name);
    if (!name) return am_fail(e, AM_ENOMEM, (am_loc){file, 0}, "out of memory");
    for (int i = 0; i < count; i++) name[i] = t[i].name;
    qsort(name, (size_t)count, sizeof *name, by_text);
    for (int i = 1; i < count && !s; i++)
        if (!strcmp(name[i - 1], name[i]))
            s = am_fail(e, AM_EINPUT, (am_loc){file, 0}, "two tensors are called '%.100s'",
                        name[i]);
    free(name);
    return s;
}

const am_tensor *am_tensor_find(const am_tensors *t, const char *name)
{
    for (int i = 0; i < t->count; i++)
        if (!strcmp(t->tensor[i].name, name)) return &t->tensor[i];
    return NULL;
}

void am_tensors_free(am_tensors *t)
{
    am_arena_free(&t->mem);
    *t = (am_tensors){0};
}

am_status am_tensors_read(am_tensors *t, am_tensors_parser *parse, const char *path, am_err *e)
{
    char *bytes = NULL;
    size_t size = 0;
    *t = (am_tensors){0};
    am_status s = am_file_slurp(&t->mem, path, SIZE_MAX / 4, &bytes, &size, e);
    if (!s) s = parse(t, bytes, size, path, e);
    if (s) am_tensors_free(t);
    return s;
}

am_status am_tensors_parse(am_tensors *t, am_tensors_parser *parse, const void *bytes, size_t size,
                           const char *name, am_err *e)
{
    *t = (am_tensors){0};
    char *copy = am_new(&t->mem, size + 1);
    if (!copy) return am_fail(e, AM_ENOMEM, (am_loc){name, 0}, "out of memory");
    if (size) memcpy(copy, bytes, size);
    am_status s = parse(t, copy, size, name, e);
    if (s) am_tensors_free(t);
    return s;
}
