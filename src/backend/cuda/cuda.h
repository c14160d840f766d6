/* cuda.h: what the host side of the CUDA backend shares.
 *
 * One stream; every operation puts kernels on it and returns.  Activations are NHWC inside a sample,
 * float, bf16 or fp16 by the precision, each sample's room rounded up to 16 floats; one pixel is float rows.
 * Parameters, rows, planes and statistics are float. */
#ifndef AM_CUDA_CUDA_H
#define AM_CUDA_CUDA_H
#include <cuda_runtime_api.h>
#include <stdint.h>
#include "graph.h"
#include "kernels.h"
#include "record.h"

typedef struct am_cuda_block { struct am_cuda_block *next; void *at; size_t bytes; } am_cuda_block;

/* Pinned memory through which the host's bytes leave; `gone` is recorded behind the copy. */
typedef struct am_cuda_slot { void *at; size_t bytes; cudaEvent_t gone; int busy; } am_cuda_slot;
enum { CUDA_SLOTS = 4 };

/* Pinned memory where a report waits for the host, with the trouble of then; `there` is recorded behind the copies. */
typedef struct am_cuda_aside { float at[AM_ASIDE]; int trouble; } am_cuda_aside;

typedef struct am_cuda_state {
    am_stream stream;
    am_graphs *graphs;          /* cuDNN's plans */
    int half;                   /* what activations are made of; see am_view */
    float *scale;               /* on the device: AM_SCALES numbers (arith.h); NULL where losses are not scaled */
    char fault[300];            /* the first since the last sync, or empty */
    const char *last;           /* the operation that ran last, for faults that show late */
    int last_layer;
    int *trouble;               /* on the device; see am_trouble */
    double *partial;            /* on the device: AM_MASK_PARTIAL for each of CUDA_SAMPLES samples */
    unsigned *tickets;          /* on the device: AM_TICKETS, 0 between operations */
    void *stage;                /* on the device: what put, get and put_bytes convert from and to */
    size_t stage_bytes;
    am_cuda_slot slot[CUDA_SLOTS];
    int next_slot;
    am_cuda_aside *aside;       /* [AM_ASIDES] */
    cudaEvent_t there[AM_ASIDES];
    am_cuda_record record;
    am_cuda_block *blocks;      /* what alloc gave */
} am_cuda_state;

enum { CUDA_SAMPLES = 65536 };

static inline am_cuda_state *am_cuda_of(const am_backend *be) { return be->state; }

/* Keep the first fault, as "OP: text". */
void am_cuda_fault(am_backend *, const char *op, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The device has failed, at work that was given to it earlier. */
void am_cuda_late_fault(am_backend *, cudaError_t);
/* After the launches of an operation: ask whether they were accepted. */
void am_cuda_check(am_backend *, const char *op);

/* What waiting has shown: the status for the caller, and room for the next fault. */
am_status am_cuda_verdict(am_backend *, cudaError_t, int trouble, am_err *);

/* memory.c.  At least so many bytes of device memory that last until the next operation; NULL after a fault. */
void *am_cuda_stage(am_backend *, const char *op, size_t bytes);
void  am_cuda_memory_close(am_backend *);

/* An operation begins and ends with these; its arguments are what a recording is told apart by (record.h).
 * After a fault, and while a step is only listened to, nothing is done. */
#define BEGIN(op, ...)                                                                             \
    am_cuda_state *const st = am_cuda_of(be);                                                      \
    if (st->fault[0]) return;                                                                      \
    if (am_cuda_hears(&st->record)) {                                                              \
        uint64_t sum = am_see(st->record.sum, (uint64_t)(uintptr_t)op);                            \
        SEE_ALL(__VA_ARGS__)                                                                       \
        st->record.sum = sum;                                                                      \
        st->record.heard++;                                                                        \
        if (st->record.mode == CUDA_LISTENS) return;                                               \
    }                                                                                              \
    const char *const name_of_op = op
#define END am_cuda_check(be, name_of_op)

int    am_cuda_is_half(const am_backend *, am_shape);
size_t am_cuda_room(am_backend *, am_shape);                    /* floats */
am_view am_cuda_view(const am_backend *, am_shape, am_dev);
static inline am_view_grad am_cuda_view_grad(const am_backend *be, am_shape s, am_grad g)
{
    return (am_view_grad){am_cuda_view(be, s, g.d), g.beta};
}
static inline am_sum am_cuda_sum(am_grad g) { return (am_sum){g.d.p, g.beta}; }
static inline const int *am_cuda_ints(am_dev d) { return (const int *)(const void *)d.p; }

/* What kernels write into am_trouble, in the order of cuda.c's names. */
enum { IN_SCORE = 1, IN_ONEHOT, IN_LABELS_MIX, IN_BLEND, IN_BLEND_BACK, IN_PAIRING, IN_GATHER, IN_CELLS };
static inline am_trouble am_cuda_trouble(const am_backend *be, int op) { return (am_trouble){am_cuda_of(be)->trouble, op}; }

/* Each fills its slots of the table. */
void am_cuda_fill_memory(am_ops *);
void am_cuda_fill_plain(am_ops *);
void am_cuda_fill_layers(am_ops *);
void am_cuda_fill_losses(am_ops *);
void am_cuda_fill_mixing(am_ops *);
void am_cuda_fill_conv(am_ops *);
void am_cuda_fill_record(am_ops *);
#endif
