/* data.h: images, data sets, and the threads that fill the next batch while this one trains.
 *
 * This floor knows no network: it may include err, arena, rng, cfg and nothing else of ours.
 * A batch leaves it as bytes [n][h][w][3], cropped and flipped, not yet normalised: the backend
 * normalises while it takes them.  Or, where the images lie with the backend, as windows of them. */
#ifndef AM_DATA_H
#define AM_DATA_H
#include <stdint.h>
#include "arena.h"
#include "cfg.h"
#include "err.h"
#include "rng.h"

/* ---- one picture ---- */
typedef struct am_image { int width, height; unsigned char *pixel; } am_image;    /* RGB, rows from the top; malloc'd */

/* PNG, JPEG, BMP (stb).  Refuses what is no image, is cut, or is larger than 16384 pixels a side,
 * with the file's name and the reason. */
am_status am_image_read(am_image *, const char *path, am_err *);
am_status am_image_decode(am_image *, const void *bytes, size_t size, const char *name, am_err *);
am_status am_image_write_png(const am_image *, const char *path, am_err *);      /* aside, synced, renamed */
am_status am_image_encode_png(const am_image *, unsigned char **bytes, size_t *size, am_err *);    /* bytes: malloc'd */
am_status am_image_new(am_image *, int width, int height, am_err *);             /* black */
am_status am_image_fit(am_image *, int width, int height, am_err *);             /* this size, content undefined; keeps the buffer where its size fits */
void      am_image_free(am_image *);

/* Resampling as Pillow's, with antialiasing (methods.md 2.5): the box x0 y0 w h of `from` becomes
 * the whole of `to`, whose size is given by its fields.  Separable; the kernel is stretched by the
 * down-scale factor. */
typedef enum am_filter { AM_NEAREST, AM_BILINEAR, AM_BICUBIC } am_filter;
am_status am_image_resize(const am_image *from, double x0, double y0, double w, double h, am_filter, am_image *to, am_err *);

/* ---- a data set ---- */
typedef struct am_dataset am_dataset;
struct am_dataset {
    int count, classes;
    const int *label;                                   /* [count] */
    const char *const *name;                            /* [classes], or NULL */
    void *state;
    /* Fill img (its pixel buffer is reused where its size fits); safe to call from many threads. */
    am_status (*read)(const am_dataset *, int index, am_image *img, am_err *);
    const char *(*where)(const am_dataset *, int index);    /* path or "file record 17", for messages; into a static-free
                                                               place owned by the data set, or NULL */
    void (*close)(am_dataset *);
    /* shapes only, else NULL: the true silhouette of the object, bytes [h][w], 0 or 255 */
    am_status (*silhouette)(const am_dataset *, int index, unsigned char *plane, am_err *);
};

/* Images first .. first + count - 1 of a set that outlives this one and stays its owner's. */
am_status am_dataset_slice(am_dataset *, const am_dataset *whole, int first, int count, am_err *);

/* A .data file.  classes, train, valid, names, labels, backup, top as Darknet's; format, per_class, ... ours. */
typedef struct am_data {
    am_arena mem;
    int classes, top, per_class;
    const char *file, *backup, *format, *corruptions;
    const char *train_path, *valid_path;
    const char *const *names, *const *labels;           /* [classes] from the files of those keys, or NULL */
    am_dataset train, valid;
} am_data;

enum { AM_DATA_TRAIN = 1, AM_DATA_VALID = 2 };
/* Read the .data file and open the sets asked for; check everything that can be checked before
 * the first batch: files, counts, class ids, label ambiguity, the backup folder (made if its
 * parent exists, and written to, when AM_DATA_TRAIN). */
am_status am_data_open(am_data *, const char *file, int which, am_err *);
void      am_data_close(am_data *);
extern const am_key am_data_keys[];                     /* for help */

