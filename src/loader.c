/* loader.c: threads that fill the next batches while this one trains.
 *
 * Batches are numbered through all epochs: batch k belongs to epoch k / batches and lies in slot
 * k % SLOTS.  Work is handed out in runs of a few samples, in order; a thread that finds no free
 * slot sleeps.  What a sample draws comes from am_rng_at(seed, epoch, sample), the order of an
 * epoch from the same seed and epoch, so who fills what, and when, changes nothing.
 *
 *     taken <= k          the batches before `taken` were given back by the caller
 *     filling             the batch of which samples are being handed out; < taken + SLOTS
 *     slot.left           samples of a batch that are not yet done; 0: it may be given out
 *
 * All of it changes under one lock. */
#include "dataset.h"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SLOTS = 3, RUN = 8, MOST_THREADS = 64 };
#define SALT 0x6c6f61646572u /* keeps these streams apart from the trainer's of the same seed */
#define ORDER (~(uint64_t)0) /* the stream that shuffles an epoch: no sample has this number */

typedef struct slot {
    am_host_batch batch;
    int left;
    int bad_at; /* position of the first sample that failed, or batch */
    am_err err;
} slot;

typedef struct worker {
    am_loader *loader;
    am_image image;
    am_scratch scratch;
    pthread_t thread;
} worker;

struct am_loader {
    const am_dataset *set;
    am_loader_options o;
    long batches;                                       /* in an epoch */
    size_t bytes;
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    slot slot[SLOTS];
    long taken, filling;
    int next; /* sample of `filling` to be handed out next */
    int given;                                          /* the caller holds batch `taken` */
    int busy, stop;
    int *order;                                         /* [count]: epoch `ordered` */
    long ordered;
    worker worker[MOST_THREADS];
    int workers;
};

/* Decide which samples batch `filling` has.  Under the lock. */
static void start_batch(am_loader *l)
{
    slot *s = &l->slot[l->filling % SLOTS];
    am_host_batch *b = &s->batch;
    int count = l->set->count, size = l->o.batch;
    b->epoch = l->filling / l->batches;
    b->number = l->filling % l->batches;
    if (l->o.train && l->ordered != b->epoch) {
        am_rng rng = am_rng_at(l->o.seed ^ SALT, (uint64_t)b->epoch, ORDER);
        am_rng_permute(&rng, count, l->order);
        l->ordered = b->epoch;
    }
    long first = b->number * size;
    b->n = count - first < size ? (int)(count - first) : size;
    for (int i = 0; i < size; i++) {
        b->index[i] = i >= b->n ? -1 : l->o.train ? l->order[first + i] : (int)first + i;
        b->label[i] = i >= b->n ? -1 : l->set->label[b->index[i]];
    }
    s->left = size;
    s->bad_at = size;
}

static am_status fill_sample(worker *w, const am_host_batch *b, int i, am_err *e)
{
    const am_loader *l = w->loader;
    const am_augment *a = &l->o.augment;
    size_t size = 3 * (size_t)a->width * (size_t)a->height;
    am_rng rng = am_rng_at(l->o.seed ^ SALT, (uint64_t)b->epoch, (uint64_t)b->index[i]);
    if (l->o.windows) {
        b->window[i].image = b->index[i];
        am_augment_window(a, &rng, &b->window[i]);
        return AM_OK;
    }
    unsigned char *out = b->pixel + (size_t)i * size;
    if (b->index[i] < 0) {
        memset(out, 0, size);
        return AM_OK;
    }
    AM_TRY(l->set->read(l->set, b->index[i], &w->image, e));
    AM_TRY(am_augment_with(a, &w->image, l->o.train ? &rng : NULL, out, &w->scratch, e));
    if (l->o.prepare) l->o.prepare(l->o.user, out, &rng, b->extra + (size_t)i * l->o.extra);
    return AM_OK;
}

