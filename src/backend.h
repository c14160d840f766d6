/* backend.h: the only door to arithmetic.
 *
 * A backend is a table of operations over memory that it alone understands.  Layers and methods
 * hold am_dev values and hand them to operations; they cannot look inside, because an am_dev
 * cannot be indexed.  Reading GPU memory on the host is a compile error, and the order and type
 * of elements in an activation (NCHW, NHWC, padded, bf16) is the backend's private business.
 *
 * Three kinds of memory:
 *   activation   the value of a layer, its gradient, a batch of images.  Opaque; `room` floats
 *                long; samples outermost, so room(n samples) = n * room(1 sample) and a slice of
 *                samples is am_at(d, i * room of one).  put and get speak NCHW.
 *   rows         plain float32 [n][k], or planes [n][h][w]: logits, probabilities, soft labels,
 *                masks.  AN ACTIVATION OF ONE PIXEL (h = w = 1) IS ROWS [n][c] in every backend, and
 *                so is the output of `dense`.
 *   plain        float32 in C order: parameters in Darknet's order, their gradients, statistics,
 *                and the step-state.
 * All sizes are counted in floats, whatever is stored.
 *
 * What changes from step to step (lambda, permutations, learning rate, ...) lies in the
 * step-state, a plain block that the trainer fills and uploads before the step.  Operations get
 * places in it, never values, so that a step can be recorded once and replayed.  A place that
 * holds integers (permutations, labels, boxes) holds int32, one in the room of each float.
 *
 * Operations return nothing.  A backend is sticky like a FILE: it keeps the first fault with the
 * operation's name, does nothing further, and sync reports it.  No operation allocates.
 *
 * Determinism: the same inputs give the same bytes with any number of threads; kernels share out
 * outputs, never a sum, or sum in an order that does not depend on the threads. */
#ifndef AM_BACKEND_H
#define AM_BACKEND_H
#include <stddef.h>
#include "err.h"

typedef struct am_dev { float *p; } am_dev;             /* opaque above this floor */
#define AM_NOWHERE ((am_dev){0})
static inline int    am_is(am_dev d) { return d.p != NULL; }
static inline am_dev am_at(am_dev d, size_t floats) { return (am_dev){d.p ? d.p + floats : NULL}; }

typedef struct am_shape { int n, c, h, w; } am_shape;   /* always logical */
static inline size_t am_count(am_shape s) { return (size_t)s.n * (size_t)s.c * (size_t)s.h * (size_t)s.w; }
static inline am_shape am_batch_of(am_shape s, int n) { s.n = n; return s; }

/* Where a gradient goes: d = beta * d + new.  d is AM_NOWHERE where nobody wants it.  For an
 * activation the plan knows who writes first (beta 0) and who adds (beta 1).  For a parameter
 * beta is always 1: passes add, the optimiser uses the sum and leaves zero. */
typedef struct am_grad { am_dev d; float beta; } am_grad;

/* Darknet's activations; every one has a gradient that can be computed from its output. */
#define AM_ACTS "linear|logistic|loggy|relu|elu|selu|relie|ramp|tanh|plse|leaky|stair|hardtan|lhtan"
typedef enum am_act {
    AM_LINEAR, AM_LOGISTIC, AM_LOGGY, AM_RELU, AM_ELU, AM_SELU, AM_RELIE, AM_RAMP, AM_TANH, AM_PLSE,
    AM_LEAKY, AM_STAIR, AM_HARDTAN, AM_LHTAN
} am_act;

/* A convolution's geometry; weights are [filters][c/groups][size][size], cross-correlation.
 * oh = (h + 2 pad - size) / stride + 1. */
typedef struct am_conv {
    int c, h, w, filters, oh, ow, size, stride, pad, groups;
    void *plan;                 /* what the backend made of it in conv_plan */
} am_conv;

/* What follows a convolution at once:  y = act(scale * conv + shift + residual).
 * Each of scale, shift (plain [filters]) and residual (activation like y) may be AM_NOWHERE.
 * stats: AM_NOWHERE, or norm_saved(y, groups) floats where the backend may leave partial sums of y
 * for the norm that follows; `groups` as in norm. */
typedef struct am_post { am_dev scale, shift, residual; am_act act; am_dev stats; int groups; } am_post;

