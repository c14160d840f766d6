/* image.c: libFuzzer's way into the decoding of images. */
#include "data.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    am_image img;
    if (!am_image_decode(&img, bytes, size, "fuzz", NULL)) am_image_free(&img);
    return 0;
}
