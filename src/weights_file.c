/* weights_file.c: named tensors and the cfg they belong to, in one checked file.
 *
 * All numbers are little-endian and unsigned.
 *
 *      0   8  "AUTOMIX1"; the digit is the format
 *      8   8  bytes of the file
 *     16   8  bytes of the cfg text, with the 0 at its end
 *     24   8  number of tensors
 *     32   8  XXH3-64 of the cfg text
 *     40   8  XXH3-64 of the table
 *     48   8  0
 *     56   8  XXH3-64 of bytes 0 to 55
 *     64      cfg text, 0, then zeros up to a multiple of 64
 *             table: a row of 136 bytes for each tensor, then zeros up to a multiple of 64
 *             data of each tensor in the order of the table, each with zeros up to a multiple of 64
 *
 *     a row:   0  64  name, filled up with zeros, at least one
 *             64   4  type: 0 float32, 1 float64, 2 int32, 3 int64, 4 uint8
 *             68   4  number of dimensions, 0 to 6
 *             72  48  the dimensions, unused ones 0
 *            120   8  place of the data in the file
 *            128   8  XXH3-64 of the data
 *
 * Every byte is covered by a checksum or known to be zero, and every place follows from the sizes
 * before it, so a file that was cut, flipped or put together wrongly cannot pass.  The digit goes
 * up when an older reader could not read the file. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include "file.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "weight files are written as memory holds them");

static const char magic[8] = {'A', 'U', 'T', 'O', 'M', 'I', 'X', '1'};

typedef struct header {
    char magic[8];
    uint64_t file, cfg, tensors, cfg_sum, table_sum, zero, sum;
} header;

typedef struct row {
    char name[64];
    uint32_t type, dims;
    uint64_t dim[6], at, sum;
} row;

_Static_assert(sizeof(header) == 64 && sizeof(row) == 136, "the structs are the format");

enum { ALIGN = 64, MOST_DIMS = 6 };

static size_t up(size_t n) { return (n + ALIGN - 1) & ~(size_t)(ALIGN - 1); }

static am_status fill_row(row *r, const am_tensor *t, size_t at, size_t *bytes, am_loc loc,
                          am_err *e)
{
    if (strlen(t->name) >= sizeof r->name || t->dims < 0 || t->dims > MOST_DIMS ||
        !am_tensor_bytes(t, bytes))
        return am_fail(e, AM_EBUG, loc, "tensor '%.100s' does not fit the format", t->name);
    strcpy(r->name, t->name);
    r->type = (uint32_t)t->type;
    r->dims = (uint32_t)t->dims;
    for (int i = 0; i < t->dims; i++) r->dim[i] = t->dim[i];
    r->at = at;
    r->sum = XXH3_64bits(t->data, *bytes);
    return AM_OK;
}

am_status am_weights_write(const char *path, const char *cfg, const am_tensor *tensor, int count,
                           am_err *e)
{
    static const char zeros[ALIGN];
    am_loc loc = {path, 0};
    am_arena mem = {0};
    AM_TRY(am_tensors_distinct(tensor, count, path, e));
    if (!cfg) cfg = "";
    size_t text = strlen(cfg) + 1, table = sizeof(header) + up(text);
    size_t end = table + up((size_t)count * sizeof(row)), head = end;
    char *front = am_new(&mem, head);
    am_span *span = am_new(&mem, (2 * (size_t)count + 1) * sizeof *span);
    am_status s = AM_OK;
    if (!front || !span) s = am_fail(e, AM_ENOMEM, loc, "out of memory");
    row *r = s ? NULL : (row *)(void *)(front + table);
    for (int i = 0; i < count && !s; i++) {
        size_t bytes;
        s = fill_row(&r[i], &tensor[i], end, &bytes, loc, e);
        if (s) break;
        span[1 + 2 * i] = (am_span){tensor[i].data, bytes};
        span[2 + 2 * i] = (am_span){zeros, up(bytes) - bytes};
        end += up(bytes);
    }
    if (!s) {
        header h = {.file = end, .cfg = text, .tensors = (uint64_t)count};
        memcpy(h.magic, magic, sizeof magic);
        memcpy(front + sizeof h, cfg, text);
        h.cfg_sum = XXH3_64bits(cfg, text);
        h.table_sum = XXH3_64bits(r, (size_t)count * sizeof *r);
        h.sum = XXH3_64bits(&h, offsetof(header, sum));
        memcpy(front, &h, sizeof h);
        span[0] = (am_span){front, head};
        s = am_file_replace(path, span, 1 + 2 * count, e);
    }
    am_arena_free(&mem);
    return s;
}

/* What the first bytes are, when they are not ours. */
static am_status strange(const char *bytes, size_t size, am_loc loc, am_err *e)
{
    uint32_t word[2] = {9, 9};
    if (size >= sizeof word) memcpy(word, bytes, sizeof word);
    if (size == 0) return am_fail(e, AM_EINPUT, loc, "is empty");
    if (size >= sizeof magic && !memcmp(bytes, magic, sizeof magic - 1) && bytes[7] > '1' &&
        bytes[7] <= '9')
        return am_fail(e, AM_EINPUT, loc,
                       "was made by a newer automix (format %c; this one reads format 1)",
                       bytes[7]);
    if (word[0] == 0 && (word[1] == 1 || word[1] == 2))
        return am_fail(e, AM_EINPUT, loc,
                       "is a weight file of Darknet; automix reads its own only");
    return am_fail(e, AM_EINPUT, loc, "is not a weight file of automix");
}

