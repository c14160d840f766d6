/* replay.c: training steps in which nothing is drawn: safetensors in, safetensors out.  How automix is
 * compared with other implementations; the tensors are those of DESIGN 1.6 (README.md, "Replay"). */
#include "session.h"
#include <stdlib.h>
#include <string.h>

typedef struct replay {
    am_trainer t;
    am_examiner examiner;
    am_tensors in;
    am_arena mem; /* what goes out */
    am_tensor *out;
    int outs, most;
    const char *path; /* of IN, for messages */
    const am_tensor *images, *labels, *labels_b, *perm, *lambda, *rate, *follow, *weight;
    int steps, batch;
} replay;

static am_status get(replay *r, const char *name, am_type type, int required, const am_tensor **out,
                     am_err *e)
{
    *out = am_tensor_find(&r->in, name);
    if (!*out && required)
        return am_fail(e, AM_EINPUT, (am_loc){r->path, 0}, "has no tensor '%s'", name);
    if (*out && (*out)->type != type)
        return am_fail(e, AM_EINPUT, (am_loc){r->path, 0}, "'%s' has another type than %s", name,
                       type == AM_F32 ? "F32" : "I32");
    return AM_OK;
}

static am_status want_count(const replay *r, const am_tensor *x, const char *name, size_t count,
                            am_err *e)
{
    if (!x || am_tensor_count(x) == count) return AM_OK;
    return am_fail(e, AM_EINPUT, (am_loc){r->path, 0}, "'%s' holds %zu numbers, expected %zu", name,
                   am_tensor_count(x), count);
}

static am_status in_range(const replay *r, const am_tensor *x, const char *name, int most,
                          am_err *e)
{
    const int *v = x ? x->data : NULL;
    for (size_t i = 0; x && i < am_tensor_count(x); i++)
        if (v[i] < 0 || v[i] >= most)
            return am_fail(e, AM_EINPUT, (am_loc){r->path, 0},
                           "'%s' holds %d; it must be from 0 to %d", name, v[i], most - 1);
    return AM_OK;
}

static am_status permutations(const replay *r, am_err *e)
{
    char *seen = calloc((size_t)r->batch + 1, 1);
    const int *v = r->perm ? r->perm->data : NULL;
    int bad = 0;
    if (!seen) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
    for (int k = 0; v && k < 2 * r->steps && !bad; k++) {
        memset(seen, 0, (size_t)r->batch);
        for (int i = 0; i < r->batch; i++) bad |= seen[v[k * r->batch + i]]++;
    }
    free(seen);
    return bad ? am_fail(e, AM_EINPUT, (am_loc){r->path, 0},
                         "'permutation' has a row that is no permutation")
               : AM_OK;
}

static am_status read_input(replay *r, const char *path, am_err *e)
{
    r->path = path;
    AM_TRY(am_safetensors_read(&r->in, path, e));
    AM_TRY(get(r, "images", AM_F32, 1, &r->images, e));
    AM_TRY(get(r, "labels", AM_I32, 1, &r->labels, e));
    if (r->images->dims != 5 || r->images->dim[0] < 1 || r->images->dim[1] < 1 ||
        r->images->dim[1] > 65536 || r->images->dim[0] > 1000000)
        return am_fail(e, AM_EINPUT, (am_loc){path, 0},
                       "'images' must have the shape [steps][batch][channels][rows][columns]");
    r->steps = (int)r->images->dim[0];
    r->batch = (int)r->images->dim[1];
    return AM_OK;
}

static am_status check_input(replay *r, int automix, am_err *e)
{
    size_t t = (size_t)r->steps, b = (size_t)r->batch;
    am_shape in = r->t.net.input;
    if (r->images->dim[2] != (size_t)in.c || r->images->dim[3] != (size_t)in.h ||
        r->images->dim[4] != (size_t)in.w)
        return am_fail(e, AM_EINPUT, (am_loc){r->path, 0},
                       "'images' are %zux%zux%zu, and the cfg's input is %dx%dx%d",
                       r->images->dim[2], r->images->dim[3], r->images->dim[4], in.c, in.h, in.w);
    AM_TRY(get(r, "labels_b", AM_I32, 0, &r->labels_b, e));
    AM_TRY(get(r, "permutation", AM_I32, automix, &r->perm, e));
    AM_TRY(get(r, "lambda", AM_F32, automix || r->labels_b, &r->lambda, e));
    AM_TRY(get(r, "learning_rate", AM_F32, 1, &r->rate, e));
    AM_TRY(get(r, "teacher_momentum", AM_F32, automix && r->t.has_teacher, &r->follow, e));
    AM_TRY(get(r, "mask_weight", AM_F32, automix, &r->weight, e));
    AM_TRY(want_count(r, r->labels, "labels", t * b, e));
    AM_TRY(want_count(r, r->labels_b, "labels_b", t * b, e));
    AM_TRY(want_count(r, r->perm, "permutation", 2 * t * b, e));
    if (automix || (r->lambda && am_tensor_count(r->lambda) != t))
        AM_TRY(want_count(r, r->lambda, "lambda", automix ? 2 * t : t * b, e));
    AM_TRY(want_count(r, r->rate, "learning_rate", t, e));
    AM_TRY(want_count(r, r->follow, "teacher_momentum", t, e));
    AM_TRY(want_count(r, r->weight, "mask_weight", t, e));
    AM_TRY(in_range(r, r->labels, "labels", r->t.classes, e));
    AM_TRY(in_range(r, r->labels_b, "labels_b", r->t.classes, e));
    AM_TRY(in_range(r, r->perm, "permutation", r->batch, e));
    return permutations(r, e);
}

