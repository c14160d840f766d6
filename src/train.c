/* train.c: the loop: a batch, a step, a line; every epoch a validation, a checkpoint, a chart, a sheet.
 *
 * Everything that can be wrong is looked at before the first step.  A run is a function of its seed
 * and its files: a checkpoint holds weights, velocity and counters, and every draw is a stream of its
 * own, so a run that was killed and resumed ends in the bytes of one that was not. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include "session.h"

typedef struct job {
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
    int stopped, warned;
    double began, step_began;
} job;

/* What progress.sums adds up over an epoch. */
enum { SUM_STEPS, SUM_CLEAN, SUM_MIXED, SUM_JUDGE, SUM_MASK, SUM_CLEANS, SUM_MIXEDS, SUM_JUDGES, SUM_HEALTH, SUM_SECONDS = SUM_HEALTH + AM_HEALTH, SUMS };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void say(const job *j, const char *text)
{
    if (j->watch->say) j->watch->say(j->watch->user, text);
}

static void warn(const job *j, const char *text)
{
    if (j->watch->warn) j->watch->warn(j->watch->user, text);
}

static am_status names(job *j, am_err *e)
{
    j->base = am_base_name(&j->mem, j->run->cfg);
    const char *dir = j->data.backup;
    if (!j->base) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
    j->last = am_print(&j->mem, "%s/%s_last.weights", dir, j->base);
    j->best = am_print(&j->mem, "%s/%s_best.weights", dir, j->base);
    j->final = am_print(&j->mem, "%s/%s_final.weights", dir, j->base);
    j->log = am_print(&j->mem, "%s/%s.log.jsonl", dir, j->base);
    j->chart = am_print(&j->mem, "%s/%s.chart.png", dir, j->base);
    j->pictures = am_print(&j->mem, "%s/%s.sheet.png", dir, j->base);
    return j->pictures ? AM_OK : am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
}

static am_status training_loader(job *j, am_err *e)
{
    am_loader_options o = {.batch = j->t.n, .seed = j->t.seed_value, .train = 1, .augment = am_augment_of(&j->t.net.options, 1)};
    if (j->t.extra_size) {
        o.prepare = am_prepare;
        o.user = &j->t;
        o.extra = j->t.extra_size;
    }
    am_loader_close(j->train);
    j->train = NULL;
    return am_loader_open(&j->train, &j->data.train, &o, e);
}

static am_status loaders(job *j, am_err *e)
{
    const am_net_options *o = &j->t.net.options;
    am_loader_options valid = {.batch = j->examiner.batch, .augment = am_augment_of(o, 0)};
    if (j->data.train.count < o->batch)
        return am_fail(e, AM_EINPUT, (am_loc){j->data.file, 0}, "train= has %d images, fewer than one batch=%d of %s", j->data.train.count, o->batch, j->run->cfg);
    AM_TRY(training_loader(j, e));
    AM_TRY(am_loader_open(&j->valid, &j->data.valid, &valid, e));
    j->t.steps_per_epoch = am_loader_batches(j->train) / o->subdivisions;
    long epochs = j->run->epochs > 0 ? j->run->epochs : o->epochs;
    j->t.steps = epochs > 0 ? epochs * j->t.steps_per_epoch : o->max_batches;
    if (j->t.steps < 1) return am_fail(e, AM_EINPUT, (am_loc){j->run->cfg, 1}, "[net] says neither epochs= nor max_batches=, so there is no end to the training; set one, or give -epochs N");
    j->epochs = (j->t.steps + j->t.steps_per_epoch - 1) / j->t.steps_per_epoch;
    return AM_OK;
}

