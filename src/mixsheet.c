/* mixsheet.c: pictures of what a method does: pairs, masks, mixes, one column per lambda.
 *
 * Masks of AutoMix come from the teacher's features in inference mode, so a sheet does not depend on
 * which images share it.  Handcrafted methods draw their own chance, with lambda as asked; what mixes
 * inside the net (manifoldmix, patchup, alignmix) is shown as the mixture of its first layer, the image. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "picture.h"
#include "session.h"

struct am_mix_sheet {
    am_trainer *t;
    int pairs, n; /* n = 2 * pairs images; image k's partner is k + pairs, and the other way round */
    int block, feature;
    am_plan feature_plan, mask_plan;
    am_pass features, mask;
    am_place x, z, mixed, planes;
    am_dev perm, lam;
    unsigned char *pixel; /* [n][h][w][3] */
    float *mix, *plane; /* [n][c][h][w], [n][h][w] */
    int *index;
};

am_status am_mix_sheet_layout(am_mix_sheet **out, am_trainer *t, int pairs, am_err *e)
{
    am_mix_sheet *s = calloc(1, sizeof *s);
    const am_ops *op = t->be->ops;
    if (!(*out = s)) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
    *s = (am_mix_sheet){.t = t, .pairs = pairs, .n = 2 * pairs};
    am_shape image = am_batch_of(t->net.input, s->n);
    size_t pixels = (size_t)s->n * (size_t)(image.h * image.w);
    s->pixel = calloc(pixels, 3);
    s->mix = calloc(pixels * (size_t)image.c, sizeof *s->mix);
    s->plane = calloc(pixels, sizeof *s->plane);
    s->index = calloc((size_t)s->n, sizeof *s->index);
    s->perm = op->alloc(t->be, (size_t)s->n);
    s->lam = op->alloc(t->be, (size_t)s->n);
    if (!s->pixel || !s->mix || !s->plane || !s->index || !am_is(s->perm) || !am_is(s->lam))
        return am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");

    size_t mark = am_space_mark(&t->space);
    am_space_release(&t->space, 0); /* between steps nothing of a step is alive */
    s->x = am_space_push(&t->space, op->room(t->be, image));
    s->mixed = am_space_push(&t->space, op->room(t->be, image));
    s->planes = am_space_push(&t->space, pixels);
    s->block = am_net_first(&t->net, "mixblock", 0);
    if (s->block > 0) {
        s->feature = t->net.layer[s->block].in[0];
        s->z = am_space_push(&t->space,
                             op->room(t->be, am_batch_of(t->net.layer[s->feature].out, s->n)));
        size_t own = am_space_mark(&t->space);
        AM_TRY(am_pass_make(&s->features, &s->feature_plan, &t->net,
                            (am_trip){.to = s->feature, .n = s->n},
                            t->has_teacher ? &t->teacher : &t->student, &t->space, e));
        am_space_release(&t->space, own);
        AM_TRY(am_pass_make(&s->mask, &s->mask_plan, &t->net,
                            (am_trip){.from = s->feature, .to = s->block, .n = s->n}, &t->student,
                            &t->space, e));
    }
    am_space_release(&t->space, mark);
    return AM_OK;
}

void am_mix_sheet_free(am_mix_sheet *s)
{
    if (!s) return;
    if (am_is(s->perm)) s->t->be->ops->free(s->t->be, s->perm);
    if (am_is(s->lam)) s->t->be->ops->free(s->t->be, s->lam);
    free(s->pixel);
    free(s->mix);
    free(s->plane);
    free(s->index);
    free(s);
}

/* Images spread evenly over the set; partners are taken from another class where there is one. */
static void choose(am_mix_sheet *s, const am_dataset *d)
{
    for (int k = 0; k < s->pairs; k++) {
        int a = (int)((long)d->count * (2 * k) / s->n),
            b = (int)((long)d->count * (2 * k + 1) / s->n);
        for (int tries = 0; tries < d->count && d->label[b] == d->label[a]; tries++)
            b = (b + 1) % d->count;
        s->index[k] = a;
        s->index[k + s->pairs] = b;
    }
}

