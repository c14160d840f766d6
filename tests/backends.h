/* backends.h: a bench on which one operation at a time is compared with a formula in double.
 *
 * A case draws its inputs, hands them to the backend by put and upload, works the formula out on
 * what the backend then really holds (get: a bf16 backend has rounded), and compares.  t_each runs
 * a case on every backend of this machine, on each with 1, 2 and 3 threads from the same draws;
 * what came out must agree with the formula, and byte for byte with what 1 thread gave.
 *
 * Memory an operation must overwrite is filled with NaN first, so reading it shows. */
#ifndef T_BACKENDS_H
#define T_BACKENDS_H
#include "t.h"
#include "backend.h"
#include "rng.h"

typedef struct t_bench {
    am_backend *be;
    const am_ops *op;
    am_rng rng;
    uint64_t digest;                    /* of all results so far */
    am_dev device[300];
    void *host[300];
    int devices, hosts;
} t_bench;

void t_each(void (*run)(t_bench *));

double t_draw(t_bench *, double lo, double hi);
int    t_pick(t_bench *, int lo, int hi);                   /* lo <= k <= hi */
float *t_floats(t_bench *, size_t n);                       /* host memory, freed with the bench */
double *t_doubles(t_bench *, size_t n);

/* Plain memory and activations, uploaded; the host copy is what the backend holds. */
am_dev t_plain(t_bench *, size_t n, double lo, double hi, float **host);
am_dev t_activation(t_bench *, am_shape, double lo, double hi, float **host);
am_dev t_given(t_bench *, size_t n, const void *host);
am_dev t_blank(t_bench *, size_t n);                        /* all NaN */
am_dev t_blank_activation(t_bench *, am_shape);

/* A place for a gradient: NaN where beta is 0; before: what it holds where beta is not, else 0. */
am_grad t_plain_grad(t_bench *, size_t n, float beta, float **before);
am_grad t_activation_grad(t_bench *, am_shape, float beta, float **before);

/* |got - want| <= tolerance * the largest |want|, for every number.  t_loose: the tolerance for an
 * activation, which a bf16 backend stores in 8 bits. */
void t_plain_is(t_bench *, const char *what, size_t n, am_dev, const double *want,
                double tolerance);
void t_activation_is(t_bench *, const char *what, am_shape, am_dev, const double *want,
                     double tolerance);
double t_loose(const t_bench *, double fp32);
void t_clear(t_bench *); /* free what was drawn so far, between shapes */

double t_act(am_act, double x);
double t_slope(am_act, double y);
size_t t_at(am_shape, int n, int c, int y, int x);
#endif
