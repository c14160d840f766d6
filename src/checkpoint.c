/* checkpoint.c: weights and the state of a run as named tensors, and back.
 *
 * A weight file holds student and teacher; a checkpoint also the optimiser's velocity and what a
 * resumed run must know.  Chance needs no more than the seed and the step, since every draw is a
 * stream of its own. */
#include <stdlib.h>
#include <string.h>
#include "train.h"

enum { KINDS = 3 };
static const char *const kinds[KINDS] = {"student", "teacher", "velocity"};

/* The teacher has no MixBlock; statistics have no velocity. */
static int has(const am_trainer *t, int kind, const am_layer *l, const am_param *p)
{
    if (kind == 1) return t->has_teacher && strcmp(l->type->name, "mixblock");
    return kind == 0 || p->role == AM_LEARNED;
}

/* begin: a training starts, and layers with fresh=1 take nothing. */
static int takes(const am_trainer *t, int kind, int begin, const am_layer *l, const am_param *p)
{
    return has(t, kind, l, p) && !(begin && l->fresh);
}

static am_dev place_of(const am_trainer *t, int kind, const am_param *p)
{
    const am_weights *w = kind == 1 ? &t->teacher : &t->student;
    return am_at(kind == 2 ? w->velocity : p->role == AM_LEARNED ? w->value : w->buffer, p->offset);
}

size_t am_checkpoint_bytes(const am_trainer *t)
{
    size_t floats = (t->net.learned + t->net.buffers) * (t->has_teacher ? 2 : 1) + t->net.learned;
    return 4 * floats + 65536;
}

static const char *tensor_name(am_arena *a, int kind, const am_layer *l, const am_param *p)
{
    return am_print(a, "%s.%d.%s", kinds[kind], l->index - 1, p->name);
}

am_status am_weights_save(am_trainer *t, const char *path, int what, const am_progress *progress,
                          am_err *e)
{
    am_arena a = {0};
    int most = 4, count = 0;
    am_status s = AM_ENOMEM;
    for (int i = 1; i < t->net.layers; i++) most += KINDS * t->net.layer[i].params;
    am_tensor *list = am_new(&a, (size_t)most * sizeof *list);
    if (!list) goto out;
    for (int kind = 0; kind < (what == AM_SAVE_CHECKPOINT ? 3 : 2); kind++)
        for (int i = 1; i < t->net.layers; i++)
            for (int k = 0; k < t->net.layer[i].params; k++) {
                const am_param *p = &t->net.layer[i].param[k];
                if (!has(t, kind, &t->net.layer[i], p)) continue;
                am_tensor *to = &list[count++];
                *to = (am_tensor){.name = tensor_name(&a, kind, &t->net.layer[i], p),
                                  .type = AM_F32,
                                  .dims = p->dims,
                                  .data = am_new(&a, p->count * sizeof(float))};
                for (int d = 0; d < p->dims; d++) to->dim[d] = p->dim[d];
                if (!to->name || !to->data) goto out;
                t->be->ops->download(t->be, p->count, place_of(t, kind, p), to->data);
            }
    s = t->be->ops->sync(t->be, e);
    if (s) goto out;
    int64_t whole[3];
    double real[18];
    if (what == AM_SAVE_CHECKPOINT && progress) {
        whole[0] = progress->step;
        whole[1] = progress->epoch;
        whole[2] = (int64_t)progress->seed;
        real[0] = progress->average_loss;
        real[1] = progress->best;
        memcpy(real + 2, progress->sums, sizeof progress->sums);
        list[count++] = (am_tensor){
            .name = "run.counters", .type = AM_I64, .dims = 1, .dim = {3}, .data = whole};
        list[count++] =
            (am_tensor){.name = "run.sums", .type = AM_F64, .dims = 1, .dim = {18}, .data = real};
    }
    s = am_weights_write(path, t->cfg_text, list, count, e);
out:
    am_arena_free(&a);
    return s == AM_ENOMEM ? am_fail(e, s, (am_loc){path, 0}, "no memory to write the weights") : s;
}

