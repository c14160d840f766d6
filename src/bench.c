/* bench.c: whole training steps on made-up images, timed one by one; with -mix all every method's,
 * by turns, so that what else the machine does falls on all of them alike.  Or inference, by the
 * same functions that validate: bytes in, loss and hits out. */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include "session.h"

enum { WARM = 2, EVAL_BATCH = 100, EVAL_TOP = 5 };

typedef struct course { /* one method's steps */
    am_examiner *rest; /* inference is timed; NULL: steps */
    am_mix *mix; /* NULL: what the cfg's [mix] sections share out */
    const char *name;
    int teacher;
    double *ms;         /* [steps] */
    int ahead;          /* steps issued beyond the one that is waited for */
    double ended;       /* the step before */
    double cpu, least;  /* processor time of the steps, sum and least */
    double host;        /* what the loader's threads do for a batch, by one of them */
    char why[300]; /* it cannot run here */
} course;

static double clock_ms(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* The made-up training set, for a backend that keeps one. */
enum { IMAGES = 2000 };

static am_status read_made(const am_dataset *d, int index, am_image *img, am_err *e)
{
    const am_shape *s = d->state;
    am_rng r = am_rng_at(2, 0x62656e6368, (uint64_t)index);
    AM_TRY(am_image_fit(img, s->w, s->h, e));
    for (int k = 0; k < 3 * s->w * s->h; k++) img->pixel[k] = (unsigned char)am_rng_u32(&r);
    return AM_OK;
}

static am_augment moves(const am_trainer *t)
{
    return (am_augment){.width = t->net.input.w,
                        .height = t->net.input.h,
                        .flip = 1,
                        .pad_crop = 4,
                        .pad_reflect = 1,
                        .aspect = 1,
                        .saturation = 1,
                        .exposure = 1};
}

/* Inference takes bytes, wherever the training set lies. */
static am_status batch_open(am_host_batch *b, am_trainer *t, int learns, unsigned char **extra, am_err *e)
{
    am_dataset set = {.count = IMAGES, .state = &t->net.input, .read = read_made};
    am_augment a = moves(t);
    *extra = NULL;
    *b = (am_host_batch){.n = t->n};
    if (learns) AM_TRY(am_resident_open(t, &set, &a, e));
    *extra = calloc((size_t)t->n * t->extra_size + 16, 1);
    b->extra = *extra;
    b->label = calloc((size_t)t->n, sizeof(int));
    if (am_is(t->set)) b->window = calloc((size_t)t->n, sizeof *b->window);
    else b->pixel = malloc(am_count(am_batch_of(t->net.input, t->n)));
    return (b->pixel || b->window) && b->label && *extra
               ? AM_OK
               : am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
}

static void batch_fill(am_host_batch *b, const am_trainer *t, int step)
{
    am_rng r = am_rng_at(1, 0x62656e6368, (uint64_t)(step + WARM));
    am_augment a = moves(t);
    for (int k = 0; b->window && k < t->n; k++) {
        b->window[k].image = (int)am_rng_below(&r, IMAGES);
        am_augment_window(&a, &r, &b->window[k]);
    }
    for (size_t k = 0; b->pixel && k < am_count(am_batch_of(t->net.input, t->n)); k++)
        b->pixel[k] = (unsigned char)am_rng_u32(&r);
    for (int k = 0; k < t->n; k++) b->label[k] = (int)am_rng_below(&r, (uint32_t)t->classes);
}

static am_status learn(const course *c, am_trainer *t, const am_host_batch *b, am_err *e)
{
    float report[AM_REPORT];
    t->has_teacher = c->teacher;
    am_mix *m = c->mix ? c->mix : am_step_mix(t);
    am_step_begin(t);
    am_report_clear(t);
    am_step_schedule(t);
    for (int part = 0; part < t->net.options.subdivisions; part++) am_step_part(t, m, b);
    am_step_update(t);
    am_step_leave(t);
    return t->step < c->ahead ? AM_OK : am_step_read(t, t->step - c->ahead, report, e);
}

static am_status examine(const course *c, am_trainer *t, const am_host_batch *b, am_err *e)
{
    am_examine_one(c->rest, t->has_teacher ? AM_TEACHER : AM_STUDENT, b);
    return t->be->ops->sync(t->be, e);
}

/* The host's share (draws, uploads, normalisation of the bytes) is part of the step; reading and
 * augmenting images and what methods prepare of them is not: in training the loader's threads do that.
 * A backend that keeps the training set has it before the first step, and a step sends windows. */
static am_status timed(course *c, am_trainer *t, am_host_batch *b, unsigned char *extra, int step,
                       am_err *e)
{
    double began = clock_ms(CLOCK_THREAD_CPUTIME_ID);
    for (int i = 0; t->extra_size && i < t->n; i++) {
        am_rng r = am_rng_at(1, 0x70726570, (uint64_t)i);
        unsigned char *to = extra + (size_t)i * t->extra_size;
        const unsigned char *pixel = b->pixel + (size_t)i * am_count(t->net.input);
        if (!c->mix)
            am_prepare(t, pixel, &r, to);
        else if (c->mix->extra)
            c->mix->type->prepare(c->mix, t, pixel, &r, to + c->mix->extra_at);
    }
    double prepared = clock_ms(CLOCK_THREAD_CPUTIME_ID) - began,
           busy = clock_ms(CLOCK_PROCESS_CPUTIME_ID);
    /* a device whose steps are issued ahead works between two calls too */
    began = c->ahead ? c->ended : clock_ms(CLOCK_MONOTONIC);
    AM_TRY(c->rest ? examine(c, t, b, e) : learn(c, t, b, e));
    c->ended = clock_ms(CLOCK_MONOTONIC);
    if (step < 0) return AM_OK;
    c->ms[step] = c->ended - began;
    busy = clock_ms(CLOCK_PROCESS_CPUTIME_ID) - busy;
    c->cpu += busy;
    if (!step || busy < c->least) c->least = busy;
    if (!step || prepared < c->host) c->host = prepared;
    return AM_OK;
}

static am_status run_all(course *c, int courses, am_trainer *t, int steps, am_err *e)
{
    am_host_batch b;
    unsigned char *extra;
    am_status s = batch_open(&b, t, !c->rest, &extra, e);
    /* By turns, each waits for its own; and where bytes are made, that would be timed too. */
    if (courses == 1 && am_is(t->set)) c->ahead = t->be->ahead;
    t->net.options.learning_rate = 1e-4; /* noise is not learned; the weights must stay finite */
    t->steps = 1000000;
    for (int step = -WARM; !s && step < steps; step++, t->step++) {
        batch_fill(&b, t, step);
        for (int i = 0; !s && i < courses; i++)
            if (!c[i].why[0]) s = timed(&c[i], t, &b, extra, step, e);
    }
    if (!s) s = t->be->ops->sync(t->be, e);
    free(b.pixel);
    free(b.window);
    free(b.label);
    free(extra);
    return s;
}

/* GridMix's classifier of cells, where the cfg has none: means of the last map's places.  No other method
 * computes it. */
static am_status add_local(am_cfg *c, am_arena *mem, const am_net *net, int classes, am_err *e)
{
    enum { GRID = 4 };
    int map = am_net_last_map(net);
    if (map < 1) return AM_OK;
    am_shape s = net->layer[map].out;
    int size = s.h == s.w && s.h % GRID == 0 ? s.h / GRID : 1;
    const char *text = am_print(mem,
                                "%s\n[avgpool]\ninput=%d\nsize=%d\n\n[convolutional]\nname=local\n"
                                "filters=%d\nsize=1\nactivation=linear\n",
                                c->text, map - 1, size, classes);
    if (!text) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
    return am_cfg_parse(c, mem, c->file, text, strlen(text), e);
}

static am_status open_trainer(am_trainer *t, am_backend *be, am_cfg *c, am_arena *mem, int all,
                              const am_trainer_options *o, am_err *e)
{
    AM_TRY(am_trainer_open(t, be, c, o, e));
    if (!all || am_net_find(&t->net, "local") >= 0) return AM_OK;
    AM_TRY(add_local(c, mem, &t->net, t->classes, e));
    am_trainer_close(t);
    return am_trainer_open(t, be, c, o, e);
}

/* Every method over one net.  As in their own cfgs, only AutoMix has the momentum teacher, where there is one. */
static am_status add_methods(course *c, int *courses, am_trainer *t, const am_cfg *cfg, am_err *e)
{
    int teacher = t->has_teacher;
    *courses = t->mixes = 0; /* the cfg's own come with the rest */
    for (const am_method *const *m = am_methods(); *m; m++) {
        course *at = &c[(*courses)++];
        am_err why = {0};
        at->name = (*m)->name;
        t->has_teacher = at->teacher = teacher && !strcmp(at->name, "automix");
        am_status s = am_trainer_add(t, cfg, at->name, &why);
        if (s && s != AM_EINPUT) {
            *e = why;
            return s;
        }
        if (s) snprintf(at->why, sizeof at->why, "%.299s", why.text);
    }
    for (int i = 0, k = 0; i < *courses; i++)
        if (!c[i].why[0]) c[i].mix = &t->mix[k++];
    t->has_teacher = teacher;
    return AM_OK;
}

/* Bytes; Linux counts in kilobytes. */
static size_t resident(void)
{
    struct rusage r = {0};
    getrusage(RUSAGE_SELF, &r);
    return (size_t)r.ru_maxrss * 1024;
}

static void tell_all(course *c, int courses, const am_backend *be, const am_trainer *t, int steps,
                     void (*tell)(void *, const am_bench_news *), void *user)
{
    static const char *const words[] = {"fp32", "bf16", "fast", "tf32", "fp16"};
    double plain = 0, plain_cpu = 0;
    for (int i = 0; i < courses; i++) {
        am_bench_news n = {.what = c[i].rest ? "eval" : "step",
                           .mix = c[i].name,
                           .why = c[i].why[0] ? c[i].why : NULL,
                           .precision = words[be->precision],
                           .threads = be->threads,
                           .batch = t->net.options.batch,
                           .steps = steps,
                           .cpu_ms_min = c[i].least,
                           .cpu_ms_mean = c[i].cpu / steps,
                           .host_ms = c[i].host,
                           .peak_bytes = be->peak,
                           .rss_bytes = resident()};
        snprintf(n.backend, sizeof n.backend, "%s", be->name);
        snprintf(n.about, sizeof n.about, "%s", be->about);
        if (!n.why) {
            double *ms = c[i].ms;
            qsort(ms, (size_t)steps, sizeof *ms, by_value);
            n.ms_per_step = steps % 2 ? ms[steps / 2] : (ms[steps / 2 - 1] + ms[steps / 2]) / 2;
            n.ms_min = ms[0];
            n.ms_max = ms[steps - 1];
            n.images_per_second = 1e3 * n.batch / n.ms_per_step;
            if (!strcmp(n.mix, "none")) plain = n.ms_min, plain_cpu = n.cpu_ms_mean;
            n.ratio = plain > 0 ? n.ms_min / plain : 0;
            n.cpu_ratio = plain_cpu > 0 ? n.cpu_ms_mean / plain_cpu : 0;
        }
        tell(user, &n);
    }
}

am_status am_bench(const am_run *run, int steps, void (*tell)(void *user, const am_bench_news *),
                   void *user, am_err *e)
{
    am_arena mem = {0};
    am_cfg c;
    am_backend be = {0};
    am_trainer *t = calloc(1, sizeof *t);
    int all = run->mix && !strcmp(run->mix, "all"), courses = 1;
    course *course_of = calloc(AM_MAX_MIXES, sizeof *course_of);
    double *ms = calloc((size_t)steps * AM_MAX_MIXES, sizeof *ms);
    am_examiner rest = {0};
    am_trainer_options o = {.learn = !all && !run->eval,
                            .batch = run->eval && run->batch <= 0 ? EVAL_BATCH : run->batch,
                            .mix = all ? NULL : run->mix,
                            .seed = run->seed,
                            .made_up = 1};
    am_status s = t && ms && course_of ? am_cfg_load(&c, &mem, run->cfg, e)
                                       : am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
    if (!s && run->eval && run->mix)
        s = am_fail(e, AM_EUSAGE, AM_NOPLACE,
                    "-mix chooses a training step, -eval times inference; leave one of them out");
    if (!s) s = am_open_backend(&be, run, &c, 1, e);
    be.rests = run->eval;
    if (!s) s = open_trainer(t, &be, &c, &mem, all, &o, e);
    if (!s && run->eval) s = am_examiner_layout(&rest, t, t->n, EVAL_TOP, e);
    for (int i = 0; !s && i < AM_MAX_MIXES; i++) course_of[i].ms = ms + i * steps;
    if (!s && all) s = add_methods(course_of, &courses, t, &c, e);
    if (!s && !all) {
        course_of[0].name = t->mixes ? t->mix[0].type->name : "none";
        course_of[0].teacher = t->has_teacher;
        course_of[0].rest = run->eval ? &rest : NULL;
    }
    if (!s) s = am_trainer_start(t, !run->eval, e);
    if (!s && run->eval) s = am_examiner_open(&rest, e);
    if (!s) s = run_all(course_of, courses, t, steps, e);
    if (!s) tell_all(course_of, courses, &be, t, steps, tell, user);
    am_examiner_close(&rest);
    if (t) am_trainer_close(t);
    am_close_backend(&be);
    am_arena_free(&mem);
    free(course_of);
    free(t);
    free(ms);
    return s;
}
