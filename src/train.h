/* train.h: the trainer, its schedules, validation, checkpoints. */
#ifndef AM_TRAIN_H
#define AM_TRAIN_H
#include "calibration.h"
#include "data.h"
#include "file.h"
#include "mixer.h"

/* Everything a cfg says, ready to step. */
typedef struct am_trainer_options {
    int learn;                  /* 0: weights and structure only, for valid, predict, sheet */
    int batch;                  /* > 0: instead of the cfg's (and subdivisions=1) */
    const char *mix;            /* instead of the cfg's [mix] sections, or NULL */
    long seed;                  /* < 0: the cfg's */
    int made_up;                /* files that a method names are not read: for `automix net`, bench */
} am_trainer_options;

am_status am_trainer_open(am_trainer *, am_backend *, const am_cfg *, const am_trainer_options *, am_err *);
/* One more method, as the cfg's own [mix] section says where it has one; between open and start. */
am_status am_trainer_add(am_trainer *, const am_cfg *, const char *method, am_err *);
am_status am_trainer_start(am_trainer *, int learn, am_err *);      /* take the memory laid out, start the weights */
void      am_trainer_close(am_trainer *);

/* ---- the training set in the backend's memory (resident.c) ----
 * Between start and the first step: t->set is somewhere where the set is kept there, and then batches must
 * come as windows (am_loader_options). */
am_status am_resident_open(am_trainer *, const am_dataset *, const am_augment *, am_err *);
void am_resident_windows(am_trainer *, const am_window *);      /* host: of the batch, into the step-state */
void am_resident_put(am_trainer *, am_dev to);          /* device: the batch that these are */

/* ---- a step ---- */
am_mix *am_step_mix(am_trainer *);                      /* which [mix] this step is */
void am_step_schedule(am_trainer *);                    /* rates, momenta, weights of this step into the step-state */
void am_step_begin(am_trainer *);                       /* clear the report's losses; the guard stays, once it is up */
void am_step_part(am_trainer *, am_mix *, const am_host_batch *);    /* one of the subdivisions: draw, upload, gradients */
void am_step_update(am_trainer *);                      /* clip, optimiser, teacher */
am_status am_step_report(am_trainer *, float report[AM_REPORT], am_err *);   /* wait for the step; what it left */
/* Put the report aside; wait for that of an update, after which am_backend.ahead others may have been issued. */
void am_step_leave(am_trainer *);
am_status am_step_read(am_trainer *, long step, float report[AM_REPORT], am_err *);
void am_report_clear(am_trainer *);                     /* the sums of health and tally */
void am_teach_labels(am_trainer *, const int *labels);  /* host labels into the step-state, q on the device */
void am_upload_state(am_trainer *);

/* The layer whose output first stops being finite in a forward pass over the batch at hand. */
const am_layer *am_find_not_finite(am_trainer *, am_err *);

/* ---- schedules: pure functions of the update t (from 0), of T and of updates in an epoch ---- */
double am_rate_at(const am_net_options *, long t, long steps, long per_epoch, uint64_t seed);
double am_follow_at(const am_teacher_options *, long t, long steps);
double am_mask_weight_at(double weight, int schedule, long t, long steps);

/* ---- validation ---- */
enum { AM_STUDENT, AM_TEACHER };
enum { AM_HEAD_ONE, AM_HEAD_MIX };
typedef struct am_accuracy {
    double loss, top1, topk, ece, gap;  /* all but the loss in percent */
    long samples;
    int valid;                  /* there are this net and this head */
    am_reliability reliability;
} am_accuracy;
typedef struct am_validation { am_accuracy at[2][2]; } am_validation;       /* [net][head] */

/* A classifier at rest: inference passes of both heads at `batch` samples. */
typedef struct am_examiner {
    am_trainer *t;
    int batch, top, heads;
    am_plan plan[2];
    am_pass pass[2];            /* student, teacher */
    am_place x;
    am_dev labels, q, tally, prob;      /* prob: of a batch, for each net and head */
    float *host_prob;
} am_examiner;
am_status am_examiner_layout(am_examiner *, am_trainer *, int batch, int top, am_err *);     /* before am_space_commit */
am_status am_examiner_open(am_examiner *, am_err *);    /* after */
void      am_examiner_close(am_examiner *);
am_status am_examine(am_examiner *, am_loader *, am_validation *, am_err *);
void      am_examine_one(am_examiner *, int net, const am_host_batch *);     /* one batch of it, one net: for the clock */
/* Logits [batch][classes] of an activation of images. */
am_status am_examine_logits(am_examiner *, int net, int head, am_dev given, float *out, am_err *);
/* Probabilities [batch][classes] of a batch of bytes. */
am_status am_examine_batch(am_examiner *, int net, int head, const unsigned char *pixel, float *out, am_err *);

/* ---- weight files and checkpoints ---- */
typedef struct am_progress {    /* beside the weights in a checkpoint: what a resumed run must know */
    long step, epoch;
    double average_loss, best, sums[16];
    uint64_t seed;
} am_progress;
enum { AM_SAVE_WEIGHTS = 0, AM_SAVE_CHECKPOINT = 1 };
am_status am_weights_save(am_trainer *, const char *path, int what, const am_progress *, am_err *);
am_status am_weights_load(am_trainer *, const char *path, am_progress *, am_err *);     /* progress NULL: weights only */
/* What a training starts from: layers with fresh=1 keep their initialisation, and where there are
 * any, the teacher starts as the student; all else is as in load. */
am_status am_weights_begin(am_trainer *, const char *path, am_err *);
int       am_fresh_layers(const am_net *);
am_status am_weights_take(am_trainer *, const am_tensors *, const char *path, am_progress *, am_err *);
size_t    am_checkpoint_bytes(const am_trainer *);

#endif
