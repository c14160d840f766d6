/* cuda.c: the CUDA backend's memory, its faults, and how it opens and closes. */
#include "cuda.h"
#include <cuda_runtime_api.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- faults ---- */

void am_cuda_fault(am_backend *be, const char *op, const char *fmt, ...)
{
    am_cuda_state *st = am_cuda_of(be);
    if (st->fault[0]) return;
    int used = snprintf(st->fault, sizeof st->fault, "%s: ", op);
    va_list va;
    va_start(va, fmt);
    vsnprintf(st->fault + used, sizeof st->fault - (size_t)used, fmt, va);
    va_end(va);
}

void am_cuda_check(am_backend *be, const char *op)
{
    am_cuda_of(be)->last = op;
    const cudaError_t bad = cudaGetLastError();
    if (bad) am_cuda_fault(be, op, "%s (%s)", cudaGetErrorString(bad), cudaGetErrorName(bad));
}

/* What kernels write into am_trouble; ops.c gives the numbers. */
static const char *const troubled[] = {"", "score", "onehot", "labels_mix", "blend", "blend_back", "pairing"};

am_status am_cuda_sync(am_backend *be, am_err *e)
{
    am_cuda_state *st = am_cuda_of(be);
    int trouble = 0;
    cudaError_t bad = cudaMemcpyAsync(&trouble, st->trouble, sizeof trouble, cudaMemcpyDeviceToHost, st->stream);
    if (!bad) bad = cudaStreamSynchronize(st->stream);
    if (bad)
        am_cuda_fault(be, "a kernel", "%s; the last operation was %s, and with CUDA_LAUNCH_BLOCKING=1 the message names the guilty one",
                      cudaGetErrorString(bad), st->last ? st->last : "none");
    else if (trouble > 0 && trouble < (int)(sizeof troubled / sizeof *troubled)) {
        am_cuda_fault(be, troubled[trouble], "a label or a partner is out of range");
        cudaMemsetAsync(st->trouble, 0, sizeof trouble, st->stream);
    }
    if (!st->fault[0]) return AM_OK;
    am_fail(e, bad ? AM_EDEVICE : AM_EBUG, AM_NOPLACE, "the %s backend stopped at %s", be->name, st->fault);
    st->fault[0] = 0;
    return bad ? AM_EDEVICE : AM_EBUG;
}

/* ---- memory ---- */