static am_status read_images(am_mix_sheet *s, const am_dataset *d, am_err *e)
{
    am_trainer *t = s->t;
    am_augment a = am_augment_of(&t->net.options, 0);
    size_t each = (size_t)(t->net.input.h * t->net.input.w) * 3;
    am_image img = {0};
    am_status st = AM_OK;
    for (int k = 0; !st && k < s->n; k++) {
        st = d->read(d, s->index[k], &img, e);
        if (!st) st = am_augment_apply(&a, &img, NULL, s->pixel + (size_t)k * each, e);
    }
    am_image_free(&img);
    return st;
}

static void to_device(am_mix_sheet *s)
{
    am_trainer *t = s->t;
    float mean[AM_MAX_LIST], std[AM_MAX_LIST];
    am_levels(&t->net.options, mean, std);
    t->be->ops->put_bytes(t->be, am_batch_of(t->net.input, s->n), s->pixel, mean, std,
                          am_here(&t->space, s->x));
}

static void draw_at(am_mix_sheet *s, am_mix *m, double lambda)
{
    am_trainer *t = s->t;
    am_rng r = am_rng_at(t->seed_value, 0x7368656574, 0); /* the same place at every lambda */
    t->fixed_lambda = lambda;
    t->fixed_perm = s->index;
    t->pixels = s->pixel;
    m->type->draw(m, t, &r);
    t->fixed_lambda = -1;
    am_upload_state(t);
}

static int learned(const am_mix_sheet *s, const am_mix *m)
{
    return s->block > 0 && (!strcmp(m->type->name, "automix") || !strcmp(m->type->name, "none"));
}

/* The mask planes of all n images, on the device; of a method that has none of its own, constant. */
static void mask_at(am_mix_sheet *s, am_mix *m, int drawn)
{
    am_trainer *t = s->t;
    const am_ops *op = t->be->ops;
    am_dev planes = am_here(&t->space, s->planes);
    int n = s->n, h = t->net.input.h, w = t->net.input.w;
    if (learned(s, m)) {
        s->mask.given = am_here(&t->space, s->z);
        s->mask.perm = s->perm;
        s->mask.lam = s->lam;
        am_forward(&s->mask);
        op->copy(t->be, (size_t)n * (size_t)(h * w), am_y(&s->mask, &t->net.layer[s->block]),
                 planes);
        return;
    }
    if (!drawn) {
        op->mask_fill(t->be, n, h, w, s->lam, planes);
        return;
    }
    m->type->mask(m, t, planes);
}

/* Fill s->mix and s->plane for one lambda. */
static am_status run(am_mix_sheet *s, am_mix *m, double lambda, am_err *e)
{
    am_trainer *t = s->t;
    const am_ops *op = t->be->ops;
    am_shape image = am_batch_of(t->net.input, s->n);
    for (int k = 0; k < s->n; k++) {
        s->index[k] = (k + s->pairs) % s->n;
        s->plane[k] = (float)lambda;
    }
    op->upload(t->be, (size_t)s->n, s->index, s->perm);
    op->upload(t->be, (size_t)s->n, s->plane, s->lam);
    to_device(s);
    if (learned(s, m)) {
        s->features.given = am_here(&t->space, s->x);
        am_forward(&s->features);
        op->copy(t->be, op->room(t->be, am_batch_of(t->net.layer[s->feature].out, s->n)),
                 am_y(&s->features, &t->net.layer[s->feature]), am_here(&t->space, s->z));
    }
    am_dev x = am_here(&t->space, s->x), planes = am_here(&t->space, s->planes),
           mixed = am_here(&t->space, s->mixed);
    int whole = t->n, drawn = !m->type->run && s->n <= whole;
    t->n = drawn ? s->n : whole; /* the method draws for a batch; its first rows serve */
    if (drawn) draw_at(s, m, lambda);
    if (drawn && m->type->mix) {
        op->mask_fill(t->be, s->n, image.h, image.w, am_state_dev(t, t->pair[1].lam), planes);
        m->type->mix(m, t, x, mixed);
    } else {
        mask_at(s, m, drawn);
        op->blend(t->be, image, x, s->perm, planes, mixed);
    }
    t->n = whole;
    t->fixed_perm = NULL;
    t->pixels = NULL;
    op->get(t->be, image, am_here(&t->space, s->mixed), s->mix);
    op->download(t->be, (size_t)s->n * (size_t)(image.h * image.w), am_here(&t->space, s->planes),
                 s->plane);
    return op->sync(t->be, e);
}

