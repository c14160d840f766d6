/* saliency.h: where in an image one looks first, from the image alone.  Plain C on the host. */
#ifndef AM_SALIENCY_H
#define AM_SALIENCY_H
#include <stddef.h>

size_t am_saliency_room(int h, int w);                  /* bytes of work room, for either */

/* pixel [h][w][c], RGB or grey; map [h][w]: 0 .. 255 */
void am_saliency_fine(const unsigned char *pixel, int h, int w, int c, void *room, unsigned char *map);
/* the same, as shares 0 .. 1 of the greatest */
void am_saliency_spectral(const unsigned char *pixel, int h, int w, int c, void *room, float *map);

#endif
