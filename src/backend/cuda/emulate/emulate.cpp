/* emulate.cpp: see emulate.h. */
#include "emulate.h"
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <ucontext.h>
#include <vector>

dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace {

enum { STACK = 64 << 10 };

/* A fiber lives on from block to block.  Its first entry is ucontext's; from then on it is left and
 * entered by longjmp, which costs no system call. */
struct fiber {
    ucontext_t context;
    jmp_buf here;
    std::vector<char> stack;
    dim3 index;
    bool waiting, done;
};

std::vector<fiber *> fibers;
jmp_buf scheduler;
fiber *running;
const std::function<void()> *body;
unsigned launches;

void yield()
{
    if (!_setjmp(running->here)) _longjmp(scheduler, 1);
}

void enter()
{
    for (;;) {
        (*body)();
        running->done = true;
        yield();
    }
}

void resume(fiber *f)
{
    running = f;
    threadIdx = f->index;
    if (!_setjmp(scheduler)) {
        if (!f->stack.empty()) _longjmp(f->here, 1);
        f->stack.resize(STACK);
        getcontext(&f->context);
        f->context.uc_stack.ss_sp = f->stack.data();
        f->context.uc_stack.ss_size = STACK;
        makecontext(&f->context, enter, 0);
        setcontext(&f->context);
    }
    running = NULL;
}

dim3 thread_of(unsigned i) { return dim3(i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y)); }

void start(unsigned i)
{
    if (fibers.size() <= i) fibers.push_back(new fiber());
    fibers[i]->index = thread_of(i);
    fibers[i]->waiting = fibers[i]->done = false;
}

/* All threads of the block at blockIdx.  Where the first one meets no barrier, none of them does, and
 * the others are plain calls. */
void block(unsigned threads, bool backwards)
{
    start(0);
    resume(fibers[0]);
    for (unsigned i = 1; i < threads; i++) {
        if (!fibers[0]->done) {
            start(i);
            continue;
        }
        threadIdx = thread_of(i);
        (*body)();
    }
    for (unsigned alive = fibers[0]->done ? 0 : threads; alive;) {
        unsigned ended = 0, stopped = 0;
        for (unsigned k = 0; k < threads; k++) {
            fiber *f = fibers[backwards ? threads - 1 - k : k];
            if (!f->done && !f->waiting) resume(f);
            ended += f->done;
            stopped += f->waiting && !f->done;
        }
        if (ended && stopped) {
            fprintf(stderr, "emulate: %u threads of a block have ended and %u wait at a barrier\n", ended, stopped);
            abort();
        }
        alive = threads - ended;
        for (unsigned i = 0; i < threads; i++) fibers[i]->waiting = false;
    }
}

}

void am_emulate_barrier()
{
    if (!running) {
        fprintf(stderr, "emulate: a barrier that not all threads of a block meet\n");
        abort();
    }
    running->waiting = true;
    yield();
}

void am_emulate_aligned(const void *p, unsigned bytes)
{
    if ((size_t)p % bytes == 0) return;
    fprintf(stderr, "emulate: %u bytes at once at %p, which is no multiple of them\n", bytes, p);
    abort();
}

static void launch(dim3 grid, dim3 size, const std::function<void()> &kernel)
{
    const unsigned threads = size.x * size.y * size.z, blocks = grid.x * grid.y * grid.z;
    if (!blocks || !threads || threads > 1024 || grid.y > 65535 || grid.z > 65535) {
        fprintf(stderr, "emulate: %u x %u x %u blocks of %u threads cannot be launched\n", grid.x, grid.y, grid.z, threads);
        abort();
    }
    body = &kernel;
    blockDim = size;
    gridDim = grid;
    const bool backwards = ++launches * 2654435761u >> 31;
    for (unsigned i = 0; i < blocks; i++) {
        const unsigned at = backwards ? blocks - 1 - i : i;
        blockIdx = dim3(at % grid.x, at / grid.x % grid.y, at / (grid.x * grid.y));
        block(threads, backwards);
    }
}

void am_emulate_launch(dim3 grid, dim3 size, CUstream_st *stream, const std::function<void()> &kernel)
{
    am_emulate_issue(stream, [=]() { launch(grid, size, kernel); });
}
