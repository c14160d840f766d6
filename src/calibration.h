/* calibration.h: is a classifier right as often as it is sure?
 *
 * Guo et al. 2017, "On Calibration of Modern Neural Networks": predictions fall by their
 * confidence, the greatest probability, into M = 15 equal bins ((m-1)/M, m/M].  Of bin m with n_m
 * of n predictions,
 *
 *     ECE = sum_m n_m / n |acc_m - conf_m|    expected calibration error; empty bins add nothing
 *     gap = mean confidence - accuracy        above 0: overconfident */
#ifndef AM_CALIBRATION_H
#define AM_CALIBRATION_H

enum { AM_BINS = 15 };
typedef struct am_bin {
    long count, right;
    double confidence;          /* the sum */
} am_bin;
typedef struct am_reliability { am_bin bin[AM_BINS]; } am_reliability;

/* Adds n predictions: prob [n][k], labels [n]; labels below 0 are skipped.  Of equal probabilities
 * the first class is predicted; a row of no numbers is wrong, and makes both figures no number. */
void am_reliability_add(am_reliability *, int n, int k, const float *prob, const int *label);

/* Both in 0 .. 1; of no predictions, not a number. */
double am_reliability_error(const am_reliability *);
double am_reliability_gap(const am_reliability *);

#endif
