/* step.c: one update: the batch in its parts, each drawn on the host and learned on the device. */
#include "train.h"
#include <string.h>

am_mix *am_step_mix(am_trainer *t)
{
    am_rng r = am_rng_at(t->seed_value, 0x70726f62, (uint64_t)t->step);
    double u = am_rng_real(&r);
    for (int i = 0; i < t->mixes; i++) {
        if (u < t->mix[i].common.prob || (i + 1 == t->mixes && t->plain.common.prob <= 0))
            return &t->mix[i];
        u -= t->mix[i].common.prob;
    }
    return &t->plain;
}

void am_report_clear(am_trainer *t)
{
    t->be->ops->fill(t->be, AM_REPORT - AM_REPORT_HEALTH, 0, am_at(t->report, AM_REPORT_HEALTH));
}

void am_step_begin(am_trainer *t)
{
    t->part = 0;
    t->be->ops->fill(t->be, AM_LOSSES, 0, am_at(t->report, AM_REPORT_LOSS));
}

void am_upload_state(am_trainer *t)
{
    t->be->ops->upload(t->be, t->state.count, t->state.host, t->state.dev);
}

void am_teach_labels(am_trainer *t, const int *labels)
{
    memcpy(am_state_ints(t, t->labels), labels, (size_t)t->n * sizeof *labels);
    am_upload_state(t);
    t->be->ops->onehot(t->be, t->n, t->classes, (float)t->net.options.label_smooth_eps,
                       am_state_dev(t, t->labels), am_here(&t->space, t->q));
}

/* What the loader's threads do, for a batch that does not come from them. */
static const unsigned char *prepare_here(am_trainer *t)
{
    for (int i = 0; t->extra_size && i < t->n; i++) {
        am_rng r = am_rng_at(
            t->seed_value, 0x70726570,
            ((uint64_t)t->step * (uint64_t)t->net.options.subdivisions + (uint64_t)t->part) *
                    (uint64_t)t->n +
                (uint64_t)i);
        am_prepare(t, t->pixels + (size_t)i * am_count(t->net.input), &r,
                   t->extra_room + (size_t)i * t->extra_size);
    }
    return t->extra_room;
}

void am_step_part(am_trainer *t, am_mix *m, const am_host_batch *b)
{
    t->pixels = b->pixel;
    t->extra = b->extra ? b->extra : prepare_here(t);
    am_step_draw(t, m);
    if (b->window) am_resident_windows(t, b->window);
    am_teach_labels(t, b->label);
    if (b->window) am_resident_put(t, am_here(&t->space, t->x));
    else am_put_pixels(t, b->pixel, am_here(&t->space, t->x));
    am_step_learn(t, m);
    t->pixels = t->extra = NULL;
    t->part++;
}

am_status am_step_report(am_trainer *t, float report[AM_REPORT], am_err *e)
{
    t->be->ops->download(t->be, AM_REPORT, t->report, report);
    return t->be->ops->sync(t->be, e);
}

_Static_assert((int)AM_REPORT <= (int)AM_ASIDE, "a report can be put aside");

void am_step_leave(am_trainer *t)
{
    t->be->ops->download_begin(t->be, AM_REPORT, t->report, (int)(t->step % AM_ASIDES));
}

am_status am_step_read(am_trainer *t, long step, float report[AM_REPORT], am_err *e)
{
    return t->be->ops->download_end(t->be, AM_REPORT, (int)(step % AM_ASIDES), report, e);
}

/* Run a pass over the batch at hand, one layer at a time, asking after each; NULL: all is finite. */
static const am_layer *first_not_finite(am_trainer *t, const am_pass *p)
{
    const am_ops *op = t->be->ops;
    am_dev flag = t->clip_scratch;
    for (int i = p->plan->trip.from + 1; i < t->net.layers; i++) {
        const am_layer *l = &t->net.layer[i];
        float bad = 0;
        if (!p->plan->run[i] || p->plan->fused[i] < 0) continue;
        l->type->forward(p, l);
        op->fill(t->be, 1, 0, flag);
        op->finite(t->be, am_y_shape(p, l), am_y(p, l), flag);
        op->download(t->be, 1, flag, &bad);
        if (bad) return l;
    }
    return NULL;
}

/* The guard has kept the update back, so the student's weights are those that made the bad number. */
const am_layer *am_find_not_finite(am_trainer *t, am_err *e)
{
    const am_mix *m = am_step_mix(t);
    const am_lesson *const lessons[] = {&m->trunk, m->clean.plan.net ? &m->clean : &m->mixed};
    const am_layer *bad = NULL;
    (void)e;
    for (int i = 0; i < 2 && !bad; i++)
        if (lessons[i]->plan.net) bad = first_not_finite(t, &lessons[i]->pass);
    return bad;
}
