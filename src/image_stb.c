/* image_stb.c: PNG, JPEG and BMP by stb (the system's, from libstb-dev), which no other file
 * includes.
 *
 * stb fills what is missing of a cut JPEG or BMP with grey or black and calls it success; a data
 * set with such a file trains on it unseen.  And the version that distributions carry (2.27) trusts
 * the sizes that it finds in tables and chunks.  So every file is walked to its end first. */
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
enum { MOST_PER_BYTE = 8 * 1032 }; /* pixels: one bit each, and deflate's best */

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

/* A segment of Huffman tables: of each, its kind, how many codes of 1 to 16 bits, and as many
 * values.  stb writes beyond its memory when there are more than 256. */
static int tables_fit(const unsigned char *at, size_t size)
{
    while (size) {
        size_t codes = 0;
        if (size < 17) return 0;
        for (int i = 1; i <= 16; i++) codes += at[i];
        if (codes > 256 || size < 17 + codes) return 0;
        at += 17 + codes;
        size -= 17 + codes;
    }
    return 1;
}

typedef enum walk { SOUND, CUT, DAMAGED } walk;

/* Segments FF marker length ...; after SOS come coded bytes, in which FF 00 and FF D0..D7 are no
 * markers; the end is FF D9. */
static walk walk_jpeg(span f)
{
    size_t at = 2;
    while (at + 1 < f.size) {
        int marker = f.at[at + 1];
        if (f.at[at] != 0xff || marker == 0 || (marker >= 0xd0 && marker <= 0xd7)) {
            const unsigned char *next = memchr(f.at + at + 1, 0xff, f.size - at - 1);
            if (!next) return CUT;
            at = (size_t)(next - f.at);
            continue;
        }
        if (marker == 0xd9) return SOUND;
        if (marker == 0xff) at++;                       /* filling */
        else if (marker == 0x01 || marker == 0xd8) at += 2;
        else {
            size_t left = f.size - at - 2,
                   length = left < 2 ? 0 : (size_t)f.at[at + 2] << 8 | f.at[at + 3];
            if (left < 2 || length > left) return CUT;
            if (length < 2 || (marker == 0xc4 && !tables_fit(f.at + at + 4, length - 2)))
                return DAMAGED;
            at += 2 + length;
        }
    }
    return CUT;
}

/* Chunks length, name, bytes, checksum; the last is IEND.  stb takes the memory that a length asks
 * for before it looks for the bytes. */
static walk walk_png(span f)
{
    for (size_t at = 8; f.size - at >= 12;) {
        const unsigned char *p = f.at + at;
        size_t length = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
        if (length > f.size - at - 12) return CUT;
        if (!memcmp(p + 4, "IEND", 4)) return SOUND;
        at += 12 + length;
    }
    return CUT;
}

/* Rows are padded to four bytes; compressed kinds (which stb refuses) are left to stb. */
static walk walk_bmp(span f)
{
    if (f.size < 34 || little(f.at + 14, 4) < 40) return SOUND;
    size_t offset = little(f.at + 10, 4), width = little(f.at + 18, 4),
           height = little(f.at + 22, 4);
    size_t bits = little(f.at + 28, 2), packed = little(f.at + 30, 4);
    if (height > INT_MAX) height = (1ul << 32) - height;    /* rows from the top */
    if ((packed && packed != 3) || width > MOST_SIDE || height > MOST_SIDE) return SOUND;
    return offset + (width * bits + 31) / 32 * 4 * height <= f.size ? SOUND : CUT;
}

am_status am_image_decode(am_image *img, const void *bytes, size_t size, const char *name,
                          am_err *e)
{
    span f = {bytes, size};
    am_loc here = {name, 0};
    int width, height, channels;
    *img = (am_image){0};
    if (!is_png(f) && !is_jpeg(f) && !is_bmp(f))
        return am_fail(e, AM_EINPUT, here, "%s; PNG, JPEG and BMP are read",
                       size ? "is no picture" : "is an empty file");
    walk w = size > INT_MAX ? CUT
             : is_jpeg(f)   ? walk_jpeg(f)
             : is_bmp(f)    ? walk_bmp(f)
                            : walk_png(f);
    if (w == CUT)
        return am_fail(e, AM_EINPUT, here, "the picture is cut off after %zu bytes; fetch the file"
                       " again or take it out of the data set", size);
    int known = w == SOUND && stbi_info_from_memory(bytes, (int)size, &width, &height, &channels);
    if (known && (width > MOST_SIDE || height > MOST_SIDE))
        return am_fail(e, AM_EINPUT, here, "%dx%d pixels; %d a side is the most", width, height,
                       MOST_SIDE);
    if (w == DAMAGED || (known && (size_t)width * (size_t)height / MOST_PER_BYTE > size))
        return am_fail(e, AM_EINPUT, here, "the picture is damaged; fetch the file again or take it"
                       " out of the data set");
    img->pixel = stbi_load_from_memory(bytes, (int)size, &img->width, &img->height, &channels, 3);
    if (!img->pixel) {
        const char *why = stbi_failure_reason();
        *img = (am_image){0};
        if (why && !strcmp(why, "outofmem"))
            return am_fail(e, AM_ENOMEM, here, "no memory to decode the picture");
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