/* ---- going out ---- */
static float *out_tensor(replay *r, const char *name, int dims, const size_t *dim)
{
    if (r->outs == r->most) return NULL;
    am_tensor *x = &r->out[r->outs];
    *x = (am_tensor){.name = am_dup(&r->mem, name), .type = AM_F32, .dims = dims};
    for (int i = 0; i < dims; i++) x->dim[i] = dim[i];
    x->data = am_new(&r->mem, am_tensor_count(x) * sizeof(float));
    if (!x->name || !x->data) return NULL;
    r->outs++;
    return x->data;
}

static void out_activation(replay *r, const char *name, int step, am_shape s, am_dev d, int planes)
{
    char full[80];
    size_t dim[4] = {(size_t)s.n, (size_t)s.c, (size_t)s.h, (size_t)s.w};
    snprintf(full, sizeof full, "%s.%d", name, step);
    float *to = out_tensor(r, full, 4, dim);
    if (!to) return;
    if (planes)
        r->t.be->ops->download(r->t.be, am_count(s), d, to);
    else
        r->t.be->ops->get(r->t.be, s, d, to);
}

static void out_weights(replay *r, const char *prefix, const am_weights *w, int gradients,
                        int mixblock)
{
    for (int i = 1; i < r->t.net.layers; i++)
        for (int k = 0; k < r->t.net.layer[i].params; k++) {
            const am_layer *l = &r->t.net.layer[i];
            const am_param *p = &l->param[k];
            char full[80];
            if ((gradients && p->role != AM_LEARNED) ||
                (!mixblock && !strcmp(l->type->name, "mixblock")))
                continue;
            snprintf(full, sizeof full, "%s.%d.%s", prefix, i - 1, p->name);
            float *to = out_tensor(r, full, p->dims, p->dim);
            am_dev from = gradients ? w->grad : p->role == AM_LEARNED ? w->value : w->buffer;
            if (to) r->t.be->ops->download(r->t.be, p->count, am_at(from, p->offset), to);
        }
}

/* ---- one step ---- */
static void plain_labels(replay *r, int step)
{
    am_trainer *t = &r->t;
    int n = r->batch, k = t->classes;
    const int *a = (const int *)r->labels->data + step * n,
              *b = r->labels_b ? (const int *)r->labels_b->data + step * n : a;
    const float *lam = r->lambda ? r->lambda->data : NULL;
    int each = r->lambda && am_tensor_count(r->lambda) == (size_t)r->steps * (size_t)n;
    float *q = calloc((size_t)n * (size_t)k, sizeof *q);
    for (int i = 0; q && i < n; i++) {
        float l = !lam ? 1 : each ? lam[step * n + i] : lam[step];
        q[i * k + a[i]] += l;
        q[i * k + b[i]] += 1 - l;
    }
    if (q) t->be->ops->upload(t->be, (size_t)n * (size_t)k, q, am_here(&t->space, t->q));
    free(q);
}

static void fill_state(replay *r, int step)
{
    am_trainer *t = &r->t;
    int n = r->batch;
    for (int k = 0; k < 2 && r->perm; k++) {
        memcpy(am_state_ints(t, t->pair[k].perm), (const int *)r->perm->data + (2 * step + k) * n,
               (size_t)n * sizeof(int));
        for (int i = 0; i < n; i++)
            am_state_host(t, t->pair[k].lam)[i] = ((const float *)r->lambda->data)[2 * step + k];
    }
    am_step_schedule(t);
    for (int i = 0; i < t->stretches; i++) {
        float *h = am_state_host(t, t->stretch[i].hyper);
        h[AM_HYPER_RATE] = (float)t->stretch[i].rate * ((const float *)r->rate->data)[step];
        h[AM_HYPER_MOMENTUM] = (float)t->net.options.momentum;
        h[AM_HYPER_FOLLOW] = r->follow ? ((const float *)r->follow->data)[step] : 0;
    }
    if (r->weight) *am_state_host(t, t->mask_weight) = ((const float *)r->weight->data)[step];
}

