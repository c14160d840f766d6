/* session.c: from a command line to a backend, a data set, a name. */
#include "session.h"
#include <stdlib.h>
#include <string.h>

const am_backend_type *am_type_of(const am_backend *be)
{
    return be->name ? am_backend_find(be->name) : NULL;
}

/* precision= lies in [net]; the backend is opened before the net is, so it is looked up here. */
static am_status precision_of(const am_run *o, const am_cfg *c, am_precision *out, int *chosen,
                              am_err *e)
{
    static const char *const words[] = {"fp32", "bf16", "fast", "tf32", "fp16"};
    const char *word = o->precision;
    am_loc where = {o->precision ? "-precision" : NULL, 0};
    for (int i = 0; !word && c->sections && i < c->section[0].lines; i++)
        if (!strcmp(c->section[0].line[i].key, "precision")) {
            word = c->section[0].line[i].value;
            where = c->section[0].line[i].loc;
        }
    *chosen = word && strcmp(word, "auto");
    *out = AM_FP32;
    if (!*chosen) return AM_OK;
    for (int i = 0; i < 5; i++)
        if (!strcmp(word, words[i])) {
            *out = (am_precision)i;
            return AM_OK;
        }
    return am_fail(e, o->precision ? AM_EUSAGE : AM_EINPUT, where,
                   "precision=%s: choose one of auto, fp32, bf16, fast, tf32, fp16", word);
}

am_status am_open_backend(am_backend *be, const am_run *o, const am_cfg *c, int learns, am_err *e)
{
    am_backend_options how = {.threads = o->threads,
                              .isa = o->isa,
                              .plans = o->plans ? o->plans : learns ? "" : NULL,
                              .uncaptured = o->uncaptured};
    int chosen;
    if (o->plans && !strcmp(o->plans, "rule")) how.plans = NULL;
    AM_TRY(precision_of(o, c, &how.precision, &chosen, e));
    if (o->gpus) how.device = atoi(o->gpus);
    const char *name = o->backend ? o->backend : "auto";
    if (strcmp(name, "auto")) {
        const am_backend_type *t = am_backend_find(name);
        const char *words[8] = {"auto"};
        int n = 1;
        for (int i = 0; am_backends()[i]; i++) words[n++] = am_backends()[i]->name;
        if (!t && !strcmp(name, "cuda"))
            return am_fail(e, AM_EUSAGE, (am_loc){"-backend", 0},
                           "this automix was built without CUDA; build it with: make GPU=1");
        if (!t)
            return am_fail(e, AM_EUSAGE, (am_loc){"-backend", 0},
                           "no backend is called '%s'; choose auto, cpu, simd or cuda%s%s", name,
                           am_nearest(name, words, n) ? "; did you mean " : "",
                           am_nearest(name, words, n) ? am_nearest(name, words, n) : "");
        if (!chosen && !strcmp(name, "cuda")) how.precision = AM_BF16;
        return t->open(be, &how, e);
    }
    char why[1000] = "";
    for (int i = 0; am_backends()[i]; i++) {
        am_err reason = {0};
        am_backend_options here = how;
        if (!chosen && !strcmp(am_backends()[i]->name, "cuda")) here.precision = AM_BF16;
        *be = (am_backend){0};
        if (!am_backends()[i]->open(be, &here, &reason)) {
            size_t used = strlen(be->about);
            snprintf(be->about + used, sizeof be->about - used, "%s", why);
            return AM_OK;
        }
        size_t used = strlen(why);
        snprintf(why + used, sizeof why - used, " (not %s: %.200s)", am_backends()[i]->name,
                 reason.text);
    }
    *be = (am_backend){0};
    return am_fail(e, AM_EDEVICE, AM_NOPLACE, "no backend runs here:%s", why);
}

void am_close_backend(am_backend *be)
{
    const am_backend_type *t = am_type_of(be);
    if (t) t->close(be);
    *be = (am_backend){0};
}

am_status am_check_classes(const am_data *d, const am_trainer *t, am_err *e)
{
    if (t->net.input.c != 3)
        return am_fail(e, AM_EINPUT, t->net.layer[0].loc,
                       "[net] channels=%d, and images have 3; set channels=3", t->net.input.c);
    if (d->classes == t->classes) return AM_OK;
    const am_layer *l = &t->net.layer[t->clean_head];
    return am_fail(e, AM_EINPUT, l->loc,
                   "the network tells %d classes apart and %s has classes=%d; set output= of the "
                   "[connected] above this [softmax] to %d",
                   t->classes, d->file, d->classes, d->classes);
}

am_augment am_augment_of(const am_net_options *o, int train)
{
    am_augment a = {.width = o->width,
                    .height = o->height,
                    .filter = (am_filter)o->filter,
                    .resize = o->resize,
                    .aspect = 1,
                    .saturation = 1,
                    .exposure = 1};
    if (!train) return a;
    a.flip = o->flip;
    a.pad_crop = o->pad_crop;
    a.pad_reflect = o->pad_mode == 1;
    a.resized_crop = o->resized_crop;
    a.scale_min = o->crop_scale.at[0];
    a.scale_max = o->crop_scale.at[1];
    a.ratio_min = o->crop_ratio.at[0];
    a.ratio_max = o->crop_ratio.at[1];
    a.angle = o->angle;
    a.aspect = o->aspect;
    a.hue = o->hue;
    a.saturation = o->saturation;
    a.exposure = o->exposure;
    a.min_crop = o->min_crop;
    a.max_crop = o->max_crop;
    return a;
}

const char *am_base_name(am_arena *a, const char *cfg)
{
    const char *slash = strrchr(cfg, '/');
    char *base = am_dup(a, slash ? slash + 1 : cfg);
    if (base && strchr(base, '.')) *strchr(base, '.') = 0;
    return base;
}
