/* cpu.c: the plain C backend's table, its memory, and how it stops. */
#define _GNU_SOURCE
#include "cpu.h"
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* ---- memory: a block is preceded by one cache line that holds its size ---- */

/* Large blocks ask for large pages: a step walks through hundreds of megabytes along dozens of strides, and with pages
 * of 4 KB the processor would spend its time looking up where they are. */
enum { LARGE_PAGE = 2 << 20 };

static char *take(size_t bytes)
{
    if (bytes < 2 * LARGE_PAGE) return aligned_alloc(64, bytes);
    char *block = aligned_alloc(LARGE_PAGE, (bytes + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE);
#ifdef MADV_HUGEPAGE
    if (block) madvise(block, bytes, MADV_HUGEPAGE);
#endif
    return block;
}

am_dev am_cpu_alloc(am_backend *be, size_t floats)
{
    if (floats > (SIZE_MAX >> 3)) return AM_NOWHERE;
    size_t bytes = (floats * sizeof(float) + 63) / 64 * 64;
    char *block = take(bytes + 64);
    if (!block) return AM_NOWHERE;
    memset(block, 0, bytes + 64);
    memcpy(block, &bytes, sizeof bytes);
    be->allocations++;
    be->bytes += bytes;
    if (be->bytes > be->peak) be->peak = be->bytes;
    return (am_dev){(float *)(void *)(block + 64)};
}

void am_cpu_free(am_backend *be, am_dev d)
{
    if (!am_is(d)) return;
    char *block = (char *)d.p - 64;
    size_t bytes;
    memcpy(&bytes, block, sizeof bytes);
    be->bytes -= bytes;
    free(block);
}

size_t am_cpu_room(am_backend *be, am_shape s)
{
    (void)be;
    return (size_t)s.n * am_cpu_sample(s);
}

void am_cpu_upload(am_backend *be, size_t floats, const void *host, am_dev d)
{
    if (am_cpu_stopped(be)) return;
    memcpy(d.p, host, floats * sizeof(float));
}

void am_cpu_download(am_backend *be, size_t floats, am_dev d, void *host)
{
    if (am_cpu_stopped(be)) return;
    memcpy(host, d.p, floats * sizeof(float));
}

void am_cpu_put(am_backend *be, am_shape s, const float *nchw, am_dev d)
{
    if (am_cpu_stopped(be)) return;
    size_t k = am_count(am_batch_of(s, 1)), step = am_cpu_sample(s);
    for (int i = 0; i < s.n; i++)
        memcpy(d.p + (size_t)i * step, nchw + (size_t)i * k, k * sizeof(float));
}

void am_cpu_get(am_backend *be, am_shape s, am_dev d, float *nchw)
{
    if (am_cpu_stopped(be)) return;
    size_t k = am_count(am_batch_of(s, 1)), step = am_cpu_sample(s);
    for (int i = 0; i < s.n; i++)
        memcpy(nchw + (size_t)i * k, d.p + (size_t)i * step, k * sizeof(float));
}

void am_cpu_put_bytes(am_backend *be, am_shape s, const unsigned char *nhwc, const float *mean,
                      const float *std, am_dev d)
{
    if (am_cpu_stopped(be)) return;
    size_t step = am_cpu_sample(s), plane = am_cpu_plane(s), c = (size_t)s.c;
#pragma omp parallel for num_threads(am_cpu_team(be, am_count(s))) schedule(static)
    for (int i = 0; i < s.n; i++)
        for (size_t k = 0; k < c; k++) {
            const unsigned char *from = nhwc + (size_t)i * plane * c + k;
            float *to = d.p + (size_t)i * step + k * plane;
            for (size_t p = 0; p < plane; p++)
                to[p] = ((float)from[p * c] / 255.0f - mean[k]) / std[k];
        }
}

/* ---- faults ---- */

void am_cpu_fault(am_backend *be, const char *fmt, ...)
{
    if (am_cpu_stopped(be)) return;
    va_list va;
    va_start(va, fmt);
    vsnprintf(am_cpu_of(be)->fault, sizeof am_cpu_of(be)->fault, fmt, va);
    va_end(va);
}

am_status am_cpu_sync(am_backend *be, am_err *e)
{
    am_cpu_state *st = am_cpu_of(be);
    if (!st->fault[0]) return AM_OK;
    am_fail(e, AM_EBUG, AM_NOPLACE, "the %s backend stopped at %s", be->name, st->fault);
    st->fault[0] = 0;
    return AM_EBUG;
}

void am_cpu_download_begin(am_backend *be, size_t floats, am_dev d, int slot)
{
    am_cpu_download(be, floats, d, am_cpu_of(be)->aside[slot]);
}

am_status am_cpu_download_end(am_backend *be, size_t floats, int slot, void *host, am_err *e)
{
    memcpy(host, am_cpu_of(be)->aside[slot], floats * sizeof(float));
    return am_cpu_sync(be, e);
}

/* Nothing is recorded: operations run as they come. */
static void begin(am_backend *be, const void *what)
{
    (void)be, (void)what;
}
static int end(am_backend *be)
{
    (void)be;
    return 0;
}

static void unscale(am_backend *be, size_t n, am_dev g)
{
    (void)be, (void)n, (void)g;
}

int am_cpu_labels_ok(am_backend *be, const char *op, int n, int k, am_dev labels)
{
    for (int i = 0; i < n; i++)
        if (am_cpu_ints(labels)[i] >= k) {
            am_cpu_fault(be, "%s: label %d of sample %d, but there are %d classes", op,
                         am_cpu_ints(labels)[i], i, k);
            return 0;
        }
    return 1;
}

int am_cpu_perm_ok(am_backend *be, const char *op, int n, am_dev perm)
{
    for (int i = 0; i < n; i++)
        if (am_cpu_ints(perm)[i] < 0 || am_cpu_ints(perm)[i] >= n) {
            am_cpu_fault(be, "%s: sample %d has partner %d in a batch of %d", op, i,
                         am_cpu_ints(perm)[i], n);
            return 0;
        }
    return 1;
}

/* ---- opening ---- */

int am_cpu_cores(void)
{
    int cores = 1;
#ifdef _OPENMP
    const char *told = getenv("OMP_NUM_THREADS");
    if (told && atoi(told) > 0) return atoi(told);
#ifdef __linux__
    cpu_set_t set;
    if (!sched_getaffinity(0, sizeof set, &set)) cores = CPU_COUNT(&set);
#endif
#endif
    return cores;
}

void am_cpu_start(am_backend *be, am_cpu_state *st, const am_backend_options *o)
{
    st->kernels = am_kernels_find(o ? o->isa : NULL);
    st->fault[0] = 0;
    be->state = st;
    be->threads = o && o->threads > 0 ? o->threads : am_cpu_cores();
#ifndef _OPENMP
    be->threads = 1;
#endif
    be->precision = AM_FP32;
    be->fuses = 0;
    be->allocations = be->bytes = be->peak = 0;
}

static am_status start(am_backend *be, const am_backend_options *o, am_err *e)
{
    am_cpu_state *st = malloc(sizeof *st);
    if (!st) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "no memory for the cpu backend");
    am_cpu_start(be, st, o);
    be->ops = &am_cpu_ops;
    be->name = "cpu";
    snprintf(be->about, sizeof be->about, "cpu: plain C, products in %s, %d thread%s, fp32",
             st->kernels->name, be->threads, be->threads == 1 ? "" : "s");
    return AM_OK;
}

