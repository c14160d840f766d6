/* net.h: four nouns, kept apart.
 *
 * am_net      what the cfg says: layers, shapes, how they connect.  Never changes once open.
 * am_weights  the numbers that learn.  Student and teacher are two am_weights over one am_net.
 * am_plan     a trip through the net, from one layer to another: which layers run, and where in
 *             one block every activation and gradient lies.
 * am_pass     a plan at a place in the step's memory, with a set of weights: what runs. */
#ifndef AM_NET_H
#define AM_NET_H
#include "arena.h"
#include "backend.h"
#include "cfg.h"
#include "rng.h"
#include "space.h"

enum { AM_MAX_IN = AM_MAX_LIST, AM_MAX_PARAM = 12 };

typedef struct am_layer am_layer;
typedef struct am_net am_net;
typedef struct am_plan am_plan;
typedef struct am_pass am_pass;

/* ---- trips ---- */
enum {
    AM_TRAIN = 1,               /* batch statistics, dropout */
    AM_GRAD_WEIGHTS = 2,        /* backward adds to the weights' gradients */
    AM_GRAD_FROM = 4,           /* backward leaves the gradient at `from` */
    AM_STILL = 8                /* running statistics are left alone */
};
typedef struct am_trip {
    int from, to;               /* layers; the output of `from` is given, everything `to` needs after it runs */
    int also;                   /* a second destination, or 0 */
    int n, groups;              /* samples; batches of them with statistics of their own */
    int flags;
} am_trip;

/* ---- layers ---- */
enum { AM_READS_X = 1, AM_READS_Y = 2 };
typedef enum am_role { AM_LEARNED, AM_BUFFER } am_role; /* buffers: running statistics */
typedef enum am_init { AM_INIT_CONV, AM_INIT_DENSE, AM_INIT_SMALL, AM_INIT_ZERO, AM_INIT_ONE } am_init;
enum { AM_PARAM_BIAS = 1, AM_PARAM_NORM = 2 };          /* kinds that decay_exempt= knows */

typedef struct am_param {
    const char *name;           /* as in weight files: weights, biases, scales, query.weights ... */
    am_role role;
    am_init init;
    int kind, dims;
    size_t dim[4], count, offset;       /* offset in the block of its role */
} am_param;

typedef struct am_layer_type {                          /* one row of the registry */
    const char *name, *help;
    const char *example;        /* layers of a small net that shows it: for docs, gradient check, fuzz seeds */
    const am_key *keys;
    size_t options;             /* size of the struct that the keys fill */
    int reads;                  /* what backward looks at */
    int planes;                 /* what comes out is planes, floats in every backend, and no activation */
    am_status (*setup)(am_net *, am_layer *, am_err *);         /* out, params, macs */
    void (*needs)(const am_net *, const am_layer *, const am_trip *, size_t *save, size_t *scratch);  /* floats; may be NULL */
    void (*forward)(const am_pass *, const am_layer *);
    void (*backward)(const am_pass *, const am_layer *);
    void (*prepare)(const am_net *, const am_layer *, am_dev value, am_dev prepared);   /* after the weights changed; may be NULL */
    void (*close)(am_net *, am_layer *);                        /* may be NULL */
} am_layer_type;

typedef struct am_layer_common {
    const char *name;
    int input, fresh;
    double learning_rate;
} am_layer_common;
extern const am_key am_layer_common_keys[];

struct am_layer {
    const am_layer_type *type;
    const char *name;           /* or NULL */
    am_loc loc;
    int index;                  /* 0 is the image; Darknet's number is index - 1 */
    int in[AM_MAX_IN], ins, readers;    /* readers: how many layers read it */
    am_shape out;               /* of one sample */
    void *options, *handle;
    am_param param[AM_MAX_PARAM];
    int params;
    double learning_rate;       /* times the net's */
    int fresh;                  /* takes nothing of the weights that a training starts from */
    double macs;                /* multiply-adds for one sample, forward */
    am_act act;                 /* shortcut, activation: for the layer above, where that computes it too */
    int fusable;                /* convolution: linear; shortcut: a plain sum of equals (plan.c) */
    int zero_init;              /* the last normalisation of a residual branch: init=fan_out starts its scale at 0 */
    size_t prepared, prepared_at;       /* floats of weights in the backend's own form, and where */
};

typedef struct am_net_options {
    /* the input */
    int batch, subdivisions, width, height, channels;
    /* learning */
    double learning_rate, min_learning_rate, momentum, decay;
    int nesterov, epochs, max_batches, policy, step, burn_in, warmup_epochs;
    double scale, gamma, power, label_smooth_eps;
    am_reals steps, scales;
    const char *decay_exempt;
    int init, precision, log_every, valid_every, seed;
    /* augmentation */
    int flip, pad_crop, pad_mode, resized_crop, filter, resize, min_crop, max_crop;
    am_reals mean, std, crop_scale, crop_ratio;
    double angle, aspect, hue, saturation, exposure;
} am_net_options;
extern const am_key am_net_keys[];
enum { AM_INITS_FAN_OUT, AM_INITS_PYTORCH, AM_INITS_DARKNET };

