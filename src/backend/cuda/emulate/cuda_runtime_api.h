/* cuda_runtime_api.h: what the host side asks of the runtime, on a processor; see emulate.h. */
#ifndef AM_CUDA_EMULATE_RUNTIME_H
#define AM_CUDA_EMULATE_RUNTIME_H
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef int cudaError_t;
typedef struct CUstream_st *cudaStream_t;
typedef struct CUevent_st *cudaEvent_t;
typedef struct CUgraph_st *cudaGraph_t;
typedef struct CUgraphExec_st *cudaGraphExec_t;
enum { cudaSuccess, cudaErrorMemoryAllocation = 2, cudaErrorNoKernelImageForDevice = 209,
       cudaErrorStreamCaptureUnsupported = 900, cudaErrorStreamCaptureUnjoined = 904, cudaErrorStreamCaptureIsolation = 905 };
enum { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
enum { cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2, cudaHostAllocDefault = 0, cudaStreamCaptureModeRelaxed = 2 };
struct cudaDeviceProp { char name[64]; int major, minor; size_t totalGlobalMem; };

/* streams.cpp */
cudaError_t cudaMalloc(void **, size_t);
cudaError_t cudaFree(void *);
cudaError_t cudaHostAlloc(void **, size_t, unsigned flags);
cudaError_t cudaFreeHost(void *);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t);
cudaError_t cudaStreamSynchronize(cudaStream_t);
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned flags);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t);
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t);
cudaError_t cudaEventSynchronize(cudaEvent_t);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n, int kind, cudaStream_t);
cudaError_t cudaMemsetAsync(void *to, int v, size_t n, cudaStream_t);
cudaError_t cudaStreamBeginCapture(cudaStream_t, int mode);
cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t *);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *, cudaGraph_t, unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t, cudaStream_t);
cudaError_t cudaGraphDestroy(cudaGraph_t);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t);

/* In which order the operations of a graph are done, of all that their dependencies allow.  VARIED: another one each
 * launch, of the others. */
enum { AM_EMULATE_VARIED, AM_EMULATE_AS_ISSUED, AM_EMULATE_LAST_FIRST, AM_EMULATE_AS_LATE_AS_POSSIBLE, AM_EMULATE_RANDOM };
void am_emulate_order(int order, unsigned long long seed);
/* From now on, while `on`: which operations of a graph change memory, and how many words two changed that do not
 * depend on each other.  Returns the count of before. */
long am_emulate_watch(int on);
/* Of the graph launched last: its operations, and how many pairs of them may run side by side. */
void am_emulate_shape(long *operations, long *pairs);

static inline const char *cudaGetErrorString(cudaError_t e)
{
    return !e ? "no error" : e == cudaErrorMemoryAllocation ? "out of memory" : "this cannot be captured";
}
static inline const char *cudaGetErrorName(cudaError_t e) { return cudaGetErrorString(e); }
static inline cudaError_t cudaGetLastError(void) { return cudaSuccess; }
static inline cudaError_t cudaGetDeviceCount(int *n) { *n = 1; return cudaSuccess; }
static inline cudaError_t cudaDriverGetVersion(int *v) { *v = 13000; return cudaSuccess; }
static inline cudaError_t cudaSetDevice(int n) { (void)n; return cudaSuccess; }
static inline cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int n)
{
    (void)n;
    strcpy(p->name, "emulated");
    p->major = 9;
    p->minor = 0;
    p->totalGlobalMem = (size_t)1 << 30;
    return cudaSuccess;
}
static inline cudaError_t cudaMemGetInfo(size_t *left, size_t *all) { *left = *all = 0; return cudaSuccess; }

#ifdef __cplusplus
}
#endif
#endif
