/* history.c: the run's log, one JSON object an epoch, and the chart drawn from it. */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "picture.h"
#include "session.h"

static const struct {
    const char *name;
    size_t at;
} fields[] = {
#define ROW(f)                                                                                     \
    {                                                                                              \
#f, offsetof(struct am_epoch_record, f)                                                    \
    }
    ROW(epoch),  ROW(loss),    ROW(clean), ROW(mixed), ROW(judge),     ROW(mask),      ROW(rate),
    ROW(follow), ROW(seconds), ROW(share), ROW(drift), ROW(structure), ROW(saturated), ROW(entropy),
#undef ROW
};
/* What the log calls them. */
static const char *const words[] = {"epoch",
                                    "loss",
                                    "loss_clean",
                                    "loss_mixed",
                                    "loss_judge",
                                    "loss_mask",
                                    "learning_rate",
                                    "teacher_momentum",
                                    "seconds",
                                    "mask_share_error",
                                    "mask_share_minus_lambda",
                                    "mask_structure",
                                    "mask_saturated",
                                    "attention_entropy"};
enum { FIELDS = sizeof fields / sizeof *fields };
/* What is known of a head of a net. */
static const struct {
    const char *name;
    size_t at;
} scores[] = {{"loss", offsetof(struct am_epoch_record, valid_loss)},
              {"top1", offsetof(struct am_epoch_record, top1)},
              {"topk", offsetof(struct am_epoch_record, topk)},
              {"ece", offsetof(struct am_epoch_record, ece)},
              {"gap", offsetof(struct am_epoch_record, gap)}};
enum { SCORES = sizeof scores / sizeof *scores };
static const char *const nets[] = {"student", "teacher"}, *const heads[] = {"one", "mix"};

static double *field(struct am_epoch_record *r, int i)
{
    return (double *)((char *)r + fields[i].at);
}

static double *score(struct am_epoch_record *r, int i, int net, int head)
{
    return (double *)((char *)r + scores[i].at) + 2 * net + head;
}

static am_status push(am_history *h, const struct am_epoch_record *r, am_err *e)
{
    if (h->count == h->room) {
        int room = h->room ? 2 * h->room : 64;
        void *more = realloc(h->at, (size_t)room * sizeof *h->at);
        if (!more) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
        h->at = more;
        h->room = room;
    }
    h->at[h->count++] = *r;
    return AM_OK;
}

static int parse(const char *line, struct am_epoch_record *r)
{
    cJSON *o = cJSON_Parse(line);
    if (!o) return 0;
    for (int i = 0; i < FIELDS; i++) {
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, words[i]);
        *field(r, i) = cJSON_IsNumber(v) ? v->valuedouble : NAN;
    }
    for (int net = 0; net < 2; net++)
        for (int head = 0; head < 2; head++) {
            const cJSON *n = cJSON_GetObjectItemCaseSensitive(o, nets[net]),
                        *h = cJSON_GetObjectItemCaseSensitive(n, heads[head]);
            for (int i = 0; i < SCORES; i++) {
                const cJSON *v = cJSON_GetObjectItemCaseSensitive(h, scores[i].name);
                *score(r, i, net, head) = cJSON_IsNumber(v) ? v->valuedouble : NAN;
            }
        }
    cJSON_Delete(o);
    return 1;
}

/* The log may be one epoch ahead of the checkpoint, if the run was killed between the two. */
am_status am_history_load(am_history *h, const char *path, long epochs, am_err *e)
{
    am_arena a = {0};
    char *text = NULL, *end;
    size_t size = 0;
    am_status s = AM_OK;
    *h = (am_history){0};
    if (epochs > 0 && !am_file_slurp(&a, path, (size_t)1 << 30, &text, &size, NULL)) {
        for (char *line = text; h->count < epochs && *line && (end = strchr(line, '\n'));
             line = end + 1) {
            struct am_epoch_record r;
            *end = 0;
            int good = parse(line, &r);
            *end = '\n';
            if (!good) break;
            s = push(h, &r, e);
            if (s) break;
            size = (size_t)(end + 1 - text);
        }
        if (!h->count) size = 0;
    } else {
        size = 0;
    }
    if (!s) s = am_file_replace(path, &(am_span){text, size}, 1, e);
    am_arena_free(&a);
    return s;
}

/* Numbers as short as they can be without losing what matters; what is not there is left out. */
static void number(char *line, size_t size, const char *name, double v)
{
    size_t used = strlen(line);
    if (!isnan(v))
        snprintf(line + used, size - used, "%s\"%s\":%.7g",
                 used > 1 && line[used - 1] != '{' ? "," : "", name, v);
}

static void open(char *line, size_t size, const char *name)
{
    size_t used = strlen(line);
    snprintf(line + used, size - used, "%s\"%s\":{", line[used - 1] != '{' ? "," : "", name);
}

static void append(char *line, size_t size, const char *text)
{
    size_t used = strlen(line);
    snprintf(line + used, size - used, "%s", text);
}

