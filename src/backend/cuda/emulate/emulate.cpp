/* emulate.cpp: see emulate.h. */
#include "emulate.h"
#include <cstdio>
#include <cstdlib>
#include <ucontext.h>
#include <vector>

dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace {

enum { STACK = 64 << 10 };

struct fiber {
    ucontext_t context;
    std::vector<char> stack;
    dim3 index;
    bool waiting, done;
};

std::vector<fiber> fibers;
ucontext_t scheduler;
fiber *running;
const std::function<void()> *body;
unsigned launches;

void enter()
{
    (*body)();
    running->done = true;
    swapcontext(&running->context, &scheduler);
}

void resume(fiber &f)
{
    running = &f;
    threadIdx = f.index;
    swapcontext(&scheduler, &f.context);
    running = NULL;
}

void start(fiber &f, unsigned i)
{
    f.index = dim3(i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y));
    f.waiting = f.done = false;
    f.stack.resize(STACK);
    getcontext(&f.context);
    f.context.uc_stack.ss_sp = f.stack.data();
    f.context.uc_stack.ss_size = STACK;
    f.context.uc_link = &scheduler;
    makecontext(&f.context, enter, 0);
}

/* All threads of the block at blockIdx.  Where the first one meets no barrier, none of them does, and
 * the others are plain calls. */
void block(unsigned threads, bool backwards)
{
    start(fibers[0], 0);
    resume(fibers[0]);
    if (fibers[0].done) {
        for (unsigned i = 1; i < threads; i++) {
            threadIdx = dim3(i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y));
            (*body)();
        }
        return;
    }
    for (unsigned i = 1; i < threads; i++) start(fibers[i], i);
    for (unsigned alive = threads; alive;) {
        unsigned ended = 0, stopped = 0;
        for (unsigned k = 0; k < threads; k++) {
            fiber &f = fibers[backwards ? threads - 1 - k : k];
            if (!f.done && !f.waiting) resume(f);
            ended += f.done;
            stopped += f.waiting && !f.done;
        }
        if (ended && stopped) {
            fprintf(stderr, "emulate: %u threads of a block have ended and %u wait at a barrier\n", ended, stopped);
            abort();
        }
        alive = threads - ended;
        for (unsigned i = 0; i < threads; i++) fibers[i].waiting = false;
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
    swapcontext(&running->context, &scheduler);
}

void am_emulate_launch(dim3 grid, dim3 size, const std::function<void()> &kernel)
{
    const unsigned threads = size.x * size.y * size.z, blocks = grid.x * grid.y * grid.z;
    if (!blocks || !threads || threads > 1024 || grid.y > 65535 || grid.z > 65535) {
        fprintf(stderr, "emulate: %u x %u x %u blocks of %u threads cannot be launched\n", grid.x, grid.y, grid.z, threads);
        abort();
    }
    if (fibers.size() < threads) fibers.resize(threads);
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
