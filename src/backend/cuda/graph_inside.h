/* graph_inside.h: what the files behind graph.h share. */
#ifndef AM_CUDA_GRAPH_INSIDE_H
#define AM_CUDA_GRAPH_INSIDE_H
#include "choices.h"
#include "graph.h"
#include <cudnn.h>

#if CUDNN_VERSION < 90800
#error "cuDNN 9.8 or later is needed, and this cudnn.h is older: CUDNN_HOME=FOLDER names another"
#endif

typedef cudnnBackendDescriptor_t desc;

enum { MOST_PARTS = 8 + CHOICE_KNOBS, MOST_CONFIGS = 64, UID_A = 1, UID_B, UID_OUT };
enum { MOST_WORKSPACE = 256 << 20 };

/* A plan keeps the descriptors that it was made of, since cuDNN does not say which it still looks at. */
typedef struct entry {
    struct entry *next;
    am_choice_key key;
    am_graph graph;             /* what callers hold */
    int usable;
    desc operations, plan, part[MOST_PARTS];
    int parts;
} entry;

struct am_graphs {
    cudnnHandle_t handle;       /* NULL: without a device */
    desc device;                /* NULL: with one */
    void *stream;
    am_precision precision;
    entry *entries;
    am_choices *choices;        /* NULL: engines are chosen by rule alone */
    void *room;                 /* on the device, for trials */
    size_t room_bytes;
    int awake;                  /* the device has worked, and its clocks are up */
    char text[256];
};

/* graph_describe.c */
int am_desc_make(entry *, cudnnBackendDescriptorType_t, desc *);
int am_desc_set(desc, cudnnBackendAttributeName_t, cudnnBackendAttributeType_t, int64_t count, const void *);
int am_desc_set_desc(desc, cudnnBackendAttributeName_t, desc);
int am_desc_done(desc);
int am_graph_describe(am_graphs *, entry *);            /* the entry's operation as a graph */
void am_graph_drop(entry *);                            /* all that the entry holds */

/* graph_engine.c */
int am_engine_choose(am_graphs *, entry *);
/* The configuration of a plan, as a line of the plan file says it. */
int am_engine_knobs(const am_graph *, am_choice *);

/* graph.c: run what a plan says; a status */
cudnnStatus_t am_plan_run(am_graphs *, desc plan, const void *a, const void *b, void *out, void *workspace);

/* graph_tune.c.  0: it does not run here, whatever cuDNN's heuristics say, or does not add where it should */
int am_plan_works(am_graphs *, const am_choice_key *, desc plan, size_t workspace);
/* microseconds of one run, the median of a few; below 0: it did not run */
double am_plan_time(am_graphs *, const am_choice_key *, desc plan, size_t workspace);
void   am_tune_close(am_graphs *);
#endif
