/* graph.c: see graph.h.  cuDNN's descriptors are made, given attributes, and finalized; a plan keeps
 * those it was made of, since cuDNN does not say which of them it still looks at. */
#include "graph.h"
#include <cudnn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUOTED(x) #x
#define TEXT(x) QUOTED(x)

typedef cudnnBackendDescriptor_t desc;

enum { MOST_PARTS = 8, MOST_CONFIGS = 64, UID_A = 1, UID_B, UID_OUT };
static const int64_t most_workspace = 256 << 20;

typedef struct key { am_graph_kind kind; int n; am_conv conv; } key;

typedef struct entry {
    struct entry *next;
    key key;
    am_graph graph;             /* what callers hold */
    int usable;
    desc plan, part[MOST_PARTS];
    int parts;
} entry;

struct am_graphs {
    cudnnHandle_t handle;       /* NULL: without a device */
    desc device;                /* NULL: with one */
    am_precision precision;
    entry *entries;
    char text[256];
};

/* ---- one descriptor ---- */

static int make(entry *x, cudnnBackendDescriptorType_t type, desc *d)
{
    if (x->parts == MOST_PARTS || cudnnBackendCreateDescriptor(type, d)) return 0;
    x->part[x->parts++] = *d;
    return 1;
}
static int set(desc d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count, const void *value)
{
    return cudnnBackendSetAttribute(d, name, type, count, value) == CUDNN_STATUS_SUCCESS;
}
static int set_longs(desc d, cudnnBackendAttributeName_t name, int64_t count, const int64_t *v)
{
    return set(d, name, CUDNN_TYPE_INT64, count, v);
}
static int set_desc(desc d, cudnnBackendAttributeName_t name, desc v) { return set(d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &v); }
static int done(desc d) { return cudnnBackendFinalize(d) == CUDNN_STATUS_SUCCESS; }

static int tensor(entry *x, int64_t uid, int half, const int64_t dim[4], desc *d)
{
    const int64_t stride[4] = {dim[1] * dim[2] * dim[3], 1, dim[3] * dim[1], dim[1]}, alignment = 16;
    const cudnnDataType_t type = half ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
    return make(x, CUDNN_BACKEND_TENSOR_DESCRIPTOR, d) && set(*d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type) &&
           set_longs(*d, CUDNN_ATTR_TENSOR_DIMENSIONS, 4, dim) && set_longs(*d, CUDNN_ATTR_TENSOR_STRIDES, 4, stride) &&
           set_longs(*d, CUDNN_ATTR_TENSOR_UNIQUE_ID, 1, &uid) &&
           set_longs(*d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 1, &alignment) && done(*d);
}

static int window(entry *x, const am_conv *c, desc *d)
{
    const int64_t two = 2, pad[2] = {c->pad, c->pad}, stride[2] = {c->stride, c->stride}, dilation[2] = {1, 1};
    const cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    return make(x, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, d) &&
           set(*d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums) &&
           set(*d, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode) &&
           set_longs(*d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 1, &two) &&
           set_longs(*d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, 2, pad) &&
           set_longs(*d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, 2, pad) &&
           set_longs(*d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, 2, stride) &&
           set_longs(*d, CUDNN_ATTR_CONVOLUTION_DILATIONS, 2, dilation) && done(*d);
}

/* ---- the operation: attributes of its three kinds ---- */

typedef struct names {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t window, a, b, out, alpha, beta;
} names;

static const names of_kind[] = {
    [AM_GRAPH_Y] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    [AM_GRAPH_DX] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    [AM_GRAPH_DW] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
};

static int operation(am_graphs *g, entry *x, desc *d)
{
    const am_conv *c = &x->key.conv;
    const int half = g->precision == AM_BF16, n = x->key.n;
    const int64_t in[4] = {n, c->c, c->h, c->w}, out[4] = {n, c->filters, c->oh, c->ow};
    const int64_t weights[4] = {c->filters, c->c / c->groups, c->size, c->size};
    const int64_t *dim[3][3] = {{in, weights, out}, {out, weights, in}, {in, out, weights}};
    const names *k = &of_kind[x->key.kind];
    const float one = 1, zero = 0;
    desc w, a, b, o;
    return window(x, c, &w) && tensor(x, UID_A, half, dim[x->key.kind][0], &a) &&
           tensor(x, UID_B, half, dim[x->key.kind][1], &b) && tensor(x, UID_OUT, half, dim[x->key.kind][2], &o) &&
           make(x, k->type, d) && set_desc(*d, k->window, w) && set_desc(*d, k->a, a) && set_desc(*d, k->b, b) &&
           set_desc(*d, k->out, o) && set(*d, k->alpha, CUDNN_TYPE_FLOAT, 1, &one) &&
           set(*d, k->beta, CUDNN_TYPE_FLOAT, 1, &zero) && done(*d);
}

static int graph_of(am_graphs *g, entry *x, desc *d)
{
    desc op;
    return operation(g, x, &op) && make(x, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, d) &&
           set_desc(*d, CUDNN_ATTR_OPERATIONGRAPH_OPS, op) &&
           (!g->handle || set(*d, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &g->handle)) && done(*d);
}

/* ---- engines ---- */

/* The rule: deterministic; in fp32, no tensor cores (they round inputs to tf32) and no transform that
 * loses digits. */
