/* file.h: named tensors in files, on the host.
 *
 * .weights (DESIGN 1.4): "AUTOMIX" and a format digit, the cfg text, a table of named tensors
 * (type, shape, 64-byte-aligned offset, checksum of each), little-endian data.  A file that is
 * cut or flipped is refused with the reason before anything of it is used.
 * .safetensors: for replay. */
#ifndef AM_FILE_H
#define AM_FILE_H
#include <stdint.h>
#include "arena.h"
#include "err.h"

typedef enum am_type { AM_F32, AM_F64, AM_I32, AM_I64, AM_U8 } am_type;
typedef struct am_tensor {
    const char *name;
    am_type type;
    int dims;
    size_t dim[6];
    void *data;                                         /* C order */
} am_tensor;
typedef struct am_tensors { am_arena mem; am_tensor *tensor; int count; const char *cfg; } am_tensors;

size_t am_type_size(am_type);
size_t am_tensor_count(const am_tensor *);              /* elements */
int    am_tensor_bytes(const am_tensor *, size_t *bytes);   /* 0: more than memory could ever hold */
const am_tensor *am_tensor_find(const am_tensors *, const char *name);

am_status am_weights_write(const char *path, const char *cfg, const am_tensor *, int count, am_err *);
am_status am_weights_read(am_tensors *, const char *path, am_err *);
am_status am_weights_parse(am_tensors *, const void *bytes, size_t size, const char *name, am_err *);   /* fuzz entry */
am_status am_safetensors_write(const char *path, const am_tensor *, int count, am_err *);
am_status am_safetensors_read(am_tensors *, const char *path, am_err *);
am_status am_safetensors_parse(am_tensors *, const void *bytes, size_t size, const char *name, am_err *);
/* What both forms share: parse gets a copy of the bytes that lives as long as the tensors. */
typedef am_status am_tensors_parser(am_tensors *, char *bytes, size_t size, const char *name, am_err *);
am_status am_tensors_read(am_tensors *, am_tensors_parser *, const char *path, am_err *);
am_status am_tensors_parse(am_tensors *, am_tensors_parser *, const void *bytes, size_t size, const char *name, am_err *);
am_status am_tensors_distinct(const am_tensor *, int count, const char *file, am_err *);   /* no two of one name */
void      am_tensors_free(am_tensors *);

/* Write a file so that a crash, a full disk or a kill leaves the old one or the new one, never a
 * half: PATH.part beside it, written, fsync'ed, renamed, folder fsync'ed.  The message names the
 * path, the system's reason and the bytes needed. */
typedef struct am_span { const void *bytes; size_t size; } am_span;
am_status am_file_replace(const char *path, const am_span *spans, int count, am_err *);
/* A regular file for reading, and its size; the caller closes fd.  read_at may be called by several
 * threads at once. */
am_status am_file_open(const char *path, int *fd, size_t *size, am_err *);
am_status am_file_read_at(int fd, const char *path, size_t at, void *to, size_t size, am_err *);
am_status am_file_slurp(am_arena *, const char *path, size_t most, char **bytes, size_t *size, am_err *);   /* adds a 0 byte */

#endif
