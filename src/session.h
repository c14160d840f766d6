/* session.h: what the functions behind automix.h share. */
#ifndef AM_SESSION_H
#define AM_SESSION_H
#include "automix.h"
#include "train.h"

/* learns: it will train, so that engines are measured where the run does not say -plans. */
am_status am_open_backend(am_backend *, const am_run *, const am_cfg *, int learns, am_err *);
void      am_close_backend(am_backend *);
const am_backend_type *am_type_of(const am_backend *);

/* The data set must have as many classes as the net. */
am_status am_check_classes(const am_data *, const am_trainer *, am_err *);
am_augment am_augment_of(const am_net_options *, int train);
/* "resnet18_automix" of "cfg/resnet18_automix.cfg" */
const char *am_base_name(am_arena *, const char *cfg);

/* ---- the run's files: BASE.log.jsonl, BASE.chart.png, BASE.sheet.png ---- */
typedef struct am_history {     /* one entry an epoch, read back from the log when a run is resumed */
    int count, room;
    struct am_epoch_record {
        double epoch, loss, clean, mixed, judge, mask, rate, follow, seconds;
        double share, drift, structure, saturated, entropy;             /* NaN: no MixBlock */
        /* [net][head]; NaN: none */
        double top1[2][2], topk[2][2], valid_loss[2][2], ece[2][2], gap[2][2];
    } *at;
} am_history;
am_status am_history_load(am_history *, const char *path, long epochs, am_err *);  /* keep the first `epochs` entries, drop the rest of the file */
am_status am_history_add(am_history *, const char *path, const struct am_epoch_record *, const am_trainer *, int top, am_err *);
void      am_history_free(am_history *);
am_status am_history_chart(const am_history *, const char *path, const char *title, const am_trainer *, am_err *);

/* A sheet of the trainer's own mixes, from the data set's first images of different classes. */
typedef struct am_mix_sheet am_mix_sheet;
am_status am_mix_sheet_layout(am_mix_sheet **, am_trainer *, int pairs, am_err *);       /* before am_space_commit */
am_status am_mix_sheet_write(am_mix_sheet *, am_mix *, const am_data *, const am_dataset *, const double *lambda, int lambdas, const char *path, am_err *);
/* The masks [2 pairs][h][w] of the pairs (index[k], index[k + pairs]) and the other way round, at one lambda. */
am_status am_mix_sheet_planes(am_mix_sheet *, am_mix *, const am_dataset *, const int *index, double lambda, const float **planes, am_err *);
/* The mixtures of its pairs at one lambda as pictures [pairs], with the weight of x_i's label that the method gave
 * each; and afterwards image k, of pair k or of pair k - pairs, with its class's name. */
am_status am_mix_sheet_make(am_mix_sheet *, am_mix *, const am_dataset *, double lambda, am_image *mix, float *share, am_err *);
am_status am_mix_sheet_source(const am_mix_sheet *, int k, const am_dataset *, am_image *, char *name, size_t size, am_err *);
void      am_mix_sheet_free(am_mix_sheet *);

am_status am_write_gallery(const am_run *, const am_sheet_request *, const am_watch *, am_err *);     /* -mix all */

/* A trained classifier at rest (rest.c).  which: the data sets to open; batch: of inference; pairs > 0: a sheet too. */
typedef struct am_rest {
    am_arena mem;
    am_cfg cfg;
    am_backend be;
    am_data data;
    am_trainer t;
    am_examiner examiner;
    am_mix_sheet *sheet;
    am_loader *loader;
} am_rest;
am_status am_rest_open(am_rest *, const am_run *, int which, int batch, int pairs, am_err *);
void      am_rest_close(am_rest *);

/* ---- valid (scores.c) ---- */
/* Of what there is, the headline first; returns how many. */
int am_scores(const am_validation *, int top, am_score_news score[4]);
am_status am_score_set(am_rest *, const am_dataset *, const am_valid_request *, am_validation *,
                       am_err *);

/* The files of a folder of corrupted images, all checked and open (corruptions.c). */
typedef struct am_corruptions am_corruptions;
am_status am_corruptions_open(am_corruptions **, const am_data *, const am_watch *, am_err *);
am_status am_corruptions_score(am_corruptions *, am_rest *, const am_valid_request *, am_err *);
void      am_corruptions_close(am_corruptions *);

#endif
