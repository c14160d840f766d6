/* pairing.h: where the MixBlock's intermediate values lie in `saved`, and its upsampling. */
#ifndef AM_CPU_PAIRING_H
#define AM_CPU_PAIRING_H
#include "cpu.h"

/* Sample i's part of each begins at i times the size given. */
typedef struct am_paired {
    float *shared;              /* [depth][P]  query conv of z, without lambda's channel */
    float *shared_value;        /* [P] */
    float *q, *k, *v;           /* [depth][P], [depth][P], [P] */
    float *q_length, *k_length; /* [depth]  1 / deviation over the pixels, where normalised */
    float *a;                   /* [P][P]  attention */
    float *logit;               /* [P]  bounded */
    float *entropy;             /* [1] */
} am_paired;

static inline size_t am_paired_pixels(const am_pairing *p) { return (size_t)p->h * (size_t)p->w; }
size_t am_paired_place(const am_pairing *, int n, float *saved, am_paired *);   /* floats */

/* m [scale h][scale w] = sigmoid of l [h][w] upsampled; and dl += from dm, its gradient.  Bilinear
 * with half-pixel centres, held at the border. */
void am_mask_up(const am_pairing *, const float *l, float *m);
void am_mask_up_back(const am_pairing *, const float *m, const float *dm, float *dl);

/* The pair of sample i from s->q, k, v on: attention, logit, entropy, mask. */
void am_paired_normalise(const am_pairing *, float *side, float *length);       /* [depth][P], [depth] */
void am_paired_attend(const am_pairing *, const am_paired *, int i, float *mask);

/* Gradients of q, k, v of each sample, as those lie; ds [P][P] and dl [P] for each thread. */
typedef struct am_paired_grads { float *dq, *dk, *dv, *ds, *dl; } am_paired_grads;
size_t am_paired_grads_place(const am_backend *, const am_pairing *, int n, float *scratch, am_paired_grads *);
void am_paired_back(const am_backend *, const am_pairing *, const am_paired *, const am_paired_grads *, int n, const float *mask,
                    const float *dmask);

#define AM_PAIRING_EPS 1e-6f
#endif
