/* job_news.c: what is told of a step and of an epoch. */
#include <math.h>
#include <stdio.h>
#include "job.h"

void am_job_say(const am_job *j, const char *text)
{
    if (j->watch->say) j->watch->say(j->watch->user, text);
}

void am_job_warn(const am_job *j, const char *text)
{
    if (j->watch->warn) j->watch->warn(j->watch->user, text);
}

void am_job_tell_step(am_job *j, long step, double rate, const float *report, double seconds)
{
    const am_trainer *t = &j->t;
    double *sums = j->progress.sums, loss = 0;
    am_step_news n = {.step = step,
                      .steps = t->steps,
                      .epoch = (step - 1) / t->steps_per_epoch + 1,
                      .epochs = j->epochs,
                      .epochs_seen = (double)step / (double)t->steps_per_epoch,
                      .rate = rate,
                      .seconds = seconds,
                      .images = step * t->net.options.batch,
                      .logged = step % t->net.options.log_every == 0 || step == 1 ||
                                step % t->steps_per_epoch == 0 || step == t->steps};
    for (int i = 0; i < AM_LOSSES; i++) loss += report[AM_REPORT_LOSS + i];
    n.loss = loss;
    n.clean = report[AM_LOSS_CLEAN];
    n.mixed = report[AM_LOSS_MIXED];
    n.judge = report[AM_LOSS_JUDGE];
    n.mask = report[AM_LOSS_MASK];
    if (n.clean == 0) n.clean = NAN;
    if (n.mixed == 0) n.mixed = NAN;
    if (n.judge == 0) n.judge = n.mask = NAN;
    n.average = j->progress.average_loss;
    double each = sums[SUM_SECONDS] / (sums[SUM_STEPS] > 0 ? sums[SUM_STEPS] : 1);
    n.images_per_second = each > 0 ? t->net.options.batch / each : 0;
    n.seconds_left = each * (double)(t->steps - step);
    if (j->watch->step) j->watch->step(j->watch->user, &n);
}

void am_job_add_up(am_job *j, const float *report, double seconds)
{
    double *s = j->progress.sums, loss = 0;
    for (int i = 0; i < AM_LOSSES; i++) loss += report[AM_REPORT_LOSS + i];
    j->progress.average_loss =
        j->progress.average_loss < 0 ? loss : 0.9 * j->progress.average_loss + 0.1 * loss;
    s[SUM_STEPS]++;
    s[SUM_CLEAN] += report[AM_LOSS_CLEAN];
    s[SUM_MIXED] += report[AM_LOSS_MIXED];
    s[SUM_JUDGE] += report[AM_LOSS_JUDGE];
    s[SUM_MASK] += report[AM_LOSS_MASK];
    s[SUM_CLEANS] += report[AM_LOSS_CLEAN] != 0;
    s[SUM_MIXEDS] += report[AM_LOSS_MIXED] != 0;
    s[SUM_JUDGES] += report[AM_LOSS_JUDGE] != 0;
    for (int i = 0; i < AM_HEALTH; i++) s[SUM_HEALTH + i] += report[AM_REPORT_HEALTH + i];
    s[SUM_SECONDS] += seconds;
}

struct am_epoch_record am_job_record(const am_job *j, const am_validation *v)
{
    const am_trainer *t = &j->t;
    const double *s = j->progress.sums, *h = s + SUM_HEALTH,
                 steps = s[SUM_STEPS] > 0 ? s[SUM_STEPS] : 1;
    double samples = h[AM_HEALTH_SAMPLES];
    struct am_epoch_record r = {
        .epoch = (double)j->progress.epoch,
        .seconds = s[SUM_SECONDS],
        .rate =
            am_rate_at(&t->net.options, t->step - 1, t->steps, t->steps_per_epoch, t->seed_value),
        .follow = t->has_teacher ? am_follow_at(&t->follow, t->step - 1, t->steps) : NAN};
    r.clean = s[SUM_CLEANS] > 0 ? s[SUM_CLEAN] / s[SUM_CLEANS] : NAN;
    r.mixed = s[SUM_MIXEDS] > 0 ? s[SUM_MIXED] / s[SUM_MIXEDS] : NAN;
    r.judge = s[SUM_JUDGES] > 0 ? s[SUM_JUDGE] / s[SUM_JUDGES] : NAN;
    r.mask = s[SUM_JUDGES] > 0 ? s[SUM_MASK] / s[SUM_JUDGES] : NAN;
    r.loss = (s[SUM_CLEAN] + s[SUM_MIXED] + s[SUM_JUDGE] + s[SUM_MASK]) / steps;
    r.share = samples > 0 ? h[AM_HEALTH_SHARE] / samples : NAN;
    r.drift = samples > 0 ? h[AM_HEALTH_DRIFT] / samples : NAN;
    r.structure = samples > 0 ? h[AM_HEALTH_STRUCTURE] / samples : NAN;
    r.saturated = samples > 0 ? h[AM_HEALTH_SATURATED] / samples : NAN;
    r.entropy = samples > 0 ? h[AM_HEALTH_ENTROPY] / samples : NAN;
    for (int net = 0; net < 2; net++)
        for (int head = 0; head < 2; head++) {
            const am_accuracy *a = v ? &v->at[net][head] : NULL;
            r.top1[net][head] = a && a->valid ? a->top1 : NAN;
            r.topk[net][head] = a && a->valid ? a->topk : NAN;
            r.valid_loss[net][head] = a && a->valid ? a->loss : NAN;
            r.ece[net][head] = a && a->valid ? a->ece : NAN;
            r.gap[net][head] = a && a->valid ? a->gap : NAN;
        }
    return r;
}

/* short_runs.md: a dead mask and a trivial one look like a working program. */
void am_job_tell_health(am_job *j, const struct am_epoch_record *r)
{
    char line[500];
    if (isnan(r->structure)) return;
    if (r->saturated > 0.9 && r->share > 0.15) {
        snprintf(line, sizeof line,
                 "the MixBlock is dead: %.0f %% of its masks' pixels are saturated and their share "
                 "misses lambda by %.2f, so the mask passes no gradient back. "
                 "Give it bound=4 in [mixblock], or a mask_warmup=, a smaller mask_learning_rate= "
                 "or mask_clip= in [mix]; see \"Short runs\" in README.md",
                 100 * r->saturated, r->share);
        am_job_warn(j, line);
        j->warned = 1;
    } else if (r->structure < 0.01 && j->progress.epoch * 10 > j->epochs && !j->warned) {
        snprintf(line, sizeof line,
                 "the MixBlock's masks are constant over each image (deviation %.4f), which is "
                 "MixUp in effect. It needs time, a teacher that has learned something, "
                 "or the short-run keys; see \"Short runs\" in README.md",
                 r->structure);
        am_job_warn(j, line);
        j->warned = 1;
    } else if (r->structure >= 0.02) {
        j->warned = 0;
    }
}

void am_job_tell_epoch(am_job *j, const struct am_epoch_record *r, const am_validation *v,
                       int is_best)
{
    am_score_news score[4];
    am_epoch_news n = {.epoch = j->progress.epoch,
                       .epochs = j->epochs,
                       .loss = r->loss,
                       .seconds = r->seconds,
                       .score = score,
                       .best = j->progress.best,
                       .is_best = is_best};
    if (v) n.scores = am_scores(v, j->examiner.top, score);
    if (j->watch->epoch) j->watch->epoch(j->watch->user, &n);
}
