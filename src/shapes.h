/* shapes.h: one picture of the generated set (format=shapes).  The picture is a function of
 * (seed, split, index) alone. */
#ifndef AM_SHAPES_H
#define AM_SHAPES_H
#include "data.h"

enum { AM_SHAPES = 10 };
/* In alphabetical order, so that format=folder numbers them alike. */
extern const char *const am_shape_name[AM_SHAPES];

typedef struct am_shape_box { int x, y, width, height; } am_shape_box;

/* Each ten pictures in a row have each class once, in an order of their own. */
int am_shape_class(uint64_t seed, int split, int index);

/* Draw an object of that class.  img has its size and buffer; silhouette is its plane
 * [h][w], 0 or 255; box is the tightest around the silhouette. */
void am_shape_draw(uint64_t seed, int split, int index, am_image *img, unsigned char *silhouette,
                   am_shape_box *box);

#endif
