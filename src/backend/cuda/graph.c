/* graph.c: see graph.h: plans found, run, opened and closed. */
#include "graph_inside.h"
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUOTED(x) #x
#define TEXT(x) QUOTED(x)

const am_graph *am_graph_find(am_graphs *g, am_graph_kind kind, const am_conv *c, int n)
{
    const am_choice_key k = am_choice_key_of(kind, g->precision, c, n);
    for (entry *x = g->entries; x; x = x->next)
        if (am_choice_same(&x->key, &k)) return x->usable ? &x->graph : NULL;
    entry *x = calloc(1, sizeof *x);
    if (!x) return NULL;
    x->key = k;
    x->usable = am_engine_choose(g, x);
    x->next = g->entries;
    g->entries = x;
    return x->usable ? &x->graph : NULL;
}

/* ---- running ---- */

static const char *told(am_graphs *g, cudnnStatus_t s)
{
    char detail[160] = "";
    cudnnGetLastErrorString(detail, sizeof detail);
    snprintf(g->text, sizeof g->text, "%s: %s", cudnnGetErrorString(s), detail);
    return g->text;
}

cudnnStatus_t am_plan_run(am_graphs *g, desc plan, const void *a, const void *b, void *out, void *workspace)
{
    const int64_t uid[3] = {UID_A, UID_B, UID_OUT};
    void *data[3];
    desc pack;
    memcpy(&data[0], &a, sizeof a);             /* cuDNN takes what it only reads as void * too */
    memcpy(&data[1], &b, sizeof b);
    data[2] = out;
    cudnnStatus_t s = cudnnBackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack);
    if (s) return s;
    const int ready = am_desc_set(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 3, uid) &&
                      am_desc_set(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 3, data) &&
                      am_desc_set(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace) && am_desc_done(pack);
    s = ready ? cudnnBackendExecute(g->handle, plan, pack) : CUDNN_STATUS_BAD_PARAM;
    cudnnBackendDestroyDescriptor(pack);
    return s;
}

const char *am_graph_run(am_graphs *g, const am_graph *graph, const void *a, const void *b, void *out, void *workspace)
{
    const entry *x = (const entry *)(const void *)((const char *)graph - offsetof(entry, graph));
    const cudnnStatus_t s = am_plan_run(g, x->plan, a, b, out, workspace);
    return s ? told(g, s) : NULL;
}

/* ---- opening ---- */

static am_graphs *fresh(am_precision precision)
{
    am_graphs *g = calloc(1, sizeof *g);
    if (g) g->precision = precision;
    return g;
}

am_status am_graphs_open(am_graphs **out, am_precision precision, void *stream, am_err *e)
{
    am_graphs *g = *out = fresh(precision);
    if (!g) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "no memory for cuDNN's plans");
    const long here = (long)cudnnGetVersion();
    if (here / 10000 != CUDNN_MAJOR) {
        am_fail(e, AM_EDEVICE, AM_NOPLACE,
                "the cuDNN found here is %ld.%ld and this automix was built with %s; put the folder "
                "of that one into LD_LIBRARY_PATH, or build anew",
                here / 10000, here / 100 % 100, am_graphs_about());
        am_graphs_close(g);
        *out = NULL;
        return AM_EDEVICE;
    }
    cudnnStatus_t s = cudnnCreate(&g->handle);
    if (s) g->handle = NULL;
    if (!s) s = cudnnSetStream(g->handle, stream);
    g->stream = stream;
    if (!s) return AM_OK;
    am_fail(e, AM_EDEVICE, AM_NOPLACE, "cuDNN %zu does not start on this device: %s", cudnnGetVersion(), told(g, s));
    am_graphs_close(g);
    *out = NULL;
    return AM_EDEVICE;
}

am_status am_graphs_open_for(am_graphs **out, am_precision precision, const char *json, am_err *e)
{
    am_graphs *g = *out = fresh(precision);
    if (!g) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "no memory for cuDNN's plans");
    cudnnStatus_t s = cudnnBackendCreateDescriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &g->device);
    if (s) g->device = NULL;
    if (!s) s = cudnnBackendSetAttribute(g->device, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, (int64_t)strlen(json), json);
    if (!s) s = cudnnBackendFinalize(g->device);
    if (!s) return AM_OK;
    am_fail(e, AM_EINPUT, AM_NOPLACE, "cuDNN does not understand this description of a device: %s", told(g, s));
    am_graphs_close(g);
    *out = NULL;
    return AM_EINPUT;
}

const char *am_graphs_about(void) { return "cuDNN " TEXT(CUDNN_MAJOR) "." TEXT(CUDNN_MINOR) "." TEXT(CUDNN_PATCHLEVEL); }

am_status am_graphs_remember(am_graphs *g, const char *path, const char *device, am_err *e)
{
    char place[sizeof ((am_choices *)0)->path];
    const long version = (long)cudnnGetVersion();
    if (!*path) {
        if (!am_choices_place(place, sizeof place, device, version)) return AM_OK;
        path = place;
    }
    am_choices *s = calloc(1, sizeof *s);
    if (!s) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "no memory for cuDNN's plans");
    am_status st = am_choices_open(s, path, device, version, e);
    if (st) free(s);
    else g->choices = s;
    return st;
}

am_status am_graphs_keep(am_graphs *g, am_err *e)
{
    if (g->room) am_tune_close(g);
    return g->choices ? am_choices_write(g->choices, e) : AM_OK;
}

void am_graphs_close(am_graphs *g)
{
    if (!g) return;
    for (entry *x = g->entries, *next; x; x = next) {
        next = x->next;
        am_graph_drop(x);
        free(x);
    }
    am_tune_close(g);
    if (g->choices) am_choices_close(g->choices);
    free(g->choices);
    if (g->device) cudnnBackendDestroyDescriptor(g->device);
    if (g->handle) cudnnDestroy(g->handle);
    free(g);
}