static am_status begin_from(job *j, am_err *e)
{
    char line[400];
    struct stat there;
    if (j->run->resume) {
        if (stat(j->last, &there) == 0) {
            AM_TRY(am_weights_load(&j->t, j->last, &j->progress, e));
            if (j->progress.seed != j->t.seed_value) {
                if (j->run->seed >= 0)
                    return am_fail(e, AM_EUSAGE, (am_loc){"-seed", 0}, "the run to resume in %s has seed %llu; leave -seed away", j->last, (unsigned long long)j->progress.seed);
                j->t.seed_value = j->progress.seed;
                AM_TRY(training_loader(j, e));              /* the shuffles are the seed's too */
            }
            j->t.step = j->progress.step;
            snprintf(line, sizeof line, "resuming from %s at update %ld, epoch %ld", j->last, j->t.step, j->t.step / j->t.steps_per_epoch);
            say(j, line);
            return am_history_load(&j->history, j->log, j->progress.epoch, e);
        }
        snprintf(line, sizeof line, "there is no %s yet: starting anew", j->last);
        say(j, line);
    } else if (j->run->weights) {
        AM_TRY(am_weights_load(&j->t, j->run->weights, NULL, e));
        snprintf(line, sizeof line, "weights from %s", j->run->weights);
        say(j, line);
    }
    j->progress = (am_progress){.best = -1, .average_loss = -1, .seed = j->t.seed_value};
    return am_history_load(&j->history, j->log, 0, e);
}

static am_status prepare(job *j, am_err *e)
{
    am_trainer_options o = {.learn = 1, .batch = j->run->batch, .mix = j->run->mix, .seed = j->run->seed};
    char line[500];
    AM_TRY(am_cfg_load(&j->cfg, &j->mem, j->run->cfg, e));
    AM_TRY(am_open_backend(&j->be, j->run, &j->cfg, e));
    snprintf(line, sizeof line, "backend %s", j->be.about);
    say(j, line);
    AM_TRY(am_trainer_open(&j->t, &j->be, &j->cfg, &o, e));
    AM_TRY(am_data_open(&j->data, j->run->data, AM_DATA_TRAIN | AM_DATA_VALID, e));
    AM_TRY(am_check_classes(&j->data, &j->t, e));
    AM_TRY(names(j, e));
    int batch = j->t.n < 50 ? 50 : j->t.n;
    AM_TRY(am_examiner_layout(&j->examiner, &j->t, batch, j->data.top, e));
    AM_TRY(am_mix_sheet_layout(&j->sheet, &j->t, j->t.n >= 8 ? 4 : j->t.n > 1 ? j->t.n / 2 : 1, e));
    AM_TRY(am_trainer_start(&j->t, 1, e));
    AM_TRY(am_examiner_open(&j->examiner, e));
    AM_TRY(loaders(j, e));
    AM_TRY(begin_from(j, e));
    snprintf(line, sizeof line, "%s: %d layers, %.2f M parameters; %d training and %d validation images of %d classes; %ld updates of %d images, %ld epochs; seed %llu",
             j->base, j->t.net.layers - 1, (double)am_net_parameters(&j->t.net, 1) / 1e6, j->data.train.count, j->data.valid.count, j->data.classes,
             j->t.steps, j->t.net.options.batch, j->epochs, (unsigned long long)j->t.seed_value);
    say(j, line);
    return AM_OK;
}

/* ---- a step ---- */
static void tell(job *j, const float *report, double seconds, int logged)
{
    am_trainer *t = &j->t;
    double *sums = j->progress.sums, loss = 0;
    am_step_news n = {.step = t->step, .steps = t->steps, .epoch = (t->step - 1) / t->steps_per_epoch + 1, .epochs = j->epochs,
                      .epochs_seen = (double)t->step / (double)t->steps_per_epoch, .rate = am_state_host(t, t->stretch[0].hyper)[AM_HYPER_RATE],
                      .seconds = seconds, .images = t->step * t->net.options.batch, .logged = logged};
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
    n.seconds_left = each * (double)(t->steps - t->step);
    if (j->watch->step) j->watch->step(j->watch->user, &n);
}

