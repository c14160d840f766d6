/* cpu.h: the plain C backend, float32 NCHW.  It is the judge: one obvious loop per formula.
 *
 * Every operation of am_ops is here under its own name, am_cpu_NAME, so that a backend which keeps
 * rows and plain memory the same way takes over what it has no faster form for.  Such a backend
 * puts am_cpu_state first in its own state.
 *
 * An activation is [n][c][h][w] with each sample's room rounded up to 16 floats, so that samples
 * start on cache lines; one pixel (h = w = 1) is plain rows.  Padding is never read. */
#ifndef AM_CPU_H
#define AM_CPU_H
#include <math.h>
#include <stdint.h>
#include "../../backend.h"
#include "gemm.h"

typedef struct am_cpu_state {
    const am_kernels *kernels;
    char fault[200];                /* the first since the last sync, or empty */
    float aside[AM_ASIDES][AM_ASIDE];
} am_cpu_state;

extern const am_backend_type am_backend_cpu;
extern const am_ops am_cpu_ops;

/* Fill state, count threads, take options; the caller sets ops, name and about. */
void am_cpu_start(am_backend *, am_cpu_state *, const am_backend_options *);
int am_cpu_cores(void); /* that this process may use; OMP_NUM_THREADS says otherwise */
void am_cpu_fault(am_backend *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static inline am_cpu_state *am_cpu_of(const am_backend *be) { return be->state; }
static inline int am_cpu_stopped(const am_backend *be) { return am_cpu_of(be)->fault[0] != 0; }

/* Threads for so many numbers: below some thousands, starting a team costs more than it saves. */
static inline int am_cpu_team(const am_backend *be, size_t work)
{
    return work < 16384 ? 1 : be->threads;
}

static inline size_t am_cpu_sample(am_shape s)  /* floats from one sample to the next */
{
    size_t k = (size_t)s.c * (size_t)s.h * (size_t)s.w;
    return s.h == 1 && s.w == 1 ? k : (k + 15) / 16 * 16;
}
static inline size_t am_cpu_plane(am_shape s) { return (size_t)s.h * (size_t)s.w; }
static inline const int *am_cpu_ints(am_dev d) { return (const int *)(const void *)d.p; }

/* Labels may be negative ("none"); partners may not. */
int am_cpu_labels_ok(am_backend *, const char *op, int n, int k, am_dev labels);
int am_cpu_perm_ok(am_backend *, const char *op, int n, am_dev perm);

/* Activations, on plain memory. */
void am_cpu_act(am_act, size_t n, float *y);        /* in place */
/* g = act'(y) * dy; g may be dy */
void am_cpu_slope(am_act, size_t n, const float *y, const float *dy, float *g);

/* Sums in double of sums in float over at most 1024 numbers in 16 lanes: exact enough for
 * statistics, and the compiler's vectors carry it. */
double am_cpu_sum(size_t n, const float *x);
double am_cpu_sum_product(size_t n, const float *x, const float *y);
double am_cpu_sum_square(size_t n, const float *x, float mean); /* of x - mean */

/* d = beta * d + a * g, without reading d when beta is 0 */
static inline void am_cpu_give(am_grad d, size_t at, size_t n, float a, const float *g)
{
    float *to = d.d.p + at;
    if (d.beta == 0) for (size_t i = 0; i < n; i++) to[i] = a * g[i];
    else for (size_t i = 0; i < n; i++) to[i] = d.beta * to[i] + a * g[i];
}
static inline void am_cpu_give1(am_grad d, size_t at, float g)
{
    d.d.p[at] = d.beta == 0 ? g : d.beta * d.d.p[at] + g;
}

/* A number in [0, 1) for the index-th value of an activation, counted in NCHW: the same in every
 * backend, and there is nothing to store for the backward pass. */
static inline float am_cpu_chance(const int *seed, int salt, uint64_t index)
{
    uint64_t z =
        ((uint64_t)(uint32_t)seed[1] << 32 | (uint32_t)seed[0]) ^ (uint64_t)(uint32_t)salt << 17;
    z += (index + 1) * 0x9e3779b97f4a7c15u;     /* splitmix64's step, then its mixing */
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (float)(z >> 40) * 0x1p-24f;
}

/* memory, cpu.c */
am_dev am_cpu_alloc(am_backend *, size_t floats);
void am_cpu_free(am_backend *, am_dev);
size_t am_cpu_room(am_backend *, am_shape);
void am_cpu_upload(am_backend *, size_t floats, const void *host, am_dev);
void am_cpu_download(am_backend *, size_t floats, am_dev, void *host);
void am_cpu_put(am_backend *, am_shape, const float *nchw, am_dev);
void am_cpu_get(am_backend *, am_shape, am_dev, float *nchw);
void am_cpu_put_bytes(am_backend *, am_shape, const unsigned char *nhwc, const float *mean,
                      const float *std, am_dev);
am_status am_cpu_sync(am_backend *, am_err *);
void am_cpu_download_begin(am_backend *, size_t floats, am_dev, int slot);
am_status am_cpu_download_end(am_backend *, size_t floats, int slot, void *host, am_err *);

/* gather.c */
void am_cpu_gather(am_backend *, am_shape, int images, am_dev set, am_dev windows, int reflect,
                   const float *mean, const float *std, am_dev y);

/* optim.c */
void am_cpu_fill(am_backend *, size_t n, float value, am_dev y);
void am_cpu_copy(am_backend *, size_t n, am_dev x, am_dev y);
void am_cpu_sgd(am_backend *, size_t n, am_dev w, am_dev g, am_dev v, am_dev teacher, am_dev hyper,
                am_dev guard);
void am_cpu_clip(am_backend *, size_t n, am_dev limit, am_dev scratch, am_dev g);
void am_cpu_guard(am_backend *, size_t n, am_dev x, am_dev guard);

/* elementwise.c */
void am_cpu_add(am_backend *, am_shape, float a, am_dev x, float b, am_dev r, am_act, am_dev y);
void am_cpu_act_back(am_backend *, am_shape, am_act, am_dev y, am_dev dy, float a, am_grad dx);
void am_cpu_dropout(am_backend *, am_shape, float p, am_dev seed, int salt, am_dev x, am_dev y);
void am_cpu_dropout_back(am_backend *, am_shape, float p, am_dev seed, int salt, am_dev dy,
                         am_grad dx);
void am_cpu_finite(am_backend *, am_shape, am_dev x, am_dev flag);

/* conv.c, conv_back.c */
am_status am_cpu_conv_plan(am_backend *, am_conv *, am_loc, am_err *);
void am_cpu_conv_drop(am_backend *, am_conv *);
size_t am_cpu_conv_prepared(am_backend *, const am_conv *);
void am_cpu_conv_prepare(am_backend *, const am_conv *, am_dev w, am_dev prepared);
size_t am_cpu_conv_scratch(am_backend *, const am_conv *, int n, int back);
void am_cpu_conv(am_backend *, const am_conv *, int n, am_dev x, am_dev w, am_dev prepared,
                 am_dev scratch, const am_post *, am_dev y);
void am_cpu_conv_back(am_backend *, const am_conv *, int n, am_dev x, am_dev w, am_dev prepared,
                      am_dev dy, am_dev scratch, am_grad dx, am_grad dw);
void am_cpu_bias_back(am_backend *, am_shape, am_dev dy, am_grad db);

/* norm.c */
size_t am_cpu_norm_saved(am_backend *, am_shape, int groups);
void am_cpu_norm(am_backend *, am_shape, int groups, int have_stats, am_dev x, am_dev scale,
                 am_dev bias, am_dev residual, am_act, am_dev y, am_dev saved, am_dev running_mean,
                 am_dev running_variance);
void am_cpu_norm_back(am_backend *, am_shape, int groups, am_dev x, am_dev scale, am_act, am_dev y,
                      am_dev saved, am_dev dy, am_dev scratch, am_grad dx, am_grad residual,
                      am_grad dscale, am_grad dbias);
void am_cpu_norm_fold(am_backend *, int c, am_dev scale, am_dev bias, am_dev mean, am_dev variance,
                      am_dev out_scale, am_dev out_shift);
void am_cpu_affine(am_backend *, am_shape, am_dev x, am_dev scale, am_dev shift, am_act, am_dev y);

/* dense.c */
void am_cpu_dense(am_backend *, am_shape, int out, am_dev x, am_dev w, am_dev b, am_dev y);
void am_cpu_dense_back(am_backend *, am_shape, int out, am_dev x, am_dev w, am_dev dy, am_grad dx,
                       am_grad dw, am_grad db);

/* pool.c, route.c */
void am_cpu_maxpool(am_backend *, am_shape x_shape, am_shape y_shape, am_pool, am_dev x, am_dev y,
                    am_dev index);
void am_cpu_maxpool_back(am_backend *, am_shape x_shape, am_shape y_shape, am_pool, am_dev index,
                         am_dev dy, am_grad dx);
void am_cpu_avgpool(am_backend *, am_shape, am_dev x, am_dev y);
void am_cpu_avgpool_back(am_backend *, am_shape, am_dev dy, am_grad dx);
void am_cpu_upsample(am_backend *, am_shape, int stride, float scale, am_dev x, am_dev y);
void am_cpu_upsample_back(am_backend *, am_shape, int stride, float scale, am_dev dy, am_grad dx);
void am_cpu_route(am_backend *, am_shape part, am_dev x, int first, am_shape whole, am_dev y);
void am_cpu_route_back(am_backend *, am_shape part, int first, am_shape whole, am_dev dy,
                       am_grad dx);

/* loss.c: rows */
void am_cpu_softmax(am_backend *, int n, int k, float temperature, am_dev x, am_dev q, am_dev prob,
                    am_dev loss);
void am_cpu_softmax_back(am_backend *, int n, int k, float temperature, float scale, am_dev prob,
                         am_dev q, am_grad dx);
void am_cpu_score(am_backend *, int n, int k, int top, am_dev prob, am_dev labels, am_dev loss,
                  am_dev tally);
void am_cpu_mean(am_backend *, int n, float scale, am_dev x, am_grad out);
void am_cpu_onehot(am_backend *, int n, int k, float smooth, am_dev labels, am_dev q);
void am_cpu_labels_mix(am_backend *, int n, int k, am_dev q, am_dev perm, am_dev lam, am_dev out);

/* mix.c: masks are planes; blend works on activations */
void am_cpu_mask_fill(am_backend *, int n, int h, int w, am_dev lam, am_dev m);
void am_cpu_mask_box(am_backend *, int n, int h, int w, am_dev box, am_dev m);
void am_cpu_mask_margin(am_backend *, int n, int h, int w, am_dev lam, float margin, am_dev m);
void am_cpu_blend(am_backend *, am_shape, am_dev x, am_dev perm, am_dev m, am_dev y);
void am_cpu_blend_back(am_backend *, am_shape, am_dev x, am_dev perm, am_dev dy, am_grad dm);
void am_cpu_blend_back_x(am_backend *, am_shape, am_dev perm, am_dev m, am_dev dy, am_grad dx);

/* mask_loss.c */
void am_cpu_mask_loss(am_backend *, int n, int h, int w, int kind, int reduce_batch, float margin,
                      am_dev weight, am_dev lam, am_dev m, am_dev loss, am_grad dm);
void am_cpu_mask_health(am_backend *, int n, int h, int w, am_dev lam, am_dev m, am_dev health);

/* cells.c */
int  am_cpu_cells_ok(am_backend *, const char *op, am_shape, const am_cells *);     /* 0: stopped, or a fault is kept */
int  am_cpu_cells_label(const am_cells *, int sample, int cell);
void am_cpu_cells(am_backend *, am_shape, const am_cells *, am_dev x, am_dev loss);
void am_cpu_cells_back(am_backend *, am_shape, const am_cells *, float scale, am_dev x, am_grad dx);

/* jsd.c */
void am_cpu_jsd(am_backend *, int n, int k, float weight, am_dev prob, am_dev labels, am_dev q, am_dev cross, am_dev loss);

/* attend.c */
float am_cpu_encoded(const am_encoding *, float lambda, int partner);  /* what a side is multiplied by */
void am_cpu_pair_rows(am_backend *, am_shape, const am_encoding *, int partner, am_dev x, am_dev perm, am_dev lam, int width,
                      int first, am_dev rows);
size_t am_cpu_attend_saved(am_backend *, const am_pairing *, int n);
size_t am_cpu_attend_scratch(am_backend *, const am_pairing *, int n);
void am_cpu_attend(am_backend *, const am_pairing *, int n, am_dev query, am_dev key, am_dev value, am_dev saved, am_dev mask,
                   am_dev health);
void am_cpu_attend_back(am_backend *, const am_pairing *, int n, am_dev saved, am_dev mask, am_dev dmask, am_dev scratch,
                        am_dev dquery, am_dev dkey, am_dev dvalue);

/* pairing.c, pairing_back.c */
size_t am_cpu_pairing_saved(am_backend *, const am_pairing *, int n);
size_t am_cpu_pairing_scratch(am_backend *, const am_pairing *, int n);
void am_cpu_pairing(am_backend *, const am_pairing *, int n, am_dev z, am_dev perm, am_dev lam,
                    const am_pairing_weights *, am_dev saved, am_dev mask, am_dev health);
void am_cpu_pairing_back(am_backend *, const am_pairing *, int n, am_dev z, am_dev perm, am_dev lam,
                         const am_pairing_weights *, am_dev saved, am_dev mask, am_dev dmask,
                         am_dev scratch, const am_pairing_grads *);
#endif
