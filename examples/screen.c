/* screen.c: progress.  Darknet's line and the epoch's scores on standard output, one line drawn
 * over and over on a terminal, and what is said or warned of between them. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include "program.h"

static volatile sig_atomic_t interrupted;

static void on_signal(int s)
{
    (void)s;
    if (interrupted++) _exit(130);
}

void screen_catch_interrupts(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static int on_stop(void *user)
{
    (void)user;
    return interrupted != 0;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void screen_clear(screen *s)
{
    if (s->open) fprintf(stderr, "\r\033[K");
    s->open = 0;
}

static void on_say(void *user, const char *text)
{
    screen_clear(user);
    fprintf(stderr, "%s\n", text);
}

static void on_warn(void *user, const char *text)
{
    screen_clear(user);
    fprintf(stderr, "warning: %s\n", text);
}

static void span(char *out, size_t size, double seconds)
{
    long s = (long)(seconds + 0.5);
    if (s >= 3600) snprintf(out, size, "%ld:%02ld h", s / 3600, s / 60 % 60);
    else snprintf(out, size, "%ld:%02ld min", s / 60, s % 60);
}

static void part(const char *name, double v)
{
    if (!isnan(v)) printf(", %s %.4f", name, v);
}

static void on_step(void *user, const am_step_news *n)
{
    screen *s = user;
    char left[32];
    span(left, sizeof left, n->seconds_left);
    if (n->logged) {
        screen_clear(s);
        printf("%ld, %.3f: %f, %f avg, %f rate, %f seconds, %ld images", n->step, n->epochs_seen,
               n->loss, n->average, n->rate, n->seconds, n->images);
        part("clean", n->clean);
        part("mixed", n->mixed);
        part("judge", n->judge);
        part("mask", n->mask);
        printf(", %.1f images/s, %s left\n", n->images_per_second, left);
        fflush(stdout);
    }
    if (!s->terminal || now() - s->drawn <= 0.2) return;
    s->drawn = now();
    s->open = 1;
    fprintf(stderr,
            "\r\033[Kepoch %ld of %ld, update %ld of %ld, loss %.4f, %.0f images/s, %s left",
            n->epoch, n->epochs, n->step, n->steps, n->average, n->images_per_second, left);
}

static void on_epoch(void *user, const am_epoch_news *n)
{
    screen_clear(user);
    printf("epoch %ld of %ld:", n->epoch, n->epochs);
    if (!n->scores) printf(" not validated");
    for (int i = 0; i < n->scores; i++) {
        const am_score_news *s = &n->score[i];
        printf("%s %s/%s loss %.4f, top-1 %.2f %%, top-%d %.2f %%", i ? "," : "", s->net, s->head,
               s->loss, s->top1, s->k, s->topk);
    }
    if (n->scores) printf("; best %.2f %%%s", n->best, n->is_best ? " (now)" : "");
    printf(", %.1f seconds\n", n->seconds);
    fflush(stdout);
}

am_watch screen_watch(screen *s)
{
    *s = (screen){.terminal = isatty(2)};
    return (am_watch){s, on_say, on_warn, on_step, on_epoch, on_stop};
}
