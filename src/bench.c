/* bench.c: whole training steps on made-up images, timed one by one. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "session.h"

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

/* The host's share (draws, uploads, normalisation of the bytes) is part of the step; reading and
 * augmenting images is not: in training the loader's threads do that beside it. */
static am_status timed(am_trainer *t, int steps, double *ms, double *cpu_ms, am_err *e)
{
    am_shape in = am_batch_of(t->net.input, t->n);
    am_host_batch b = {.n = t->n, .pixel = malloc(am_count(in)), .label = calloc((size_t)t->n, sizeof(int))};
    float report[AM_REPORT];
    am_status s = b.pixel && b.label ? AM_OK : am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
    enum { WARM = 2 };
    for (int i = -WARM; !s && i < steps; i++) {
        am_rng r = am_rng_at(1, 0x62656e6368, (uint64_t)(i + WARM));
        for (size_t k = 0; k < am_count(in); k++) b.pixel[k] = (unsigned char)am_rng_u32(&r);
        for (int k = 0; k < t->n; k++) b.label[k] = (int)am_rng_below(&r, (uint32_t)t->classes);
        double began = clock_ms(CLOCK_MONOTONIC), cpu_began = clock_ms(CLOCK_PROCESS_CPUTIME_ID);
        am_mix *m = am_step_mix(t);
        am_step_begin(t);
        am_report_clear(t);
        am_step_schedule(t);
        for (int part = 0; part < t->net.options.subdivisions; part++) am_step_part(t, m, &b);
        am_step_update(t);
        s = am_step_report(t, report, e);
        t->step++;
        if (i < 0) continue;
        ms[i] = clock_ms(CLOCK_MONOTONIC) - began;
        cpu_ms[i] = clock_ms(CLOCK_PROCESS_CPUTIME_ID) - cpu_began;
    }
    free(b.pixel);
    free(b.label);
    return s;
}

am_status am_bench(const am_run *run, int steps, am_bench_news *news, am_err *e)
{
    static const char *const words[] = {"fp32", "bf16", "fast", "tf32", "fp16"};
    am_arena mem = {0};
    am_cfg c;
    am_backend be = {0};
    am_trainer *t = calloc(1, sizeof *t);
    double *ms = calloc(2 * (size_t)steps, sizeof *ms), *cpu_ms = ms ? ms + steps : NULL;
    am_trainer_options o = {.learn = 1, .batch = run->batch, .mix = run->mix, .seed = run->seed};
    am_status s = t && ms ? am_cfg_load(&c, &mem, run->cfg, e) : am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
    if (!s) s = am_open_backend(&be, run, &c, e);
    if (!s) s = am_trainer_open(t, &be, &c, &o, e);
    if (!s) s = am_trainer_start(t, 1, e);
    if (!s) {
        t->net.options.learning_rate = 1e-4;                /* noise is not learned; the weights must stay finite */
        t->steps = 1000000;
        s = timed(t, steps, ms, cpu_ms, e);
    }
    if (!s) {
        qsort(ms, (size_t)steps, sizeof *ms, by_value);
        qsort(cpu_ms, (size_t)steps, sizeof *cpu_ms, by_value);
        double median = steps % 2 ? ms[steps / 2] : (ms[steps / 2 - 1] + ms[steps / 2]) / 2;
        *news = (am_bench_news){.precision = words[be.precision], .threads = be.threads, .batch = t->net.options.batch, .steps = steps,
                                .ms_per_step = median, .ms_min = ms[0], .ms_max = ms[steps - 1], .cpu_ms_min = cpu_ms[0],
                                .images_per_second = 1e3 * t->net.options.batch / median, .peak_bytes = be.peak};
        snprintf(news->backend, sizeof news->backend, "%s", be.name);
        snprintf(news->about, sizeof news->about, "%s", be.about);
    }
    if (t) am_trainer_close(t);
    am_close_backend(&be);
    am_arena_free(&mem);
    free(ms);
    free(t);
    return s;
}