struct am_net {
    am_arena mem;
    am_backend *be;
    am_net_options options;
    am_shape input;             /* of one sample */
    am_layer *layer;
    int layers;
    size_t learned, buffers, prepared;  /* floats of each */
    const char *file;
};

/* Build the layers of a cfg.  Sections that are no layers ([mix], [momentum_teacher]) are left to
 * their readers. */
am_status am_net_open(am_net *, am_backend *, const am_cfg *, am_err *);
void      am_net_close(am_net *);
int       am_net_find(const am_net *, const char *name);        /* index, or -1 */
int       am_net_first(const am_net *, const char *type, int nth);      /* the nth layer of a type, or -1 */
int       am_net_last_map(const am_net *);                      /* what the first [avgpool] over a whole map reads, or -1 */
am_names  am_net_names(const am_net *);                         /* for sections that name layers of a finished net */
size_t    am_net_parameters(const am_net *, int with_mixblock);
const am_layer_type *am_layer_find(const char *name);           /* registry.c */
const am_layer_type *const *am_layer_types(void);               /* registry.c; ends with NULL */

/* for setup() */
am_status am_want(am_layer *, const char *name, am_role, am_init, int kind, int dims, const size_t *dim, am_err *);
static inline am_shape am_in_shape(const am_net *n, const am_layer *l, int i) { return n->layer[l->in[i]].out; }

/* ---- weights ---- */
typedef struct am_weights {
    am_dev value, buffer, prepared;     /* one block each */
    am_dev grad, velocity;              /* nowhere: these weights do not learn */
} am_weights;

am_status am_weights_open(am_weights *, const am_net *, int learns, am_err *);
void      am_weights_close(am_weights *, const am_net *);
am_status am_weights_init(am_weights *, const am_net *, uint64_t seed, am_err *);
void      am_weights_copy(const am_net *, const am_weights *from, am_weights *to);     /* values and statistics */
void      am_weights_prepare(const am_net *, const am_weights *);       /* after each change of value */
size_t    am_weights_bytes(const am_net *, int learns);

/* ---- plans ---- */
#define AM_NONE ((size_t)-1)
struct am_plan {
    const am_net *net;
    am_trip trip;
    size_t floats;                      /* the whole block */
    unsigned char *run;                 /* per layer: does it run? */
    int *fused;                         /* per layer: the one below that it computes too, or 0; per such layer: -1 */
    size_t *y, *save, *dy, scratch;             /* offsets in the block; AM_NONE: absent */
    float (*beta)[AM_MAX_IN];           /* per layer and input: 0 writes the gradient, 1 adds */
};
am_status am_plan_make(am_plan *, am_net *, am_trip, am_err *);

/* ---- passes ---- */
/* A method's hand inside the net: called after a layer has written its output and, on the way back,
 * once the output's gradient is whole.  layer 0: nothing is tapped. */
typedef void am_tap_at(const am_pass *, const am_layer *, void *user);
typedef struct am_tap {
    int layer;
    am_tap_at *forward, *backward;
    void *user;
} am_tap;

struct am_pass {
    const am_plan *plan;
    const am_weights *w;
    const am_space *space;
    am_place place;
    am_dev given;                       /* the output of layer `from` */
    am_dev q;                           /* [softmax]: soft labels; nowhere: no loss */
    float scale;                        /* [softmax]: of the loss's gradient, 1 / batch */
    am_dev perm, lam, health;           /* [mixblock] */
    am_dev seed;                        /* [dropout] */
    am_tap tap;
};

/* Lay the plan's block out in the space.  Fields from `given` on are set by whoever runs the pass. */
am_status am_pass_make(am_pass *, am_plan *, am_net *, am_trip, const am_weights *, am_space *, am_err *);
void am_forward(const am_pass *);
void am_backward(const am_pass *);

/* what a layer may touch */
static inline am_backend *am_be(const am_pass *p) { return p->plan->net->be; }
static inline const am_ops *am_o(const am_pass *p) { return p->plan->net->be->ops; }
static inline int am_training(const am_pass *p) { return p->plan->trip.flags & AM_TRAIN; }
am_dev   am_x(const am_pass *, const am_layer *, int i);        /* input i */
am_dev   am_y(const am_pass *, const am_layer *);               /* output; of the layer below, where this one computes it too */
am_dev   am_w(const am_pass *, const am_layer *, int i);        /* parameter i */
am_dev   am_running(const am_pass *, const am_layer *, int i);  /* a buffer, or nowhere where it must be left alone */
am_dev   am_prepared(const am_pass *, const am_layer *);
am_dev   am_saved(const am_pass *, const am_layer *);           /* lives from forward to backward */
am_dev   am_scratch(const am_pass *);                           /* lives for one call */
am_dev   am_loss(const am_pass *);                              /* rows [n]: of the head that the trip goes to */
am_dev   am_dy(const am_pass *, const am_layer *);
am_grad  am_dx(const am_pass *, const am_layer *, int i);
am_grad  am_dw(const am_pass *, const am_layer *, int i);
am_shape am_x_shape(const am_pass *, const am_layer *, int i);  /* with the trip's n */
am_shape am_y_shape(const am_pass *, const am_layer *);
const am_layer *am_taken_along(const am_pass *, const am_layer *);      /* the layer below that this one computes too, or NULL */

#endif
