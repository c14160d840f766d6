/* team.c: one 64-bit number that says which job is on and how many of its items nobody has taken.
 *
 * Taking an item is a compare-and-swap on (job, untaken), so a helper that wakes late cannot touch
 * a job that is over, and nobody waits for it: the caller waits for items, not for helpers.
 *
 * A helper that finds no work looks again for some ten microseconds, the distance between two
 * operations of a step, and then sleeps on a condition variable.  The caller does the same when it
 * waits for the last item.  Nothing spins longer, so a core is never kept from the threads that
 * load images or from other programs. */
#include "team.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

enum { LOOKS = 3000 };

struct am_team {
    int threads;
    am_team_work *work; /* these three belong to the job; an item that is taken keeps it alive */
    const void *arg;
    int items;
    _Atomic uint64_t state; /* job in the upper half, untaken items in the lower */
    atomic_int unfinished; /* items of this job that have not returned */
    atomic_int stop;
    pthread_mutex_t lock;
    pthread_cond_t wake, done;
    int asleep; /* helpers on `wake`; under the lock */
    struct member {
        pthread_t thread;
        am_team *team;
        int worker;
    } * member;
};

static void rest(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/* Take items until none is left. */
static void help(am_team *t, int worker)
{
    uint64_t state = atomic_load(&t->state);
    while ((uint32_t)state) {
        if (!atomic_compare_exchange_weak(&t->state, &state, state - 1)) continue;
        t->work(t->arg, t->items - (int)(uint32_t)state, worker);
        if (atomic_fetch_sub(&t->unfinished, 1) == 1) {
            pthread_mutex_lock(&t->lock);
            pthread_cond_signal(&t->done);
            pthread_mutex_unlock(&t->lock);
        }
        state = atomic_load(&t->state);
    }
}

static int idle(am_team *t)
{
    return !(uint32_t)atomic_load(&t->state) && !atomic_load(&t->stop);
}

static void *helper(void *p)
{
    struct member *m = p;
    am_team *t = m->team;
    for (;;) {
        for (int i = 0; i < LOOKS && idle(t); i++) rest();
        if (idle(t)) {
            pthread_mutex_lock(&t->lock);
            t->asleep++;
            while (idle(t)) pthread_cond_wait(&t->wake, &t->lock);
            t->asleep--;
            pthread_mutex_unlock(&t->lock);
        }
        if (atomic_load(&t->stop)) return NULL;
        help(t, m->worker);
    }
}

static void wake_helpers(am_team *t)
{
    pthread_mutex_lock(&t->lock);
    if (t->asleep) pthread_cond_broadcast(&t->wake);
    pthread_mutex_unlock(&t->lock);
}

void am_team_run(am_team *t, int items, am_team_work *work, const void *arg)
{
    if (t->threads == 1 || items < 2) {
        for (int i = 0; i < items; i++) work(arg, i, 0);
        return;
    }
    t->work = work;
    t->arg = arg;
    t->items = items;
    atomic_store(&t->unfinished, items);
    uint64_t job = (atomic_load(&t->state) >> 32) + 1;
    atomic_store(&t->state, job << 32 | (uint32_t)items);
    wake_helpers(t);
    help(t, 0);
    for (int i = 0; i < LOOKS && atomic_load(&t->unfinished); i++) rest();
    if (atomic_load(&t->unfinished)) {
        pthread_mutex_lock(&t->lock);
        while (atomic_load(&t->unfinished)) pthread_cond_wait(&t->done, &t->lock);
        pthread_mutex_unlock(&t->lock);
    }
}

am_team *am_team_open(int threads)
{
    am_team *t = calloc(1, sizeof *t);
    if (!t) return NULL;
    t->member = calloc((size_t)threads, sizeof *t->member);
    if (!t->member) {
        free(t);
        return NULL;
    }
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->wake, NULL);
    pthread_cond_init(&t->done, NULL);
    for (t->threads = 1; t->threads < threads; t->threads++) {
        struct member *m = &t->member[t->threads];
        m->team = t;
        m->worker = t->threads;
        if (pthread_create(&m->thread, NULL, helper, m)) break;
    }
    return t;
}

int am_team_size(const am_team *t)
{
    return t->threads;
}

void am_team_close(am_team *t)
{
    if (!t) return;
    atomic_store(&t->stop, 1);
    wake_helpers(t);
    for (int i = 1; i < t->threads; i++) pthread_join(t->member[i].thread, NULL);
    pthread_cond_destroy(&t->wake);
    pthread_cond_destroy(&t->done);
    pthread_mutex_destroy(&t->lock);
    free(t->member);
    free(t);
}
