/* salient.h: what the methods share that ask the network where an image is salient: the length, over
 * channels, of the clean loss's gradient at each pixel, from a pass of its own. */
#ifndef AM_SALIENT_H
#define AM_SALIENT_H
#include "mixer.h"

typedef struct am_salient {
    am_plan plan;
    am_pass pass;
    double lesson;              /* 0: running statistics, and the weights are left alone */
    float *map;                 /* [n][h][w] */
    float *x;                   /* room of a batch [n][c][h][w], free between calls */
    void *room;
} am_salient;

/* lesson > 0: a training pass on the loss times 2 lesson / classes, whose gradients stay in the step. */
am_status am_salient_open(am_salient *, const am_mix *, am_trainer *, double lesson, am_err *);
/* Fill the map from the batch x; where there are no labels to ask a loss for (a sheet's), with the saliency
 * of the pixels alone (saliency.c).  The host waits for the device. */
void am_salient_find(am_salient *, am_trainer *, am_dev x);

#endif
