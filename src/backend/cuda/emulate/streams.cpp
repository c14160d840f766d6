/* streams.cpp: streams, events and graphs on a processor, as unkind as CUDA allows.
 *
 * What is issued is done as late as the host can bear: when it waits, frees, or copies to memory of its
 * own that is not pinned.  So what it reads too early has not come yet, and what it writes too early
 * is what is sent.
 *
 * A stream that is captured notes its work as operations of a graph; an operation depends on what was last in
 * its stream, and on what the stream waited for.  A launch does them in any order that these dependencies
 * allow, and so finds one that is missing. */
#include "cuda_runtime_api.h"
#include "emulate.h"
#include <algorithm>
#include <cstdio>
#include <deque>
#include <memory>
#include <string>
#include <vector>

typedef std::function<void()> work_of;
typedef std::vector<int> operations;

struct operation { work_of work; operations after; };
typedef std::vector<operation> graph;

struct CUstream_st { bool captured; operations last; };
struct CUevent_st { unsigned long issued; graph *of; operations last; };   /* of: recorded while this was captured */
struct CUgraph_st { graph g; };
struct CUgraphExec_st { std::shared_ptr<const graph> g; };

namespace {

struct block { char *at; size_t bytes; };

std::vector<block> device, pinned;
std::vector<CUstream_st *> streams;
std::deque<work_of> queue;                  /* of all streams, in the order of issue */
unsigned long issued, done;
graph *capturing;
bool broken;                                /* what is captured cannot become a graph */
CUstream_st fallback;                       /* of callers without a stream */

enum { MOST = 20000 };                      /* waiting calls: memory is not endless */

void work_until(unsigned long end)
{
    while (done < end) {
        const work_of work = std::move(queue.front());
        queue.pop_front();
        done++;
        work();
    }
}

CUstream_st *of(CUstream_st *s) { return s ? s : &fallback; }

void join(operations &a, const operations &b)
{
    for (int x : b)
        if (std::find(a.begin(), a.end(), x) == a.end()) a.push_back(x);
}

cudaError_t take(std::vector<block> &list, void **p, size_t n)
{
    *p = aligned_alloc(256, (n + 255) / 256 * 256);
    if (!*p) return cudaErrorMemoryAllocation;
    memset(*p, 0xff, n);
    list.push_back(block{(char *)*p, n});
    return cudaSuccess;
}

cudaError_t give_back(std::vector<block> &list, void *p)
{
    work_until(issued);
    for (size_t i = 0; i < list.size(); i++)
        if (list[i].at == p) {
            list.erase(list.begin() + (long)i);
            break;
        }
    free(p);
    return cudaSuccess;
}

bool among(const std::vector<block> &list, const void *p)
{
    for (const block &b : list)
        if ((const char *)p >= b.at && (const char *)p < b.at + b.bytes) return true;
    return false;
}

/* ---- orders ---- */

unsigned long long random_state;
int order_kind;
unsigned long launches;

unsigned long long draw()
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return random_state >> 33;
}

/* Of what may come next, ascending: which place. */
size_t choose(int order, size_t ready)
{
    return order == AM_EMULATE_LAST_FIRST ? ready - 1 : order == AM_EMULATE_RANDOM ? draw() % ready : 0;
}

/* Operations one after the other, each behind all of `before`. */
operations sorted(const std::vector<operations> &before, int order)
{
    const size_t n = before.size();
    std::vector<operations> behind(n);
    std::vector<size_t> missing(n);
    operations ready, out;
    for (size_t i = 0; i < n; i++) {
        missing[i] = before[i].size();
        for (int x : before[i]) behind[(size_t)x].push_back((int)i);
        if (!missing[i]) ready.push_back((int)i);
    }
    while (!ready.empty()) {
        const size_t at = choose(order, ready.size());
        const int x = ready[at];
        ready.erase(ready.begin() + (long)at);
        out.push_back(x);
        for (int y : behind[(size_t)x])
            if (!--missing[(size_t)y]) ready.insert(std::upper_bound(ready.begin(), ready.end(), y), y);
    }
    return out;
}

operations in_order(const graph &g, int order)
{
    std::vector<operations> before;
    for (const operation &x : g) before.push_back(x.after);
    if (order != AM_EMULATE_AS_LATE_AS_POSSIBLE) return sorted(before, order);
    /* from the end: what nothing waits for any more, earliest issued first, comes last */
    std::vector<operations> behind(g.size());
    for (size_t i = 0; i < g.size(); i++)
        for (int x : before[i]) behind[(size_t)x].push_back((int)i);
    operations out = sorted(behind, AM_EMULATE_AS_ISSUED);
    std::reverse(out.begin(), out.end());
    return out;
}

/* ---- two that write to one place ---- */

int watching;
long collisions;
std::shared_ptr<const graph> last_graph;

/* [i][j]: i comes before j, whatever the order */
std::vector<std::vector<bool>> paths(const graph &g)
{
    std::vector<std::vector<bool>> reach(g.size(), std::vector<bool>(g.size()));
    for (size_t j = 0; j < g.size(); j++)
        for (int i : g[j].after) {
            reach[(size_t)i][j] = true;
            for (size_t k = 0; k < j; k++)
                if (reach[k][(size_t)i]) reach[k][j] = true;
        }
    return reach;
}

