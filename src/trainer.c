/* trainer.c: what a cfg says becomes something that can step. */
#include "train.h"
#include <stdlib.h>
#include <string.h>

static const am_line *line_of(const am_section *s, const char *key)
{
    for (int i = 0; i < s->lines; i++)
        if (!strcmp(s->line[i].key, key)) return &s->line[i];
    return NULL;
}

static am_status unknown_method(const char *word, am_status s, am_loc where, am_err *e)
{
    const char *words[64];
    char list[256] = "";
    int n = 0;
    for (const am_method *const *m = am_methods(); *m && n < 64; m++) {
        words[n++] = (*m)->name;
        if (strlen(list) + strlen((*m)->name) + 3 < sizeof list) {
            if (list[0]) strcat(list, ", ");
            strcat(list, (*m)->name);
        }
    }
    const char *near = am_nearest(word, words, n);
    if (near)
        return am_fail(e, s, where, "method=%s: no such method; did you mean '%s'?", word, near);
    return am_fail(e, s, where, "method=%s: no such method; choose from %s", word, list);
}

/* Read one [mix] section; `empty` stands in for -mix METHOD, with every key at its default. */
static am_status read_mix(am_trainer *t, am_mix *m, const am_section *s, const char *method,
                          am_err *e)
{
    const am_line *line = line_of(s, "method");
    am_names names = am_net_names(&t->net);
    if (!method && !line)
        return am_fail(e, AM_EINPUT, s->loc,
                       "[mix] needs method=, such as method=automix; see: automix help mix");
    *m = (am_mix){.loc = s->loc};
    m->type = am_method_find(method ? method : line->value);
    if (!m->type)
        return unknown_method(method ? method : line->value, AM_EINPUT, line ? line->loc : s->loc,
                              e);
    m->options = am_new(&t->mem, m->type->options + 1);
    m->state = am_new(&t->mem, m->type->state + 1);
    if (!m->options || !m->state) return am_fail(e, AM_ENOMEM, s->loc, "out of memory");
    return am_keys_read(m->type->keys, m->options, am_mix_common_keys, &m->common, s, &names, e);
}

static am_status head(am_trainer *t, int chosen, int fallback, am_loc where, int *out, am_err *e)
{
    *out = chosen > 0 ? chosen : fallback;
    if (strcmp(t->net.layer[*out].type->name, "softmax"))
        return am_fail(e, AM_EINPUT, where, "a head must be a [softmax]; '%s' is a [%s]",
                       t->net.layer[*out].name ? t->net.layer[*out].name : "that layer",
                       t->net.layer[*out].type->name);
    return AM_OK;
}

static am_status read_sections(am_trainer *t, const am_cfg *c, const char *only, am_err *e)
{
    double share = 0;
    for (int i = 1; i < c->sections; i++) {
        const am_section *s = &c->section[i];
        if (!strcmp(s->name, "momentum_teacher")) {
            if (t->has_teacher)
                return am_fail(e, AM_EINPUT, s->loc, "there is a second [momentum_teacher]");
            AM_TRY(am_keys_read(am_teacher_keys, &t->follow, NULL, NULL, s, NULL, e));
            t->has_teacher = 1;
        } else if (!strcmp(s->name, "mix")) {
            const am_line *line = line_of(s, "method");
            if (only && (!line || strcmp(line->value, only))) continue;
            if (t->mixes == AM_MAX_MIXES)
                return am_fail(e, AM_EINPUT, s->loc, "more than %d [mix] sections", AM_MAX_MIXES);
            AM_TRY(read_mix(t, &t->mix[t->mixes], s, NULL, e));
            share += t->mix[t->mixes++].common.prob;
            if (share > 1 + 1e-9)
                return am_fail(e, AM_EINPUT, s->loc,
                               "the prob= of the [mix] sections add up to %g; they share the "
                               "steps, so at most 1",
                               share);
        }
    }
    static const am_line one_line = {"method", "none", {NULL, 0}};
    am_line line = one_line;
    am_section section = {
        .name = "mix", .loc = {only ? "-mix" : NULL, 0}, .line = &line, .lines = 1};
    line.value = only ? only : "none";
    if (only && !t->mixes) {
        am_loc where = {"-mix", 0};
        if (!am_method_find(only)) return unknown_method(only, AM_EUSAGE, where, e);
        AM_TRY(read_mix(t, &t->mix[t->mixes++], &section, only, e));
        share = 1;
    }
    line.value = "none";
    section.loc = AM_NOPLACE;
    AM_TRY(read_mix(t, &t->plain, &section, "none", e));
    t->plain.common.prob = 1 - share > 1e-9 ? 1 - share : 0;
    return AM_OK;
}

