/* cuda.c: the CUDA backend's faults, and how it opens and closes. */
#include "arith.h"
#include "cuda.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- faults ---- */

void am_cuda_fault(am_backend *be, const char *op, const char *fmt, ...)
{
    am_cuda_state *st = am_cuda_of(be);
    if (st->fault[0]) return;
    int used = be->layer > 0 ? snprintf(st->fault, sizeof st->fault, "%s in layer %d: ", op, be->layer - 1)
                             : snprintf(st->fault, sizeof st->fault, "%s: ", op);
    va_list va;
    va_start(va, fmt);
    vsnprintf(st->fault + used, sizeof st->fault - (size_t)used, fmt, va);
    va_end(va);
}

void am_cuda_check(am_backend *be, const char *op)
{
    am_cuda_of(be)->last = op;
    am_cuda_of(be)->last_layer = be->layer;
    const cudaError_t bad = cudaGetLastError();
    if (bad) am_cuda_fault(be, op, "%s (%s)", cudaGetErrorString(bad), cudaGetErrorName(bad));
}

/* What kernels write into am_trouble. */
static const char *const troubled[] = {"", "score", "onehot", "labels_mix", "blend", "blend_back", "pairing", "gather", "cells"};

/* A kernel's fault shows at the next question; which kernel, only where the device is asked after each. */
void am_cuda_late_fault(am_backend *be, cudaError_t bad)
{
    const am_cuda_state *st = am_cuda_of(be);
    char layer[40] = "";
    if (st->last_layer > 0) snprintf(layer, sizeof layer, " in layer %d", st->last_layer - 1);
    am_cuda_fault(be, "a kernel",
                  "%s; the last operation issued was %s%s; with CUDA_LAUNCH_BLOCKING=1 and "
                  "-uncaptured the message names the guilty one",
                  cudaGetErrorString(bad), st->last ? st->last : "none", layer);
}

am_status am_cuda_verdict(am_backend *be, cudaError_t bad, int trouble, am_err *e)
{
    am_cuda_state *st = am_cuda_of(be);
    be->layer = 0;
    if (bad) {
        am_cuda_late_fault(be, bad);
    } else if (trouble > 0 && trouble < (int)(sizeof troubled / sizeof *troubled)) {
        am_cuda_fault(be, troubled[trouble], "a label, a partner or an image is out of range");
        cudaMemsetAsync(st->trouble, 0, sizeof trouble, st->stream);
    }
    if (!st->fault[0]) return am_graphs_keep(st->graphs, e);
    am_fail(e, bad ? AM_EDEVICE : AM_EBUG, AM_NOPLACE, "the %s backend stopped at %s", be->name, st->fault);
    st->fault[0] = 0;
    return bad ? AM_EDEVICE : AM_EBUG;
}

static am_status wait(am_backend *be, am_err *e)
{
    am_cuda_state *st = am_cuda_of(be);
    int trouble = 0;
    if (am_cuda_traffic(be)) return AM_OK;
    cudaError_t bad = cudaMemcpyAsync(&trouble, st->trouble, sizeof trouble, cudaMemcpyDeviceToHost, st->stream);
    if (!bad) bad = cudaStreamSynchronize(st->stream);
    return am_cuda_verdict(be, bad, trouble, e);
}

/* ---- activations ---- */

int am_cuda_is_half(const am_backend *be, am_shape s) { return s.h == 1 && s.w == 1 ? 0 : am_cuda_of(be)->half; }

size_t am_cuda_room(am_backend *be, am_shape s)
{
    const size_t k = am_count(am_batch_of(s, 1));
    if (s.h == 1 && s.w == 1) return (size_t)s.n * k;
    return (size_t)s.n * (((am_cuda_is_half(be, s) ? (k + 1) / 2 : k) + 15) / 16 * 16);
}

am_view am_cuda_view(const am_backend *be, am_shape s, am_dev d)
{
    const int half = am_cuda_is_half(be, s);
    const size_t k = am_count(am_batch_of(s, 1)), line = half ? 32 : 16;
    return (am_view){d.p, half, s.n, s.c, s.h, s.w, s.h == 1 && s.w == 1 ? k : (k + line - 1) / line * line};
}

static void fill_table(am_ops *t)
{
    *t = (am_ops){.sync = wait};
    am_cuda_fill_memory(t);
    am_cuda_fill_plain(t);
    am_cuda_fill_layers(t);
    am_cuda_fill_losses(t);
    am_cuda_fill_mixing(t);
    am_cuda_fill_conv(t);
    am_cuda_fill_record(t);
}

/* ---- opening ---- */

enum { RESIDENT = 8 };          /* a data set may take one part in so many of the device's memory */

typedef struct opened { am_cuda_state state; am_ops ops; } opened;

static void stop(am_backend *be)
{
    opened *o = be->state;
    if (!o) return;
    am_cuda_state *st = &o->state;
    if (st->stream) cudaStreamSynchronize(st->stream);
    am_cuda_forget(be);
    am_cuda_memory_close(be);
    for (int i = 0; i < AM_ASIDES; i++)
        if (st->there[i]) cudaEventDestroy(st->there[i]);
    if (st->aside) cudaFreeHost(st->aside);
    cudaFree(st->tickets);
    cudaFree(st->partial);
    cudaFree(st->trouble);
    cudaFree(st->scale);
    am_graphs_close(st->graphs);
    if (st->stream) cudaStreamDestroy(st->stream);
    free(o);
    be->state = NULL;
}

