/* mixer.h: what a mixing method may touch.
 *
 * A batch is images x and soft labels q, one row of class weights per image; a method turns it into
 * another (x, q), and the loss knows nothing of lambda.  A method fills exactly one of
 *
 *   mask   writes the weight of the partner for each pixel; the common step mixes by it
 *   mix    makes the mixed images itself, where a pixel does not stay at its place
 *   run    is the whole step (none, AutoMix, what mixes inside the net)
 *
 * Chance comes first: draw() fills the step-state on the host (permutations, lambda, boxes), and what
 * runs on the device reads it there.  So tests and golden vectors hand in what training draws. */
#ifndef AM_MIXER_H
#define AM_MIXER_H
#include "net.h"
#include "rng.h"

typedef struct am_trainer am_trainer;
typedef struct am_mix am_mix;

/* ---- the step-state: host copy and device copy, uploaded once a step ---- */
typedef struct am_state { float *host; am_dev dev; size_t count, room; } am_state;
typedef struct am_slot { size_t at; } am_slot;

/* Two mixtures may be drawn in a step: [0] teaches the MixBlock, [1] the student. */
typedef struct am_pair { am_slot perm, lam; } am_pair;

typedef struct am_method {                              /* one row of the registry */
    const char *name, *paper, *help, *example;
    const am_key *keys;
    size_t options, state;
    am_status (*setup)(am_mix *, am_trainer *, am_err *);       /* claim state, lay out passes; may be NULL */
    void (*draw)(am_mix *, am_trainer *, am_rng *);             /* host: the step-state of this step */
    /* host, in the loader's threads: what is made of one image [h][w][c] alone, am_mix.extra bytes; may be NULL.
     * Where the method has `run`, an image to learn from comes first, floats [c][h][w] */
    void (*prepare)(const am_mix *, const am_trainer *, const unsigned char *pixel, am_rng *, unsigned char *extra);
    void (*mask)(am_mix *, am_trainer *, am_dev m);             /* device: planes [n][h][w] from the step-state */
    void (*mix)(am_mix *, am_trainer *, am_dev x, am_dev to);   /* device: the mixed images; draw, or mix, leaves lambda */
    void (*labels)(am_mix *, am_trainer *, am_dev to);          /* device: the mixed labels, where they are not two of a pair; may be NULL */
    void (*run)(am_mix *, am_trainer *);                        /* device: forward and backward of the whole step */
    void (*close)(am_mix *, am_trainer *);                      /* give back what is not in arenas; may be NULL */
} am_method;
const am_method *am_method_find(const char *name);      /* registry.c */
const am_method *const *am_methods(void);               /* registry.c; ends with NULL */

typedef struct am_mix_common { const char *method; double prob; int clean, mixed; } am_mix_common;
extern const am_key am_mix_common_keys[];

typedef struct am_teacher_options { double momentum, end_momentum, hold; int clean_loss; } am_teacher_options;
extern const am_key am_teacher_keys[];

/* A lesson: forward, backward, loss into the report. */
typedef struct am_lesson { am_plan plan; am_pass pass; int loss; } am_lesson;

struct am_mix {
    const am_method *type;
    am_mix_common common;
    void *options, *state;
    am_loc loc;
    am_lesson clean, mixed;     /* of the common step */
    am_lesson trunk;            /* where both go as one batch: up to the last layer that they share (lesson.c) */
    int also;                   /* a layer that the mixed lesson computes too (set in setup); 0: none */
    am_lesson look;             /* the teacher at the clean batch, so that its statistics fit its weights */
    int shows;                  /* set in setup: the method shows the teacher images itself */
    int reads;                  /* set in setup: the method reads the trainer's pixels, so that batches must come as such */
    size_t extra, extra_at;     /* bytes that prepare fills for a sample (set in setup), and where in the trainer's */
};

enum { AM_LOSS_CLEAN, AM_LOSS_MIXED, AM_LOSS_JUDGE, AM_LOSS_MASK, AM_LOSSES };
/* What a step leaves for the host, plain: losses of the update; the guard, which holds this update back and all
 * that follow; then sums since they were last cleared. */
enum {
    AM_REPORT_LOSS = 0, AM_REPORT_GUARD = AM_LOSSES, AM_REPORT_HEALTH, AM_REPORT_TALLY = AM_REPORT_HEALTH + AM_HEALTH,
    AM_REPORT = AM_REPORT_TALLY + AM_SCORES
};

/* A stretch of parameters that learn alike. */
typedef struct am_stretch { size_t at, count; int mixblock, decays; double rate; am_slot hyper; } am_stretch;
enum { AM_HYPER_RATE, AM_HYPER_MOMENTUM, AM_HYPER_DECAY, AM_HYPER_NESTEROV, AM_HYPER_FOLLOW, AM_HYPER };

