/* automix.h: what a program may ask of the library.  It prints nothing and never ends the program:
 * what there is to say goes through am_watch, faults through am_err. */
#ifndef AUTOMIX_H
#define AUTOMIX_H
#include <stddef.h>
#include <stdio.h>
#include "err.h"

/* What a command line says; zero or NULL: not said. */
typedef struct am_run {
    const char *data, *cfg, *weights;
    const char *backend;        /* auto, cpu, simd, cuda */
    const char *isa;            /* generic, avx2, avx512, avx512bf16, emulated (simd), exact (cpu: sums in double) */
    const char *precision;
    const char *mix;            /* instead of the cfg's [mix] sections */
    const char *gpus;
    int threads, epochs, batch;
    long seed;                  /* below 0: the cfg's */
    const char *plans;          /* cuda: file of measured engines, made where it is not there; "rule": none are measured */
    int uncaptured;             /* cuda: no step is a recorded graph, or issued before the report of the last; the same bytes */
    int resume, clear;          /* clear: take the weights, start the schedule anew */
    int eval;                   /* bench: inference as validation does it, not a training step */
} am_run;

/* One logged update. */
typedef struct am_step_news {
    long step, steps, epoch, epochs;
    double epochs_seen, loss, average, rate, seconds;
    long images;
    double clean, mixed, judge, mask;                   /* the parts of the loss; NaN: not part of this method */
    double seconds_left, images_per_second;
    int logged;                 /* this update's line is due */
} am_step_news;

/* One head of one net on the validation set. */
typedef struct am_score_news {
    const char *net, *head;
    double loss, top1, topk;    /* top in percent, as ece and gap */
    double ece, gap;            /* calibration error; mean confidence - accuracy (calibration.h) */
    int k;
    long samples;
} am_score_news;

typedef struct am_epoch_news {
    long epoch, epochs;
    double loss, seconds;
    const am_score_news *score; /* the first is the headline: the teacher's first head, or the student's */
    int scores;
    double best;
    int is_best;
} am_epoch_news;

typedef struct am_watch {
    void *user;
    void (*say)(void *user, const char *text);          /* a line of chatter */
    void (*warn)(void *user, const char *text);         /* something that deserves attention, with advice */
    void (*step)(void *user, const am_step_news *);
    void (*epoch)(void *user, const am_epoch_news *);
    int  (*stop)(void *user);                           /* asked after each update; 1: save a checkpoint and return */
} am_watch;

am_status am_train(const am_run *, const am_watch *, am_err *);

/* One net and head on a corruption of the validation images, or on all of them. */
enum { AM_SEVERITIES = 5 };
typedef struct am_corrupted_news {
    const char *name, *net, *head;
    int of, all;                /* name NULL: a mean over `of` of all 19, or of the benchmark's 15 */
    double top1, severity[AM_SEVERITIES];   /* percent */
    long images;
} am_corrupted_news;

/* net, head: those alone, or NULL.  The headline comes first.  bins: a file for the reliability
 * diagrams, or NULL.  tell_corrupted: where the .data file names a folder of corruptions. */
typedef struct am_valid_request {
    const char *net, *head, *bins;
    void *user;
    void (*tell)(void *user, const am_score_news *);
    void (*tell_corrupted)(void *user, const am_corrupted_news *);
} am_valid_request;
am_status am_valid(const am_run *, const am_valid_request *, const am_watch *, am_err *);

typedef struct am_guess { const char *name; double probability; int id; } am_guess;
typedef struct am_predictor am_predictor;
am_status am_predictor_open(am_predictor **, const am_run *, am_err *);
am_status am_predict(am_predictor *, const char *image, int top, am_guess *, int *count, am_err *);
void      am_predictor_close(am_predictor *);
int       am_predictor_top(const am_predictor *);

typedef struct am_sheet_request { const char *out; double lambda[16]; int lambdas, pairs; } am_sheet_request;
am_status am_write_sheet(const am_run *, const am_sheet_request *, const am_watch *, am_err *);

/* Mean overlap (intersection over union at the mask's own threshold) of learned masks with the true
 * silhouettes of a shapes set; constant masks score as chance. */
typedef struct am_overlap { double learned, chance; long pairs; } am_overlap;
am_status am_masks(const am_run *, am_overlap *, am_err *);

/* Runs on the judge, the cpu backend, unless another is named; there with exact sums. */
am_status am_replay(const am_run *, const char *in, const char *out, am_err *);

typedef struct am_bench_news {
    const char *what;           /* step or eval */
    const char *mix;            /* the method */
    const char *why;            /* it cannot run on this cfg: why; else NULL */
    char backend[32], about[160];
    const char *precision;
    int threads, batch, steps;
    double ms_per_step, ms_min, ms_max, images_per_second;
    double cpu_ms_min;          /* processor time of all threads in the best step: what a busy machine disturbs least */
    double host_ms;             /* least time of one thread for what the method prepares of a batch, beside the step */
    double cpu_ms_mean;         /* of all steps: methods that choose a layer or a grid by chance cost more in some */
    double ratio, cpu_ratio;    /* of ms_min and of cpu_ms_mean to those of `none` in the same run; 0: it was not in it */
    size_t peak_bytes;          /* of the backend's memory */
    size_t rss_bytes;           /* the most that the process has held */
} am_bench_news;
/* tell: once, or with mix "all" for each method.  With run->eval it is inference, and no method: batches of 100, or
 * run->batch, through the net that validation puts first. */
am_status am_bench(const am_run *, int steps, void (*tell)(void *user, const am_bench_news *), void *user, am_err *);

am_status am_describe_net(const am_run *, FILE *to, am_err *);     /* the layer table */
am_status am_help(const char *word, FILE *to, am_err *);           /* NULL: an overview */
void      am_reference(FILE *to);                                  /* cfg/README.md */

typedef struct am_shapes_request { const char *folder; int train, valid, size; long seed; } am_shapes_request;
am_status am_data_shapes(const am_shapes_request *, am_err *);

#endif