static am_dev take(am_backend *be, size_t floats)
{
    am_cuda_state *st = am_cuda_of(be);
    if (floats > SIZE_MAX >> 3) return AM_NOWHERE;
    am_cuda_block *b = malloc(sizeof *b);
    if (!b) return AM_NOWHERE;
    b->bytes = (floats * sizeof(float) + 255) / 256 * 256;
    if (!b->bytes) b->bytes = 256;
    if (cudaMalloc(&b->at, b->bytes)) {
        cudaGetLastError();
        free(b);
        return AM_NOWHERE;
    }
    cudaMemsetAsync(b->at, 0, b->bytes, st->stream);
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

int am_cuda_is_half(const am_backend *be, am_shape s) { return am_cuda_of(be)->half && !(s.h == 1 && s.w == 1); }

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

static void upload(am_backend *be, size_t floats, const void *host, am_dev d)
{
    BEGIN;
    cudaMemcpyAsync(d.p, host, floats * sizeof(float), cudaMemcpyHostToDevice, st->stream);
    END("upload");
}

/* The only operations that wait: their caller wants to look. */
static void download(am_backend *be, size_t floats, am_dev d, void *host)
{
    BEGIN;
    cudaMemcpyAsync(host, d.p, floats * sizeof(float), cudaMemcpyDeviceToHost, st->stream);
    cudaStreamSynchronize(st->stream);
    END("download");
}

static void put(am_backend *be, am_shape s, const float *nchw, am_dev d)
{
    BEGIN;
    float *stage = am_cuda_stage(be, "put", am_count(s) * sizeof *nchw);
    if (!stage) return;
    cudaMemcpyAsync(stage, nchw, am_count(s) * sizeof *nchw, cudaMemcpyHostToDevice, st->stream);
    am_gpu_put(st->stream, stage, am_cuda_view(be, s, d));
    END("put");
}

static void get(am_backend *be, am_shape s, am_dev d, float *nchw)
{
    BEGIN;
    float *stage = am_cuda_stage(be, "get", am_count(s) * sizeof *nchw);
    if (!stage) return;
    am_gpu_get(st->stream, am_cuda_view(be, s, d), stage);
    cudaMemcpyAsync(nchw, stage, am_count(s) * sizeof *nchw, cudaMemcpyDeviceToHost, st->stream);
    cudaStreamSynchronize(st->stream);
    END("get");
}

static void put_bytes(am_backend *be, am_shape s, const unsigned char *nhwc, const float *mean, const float *std, am_dev d)
{
    BEGIN;
    const size_t c = (size_t)s.c * sizeof *mean;
    char *stage = am_cuda_stage(be, "put_bytes", 2 * c + am_count(s));
    if (!stage) return;
    float *scale = (float *)(void *)stage;
    cudaMemcpyAsync(stage, mean, c, cudaMemcpyHostToDevice, st->stream);
    cudaMemcpyAsync(stage + c, std, c, cudaMemcpyHostToDevice, st->stream);
    cudaMemcpyAsync(stage + 2 * c, nhwc, am_count(s), cudaMemcpyHostToDevice, st->stream);
    am_gpu_put_bytes(st->stream, (const unsigned char *)stage + 2 * c, scale, scale + s.c, am_cuda_view(be, s, d));
    END("put_bytes");
}

static void copy(am_backend *be, size_t n, am_dev x, am_dev y)
{
    BEGIN;
    cudaMemcpyAsync(y.p, x.p, n * sizeof(float), cudaMemcpyDeviceToDevice, st->stream);
    END("copy");
}

static void fill_table(am_ops *t)
{
    *t = (am_ops){.alloc = take, .free = give_back, .room = am_cuda_room, .upload = upload, .download = download, .put = put,
                  .get = get, .put_bytes = put_bytes, .sync = am_cuda_sync, .copy = copy};
    am_cuda_fill_ops(t);
    am_cuda_fill_conv(t);
}

/* ---- opening ---- */

typedef struct opened { am_cuda_state state; am_ops ops; } opened;

static void stop(am_backend *be)
{
    opened *o = be->state;
    if (!o) return;
    am_cuda_state *st = &o->state;
    if (st->stream) cudaStreamSynchronize(st->stream);
    while (st->blocks) give_back(be, (am_dev){st->blocks->at});
    cudaFree(st->stage);
    cudaFree(st->partial);
    cudaFree(st->trouble);
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

static am_status start(am_backend *be, const am_backend_options *how, am_err *e)
{
    static const char *const words[] = {"fp32", "bf16", "fast", "tf32", "fp16"};
    struct cudaDeviceProp p;
    am_precision precision = how ? how->precision : AM_BF16;
    if (precision == AM_FAST) precision = AM_BF16;
    if (precision == AM_FP16)
        return am_fail(e, AM_EINPUT, AM_NOPLACE, "the cuda backend computes in precision bf16, tf32 or fp32, not fp16; bf16 needs no loss scaling");
    AM_TRY(look_at_device(how ? how->device : 0, &p, e));
    opened *o = calloc(1, sizeof *o);
    if (!o) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "no memory for the cuda backend");
    am_cuda_state *st = &o->state;
    fill_table(&o->ops);
    *be = (am_backend){.ops = &o->ops, .name = "cuda", .threads = 1, .precision = precision, .fuses = 1, .state = o};
    st->half = precision == AM_BF16;
    const size_t partial = (size_t)CUDA_SAMPLES * AM_MASK_PARTIAL * sizeof *st->partial;
    cudaError_t bad = cudaStreamCreate(&st->stream);
    if (!bad) bad = cudaMalloc((void **)&st->partial, partial);
    if (!bad) bad = cudaMalloc((void **)&st->trouble, sizeof *st->trouble);
    if (!bad) bad = cudaMemsetAsync(st->trouble, 0, sizeof *st->trouble, st->stream);
    am_status s = bad ? am_fail(e, AM_EDEVICE, AM_NOPLACE, "GPU %d, %s, gives no stream or memory: %s", how ? how->device : 0, p.name,
                                cudaGetErrorString(bad))
                      : am_graphs_open(&st->graphs, precision, st->stream, e);
    if (s) {
        cudaGetLastError();
        stop(be);
        *be = (am_backend){0};
        return s;
    }
    snprintf(be->about, sizeof be->about, "cuda: %.60s, sm_%d%d, %s, %s", p.name, p.major, p.minor, am_graphs_about(), words[precision]);
    return AM_OK;
}

const am_backend_type am_backend_cuda = {"cuda", "an NVIDIA GPU, by cuDNN and our own kernels; bf16, tf32 or fp32", start, stop};
