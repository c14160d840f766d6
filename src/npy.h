/* npy.h: arrays of numbers as numpy.save writes them (.npy, versions 1 to 3), for reading.
 *
 * "\x93NUMPY", a byte of version, a byte of 0, the length of the header in 2 bytes (version 1) or
 * 4, a Python dictionary such as {'descr': '|u1', 'fortran_order': False, 'shape': (50000, 32, 32,
 * 3), }, then the numbers in C order.  Little-endian throughout. */
#ifndef AM_NPY_H
#define AM_NPY_H
#include <stddef.h>
#include "err.h"

enum { AM_NPY_DIMS = 8 };
typedef struct am_npy {
    int fd;
    const char *path;           /* the caller's; outlives this */
    char type[4];               /* |u1, <i4 or <i8 */
    int item, dims;             /* item: bytes of a number */
    size_t dim[AM_NPY_DIMS], at;        /* at: of the first number in the file */
} am_npy;

/* Refuses what is no such array, is cut or too long, lies column by column, or holds other numbers.
 * What was opened is the caller's to close. */
am_status am_npy_open(am_npy *, const char *path, am_err *);
void      am_npy_close(am_npy *);

/* Whole numbers `first` to first + count - 1 of an array of any of its types, clamped to int's
 * range. */
am_status am_npy_ints(const am_npy *, size_t first, int count, int *to, am_err *);

#endif
