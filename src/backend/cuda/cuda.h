/* cuda.h: what the host side of the CUDA backend shares.
 *
 * One stream; every operation puts kernels on it and returns.  Activations are NHWC inside a sample,
 * float or bf16 by the precision, each sample's room rounded up to 16 floats; one pixel is float rows.
 * Parameters, rows, planes and statistics are float. */
#ifndef AM_CUDA_CUDA_H
#define AM_CUDA_CUDA_H
#include <stdint.h>
#include "graph.h"
#include "kernels.h"

typedef struct am_cuda_block { struct am_cuda_block *next; void *at; size_t bytes; } am_cuda_block;

typedef struct am_cuda_state {
    am_stream stream;
    am_graphs *graphs;          /* cuDNN's plans */
    int half;                   /* activations are bf16 */
    char fault[300];            /* the first since the last sync, or empty */
    const char *last;           /* the operation that ran last, for faults that show late */
    int *trouble;               /* on the device; see am_trouble */
    double *partial;            /* on the device: AM_MASK_PARTIAL for each of CUDA_SAMPLES samples */
    void *stage;                /* on the device: what put, get and put_bytes convert from and to */
    size_t stage_bytes;
    am_cuda_block *blocks;      /* what alloc gave */
} am_cuda_state;

enum { CUDA_SAMPLES = 65536 };

static inline am_cuda_state *am_cuda_of(const am_backend *be) { return be->state; }

/* Keep the first fault, as "OP: text". */
void am_cuda_fault(am_backend *, const char *op, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* After the launches of an operation: ask whether they were accepted. */
void am_cuda_check(am_backend *, const char *op);
/* At least so many bytes of device memory that last until the next operation; NULL after a fault. */
void *am_cuda_stage(am_backend *, const char *op, size_t bytes);

/* An operation begins and ends with these; after a fault nothing is done. */
#define BEGIN am_cuda_state *const st = am_cuda_of(be); if (st->fault[0]) return
#define END(op) am_cuda_check(be, op)

int    am_cuda_is_half(const am_backend *, am_shape);
size_t am_cuda_room(am_backend *, am_shape);                    /* floats */
am_view am_cuda_view(const am_backend *, am_shape, am_dev);
static inline am_view_grad am_cuda_view_grad(const am_backend *be, am_shape s, am_grad g)
{
    return (am_view_grad){am_cuda_view(be, s, g.d), g.beta};
}
static inline am_sum am_cuda_sum(am_grad g) { return (am_sum){g.d.p, g.beta}; }
static inline const int *am_cuda_ints(am_dev d) { return (const int *)(const void *)d.p; }

void am_cuda_fill_ops(am_ops *);                                /* ops.c */
void am_cuda_fill_conv(am_ops *);                               /* conv.c */
#endif
