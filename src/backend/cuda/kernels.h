/* kernels.h: every kernel, as a plain C function that puts it on a stream.
 *
 * Host code is C11 and includes this; the .cu files define it.  Nothing here waits, allocates or
 * reports: the caller asks CUDA for the last error after each call.
 *
 * Activations are NHWC inside a sample, samples `step` elements apart, float, bf16 or fp16; one pixel is
 * float rows.  Plain memory and rows are float.  No number is added with atomics, which only count
 * who comes last: each output has one owner, and sums have an order that follows from the shape alone. */
#ifndef AM_CUDA_KERNELS_H
#define AM_CUDA_KERNELS_H
#include "../../backend.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct CUstream_st *am_stream;      /* cudaStream_t */

enum { AM_HALF_BF16 = 1, AM_HALF_F16 };
typedef struct am_view {
    void *p;                    /* NULL: nowhere */
    int half;                   /* elements: float, or one of these */
    int n, c, h, w;
    size_t step;                /* elements from sample to sample */
} am_view;
typedef struct am_view_grad { am_view d; float beta; } am_view_grad;
typedef struct am_sum { float *p; float beta; } am_sum;         /* am_grad of plain memory */

/* Where a kernel leaves word of a label or a partner that is out of range: one int, 0 while all is
 * well; `op` is what it writes there. */
typedef struct am_trouble { int *word; int op; } am_trouble;

/* What normalises bytes, by value: it travels with the launch. */
enum { AM_MOST_CHANNELS = 16 };
typedef struct am_channels { float mean[AM_MOST_CHANNELS], std[AM_MOST_CHANNELS]; } am_channels;

/* elementwise.cu */
void am_gpu_put(am_stream, const float *nchw, am_view);
void am_gpu_get(am_stream, am_view, float *nchw);
void am_gpu_put_bytes(am_stream, const unsigned char *nhwc, am_channels, am_view);
void am_gpu_gather(am_stream, int images, const unsigned char *set, const int *windows, int reflect, am_channels, am_view, am_trouble);
void am_gpu_add(am_stream, float a, am_view x, float b, am_view r, int act, am_view y);
void am_gpu_act_back(am_stream, int act, am_view y, am_view dy, float a, am_view_grad dx);
void am_gpu_dropout(am_stream, float p, const int *seed, int salt, am_view x, am_view y);
void am_gpu_dropout_back(am_stream, float p, const int *seed, int salt, am_view dy, am_view_grad dx);
void am_gpu_finite(am_stream, am_view x, float *flag);
/* y = act(scale[c] * x + shift[c] + residual); scale, shift and residual may be nowhere; y may be x */
void am_gpu_affine(am_stream, am_view x, const float *scale, const float *shift, am_view residual, int act, am_view y);
void am_gpu_route(am_stream, am_view x, int first, am_view y);
void am_gpu_route_back(am_stream, am_view dy, int first, am_view_grad dx);
void am_gpu_upsample(am_stream, int stride, float scale, am_view x, am_view y);
void am_gpu_upsample_back(am_stream, int stride, float scale, am_view dy, am_view_grad dx);

/* plain.cu */
void am_gpu_fill(am_stream, size_t n, float value, float *y);
void am_gpu_sgd(am_stream, size_t n, float *w, float *g, float *v, float *teacher, const float *hyper, const float *guard,
                const float *held);
void am_gpu_unscale(am_stream, size_t n, float *g, float *scale);
void am_gpu_clip(am_stream, size_t n, const float *limit, float *scratch, float *g);
void am_gpu_guard(am_stream, size_t n, const float *x, float *guard);
void am_gpu_mean(am_stream, size_t n, float scale, const float *x, am_sum out);

/* norm.cu: `saved` and `scratch` as am_gpu_norm_room says; tickets: AM_TICKETS numbers of this stream alone, 0 between calls */
enum { AM_TICKETS = 8192 };
size_t am_gpu_norm_room(int n, int c, int plane, int groups);   /* floats */
void am_gpu_norm(am_stream, unsigned *tickets, int groups, am_view x, const float *scale, const float *bias, am_view residual,
                 int act, am_view y, float *saved, float *running_mean, float *running_variance);
void am_gpu_norm_back(am_stream, unsigned *tickets, int groups, am_view x, const float *scale, int act, am_view y,
                      const float *saved, am_view dy, float *scratch, am_view_grad dx, am_view_grad residual, am_sum dscale,
                      am_sum dbias);
void am_gpu_norm_fold(am_stream, int c, const float *scale, const float *bias, const float *mean, const float *variance,
                      float *out_scale, float *out_shift);
void am_gpu_bias_back(am_stream, am_view dy, am_sum db);

/* pool.cu: index holds one short for each element of y */
void am_gpu_maxpool(am_stream, am_pool, am_view x, am_view y, short *index);
void am_gpu_maxpool_back(am_stream, am_pool, const short *index, am_view dy, am_view_grad dx);
void am_gpu_avgpool(am_stream, am_view x, float *y);
void am_gpu_avgpool_back(am_stream, const float *dy, am_view_grad dx);

