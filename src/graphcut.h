/* graphcut.h: labels for the sites of a small grid, by swaps of two labels.  Plain C on the host. */
#ifndef AM_GRAPHCUT_H
#define AM_GRAPHCUT_H

enum { AM_CUT_SITES = 256 };

/* energy = sum_i unary[i][l_i] + sum over neighbours right[i] V[l_i][l_right] + down[i] V[l_i][l_down]
 * on a grid of h x w <= AM_CUT_SITES; weights and V are not negative, V[l][l] = 0, V symmetric. */
typedef struct am_cut {
    int h, w, labels;
    const double *unary;                /* [h w][labels] */
    const double *right, *down;         /* [h w]: to the neighbour on that side, where there is one */
    const double *distance;             /* [labels][labels]: V */
} am_cut;

double am_cut_energy(const am_cut *, const int *label);
/* From the labels given, down to where no swap of two labels helps; returns the energy. */
double am_cut_swap(const am_cut *, int *label);

#endif
