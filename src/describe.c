/* describe.c: the layer table: shapes, parameters, multiply-adds, and the memory of training. */
#include <stdlib.h>
#include <string.h>
#include "session.h"

static void row(const am_net *net, const am_layer *l, FILE *to)
{
    char in[32] = "", out[32], kind[64], from[80] = "";
    am_shape x = l->ins ? net->layer[l->in[0]].out : (am_shape){0};
    size_t parameters = 0;
    for (int k = 0; k < l->params; k++)
        if (l->param[k].role == AM_LEARNED) parameters += l->param[k].count;
    snprintf(in, sizeof in, "%d x %d x %d", x.c, x.h, x.w);
    snprintf(out, sizeof out, "%d x %d x %d", l->out.c, l->out.h, l->out.w);
    snprintf(kind, sizeof kind, "%s", l->type->name);
    if (l->params && l->param[0].dims == 4)
        snprintf(kind, sizeof kind, "%s %zux%zu%s", l->type->name, l->param[0].dim[2],
                 l->param[0].dim[3], (int)l->param[0].dim[1] != x.c ? " grouped" : "");
    for (int k = 0; k < l->ins; k++)
        if (l->in[k] != l->index - 1 || l->ins > 1) {
            size_t used = strlen(from);
            const char *name = net->layer[l->in[k]].name;
            if (name)
                snprintf(from + used, sizeof from - used, "%s%s", used ? ", " : "", name);
            else
                snprintf(from + used, sizeof from - used, "%s%d", used ? ", " : "", l->in[k] - 1);
        }
    fprintf(to, "%5d  %-24s %16s  %16s %12zu %11.3f  %-12s %s\n", l->index - 1, kind, in, out,
            parameters, l->macs / 1e6, l->name ? l->name : "", from);
}

static am_status table(am_trainer *t, const am_backend *be, const am_run *run, FILE *to, am_err *e)
{
    am_examiner examiner;
    am_mix_sheet *sheet = NULL;
    double macs = 0, forward = 0;
    AM_TRY(am_examiner_layout(&examiner, t, t->n < 50 ? 50 : t->n, 1, e));
    am_status s = am_mix_sheet_layout(&sheet, t, t->n >= 8 ? 4 : t->n > 1 ? t->n / 2 : 1, e);
    am_mix_sheet_free(sheet);
    AM_TRY(s);
    fprintf(to, "%s: input %d x %d x %d, batch %d%s\n\n", run->cfg, t->net.input.c, t->net.input.h,
            t->net.input.w, t->net.options.batch,
            t->net.options.subdivisions > 1 ? " in parts" : "");
    fprintf(to, "%5s  %-24s %16s  %16s %12s %11s  %-12s %s\n", "layer", "", "in", "out",
            "parameters", "M mult-adds", "name", "reads");
    for (int i = 1; i < t->net.layers; i++) {
        row(&t->net, &t->net.layer[i], to);
        macs += t->net.layer[i].macs;
        forward += strcmp(t->net.layer[i].type->name, "convolutional") ? 0 : t->net.layer[i].macs;
    }
    size_t mixblock = am_net_parameters(&t->net, 1) - am_net_parameters(&t->net, 0);
    fprintf(to, "\nparameters    %zu", am_net_parameters(&t->net, 1));
    if (mixblock) fprintf(to, "   (%zu of them in the MixBlock)", mixblock);
    fprintf(to, "\nmultiply-adds %.0f for one image forward (convolutions alone: %.0f)\n", macs,
            forward);
    size_t weights =
        am_weights_bytes(&t->net, 1) + (t->has_teacher ? am_weights_bytes(&t->net, 0) : 0);
    size_t activations = t->space.high * 4;
    fprintf(to, "method        ");
    for (int i = 0; i < t->mixes; i++) fprintf(to, "%s%s", i ? ", " : "", t->mix[i].type->name);
    fprintf(to, "%s%s\n", t->mixes ? "" : "none",
            t->has_teacher ? ", with a momentum teacher" : "");
    size_t checkpoint = am_checkpoint_bytes(t);
    fprintf(to,
            "memory        %.1f MB to train on %s: weights %.1f MB, activations of a step %.1f MB, a "
            "checkpoint on its way to the disk %.1f MB\n",
            1e-6 * (double)(weights + activations + t->state.count * 4 + checkpoint), be->name,
            1e-6 * (double)weights, 1e-6 * (double)activations, 1e-6 * (double)checkpoint);
    return AM_OK;
}

am_status am_describe_net(const am_run *run, FILE *to, am_err *e)
{
    am_arena mem = {0};
    am_cfg c;
    am_backend be = {0};
    am_trainer *t = calloc(1, sizeof *t);
    am_trainer_options o = {
        .learn = 1, .batch = run->batch, .mix = run->mix, .seed = run->seed, .made_up = 1};
    am_status s =
        t ? am_cfg_load(&c, &mem, run->cfg, e) : am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
    if (!s) s = am_open_backend(&be, run, &c, 0, e);
    if (!s) s = am_trainer_open(t, &be, &c, &o, e);
    if (!s) s = table(t, &be, run, to, e);
    if (t) am_trainer_close(t);
    am_close_backend(&be);
    am_arena_free(&mem);
    free(t);
    return s;
}
