/* graph_engine.c: which of cuDNN's engines, with which knobs, serves a convolution.
 *
 * By the plan file where it knows the convolution; by measuring where there is a plan file and a
 * device; else by rule: the first recommendation that is allowed and ready, then one that must be
 * compiled.  On a device each is run once before it is taken. */
#include "graph_inside.h"
#include <stddef.h>

enum { MOST_TIMED = 8, MOST_COMPILED = 2 };

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

static int make_plan(am_graphs *g, desc config, desc *out, size_t *workspace)
{
    int64_t got = 0, bytes = 0;
    if (cudnnBackendCreateDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, out)) return 0;
    if (am_desc_set_desc(*out, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config) &&
        (g->handle ? am_desc_set(*out, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &g->handle)
                   : am_desc_set_desc(*out, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, g->device)) &&
        am_desc_done(*out) &&
        !cudnnBackendGetAttribute(*out, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &got, &bytes) &&
        bytes <= MOST_WORKSPACE) {
        *workspace = (size_t)bytes;
        return 1;
    }
    cudnnBackendDestroyDescriptor(*out);
    *out = NULL;
    return 0;
}

/* What one heuristic recommends, best first; the count. */
static int recommended(am_graphs *g, desc graph, cudnnBackendHeurMode_t mode, desc config[MOST_CONFIGS])
{
    desc h;
    int64_t count = 0, got = 0;
    int made = 0;
    if (cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &h)) return 0;
    if (am_desc_set_desc(h, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph) &&
        am_desc_set(h, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode) &&
        (!g->device || am_desc_set_desc(h, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, g->device)) && am_desc_done(h) &&
        !cudnnBackendGetAttribute(h, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, NULL)) {
        if (count > MOST_CONFIGS) count = MOST_CONFIGS;
        while (made < count && !cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &config[made])) made++;
        if (cudnnBackendGetAttribute(h, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, made, &got, config)) got = 0;
        while (made > got) cudnnBackendDestroyDescriptor(config[--made]);
    }
    cudnnBackendDestroyDescriptor(h);
    return made;
}

/* ---- knobs: an engine's configuration as numbers, and back ---- */

