/* npy.c: the header of a .npy file, read strictly, and numbers behind it. */
#include "npy.h"
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "file.h"

enum { MOST_HEADER = 65536, CHUNK = 512 };

/* ---- the dictionary: text of a header that ends with a 0 byte ---- */
typedef struct scan {
    const char *at;
} scan;

static int next_is(scan *s, char c)
{
    s->at += strspn(s->at, " \n");
    if (*s->at != c) return 0;
    s->at++;
    return 1;
}

/* 'word' or "word", shorter than size */
static int word(scan *s, char *out, size_t size)
{
    char quote = next_is(s, '\'') ? '\'' : next_is(s, '"') ? '"' : 0;
    const char *end = quote ? strchr(s->at, quote) : NULL;
    if (!end || (size_t)(end - s->at) >= size) return 0;
    memcpy(out, s->at, (size_t)(end - s->at));
    out[end - s->at] = 0;
    s->at = end + 1;
    return 1;
}

/* (2, 3), (2,) or () */
static int shape(scan *s, am_npy *a)
{
    a->dims = 0;
    if (!next_is(s, '(')) return 0;
    while (!next_is(s, ')')) {
        char *end;
        s->at += strspn(s->at, " ");
        if (*s->at < '0' || *s->at > '9' || a->dims == AM_NPY_DIMS) return 0;
        unsigned long long n = strtoull(s->at, &end, 10);
        if (n > SIZE_MAX / 64) return 0;
        a->dim[a->dims++] = (size_t)n;
        s->at = end;
        if (!next_is(s, ',') && *s->at != ')') return 0;
    }
    return 1;
}

static int boolean(scan *s, int *value)
{
    s->at += strspn(s->at, " ");
    *value = !strncmp(s->at, "True", 4);
    if (!*value && strncmp(s->at, "False", 5) != 0) return 0;
    s->at += *value ? 4 : 5;
    return 1;
}

/* All three keys once, in any order, and nothing else. */
static int dictionary(const char *text, am_npy *a, char *type, size_t size, int *fortran)
{
    scan s = {text};
    char key[20];
    int seen[3] = {0};
    if (!next_is(&s, '{')) return 0;
    while (!next_is(&s, '}')) {
        if (!word(&s, key, sizeof key) || !next_is(&s, ':')) return 0;
        int k = !strcmp(key, "descr")           ? 0
                : !strcmp(key, "fortran_order") ? 1
                : !strcmp(key, "shape")         ? 2
                                                : -1;
        if (k < 0 || seen[k]++) return 0;
        if (!(k == 0 ? word(&s, type, size) : k == 1 ? boolean(&s, fortran) : shape(&s, a)))
            return 0;
        if (!next_is(&s, ',') && *s.at != '}') return 0;
    }
    return seen[0] && seen[1] && seen[2] && !s.at[strspn(s.at, " \n")];
}

/* ---- the file ---- */
static am_status read_header(am_npy *a, size_t size, char *text, am_err *e)
{
    am_loc loc = {a->path, 0};
    unsigned char head[12];
    if (size < sizeof head)
        return am_fail(e, AM_EINPUT, loc, "has %zu bytes, too few for a .npy file; is it cut?",
                       size);
    AM_TRY(am_file_read_at(a->fd, a->path, 0, head, sizeof head, e));
    if (memcmp(head, "\x93NUMPY", 6) != 0)
        return am_fail(e, AM_EINPUT, loc,
                       "is not a .npy file: it does not begin as numpy.save begins one");
    if (head[6] < 1 || head[6] > 3 || head[7])
        return am_fail(e, AM_EINPUT, loc, "is a .npy file of version %d.%d; automix reads 1 to 3",
                       head[6], head[7]);
    size_t length = head[8] | (size_t)head[9] << 8;
    if (head[6] > 1) length |= (size_t)head[10] << 16 | (size_t)head[11] << 24;
    a->at = head[6] > 1 ? 12 : 10;
    if (length >= MOST_HEADER || length > size - a->at)
        return am_fail(e, AM_EINPUT, loc,
                       "its header of %zu bytes does not fit into the file of %zu; it is cut or "
                       "damaged",
                       length, size);
    AM_TRY(am_file_read_at(a->fd, a->path, a->at, text, length, e));
    text[length] = 0;
    a->at += length;
    return AM_OK;
}

static am_status check(am_npy *a, size_t size, const char *text, am_err *e)
{
    am_loc loc = {a->path, 0};
    char type[20];
    int fortran;
    size_t bytes;
    if (!dictionary(text, a, type, sizeof type, &fortran))
        return am_fail(e, AM_EINPUT, loc,
                       "its header says '%.60s', not a type, an order and a shape of up to %d "
                       "numbers; it is damaged, or holds no plain array",
                       text, AM_NPY_DIMS);
    if (fortran)
        return am_fail(e, AM_EINPUT, loc,
                       "lies column by column (fortran_order); save numpy.ascontiguousarray of it");
    if (strcmp(type, "|u1") != 0 && strcmp(type, "<i4") != 0 && strcmp(type, "<i8") != 0)
        return am_fail(e, AM_EINPUT, loc,
                       "holds numbers of type '%s'; automix reads bytes ('|u1') and, as labels, "
                       "'<i4' and '<i8': convert it with astype",
                       type);
    memcpy(a->type, type, sizeof a->type);
    bytes = (size_t)(a->item = type[2] - '0');
    for (int i = 0; i < a->dims; i++) {
        if (a->dim[i] && bytes > SIZE_MAX / a->dim[i])
            return am_fail(e, AM_EINPUT, loc, "its shape is more than any disk holds");
        bytes *= a->dim[i];
    }
    if (bytes != size - a->at)
        return am_fail(e, AM_EINPUT, loc,
                       "has %zu bytes of numbers, and its shape takes %zu; the file is %s",
                       size - a->at, bytes, bytes > size - a->at ? "cut" : "damaged");
    return AM_OK;
}

am_status am_npy_open(am_npy *a, const char *path, am_err *e)
{
    size_t size;
    *a = (am_npy){.path = path, .fd = -1};
    AM_TRY(am_file_open(path, &a->fd, &size, e));
    char *text = malloc(MOST_HEADER);
    am_status s = text ? AM_OK : am_fail(e, AM_ENOMEM, (am_loc){path, 0}, "out of memory");
    if (!s) s = read_header(a, size, text, e);
    if (!s) s = check(a, size, text, e);
    free(text);
    if (s) am_npy_close(a);
    return s;
}

void am_npy_close(am_npy *a)
{
    if (a->fd >= 0) close(a->fd);
    a->fd = -1;
}

static int number(const unsigned char *p, int item)
{
    int32_t four;
    int64_t eight;
    if (item == 1) return p[0];
    if (item == 4) {
        memcpy(&four, p, sizeof four);
        return four;
    }
    memcpy(&eight, p, sizeof eight);
    return eight < INT_MIN ? INT_MIN : eight > INT_MAX ? INT_MAX : (int)eight;
}

am_status am_npy_ints(const am_npy *a, size_t first, int count, int *to, am_err *e)
{
    unsigned char chunk[CHUNK * 8];
    size_t item = (size_t)a->item;
    for (int done = 0; done < count; done += CHUNK) {
        int n = count - done < CHUNK ? count - done : CHUNK;
        AM_TRY(am_file_read_at(a->fd, a->path, a->at + (first + (size_t)done) * item, chunk,
                               (size_t)n * item, e));
        for (int i = 0; i < n; i++) to[done + i] = number(chunk + (size_t)i * item, a->item);
    }
    return AM_OK;
}
