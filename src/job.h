/* job.h: one training, from its files to its end.
 *
 * train.c       the loop: steps, epochs, checkpoints
 * job_open.c    everything that can be wrong is looked at before the first step
 * job_news.c    what is told of a step and of an epoch */
#ifndef AM_JOB_H
#define AM_JOB_H
#include "session.h"

/* An update that the backend was given: what is told of it once its report is there. */
typedef struct am_issued { double began, rate; } am_issued;

typedef struct am_job {
    const am_run *run;
    const am_watch *watch;
    am_arena mem;
    am_cfg cfg;
    am_backend be;
    am_data data;
    am_trainer t;
    am_examiner examiner;
    am_mix_sheet *sheet;
    am_loader *train, *valid;
    am_history history;
    am_progress progress;
    const char *last, *best, *final, *log, *chart, *pictures, *base;
    long epochs;
    int warned;
    am_issued issued[AM_ASIDES];        /* of update k in k % AM_ASIDES */
    long heard;                         /* updates whose report was read */
    double heard_at;
} am_job;

/* What progress.sums adds up over an epoch. */
enum {
    SUM_STEPS, SUM_CLEAN, SUM_MIXED, SUM_JUDGE, SUM_MASK, SUM_CLEANS, SUM_MIXEDS, SUM_JUDGES,
    SUM_HEALTH, SUM_SECONDS = SUM_HEALTH + AM_HEALTH, SUMS
};

/* Seconds of a clock that never goes back. */
double am_job_now(void);

void am_job_say(const am_job *, const char *text);
void am_job_warn(const am_job *, const char *text);

/* Reads cfg and data, takes all memory, and finds the state to begin with: anew, from -resume's
 * checkpoint, or from given weights.  What fails leaves what was opened for am_job_close. */
am_status am_job_open(am_job *, am_err *);
void am_job_close(am_job *);

/* Adds a step's report to the sums of its epoch. */
void am_job_add_up(am_job *, const float *report, double seconds);
/* step: updates done with it */
void am_job_tell_step(am_job *, long step, double rate, const float *report, double seconds);

/* The epoch that the sums stand for; v: its validation, or NULL. */
struct am_epoch_record am_job_record(const am_job *, const am_validation *v);
void am_job_tell_epoch(am_job *, const struct am_epoch_record *, const am_validation *v,
                       int is_best);

/* Warns of a dead MixBlock and of a trivial one (both look like a working program). */
void am_job_tell_health(am_job *, const struct am_epoch_record *);

#endif
