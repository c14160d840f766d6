/* graph_tune.c: how long a plan takes on the device, on memory of its own. */
#include "graph_inside.h"
#include <cuda_runtime_api.h>
#include <stdlib.h>

enum { WARM = 3, ROUNDS = 5, RUNS = 4 };

static size_t align(size_t bytes) { return (bytes + 1023) / 1024 * 1024; }

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

/* Memory for the tensors of a trial, filled with small numbers: zeros would be multiplied faster. */
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
    cudaMemsetAsync(g->room, 0x3c, bytes, g->stream);
    return g->room;
}

void am_tune_close(am_graphs *g)
{
    if (g->room) cudaFree(g->room);
    g->room = NULL;
    g->room_bytes = 0;
}

double am_plan_time(am_graphs *g, const am_choice_key *k, desc plan, size_t workspace)
{
    const am_conv *c = &k->conv;
    const size_t x = align((size_t)k->n * (size_t)c->c * (size_t)c->h * (size_t)c->w * 4),
                 y = align((size_t)k->n * (size_t)c->filters * (size_t)c->oh * (size_t)c->ow * 4),
                 w = align((size_t)c->filters * (size_t)(c->c / c->groups) * (size_t)(c->size * c->size) * 4);
    const size_t size[3][2] = {{x, w}, {y, w}, {x, y}};
    char *a = room(g, x + y + w + workspace);
    float ms[ROUNDS];
    int taken = 0;
    cudaEvent_t begin = NULL, end = NULL;
    if (!a) return -1;
    char *b = a + size[k->kind][0], *out = b + size[k->kind][1], *work = a + x + y + w;
    int bad = cudaEventCreate(&begin) || cudaEventCreate(&end);
    for (int i = 0; i < WARM && !bad; i++) bad = am_plan_run(g, plan, a, b, out, work) != 0;
    for (; taken < ROUNDS && !bad; taken++) {
        bad = cudaEventRecord(begin, g->stream) != cudaSuccess;
        for (int i = 0; i < RUNS && !bad; i++) bad = am_plan_run(g, plan, a, b, out, work) != 0;
        if (!bad) bad = cudaEventRecord(end, g->stream) || cudaEventSynchronize(end) || cudaEventElapsedTime(&ms[taken], begin, end);
    }
    if (begin) cudaEventDestroy(begin);
    if (end) cudaEventDestroy(end);
    cudaGetLastError();
    if (bad) return -1;
    qsort(ms, ROUNDS, sizeof *ms, by_value);
    return 1e3 * (double)ms[ROUNDS / 2] / RUNS;
}
