/* gallery.c: the same pairs under every method, side by side (the paper's figure 1).
 *
 * Each method opens its own trainer, as -mix METHOD would; one that cannot be had here, for want of a
 * [mixblock] or of weights, leaves an empty tile that says so. */
#include <stdlib.h>
#include <string.h>
#include "picture.h"
#include "session.h"

enum { SOURCES = 2, ACROSS = 6, MOST_METHODS = 64 };

typedef struct gallery {
    const am_run *run;
    const am_sheet_request *q;
    const am_watch *watch;
    int count, each;
    const am_method *method[MOST_METHODS];
    am_tile *tile; /* [pairs][each] */
} gallery;

static am_status take(gallery *g, int column, am_rest *r, am_err *e)
{
    int pairs = g->q->pairs,
        inside = r->t.mix[0].type->run && strcmp(r->t.mix[0].type->name, "automix");
    am_image *mix = calloc((size_t)pairs, sizeof *mix);
    float *share = calloc((size_t)pairs, sizeof *share);
    am_status s = mix && share ? AM_OK : am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
    if (!s)
        s = am_mix_sheet_make(r->sheet, &r->t.mix[0], &r->data.valid, g->q->lambda[0], mix, share,
                              e);
    for (int k = 0; !s && k < pairs; k++) {
        am_tile *tile = g->tile + k * g->each;
        if (!tile[0].picture.pixel)
            s = am_mix_sheet_source(r->sheet, k, &r->data.valid, &tile[0].picture, tile[0].caption,
                                    sizeof tile[0].caption, e);
        if (!s && !tile[1].picture.pixel)
            s = am_mix_sheet_source(r->sheet, k + pairs, &r->data.valid, &tile[1].picture,
                                    tile[1].caption, sizeof tile[1].caption, e);
        tile[column].picture = mix[k];
        mix[k] = (am_image){0};
        if (inside && r->t.mix[0].type->prepare)
            snprintf(tile[column].caption, sizeof tile[column].caption, "a view of x_i");
        else if (inside)
            snprintf(tile[column].caption, sizeof tile[column].caption, "in the net");
        else
            snprintf(tile[column].caption, sizeof tile[column].caption, "lambda %.2f",
                     (double)share[k]);
    }
    for (int k = 0; mix && k < pairs; k++) am_image_free(&mix[k]);
    free(mix);
    free(share);
    return s;
}

/* One method's column.  What this method alone cannot have is said in its tiles; the rest is a fault. */
static am_status fill(gallery *g, int column, am_err *e)
{
    am_run run = *g->run;
    am_err why = {0};
    am_rest *r = calloc(1, sizeof *r);
    if (!r) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
    run.mix = g->method[column - SOURCES]->name;
    am_status s = am_rest_open(r, &run, AM_DATA_VALID, 1, g->q->pairs, &why);
    if (!s && column == SOURCES && g->watch->say) g->watch->say(g->watch->user, r->be.about);
    if (!s && !strcmp(run.mix, "automix") && am_net_first(&r->t.net, "mixblock", 0) < 0)
        s = am_fail(&why, AM_EINPUT, (am_loc){run.cfg, 0},
                    "method=automix needs a [mixblock] section in the cfg");
    if (!s) s = take(g, column, r, &why);
    am_rest_close(r);
    free(r);
    for (int k = 0; k < g->q->pairs; k++)
        snprintf(g->tile[k * g->each + column].name, sizeof g->tile->name, "%s", run.mix);
    if (!s) return AM_OK;
    if (s != AM_EINPUT) {
        *e = why;
        return s;
    }
    char text[400];
    snprintf(text, sizeof text, "%s: left out: %.300s", run.mix, why.text);
    if (g->watch->warn) g->watch->warn(g->watch->user, text);
    for (int k = 0; k < g->q->pairs; k++)
        snprintf(g->tile[k * g->each + column].caption, sizeof g->tile->caption, "%.255s",
                 why.text);
    return AM_OK;
}

am_status am_write_gallery(const am_run *run, const am_sheet_request *q, const am_watch *watch,
                           am_err *e)
{
    gallery g = {.run = run, .q = q, .watch = watch};
    char title[200];
    int empty = 1;
    for (const am_method *const *m = am_methods(); *m && g.count < MOST_METHODS; m++)
        if (strcmp((*m)->name, "none")) g.method[g.count++] = *m; /* x_i itself */
    g.each = SOURCES + g.count;
    g.tile = calloc((size_t)(q->pairs * g.each), sizeof *g.tile);
    if (!g.tile) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
    for (int k = 0; k < q->pairs; k++)
        for (int side = 0; side < SOURCES; side++)
            snprintf(g.tile[k * g.each + side].name, sizeof g.tile->name, "%s",
                     side ? "x_j" : "x_i");
    am_status s = AM_OK;
    for (int c = SOURCES; !s && c < g.each; c++) s = fill(&g, c, e);
    for (int c = SOURCES; c < g.each; c++) empty &= !g.tile[c].picture.pixel;
    if (!s && empty)
        s = am_fail(e, AM_EINPUT, (am_loc){run->cfg, 0}, "no method can be shown: %.150s",
                    g.tile[SOURCES].caption);
    snprintf(title, sizeof title,
             "every method at lambda %.2f as drawn; below each, the weight of x_i's label",
             q->lambda[0]);
    if (!s) s = am_tiles_write(q->out, title, g.tile, q->pairs, g.each, ACROSS, e);
    for (int i = 0; i < q->pairs * g.each; i++) am_image_free(&g.tile[i].picture);
    free(g.tile);
    return s;
}
