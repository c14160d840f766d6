/* dataset_cifar.h: CIFAR's binary files: records of a few label bytes, then 32 rows of 32 of red,
 * then green, then blue.  dataset_cifar10.c and dataset_cifar100.c say how many label bytes, and
 * where the files lie. */
#ifndef AM_DATASET_CIFAR_H
#define AM_DATASET_CIFAR_H
#include "dataset.h"

enum { AM_CIFAR_PLANE = 32 * 32, AM_CIFAR_PIXELS = 3 * AM_CIFAR_PLANE, AM_CIFAR_FILES = 5 };

typedef struct am_cifar {
    int label_bytes;                                    /* the last of them is the label */
    int classes;
    const char *title, *script;                         /* for messages */
    const char *names;                                  /* file of class names beside the records */
} am_cifar;

/* files: paths, up to AM_CIFAR_FILES, NULL after the last. */
am_status am_cifar_open(am_dataset *, const am_cifar *, const am_data *, const char *const *files,
                        am_err *);
/* A file *.bin of whole records of this kind and not of the other. */
int am_cifar_looks_like(const am_cifar *, const char *path);
int am_cifar_has(const char *folder, const char *file);
int am_cifar_is_folder(const char *path);

#endif