static void add_up(job *j, const float *report, double seconds)
{
    double *s = j->progress.sums, loss = 0;
    for (int i = 0; i < AM_LOSSES; i++) loss += report[AM_REPORT_LOSS + i];
    j->progress.average_loss = j->progress.average_loss < 0 ? loss : 0.9 * j->progress.average_loss + 0.1 * loss;
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

static am_status not_finite(job *j, am_err *e)
{
    const am_layer *l = am_find_not_finite(&j->t, e);
    struct stat there;
    char good[300];
    if (stat(j->last, &there) == 0) snprintf(good, sizeof good, "the last good checkpoint is %s", j->last);
    else snprintf(good, sizeof good, "there is no checkpoint yet");
    double rate = am_state_host(&j->t, j->t.stretch[0].hyper)[AM_HYPER_RATE];
    if (!l) return am_fail(e, AM_EINPUT, (am_loc){j->run->cfg, 0}, "the loss of update %ld is not finite, at learning rate %g; %s; try a lower learning_rate=", j->t.step + 1, rate, good);
    return am_fail(e, AM_EINPUT, l->loc, "the loss of update %ld is not finite, at learning rate %g: it first appears in the output of layer %d, [%s]; %s; try a lower learning_rate=",
                   j->t.step + 1, rate, l->index - 1, l->type->name, good);
}

static am_status step(job *j, am_err *e)
{
    am_trainer *t = &j->t;
    float report[AM_REPORT];
    am_mix *m = am_step_mix(t);
    double began = now();
    am_step_begin(t);
    am_report_clear(t);
    am_step_schedule(t);
    for (int part = 0; part < t->net.options.subdivisions; part++) {
        const am_host_batch *b;
        AM_TRY(am_loader_next(j->train, &b, e));
        am_step_part(t, m, b);
    }
    am_step_update(t);
    AM_TRY(am_step_report(t, report, e));
    if (report[AM_REPORT_GUARD] != 0) return not_finite(j, e);
    t->step++;
    double seconds = now() - began;
    add_up(j, report, seconds);
    int due = t->step % t->net.options.log_every == 0 || t->step == 1 || t->step % t->steps_per_epoch == 0 || t->step == t->steps;
    tell(j, report, seconds, due);
    return AM_OK;
}

/* ---- an epoch ---- */
static struct am_epoch_record record(const job *j, const am_validation *v)
{
    const am_trainer *t = &j->t;
    const double *s = j->progress.sums, *h = s + SUM_HEALTH, steps = s[SUM_STEPS] > 0 ? s[SUM_STEPS] : 1;
    double samples = h[AM_HEALTH_SAMPLES];
    struct am_epoch_record r = {.epoch = (double)j->progress.epoch, .seconds = s[SUM_SECONDS],
                                .rate = am_rate_at(&t->net.options, t->step - 1, t->steps, t->steps_per_epoch, t->seed_value),
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
        }
    return r;
}

/* short_runs.md: a dead mask and a trivial one look like a working program. */
static void health(job *j, const struct am_epoch_record *r)
{
    char line[500];
    if (isnan(r->structure)) return;
    if (r->saturated > 0.9 && r->share > 0.15) {
        snprintf(line, sizeof line,
                 "the MixBlock is dead: %.0f %% of its masks' pixels are saturated and their share misses lambda by %.2f, so the mask passes no gradient back. "
                 "Give it bound=4 in [mixblock], or a mask_warmup=, a smaller mask_learning_rate= or mask_clip= in [mix]; see \"Short runs\" in README.md",
                 100 * r->saturated, r->share);
        warn(j, line);
        j->warned = 1;
    } else if (r->structure < 0.01 && j->progress.epoch * 10 > j->epochs && !j->warned) {
        snprintf(line, sizeof line,
                 "the MixBlock's masks are constant over each image (deviation %.4f), which is MixUp in effect. It needs time, a teacher that has learned something, "
                 "or the short-run keys; see \"Short runs\" in README.md",
                 r->structure);
        warn(j, line);
        j->warned = 1;
    } else if (r->structure >= 0.02) {
        j->warned = 0;
    }
}

static void announce(job *j, const struct am_epoch_record *r, const am_validation *v, int is_best)
{
    am_score_news score[4];
    am_epoch_news n = {.epoch = j->progress.epoch, .epochs = j->epochs, .loss = r->loss, .seconds = r->seconds, .score = score, .best = j->progress.best, .is_best = is_best};
    static const char *const nets[] = {"student", "teacher"}, *const heads[] = {"one", "mix"};
    for (int k = 1; k >= 0 && v; k--)
        for (int head = 0; head < 2; head++) {
            const am_accuracy *a = &v->at[k][head];
            if (a->valid) score[n.scores++] = (am_score_news){nets[k], heads[head], a->loss, a->top1, a->topk, j->examiner.top, a->samples};
        }
    if (j->watch->epoch) j->watch->epoch(j->watch->user, &n);
}

static am_status save(job *j, am_err *e)
{
    j->progress.step = j->t.step;
    j->progress.seed = j->t.seed_value;
    return am_weights_save(&j->t, j->last, AM_SAVE_CHECKPOINT, &j->progress, e);
}

static am_status end_epoch(job *j, am_err *e)
{
    am_validation v;
    double began = now();
    int last = j->t.step >= j->t.steps, is_best = 0;
    j->progress.epoch++;
    int due = last || j->progress.epoch % j->t.net.options.valid_every == 0;
    if (due) {
        AM_TRY(am_examine(&j->examiner, j->valid, &v, e));
        double headline = v.at[j->t.has_teacher ? AM_TEACHER : AM_STUDENT][AM_HEAD_ONE].top1;
        is_best = headline > j->progress.best;
        if (is_best) j->progress.best = headline;
    }
    struct am_epoch_record r = record(j, due ? &v : NULL);
    r.seconds += now() - began;
    memset(j->progress.sums, 0, sizeof j->progress.sums);
    AM_TRY(am_history_add(&j->history, j->log, &r, &j->t, j->examiner.top, e));
    if (is_best) AM_TRY(am_weights_save(&j->t, j->best, AM_SAVE_WEIGHTS, NULL, e));
    AM_TRY(save(j, e));
    announce(j, &r, due ? &v : NULL, is_best);
    health(j, &r);
    AM_TRY(am_history_chart(&j->history, j->chart, j->base, &j->t, e));
    static const double lambda[] = {0, 0.25, 0.5, 0.75, 1};
    return am_mix_sheet_write(j->sheet, j->t.mixes ? &j->t.mix[0] : &j->t.plain, &j->data, &j->data.train, lambda, 5, j->pictures, e);
}

static am_status loop(job *j, am_err *e)
{
    am_trainer *t = &j->t;
    long parts = t->net.options.subdivisions;
    am_loader_seek(j->train, t->step / t->steps_per_epoch, t->step % t->steps_per_epoch * parts);
    while (t->step < t->steps) {
        AM_TRY(step(j, e));
        if (t->step % t->steps_per_epoch == 0 || t->step == t->steps) {
            AM_TRY(end_epoch(j, e));
            if (am_loader_batches(j->train) % parts) am_loader_seek(j->train, t->step / t->steps_per_epoch, 0);
        }
        if (j->watch->stop && j->watch->stop(j->watch->user) && t->step < t->steps) {
            char line[400];
            AM_TRY(save(j, e));
            snprintf(line, sizeof line, "stopped after update %ld; go on with -resume", t->step);
            say(j, line);
            j->stopped = 1;
            return AM_OK;
        }
    }
    return am_weights_save(t, j->final, AM_SAVE_WEIGHTS, NULL, e);
}

am_status am_train(const am_run *run, const am_watch *watch, am_err *e)
{
    job *j = calloc(1, sizeof *j);
    if (!j) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
    j->run = run;
    j->watch = watch;
    am_status s = prepare(j, e);
    if (!s) s = loop(j, e);
    am_loader_close(j->train);
    am_loader_close(j->valid);
    am_mix_sheet_free(j->sheet);
    am_examiner_close(&j->examiner);
    am_trainer_close(&j->t);
    am_data_close(&j->data);
    am_history_free(&j->history);
    am_close_backend(&j->be);
    am_arena_free(&j->mem);
    free(j);
    return s;
}