enum { AM_MAX_MIXES = 32 };
struct am_trainer {
    am_backend *be;
    am_arena mem;
    am_net net;
    am_weights student, teacher;
    int has_teacher;
    am_teacher_options follow;
    am_space space;
    am_state state;
    int n, classes;             /* samples in a part of the batch; of the heads */
    int clean_head, mixed_head; /* [softmax] layers */
    am_mix mix[AM_MAX_MIXES];
    int mixes;
    am_mix plain;               /* method=none, for what is left of prob= */

    am_pair pair[2];
    am_slot labels, mask_weight, mask_limit, seed;  /* mask_limit: length the MixBlock's gradient is kept to */
    am_place x, q, mixed_x, mixed_q, mixed_mask;/* the batch; the student's mixture, right behind it, and its mask */
    am_place judged_x, judged_q, judged_mask;   /* AutoMix: the mixture that teaches the MixBlock */
    am_dev set;                 /* the training set's bytes, or nowhere (resident.c) */
    int set_images, set_reflect;
    am_slot windows;            /* int32 [n][AM_WINDOW], where the backend may keep a set */
    am_dev report, clip_scratch;
    double fixed_lambda;        /* in [0, 1]: what the sheet asks for; below 0: drawn */
    const int *fixed_perm;      /* the sheet's partners; NULL: drawn */
    const unsigned char *pixels, *extra;    /* during a step: the batch on the host, [n][h][w][c], and what was prepared of it;
                                               no pixels where the batch is made on the device */
    unsigned char *extra_room;
    size_t extra_size;          /* of a sample */

    am_stretch *stretch;
    int stretches;
    int part;                   /* of the update at hand, 0 .. subdivisions - 1 */
    long step, steps, steps_per_epoch;  /* updates done, of the whole run, of an epoch */
    uint64_t seed_value;
    const char *cfg_text;       /* goes into weight files */
    int made_up;                /* files that a method names are not read: what they hold is drawn */

    /* what AutoMix asks of the schedules (see mix/automix.c) */
    struct {
        double weight, rate, min_rate, momentum, clip, start;
        int schedule, warmup, own_rate;
    } schedule;
};

/* The parts of a step; am_step (train.h) calls them in this order. */
am_status am_mix_setup(am_mix *, am_trainer *, am_err *);
void am_prepare(void *trainer, const unsigned char *pixel, am_rng *, unsigned char *extra);    /* host: for the loader */
void am_step_draw(am_trainer *, am_mix *);              /* host */
void am_step_learn(am_trainer *, am_mix *);             /* device: gradients */
void am_mix_batch(am_trainer *, am_mix *);              /* device: mixed_x, mixed_q, of a method with `mask` or `mix` */

/* ---- for methods ---- */
am_slot am_claim(am_trainer *, size_t floats);          /* in setup: room in the step-state */
static inline am_dev am_state_dev(const am_trainer *t, am_slot s) { return am_at(t->state.dev, s.at); }
static inline float *am_state_host(am_trainer *t, am_slot s) { return t->state.host + s.at; }
static inline int   *am_state_ints(am_trainer *t, am_slot s) { return (int *)(void *)(t->state.host + s.at); }

double am_draw_lambda(am_trainer *, am_rng *, double alpha);    /* Beta(alpha, alpha), or what the sheet asks for */
void   am_draw_pair(am_trainer *, am_rng *, int which, double lambda, int no_repeat);   /* one lambda for the batch; a permutation */
static inline float am_update_share(const am_trainer *t) { return 1.0f / ((float)t->n * (float)t->net.options.subdivisions); }

/* Lay out a lesson of the student (or of `w`); in the step: teach. */
am_status am_lesson_make(am_lesson *, am_trainer *, am_trip, const am_weights *, int loss, am_err *);
void am_teach(am_trainer *, am_lesson *, am_dev x, am_dev q);   /* forward, loss into the report, backward */

/* Clean and mixed images for the student, each to its head; as one batch where the backend gains by it.
 * apart: never, since the mixed one's pass is tapped and must be one of its own. */
am_status am_student_lessons(am_mix *, am_trainer *, int apart, am_err *);
/* The common step's lessons: both, or the mixed one alone. */
am_status am_mix_lessons(am_mix *, am_trainer *, int apart, am_err *);
/* Teach them; mixed_x is the trainer's own mixed_x where both go as one. */
void am_mix_teach(am_trainer *, am_mix *, am_dev mixed_x, am_dev mixed_q);

/* What a byte's level becomes: mean and std of each channel. */
void am_levels(const am_net_options *, float mean[AM_MAX_LIST], float std[AM_MAX_LIST]);
void am_put_pixels(am_trainer *, const unsigned char *pixels, am_dev to);     /* [n][h][w][c], normalised on the way */
void am_mask_spread(am_trainer *, am_dev plane, am_dev to);     /* one plane [h][w] for every sample */
/* The share of x_i that a plane which weighs the partner leaves. */
double am_mask_kept(const float *plane, size_t pixels);

#endif