static void read_knobs(desc config, am_choice *c)
{
    desc knob[CHOICE_KNOBS];
    int64_t got = 0, one;
    int made = 0;
    while (made < CHOICE_KNOBS && !cudnnBackendCreateDescriptor(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, &knob[made])) made++;
    if (cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR, made, &got, knob)) got = 0;
    for (int i = 0; i < got && i < made; i++) {
        cudnnBackendKnobType_t type;
        if (!cudnnBackendGetAttribute(knob[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &one, &type) &&
            !cudnnBackendGetAttribute(knob[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &one, &c->value[c->knobs]))
            c->knob[c->knobs++] = (int64_t)type;
    }
    while (made) cudnnBackendDestroyDescriptor(knob[--made]);
}

static int set_knobs(entry *x, const am_choice *c, desc knob[CHOICE_KNOBS])
{
    for (int i = 0; i < c->knobs; i++) {
        const cudnnBackendKnobType_t type = (cudnnBackendKnobType_t)c->knob[i];
        if (!am_desc_make(x, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, &knob[i]) ||
            !am_desc_set(knob[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &type) ||
            !am_desc_set(knob[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &c->value[i]) || !am_desc_done(knob[i]))
            return 0;
    }
    return 1;
}

/* The plan that a line of the file describes; what is not allowed is not taken from there either. */
static int remembered(am_graphs *g, entry *x, const am_choice *c)
{
    desc engine, config, knob[CHOICE_KNOBS];
    const int parts = x->parts;
    if (am_desc_make(x, CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine) &&
        am_desc_set_desc(engine, CUDNN_ATTR_ENGINE_OPERATION_GRAPH, x->operations) &&
        am_desc_set(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &c->engine) &&
        (!g->device || am_desc_set_desc(engine, CUDNN_ATTR_ENGINE_DEVICEPROP, g->device)) && am_desc_done(engine) &&
        am_desc_make(x, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &config) &&
        am_desc_set_desc(config, CUDNN_ATTR_ENGINECFG_ENGINE, engine) && set_knobs(x, c, knob) &&
        (!c->knobs || am_desc_set(config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR, c->knobs, knob)) &&
        am_desc_done(config) && allowed(g, config, &x->graph.engine, &x->graph.compiled) &&
        make_plan(g, config, &x->plan, &x->graph.workspace))
        return 1;
    while (x->parts > parts) cudnnBackendDestroyDescriptor(x->part[--x->parts]);
    return 0;
}

/* ---- choosing ---- */

typedef struct candidate { desc config, plan; am_graph graph; double us; } candidate;

static void let_go(candidate *c)
{
    cudnnBackendDestroyDescriptor(c->plan);
    cudnnBackendDestroyDescriptor(c->config);
}

static int usable(am_graphs *g, entry *x, int late, candidate *c)
{
    if (!allowed(g, c->config, &c->graph.engine, &c->graph.compiled) || c->graph.compiled != late ||
        !make_plan(g, c->config, &c->plan, &c->graph.workspace))
        return 0;
    if (!g->handle || am_plan_works(g, &x->key, c->plan, c->graph.workspace)) return 1;
    cudnnBackendDestroyDescriptor(c->plan);
    return 0;
}

/* Up to `most` candidates that may be used, best recommendation first; late: those that must be compiled. */
static int gather(am_graphs *g, entry *x, int late, int most, candidate *out)
{
    static const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK};
    desc config[MOST_CONFIGS];
    int made = 0;
    for (size_t m = 0; m < sizeof modes / sizeof *modes && made < most; m++) {
        const int count = recommended(g, x->operations, modes[m], config);
        for (int i = 0; i < count; i++) {
            candidate c = {.config = config[i]};
            if (made < most && usable(g, x, late, &c)) out[made++] = c;
            else cudnnBackendDestroyDescriptor(config[i]);
        }
        if (made) break;                        /* a fallback is for where nothing else is */
    }
    return made;
}

static void measure(am_graphs *g, entry *x, candidate *c, int count, int *best)
{
    am_choice kept = {.key = x->key};
    for (int i = 0; i < count; i++) c[i].us = am_plan_time(g, &x->key, c[i].plan, c[i].graph.workspace);
    *best = -1;
    for (int i = 0; i < count; i++)
        if (c[i].us > 0 && (*best < 0 || c[i].us < c[*best].us)) *best = i;
    if (*best < 0) return;
    kept.engine = c[*best].graph.engine;
    kept.us = c[*best].us;
    read_knobs(c[*best].config, &kept);
    am_choices_add(g->choices, &kept, NULL);
}

int am_engine_choose(am_graphs *g, entry *x)
{
    candidate c[MOST_TIMED];
    if (!am_graph_describe(g, x)) return 0;
    const am_choice *known = g->choices ? am_choices_find(g->choices, &x->key) : NULL;
    if (known && remembered(g, x, known)) return 1;
    const int timed = g->choices && g->handle;
    int best = 0, count = gather(g, x, 0, timed ? MOST_TIMED : 1, c);
    if (!count) count = gather(g, x, 1, timed ? MOST_COMPILED : 1, c);
    if (count && timed && !known) measure(g, x, c, count, &best);
    for (int i = 0; i < count; i++)
        if (i != best) let_go(&c[i]);
    if (!count || best < 0) return 0;
    x->part[x->parts++] = c[best].config;
    x->plan = c[best].plan;
    x->graph = c[best].graph;
    return 1;
}

int am_engine_knobs(const am_graph *graph, am_choice *out)
{
    const entry *x = (const entry *)(const void *)((const char *)graph - offsetof(entry, graph));
    desc config;
    int64_t got = 0;
    *out = (am_choice){.key = x->key, .engine = graph->engine};
    if (cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &config)) return 0;
    const int ok = !cudnnBackendGetAttribute(x->plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &got, &config);
    if (ok) read_knobs(config, out);
    cudnnBackendDestroyDescriptor(config);
    return ok;
}