static void stop(am_backend *be)
{
    free(be->state);
    be->state = NULL;
}

const am_ops am_cpu_ops = {
    .alloc = am_cpu_alloc,
    .free = am_cpu_free,
    .room = am_cpu_room,
    .upload = am_cpu_upload,
    .download = am_cpu_download,
    .put = am_cpu_put,
    .get = am_cpu_get,
    .put_bytes = am_cpu_put_bytes,
    .gather = am_cpu_gather,
    .sync = am_cpu_sync,
    .download_begin = am_cpu_download_begin,
    .download_end = am_cpu_download_end,
    .fill = am_cpu_fill,
    .copy = am_cpu_copy,
    .sgd = am_cpu_sgd,
    .clip = am_cpu_clip,
    .guard = am_cpu_guard,
    .add = am_cpu_add,
    .act_back = am_cpu_act_back,
    .dropout = am_cpu_dropout,
    .dropout_back = am_cpu_dropout_back,
    .finite = am_cpu_finite,
    .conv_plan = am_cpu_conv_plan,
    .conv_drop = am_cpu_conv_drop,
    .conv_prepared = am_cpu_conv_prepared,
    .conv_prepare = am_cpu_conv_prepare,
    .conv_scratch = am_cpu_conv_scratch,
    .conv = am_cpu_conv,
    .conv_back = am_cpu_conv_back,
    .bias_back = am_cpu_bias_back,
    .norm_saved = am_cpu_norm_saved,
    .norm = am_cpu_norm,
    .norm_back = am_cpu_norm_back,
    .norm_fold = am_cpu_norm_fold,
    .affine = am_cpu_affine,
    .dense = am_cpu_dense,
    .dense_back = am_cpu_dense_back,
    .maxpool = am_cpu_maxpool,
    .maxpool_back = am_cpu_maxpool_back,
    .avgpool = am_cpu_avgpool,
    .avgpool_back = am_cpu_avgpool_back,
    .upsample = am_cpu_upsample,
    .upsample_back = am_cpu_upsample_back,
    .route = am_cpu_route,
    .route_back = am_cpu_route_back,
    .softmax = am_cpu_softmax,
    .softmax_back = am_cpu_softmax_back,
    .score = am_cpu_score,
    .mean = am_cpu_mean,
    .onehot = am_cpu_onehot,
    .labels_mix = am_cpu_labels_mix,
    .mask_fill = am_cpu_mask_fill,
    .mask_box = am_cpu_mask_box,
    .mask_margin = am_cpu_mask_margin,
    .blend = am_cpu_blend,
    .blend_back = am_cpu_blend_back,
    .blend_back_x = am_cpu_blend_back_x,
    .pairing_saved = am_cpu_pairing_saved,
    .pairing_scratch = am_cpu_pairing_scratch,
    .pairing = am_cpu_pairing,
    .pairing_back = am_cpu_pairing_back,
    .pair_rows = am_cpu_pair_rows,
    .attend_saved = am_cpu_attend_saved,
    .attend_scratch = am_cpu_attend_scratch,
    .attend = am_cpu_attend,
    .attend_back = am_cpu_attend_back,
    .mask_loss = am_cpu_mask_loss,
    .mask_health = am_cpu_mask_health,
    .cells = am_cpu_cells,
    .cells_back = am_cpu_cells_back,
    .jsd = am_cpu_jsd,
    .begin = begin,
    .end = end,
    .unscale = unscale,
};

const am_backend_type am_backend_cpu = {
    "cpu",
    "plain C with OpenMP, float32; the judge of the others",
    start,
    stop,
};