/* What a method makes of an image alone stands for its mixture. */
static am_status run_views(am_mix_sheet *s, am_mix *m, am_err *e)
{
    size_t image = am_count(s->t->net.input);
    unsigned char *extra = malloc(m->extra);
    if (!extra) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
    for (int k = 0; k < s->n; k++) {
        am_rng r = am_rng_at(s->t->seed_value, 0x7368656574, (uint64_t)k);
        m->type->prepare(m, s->t, s->pixel + (size_t)k * image, &r, extra);
        memcpy(s->mix + (size_t)k * image, extra, image * sizeof *s->mix);
    }
    free(extra);
    return AM_OK;
}

static am_status picture_of(const am_mix_sheet *s, int k, am_image *out, am_err *e)
{
    int h = s->t->net.input.h, w = s->t->net.input.w;
    AM_TRY(am_image_new(out, w, h, e));
    memcpy(out->pixel, s->pixel + (size_t)k * (size_t)(h * w) * 3, (size_t)(h * w) * 3);
    return AM_OK;
}

static am_status mix_picture(const am_mix_sheet *s, int k, am_image *out, am_err *e)
{
    const am_net_options *o = &s->t->net.options;
    int h = s->t->net.input.h, w = s->t->net.input.w, c = s->t->net.input.c;
    AM_TRY(am_image_new(out, w, h, e));
    for (int i = 0; i < h * w; i++)
        for (int ch = 0; ch < 3; ch++) {
            int from = ch < c ? ch : 0;
            double v =
                255 *
                (s->mix[((size_t)k * (size_t)c + (size_t)from) * (size_t)(h * w) + (size_t)i] *
                     o->std.at[from] +
                 o->mean.at[from]);
            out->pixel[3 * i + ch] = (unsigned char)(v < 0 ? 0 : v > 255 ? 255 : v + 0.5);
        }
    return AM_OK;
}

static void free_sheet(am_sheet *sheet)
{
    for (int r = 0; sheet->row && r < sheet->rows; r++) {
        am_sheet_row *row = &sheet->row[r];
        am_image_free(&row->a);
        am_image_free(&row->b);
        for (int k = 0; row->cell && k < sheet->columns; k++) {
            am_image_free(&row->cell[k].mix);
            free((void *)(uintptr_t)row->cell[k].mask);
        }
        free(row->cell);
    }
    free(sheet->row);
}

