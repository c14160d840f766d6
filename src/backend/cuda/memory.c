/* memory.c: the device's memory, and the ways in and out of it.
 *
 * What goes in leaves through a ring of pinned buffers: the caller's memory is its own again when the
 * operation returns, and the copy runs beside what the host does next.  What comes out is waited for, save
 * what is put aside for later. */
#include "cuda.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PINNED = 64 << 20 };        /* 256 images of 224 x 224 are 38 MB */

static am_dev take(am_backend *be, size_t floats)
{
    am_cuda_state *st = am_cuda_of(be);
    if (floats > SIZE_MAX >> 3) return AM_NOWHERE;
    am_cuda_block *b = malloc(sizeof *b);
    if (!b) return AM_NOWHERE;
    b->at = NULL;
    b->bytes = (floats * sizeof(float) + 255) / 256 * 256;
    if (!b->bytes) b->bytes = 256;
    if (cudaMalloc(&b->at, b->bytes) || cudaMemsetAsync(b->at, 0, b->bytes, st->stream)) {
        size_t left = 0, all = 0;
        cudaGetLastError();
        cudaFree(b->at);
        cudaMemGetInfo(&left, &all);
        snprintf(be->note, sizeof be->note, "%zu MB of the GPU's %zu MB are free; %zu MB are taken by this run", left >> 20, all >> 20, be->bytes >> 20);
        free(b);
        return AM_NOWHERE;
    }
    b->next = st->blocks;
    st->blocks = b;
    be->allocations++;
    be->bytes += b->bytes;
    if (be->bytes > be->peak) be->peak = be->bytes;
    return (am_dev){b->at};
}

static void give_back(am_backend *be, am_dev d)
{
    for (am_cuda_block **at = &am_cuda_of(be)->blocks; am_is(d) && *at; at = &(*at)->next)
        if ((*at)->at == (void *)d.p) {
            am_cuda_block *b = *at;
            *at = b->next;
            be->bytes -= b->bytes;
            cudaFree(b->at);
            free(b);
            return;
        }
}

void *am_cuda_stage(am_backend *be, const char *op, size_t bytes)
{
    am_cuda_state *st = am_cuda_of(be);
    if (bytes <= st->stage_bytes) return st->stage;
    cudaFree(st->stage);                        /* waits for what still reads it */
    st->stage = NULL;
    st->stage_bytes = 0;
    if (cudaMalloc(&st->stage, bytes)) {
        cudaGetLastError();
        st->stage = NULL;
        am_cuda_fault(be, op, "the device has no %zu bytes left to pass data through", bytes);
        return NULL;
    }
    st->stage_bytes = bytes;
    return st->stage;
}

/* The next pinned buffer, free and large enough; NULL where the copy must do without one. */
static am_cuda_slot *slot_for(am_cuda_state *st, size_t bytes)
{
    if (bytes > MOST_PINNED) return NULL;
    am_cuda_slot *s = &st->slot[st->next_slot];
    st->next_slot = (st->next_slot + 1) % CUDA_SLOTS;
    if (!s->gone && cudaEventCreateWithFlags(&s->gone, cudaEventDisableTiming)) s->gone = NULL;
    if (s->busy) cudaEventSynchronize(s->gone);
    s->busy = 0;
    if (s->gone && bytes <= s->bytes) return s;
    if (s->at) cudaFreeHost(s->at);
    s->at = NULL;
    s->bytes = 0;
    if (!s->gone || cudaHostAlloc(&s->at, bytes, cudaHostAllocDefault)) {
        cudaGetLastError();
        s->at = NULL;
        return NULL;
    }
    s->bytes = bytes;
    return s;
}

static void send(am_cuda_state *st, void *to, const void *host, size_t bytes)
{
    am_cuda_slot *s = slot_for(st, bytes);
    if (s) {
        memcpy(s->at, host, bytes);
        cudaMemcpyAsync(to, s->at, bytes, cudaMemcpyHostToDevice, st->stream);
        s->busy = !cudaEventRecord(s->gone, st->stream);
        if (s->busy) return;
    } else {
        cudaMemcpyAsync(to, host, bytes, cudaMemcpyHostToDevice, st->stream);
    }
    cudaStreamSynchronize(st->stream);
}

/* Waits, so this is where a kernel's fault mostly shows. */
static void receive(am_backend *be, void *host, const void *from, size_t bytes)
{
    am_cuda_state *st = am_cuda_of(be);
    cudaError_t bad = cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost, st->stream);
    if (!bad) bad = cudaStreamSynchronize(st->stream);
    if (bad) am_cuda_late_fault(be, bad);
}

/* Operations by which the host looks in or writes: not while a step is listened to or captured. */
#define BEGIN_HOST(op)                                                                             \
    am_cuda_state *const st = am_cuda_of(be);                                                      \
    const char *const name_of_op = op;                                                             \
    const int must_not = am_cuda_traffic(be);                                                      \
    if (st->fault[0]) return

