/* image.c: the memory of a picture, and pictures from and to files.  What a file holds is the
 * business of image_stb.c. */
#include "data.h"
#include "file.h"
#include <stdlib.h>
#include <string.h>

enum { MOST_SIDE = 16384 };
#define MOST_BYTES ((size_t)1 << 30)                    /* of a file that holds a picture */

am_status am_image_fit(am_image *img, int width, int height, am_err *e)
{
    if (width < 1 || height < 1 || width > MOST_SIDE || height > MOST_SIDE)
        return am_fail(e, AM_EINPUT, AM_NOPLACE, "a picture of %dx%d; a side must be from 1 to %d",
                       width, height, MOST_SIDE);
    size_t size = (size_t)width * (size_t)height * 3;
    if (!img->pixel || (size_t)img->width * (size_t)img->height * 3 != size) {
        am_image_free(img);
        img->pixel = malloc(size);
        if (!img->pixel)
            return am_fail(e, AM_ENOMEM, AM_NOPLACE, "no memory for a picture of %dx%d", width,
                           height);
    }
    img->width = width;
    img->height = height;
    return AM_OK;
}

am_status am_image_new(am_image *img, int width, int height, am_err *e)
{
    *img = (am_image){0};
    AM_TRY(am_image_fit(img, width, height, e));
    memset(img->pixel, 0, (size_t)width * (size_t)height * 3);
    return AM_OK;
}

void am_image_free(am_image *img)
{
    free(img->pixel);
    *img = (am_image){0};
}

am_status am_image_read(am_image *img, const char *path, am_err *e)
{
    am_arena mem = {0};
    char *bytes;
    size_t size;
    *img = (am_image){0};
    am_status s = am_file_slurp(&mem, path, MOST_BYTES, &bytes, &size, e);
    if (!s) s = am_image_decode(img, bytes, size, path, e);
    am_arena_free(&mem);
    return s;
}
