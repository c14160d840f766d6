/* distort.h: AugMix's operations on an image of bytes [side_h][side_w][c], as Pillow's.  Host only. */
#ifndef AM_DISTORT_H
#define AM_DISTORT_H
#include "rng.h"

enum {
    AM_AUTOCONTRAST, AM_EQUALIZE, AM_POSTERIZE, AM_ROTATE, AM_SOLARIZE, AM_SHEAR_X, AM_SHEAR_Y, AM_TRANSLATE_X,
    AM_TRANSLATE_Y, AM_DISTORTIONS
};

typedef struct am_picture { int h, w, c; } am_picture;

/* level 0 .. 10 sets how much; sign -1 or 1 where there is a direction.  to != from. */
void am_distort(int what, double level, int sign, am_picture, const unsigned char *from, unsigned char *to);

#endif
