/* rng.h: chance, in a plain struct that is handed on.
 *
 * PCG32 (O'Neill 2014).  am_rng_at gives an independent stream for each (seed, a, b), such as
 * (seed, epoch, sample), so that what one sample draws does not depend on which thread drew
 * before it. */
#ifndef AM_RNG_H
#define AM_RNG_H
#include <stdint.h>

typedef struct am_rng { uint64_t state, stream; } am_rng;

am_rng   am_rng_at(uint64_t seed, uint64_t a, uint64_t b);
uint32_t am_rng_u32(am_rng *);
uint32_t am_rng_below(am_rng *, uint32_t n);            /* uniform in 0..n-1, without bias; n >= 1 */
double   am_rng_real(am_rng *);                         /* uniform in [0, 1) */
double   am_rng_between(am_rng *, double lo, double hi);
double   am_rng_normal(am_rng *);                       /* Box-Muller */
double   am_rng_gamma(am_rng *, double shape);          /* Marsaglia and Tsang 2000; scale 1 */
double   am_rng_beta(am_rng *, double a, double b);
void     am_rng_permute(am_rng *, int n, int *p);       /* Fisher-Yates: fills p with a permutation of 0..n-1 */

#endif