static void *work(void *argument)
{
    worker *w = argument;
    am_loader *l = w->loader;
    pthread_mutex_lock(&l->lock);
    for (;;) {
        while (!l->stop && l->filling >= l->taken + SLOTS) pthread_cond_wait(&l->work, &l->lock);
        if (l->stop) break;
        if (!l->next) start_batch(l);
        slot *s = &l->slot[l->filling % SLOTS];
        int first = l->next, end = first + RUN < l->o.batch ? first + RUN : l->o.batch;
        l->next = end;
        if (end == l->o.batch) {
            l->filling++;
            l->next = 0;
        }
        l->busy++;
        pthread_mutex_unlock(&l->lock);

        am_err err = {0};
        int i = first;
        while (i < end && !fill_sample(w, &s->batch, i, &err)) i++;

        pthread_mutex_lock(&l->lock);
        if (i < end && i < s->bad_at) {
            s->bad_at = i;
            s->err = err;
        }
        s->left -= end - first;
        l->busy--;
        if (!s->left || !l->busy) pthread_cond_broadcast(&l->done);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* Half the processors: a step's own threads want the rest, and the loader's sleep when ahead. */
static int default_threads(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN) / 2;
    return n < 1 ? 1 : n > 16 ? 16 : (int)n;
}

static am_status make_slots(am_loader *l, am_err *e)
{
    size_t batch = (size_t)l->o.batch,
           pixels = l->o.windows
                        ? sizeof(am_window)
                        : 3 * (size_t)l->o.augment.width * (size_t)l->o.augment.height;
    int ok = 1;
    l->bytes = sizeof *l + SLOTS * batch * (pixels + l->o.extra + 2 * sizeof(int));
    for (int i = 0; i < SLOTS; i++) {
        am_host_batch *b = &l->slot[i].batch;
        void *samples = malloc(batch * pixels);
        if (l->o.windows) b->window = samples;
        else b->pixel = samples;
        b->label = malloc(batch * sizeof(int));
        b->index = malloc(batch * sizeof(int));
        if (l->o.prepare) b->extra = calloc(batch, l->o.extra);
        ok &= samples && b->label && b->index && (b->extra || !l->o.prepare);
    }
    if (l->o.train) {
        l->order = malloc((size_t)l->set->count * sizeof(int));
        l->bytes += (size_t)l->set->count * sizeof(int);
        ok &= l->order != NULL;
    }
    if (!ok)
        return am_fail(e, AM_ENOMEM, AM_NOPLACE,
                       "no memory for batches of %d images of %dx%d; use a smaller batch",
                       l->o.batch, l->o.augment.width, l->o.augment.height);
    return AM_OK;
}

/* The program's signals are its main thread's business. */
static am_status start_workers(am_loader *l, am_err *e)
{
    int wanted = l->o.threads > 0 ? l->o.threads : default_threads(), bad = 0;
    if (wanted > MOST_THREADS) wanted = MOST_THREADS;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int i = 0; i < wanted && !bad; i++) {
        l->worker[i].loader = l;
        bad = pthread_create(&l->worker[i].thread, NULL, work, &l->worker[i]);
        l->workers += !bad;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (l->workers) return AM_OK;                       /* fewer than wanted is slower, not wrong */
    return am_fail(e, AM_EIO, AM_NOPLACE, "the system starts no thread for loading images: %s",
                   strerror(bad));
}

am_status am_loader_open(am_loader **out, const am_dataset *set, const am_loader_options *o,
                         am_err *e)
{
    *out = NULL;
    if (o->batch < 1 || o->augment.width < 1 || o->augment.height < 1)
        return am_fail(e, AM_EBUG, AM_NOPLACE, "a loader for batches of %d images of %dx%d",
                       o->batch, o->augment.width, o->augment.height);
    if (o->windows && (!o->train || o->prepare || !am_augment_moves(&o->augment)))
        return am_fail(e, AM_EBUG, AM_NOPLACE, "a loader for windows of what is more than moved");
    if (set->count < (o->train ? o->batch : 1))
        return am_fail(e, AM_EINPUT, AM_NOPLACE,
                       "the %s set has %d images and a batch takes %d; use a smaller batch",
                       o->train ? "training" : "validation", set->count, o->batch);
    am_loader *l = calloc(1, sizeof *l);
    if (!l) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "no memory for a loader");
    l->set = set;
    l->o = *o;
    l->batches = o->train ? set->count / o->batch : ((long)set->count + o->batch - 1) / o->batch;
    l->ordered = -1;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->work, NULL);
    pthread_cond_init(&l->done, NULL);
    am_status bad = make_slots(l, e);
    if (!bad) bad = start_workers(l, e);
    if (bad) am_loader_close(l);
    else *out = l;
    return bad;
}

long am_loader_batches(const am_loader *l) { return l->batches; }

size_t am_loader_bytes(const am_loader *l) { return l->bytes; }

void am_loader_seek(am_loader *l, long epoch, long number)
{
    pthread_mutex_lock(&l->lock);
    long batch = epoch * l->batches + number;
    if (batch != l->taken + l->given) {
        l->taken = l->filling = batch;                  /* what is being filled is thrown away, */
        l->next = 0;
        l->given = 0;
        l->filling += SLOTS;                            /* and nothing new begins, */
        while (l->busy) pthread_cond_wait(&l->done, &l->lock);
        l->filling = batch;                             /* until all threads have let go */
        pthread_cond_broadcast(&l->work);
    }
    pthread_mutex_unlock(&l->lock);
}

am_status am_loader_next(am_loader *l, const am_host_batch **out, am_err *e)
{
    pthread_mutex_lock(&l->lock);
    if (l->given) {
        l->taken++;
        l->given = 0;
        pthread_cond_broadcast(&l->work);
    }
    slot *s = &l->slot[l->taken % SLOTS];
    while (l->filling <= l->taken || s->left) pthread_cond_wait(&l->done, &l->lock);
    int bad = s->bad_at < l->o.batch;
    if (!bad) l->given = 1; /* a bad batch stays, and so does its message */
    pthread_mutex_unlock(&l->lock);
    *out = bad ? NULL : &s->batch;
    if (bad && e) *e = s->err;
    return bad ? s->err.status : AM_OK;
}

void am_loader_close(am_loader *l)
{
    if (!l) return;
    pthread_mutex_lock(&l->lock);
    l->stop = 1;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->workers; i++) {
        pthread_join(l->worker[i].thread, NULL);
        am_image_free(&l->worker[i].image);
        am_scratch_free(&l->worker[i].scratch);
    }
    for (int i = 0; i < SLOTS; i++) {
        free(l->slot[i].batch.pixel);
        free(l->slot[i].batch.window);
        free(l->slot[i].batch.label);
        free(l->slot[i].batch.index);
        free(l->slot[i].batch.extra);
    }
    free(l->order);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->work);
    pthread_cond_destroy(&l->done);
    free(l);
}
