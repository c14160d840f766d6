/* image.c: libFuzzer's way into the decoding of images. */
#include "data.h"

static volatile unsigned seen;

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    am_image img;
    am_err e = {0};
    if (am_image_decode(&img, bytes, size, "fuzz", &e)) {
        if (!e.text[0]) __builtin_trap();
        return 0;
    }
    if (img.width < 1 || img.height < 1) __builtin_trap();
    for (size_t i = 0; i < 3 * (size_t)img.width * (size_t)img.height; i++) seen += img.pixel[i];
    am_image_free(&img);
    return 0;
}