/* Batch normalisation over samples and pixels of each channel, eps inside the square root (1e-5),
 * biased variance to normalise, unbiased variance into the running one:
 * running = (1 - momentum) * running + momentum * batch, momentum 0.1.
 * groups: the batch holds that many equal batches one after the other, each with its own
 * statistics; the running ones take them in that order. */
#define AM_NORM_EPS 1e-5f
#define AM_NORM_MOMENTUM 0.1f

typedef struct am_pool { int size, stride, pad; } am_pool;  /* pad: total padding; windows start at -(pad/2) */

/* The MixBlock's geometry, methods.md 1.3: features [n][c][h][w] in, mask planes [n][sh][sw] out. */
typedef struct am_pairing {
    int c, h, w;                /* features */
    int depth;                  /* d = max(c / reduction, 1) */
    int lambda_concat;          /* a constant channel: lambda on the sample's side, 1 - lambda on its partner's */
    int bilinear;               /* upsampling; otherwise nearest */
    int scale;                  /* mask height = scale * h */
    int normalise;              /* each number of queries and of keys gets mean 0 and variance 1 over the sample's pixels */
    float bound;                /* > 0: logit = bound * tanh(logit / bound) */
} am_pairing;

/* The places of the MixBlock's weights: query [depth][c + lambda_concat], query bias [depth],
 * value [c + lambda_concat], value bias [1]. */
typedef struct am_pairing_weights { am_dev query, query_bias, value, value_bias; } am_pairing_weights;
typedef struct am_pairing_grads { am_grad query, query_bias, value, value_bias; } am_pairing_grads;

/* How lambda is told to the features of a pair, SAMix's way: each side is multiplied by its share t, the
 * sample's by t(lambda), its partner's by 1 - t(lambda), or by 1 + multiply * that.  bend < 0: t = lambda. */
typedef struct am_encoding {
    int concat;                 /* and a constant channel, as am_pairing.lambda_concat */
    int residual;
    float multiply;             /* 0: by 1 */
    float bend;                 /* t = (4/3 l^3 - 2 l^2 + (bend + 1) l) / (bend + 1/3), flattest at 1/2 */
} am_encoding;

/* What each cell of a map is asked for: the label of its sample i, or of perm[i] where partner is not 0; below 0, nothing.
 * grid divides the map; partner: float [grid * grid]; labels, perm: int32 [n]. */
typedef struct am_cells { int grid; am_dev partner, labels, perm; } am_cells;

/* Health of a MixBlock's masks (short_runs.md), AM_HEALTH running sums added up by pairing and mask_health. */
enum { AM_HEALTH_SHARE,         /* sum over samples of |mean(1 - m) - lambda| */
       AM_HEALTH_DRIFT,         /* sum over samples of mean(1 - m) - lambda */
       AM_HEALTH_STRUCTURE,     /* sum over samples of the standard deviation of m over the sample's pixels */
       AM_HEALTH_SATURATED,     /* sum over samples of the fraction of pixels outside 0.01 .. 0.99 */
       AM_HEALTH_ENTROPY,       /* sum over samples of the mean entropy of attention rows / log(h * w) */
       AM_HEALTH_SAMPLES, AM_HEALTH };

/* A window of an image in the backend's memory, for gather. */
enum { AM_WINDOW_IMAGE, AM_WINDOW_X, AM_WINDOW_Y, AM_WINDOW_FLIP, AM_WINDOW };

/* Running sums of a head's performance, added up by `score`. */
enum { AM_SCORE_LOSS, AM_SCORE_TOP1, AM_SCORE_TOPK, AM_SCORE_SAMPLES, AM_SCORES };

/* What is put aside for the host to read later: floats, and slots. */
enum { AM_ASIDE = 64, AM_ASIDES = 2 };

typedef enum am_precision { AM_FP32, AM_BF16, AM_FAST, AM_TF32, AM_FP16 } am_precision;
#define AM_PRECISIONS "fp32|bf16|fast|tf32|fp16"

typedef struct am_backend am_backend;

