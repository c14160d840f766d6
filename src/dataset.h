/* dataset.h: what the files of this floor share among themselves; the rest of the program sees
 * data.h alone. */
#ifndef AM_DATASET_H
#define AM_DATASET_H
#include "data.h"

/* ---- text files of one word or path a line (dataset_lines.c) ---- */
/* Without blank lines, blanks at both ends, CR, byte order mark.  number: counted from 1 in the
 * file. */
typedef struct am_lines { const char **text; int *number; int count; } am_lines;
am_status am_lines_read(am_lines *, am_arena *, const char *path, am_err *);

/* Position is meaning in a file of names: exactly `classes` lines, none blank in between. */
am_status am_names_read(const char *const **names, am_arena *, const char *path, int classes,
                        am_err *);

/* ---- a set of image files (dataset_files.c) ---- */
/* Grows while a format looks for its files, then becomes the state of a data set.  Decoded images
 * stay in memory as long as all of them take no more than `keep` bytes. */
typedef struct am_files am_files;
am_status am_files_new(am_files **, size_t keep, am_err *);
am_status am_files_add(am_files *, const char *path, int label, am_err *);
am_arena *am_files_arena(am_files *);                   /* for strings that live as long */
int       am_files_count(const am_files *);
void      am_files_hand_over(am_files *, am_dataset *); /* the data set owns it now */
void      am_files_free(am_files *);
size_t    am_files_keep(int train);                     /* the share of memory of either set */

/* ---- the first images of each class (dataset_subset.c) ---- */
am_status am_dataset_first(am_dataset *, int per_class, const char *path, am_err *);

/* ---- resampling and augmentation with memory of the caller ---- */
typedef struct am_scratch {
    unsigned char *bytes[3];
    size_t size[3];
} am_scratch; /* only grows */
void *am_scratch_need(am_scratch *, int which, size_t size); /* NULL: out of memory */
void  am_scratch_free(am_scratch *);

typedef struct am_view {
    const unsigned char *pixel;
    size_t stride;
    int width, height;
} am_view; /* stride: bytes a row */
/* The box of `from` becomes out [height][width][3]. */
am_status am_resize_view(am_view from, double x0, double y0, double w, double h, am_filter,
                         int width, int height, unsigned char *out, am_scratch *, am_err *);
am_status am_augment_with(const am_augment *, const am_image *, am_rng *, unsigned char *out,
                          am_scratch *, am_err *);

/* Darknet's own distortions (augment_darknet.c). */
int  am_distort_wanted(const am_augment *);
void am_distort_apply(const am_augment *, const am_image *, am_rng *, unsigned char *out);
int  am_colour_wanted(const am_augment *);
void am_colour_jitter(const am_augment *, am_rng *, unsigned char *pixel, size_t pixels);

#endif