/* Check every tensor before any is used, so that nothing is ever half-loaded. */
static am_status check(const am_trainer *t, const am_tensors *f, int kind, int begin,
                       const char *path, am_err *e)
{
    const char *next =
        begin ? "; fresh=1 in that section lets the layer start anew, and the rest from this file"
              : "";
    for (int i = 1; i < t->net.layers; i++)
        for (int k = 0; k < t->net.layer[i].params; k++) {
            const am_layer *l = &t->net.layer[i];
            const am_param *p = &l->param[k];
            char name[80];
            if (!takes(t, kind, begin, l, p)) continue;
            snprintf(name, sizeof name, "%s.%d.%s", kinds[kind], l->index - 1, p->name);
            const am_tensor *x = am_tensor_find(f, name);
            if (!x)
                return am_fail(e, AM_EINPUT, (am_loc){path, 0},
                               "has no tensor %s, which layer %d ([%s], %s:%d) needs: these are "
                               "weights of another network%s",
                               name, l->index - 1, l->type->name, l->loc.file ? l->loc.file : "cfg",
                               l->loc.line, next);
            int same = x->type == AM_F32 && x->dims == p->dims;
            for (int d = 0; same && d < p->dims; d++) same = x->dim[d] == p->dim[d];
            if (!same)
                return am_fail(e, AM_EINPUT, (am_loc){path, 0},
                               "%s has %zu numbers in another shape than layer %d ([%s], %s:%d) "
                               "needs (%zu): these are weights of another network%s",
                               name, am_tensor_count(x), l->index - 1, l->type->name,
                               l->loc.file ? l->loc.file : "cfg", l->loc.line, p->count, next);
        }
    return AM_OK;
}

static void use(am_trainer *t, const am_tensors *f, int kind, int begin)
{
    for (int i = 1; i < t->net.layers; i++)
        for (int k = 0; k < t->net.layer[i].params; k++) {
            const am_param *p = &t->net.layer[i].param[k];
            char name[80];
            if (!takes(t, kind, begin, &t->net.layer[i], p)) continue;
            snprintf(name, sizeof name, "%s.%d.%s", kinds[kind], t->net.layer[i].index - 1,
                     p->name);
            t->be->ops->upload(t->be, p->count, am_tensor_find(f, name)->data,
                               place_of(t, kind, p));
        }
}

static int holds(const am_tensors *f, const char *prefix)
{
    for (int i = 0; i < f->count; i++)
        if (!strncmp(f->tensor[i].name, prefix, strlen(prefix))) return 1;
    return 0;
}

int am_fresh_layers(const am_net *net)
{
    int n = 0;
    for (int i = 1; i < net->layers; i++) n += net->layer[i].fresh && net->layer[i].params;
    return n;
}

/* A teacher that would share only part of a net's history starts as its student, statistics too. */
static am_status take(am_trainer *t, const am_tensors *f, const char *path, am_progress *progress,
                      int begin, am_err *e)
{
    int velocity = progress && am_is(t->student.velocity),
        teacher = t->has_teacher && holds(f, "teacher.") && !(begin && am_fresh_layers(&t->net));
    if (progress && t->has_teacher && !teacher)
        return am_fail(e, AM_EINPUT, (am_loc){path, 0},
                       "has no teacher, and the cfg has a [momentum_teacher]: this run cannot be "
                       "resumed; start it from these weights instead of with -resume");
    AM_TRY(check(t, f, 0, begin, path, e));
    if (teacher) AM_TRY(check(t, f, 1, begin, path, e));
    const am_tensor *counters = am_tensor_find(f, "run.counters"),
                    *sums = am_tensor_find(f, "run.sums");
    if (progress) {
        if (!counters || !sums || counters->type != AM_I64 || sums->type != AM_F64 ||
            am_tensor_count(counters) != 3 || am_tensor_count(sums) != 18)
            return am_fail(e, AM_EINPUT, (am_loc){path, 0},
                           "holds weights but not the state of a run, so it cannot be resumed; "
                           "give it as WEIGHTS instead");
        if (velocity) AM_TRY(check(t, f, 2, begin, path, e));
        const int64_t *whole = counters->data;
        const double *real = sums->data;
        *progress = (am_progress){.step = (long)whole[0],
                                  .epoch = (long)whole[1],
                                  .seed = (uint64_t)whole[2],
                                  .average_loss = real[0],
                                  .best = real[1]};
        memcpy(progress->sums, real + 2, sizeof progress->sums);
    }
    use(t, f, 0, begin);
    if (velocity) use(t, f, 2, begin);
    if (teacher)
        use(t, f, 1, begin);
    else if (t->has_teacher)
        am_weights_copy(&t->net, &t->student, &t->teacher);
    am_weights_prepare(&t->net, &t->student);
    if (t->has_teacher) am_weights_prepare(&t->net, &t->teacher);
    return t->be->ops->sync(t->be, e);
}

am_status am_weights_take(am_trainer *t, const am_tensors *f, const char *path,
                          am_progress *progress, am_err *e)
{
    return take(t, f, path, progress, 0, e);
}

static am_status load(am_trainer *t, const char *path, am_progress *progress, int begin, am_err *e)
{
    am_tensors f = {0};
    am_status s = am_weights_read(&f, path, e);
    if (!s) s = take(t, &f, path, progress, begin, e);
    am_tensors_free(&f);
    return s;
}

am_status am_weights_load(am_trainer *t, const char *path, am_progress *progress, am_err *e)
{
    return load(t, path, progress, 0, e);
}

am_status am_weights_begin(am_trainer *t, const char *path, am_err *e)
{
    return load(t, path, NULL, 1, e);
}