am_status am_history_add(am_history *h, const char *path, const struct am_epoch_record *r,
                         const am_trainer *t, int top, am_err *e)
{
    char line[4096] = "{";
    struct am_epoch_record copy = *r;
    for (int i = 0; i < FIELDS; i++) number(line, sizeof line, words[i], *field(&copy, i));
    number(line, sizeof line, "updates", (double)t->step);
    number(line, sizeof line, "images", (double)t->step * t->net.options.batch);
    number(line, sizeof line, "k", top);
    for (int net = 0; net < 2; net++) {
        if (isnan(r->top1[net][0])) continue;
        open(line, sizeof line, nets[net]);
        for (int head = 0; head < 2; head++) {
            if (isnan(r->top1[net][head])) continue;
            open(line, sizeof line, heads[head]);
            for (int i = 0; i < SCORES; i++)
                number(line, sizeof line, scores[i].name, *score(&copy, i, net, head));
            append(line, sizeof line, "}");
        }
        append(line, sizeof line, "}");
    }
    append(line, sizeof line, "}\n");
    AM_TRY(push(h, r, e));
    FILE *f = fopen(path, "a");
    int good = f && fputs(line, f) >= 0;
    good &= f && !fclose(f);
    return good ? AM_OK
                : am_fail(e, AM_EIO, (am_loc){path, 0},
                          "cannot write the log; is the disk full or the folder read-only?  The "
                          "last checkpoint is whole");
}

void am_history_free(am_history *h)
{
    free(h->at);
    *h = (am_history){0};
}

/* ---- the chart ---- */
enum { MOST_CURVES = 24 };
typedef struct plot {
    const am_history *h;
    double *x[MOST_CURVES], *y[MOST_CURVES];
    int curves;
} plot;

static const am_colour palette[] = {{31, 119, 180}, {214, 39, 40},  {44, 160, 44},  {148, 103, 189},
                                    {255, 127, 14}, {23, 190, 207}, {127, 127, 127}};

/* A curve through the epochs that have the value; none, if no epoch has. */
static void add(plot *p, am_series *to, int *count, const char *name, int colour, int dashed,
                double (*value)(const struct am_epoch_record *, int), int which)
{
    double *x = calloc((size_t)p->h->count + 1, sizeof *x),
           *y = calloc((size_t)p->h->count + 1, sizeof *y);
    int n = 0;
    for (int i = 0; x && y && i < p->h->count; i++) {
        y[n] = value(&p->h->at[i], which);
        x[n] = p->h->at[i].epoch;
        n += !isnan(y[n]);
    }
    if (!n || p->curves == MOST_CURVES) {
        free(x);
        free(y);
        return;
    }
    p->x[p->curves] = x;
    p->y[p->curves++] = y;
    to[(*count)++] = (am_series){name, palette[colour % 7], x, y, n, dashed};
}

static double value_of(const struct am_epoch_record *r, int which)
{
    return *(const double *)((const char *)r + fields[which].at);
}
static double top1_of(const struct am_epoch_record *r, int which)
{
    return r->top1[which / 2][which % 2];
}
static double valid_loss_of(const struct am_epoch_record *r, int which)
{
    return r->valid_loss[which / 2][which % 2];
}

am_status am_history_chart(const am_history *h, const char *path, const char *title,
                           const am_trainer *t, am_err *e)
{
    plot p = {.h = h};
    am_series loss[8], accuracy[4], rate[2], mask[4];
    int losses = 0, accuracies = 0, rates = 0, masks = 0, panels = 0;
    am_axes panel[4];
    add(&p, loss, &losses, "student, clean", 0, 0, value_of, 2);
    add(&p, loss, &losses, "student, mixed", 1, 0, value_of, 3);
    add(&p, loss, &losses, "teacher, mixed", 2, 0, value_of, 4);
    add(&p, loss, &losses, "mask", 6, 0, value_of, 5);
    add(&p, loss, &losses, "validation", 3, 1, valid_loss_of, t->has_teacher ? 2 : 0);
    add(&p, accuracy, &accuracies, "teacher", 1, 0, top1_of, 2);
    add(&p, accuracy, &accuracies, "student", 0, 0, top1_of, 0);
    add(&p, accuracy, &accuracies, "teacher, mix head", 1, 1, top1_of, 3);
    add(&p, accuracy, &accuracies, "student, mix head", 0, 1, top1_of, 1);
    add(&p, rate, &rates, "learning rate", 4, 0, value_of, 6);
    add(&p, mask, &masks, "|share - lambda|", 1, 0, value_of, 9);
    add(&p, mask, &masks, "structure", 2, 0, value_of, 11);
    add(&p, mask, &masks, "saturated pixels", 6, 0, value_of, 12);
    add(&p, mask, &masks, "attention entropy", 3, 1, value_of, 13);
    panel[panels++] = (am_axes){.title = "accuracy on the validation set",
                                .x_label = "epoch",
                                .y_label = "top-1, %",
                                .series = accuracy,
                                .count = accuracies};
    panel[panels++] = (am_axes){
        .title = "losses", .x_label = "epoch", .y_label = "loss", .series = loss, .count = losses};
    panel[panels++] = (am_axes){.title = "learning rate",
                                .x_label = "epoch",
                                .y_label = "rate",
                                .series = rate,
                                .count = rates};
    if (masks)
        panel[panels++] = (am_axes){.title = "health of the MixBlock",
                                    .x_label = "epoch",
                                    .y_label = "",
                                    .series = mask,
                                    .count = masks};
    for (int i = 0; i < panels && h->count; i++) {
        panel[i].x_min = h->at[0].epoch;
        panel[i].x_max = h->at[h->count - 1].epoch;
    }
    am_status s = am_chart_write(path, title, panel, panels, e);
    for (int i = 0; i < p.curves; i++) {
        free(p.x[i]);
        free(p.y[i]);
    }
    return s;
}
