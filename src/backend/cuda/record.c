/* record.c: see record.h. */
#include "cuda.h"
#include <stdio.h>
#include <string.h>

uint64_t am_see_conv(uint64_t sum, const am_conv *c)
{
    const int all[] = {c->c, c->h, c->w, c->filters, c->oh, c->ow, c->size, c->stride, c->pad, c->groups};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) sum = am_see_int(sum, all[i]);
    return sum;
}

uint64_t am_see_post(uint64_t sum, const am_post *p)
{
    sum = am_see_dev(am_see_dev(am_see_dev(sum, p->scale), p->shift), p->residual);
    return am_see_int(am_see_dev(am_see_int(sum, (int)p->act), p->stats), p->groups);
}

uint64_t am_see_pairing(uint64_t sum, const am_pairing *p)
{
    const int all[] = {p->c, p->h, p->w, p->depth, p->lambda_concat, p->bilinear, p->scale, p->normalise};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) sum = am_see_int(sum, all[i]);
    return am_see_float(sum, p->bound);
}

uint64_t am_see_encoding(uint64_t sum, const am_encoding *e)
{
    return am_see_float(am_see_float(am_see_int(am_see_int(sum, e->concat), e->residual), e->multiply), e->bend);
}

uint64_t am_see_weights(uint64_t sum, const am_pairing_weights *w)
{
    return am_see_dev(am_see_dev(am_see_dev(am_see_dev(sum, w->query), w->query_bias), w->value), w->value_bias);
}

uint64_t am_see_grads(uint64_t sum, const am_pairing_grads *g)
{
    return am_see_grad(am_see_grad(am_see_grad(am_see_grad(sum, g->query), g->query_bias), g->value), g->value_bias);
}

/* ---- which stretches are what ---- */

static int among(const void *const *list, int count, const void *what)
{
    for (int i = 0; i < count; i++)
        if (list[i] == what) return 1;
    return 0;
}

/* A full list is no fault: what is not known runs plainly. */
static void keep(const void **list, int *count, const void *what)
{
    if (!among(list, *count, what) && *count < CUDA_STRETCHES) list[(*count)++] = what;
}

static am_cuda_recording *find(am_cuda_record *r)
{
    for (int i = 0; i < r->count; i++)
        if (r->at[i].what == r->what && r->at[i].sum == r->sum) return &r->at[i];
    return NULL;
}

static void drop(am_cuda_recording *x)
{
    if (x->graph) cudaGraphExecDestroy(x->graph);
    *x = (am_cuda_recording){0};
}

/* A place for the stretch just heard; the one that lay idle longest makes room. */
static am_cuda_recording *place(am_cuda_record *r)
{
    am_cuda_recording *x = find(r);
    if (!x && r->count < CUDA_RECORDINGS) x = &r->at[r->count++];
    if (!x) {
        x = &r->at[0];
        for (int i = 1; i < r->count; i++)
            if (r->at[i].used < x->used) x = &r->at[i];
        drop(x);
    }
    x->what = r->what;
    x->sum = r->sum;
    x->used = ++r->clock;
    return x;
}

int am_cuda_traffic(am_backend *be)
{
    am_cuda_record *r = &am_cuda_of(be)->record;
    r->traffic = 1;
    return r->mode == CUDA_LISTENS || r->mode == CUDA_CAPTURES;
}

void am_cuda_forget(am_backend *be)
{
    am_cuda_record *r = &am_cuda_of(be)->record;
    for (int i = 0; i < r->count; i++) drop(&r->at[i]);
    r->count = r->plains = r->knowns = 0;
}

/* ---- begin and end ---- */

static void begin(am_backend *be, const void *what)
{
    am_cuda_state *st = am_cuda_of(be);
    am_cuda_record *r = &st->record;
    const am_cuda_mode next = r->next;
    r->what = what;
    r->sum = r->next = 0;
    r->heard = r->traffic = 0;
    if (r->off || st->fault[0]) r->mode = CUDA_IDLE;
    else if (next) r->mode = next;
    else if (among(r->plain, r->plains, what)) r->mode = CUDA_IDLE;
    else r->mode = among(r->known, r->knowns, what) ? CUDA_LISTENS : CUDA_PLAIN;
    if (r->mode == CUDA_CAPTURES && cudaStreamBeginCapture(st->stream, cudaStreamCaptureModeRelaxed)) {
        cudaGetLastError();
        r->mode = CUDA_PLAIN;
    }
}

static void launch(am_backend *be, const am_cuda_recording *x)
{
    am_cuda_state *st = am_cuda_of(be);
    if (cudaGraphLaunch(x->graph, st->stream)) am_cuda_check(be, "the launch of a recorded step");
    st->record.replayed++;
}

/* What was captured, ready to launch; NULL where that did not work, and the stretch then stays plain. */
static cudaGraphExec_t captured(am_cuda_state *st)
{
    cudaGraph_t graph = NULL;
    cudaGraphExec_t ready = NULL;
    cudaError_t error = cudaStreamEndCapture(st->stream, &graph);
    int bad = error || !graph || st->record.traffic || st->fault[0];
    if (!bad) bad = (error = cudaGraphInstantiate(&ready, graph, 0)) != cudaSuccess;
    if (graph) cudaGraphDestroy(graph);
    if (bad)
        snprintf(st->record.why, sizeof st->record.why, "%s",
                 st->fault[0]         ? st->fault
                 : st->record.traffic ? "the host looked at the device"
                                      : cudaGetErrorString(error));
    st->fault[0] = 0;           /* what could not be captured may run all the same: a real fault shows again */
    cudaGetLastError();
    return bad ? NULL : ready;
}

static int end(am_backend *be)
{
    am_cuda_state *st = am_cuda_of(be);
    am_cuda_record *r = &st->record;
    const am_cuda_mode was = r->mode;
    am_cuda_recording *x;
    r->mode = CUDA_IDLE;
    switch (was) {
    case CUDA_PLAIN:
        if (st->fault[0]) return 0;
        if (r->traffic) keep(r->plain, &r->plains, r->what);
        else {
            keep(r->known, &r->knowns, r->what);
            place(r);
        }
        return 0;
    case CUDA_LISTENS:
        x = r->traffic ? NULL : find(r);
        if (x && x->graph) {
            x->used = ++r->clock;
            launch(be, x);
            return 0;
        }
        if (r->traffic) keep(r->plain, &r->plains, r->what);
        r->next = x ? CUDA_CAPTURES : CUDA_PLAIN;
        return 1;
    case CUDA_CAPTURES:
        x = place(r);
        x->graph = captured(st);
        if (!x->graph) {
            keep(r->plain, &r->plains, r->what);
            r->next = CUDA_PLAIN;
            return 1;
        }
        r->captured++;
        launch(be, x);
        return 0;
    default: return 0;
    }
}

void am_cuda_fill_record(am_ops *t) { t->begin = begin, t->end = end; }
