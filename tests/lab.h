/* lab.h: a bench for the trunk: backends of this machine, small trainers, made-up batches.
 *
 * Everything is drawn from fixed seeds, so a failure comes back.  Numbers of the device are read by
 * t_get, which also reports a backend's fault. */
#ifndef T_LAB_H
#define T_LAB_H
#include "t.h"
#include "session.h"

/* Run a check on every float32 backend and instruction set of this machine. */
void t_each_machine(int threads, void (*run)(am_backend *));
/* The fastest float32 backend here, or that of -backend. */
void t_open_machine(am_backend *, int threads);
void t_close_machine(am_backend *);

/* A trainer over a cfg given as text (learn=1), with a made-up batch of its size. */
typedef struct t_lab {
    am_backend *be;
    am_arena mem;
    am_cfg cfg;
    am_trainer t;
    am_host_batch batch;        /* t.n images of random bytes; label i is i % classes */
} t_lab;
void t_lab_open(t_lab *, am_backend *, const char *cfg);
void t_lab_load(t_lab *, am_backend *, const char *path, int batch);    /* at that batch */
void t_lab_close(t_lab *);
void t_batch(t_lab *, uint64_t seed);                   /* other images, other order of labels */

/* One update without the optimiser: draw, gradients, report.  The step's own draws depend on
 * t.step alone, so the same call gives the same numbers. */
void t_learn(t_lab *, float report[AM_REPORT]);

void t_update(t_lab *);                                 /* and with it; the next step */

float *t_get(am_backend *, am_dev, size_t n);           /* malloc'd */
void   t_set(am_backend *, am_dev, size_t n, const float *);
/* Draw n numbers of lo to hi into a plain place. */
void   t_scatter(am_backend *, am_dev, size_t n, double lo, double hi, uint64_t seed);

/* The places of a layer's learned parameters in the block: all of them, first to last. */
typedef struct t_span { size_t at, count; } t_span;
t_span t_learned(const am_net *, int layer);

/* |a - b| / |b| over n numbers, by the Euclidean length; |a| where b is 0. */
double t_off(const float *a, const float *b, size_t n);

/* A path below tests/, wherever the program is run from the repository's root. */
char *t_beside(char *out, size_t size, const char *name);

/* A net with every kind of branch: a shortcut, a route, two heads, a MixBlock, a teacher.  Smooth,
 * so that differences tell gradients.  `net` and `mix` are lines for [net] and [mix]; the net has
 * 3 classes and takes 3 x 8 x 8. */
const char *t_small_automix(char *out, size_t size, const char *net, const char *mix, int teacher);

/* Such a trainer at step 3 with every part stirred: masks far from 1/2, both losses of the
 * MixBlock at work, a teacher unlike the student. */
void t_lab_stir(t_lab *, am_backend *, const char *net, const char *mix, int teacher);
void t_clear_gradients(t_lab *);
int  t_all_zero(const float *g, t_span);

#endif
