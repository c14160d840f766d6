/* image_stb.c: PNG, JPEG and BMP by stb (the system's, from libstb-dev).  No other file includes it.
 *
 * stb fills what is missing of a cut JPEG or BMP with grey or black and calls it success; a data
 * set with such a file trains on it unseen.  So those two are walked to their end first; of a PNG
 * stb itself wants the end chunk. */
#include "data.h"
#include "file.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC diagnostic ignored "-Wunused-function"        /* gcc looks at the end of the file */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wpedantic"
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_NO_STDIO
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_ONLY_BMP
#define STBI_MAX_DIMENSIONS 16384
#include <stb/stb_image.h>
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#include <stb/stb_image_write.h>
#pragma GCC diagnostic pop

enum { MOST_SIDE = STBI_MAX_DIMENSIONS };

typedef struct span { const unsigned char *at; size_t size; } span;

static unsigned long little(const unsigned char *p, int bytes)
{
    unsigned long v = 0;
    while (bytes--) v = v << 8 | p[bytes];
    return v;
}

static int is_jpeg(span f) { return f.size >= 3 && !memcmp(f.at, "\xff\xd8\xff", 3); }
static int is_png(span f) { return f.size >= 8 && !memcmp(f.at, "\x89PNG\r\n\x1a\n", 8); }
static int is_bmp(span f) { return f.size >= 2 && !memcmp(f.at, "BM", 2); }

/* Segments FF marker length ...; after SOS come coded bytes, in which FF 00 and FF D0..D7 are no
 * markers.  Is there an end marker FF D9? */
static int jpeg_ends(span f)
{
    size_t at = 2;
    while (at + 1 < f.size) {
        if (f.at[at] != 0xff || f.at[at + 1] == 0 || (f.at[at + 1] >= 0xd0 && f.at[at + 1] <= 0xd7)) {
            const unsigned char *next = memchr(f.at + at + 1, 0xff, f.size - at - 1);
            if (!next) return 0;
            at = (size_t)(next - f.at);
            continue;
        }
        int marker = f.at[at + 1];
        if (marker == 0xd9) return 1;
        if (marker == 0xff) at++;                       /* filling */
        else if (marker == 0x01 || marker == 0xd8) at += 2;
        else if (at + 3 < f.size) at += 2 + ((size_t)f.at[at + 2] << 8 | f.at[at + 3]);
        else return 0;
    }
    return 0;
}

/* Rows are padded to four bytes; compressed kinds (which stb refuses) are left to stb. */
static int bmp_ends(span f)
{
    if (f.size < 34 || little(f.at + 14, 4) < 40) return 1;
    size_t offset = little(f.at + 10, 4), width = little(f.at + 18, 4), height = little(f.at + 22, 4);
    size_t bits = little(f.at + 28, 2), packed = little(f.at + 30, 4);
    if (height > INT_MAX) height = (1ul << 32) - height;    /* rows from the top */
    if ((packed && packed != 3) || width > MOST_SIDE || height > MOST_SIDE) return 1;
    return offset + (width * bits + 31) / 32 * 4 * height <= f.size;
}

am_status am_image_decode(am_image *img, const void *bytes, size_t size, const char *name, am_err *e)
{
    span f = {bytes, size};
    am_loc here = {name, 0};
    int width, height, channels;
    *img = (am_image){0};
    if (!is_png(f) && !is_jpeg(f) && !is_bmp(f))
        return am_fail(e, AM_EINPUT, here, "%s; PNG, JPEG and BMP are read",
                       size ? "is no picture" : "is an empty file");
    if (size > INT_MAX || (is_jpeg(f) && !jpeg_ends(f)) || (is_bmp(f) && !bmp_ends(f)))
        return am_fail(e, AM_EINPUT, here, "the picture is cut off after %zu bytes; fetch the file"
                       " again or take it out of the data set", size);
    if (stbi_info_from_memory(bytes, (int)size, &width, &height, &channels)
        && (width > MOST_SIDE || height > MOST_SIDE))
        return am_fail(e, AM_EINPUT, here, "%dx%d pixels; %d a side is the most", width, height,
                       MOST_SIDE);
    img->pixel = stbi_load_from_memory(bytes, (int)size, &img->width, &img->height, &channels, 3);
    if (!img->pixel) {
        const char *why = stbi_failure_reason();
        *img = (am_image){0};
        return am_fail(e, AM_EINPUT, here, "the picture cannot be decoded (%s); fetch the file"
                       " again or take it out of the data set", why ? why : "no reason given");
    }
    return AM_OK;
}

am_status am_image_encode_png(const am_image *img, unsigned char **bytes, size_t *size, am_err *e)
{
    int length = 0;
    *bytes = stbi_write_png_to_mem(img->pixel, img->width * 3, img->width, img->height, 3, &length);
    *size = (size_t)length;
    if (*bytes) return AM_OK;
    return am_fail(e, AM_ENOMEM, AM_NOPLACE, "no memory to encode a picture of %dx%d", img->width,
                   img->height);
}

am_status am_image_write_png(const am_image *img, const char *path, am_err *e)
{
    unsigned char *png;
    size_t size;
    AM_TRY(am_image_encode_png(img, &png, &size, e));
    am_status s = am_file_replace(path, &(am_span){png, size}, 1, e);
    free(png);
    return s;
}
