/* record.h: a step as one CUDA graph.
 *
 * Between begin and end the caller issues the same operations in every step, save when a method takes
 * another branch (a layer drawn by chance, a MixBlock that still waits).  So a step is first only listened
 * to: nothing runs, and a sum over all operations and arguments tells which step this is.  If it is known,
 * its graph is launched and that was all.  If not, the caller issues it again and it runs; the next
 * time it is captured:
 *
 *   first seen      PLAIN                         runs as it comes, and the sum is kept
 *   second time     LISTENS, then CAPTURES        instantiated and launched
 *   from then on    LISTENS                       launched
 *
 * Kernels read what changes (lambda, rates, permutations) from the step-state, so the launches of an operation
 * are a function of its arguments.  A stretch in which the host looks at device memory or writes there
 * cannot be recorded: it always runs plainly. */
#ifndef AM_CUDA_RECORD_H
#define AM_CUDA_RECORD_H
#include <cuda_runtime_api.h>
#include <stddef.h>
#include <stdint.h>
#include "../../backend.h"

typedef enum am_cuda_mode { CUDA_IDLE, CUDA_PLAIN, CUDA_LISTENS, CUDA_CAPTURES } am_cuda_mode;
enum { CUDA_STRETCHES = 32, CUDA_RECORDINGS = 24 };

typedef struct am_cuda_recording {
    const void *what;
    uint64_t sum;
    cudaGraphExec_t graph;      /* NULL: seen, not yet captured */
    long used;                  /* for the one to give up */
} am_cuda_recording;

typedef struct am_cuda_record {
    int off;                    /* nothing is recorded: the same operations one by one, and the same bytes */
    am_cuda_mode mode, next;    /* next: what the stretch that was issued once must be issued again as */
    const void *what;
    uint64_t sum;
    long heard;                 /* operations of this stretch */
    int traffic;                /* the host looked at device memory, or wrote there */
    const void *plain[CUDA_STRETCHES];  /* stretches that cannot be recorded */
    const void *known[CUDA_STRETCHES];  /* stretches that have run */
    int plains, knowns;
    am_cuda_recording at[CUDA_RECORDINGS];
    int count;
    long clock, captured, replayed;
    char why[300];              /* the last stretch that could not be captured: what was in the way */
} am_cuda_record;

static inline int am_cuda_hears(const am_cuda_record *r) { return r->mode != CUDA_IDLE; }

/* The host is about to look at device memory, or to write there: 1 where that must not happen now. */
int  am_cuda_traffic(am_backend *);
/* Addresses or plans are about to change: recordings are worthless. */
void am_cuda_forget(am_backend *);

/* ---- a sum over arguments, by value and not by address where they live on the caller's stack ---- */

static inline uint64_t am_see(uint64_t sum, uint64_t x)
{
    sum = (sum ^ x) * 0x9e3779b97f4a7c15u;
    return sum ^ sum >> 29;
}
static inline uint64_t am_see_int(uint64_t sum, int x) { return am_see(sum, (uint64_t)(unsigned)x); }
static inline uint64_t am_see_size(uint64_t sum, size_t x) { return am_see(sum, x); }
static inline uint64_t am_see_float(uint64_t sum, float x)
{
    union { float x; uint32_t bits; } u = {x};
    return am_see(sum, u.bits);
}
static inline uint64_t am_see_dev(uint64_t sum, am_dev d) { return am_see(sum, (uint64_t)(uintptr_t)d.p); }
static inline uint64_t am_see_grad(uint64_t sum, am_grad g) { return am_see_float(am_see_dev(sum, g.d), g.beta); }
static inline uint64_t am_see_shape(uint64_t sum, am_shape s)
{
    return am_see(am_see(sum, (uint64_t)(unsigned)s.n << 32 | (unsigned)s.c), (uint64_t)(unsigned)s.h << 32 | (unsigned)s.w);
}
static inline uint64_t am_see_pool(uint64_t sum, am_pool p) { return am_see_int(am_see_int(am_see_int(sum, p.size), p.stride), p.pad); }
uint64_t am_see_conv(uint64_t, const am_conv *);
uint64_t am_see_post(uint64_t, const am_post *);
uint64_t am_see_pairing(uint64_t, const am_pairing *);
uint64_t am_see_encoding(uint64_t, const am_encoding *);
uint64_t am_see_weights(uint64_t, const am_pairing_weights *);
uint64_t am_see_grads(uint64_t, const am_pairing_grads *);

#define SEE_1(x)                                                                                   \
    sum = _Generic((x), int: am_see_int, unsigned: am_see_int, size_t: am_see_size, float: am_see_float, am_dev: am_see_dev,      \
                   am_grad: am_see_grad, am_shape: am_see_shape, am_pool: am_see_pool, const am_conv *: am_see_conv,             \
                   const am_post *: am_see_post, const am_pairing *: am_see_pairing,               \
                   const am_encoding *: am_see_encoding,                                           \
                   const am_pairing_weights *: am_see_weights, const am_pairing_grads *: am_see_grads)(sum, x);
#define SEE_2(x, ...) SEE_1(x) SEE_1(__VA_ARGS__)
#define SEE_3(x, ...) SEE_1(x) SEE_2(__VA_ARGS__)
#define SEE_4(x, ...) SEE_1(x) SEE_3(__VA_ARGS__)
#define SEE_5(x, ...) SEE_1(x) SEE_4(__VA_ARGS__)
#define SEE_6(x, ...) SEE_1(x) SEE_5(__VA_ARGS__)
#define SEE_7(x, ...) SEE_1(x) SEE_6(__VA_ARGS__)
#define SEE_8(x, ...) SEE_1(x) SEE_7(__VA_ARGS__)
#define SEE_9(x, ...) SEE_1(x) SEE_8(__VA_ARGS__)
#define SEE_10(x, ...) SEE_1(x) SEE_9(__VA_ARGS__)
#define SEE_11(x, ...) SEE_1(x) SEE_10(__VA_ARGS__)
#define SEE_12(x, ...) SEE_1(x) SEE_11(__VA_ARGS__)
#define SEE_13(x, ...) SEE_1(x) SEE_12(__VA_ARGS__)
#define SEE_14(x, ...) SEE_1(x) SEE_13(__VA_ARGS__)
#define SEE_PICK(a, b, c, d, e, f, g, h, i, j, k, l, m, n, see, ...) see
#define SEE_ALL(...)                                                                               \
    SEE_PICK(__VA_ARGS__, SEE_14, SEE_13, SEE_12, SEE_11, SEE_10, SEE_9, SEE_8, SEE_7, SEE_6, SEE_5, SEE_4, SEE_3, SEE_2, SEE_1, 0) \
    (__VA_ARGS__)
#endif
