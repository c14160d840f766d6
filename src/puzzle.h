/* puzzle.h: PuzzleMix's part on the host: the mask and the transport of one pair. */
#ifndef AM_PUZZLE_H
#define AM_PUZZLE_H
#include <stddef.h>

enum { AM_PUZZLE_BLOCKS = 16, AM_PUZZLE_SITES = AM_PUZZLE_BLOCKS * AM_PUZZLE_BLOCKS };

typedef struct am_puzzle {
    int side, channels;                 /* of the image, which is square */
    int blocks, moved;                  /* blocks across: of the mask, of what is transported (a multiple) */
    int neigh, labels, transport;
    double beta, gamma, eta, t_eps;
    const double *mean, *std;           /* of each channel: pixels are x std + mean */
} am_puzzle;

/* x: normalised [c][side][side]; g: saliency [side][side]. */
typedef struct am_puzzle_pair { const float *x_i, *x_j, *g_i, *g_j; double lambda; } am_puzzle_pair;

void am_puzzle_shares(const float *g, int side, int blocks, double *share);     /* block means that add up to 1 */
void am_puzzle_mask(const am_puzzle *, const am_puzzle_pair *, float *mask);    /* [blocks][blocks]: weight of x_i */
/* source[d]: the block that moves to d, or -1; blocks <= AM_PUZZLE_BLOCKS */
void am_puzzle_plan(int blocks, double t_eps, const float *mask, const double *share, int *source);
double am_puzzle_mix(const am_puzzle *, const am_puzzle_pair *, float *to);     /* the mixture; returns mean(mask) */

#endif
