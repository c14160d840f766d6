/* scores.c: valid: every net and head on the validation set, how well each knows what it knows, and
 * the same on corrupted images. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "session.h"

static const char *const nets[] = {"student", "teacher"}, *const heads[] = {"one", "mix"};

int am_scores(const am_validation *v, int top, am_score_news score[4])
{
    int n = 0;
    for (int net = 1; net >= 0; net--)
        for (int head = 0; head < 2; head++) {
            const am_accuracy *a = &v->at[net][head];
            if (a->valid)
                score[n++] = (am_score_news){.net = nets[net],
                                             .head = heads[head],
                                             .loss = a->loss,
                                             .top1 = a->top1,
                                             .topk = a->topk,
                                             .ece = a->ece,
                                             .gap = a->gap,
                                             .k = top,
                                             .samples = a->samples};
        }
    return n;
}

/* What is not asked for counts as not there. */
static void narrow(am_validation *v, const am_valid_request *q)
{
    for (int net = 0; net < 2; net++)
        for (int head = 0; head < 2; head++)
            if ((q->net && strcmp(q->net, nets[net])) || (q->head && strcmp(q->head, heads[head])))
                v->at[net][head].valid = 0;
}

am_status am_score_set(am_rest *r, const am_dataset *set, const am_valid_request *q,
                       am_validation *v, am_err *e)
{
    am_loader_options o = {.batch = r->examiner.batch,
                           .augment = am_augment_of(&r->t.net.options, 0)};
    am_loader_close(r->loader);
    r->loader = NULL;
    AM_TRY(am_loader_open(&r->loader, set, &o, e));
    AM_TRY(am_examine(&r->examiner, r->loader, v, e));
    narrow(v, q);
    return AM_OK;
}

/* One line a bin; what an empty bin would be right at is left empty. */
static am_status write_bins(const char *path, const am_validation *v, am_err *e)
{
    enum { ROOM = 4 * AM_BINS * 120 + 100 };
    char text[ROOM];
    size_t n = (size_t)snprintf(text, ROOM, "net,head,above,to,count,accuracy,confidence\n");
    for (int k = 3; k >= 0; k--) {
        int net = k / 2, head = 1 - k % 2;
        for (int m = 0; v->at[net][head].valid && m < AM_BINS; m++) {
            const am_bin *b = &v->at[net][head].reliability.bin[m];
            n +=
                (size_t)snprintf(text + n, ROOM - n, "%s,%s,%.6f,%.6f,%ld,", nets[net], heads[head],
                                 (double)m / AM_BINS, (double)(m + 1) / AM_BINS, b->count);
            if (b->count)
                n += (size_t)snprintf(text + n, ROOM - n, "%.6f,%.6f\n",
                                      (double)b->right / (double)b->count,
                                      b->confidence / (double)b->count);
            else
                n += (size_t)snprintf(text + n, ROOM - n, ",\n");
        }
    }
    return am_file_replace(path, &(am_span){text, n}, 1, e);
}

static am_status check_request(const am_rest *r, const am_run *run, const am_valid_request *q,
                               am_err *e)
{
    if (q->net && !strcmp(q->net, "teacher") && !r->t.has_teacher)
        return am_fail(e, AM_EUSAGE, (am_loc){"-net", 0},
                       "%s has no [momentum_teacher], so there is only the student", run->cfg);
    if (q->head && !strcmp(q->head, "mix") && r->t.mixed_head == r->t.clean_head)
        return am_fail(e, AM_EUSAGE, (am_loc){"-head", 0}, "%s has only one [softmax]: one",
                       run->cfg);
    return AM_OK;
}

static am_status valid(am_rest *r, am_corruptions **corrupted, const am_run *run,
                       const am_valid_request *q, const am_watch *watch, am_err *e)
{
    am_validation v;
    am_score_news score[4];
    AM_TRY(am_rest_open(r, run, AM_DATA_VALID, run->batch > 0 ? run->batch : 100, 0, e));
    if (watch->say) watch->say(watch->user, r->be.about);
    AM_TRY(check_request(r, run, q, e));
    if (*r->data.corruptions) AM_TRY(am_corruptions_open(corrupted, &r->data, watch, e));
    AM_TRY(am_score_set(r, &r->data.valid, q, &v, e));
    for (int i = 0, n = am_scores(&v, r->examiner.top, score); i < n; i++)
        q->tell(q->user, &score[i]);
    if (q->bins) AM_TRY(write_bins(q->bins, &v, e));
    return *corrupted ? am_corruptions_score(*corrupted, r, q, e) : AM_OK;
}

am_status am_valid(const am_run *run, const am_valid_request *q, const am_watch *watch, am_err *e)
{
    am_rest *r = calloc(1, sizeof *r);
    am_corruptions *corrupted = NULL;
    if (!r) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
    am_status s = valid(r, &corrupted, run, q, watch, e);
    am_corruptions_close(corrupted);
    am_rest_close(r);
    free(r);
    return s;
}
