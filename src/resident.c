/* resident.c: a training set in the backend's memory, as bytes [image][h][w][c].
 *
 * CIFAR-100 is 154 MB: sent once, and from then on a step sends windows (am_window), and the
 * backend makes the batch of them.  The same bytes as by the host's road, which serves where
 *     the backend keeps no set, or the set is larger than it would keep
 *     the augmentation does more than move windows, or an image has not the net's size
 *     a method reads the batch on the host */
#include "train.h"
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 64 }; /* images sent at a time; a multiple of 4, as memory is counted in floats */

static int suits(const am_trainer *t, const am_dataset *d, const am_augment *a)
{
    size_t most = t->be->resident, size = am_count(am_batch_of(t->net.input, 1));
    if (!most || t->net.input.c != 3 || t->extra_size || !am_augment_moves(a)) return 0;
    if (t->plain.reads) return 0;
    for (int i = 0; i < t->mixes; i++)
        if (t->mix[i].reads) return 0;
    return (size_t)d->count <= most / size;
}

/* Send all images; *fit is 0 where one has another size. */
static am_status send(am_trainer *t, const am_dataset *d, am_dev to, unsigned char *chunk, int *fit,
                      am_err *e)
{
    size_t size = am_count(am_batch_of(t->net.input, 1));
    am_image img = {0};
    am_status bad = AM_OK;
    *fit = 1;
    for (int i = 0; i < d->count && *fit && !bad; i++) {
        int place = i % CHUNK, last = place == CHUNK - 1 || i == d->count - 1;
        bad = d->read(d, i, &img, e);
        if (bad) break;
        *fit = img.width == t->net.input.w && img.height == t->net.input.h;
        if (!*fit) break;
        memcpy(chunk + (size_t)place * size, img.pixel, size);
        if (last)
            t->be->ops->upload(t->be, ((size_t)(place + 1) * size + 3) / 4, chunk,
                               am_at(to, (size_t)(i - place) * size / 4));
    }
    am_image_free(&img);
    return bad;
}

am_status am_resident_open(am_trainer *t, const am_dataset *d, const am_augment *a, am_err *e)
{
    const am_ops *op = t->be->ops;
    size_t size = am_count(am_batch_of(t->net.input, 1));
    int fit = 0;
    if (!suits(t, d, a)) return AM_OK;
    unsigned char *chunk = calloc(CHUNK + 1, size);
    if (!chunk) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "no memory to read the training set");
    am_dev set = op->alloc(t->be, ((size_t)d->count * size + 3) / 4);
    am_status bad = am_is(set) ? send(t, d, set, chunk, &fit, e) : AM_OK;
    free(chunk);
    if (!bad && fit) {
        t->set = set;
        t->set_images = d->count;
        t->set_reflect = a->pad_reflect;
    } else if (am_is(set)) {
        op->free(t->be, set);
    }
    return bad;
}

void am_resident_windows(am_trainer *t, const am_window *from)
{
    int *to = am_state_ints(t, t->windows);
    for (int i = 0; i < t->n; i++, to += AM_WINDOW) {
        to[AM_WINDOW_IMAGE] = from[i].image;
        to[AM_WINDOW_X] = from[i].x;
        to[AM_WINDOW_Y] = from[i].y;
        to[AM_WINDOW_FLIP] = from[i].flip;
    }
}

void am_resident_put(am_trainer *t, am_dev to)
{
    float mean[AM_MAX_LIST], std[AM_MAX_LIST];
    am_levels(&t->net.options, mean, std);
    t->be->ops->gather(t->be, am_batch_of(t->net.input, t->n), t->set_images, t->set,
                       am_state_dev(t, t->windows), t->set_reflect, mean, std, to);
}
