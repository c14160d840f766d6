/* safetensors.c: the exchange format of Hugging Face, for replay.
 *
 *     0   8  bytes of the header, little-endian
 *     8      header: JSON, {"NAME": {"dtype": "F32", "shape": [2,3], "data_offsets": [0,24]}, ...}
 *            and perhaps "__metadata__", which is skipped; blanks may fill it up
 *            data; offsets count from here
 *
 * As the format asks, the tensors must fill the data without a gap and without an overlap.  Types:
 * F32, F64, I32, I64, U8.  There is no checksum: a flipped bit in the data is not seen. */
#include <cjson/cJSON.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "file.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "tensors are written as memory holds them");

enum { MOST_HEADER = 100000000, MOST_DIMS = 6 };

static const struct { am_type type; const char *word; } types[] = {
    {AM_F32, "F32"}, {AM_F64, "F64"}, {AM_I32, "I32"}, {AM_I64, "I64"}, {AM_U8, "U8"},
};
enum { TYPES = sizeof types / sizeof *types };

/* A whole number that a double holds exactly. */
static int whole(const cJSON *v, size_t *n)
{
    if (!cJSON_IsNumber(v)) return 0;
    double d = v->valuedouble;
    if (!(d >= 0 && d <= 9007199254740992.0)) return 0;
    *n = (size_t)d;
    return (double)*n == d;
}

static am_status read_type(am_tensor *t, const cJSON *v, am_loc loc, am_err *e)
{
    const char *word = cJSON_IsString(v) ? v->valuestring : "none";
    for (int i = 0; i < TYPES; i++)
        if (!strcmp(word, types[i].word)) {
            t->type = types[i].type;
            return AM_OK;
        }
    return am_fail(e, AM_EINPUT, loc,
                   "tensor '%.100s' has dtype %.20s; automix reads F32, F64, I32, I64 and U8",
                   t->name, word);
}

/* One entry of the header.  from and to: its bytes in the data. */
static am_status read_entry(am_tensor *t, const cJSON *v, size_t size, size_t *from, size_t *to,
                            am_loc loc, am_err *e)
{
    AM_TRY(read_type(t, cJSON_GetObjectItemCaseSensitive(v, "dtype"), loc, e));
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(v, "shape"), *d;
    int good = cJSON_IsArray(shape);
    cJSON_ArrayForEach(d, shape) {
        if (t->dims == MOST_DIMS)
            return am_fail(e, AM_EINPUT, loc, "tensor '%.100s' has more than %d dimensions",
                           t->name, MOST_DIMS);
        good = good && whole(d, &t->dim[t->dims++]);
    }
    const cJSON *at = cJSON_GetObjectItemCaseSensitive(v, "data_offsets");
    size_t bytes;
    if (!good || !cJSON_IsArray(at) || cJSON_GetArraySize(at) != 2 ||
        !whole(cJSON_GetArrayItem(at, 0), from) || !whole(cJSON_GetArrayItem(at, 1), to) ||
        !am_tensor_bytes(t, &bytes))
        return am_fail(e, AM_EINPUT, loc, "tensor '%.100s': shape or data_offsets is wrong",
                       t->name);
    if (*from > *to || *to > size)
        return am_fail(e, AM_EINPUT, loc,
                       "tensor '%.100s' ends at byte %zu of %zu: the file was cut or is wrong",
                       t->name, *to, size);
    if (*to - *from != bytes)
        return am_fail(e, AM_EINPUT, loc,
                       "tensor '%.100s' has %zu bytes and its shape asks for %zu", t->name,
                       *to - *from, bytes);
    return AM_OK;
}

typedef struct extent { size_t from, to; } extent;

static int by_place(const void *a, const void *b)
{
    const extent *x = a, *y = b;
    if (x->from != y->from) return x->from < y->from ? -1 : 1;
    return (x->to > y->to) - (x->to < y->to);
}

static am_status check_extents(extent *x, int count, size_t size, am_loc loc, am_err *e)
{
    size_t end = 0;
    qsort(x, (size_t)count, sizeof *x, by_place);
    for (int i = 0; i < count; end = x[i++].to)
        if (x[i].from != end)
            return am_fail(e, AM_EINPUT, loc,
                           "tensors overlap or leave a gap at byte %zu of the data", end);
    if (end != size)
        return am_fail(e, AM_EINPUT, loc, "has %zu bytes of data that belong to no tensor",
                       size - end);
    return AM_OK;
}