/* Parameters in order of their offsets; neighbours that learn alike become one stretch. */
static am_status make_stretches(am_trainer *t, am_err *e)
{
    const char *exempt = t->net.options.decay_exempt;
    int norm = strstr(exempt, "norm") != NULL, bias = strstr(exempt, "bias") != NULL, most = 1;
    for (int i = 1; i < t->net.layers; i++) most += t->net.layer[i].params;
    t->stretch = am_new(&t->mem, (size_t)most * sizeof *t->stretch);
    if (!t->stretch) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
    for (int i = 1; i < t->net.layers; i++)
        for (int k = 0; k < t->net.layer[i].params; k++) {
            const am_layer *l = &t->net.layer[i];
            const am_param *p = &l->param[k];
            if (p->role != AM_LEARNED) continue;
            am_stretch s = {.at = p->offset,
                            .count = p->count,
                            .rate = l->learning_rate,
                            .mixblock = !strcmp(l->type->name, "mixblock"),
                            .decays = !((norm && p->kind & AM_PARAM_NORM) ||
                                        (bias && p->kind & AM_PARAM_BIAS))};
            am_stretch *last = t->stretches ? &t->stretch[t->stretches - 1] : NULL;
            if (last && last->rate == s.rate && last->mixblock == s.mixblock &&
                last->decays == s.decays && last->at + last->count == s.at)
                last->count += s.count;
            else
                t->stretch[t->stretches++] = s;
        }
    for (int i = 0; i < t->stretches; i++) t->stretch[i].hyper = am_claim(t, AM_HYPER);
    return AM_OK;
}

static am_status lay_out(am_trainer *t, const am_trainer_options *o, am_err *e)
{
    const am_ops *op = t->be->ops;
    size_t n = (size_t)t->n, rows = n * (size_t)t->classes,
           plane = n * (size_t)(t->net.input.h * t->net.input.w);
    size_t image = op->room(t->be, am_batch_of(t->net.input, t->n));
    for (int k = 0; k < 2; k++) t->pair[k] = (am_pair){am_claim(t, n), am_claim(t, n)};
    t->labels = am_claim(t, n);
    t->mask_weight = am_claim(t, 1);
    t->mask_limit = am_claim(t, 1);
    t->seed = am_claim(t, 2);
    if (t->be->resident) t->windows = am_claim(t, AM_WINDOW * n);
    AM_TRY(make_stretches(t, e));
    t->x = am_space_push(&t->space, image);
    t->mixed_x = am_space_push(&t->space, image);
    t->q = am_space_push(&t->space, rows);
    t->mixed_q = am_space_push(&t->space, rows);
    t->mixed_mask = am_space_push(&t->space, plane);
    if (!o->learn) return AM_OK;
    for (int i = 0; i < t->mixes; i++) AM_TRY(am_mix_setup(&t->mix[i], t, e));
    if (t->plain.common.prob > 0) AM_TRY(am_mix_setup(&t->plain, t, e));
    if (!t->extra_size) return AM_OK;
    t->extra_room = am_new(&t->mem, (size_t)t->n * t->extra_size);
    return t->extra_room ? AM_OK : am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
}