static am_status fill_sheet(am_mix_sheet *s, am_mix *m, const am_dataset *d, const double *lambda,
                            am_sheet *sheet, am_err *e)
{
    size_t plane = (size_t)(s->t->net.input.h * s->t->net.input.w);
    choose(s, d);
    for (int r = 0; r < sheet->rows; r++) {
        am_sheet_row *row = &sheet->row[r];
        int a = d->label[s->index[r]], b = d->label[s->index[r + s->pairs]];
        row->cell = calloc((size_t)sheet->columns, sizeof *row->cell);
        if (!row->cell) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
        if (d->name)
            snprintf(row->label_a, sizeof row->label_a, "%s", d->name[a]);
        else
            snprintf(row->label_a, sizeof row->label_a, "class %d", a);
        if (d->name)
            snprintf(row->label_b, sizeof row->label_b, "%s", d->name[b]);
        else
            snprintf(row->label_b, sizeof row->label_b, "class %d", b);
    }
    AM_TRY(read_images(s, d, e));
    for (int r = 0; r < sheet->rows; r++) {
        AM_TRY(picture_of(s, r, &sheet->row[r].a, e));
        AM_TRY(picture_of(s, r + s->pairs, &sheet->row[r].b, e));
    }
    for (int k = 0; k < sheet->columns; k++) {
        AM_TRY(run(s, m, lambda[k], e));
        for (int r = 0; r < sheet->rows; r++) {
            am_sheet_cell *cell = &sheet->row[r].cell[k];
            double share = 0;
            float *mask = malloc(plane * sizeof *mask);
            if (!mask) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
            memcpy(mask, s->plane + (size_t)r * plane, plane * sizeof *mask);
            cell->mask = mask;
            for (size_t i = 0; i < plane; i++) share += 1 - mask[i];
            snprintf(cell->caption, sizeof cell->caption, "share %.2f", share / (double)plane);
            AM_TRY(mix_picture(s, r, &cell->mix, e));
        }
    }
    return AM_OK;
}

am_status am_mix_sheet_write(am_mix_sheet *s, am_mix *m, const am_data *data, const am_dataset *d,
                             const double *lambda, int lambdas, const char *path, am_err *e)
{
    char title[160], words[16][32];
    const char *column[16];
    (void)data;
    if (lambdas > 16) lambdas = 16;
    for (int i = 0; i < lambdas; i++) {
        snprintf(words[i], sizeof words[i], "lambda %.2f", lambda[i]);
        column[i] = words[i];
    }
    snprintf(
        title, sizeof title,
        "%s after %ld updates: x_i, x_j, and for each lambda (weight of x_i) the mix and its mask",
        m->type->name, s->t->step);
    am_sheet sheet = {.title = title,
                      .column = column,
                      .columns = lambdas,
                      .rows = s->pairs,
                      .row = calloc((size_t)s->pairs, sizeof *sheet.row)};
    if (!sheet.row) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory");
    am_status st = fill_sheet(s, m, d, lambda, &sheet, e);
    if (!st) st = am_sheet_write(path, &sheet, e);
    free_sheet(&sheet);
    return st;
}

am_status am_mix_sheet_make(am_mix_sheet *s, am_mix *m, const am_dataset *d, double lambda,
                            am_image *mix, float *share, am_err *e)
{
    choose(s, d);
    AM_TRY(read_images(s, d, e));
    AM_TRY(m->type->run && m->type->prepare ? run_views(s, m, e) : run(s, m, lambda, e));
    for (int k = 0; k < s->pairs; k++) {
        share[k] = m->type->run ? (float)lambda : am_state_host(s->t, s->t->pair[1].lam)[k];
        AM_TRY(mix_picture(s, k, &mix[k], e));
    }
    choose(s, d); /* run has put partners there */
    return AM_OK;
}

am_status am_mix_sheet_source(const am_mix_sheet *s, int k, const am_dataset *d, am_image *out,
                              char *name, size_t size, am_err *e)
{
    int c = d->label[s->index[k]];
    if (d->name)
        snprintf(name, size, "%s", d->name[c]);
    else
        snprintf(name, size, "class %d", c);
    return picture_of(s, k, out, e);
}

am_status am_mix_sheet_planes(am_mix_sheet *s, am_mix *m, const am_dataset *d, const int *index,
                              double lambda, const float **planes, am_err *e)
{
    memcpy(s->index, index, (size_t)s->n * sizeof *index);
    AM_TRY(read_images(s, d, e));
    AM_TRY(run(s, m, lambda, e));
    *planes = s->plane;
    return AM_OK;
}