static am_status not_sound(am_loc loc, const char *what, am_err *e)
{
    return am_fail(e, AM_EINPUT, loc, "is damaged: %s; take another copy or an older checkpoint",
                   what);
}

static int all_zero(const char *p, size_t n)
{
    while (n && !*p) p++, n--;
    return n == 0;
}

static am_status read_header(header *h, const char *bytes, size_t size, am_loc loc, am_err *e)
{
    if (size < sizeof magic || memcmp(bytes, magic, sizeof magic))
        return strange(bytes, size, loc, e);
    if (size < sizeof *h) return not_sound(loc, "it ends within its header", e);
    memcpy(h, bytes, sizeof *h);
    if (h->sum != XXH3_64bits(h, offsetof(header, sum)) || h->zero)
        return not_sound(loc, "the checksum of its header is wrong", e);
    if (h->file != size)
        return am_fail(e, AM_EINPUT, loc, "is damaged: it has %zu bytes and should have %llu; %s",
                       size, (unsigned long long)h->file,
                       "take another copy or an older checkpoint");
    /* the bounds of cfg and tensors keep the sum from wrapping */
    if (h->cfg < 1 || h->cfg > size || h->tensors > INT_MAX / 4 ||
        sizeof *h + up(h->cfg) + up(h->tensors * sizeof(row)) > size)
        return not_sound(loc, "its parts are larger than the file", e);
    return AM_OK;
}

/* One row: the tensor's data must begin at *end, which moves behind it. */
static am_status read_row(am_tensor *t, char *bytes, size_t size, const row *r, size_t *end,
                          am_loc loc, am_err *e)
{
    size_t have;
    if (!memchr(r->name, 0, sizeof r->name))
        return not_sound(loc, "the name of a tensor has no end", e);
    if (r->type > AM_U8 || r->dims > MOST_DIMS)
        return am_fail(e, AM_EINPUT, loc,
                       "tensor '%s' has a type or shape that automix does not know", r->name);
    *t = (am_tensor){.name = r->name, .type = (am_type)r->type, .dims = (int)r->dims};
    for (int i = 0; i < t->dims; i++) t->dim[i] = r->dim[i];
    if (r->at != *end || !am_tensor_bytes(t, &have) || up(have) > size - *end)
        return am_fail(e, AM_EINPUT, loc,
                       "is damaged: tensor '%s' does not lie where its shape puts it", r->name);
    t->data = bytes + *end;
    if (r->sum != XXH3_64bits(t->data, have) || !all_zero(bytes + *end + have, up(have) - have))
        return am_fail(e, AM_EINPUT, loc, "is damaged: the checksum of tensor '%s' is wrong; %s",
                       r->name, "take another copy or an older checkpoint");
    *end += up(have);
    return AM_OK;
}

/* bytes lie in t->mem, 64-byte aligned. */
static am_status parse(am_tensors *t, char *bytes, size_t size, const char *name, am_err *e)
{
    am_loc loc = {name, 0};
    header h;
    AM_TRY(read_header(&h, bytes, size, loc, e));
    char *cfg = bytes + sizeof h, *table = cfg + up(h.cfg);
    size_t rows = h.tensors * sizeof(row), end = sizeof h + up(h.cfg) + up(rows);
    if (h.cfg_sum != XXH3_64bits(cfg, h.cfg) || h.table_sum != XXH3_64bits(table, rows) ||
        !all_zero(cfg + h.cfg, up(h.cfg) - h.cfg) || !all_zero(table + rows, up(rows) - rows))
        return not_sound(loc, "the checksum of its cfg or of its table is wrong", e);
    if (strnlen(cfg, h.cfg) != h.cfg - 1)
        return not_sound(loc, "its cfg text is not one string", e);
    t->tensor = am_new(&t->mem, (h.tensors + 1) * sizeof *t->tensor);
    if (!t->tensor) return am_fail(e, AM_ENOMEM, loc, "out of memory");
    const row *r = (const row *)(const void *)table;
    for (uint64_t i = 0; i < h.tensors; i++)
        AM_TRY(read_row(&t->tensor[i], bytes, size, &r[i], &end, loc, e));
    if (end != size) return not_sound(loc, "there is more in it than its table says", e);
    t->count = (int)h.tensors;
    t->cfg = cfg;
    return am_tensors_distinct(t->tensor, t->count, name, e);
}

am_status am_weights_read(am_tensors *t, const char *path, am_err *e)
{
    return am_tensors_read(t, parse, path, e);
}

am_status am_weights_parse(am_tensors *t, const void *bytes, size_t size, const char *name,
                               am_err *e)
{
    return am_tensors_parse(t, parse, bytes, size, name, e);
}
