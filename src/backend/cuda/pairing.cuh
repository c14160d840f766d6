/* pairing.cuh: where the MixBlock's intermediate values lie in `saved`.  P = h * w pixels; sample i's
 * part of each begins at i times the size given. */
#ifndef AM_CUDA_PAIRING_CUH
#define AM_CUDA_PAIRING_CUH
#include "device.cuh"

typedef struct paired {
    float *shared;              /* [P][depth]  query conv of z, without lambda's channel */
    float *shared_value;        /* [P] */
    float *q, *k, *v;           /* [P][depth], [P][depth], [P] */
    float *q_length, *k_length; /* [depth]  1 / deviation over the pixels, where normalised */
    float *a;                   /* [P][P]  attention */
    float *squeezed, *logit;    /* [P]  bounded, and A v itself */
    float *entropy;             /* [P] */
} paired;

size_t paired_place(const am_pairing *, int n, float *saved, paired *);    /* floats */

#define PAIRING_EPS 1e-6f
#endif