/* One file per format exports one of these; registry.c lists them. */
typedef struct am_format {
    const char *name, *help;
    int (*looks_like)(const char *path);                /* may this path be of my format?  for guessing */
    am_status (*open)(am_dataset *, const am_data *, const char *path, int train, am_err *);
} am_format;
const am_format *am_format_find(const char *name);      /* registry.c */
const am_format *const *am_formats(void);               /* registry.c; ends with NULL */
const am_format *am_format_guess(const char *path);     /* registry.c; NULL where not safe */

/* shapes: the set that the program draws itself (DESIGN 1.5). */
typedef struct am_shapes_options { int train, valid, size; uint64_t seed; } am_shapes_options;
am_status am_shapes_write(const char *folder, const am_shapes_options *, am_err *);

/* ---- augmentation ---- */
typedef struct am_augment {
    int width, height;                                  /* what comes out */
    int flip;                                           /* mirror with probability one half */
    int pad_crop, pad_reflect;                          /* pad all sides by pad_crop, cut at random; reflect: mirror without repeating the border */
    int resized_crop;                                   /* random resized crop, methods.md 2.5 */
    double scale_min, scale_max, ratio_min, ratio_max;
    am_filter filter;                                   /* for resized crops and resizing */
    int resize;                                         /* > 0: shorter side to this first, then a centre crop (validation of ImageNet) */
    double angle, aspect, hue, saturation, exposure;    /* Darknet's: 0 1 0 1 1 are off */
    int min_crop, max_crop;                             /* Darknet's zoom: 0 0 is off */
} am_augment;

/* What chance decides of an image that keeps its size: the window that is seen begins at x, y, may hang
 * over the edges, and is mirrored left to right where flip is 1. */
typedef struct am_window { int image, x, y, flip; } am_window;      /* image: index in the data set, -1: black */
/* 1: training only moves windows over images that have the net's size already. */
int am_augment_moves(const am_augment *);
/* Draws as am_augment_apply does of such an image; leaves `image` alone. */
void am_augment_window(const am_augment *, am_rng *, am_window *);

/* What the network sees of img: out is [height][width][3].  rng NULL: validation, nothing is drawn. */
am_status am_augment_apply(const am_augment *, const am_image *img, am_rng *rng, unsigned char *out, am_err *);

/* ---- loader ---- */
typedef struct am_host_batch {
    int n;                                              /* samples that count; the rest, up to batch, is black with label -1 */
    unsigned char *pixel;                               /* [batch][height][width][3], or NULL: */
    am_window *window;                                  /* [batch] where the loader was asked for these */
    int *label, *index;                                 /* [batch]; index in the data set, -1 beyond n */
    unsigned char *extra;                               /* [batch][extra]: what prepare made of each sample, or NULL */
    long epoch, number;                                 /* this batch is the number-th of that epoch */
} am_host_batch;

typedef struct am_loader am_loader;
typedef struct am_loader_options {
    int batch, threads;                                 /* threads 0: as many as help */
    uint64_t seed;
    int train;                                          /* shuffled epochs, last partial batch dropped; else in order, last one padded */
    am_augment augment;
    int windows;                                        /* no pixels, no prepare: training windows alone (am_augment_moves) */
    /* Called by the loader's threads for each sample after augmentation, or NULL: what a method makes of
     * an image alone.  Chance continues the sample's own stream. */
    void (*prepare)(void *user, const unsigned char *pixel, am_rng *, unsigned char *extra);
    void *user;
    size_t extra;                                       /* bytes for each sample, a multiple of 16 */
} am_loader_options;

/* The batches are a function of (seed, epoch, sample) alone, whatever the threads do.  A read
 * fault in a worker comes out of am_loader_next. */
am_status am_loader_open(am_loader **, const am_dataset *, const am_loader_options *, am_err *);
long      am_loader_batches(const am_loader *);         /* in an epoch */
void      am_loader_seek(am_loader *, long epoch, long number);     /* the next batch is this one */
am_status am_loader_next(am_loader *, const am_host_batch **, am_err *);    /* valid until the next call */
void      am_loader_close(am_loader *);
size_t    am_loader_bytes(const am_loader *);

#endif