static am_status one_step(replay *r, int step, int automix, float *losses, am_err *e)
{
    am_trainer *t = &r->t;
    am_mix *m = automix ? &t->mix[0] : &t->plain;
    am_shape image = am_batch_of(t->net.input, r->batch), plane = {r->batch, 1, image.h, image.w};
    float report[AM_REPORT];
    am_step_begin(t);
    fill_state(r, step);
    am_teach_labels(t, (const int *)r->labels->data + step * r->batch);
    if (!automix) plain_labels(r, step);
    t->be->ops->put(t->be, image, (const float *)r->images->data + (size_t)step * am_count(image),
                    am_here(&t->space, t->x));
    am_step_learn(t, m);
    if (step == 0) out_weights(r, "grad", &t->student, 1, 1);
    if (automix) {
        out_activation(r, "mask_teacher", step, plane, am_here(&t->space, t->judged_mask), 1);
        out_activation(r, "mask_student", step, plane, am_here(&t->space, t->mixed_mask), 1);
        out_activation(r, "mixed_teacher", step, image, am_here(&t->space, t->judged_x), 0);
        out_activation(r, "mixed_student", step, image, am_here(&t->space, t->mixed_x), 0);
    }
    am_step_update(t);
    AM_TRY(am_step_report(t, report, e));
    for (int i = 0; i < (automix ? AM_LOSSES : 1); i++) losses[i] = report[AM_REPORT_LOSS + i];
    t->step++;
    return AM_OK;
}

static am_status evaluate(replay *r, am_err *e)
{
    static const char *const nets[] = {"student", "teacher"}, *const heads[] = {"one", "mix"};
    am_trainer *t = &r->t;
    am_shape image = am_batch_of(t->net.input, r->batch);
    size_t dim[2] = {(size_t)r->batch, (size_t)t->classes};
    am_dev x = am_here(&t->space, r->examiner.x);
    for (int net = 0; net < (t->has_teacher ? 2 : 1); net++)
        for (int head = 0; head < 2; head++) {
            char name[40];
            snprintf(name, sizeof name, "eval.%s.%s", nets[net], heads[head]);
            float *to = out_tensor(r, name, 2, dim);
            if (!to) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
            t->be->ops->put(t->be, image, r->images->data, x);
            AM_TRY(am_examine_logits(&r->examiner, net, head, x, to, e));
        }
    return AM_OK;
}

static am_status load(replay *r, am_err *e)
{
    am_trainer *t = &r->t;
    AM_TRY(am_weights_take(t, &r->in, r->path, NULL, e));
    return AM_OK;
}

static am_status run(replay *r, const am_cfg *c, am_backend *be, const char *in, const char *out,
                     am_err *e)
{
    am_trainer *t = &r->t;
    AM_TRY(read_input(r, in, e));
    am_trainer_options o = {.learn = 1, .batch = r->batch, .seed = -1};
    AM_TRY(am_trainer_open(t, be, c, &o, e));
    int automix = t->mixes == 1 && !strcmp(t->mix[0].type->name, "automix");
    if (!automix) AM_TRY(am_mix_setup(&t->plain, t, e));
    AM_TRY(am_examiner_layout(&r->examiner, t, r->batch, 1, e));
    AM_TRY(check_input(r, automix, e));
    AM_TRY(am_trainer_start(t, 1, e));
    AM_TRY(load(r, e));
    t->steps = r->steps;

    r->most = 32 + 8 * r->steps;
    for (int i = 1; i < t->net.layers; i++) r->most += 3 * t->net.layer[i].params;
    r->out = am_new(&r->mem, (size_t)r->most * sizeof *r->out);
    size_t dim[2] = {(size_t)r->steps, automix ? AM_LOSSES : 1};
    float *losses = r->out ? out_tensor(r, "losses", 2, dim) : NULL;
    if (!losses) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
    for (int step = 0; step < r->steps; step++)
        AM_TRY(one_step(r, step, automix, losses + (size_t)step * dim[1], e));
    out_weights(r, "student", &t->student, 0, 1);
    if (t->has_teacher) out_weights(r, "teacher", &t->teacher, 0, 0);
    AM_TRY(evaluate(r, e));
    AM_TRY(be->ops->sync(be, e));
    return am_safetensors_write(out, r->out, r->outs, e);
}

am_status am_replay(const am_run *o, const char *in, const char *out, am_err *e)
{
    replay *r = calloc(1, sizeof *r);
    am_arena mem = {0};
    am_cfg c;
    am_backend be = {0};
    am_run judge = *o;
    if (!o->backend) judge.backend = "cpu";
    if (!o->isa && !strcmp(judge.backend, "cpu")) judge.isa = "exact";
    am_status s =
        r ? am_cfg_load(&c, &mem, o->cfg, e) : am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
    if (!s) s = am_open_backend(&be, &judge, &c, 0, e);
    if (!s) s = run(r, &c, &be, in, out, e);
    if (r) {
        am_examiner_close(&r->examiner);
        am_trainer_close(&r->t);
        am_tensors_free(&r->in);
        am_arena_free(&r->mem);
    }
    am_close_backend(&be);
    am_arena_free(&mem);
    free(r);
    return s;
}
