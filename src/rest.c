/* rest.c: a trained classifier at rest: what valid needs (scores.c), predict, sheet. */
#include <stdlib.h>
#include <string.h>
#include "session.h"

void am_rest_close(am_rest *r)
{
    am_loader_close(r->loader);
    am_mix_sheet_free(r->sheet);
    am_examiner_close(&r->examiner);
    am_trainer_close(&r->t);
    am_data_close(&r->data);
    am_close_backend(&r->be);
    am_arena_free(&r->mem);
}

am_status am_rest_open(am_rest *r, const am_run *run, int which, int batch, int pairs, am_err *e)
{
    am_trainer_options o = {
        .batch = pairs > 0 ? 2 * pairs : batch, .mix = run->mix, .seed = run->seed};
    AM_TRY(am_cfg_load(&r->cfg, &r->mem, run->cfg, e));
    AM_TRY(am_open_backend(&r->be, run, &r->cfg, 0, e));
    r->be.rests = pairs <= 0; /* a method that is shown may ask for gradients */
    AM_TRY(am_trainer_open(&r->t, &r->be, &r->cfg, &o, e));
    AM_TRY(am_data_open(&r->data, run->data, which, e));
    AM_TRY(am_check_classes(&r->data, &r->t, e));
    AM_TRY(am_examiner_layout(&r->examiner, &r->t, batch, r->data.top, e));
    /* handcrafted methods claim step-state in setup */
    for (int i = 0; pairs > 0 && i < r->t.mixes; i++)
        if ((!r->t.mix[i].type->run || r->t.mix[i].type->prepare) && r->t.mix[i].type->setup)
            AM_TRY(r->t.mix[i].type->setup(&r->t.mix[i], &r->t, e));
    if (pairs > 0) AM_TRY(am_mix_sheet_layout(&r->sheet, &r->t, pairs, e));
    AM_TRY(am_trainer_start(&r->t, 0, e));
    AM_TRY(am_weights_load(&r->t, run->weights, NULL, e));
    return am_examiner_open(&r->examiner, e);
}

/* ---- predict: the teacher's first head, or the student's ---- */
struct am_predictor {
    am_rest r;
    float *probability;
    unsigned char *pixel;
    am_image image;
};

am_status am_predictor_open(am_predictor **out, const am_run *run, am_err *e)
{
    am_predictor *p = calloc(1, sizeof *p);
    if (!(*out = p)) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
    AM_TRY(am_rest_open(&p->r, run, 0, 1, 0, e));
    p->probability = calloc((size_t)p->r.t.classes, sizeof *p->probability);
    p->pixel = calloc(am_count(p->r.t.net.input), 1);
    return p->probability && p->pixel ? AM_OK : am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
}

int am_predictor_top(const am_predictor *p)
{
    return p->r.data.top;
}

am_status am_predict(am_predictor *p, const char *path, int top, am_guess *guess, int *count,
                     am_err *e)
{
    am_trainer *t = &p->r.t;
    am_augment a = am_augment_of(&t->net.options, 0);
    am_image_free(&p->image); /* reading does not take over what it finds */
    AM_TRY(am_image_read(&p->image, path, e));
    AM_TRY(am_augment_apply(&a, &p->image, NULL, p->pixel, e));
    AM_TRY(am_examine_batch(&p->r.examiner, t->has_teacher ? AM_TEACHER : AM_STUDENT, AM_HEAD_ONE,
                            p->pixel, p->probability, e));
    *count = top < t->classes ? top : t->classes;
    for (int k = 0; k < *count; k++) {
        int best = 0;
        for (int i = 1; i < t->classes; i++)
            if (p->probability[i] > p->probability[best]) best = i;
        guess[k] =
            (am_guess){p->r.data.names ? p->r.data.names[best] : NULL, p->probability[best], best};
        p->probability[best] = -1;
    }
    return AM_OK;
}

void am_predictor_close(am_predictor *p)
{
    if (!p) return;
    am_rest_close(&p->r);
    am_image_free(&p->image);
    free(p->probability);
    free(p->pixel);
    free(p);
}

/* ---- sheet ---- */
am_status am_write_sheet(const am_run *run, const am_sheet_request *q, const am_watch *watch,
                         am_err *e)
{
    if (run->mix && !strcmp(run->mix, "all")) return am_write_gallery(run, q, watch, e);
    am_rest *r = calloc(1, sizeof *r);
    if (!r) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
    am_status s = am_rest_open(r, run, AM_DATA_VALID, 1, q->pairs, e);
    if (!s && watch->say) watch->say(watch->user, r->be.about);
    am_mix *m = s ? NULL : r->t.mixes ? &r->t.mix[0] : &r->t.plain;
    if (!s && !strcmp(m->type->name, "automix") && am_net_first(&r->t.net, "mixblock", 0) < 0)
        s = am_fail(
            e, AM_EINPUT, (am_loc){run->cfg, 0},
            "method=automix needs a [mixblock] section in the cfg; see cfg/resnet18_automix.cfg");
    if (!s)
        s = am_mix_sheet_write(r->sheet, m, &r->data, &r->data.valid, q->lambda, q->lambdas, q->out,
                               e);
    am_rest_close(r);
    free(r);
    return s;
}
