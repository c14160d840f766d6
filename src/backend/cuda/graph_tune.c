/* graph_tune.c: does a plan run on the device, and how long does it take; on memory of its own.
 *
 * Inside a recorded step kernels follow one another without the host, so a plan is timed as RUNS
 * launches in one graph: a clock around calls would tell how fast the host calls. */
#include "graph_inside.h"
#include <cuda_runtime_api.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 5, RUNS = 16 };
#define WARM 0.005              /* seconds of work before a clock is believed, */
#define WAKE 0.3                /* and before the first one: an idle device runs slowly */

static size_t align(size_t bytes) { return (bytes + 1023) / 1024 * 1024; }

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Memory for the tensors of a trial. */
static char *room(am_graphs *g, size_t bytes)
{
    if (bytes <= g->room_bytes) return g->room;
    am_tune_close(g);
    if (cudaMalloc(&g->room, bytes)) {
        cudaGetLastError();
        g->room = NULL;
        return NULL;
    }
    g->room_bytes = bytes;
    return g->room;
}

void am_tune_close(am_graphs *g)
{
    if (g->room) cudaFree(g->room);
    g->room = NULL;
    g->room_bytes = 0;
}

typedef struct trial { am_graphs *g; desc plan; char *a, *b, *out, *work; } trial;

enum { SMALL = 0x3c };          /* a byte; so filled, a number of any type is between 0.01 and 1.1 */

/* 0: there is no memory for it.  The tensors hold small numbers: with zeros it would be faster. */
static int trial_open(trial *t, am_graphs *g, const am_choice_key *k, desc plan, size_t workspace)
{
    const am_conv *c = &k->conv;
    const size_t n = (size_t)k->n, taps = (size_t)c->size * (size_t)c->size;
    const size_t x = align(4 * n * (size_t)c->c * (size_t)c->h * (size_t)c->w),
                 y = align(4 * n * (size_t)c->filters * (size_t)c->oh * (size_t)c->ow),
                 w = align(4 * (size_t)c->filters * (size_t)(c->c / c->groups) * taps);
    const size_t size[AM_GRAPH_KINDS][2] = {{x, w}, {y, w}, {x, y}, {y, w}};
    char *a = room(g, x + y + w + workspace);
    if (!a) return 0;
    *t = (trial){g, plan, a, a + size[k->kind][0], NULL, a + x + y + w};
    t->out = t->b + size[k->kind][1];
    return !cudaMemsetAsync(a, SMALL, x + y + w, g->stream);
}

static int run(const trial *t)
{
    return am_plan_run(t->g, t->plan, t->a, t->b, t->out, t->work) == CUDNN_STATUS_SUCCESS;
}

/* RUNS runs as a graph; NULL where they cannot be captured. */
static cudaGraphExec_t captured(const trial *t)
{
    cudaGraph_t graph = NULL;
    cudaGraphExec_t ready = NULL;
    int ok = 1;
    if (cudaStreamBeginCapture(t->g->stream, cudaStreamCaptureModeRelaxed)) return NULL;
    for (int i = 0; i < RUNS && ok; i++) ok = run(t);
    ok = !cudaStreamEndCapture(t->g->stream, &graph) && graph && ok;
    if (ok && cudaGraphInstantiate(&ready, graph, 0)) ready = NULL;
    if (graph) cudaGraphDestroy(graph);
    return ready;
}

static int issue(const trial *t, cudaGraphExec_t all)
{
    int ok = 1;
    if (all) return cudaGraphLaunch(all, t->g->stream) == cudaSuccess;
    for (int i = 0; i < RUNS && ok; i++) ok = run(t);
    return ok;
}

static int warm_up(const trial *t, cudaGraphExec_t all)
{
    const double until = now() + (t->g->awake ? WARM : WAKE);
    t->g->awake = 1;
    do {
        if (!issue(t, all) || cudaStreamSynchronize(t->g->stream)) return 0;
    } while (now() < until);
    return 1;
}

/* Does the plan add to what lies there?  The gradient of zeros is zero, so it must leave all as it was: not where it
 * overwrites, nor where several pieces of a sum each bring it along. */
static int adds(const trial *t, const am_choice_key *k)
{
    const size_t one = k->precision == AM_BF16 || k->precision == AM_FP16 ? 2 : 4;
    const size_t in = one * (size_t)k->n * (size_t)k->conv.c * (size_t)k->conv.h * (size_t)k->conv.w,
                 out = one * (size_t)k->n * (size_t)k->conv.filters * (size_t)k->conv.oh * (size_t)k->conv.ow;
    char *got = calloc(1, in);
    int same = got && !cudaMemsetAsync(t->a, 0, out, t->g->stream) && !cudaMemsetAsync(t->out, SMALL, in, t->g->stream) && run(t) &&
               !cudaMemcpyAsync(got, t->out, in, cudaMemcpyDeviceToHost, t->g->stream) && !cudaStreamSynchronize(t->g->stream);
    same = same && got[0] == SMALL && !memcmp(got, got + 1, in - 1);
    free(got);
    return same;
}

int am_plan_works(am_graphs *g, const am_choice_key *k, desc plan, size_t workspace)
{
    trial t;
    if (!trial_open(&t, g, k, plan, workspace)) return k->kind != AM_GRAPH_DX_ADD;
    const int ok = run(&t) && !cudaStreamSynchronize(g->stream) && (k->kind != AM_GRAPH_DX_ADD || adds(&t, k));
    cudaGetLastError();
    return ok;
}

double am_plan_time(am_graphs *g, const am_choice_key *k, desc plan, size_t workspace)
{
    trial t;
    float ms[ROUNDS];
    cudaEvent_t begin = NULL, end = NULL;
    if (!trial_open(&t, g, k, plan, workspace)) return -1;
    cudaGraphExec_t all = captured(&t);
    int ok = !cudaEventCreate(&begin) && !cudaEventCreate(&end) && warm_up(&t, all);
    for (int i = 0; i < ROUNDS && ok; i++)
        ok = !cudaEventRecord(begin, g->stream) && issue(&t, all) &&
             !cudaEventRecord(end, g->stream) && !cudaEventSynchronize(end) && !cudaEventElapsedTime(&ms[i], begin, end);
    if (begin) cudaEventDestroy(begin);
    if (end) cudaEventDestroy(end);
    if (all) cudaGraphExecDestroy(all);
    cudaGetLastError();
    if (!ok) return -1;
    qsort(ms, ROUNDS, sizeof *ms, by_value);
    return 1e3 * (double)ms[ROUNDS / 2] / RUNS;
}