typedef struct am_ops {
    /* ---- memory ---- */
    am_dev (*alloc)(am_backend *, size_t floats);           /* zeroed, 64-byte aligned; AM_NOWHERE when out of memory */
    void   (*free)(am_backend *, am_dev);
    size_t (*room)(am_backend *, am_shape);                 /* floats that an activation takes, a multiple of 16 per
                                                               sample unless it is rows */
    void   (*upload)(am_backend *, size_t floats, const void *host, am_dev);    /* plain */
    void   (*download)(am_backend *, size_t floats, am_dev, void *host);
    void   (*put)(am_backend *, am_shape, const float *nchw, am_dev);           /* activation */
    void   (*get)(am_backend *, am_shape, am_dev, float *nchw);
    /* y = (byte / 255 - mean) / std; host bytes are [n][h][w][c] */
    void   (*put_bytes)(am_backend *, am_shape, const unsigned char *nhwc, const float *mean, const float *std, am_dev);
    /* Called in training where am_backend.resident > 0.  set: plain memory, bytes [images][h][w][c].  windows: int32 [n][AM_WINDOW].
     * y = put_bytes of the h x w window at (x, y) of each image, whose surroundings are black, or itself mirrored
     * without its border; mirrored left to right where flip is not 0.  An image below 0 is black. */
    void   (*gather)(am_backend *, am_shape, int images, am_dev set, am_dev windows, int reflect, const float *mean,
                     const float *std, am_dev y);
    am_status (*sync)(am_backend *, am_err *);              /* wait; report the first fault since the last sync */
    /* What plain memory holds when this is issued: begin puts it aside without waiting, end waits for that alone and
     * reports as sync does.  At most AM_ASIDE floats, in slot 0 .. AM_ASIDES - 1. */
    void      (*download_begin)(am_backend *, size_t floats, am_dev, int slot);
    am_status (*download_end)(am_backend *, size_t floats, int slot, void *host, am_err *);

    /* ---- plain ---- */
    void (*fill)(am_backend *, size_t n, float value, am_dev y);
    void (*copy)(am_backend *, size_t n, am_dev x, am_dev y);
    /* SGD as PyTorch's:  g += decay * w;  v = momentum * v + g;  w -= rate * (nesterov ? g + momentum * v : v);
     * then g = 0 and, where teacher is somewhere, teacher = follow * teacher + (1 - follow) * w.
     * hyper: rate, momentum, decay, nesterov, follow.  Nothing happens (but g = 0) where guard[0] != 0. */
    void (*sgd)(am_backend *, size_t n, am_dev w, am_dev g, am_dev v, am_dev teacher, am_dev hyper, am_dev guard);
    /* scale g so that its length is at most limit[0] (0: leave it).  scratch: 1024 floats */
    void (*clip)(am_backend *, size_t n, am_dev limit, am_dev scratch, am_dev g);
    /* guard[0] = 1 where any of the n numbers of x is not finite; otherwise unchanged */
    void (*guard)(am_backend *, size_t n, am_dev x, am_dev guard);

    /* ---- elementwise on activations ---- */
    void (*add)(am_backend *, am_shape, float a, am_dev x, float b, am_dev r, am_act, am_dev y);  /* y = act(a*x + b*r); r may be nowhere; y may be x */
    void (*act_back)(am_backend *, am_shape, am_act, am_dev y, am_dev dy, float a, am_grad dx);   /* dx = beta*dx + a * act'(y) * dy; dx may be dy */
    void (*dropout)(am_backend *, am_shape, float p, am_dev seed, int salt, am_dev x, am_dev y);  /* kept values / (1 - p); chance from (seed[0..1], salt, index) */
    void (*dropout_back)(am_backend *, am_shape, float p, am_dev seed, int salt, am_dev dy, am_grad dx);
    void (*finite)(am_backend *, am_shape, am_dev x, am_dev flag);                                /* flag[0] = 1 where x holds a number that is not finite */

    /* ---- convolution ---- */
    am_status (*conv_plan)(am_backend *, am_conv *, am_loc, am_err *);      /* geometry is filled; make ->plan */
    void   (*conv_drop)(am_backend *, am_conv *);
    size_t (*conv_prepared)(am_backend *, const am_conv *);                 /* floats for weights in the backend's own form */
    void   (*conv_prepare)(am_backend *, const am_conv *, am_dev w, am_dev prepared);  /* after each change of w */
    size_t (*conv_scratch)(am_backend *, const am_conv *, int n, int back); /* floats; back: also for conv_back */
    void   (*conv)(am_backend *, const am_conv *, int n, am_dev x, am_dev w, am_dev prepared, am_dev scratch,
                   const am_post *, am_dev y);
    /* dx [n][c][h][w], dw plain; either may be nowhere */
    void   (*conv_back)(am_backend *, const am_conv *, int n, am_dev x, am_dev w, am_dev prepared, am_dev dy,
                        am_dev scratch, am_grad dx, am_grad dw);
    void   (*bias_back)(am_backend *, am_shape, am_dev dy, am_grad db);     /* db[c] = sum over samples and pixels */

    /* ---- batch normalisation ---- */
    size_t (*norm_saved)(am_backend *, am_shape, int groups);               /* floats: mean and 1/std of each group, partial sums */
    /* y = act(scale * (x - mean) / sqrt(var + eps) + bias + residual); x is kept by the caller for norm_back.
     * have_stats: conv has left partial sums in saved.  running ones may be nowhere. */
    void (*norm)(am_backend *, am_shape, int groups, int have_stats, am_dev x, am_dev scale, am_dev bias, am_dev residual,
                 am_act, am_dev y, am_dev saved, am_dev running_mean, am_dev running_variance);
    /* dx may be dy (in place).  residual gets act'(y) * dy.  scratch: norm_saved floats. */
    void (*norm_back)(am_backend *, am_shape, int groups, am_dev x, am_dev scale, am_act, am_dev y, am_dev saved, am_dev dy,
                      am_dev scratch, am_grad dx, am_grad residual, am_grad dscale, am_grad dbias);
    /* inference: out_scale = scale / sqrt(var + eps), out_shift = bias - mean * out_scale, plain [c] each */
    void (*norm_fold)(am_backend *, int c, am_dev scale, am_dev bias, am_dev mean, am_dev variance, am_dev out_scale, am_dev out_shift);
    void (*affine)(am_backend *, am_shape, am_dev x, am_dev scale, am_dev shift, am_act, am_dev y);   /* y = act(scale[c]*x + shift[c]) */

    /* ---- dense:  y[n][out] = x [n, c*h*w in CHW order] * w[out][in]' + b[out] ---- */
    void (*dense)(am_backend *, am_shape x_shape, int out, am_dev x, am_dev w, am_dev b, am_dev y);
    void (*dense_back)(am_backend *, am_shape x_shape, int out, am_dev x, am_dev w, am_dev dy, am_grad dx, am_grad dw, am_grad db);

    /* ---- pooling, routes ---- */
    void (*maxpool)(am_backend *, am_shape x_shape, am_shape y_shape, am_pool, am_dev x, am_dev y, am_dev index);   /* index: room(y) floats, or nowhere */
    void (*maxpool_back)(am_backend *, am_shape x_shape, am_shape y_shape, am_pool, am_dev index, am_dev dy, am_grad dx);
    void (*avgpool)(am_backend *, am_shape x_shape, am_dev x, am_dev y);                    /* global: y is rows [n][c] */
    void (*avgpool_back)(am_backend *, am_shape x_shape, am_dev dy, am_grad dx);
    void (*upsample)(am_backend *, am_shape x_shape, int stride, float scale, am_dev x, am_dev y);  /* nearest, times scale */
    void (*upsample_back)(am_backend *, am_shape x_shape, int stride, float scale, am_dev dy, am_grad dx);
    void (*route)(am_backend *, am_shape part, am_dev x, int first, am_shape whole, am_dev y);      /* y[:, first:first+part.c] = x */
    void (*route_back)(am_backend *, am_shape part, int first, am_shape whole, am_dev dy, am_grad dx);

    /* ---- losses, rows [n][k] ---- */
    /* prob = softmax(x / temperature);  loss[i] = -sum_c q[i][c] * log prob[i][c];  q and loss may be nowhere */
    void (*softmax)(am_backend *, int n, int k, float temperature, am_dev x, am_dev q, am_dev prob, am_dev loss);
    /* dx = beta*dx + scale * (sum(q[i]) * prob - q) / temperature;  scale is a number the plan knows (1 / batch) */
    void (*softmax_back)(am_backend *, int n, int k, float temperature, float scale, am_dev prob, am_dev q, am_grad dx);
    /* tally[AM_SCORES] += loss, hits of top-1 and of top-k against labels, samples; labels below 0 are skipped */
    void (*score)(am_backend *, int n, int k, int top, am_dev prob, am_dev labels, am_dev loss, am_dev tally);
    void (*mean)(am_backend *, int n, float scale, am_dev x, am_grad out);  /* out[0] = beta*out[0] + scale * sum(x) */

    /* ---- labels and mixing ----
     * perm: int32 [n].  lam: float [n], the weight of the sample itself.  m: planes [n][h][w], the weight of the partner. */
    void (*onehot)(am_backend *, int n, int k, float smooth, am_dev labels, am_dev q);      /* (1-s) on the label, s/(k-1) elsewhere */
    void (*labels_mix)(am_backend *, int n, int k, am_dev q, am_dev perm, am_dev lam, am_dev out);     /* lam*q + (1-lam)*q[perm] */
    void (*mask_fill)(am_backend *, int n, int h, int w, am_dev lam, am_dev m);             /* m = 1 - lam: MixUp */
    void (*mask_box)(am_backend *, int n, int h, int w, am_dev box, am_dev m);              /* box: int32 [n][4] x1 y1 x2 y2; 1 inside, 0 outside */
    void (*mask_margin)(am_backend *, int n, int h, int w, am_dev lam, float margin, am_dev m);  /* where lam or 1-lam <= margin: m = 1 - lam */
    void (*blend)(am_backend *, am_shape, am_dev x, am_dev perm, am_dev m, am_dev y);       /* y = (1-m)*x + m*x[perm] */
    void (*blend_back)(am_backend *, am_shape, am_dev x, am_dev perm, am_dev dy, am_grad dm);    /* dm = sum_c dy * (x[perm] - x) */
    /* y = blend's adjoint to x: dx = beta*dx + (1-m)*dy + scatter of (m*dy) to perm; perm is a permutation */
    void (*blend_back_x)(am_backend *, am_shape, am_dev perm, am_dev m, am_dev dy, am_grad dx);

    /* ---- MixBlock ---- */
    size_t (*pairing_saved)(am_backend *, const am_pairing *, int n);
    size_t (*pairing_scratch)(am_backend *, const am_pairing *, int n);                     /* backward */
    /* z: activation; mask planes out; health: AM_HEALTH_ENTROPY is added there, or nowhere */
    void (*pairing)(am_backend *, const am_pairing *, int n, am_dev z, am_dev perm, am_dev lam, const am_pairing_weights *,
                    am_dev saved, am_dev mask, am_dev health);
    void (*pairing_back)(am_backend *, const am_pairing *, int n, am_dev z, am_dev perm, am_dev lam, const am_pairing_weights *,
                         am_dev saved, am_dev mask, am_dev dmask, am_dev scratch, const am_pairing_grads *);
    /* The mask loss, methods.md 1.5.  kind: see mask_loss= of [mix] automix; loss[0] = weight[0] * value,
     * dm = beta*dm + its gradient.  reduce_batch: one mean over the batch, else per sample. */
    void (*mask_loss)(am_backend *, int n, int h, int w, int kind, int reduce_batch, float margin, am_dev weight,
                      am_dev lam, am_dev m, am_dev loss, am_grad dm);
    void (*mask_health)(am_backend *, int n, int h, int w, am_dev lam, am_dev m, am_dev health);

    /* The parts of pairing, for a MixBlock that embeds features otherwise: its embeddings are rows [n h w][depth]. */
    /* columns first .. of rows [n h w][width]: the features of each pixel of x, or of x[perm], encoded */
    void (*pair_rows)(am_backend *, am_shape, const am_encoding *, int partner, am_dev x, am_dev perm, am_dev lam, int width,
                      int first, am_dev rows);
    size_t (*attend_saved)(am_backend *, const am_pairing *, int n);
    size_t (*attend_scratch)(am_backend *, const am_pairing *, int n);
    /* from query and key [n h w][depth] and value [n h w] on, as pairing; and what they get back, written */
    void (*attend)(am_backend *, const am_pairing *, int n, am_dev query, am_dev key, am_dev value, am_dev saved, am_dev mask,
                   am_dev health);
    void (*attend_back)(am_backend *, const am_pairing *, int n, am_dev saved, am_dev mask, am_dev dmask, am_dev scratch,
                        am_dev dquery, am_dev dkey, am_dev dvalue);

    /* ---- GridMix ----
     * The map's logits x [n][classes][h][w], averaged over the places of each of grid x grid cells, against a label a cell. */
    void (*cells)(am_backend *, am_shape, const am_cells *, am_dev x, am_dev loss);         /* cross-entropies [n][grid * grid] */
    void (*cells_back)(am_backend *, am_shape, const am_cells *, float scale, am_dev x, am_grad dx);    /* dx = beta*dx + scale * d sum(loss) / dx */

    /* ---- AugMix ----
     * prob, q: rows [3n][k], the clean ones and then two for each sample; labels [n][k]; cross, loss [n].
     * cross = cross-entropy of the clean rows; loss = weight / 3 * (KL(p0 | M) + KL(p1 | M) + KL(p2 | M)), M their
     * mean; q = the labels from which softmax_back makes the gradient of both. */
    void (*jsd)(am_backend *, int n, int k, float weight, am_dev prob, am_dev labels, am_dev q, am_dev cross, am_dev loss);

    /* ---- recording ----
     * Between begin and end lie operations that are the same from step to step but for what they find in memory, so a
     * backend may record them and replay the recording.  Where end returns 1 they have not run yet, and are issued again:
     *     do { begin(be, what); ... } while (end(be));
     * what: names the stretch, an address that outlives the backend.  Not nested. */
    void (*begin)(am_backend *, const void *what);
    int  (*end)(am_backend *);

    /* ---- scaled losses ----
     * The n gradients of an update are complete.  A backend that scales what softmax_back and mask_loss begin (fp16, whose
     * numbers end at 6e-8) takes the scale out; where one of them is not finite, the sgd that follows changes nothing
     * and the scale falls. */
    void (*unscale)(am_backend *, size_t n, am_dev g);
} am_ops;

