/* graph.h: convolutions by cuDNN's graph interface: one plan for each geometry, batch and direction.
 *
 * A plan is chosen once: by rule, or, with a plan file, by a clock whose verdict the file keeps
 * (choices.h).  The rule is the first engine that cuDNN recommends which is deterministic, fits the
 * precision, is not compiled on the spot unless nothing else is, and wants a bounded workspace.
 * Either way the same cuDNN on the same device has the same engine in every run.
 *
 * Tensors are NHWC and packed, weights [filters][size][size][c/groups], all of one element type;
 * sums are fp32. */
#ifndef AM_CUDA_GRAPH_H
#define AM_CUDA_GRAPH_H
#include "../../backend.h"

typedef enum am_graph_kind {
    AM_GRAPH_Y,                 /* a = x, b = w: y */
    AM_GRAPH_DX,                /* a = dy, b = w: dx */
    AM_GRAPH_DW,                /* a = x, b = dy: dw */
    AM_GRAPH_DX_ADD,            /* a = dy, b = w: added to dx */
    AM_GRAPH_KINDS
} am_graph_kind;

typedef struct am_graphs am_graphs;
typedef struct am_graph {
    size_t workspace;           /* bytes */
    int engine;                 /* cuDNN's number for it */
    int compiled;               /* on the spot, as the plan was made */
} am_graph;

/* On the current device; what runs goes to `stream` (a cudaStream_t). */
am_status am_graphs_open(am_graphs **, am_precision, void *stream, am_err *);
/* Without a device: plans for the one that the JSON describes, which can be looked at but not run. */
am_status am_graphs_open_for(am_graphs **, am_precision, const char *device_json, am_err *);
/* Measure what the plan file at `path` does not know yet, and use what it does.  An empty path: the
 * place of choices.h, and where nothing can be written there, the rule. */
am_status am_graphs_remember(am_graphs *, const char *path, const char *device, am_err *);
am_status am_graphs_keep(am_graphs *, am_err *);    /* write down what was measured since */
void am_graphs_close(am_graphs *);
const char *am_graphs_about(void);             /* "cuDNN 9.19" */

/* The plan, made at the first question; NULL where cuDNN has no engine that obeys the rule. */
const am_graph *am_graph_find(am_graphs *, am_graph_kind, const am_conv *, int n);
/* NULL, or what cuDNN says went wrong */
const char *am_graph_run(am_graphs *, const am_graph *, const void *a, const void *b, void *out, void *workspace);
#endif