static void upload(am_backend *be, size_t floats, const void *host, am_dev d)
{
    BEGIN_HOST("upload");
    if (must_not) return;
    send(st, d.p, host, floats * sizeof(float));
    END;
}

static void download(am_backend *be, size_t floats, am_dev d, void *host)
{
    BEGIN_HOST("download");
    if (must_not) {
        memset(host, 0, floats * sizeof(float));
        return;
    }
    receive(be, host, d.p, floats * sizeof(float));
    END;
}

static void download_begin(am_backend *be, size_t floats, am_dev d, int slot)
{
    BEGIN_HOST("download_begin");
    if (must_not) return;
    am_cuda_aside *to = &st->aside[slot];
    cudaMemcpyAsync(to->at, d.p, floats * sizeof(float), cudaMemcpyDeviceToHost, st->stream);
    cudaMemcpyAsync(&to->trouble, st->trouble, sizeof to->trouble, cudaMemcpyDeviceToHost, st->stream);
    cudaEventRecord(st->there[slot], st->stream);
    END;
}

static am_status download_end(am_backend *be, size_t floats, int slot, void *host, am_err *e)
{
    am_cuda_state *st = am_cuda_of(be);
    if (am_cuda_traffic(be)) return AM_OK;
    const cudaError_t bad = cudaEventSynchronize(st->there[slot]);
    memcpy(host, st->aside[slot].at, floats * sizeof(float));
    return am_cuda_verdict(be, bad, bad ? 0 : st->aside[slot].trouble, e);
}

static void put(am_backend *be, am_shape s, const float *nchw, am_dev d)
{
    BEGIN_HOST("put");
    if (must_not) return;
    float *stage = am_cuda_stage(be, name_of_op, am_count(s) * sizeof *nchw);
    if (!stage) return;
    send(st, stage, nchw, am_count(s) * sizeof *nchw);
    am_gpu_put(st->stream, stage, am_cuda_view(be, s, d));
    END;
}

static void get(am_backend *be, am_shape s, am_dev d, float *nchw)
{
    BEGIN_HOST("get");
    if (must_not) {
        memset(nchw, 0, am_count(s) * sizeof *nchw);
        return;
    }
    float *stage = am_cuda_stage(be, name_of_op, am_count(s) * sizeof *nchw);
    if (!stage) return;
    am_gpu_get(st->stream, am_cuda_view(be, s, d), stage);
    receive(be, nchw, stage, am_count(s) * sizeof *nchw);
    END;
}

/* 0 after a fault. */
static int levels(am_backend *be, const char *op, int c, const float *mean, const float *std, am_channels *to)
{
    if (c > AM_MOST_CHANNELS) {
        am_cuda_fault(be, op, "an image of %d channels; at most %d", c, AM_MOST_CHANNELS);
        return 0;
    }
    memcpy(to->mean, mean, (size_t)c * sizeof *mean);
    memcpy(to->std, std, (size_t)c * sizeof *std);
    return 1;
}

static void put_bytes(am_backend *be, am_shape s, const unsigned char *nhwc, const float *mean, const float *std, am_dev d)
{
    BEGIN_HOST("put_bytes");
    am_channels channels;
    if (must_not || !levels(be, name_of_op, s.c, mean, std, &channels)) return;
    unsigned char *stage = am_cuda_stage(be, name_of_op, am_count(s));
    if (!stage) return;
    send(st, stage, nhwc, am_count(s));
    am_gpu_put_bytes(st->stream, stage, channels, am_cuda_view(be, s, d));
    END;
}

/* Its mean and std are the host's, so it counts as a way in. */
static void gather(am_backend *be, am_shape s, int images, am_dev set, am_dev windows, int reflect, const float *mean,
                   const float *std, am_dev d)
{
    BEGIN_HOST("gather");
    am_channels channels;
    if (must_not || !levels(be, name_of_op, s.c, mean, std, &channels)) return;
    am_gpu_gather(st->stream, images, (const unsigned char *)set.p, am_cuda_ints(windows), reflect, channels,
                  am_cuda_view(be, s, d), am_cuda_trouble(be, IN_GATHER));
    END;
}

void am_cuda_memory_close(am_backend *be)
{
    am_cuda_state *st = am_cuda_of(be);
    while (st->blocks) give_back(be, (am_dev){st->blocks->at});
    for (int i = 0; i < CUDA_SLOTS; i++) {
        if (st->slot[i].gone) cudaEventDestroy(st->slot[i].gone);
        if (st->slot[i].at) cudaFreeHost(st->slot[i].at);
    }
    cudaFree(st->stage);
}

void am_cuda_fill_memory(am_ops *t)
{
    t->alloc = take, t->free = give_back, t->room = am_cuda_room, t->upload = upload, t->download = download;
    t->download_begin = download_begin, t->download_end = download_end;
    t->put = put, t->get = get, t->put_bytes = put_bytes, t->gather = gather;
}
