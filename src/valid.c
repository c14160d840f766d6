/* valid.c: a classifier at rest: inference over a data set, every net and head there is. */
#include <stdlib.h>
#include <string.h>
#include "train.h"

am_status am_examiner_layout(am_examiner *x, am_trainer *t, int batch, int top, am_err *e)
{
    *x = (am_examiner){.t = t, .batch = batch, .top = top > t->classes ? t->classes : top};
    x->heads = t->mixed_head != t->clean_head ? 2 : 1;
    size_t mark = am_space_mark(&t->space);
    am_space_release(&t->space, 0); /* between steps nothing of a step is alive */
    x->x = am_space_push(&t->space, t->be->ops->room(t->be, am_batch_of(t->net.input, batch)));
    size_t own = am_space_mark(&t->space);
    for (int net = 0; net < (t->has_teacher ? 2 : 1); net++) {
        am_trip trip = {.to = t->clean_head, .also = x->heads == 2 ? t->mixed_head : 0, .n = batch};
        AM_TRY(am_pass_make(&x->pass[net], &x->plan[net], &t->net, trip,
                            net == AM_TEACHER ? &t->teacher : &t->student, &t->space, e));
        am_space_release(&t->space, own);
    }
    am_space_release(&t->space, mark);
    return AM_OK;
}

am_status am_examiner_open(am_examiner *x, am_err *e)
{
    const am_ops *op = x->t->be->ops;
    x->labels = op->alloc(x->t->be, (size_t)x->batch);
    x->tally = op->alloc(x->t->be, 4 * AM_SCORES);
    size_t rows = (size_t)x->batch * (size_t)x->t->classes;
    x->q = op->alloc(x->t->be, rows);
    x->prob = op->alloc(x->t->be, 4 * rows);
    x->host_prob = calloc(4 * rows, sizeof *x->host_prob);
    if (am_is(x->labels) && am_is(x->tally) && am_is(x->q) && am_is(x->prob) && x->host_prob)
        return AM_OK;
    return am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
}

void am_examiner_close(am_examiner *x)
{
    if (!x->t) return;
    am_dev all[] = {x->labels, x->tally, x->q, x->prob};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (am_is(all[i])) x->t->be->ops->free(x->t->be, all[i]);
    free(x->host_prob);
    *x = (am_examiner){0};
}

static int head_layer(const am_examiner *x, int head)
{
    return head == AM_HEAD_MIX ? x->t->mixed_head : x->t->clean_head;
}

static am_pass *look(am_examiner *x, int net, am_dev given, am_dev q)
{
    am_pass *p = &x->pass[net];
    p->given = given;
    p->q = q;
    am_forward(p);
    return p;
}

static void put_pixels(am_examiner *x, const unsigned char *pixel)
{
    const am_net *net = &x->t->net;
    float mean[AM_MAX_LIST], std[AM_MAX_LIST];
    am_levels(&net->options, mean, std);
    x->t->be->ops->put_bytes(x->t->be, am_batch_of(net->input, x->batch), pixel, mean, std,
                             am_here(&x->t->space, x->x));
}

static void put_batch(am_examiner *x, const am_host_batch *b)
{
    am_trainer *t = x->t;
    put_pixels(x, b->pixel);
    t->be->ops->upload(t->be, (size_t)x->batch, b->label, x->labels);
    t->be->ops->onehot(t->be, x->batch, t->classes, 0, x->labels, x->q);
}

static void score(am_examiner *x, int net)
{
    am_trainer *t = x->t;
    const am_ops *op = t->be->ops;
    const size_t rows = (size_t)x->batch * (size_t)t->classes;
    am_pass *p = look(x, net, am_here(&t->space, x->x), x->q);
    for (int head = 0; head < x->heads; head++) {
        const am_layer *softmax = &t->net.layer[head_layer(x, head)];
        op->score(t->be, x->batch, t->classes, x->top, am_y(p, softmax), x->labels,
                  am_saved(p, softmax), am_at(x->tally, (size_t)(2 * net + head) * AM_SCORES));
        op->copy(t->be, rows, am_y(p, softmax),
                 am_at(x->prob, (size_t)(net * x->heads + head) * rows));
    }
}

void am_examine_one(am_examiner *x, int net, const am_host_batch *b)
{
    put_batch(x, b);
    score(x, net);
}

/* The batch's probabilities are put aside on the device and come down in one piece, so that a
 * backend that runs ahead is waited for once a batch. */
static void look_at_batch(am_examiner *x, const am_host_batch *b, am_validation *v)
{
    am_trainer *t = x->t;
    const size_t rows = (size_t)x->batch * (size_t)t->classes;
    const int nets = t->has_teacher ? 2 : 1, all = nets * x->heads;
    put_batch(x, b);
    for (int net = 0; net < nets; net++) score(x, net);
    t->be->ops->download(t->be, (size_t)all * rows, x->prob, x->host_prob);
    for (int k = 0; k < all; k++)
        am_reliability_add(&v->at[k / x->heads][k % x->heads].reliability, x->batch, t->classes,
                           x->host_prob + (size_t)k * rows, b->label);
}

am_status am_examine(am_examiner *x, am_loader *loader, am_validation *out, am_err *e)
{
    am_trainer *t = x->t;
    const am_ops *op = t->be->ops;
    float tally[4 * AM_SCORES];
    *out = (am_validation){0};
    op->fill(t->be, 4 * AM_SCORES, 0, x->tally);
    am_loader_seek(loader, 0, 0);
    for (long i = 0, n = am_loader_batches(loader); i < n; i++) {
        const am_host_batch *b;
        AM_TRY(am_loader_next(loader, &b, e));
        look_at_batch(x, b, out);
    }
    op->download(t->be, 4 * AM_SCORES, x->tally, tally);
    AM_TRY(op->sync(t->be, e));
    for (int net = 0; net < (t->has_teacher ? 2 : 1); net++)
        for (int head = 0; head < x->heads; head++) {
            const float *s = tally + (2 * net + head) * AM_SCORES;
            am_accuracy *a = &out->at[net][head];
            double n = s[AM_SCORE_SAMPLES] > 0 ? s[AM_SCORE_SAMPLES] : 1;
            a->loss = s[AM_SCORE_LOSS] / n;
            a->top1 = 100 * s[AM_SCORE_TOP1] / n;
            a->topk = 100 * s[AM_SCORE_TOPK] / n;
            a->samples = (long)s[AM_SCORE_SAMPLES];
            a->ece = 100 * am_reliability_error(&a->reliability);
            a->gap = 100 * am_reliability_gap(&a->reliability);
            a->valid = 1;
        }
    return AM_OK;
}

am_status am_examine_logits(am_examiner *x, int net, int head, am_dev given, float *out, am_err *e)
{
    am_trainer *t = x->t;
    am_pass *p = look(x, net, given, AM_NOWHERE);
    const am_layer *softmax = &t->net.layer[head_layer(x, head)];
    t->be->ops->get(t->be, am_batch_of(softmax->out, x->batch), am_x(p, softmax, 0), out);
    return t->be->ops->sync(t->be, e);
}

am_status am_examine_batch(am_examiner *x, int net, int head, const unsigned char *pixel,
                           float *out, am_err *e)
{
    am_trainer *t = x->t;
    put_pixels(x, pixel);
    am_pass *p = look(x, net, am_here(&t->space, x->x), AM_NOWHERE);
    const am_layer *softmax = &t->net.layer[head_layer(x, head)];
    t->be->ops->get(t->be, am_batch_of(softmax->out, x->batch), am_y(p, softmax), out);
    return t->be->ops->sync(t->be, e);
}
