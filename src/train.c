/* train.c: the loop: a batch, a step, a line; every epoch a validation, a checkpoint, a chart and a
 * sheet.
 *
 * A step is issued, and its report is read later: where the backend works beside the host, the next step
 * is issued meanwhile (am_backend.ahead).  Whatever looks at weights first hears all that was issued.
 *
 * A run is a function of its seed and its files: a checkpoint holds weights, velocity and counters,
 * and every draw is a stream of its own, so a run that was killed and resumed ends in the bytes of
 * one that was not. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include "job.h"

double am_job_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Give the backend one update.  Where it works beside the host, this does not wait for it. */
static am_status issue(am_job *j, am_err *e)
{
    am_trainer *t = &j->t;
    am_issued *i = &j->issued[t->step % AM_ASIDES];
    am_mix *m = am_step_mix(t);
    i->began = am_job_now();
    am_step_begin(t);
    am_report_clear(t);
    am_step_schedule(t);
    i->rate = am_state_host(t, t->stretch[0].hyper)[AM_HYPER_RATE];
    for (int part = 0; part < t->net.options.subdivisions; part++) {
        const am_host_batch *b;
        AM_TRY(am_loader_next(j->train, &b, e));
        am_step_part(t, m, b);
    }
    am_step_update(t);
    am_step_leave(t);
    t->step++;
    return AM_OK;
}

static void seek(am_job *j)
{
    const am_trainer *t = &j->t;
    am_loader_seek(j->train, t->step / t->steps_per_epoch,
                   t->step % t->steps_per_epoch * t->net.options.subdivisions);
}

/* The batch of an update on the device once more, where a later one has taken its place: every draw is its update's
 * own, so it comes back. */
static am_status back_to(am_job *j, long step, am_err *e)
{
    am_trainer *t = &j->t;
    t->step = step;
    if (j->be.ahead) {
        seek(j);
        AM_TRY(issue(j, e));
        t->step = step;
    }
    return AM_OK;
}

/* The guard has held back update `bad` and what was issued since: the weights are those that made the bad number. */
static am_status not_finite(am_job *j, long bad, am_err *e)
{
    struct stat there;
    char good[300];
    AM_TRY(back_to(j, bad, e));
    const am_layer *l = am_find_not_finite(&j->t, e);
    double rate = j->issued[bad % AM_ASIDES].rate;
    if (stat(j->last, &there) == 0)
        snprintf(good, sizeof good, "the last good checkpoint is %s", j->last);
    else
        snprintf(good, sizeof good, "there is no checkpoint yet");
    if (!l)
        return am_fail(e, AM_EINPUT, (am_loc){j->run->cfg, 0},
                       "the loss of update %ld is not finite, at learning rate %g; %s; try a lower "
                       "learning_rate=",
                       bad + 1, rate, good);
    return am_fail(e, AM_EINPUT, l->loc,
                   "the loss of update %ld is not finite, at learning rate %g: it first appears in "
                   "the output of layer %d, [%s]; %s; try a lower learning_rate=",
                   bad + 1, rate, l->index - 1, l->type->name, good);
}

/* Read the report of every update issued but the last `ahead`, and tell of it. */
static am_status hear(am_job *j, int ahead, am_err *e)
{
    while (j->t.step - j->heard > ahead) {
        const am_issued *i = &j->issued[j->heard % AM_ASIDES];
        float report[AM_REPORT];
        AM_TRY(am_step_read(&j->t, j->heard, report, e));
        if (report[AM_REPORT_GUARD] != 0) return not_finite(j, j->heard, e);
        double now = am_job_now(), seconds = now - fmax(i->began, j->heard_at);
        j->heard_at = now;
        am_job_add_up(j, report, seconds);
        am_job_tell_step(j, ++j->heard, i->rate, report, seconds);
    }
    return AM_OK;
}

/* One update more; what is told of a step comes before what went wrong in the next. */
static am_status step(am_job *j, am_err *e)
{
    am_err wrong = {0};
    am_status bad = issue(j, &wrong);
    AM_TRY(hear(j, bad ? 0 : j->be.ahead, e));
    if (bad) *e = wrong;
    return bad;
}

static am_status save(am_job *j, am_err *e)
{
    j->progress.step = j->t.step;
    j->progress.seed = j->t.seed_value;
    return am_weights_save(&j->t, j->last, AM_SAVE_CHECKPOINT, &j->progress, e);
}

static am_status draw(am_job *j, am_err *e)
{
    static const double lambda[] = {0, 0.25, 0.5, 0.75, 1};
    AM_TRY(am_history_chart(&j->history, j->chart, j->base, &j->t, e));
    return am_mix_sheet_write(j->sheet, j->t.mixes ? &j->t.mix[0] : &j->t.plain, &j->data,
                              &j->data.train, lambda, 5, j->pictures, e);
}

static am_status end_epoch(am_job *j, am_err *e)
{
    am_validation v;
    double began = am_job_now();
    int last = j->t.step >= j->t.steps, is_best = 0;
    j->progress.epoch++;
    int due = last || j->progress.epoch % j->t.net.options.valid_every == 0;
    if (due) {
        AM_TRY(am_examine(&j->examiner, j->valid, &v, e));
        double headline = v.at[j->t.has_teacher ? AM_TEACHER : AM_STUDENT][AM_HEAD_ONE].top1;
        is_best = headline > j->progress.best;
        if (is_best) j->progress.best = headline;
    }
    struct am_epoch_record r = am_job_record(j, due ? &v : NULL);
    r.seconds += am_job_now() - began;
    memset(j->progress.sums, 0, sizeof j->progress.sums);
    AM_TRY(am_history_add(&j->history, j->log, &r, &j->t, j->examiner.top, e));
    if (is_best) AM_TRY(am_weights_save(&j->t, j->best, AM_SAVE_WEIGHTS, NULL, e));
    AM_TRY(save(j, e));
    am_job_tell_epoch(j, &r, due ? &v : NULL, is_best);
    am_job_tell_health(j, &r);
    return draw(j, e);
}

static am_status loop(am_job *j, am_err *e)
{
    am_trainer *t = &j->t;
    long parts = t->net.options.subdivisions;
    if (t->step >= t->steps) {
        am_job_say(j, "nothing is left to do: all its epochs are done; -epochs N asks for more");
        AM_TRY(draw(j, e));
    }
    seek(j);
    j->heard = t->step;
    while (t->step < t->steps) {
        AM_TRY(step(j, e));
        if (t->step % t->steps_per_epoch == 0 || t->step == t->steps) {
            AM_TRY(hear(j, 0, e));
            AM_TRY(end_epoch(j, e));
            if (am_loader_batches(j->train) % parts) seek(j);
        }
        if (j->watch->stop && j->watch->stop(j->watch->user) && t->step < t->steps) {
            char line[400];
            AM_TRY(hear(j, 0, e));
            AM_TRY(save(j, e));
            snprintf(line, sizeof line, "stopped after update %ld; go on with -resume", t->step);
            am_job_say(j, line);
            return AM_OK;
        }
    }
    return am_weights_save(t, j->final, AM_SAVE_WEIGHTS, NULL, e);
}

am_status am_train(const am_run *run, const am_watch *watch, am_err *e)
{
    am_job *j = calloc(1, sizeof *j);
    if (!j) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
    j->run = run;
    j->watch = watch;
    am_status s = am_job_open(j, e);
    if (!s) s = loop(j, e);
    am_job_close(j);
    free(j);
    return s;
}