static int allowed(const am_graphs *g, desc config, int *engine, int *compiled)
{
    desc e;
    int64_t got = 0, index = 0, notes = 0;
    cudnnBackendNumericalNote_t note[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    cudnnBackendBehaviorNote_t behaviour[CUDNN_BEHAVIOR_NOTE_TYPE_COUNT];
    if (cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &e)) return 0;
    int ok = !cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &got, &e) &&
             !cudnnBackendGetAttribute(e, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &got, &index) &&
             !cudnnBackendGetAttribute(e, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                       CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &notes, note);
    for (int64_t i = 0; ok && i < notes; i++) {
        if (note[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC || note[i] == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION) ok = 0;
        if (g->precision == AM_FP32 &&
            (note[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE || note[i] == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS ||
             note[i] == CUDNN_NUMERICAL_NOTE_FFT || note[i] == CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6 ||
             note[i] == CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13))
            ok = 0;
    }
    notes = 0;
    *compiled = 0;
    if (ok && !cudnnBackendGetAttribute(e, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE,
                                        CUDNN_BEHAVIOR_NOTE_TYPE_COUNT, &notes, behaviour))
        for (int64_t i = 0; i < notes; i++) *compiled |= behaviour[i] == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION;
    *engine = (int)index;
    cudnnBackendDestroyDescriptor(e);
    return ok;
}

static int plan(am_graphs *g, desc config, desc *out, size_t *workspace)
{
    int64_t got = 0, bytes = 0;
    if (cudnnBackendCreateDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, out)) return 0;
    if (set_desc(*out, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config) &&
        (g->handle ? set(*out, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &g->handle)
                   : set_desc(*out, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, g->device)) &&
        done(*out) &&
        !cudnnBackendGetAttribute(*out, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &got, &bytes) &&
        bytes <= most_workspace) {
        *workspace = (size_t)bytes;
        return 1;
    }
    cudnnBackendDestroyDescriptor(*out);
    return 0;
}

/* What one heuristic recommends, best first; the count. */
static int recommended(am_graphs *g, entry *x, desc graph, cudnnBackendHeurMode_t mode, desc config[MOST_CONFIGS])
{
    desc h;
    int64_t count = 0, got = 0;
    int made = 0;
    (void)x;
    if (cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &h)) return 0;
    if (set_desc(h, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph) &&
        set(h, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode) &&
        (!g->device || set_desc(h, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, g->device)) && done(h) &&
        !cudnnBackendGetAttribute(h, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, NULL)) {
        if (count > MOST_CONFIGS) count = MOST_CONFIGS;
        while (made < count && !cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &config[made])) made++;
        if (cudnnBackendGetAttribute(h, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, made, &got, config)) got = 0;
        while (made > got) cudnnBackendDestroyDescriptor(config[--made]);
    }
    cudnnBackendDestroyDescriptor(h);
    return made;
}

/* Look at the recommendations twice: those that are ready, then those that must be compiled. */
static int choose(am_graphs *g, entry *x)
{
    static const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK};
    desc graph, config[MOST_CONFIGS];
    if (!graph_of(g, x, &graph)) return 0;
    int chosen = 0;
    for (int late = 0; late < 2 && !chosen; late++)
        for (size_t m = 0; m < sizeof modes / sizeof *modes && !chosen; m++) {
            const int count = recommended(g, x, graph, modes[m], config);
            int kept = -1;
            for (int i = 0; i < count && !chosen; i++)
                if (allowed(g, config[i], &x->graph.engine, &x->graph.compiled) && x->graph.compiled == late &&
                    x->parts < MOST_PARTS && plan(g, config[i], &x->plan, &x->graph.workspace)) {
                    chosen = 1;
                    kept = i;
                    x->part[x->parts++] = config[i];
                }
            for (int i = 0; i < count; i++)
                if (i != kept) cudnnBackendDestroyDescriptor(config[i]);
        }
    return chosen;
}

const am_graph *am_graph_find(am_graphs *g, am_graph_kind kind, const am_conv *c, int n)
{
    key k;
    memset(&k, 0, sizeof k);                    /* keys are compared as bytes */
    k.kind = kind;
    k.n = n;
    k.conv = *c;
    k.conv.plan = NULL;
    for (entry *x = g->entries; x; x = x->next)
        if (!memcmp(&x->key, &k, sizeof k)) return x->usable ? &x->graph : NULL;
    entry *x = calloc(1, sizeof *x);
    if (!x) return NULL;
    memcpy(&x->key, &k, sizeof k);
    x->usable = choose(g, x);
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

const char *am_graph_run(am_graphs *g, const am_graph *graph, const void *a, const void *b, void *out, void *workspace)
{
    const entry *x = (const entry *)(const void *)((const char *)graph - offsetof(entry, graph));
    const int64_t uid[3] = {UID_A, UID_B, UID_OUT};
    void *data[3];
    desc pack;
    memcpy(&data[0], &a, sizeof a);             /* cuDNN takes what it only reads as void * too */
    memcpy(&data[1], &b, sizeof b);
    data[2] = out;
    cudnnStatus_t s = cudnnBackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack);
    if (s) return told(g, s);
    const int ready = set(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 3, uid) &&
                      set(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 3, data) &&
                      set(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace) && done(pack);
    s = ready ? cudnnBackendExecute(g->handle, x->plan, pack) : CUDNN_STATUS_BAD_PARAM;
    const char *why = s ? told(g, s) : NULL;
    cudnnBackendDestroyDescriptor(pack);
    return why;
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
    cudnnStatus_t s = cudnnCreate(&g->handle);
    if (s) g->handle = NULL;
    if (!s) s = cudnnSetStream(g->handle, stream);
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

void am_graphs_close(am_graphs *g)
{
    if (!g) return;
    for (entry *x = g->entries, *next; x; x = next) {
        next = x->next;
        if (x->usable) cudnnBackendDestroyDescriptor(x->plan);
        while (x->parts) cudnnBackendDestroyDescriptor(x->part[--x->parts]);
        free(x);
    }
    if (g->device) cudnnBackendDestroyDescriptor(g->device);
    if (g->handle) cudnnDestroy(g->handle);
    free(g);
}