static am_status look_at_device(int device, struct cudaDeviceProp *p, am_err *e)
{
    int count = 0;
    const cudaError_t bad = cudaGetDeviceCount(&count);
    cudaGetLastError();
    int driver = 0;
    cudaDriverGetVersion(&driver);
    if (!driver) return am_fail(e, AM_EDEVICE, AM_NOPLACE, "no CUDA device: there is no NVIDIA driver here");
    if (bad || count < 1)
        return am_fail(e, AM_EDEVICE, AM_NOPLACE, "no CUDA device: %s", bad ? cudaGetErrorString(bad) : "the driver lists none");
    if (device < 0 || device >= count)
        return am_fail(e, AM_EDEVICE, AM_NOPLACE, "there is no GPU %d; this machine has %d, counted from 0", device, count);
    if (cudaSetDevice(device) || cudaGetDeviceProperties(p, device))
        return am_fail(e, AM_EDEVICE, AM_NOPLACE, "GPU %d does not answer: %s", device, cudaGetErrorString(cudaGetLastError()));
    if (p->major < 8)
        return am_fail(e, AM_EDEVICE, AM_NOPLACE, "GPU %d, %s, has compute capability %d.%d; 8.0 or later is needed", device, p->name,
                       p->major, p->minor);
    return AM_OK;
}

/* fp16: the losses' scale is 1 until the first update. */
static cudaError_t start_scale(am_cuda_state *st)
{
    const float first[AM_SCALES] = {[AM_SCALE] = 1, [AM_SCALE_AGE] = -1};
    cudaError_t bad = cudaMalloc((void **)&st->scale, sizeof first);
    if (!bad) bad = cudaMemcpyAsync(st->scale, first, sizeof first, cudaMemcpyHostToDevice, st->stream);
    return bad ? bad : cudaStreamSynchronize(st->stream);
}

/* Does this program hold code for the device?  A first kernel says so now, not in some operation. */
static am_status try_kernel(am_cuda_state *st, const struct cudaDeviceProp *p, am_err *e)
{
    am_gpu_fill(st->stream, 1, 0, (float *)(void *)st->trouble);
    cudaError_t bad = cudaGetLastError();
    if (bad == cudaErrorNoKernelImageForDevice)
        return am_fail(e, AM_EDEVICE, AM_NOPLACE,
                       "this automix holds no code for %s, sm_%d%d; build it with: make GPU=1 "
                       "CUDA_ARCH=%d%d",
                       p->name, p->major, p->minor, p->major, p->minor);
    if (!bad) bad = cudaStreamSynchronize(st->stream);
    if (!bad) return AM_OK;
    return am_fail(e, AM_EDEVICE, AM_NOPLACE, "%s runs no kernel: %s (%s)", p->name,
                   cudaGetErrorString(bad), cudaGetErrorName(bad));
}

static am_status start(am_backend *be, const am_backend_options *how, am_err *e)
{
    static const char *const words[] = {"fp32", "bf16", "fast", "tf32", "fp16"};
    struct cudaDeviceProp p;
    am_precision precision = how ? how->precision : AM_BF16;
    if (precision == AM_FAST) precision = AM_BF16;
    AM_TRY(look_at_device(how ? how->device : 0, &p, e));
    opened *o = calloc(1, sizeof *o);
    if (!o) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "no memory for the cuda backend");
    am_cuda_state *st = &o->state;
    fill_table(&o->ops);
    *be = (am_backend){.ops = &o->ops, .name = "cuda", .threads = 1, .precision = precision, .fuses = 1, .doubles = 1, .state = o};
    be->resident = p.totalGlobalMem / RESIDENT;
    st->half = precision == AM_BF16 ? AM_HALF_BF16 : precision == AM_FP16 ? AM_HALF_F16 : 0;
    st->record.off = how && how->uncaptured;
    be->ahead = !st->record.off;
    const size_t partial = (size_t)CUDA_SAMPLES * AM_MASK_PARTIAL * sizeof *st->partial;
    cudaError_t bad = cudaStreamCreateWithFlags(&st->stream, cudaStreamNonBlocking);
    if (!bad) bad = cudaMalloc((void **)&st->partial, partial);
    if (!bad) bad = cudaMalloc((void **)&st->tickets, AM_TICKETS * sizeof *st->tickets);
    if (!bad) bad = cudaMalloc((void **)&st->trouble, sizeof *st->trouble);
    if (!bad) bad = cudaHostAlloc((void **)&st->aside, AM_ASIDES * sizeof *st->aside, cudaHostAllocDefault);
    for (int i = 0; i < AM_ASIDES && !bad; i++) bad = cudaEventCreateWithFlags(&st->there[i], cudaEventDisableTiming);
    if (!bad && precision == AM_FP16) bad = start_scale(st);
    if (!bad) bad = cudaMemsetAsync(st->tickets, 0, AM_TICKETS * sizeof *st->tickets, st->stream);
    if (!bad) bad = cudaMemsetAsync(st->trouble, 0, sizeof *st->trouble, st->stream);
    am_status s = bad ? am_fail(e, AM_EDEVICE, AM_NOPLACE, "GPU %d, %s, gives no stream or memory: %s", how ? how->device : 0, p.name,
                                cudaGetErrorString(bad))
                      : try_kernel(st, &p, e);
    if (!s) s = am_graphs_open(&st->graphs, precision, st->stream, e);
    if (!s && how && how->plans) s = am_graphs_remember(st->graphs, how->plans, p.name, e);
    if (s) {
        cudaGetLastError();
        stop(be);
        *be = (am_backend){0};
        return s;
    }
    snprintf(be->about, sizeof be->about, "cuda: %.60s, sm_%d%d, %s, %s", p.name, p.major, p.minor, am_graphs_about(), words[precision]);
    return AM_OK;
}

const am_backend_type am_backend_cuda = {"cuda", "an NVIDIA GPU, by cuDNN and our own kernels; bf16, fp16, tf32 or fp32", start, stop};
