/* tap.h: what the methods that mix inside the net share: which layers, and putting things back.
 *
 * A tap changes the output y of a layer for everything that reads it.  The layer itself must find
 * its own y again when it goes back, so the tap keeps a copy of it. */
#ifndef AM_TAP_H
#define AM_TAP_H
#include "mixer.h"

typedef struct am_taps {
    int count, layer[AM_MAX_LIST];      /* 0 is the image */
    size_t room, pixels;                /* of the largest: floats for the batch, places of a map */
    size_t values;                      /* of the largest: numbers of one sample */
    am_place keep;                      /* room floats: the layer's own output */
    am_place spare;                     /* room floats, and */
    am_place mask;                      /* planes [n][pixels]: for the method */
} am_taps;

/* The layers of layers=, or those of `names` (ending with NULL); makes the lessons of the common
 * step too, and refuses a layer that the head does not see.  What else must live beside the lessons is pushed before. */
am_status am_taps_open(am_taps *, am_mix *, am_trainer *, const am_layers *given, const char *const *names, am_err *);

/* The step of a method that averages after `layer` this time: labels as MixUp's, the tap in the lesson
 * of mixed images; where the layer is the image (0), the images are averaged and there is no tap. */
void am_tap_learn(am_mix *, am_trainer *, int layer, am_tap_at *forward, am_tap_at *backward, void *self);

void am_tap_keep(const am_pass *, const am_layer *, am_dev keep);           /* on the way forward, first */
void am_tap_put_back(const am_pass *, const am_layer *, am_dev keep);       /* on the way back, first; keep is then free */

#endif
