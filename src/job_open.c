/* job_open.c: a training's files and memory.  The order is that in which a person can be wrong: the
 * cfg, the backend, the data, the classes, the folder, the memory, the images, the checkpoint. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "job.h"

static am_status names(am_job *j, am_err *e)
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

static am_status training_loader(am_job *j, am_err *e)
{
    am_loader_options o = {.batch = j->t.n,
                           .seed = j->t.seed_value,
                           .train = 1,
                           .augment = am_augment_of(&j->t.net.options, 1)};
    o.windows = am_is(j->t.set);
    if (j->t.extra_size) {
        o.prepare = am_prepare;
        o.user = &j->t;
        o.extra = j->t.extra_size;
    }
    am_loader_close(j->train);
    j->train = NULL;
    return am_loader_open(&j->train, &j->data.train, &o, e);
}

static am_status loaders(am_job *j, am_err *e)
{
    const am_net_options *o = &j->t.net.options;
    am_loader_options valid = {.batch = j->examiner.batch, .augment = am_augment_of(o, 0)};
    if (j->data.train.count < o->batch)
        return am_fail(e, AM_EINPUT, (am_loc){j->data.file, 0},
                       "train= has %d images, fewer than one batch=%d of %s", j->data.train.count,
                       o->batch, j->run->cfg);
    am_augment augment = am_augment_of(o, 1);
    AM_TRY(am_resident_open(&j->t, &j->data.train, &augment, e));
    AM_TRY(training_loader(j, e));
    AM_TRY(am_loader_open(&j->valid, &j->data.valid, &valid, e));
    j->t.steps_per_epoch = am_loader_batches(j->train) / o->subdivisions;
    long epochs = j->run->epochs > 0 ? j->run->epochs : o->epochs;
    j->t.steps = epochs > 0 ? epochs * j->t.steps_per_epoch : o->max_batches;
    if (j->t.steps < 1)
        return am_fail(e, AM_EINPUT, (am_loc){j->run->cfg, 1},
                       "[net] says neither epochs= nor max_batches=, so there is no end to the "
                       "training; set one, or give -epochs N");
    j->epochs = (j->t.steps + j->t.steps_per_epoch - 1) / j->t.steps_per_epoch;
    return AM_OK;
}

/* "3 layers start fresh: 20 [connected], 22 [connected], 24 [mixblock]" */
static void tell_fresh(am_job *j)
{
    char line[400];
    int n = am_fresh_layers(&j->t.net);
    size_t used = (size_t)snprintf(line, sizeof line, "%d layer%s fresh:", n,
                                   n > 1 ? "s start" : " starts");
    const char *comma = "";
    for (int i = 1; n && i < j->t.net.layers && used + 40 < sizeof line; i++) {
        const am_layer *l = &j->t.net.layer[i];
        if (!l->fresh || !l->params) continue;
        used += (size_t)snprintf(line + used, sizeof line - used, "%s %d [%s]", comma, i - 1,
                                 l->type->name);
        comma = ",";
    }
    if (n) am_job_say(j, line);
}

static am_status begin_from(am_job *j, am_err *e)
{
    char line[400];
    struct stat there;
    if (j->run->resume) {
        if (stat(j->last, &there) == 0) {
            AM_TRY(am_weights_load(&j->t, j->last, &j->progress, e));
            if (j->progress.seed != j->t.seed_value) {
                if (j->run->seed >= 0)
                    return am_fail(e, AM_EUSAGE, (am_loc){"-seed", 0},
                                   "the run to resume in %s has seed %llu; leave -seed away",
                                   j->last, (unsigned long long)j->progress.seed);
                j->t.seed_value = j->progress.seed;
                AM_TRY(training_loader(j, e)); /* the shuffles are the seed's too */
            }
            j->t.step = j->progress.step;
            snprintf(line, sizeof line, "resuming from %s at update %ld, epoch %ld", j->last,
                     j->t.step, j->t.step / j->t.steps_per_epoch);
            am_job_say(j, line);
            return am_history_load(&j->history, j->log, j->progress.epoch, e);
        }
        snprintf(line, sizeof line, "there is no %s yet: starting anew", j->last);
        am_job_say(j, line);
    } else if (j->run->weights) {
        AM_TRY(am_weights_begin(&j->t, j->run->weights, e));
        snprintf(line, sizeof line, "weights from %s", j->run->weights);
        am_job_say(j, line);
        tell_fresh(j);
    }
    if (!j->run->weights && am_fresh_layers(&j->t.net))
        am_job_say(j,
                   "no WEIGHTS are given: every layer starts fresh, not only those with fresh=1");
    j->progress = (am_progress){.best = -1, .average_loss = -1, .seed = j->t.seed_value};
    return am_history_load(&j->history, j->log, 0, e);
}

am_status am_job_open(am_job *j, am_err *e)
{
    am_trainer_options o = {
        .learn = 1, .batch = j->run->batch, .mix = j->run->mix, .seed = j->run->seed};
    char line[500];
    AM_TRY(am_cfg_load(&j->cfg, &j->mem, j->run->cfg, e));
    AM_TRY(am_open_backend(&j->be, j->run, &j->cfg, 1, e));
    snprintf(line, sizeof line, "backend %s", j->be.about);
    am_job_say(j, line);
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
    snprintf(line, sizeof line,
             "%s: %d layers, %.2f M parameters; %d training and %d validation images of %d "
             "classes; %ld updates of %d images, %ld epochs; seed %llu",
             j->base, j->t.net.layers - 1, (double)am_net_parameters(&j->t.net, 1) / 1e6,
             j->data.train.count, j->data.valid.count, j->data.classes, j->t.steps,
             j->t.net.options.batch, j->epochs, (unsigned long long)j->t.seed_value);
    am_job_say(j, line);
    if (am_is(j->t.set)) {
        snprintf(line, sizeof line,
                 "the training images lie on the device, %.1f MB; batches are made there",
                 (double)j->data.train.count * (double)am_count(am_batch_of(j->t.net.input, 1))
                     / 1e6);
        am_job_say(j, line);
    }
    return AM_OK;
}

void am_job_close(am_job *j)
{
    am_loader_close(j->train);
    am_loader_close(j->valid);
    am_mix_sheet_free(j->sheet);
    am_examiner_close(&j->examiner);
    am_trainer_close(&j->t);
    am_data_close(&j->data);
    am_history_free(&j->history);
    am_close_backend(&j->be);
    am_arena_free(&j->mem);
}
