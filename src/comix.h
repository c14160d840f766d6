/* comix.h: Co-Mixup's part on the host: which image shows in which cell of which mixture. */
#ifndef AM_COMIX_H
#define AM_COMIX_H
#include "rng.h"

enum { AM_COMIX_PART = 64, AM_COMIX_GRID = 16, AM_COMIX_CELLS = AM_COMIX_GRID * AM_COMIX_GRID };

typedef struct am_comix {
    int grid;                           /* cells across */
    double alpha, beta, gamma, tau, eta;
    int rounds;
} am_comix;

/* n <= AM_COMIX_PART images with n mixtures of them.  salient [n][cells]: shares that add up to 1 for each
 * image; near [n][n]: how much two images count as one.  share [n][cells][n]: of each mixture's cells,
 * the weights of the images, which add up to 1.  room: n (cells + n) numbers. */
void am_comix_solve(const am_comix *, int n, const double *salient, const double *near, am_rng *, float *share, double *room);

/* What is minimised, without the threshold tau; methods.md calls it f.  cost [n][cells]. */
double am_comix_objective(const am_comix *, int n, const double *cost, const float *share);

#endif