/* dense.cu */
void am_gpu_dense(am_stream, int out, am_view x, const float *w, const float *b, float *y);
void am_gpu_dense_back(am_stream, int out, am_view x, const float *w, const float *dy, am_view_grad dx, am_sum dw, am_sum db);

/* conv.cu: weights on their way to and from cuDNN, [filters][size][size][c/groups]; and the
 * convolution itself, for what cuDNN has no engine for. */
void am_gpu_conv_prepare(am_stream, const am_conv *, int half, const float *w, void *prepared);
void am_gpu_conv_gather_dw(am_stream, const am_conv *, int half, const void *dw, am_sum to);
void am_gpu_conv(am_stream, const am_conv *, am_view x, const float *w, am_view y);
void am_gpu_conv_back_x(am_stream, const am_conv *, am_view dy, const float *w, am_view_grad dx);
int  am_gpu_conv_pieces(const am_conv *, int n);                /* sums of dw; each takes as many floats as w */
void am_gpu_conv_back_w(am_stream, const am_conv *, am_view x, am_view dy, float *scratch, am_sum dw);

/* rows.cu */
void am_gpu_softmax(am_stream, int n, int k, float temperature, const float *x, const float *q, float *prob, float *loss);
/* lift: where the scale of the losses lies, or NULL */
void am_gpu_softmax_back(am_stream, int n, int k, float temperature, float scale, const float *lift, const float *prob, const float *q, am_sum dx);
void am_gpu_score(am_stream, int n, int k, int top, const float *prob, const int *labels, const float *loss, float *tally, am_trouble);
void am_gpu_onehot(am_stream, int n, int k, float smooth, const int *labels, float *q, am_trouble);
void am_gpu_labels_mix(am_stream, int n, int k, const float *q, const int *perm, const float *lam, float *out, am_trouble);

void am_gpu_jsd(am_stream, int n, int k, float weight, const float *prob, const float *labels, float *q, float *cross, float *loss);

/* cells.cu; lift as above */
void am_gpu_cells(am_stream, int grid, am_view x, const float *partner, const int *labels, const int *perm, float *loss, am_trouble);
void am_gpu_cells_back(am_stream, int grid, float scale, const float *lift, am_view x, const float *partner, const int *labels,
                       const int *perm, am_view_grad dx, am_trouble);

/* mask.cu: planes; partial: AM_MASK_PARTIAL doubles a sample */
enum { AM_MASK_PARTIAL = 8 };
void am_gpu_mask_fill(am_stream, int n, int plane, const float *lam, float *m);
void am_gpu_mask_box(am_stream, int n, int h, int w, const int *box, float *m);
void am_gpu_mask_margin(am_stream, int n, int plane, const float *lam, float margin, float *m);
void am_gpu_mask_loss(am_stream, int n, int plane, int kind, int reduce_batch, float margin, const float *weight, const float *lam,
                      const float *m, const float *lift, double *partial, float *loss, am_sum dm);
void am_gpu_mask_health(am_stream, int n, int plane, const float *lam, const float *m, double *partial, float *health);

/* blend.cu */
void am_gpu_blend(am_stream, am_view x, const int *perm, const float *m, am_view y, am_trouble);
void am_gpu_blend_back(am_stream, am_view x, const int *perm, am_view dy, am_sum dm, am_trouble);
void am_gpu_blend_back_x(am_stream, const int *perm, const float *m, am_view dy, am_view_grad dx);

/* pairing.cu, pairing_back.cu */
typedef struct am_block_weights { const float *query, *query_bias, *value, *value_bias; } am_block_weights;
typedef struct am_block_sums { am_sum query, query_bias, value, value_bias; } am_block_sums;
size_t am_gpu_pairing_saved(const am_pairing *, int n);         /* floats */
size_t am_gpu_pairing_scratch(const am_pairing *, int n);
void am_gpu_pairing(am_stream, const am_pairing *, am_view z, const int *perm, const float *lam, am_block_weights, float *saved,
                    float *mask, float *entropy, am_trouble);
void am_gpu_pairing_back(am_stream, const am_pairing *, am_view z, const int *perm, const float *lam, const float *saved,
                         const float *mask, const float *dmask, float *scratch, am_block_sums);
/* the part of am_gpu_pairing that follows q, k and v, which lie in saved */
void am_gpu_pairing_attend(am_stream, const am_pairing *, int n, float *saved, float *mask, float *entropy);

/* attend.cu; saved and scratch as of pairing */
void am_gpu_pair_rows(am_stream, const am_encoding *, int partner, am_view x, const int *perm, const float *lam, int width, int first,
                      float *rows, am_trouble);
void am_gpu_attend(am_stream, const am_pairing *, int n, const float *query, const float *key, const float *value, float *saved,
                   float *mask, float *entropy);
void am_gpu_attend_back(am_stream, const am_pairing *, int n, const float *saved, const float *mask, const float *dmask, float *scratch,
                        float *dquery, float *dkey, float *dvalue);     /* pairing_back.cu */

#ifdef __cplusplus
}
#endif
#endif