/* Data in t->mem; a tensor that is not aligned to its elements is copied. */
static am_status read_header(am_tensors *t, const cJSON *root, char *data, size_t size, am_loc loc,
                             am_err *e)
{
    const cJSON *v;
    int count = cJSON_GetArraySize(root), i = 0;
    if (!cJSON_IsObject(root)) return am_fail(e, AM_EINPUT, loc, "the header is not a JSON object");
    t->tensor = am_new(&t->mem, ((size_t)count + 1) * sizeof *t->tensor);
    extent *x = am_new(&t->mem, ((size_t)count + 1) * sizeof *x);
    if (!t->tensor || !x) return am_fail(e, AM_ENOMEM, loc, "out of memory");
    cJSON_ArrayForEach(v, root) {
        if (!strcmp(v->string, "__metadata__")) continue;
        am_tensor *now = &t->tensor[i];
        now->name = am_dup(&t->mem, v->string);
        if (!now->name) return am_fail(e, AM_ENOMEM, loc, "out of memory");
        AM_TRY(read_entry(now, v, size, &x[i].from, &x[i].to, loc, e));
        now->data = data + x[i].from;
        if ((uintptr_t)now->data % am_type_size(now->type)) {
            size_t bytes = x[i].to - x[i].from;
            now->data = am_new(&t->mem, bytes);
            if (!now->data) return am_fail(e, AM_ENOMEM, loc, "out of memory");
            memcpy(now->data, data + x[i].from, bytes);
        }
        i++;
    }
    t->count = i;
    AM_TRY(check_extents(x, i, size, loc, e));
    return am_tensors_distinct(t->tensor, t->count, loc.file, e);
}

static am_status parse(am_tensors *t, char *bytes, size_t size, const char *name, am_err *e)
{
    am_loc loc = {name, 0};
    uint64_t head;
    if (size < sizeof head)
        return am_fail(e, AM_EINPUT, loc, "is too short for a safetensors file");
    memcpy(&head, bytes, sizeof head);
    if (head > MOST_HEADER || head > size - sizeof head)
        return am_fail(e, AM_EINPUT, loc,
                       "is not a safetensors file, or was cut within its header");
    const char *end = bytes;
    cJSON *root = cJSON_ParseWithLengthOpts(bytes + sizeof head, head, &end, 0);
    if (!root)
        return am_fail(e, AM_EINPUT, loc, "the header is not JSON (byte %td of the file)",
                       end - bytes);
    while (end < bytes + sizeof head + head && *end == ' ') end++;
    am_status s = AM_OK;
    if (end != bytes + sizeof head + head)
        s = am_fail(e, AM_EINPUT, loc, "the header is not JSON (byte %td of the file)",
                    end - bytes);
    if (!s) s = read_header(t, root, bytes + sizeof head + head, size - sizeof head - head, loc, e);
    cJSON_Delete(root);
    return s;
}

am_status am_safetensors_read(am_tensors *t, const char *path, am_err *e)
{
    return am_tensors_read(t, parse, path, e);
}

am_status am_safetensors_parse(am_tensors *t, const void *bytes, size_t size, const char *name,
                               am_err *e)
{
    return am_tensors_parse(t, parse, bytes, size, name, e);
}

/* 1 when all of it could be allocated. */
static int add_entry(cJSON *root, const am_tensor *t, size_t from, size_t bytes)
{
    cJSON *v = cJSON_AddObjectToObject(root, t->name);
    const char *word = "";
    for (int i = 0; i < TYPES; i++)
        if (types[i].type == t->type) word = types[i].word;
    int good = v && cJSON_AddStringToObject(v, "dtype", word);
    cJSON *shape = good ? cJSON_AddArrayToObject(v, "shape") : NULL;
    cJSON *at = shape ? cJSON_AddArrayToObject(v, "data_offsets") : NULL;
    if (!at) return 0;
    for (int i = 0; i < t->dims && good; i++)
        good = cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)t->dim[i]));
    return good && cJSON_AddItemToArray(at, cJSON_CreateNumber((double)from)) &&
           cJSON_AddItemToArray(at, cJSON_CreateNumber((double)(from + bytes)));
}

am_status am_safetensors_write(const char *path, const am_tensor *tensor, int count, am_err *e)
{
    am_loc loc = {path, 0};
    AM_TRY(am_tensors_distinct(tensor, count, path, e));
    cJSON *root = cJSON_CreateObject();
    am_span *span = calloc((size_t)count + 3, sizeof *span);
    int good = root && span;
    size_t end = 0;
    for (int i = 0; i < count && good; i++) {
        size_t bytes;
        good = am_tensor_bytes(&tensor[i], &bytes) && add_entry(root, &tensor[i], end, bytes);
        span[3 + i] = (am_span){tensor[i].data, bytes};
        end += bytes;
    }
    char *text = good ? cJSON_PrintUnformatted(root) : NULL;
    am_status s;
    if (text) {
        size_t n = strlen(text);
        uint64_t head = (n + 7) / 8 * 8;                /* the data begins at a multiple of 8 */
        span[0] = (am_span){&head, sizeof head};
        span[1] = (am_span){text, n};
        span[2] = (am_span){"        ", head - n};
        s = am_file_replace(path, span, count + 3, e);
    } else {
        s = am_fail(e, AM_ENOMEM, loc, "out of memory");
    }
    cJSON_free(text);
    cJSON_Delete(root);
    free(span);
    return s;
}