void watched(const graph &g, const operations &order)
{
    const std::vector<std::vector<bool>> before = paths(g);
    std::vector<std::vector<int>> words, writer;
    for (const block &b : device) {
        const size_t n = b.bytes / sizeof(int);
        words.push_back(std::vector<int>((const int *)b.at, (const int *)b.at + n));
        writer.push_back(std::vector<int>(n, -1));
    }
    for (int x : order) {
        g[(size_t)x].work();
        for (size_t k = 0; k < device.size(); k++) {
            const int *now = (const int *)device[k].at;
            if (!memcmp(now, words[k].data(), words[k].size() * sizeof(int))) continue;
            for (size_t i = 0; i < words[k].size(); i++) {
                if (words[k][i] == now[i]) continue;
                const int other = writer[k][i];
                collisions += other >= 0 && !before[(size_t)other][(size_t)x] && !before[(size_t)x][(size_t)other];
                words[k][i] = now[i];
                writer[k][i] = x;
            }
        }
    }
}

void launch(const std::shared_ptr<const graph> &g)
{
    const int varied[] = {AM_EMULATE_LAST_FIRST, AM_EMULATE_RANDOM, AM_EMULATE_AS_LATE_AS_POSSIBLE, AM_EMULATE_RANDOM, AM_EMULATE_AS_ISSUED};
    const operations order = in_order(*g, order_kind ? order_kind : varied[launches++ % 5]);
    last_graph = g;
    if (watching) watched(*g, order);
    else
        for (int x : order) (*g)[(size_t)x].work();
}

}

void am_emulate_issue(CUstream_st *stream, const work_of &work)
{
    CUstream_st *s = of(stream);
    if (s->captured) {
        capturing->push_back(operation{work, s->last});
        s->last = operations{(int)capturing->size() - 1};
        return;
    }
    queue.push_back(work);
    if (++issued - done > MOST) work_until(issued);
}

extern "C" {

void am_emulate_order(int order, unsigned long long seed)
{
    order_kind = order;
    random_state = seed;
}

long am_emulate_watch(int on)
{
    const long found = collisions;
    work_until(issued);
    watching = on;
    collisions = 0;
    return found;
}

void am_emulate_shape(long *count, long *pairs)
{
    work_until(issued);
    *count = *pairs = 0;
    if (!last_graph) return;
    const std::vector<std::vector<bool>> before = paths(*last_graph);
    *count = (long)before.size();
    for (size_t j = 0; j < before.size(); j++)
        for (size_t i = 0; i < j; i++) *pairs += !before[i][j];
}

/* ---- memory ---- */

cudaError_t cudaMalloc(void **p, size_t n) { return take(device, p, n); }
cudaError_t cudaFree(void *p) { return give_back(device, p); }
cudaError_t cudaHostAlloc(void **p, size_t n, unsigned) { return take(pinned, p, n); }
cudaError_t cudaFreeHost(void *p) { return give_back(pinned, p); }

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n, int kind, cudaStream_t s)
{
    if (kind == cudaMemcpyHostToDevice && !among(pinned, from)) {   /* the caller's memory is its own again at once */
        const std::string bytes((const char *)from, n);
        am_emulate_issue(s, [=]() { memcpy(to, bytes.data(), n); });
    } else {
        am_emulate_issue(s, [=]() { memmove(to, from, n); });
    }
    if (kind == cudaMemcpyDeviceToHost && !among(pinned, to) && !of(s)->captured) work_until(issued);
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *to, int v, size_t n, cudaStream_t s)
{
    am_emulate_issue(s, [=]() { memset(to, v, n); });
    return cudaSuccess;
}

/* ---- streams and events ---- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned)
{
    streams.push_back(*s = new CUstream_st());
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t s)
{
    work_until(issued);
    streams.erase(std::find(streams.begin(), streams.end(), s));
    delete s;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
    if (of(s)->captured) {
        broken = true;
        return cudaErrorStreamCaptureUnsupported;
    }
    work_until(issued);
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned)
{
    *e = new CUevent_st();
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t e)
{
    delete e;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t stream)
{
    const CUstream_st *s = of(stream);
    e->of = s->captured ? capturing : nullptr;
    e->issued = issued;
    e->last = s->last;
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t e)
{
    if (e->of) return cudaErrorStreamCaptureUnsupported;
    work_until(e->issued);
    return cudaSuccess;
}

/* A stream that waits for what is captured is captured too. */
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t e, unsigned)
{
    CUstream_st *s = of(stream);
    if (s->captured ? !e->of || e->of != capturing : e->of && e->of != capturing) {
        broken = true;
        return cudaErrorStreamCaptureIsolation;
    }
    if (!e->of) return cudaSuccess;         /* not captured: all is done in the order of issue */
    if (!s->captured) s->last.clear();
    s->captured = true;
    join(s->last, e->last);
    return cudaSuccess;
}

/* ---- graphs ---- */

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, int)
{
    if (capturing) return cudaErrorStreamCaptureUnsupported;
    capturing = new graph();
    broken = false;
    of(stream)->captured = true;
    of(stream)->last.clear();
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out)
{
    std::vector<bool> joined(capturing->size());
    operations next = of(stream)->last;
    while (!next.empty()) {
        const int x = next.back();
        next.pop_back();
        if (joined[(size_t)x]) continue;
        joined[(size_t)x] = true;
        join(next, (*capturing)[(size_t)x].after);
    }
    const bool all = std::find(joined.begin(), joined.end(), false) == joined.end();
    *out = all && !broken ? new CUgraph_st{*capturing} : nullptr;
    delete capturing;
    capturing = nullptr;
    of(stream)->captured = false;
    for (CUstream_st *s : streams) s->captured = false;
    return *out ? cudaSuccess : all ? cudaErrorStreamCaptureUnsupported : cudaErrorStreamCaptureUnjoined;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *ready, cudaGraph_t graph_, unsigned long long)
{
    *ready = new CUgraphExec_st{std::make_shared<const graph>(graph_->g)};
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t ready, cudaStream_t s)
{
    const std::shared_ptr<const graph> g = ready->g;
    am_emulate_issue(s, [=]() { launch(g); });
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t g)
{
    delete g;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t g)
{
    delete g;
    return cudaSuccess;
}

}
