/* tools.c: what looks at a net, times it, draws a data set, explains a word. */
#include <stdio.h>
#include "program.h"

am_status do_net(line *l, am_err *e)
{
    l->run.cfg = l->word[0];
    return am_describe_net(&l->run, stdout, e);
}

static void tell_bench(void *user, const am_bench_news *n)
{
    const line *l = user;
    if (n->why) {
        fprintf(stderr, "%s: left out: %s\n", n->mix, n->why);
        return;
    }
    printf("{\"cfg\":\"%s\",\"what\":\"%s\",\"mix\":\"%s\",\"backend\":\"%s\",\"about\":\"%s\",\"precision\":\"%s\",\"threads\":%d,"
           "\"batch\":%d,\"steps\":%d,\"ms_per_step\":%.3f,\"ms_min\":%.3f,\"ms_max\":%.3f,"
           "\"cpu_ms_min\":%.3f,\"cpu_ms_mean\":%.3f,\"host_ms\":%.3f,",
           l->run.cfg, n->what, n->mix, n->backend, n->about, n->precision, n->threads, n->batch, n->steps, n->ms_per_step,
           n->ms_min, n->ms_max, n->cpu_ms_min, n->cpu_ms_mean, n->host_ms);
    if (n->ratio > 0) printf("\"ratio\":%.3f,\"cpu_ratio\":%.3f,", n->ratio, n->cpu_ratio);
    printf("\"images_per_second\":%.2f,\"peak_bytes\":%zu,\"rss_bytes\":%zu}\n",
           n->images_per_second, n->peak_bytes, n->rss_bytes);
}

am_status do_bench(line *l, am_err *e)
{
    long steps = 10;
    l->run.cfg = l->word[0];
    AM_TRY(line_whole("-steps", l->steps, 1, 100000, &steps, e));
    return am_bench(&l->run, (int)steps, tell_bench, l, e);
}

am_status do_shapes(line *l, am_err *e)
{
    long train = 0, valid = 0, size = 0;
    AM_TRY(line_whole("-train", l->train, 10, 10000000, &train, e));
    AM_TRY(line_whole("-valid", l->valid, 10, 10000000, &valid, e));
    AM_TRY(line_whole("-size", l->size, 16, 1024, &size, e));
    am_shapes_request q = {l->word[0], (int)train, (int)valid, (int)size, l->run.seed};
    AM_TRY(am_data_shapes(&q, e));
    printf("%s/shapes.data\n", l->word[0]);
    return AM_OK;
}

am_status do_help(line *l, am_err *e)
{
    return am_help(l->words ? l->word[l->words - 1] : NULL, stdout, e);
}

am_status do_reference(line *l, am_err *e)
{
    (void)l;
    (void)e;
    am_reference(stdout);
    return AM_OK;
}