#define AM_MASK_LOSSES "none|l1|l2|l1var|l2var|sparsity"
enum { AM_MASK_NONE, AM_MASK_L1, AM_MASK_L2, AM_MASK_L1VAR, AM_MASK_L2VAR, AM_MASK_SPARSITY };

typedef struct am_backend_options {
    int threads;                /* 0: all cores that the process may use */
    int device;                 /* which GPU */
    am_precision precision;
    const char *plans;          /* cuda: file in which what was measured of cuDNN's engines is kept; "": in its own place; NULL: they are chosen by rule */
    int uncaptured;             /* issue the operations of each step one by one, and wait for it; the same bytes */
    const char *isa;            /* generic, avx2, avx512, avx512bf16, emulated (simd), exact (cpu: sums in double); NULL: the best there is */
} am_backend_options;

struct am_backend {
    const am_ops *ops;
    const char *name;
    char about[160];            /* which and why: "simd: avx2, 2 threads, fp32" */
    int threads;
    am_precision precision;
    int rests;                  /* no conv_back will come: set before the first conv_plan */
    int fuses;                  /* conv and norm take residual and activation along at no cost: the plan uses it (plan.c) */
    int doubles;                /* it gains where clean and mixed images go as one batch, with two groups of statistics (lesson.c) */
    int ahead;                  /* steps that the host may issue beyond the one whose report it reads; < AM_ASIDES */
    int layer;                  /* at work, for messages; 0: none */
    char note[120];             /* what alloc has to say about its last refusal, or empty */
    size_t resident;            /* bytes of a data set that it would rather keep than be sent; 0: batches come from the host */
    size_t allocations, bytes, peak;   /* alloc keeps count: a test reads it, and memory is reported from it */
    void *state;
};

typedef struct am_backend_type {                        /* one row of the registry */
    const char *name, *help;
    am_status (*open)(am_backend *, const am_backend_options *, am_err *);     /* AM_EDEVICE: not on this machine */
    void (*close)(am_backend *);
} am_backend_type;

const am_backend_type *am_backend_find(const char *name);       /* registry.c */
const am_backend_type *const *am_backends(void);                /* registry.c; best first, ends with NULL */

#endif