am_status am_trainer_open(am_trainer *t, am_backend *be, const am_cfg *c,
                          const am_trainer_options *o, am_err *e)
{
    *t = (am_trainer){
        .be = be, .space = {.be = be}, .fixed_lambda = -1, .steps = 1, .steps_per_epoch = 1};
    t->schedule.momentum = -1;
    t->made_up = o->made_up;
    t->cfg_text = c->text ? c->text : "";
    AM_TRY(am_net_open(&t->net, be, c, e));
    if (o->batch > 0) {
        t->net.options.batch = o->batch;
        t->net.options.subdivisions = 1;
    }
    t->n = t->net.options.batch / t->net.options.subdivisions;
    t->seed_value = (uint64_t)(o->seed >= 0 ? o->seed : t->net.options.seed);
    int first = am_net_first(&t->net, "softmax", 0), second = am_net_first(&t->net, "softmax", 1);
    if (first < 0)
        return am_fail(e, AM_EINPUT, (am_loc){c->file, 0},
                       "a classifier ends in a [softmax], and this cfg has none");
    t->classes = t->net.layer[first].out.c;
    t->clean_head = first;
    t->mixed_head = second > 0 ? second : first;
    AM_TRY(read_sections(t, c, o->mix, e));
    for (int i = 0; i < t->mixes; i++) {
        AM_TRY(head(t, t->mix[i].common.clean, t->clean_head, t->mix[i].loc, &t->clean_head, e));
        AM_TRY(head(t, t->mix[i].common.mixed, t->mixed_head, t->mix[i].loc, &t->mixed_head, e));
    }
    for (int k = 0; am_net_first(&t->net, "softmax", k) >= 0; k++) {
        const am_layer *l = &t->net.layer[am_net_first(&t->net, "softmax", k)];
        if (l->out.c != t->classes)
            return am_fail(
                e, AM_EINPUT, l->loc,
                "this head has %d classes and the first one %d; every head needs the same",
                l->out.c, t->classes);
    }
    return lay_out(t, o, e);
}

am_status am_trainer_add(am_trainer *t, const am_cfg *c, const char *method, am_err *e)
{
    am_line line = {"method", method, {NULL, 0}};
    am_section section = {.name = "mix", .loc = {"-mix", 0}, .line = &line, .lines = 1};
    const am_section *found = &section;
    am_mix *m = &t->mix[t->mixes];
    if (t->mixes == AM_MAX_MIXES)
        return am_fail(e, AM_EINPUT, section.loc, "more than %d methods at a time", AM_MAX_MIXES);
    for (int i = 1; i < c->sections; i++) {
        const am_line *l =
            strcmp(c->section[i].name, "mix") ? NULL : line_of(&c->section[i], "method");
        if (l && !strcmp(l->value, method)) found = &c->section[i];
    }
    AM_TRY(read_mix(t, m, found, method, e));
    am_status s = am_mix_setup(m, t, e);
    if (!s)
        t->mixes++;
    else if (m->type->close)
        m->type->close(m, t);
    return s;
}

/* Take the memory that was laid out, and start the weights. */
am_status am_trainer_start(am_trainer *t, int learn, am_err *e)
{
    const am_ops *op = t->be->ops;
    AM_TRY(am_weights_open(&t->student, &t->net, learn, e));
    AM_TRY(am_weights_init(&t->student, &t->net, t->seed_value, e));
    if (t->has_teacher) {
        AM_TRY(am_weights_open(&t->teacher, &t->net, 0, e));
        am_weights_copy(&t->net, &t->student, &t->teacher);
        am_weights_prepare(&t->net, &t->teacher);
    }
    t->state.room = t->state.count;
    t->state.host = calloc(t->state.room + 16, sizeof *t->state.host);
    t->state.dev = op->alloc(t->be, t->state.room + 16);
    t->report = op->alloc(t->be, AM_REPORT);
    t->clip_scratch = op->alloc(t->be, 1024);
    if (!t->state.host || !am_is(t->state.dev) || !am_is(t->report) || !am_is(t->clip_scratch))
        return am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
    return am_space_commit(&t->space, e);
}

void am_trainer_close(am_trainer *t)
{
    if (!t->be) return;
    for (int i = 0; i < t->mixes; i++)
        if (t->mix[i].type->close && t->mix[i].state) t->mix[i].type->close(&t->mix[i], t);
    am_weights_close(&t->student, &t->net);
    am_weights_close(&t->teacher, &t->net);
    am_dev all[] = {t->state.dev, t->report, t->clip_scratch, t->set};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (am_is(all[i])) t->be->ops->free(t->be, all[i]);
    am_space_close(&t->space);
    free(t->state.host);
    am_net_close(&t->net);
    am_arena_free(&t->mem);
    *t = (am_trainer){0};
}
