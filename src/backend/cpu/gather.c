/* gather.c: a batch made of windows of images that lie in the backend's memory as bytes.
 *
 * Training does not come here: a backend that shares the host's memory has its batches from the
 * loader (am_backend.resident is 0).  It is the formula that other backends are held against. */
#include "cpu.h"
#include <stdlib.h>

/* Index i of an axis of n pixels that goes on as its own mirror image, without the border pixel. */
static int mirrored(int i, int n)
{
    const int period = n > 1 ? 2 * (n - 1) : 1;
    i = (i % period + period) % period;
    return i < n ? i : period - i;
}

void am_cpu_gather(am_backend *be, am_shape s, int images, am_dev set, am_dev windows, int reflect,
                   const float *mean, const float *std, am_dev y)
{
    if (am_cpu_stopped(be)) return;
    const unsigned char *bytes = (const unsigned char *)set.p;
    const int32_t *w = (const int32_t *)(const void *)windows.p;
    unsigned char *batch = calloc(am_count(s), 1), *to = batch;
    if (!batch) {
        am_cpu_fault(be, "gather: no memory for a batch of %d images", s.n);
        return;
    }
    for (int n = 0; n < s.n; n++, w += AM_WINDOW)
        for (int i = 0; i < s.h; i++)
            for (int j = 0; j < s.w; j++, to += s.c) {
                int row = w[AM_WINDOW_Y] + i,
                    column = w[AM_WINDOW_X] + (w[AM_WINDOW_FLIP] ? s.w - 1 - j : j);
                if (reflect) row = mirrored(row, s.h), column = mirrored(column, s.w);
                if (w[AM_WINDOW_IMAGE] >= images) {
                    am_cpu_fault(be, "gather: image %d of %d", w[AM_WINDOW_IMAGE], images);
                    free(batch);
                    return;
                }
                if (w[AM_WINDOW_IMAGE] < 0 || row < 0 || row >= s.h || column < 0 || column >= s.w)
                    continue;
                size_t pixel = ((size_t)w[AM_WINDOW_IMAGE] * (size_t)s.h + (size_t)row) *
                                   (size_t)s.w + (size_t)column;
                for (int c = 0; c < s.c; c++) to[c] = bytes[pixel * (size_t)s.c + (size_t)c];
            }
    be->ops->put_bytes(be, s, batch, mean, std, y);
    free(batch);
}
