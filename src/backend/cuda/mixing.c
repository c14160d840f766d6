/* mixing.c: masks, mixing by them, and the MixBlock that makes them. */
#include "cuda.h"

static am_view view(const am_backend *be, am_shape s, am_dev d) { return am_cuda_view(be, s, d); }
static am_view_grad grad(const am_backend *be, am_shape s, am_grad g) { return am_cuda_view_grad(be, s, g); }
static am_sum sum_of(am_grad g) { return am_cuda_sum(g); }
static const int *ints(am_dev d) { return am_cuda_ints(d); }

/* ---- masks and mixing ---- */

static void mask_fill(am_backend *be, int n, int h, int w, am_dev lam, am_dev m)
{
    BEGIN("mask_fill", n, h, w, lam, m);
    am_gpu_mask_fill(st->stream, n, h * w, lam.p, m.p);
    END;
}

static void mask_box(am_backend *be, int n, int h, int w, am_dev box, am_dev m)
{
    BEGIN("mask_box", n, h, w, box, m);
    am_gpu_mask_box(st->stream, n, h, w, ints(box), m.p);
    END;
}

static void mask_margin(am_backend *be, int n, int h, int w, am_dev lam, float margin, am_dev m)
{
    BEGIN("mask_margin", n, h, w, lam, margin, m);
    am_gpu_mask_margin(st->stream, n, h * w, lam.p, margin, m.p);
    END;
}

static void blend(am_backend *be, am_shape s, am_dev x, am_dev perm, am_dev m, am_dev y)
{
    BEGIN("blend", s, x, perm, m, y);
    am_gpu_blend(st->stream, view(be, s, x), ints(perm), m.p, view(be, s, y), am_cuda_trouble(be, IN_BLEND));
    END;
}

static void blend_back(am_backend *be, am_shape s, am_dev x, am_dev perm, am_dev dy, am_grad dm)
{
    BEGIN("blend_back", s, x, perm, dy, dm);
    if (am_is(dm.d))
        am_gpu_blend_back(st->stream, view(be, s, x), ints(perm), view(be, s, dy), sum_of(dm), am_cuda_trouble(be, IN_BLEND_BACK));
    END;
}

static void blend_back_x(am_backend *be, am_shape s, am_dev perm, am_dev m, am_dev dy, am_grad dx)
{
    BEGIN("blend_back_x", s, perm, m, dy, dx);
    if (s.n > CUDA_SAMPLES - 1) am_cuda_fault(be, "blend_back_x", "a batch of %d is more than %d", s.n, CUDA_SAMPLES - 1);
    else if (am_is(dx.d)) am_gpu_blend_back_x(st->stream, ints(perm), m.p, view(be, s, dy), grad(be, s, dx));
    END;
}

static void mask_loss(am_backend *be, int n, int h, int w, int kind, int reduce_batch, float margin, am_dev weight, am_dev lam,
                      am_dev m, am_dev loss, am_grad dm)
{
    BEGIN("mask_loss", n, h, w, kind, reduce_batch, margin, weight, lam, m, loss, dm);
    if (n > CUDA_SAMPLES) am_cuda_fault(be, "mask_loss", "a batch of %d is more than %d", n, CUDA_SAMPLES);
    else am_gpu_mask_loss(st->stream, n, h * w, kind, reduce_batch, margin, weight.p, lam.p, m.p, st->scale, st->partial, loss.p, sum_of(dm));
    END;
}

static void mask_health(am_backend *be, int n, int h, int w, am_dev lam, am_dev m, am_dev health)
{
    BEGIN("mask_health", n, h, w, lam, m, health);
    if (n > CUDA_SAMPLES) am_cuda_fault(be, "mask_health", "a batch of %d is more than %d", n, CUDA_SAMPLES);
    else am_gpu_mask_health(st->stream, n, h * w, lam.p, m.p, st->partial, health.p);
    END;
}

/* ---- MixBlock ---- */

static size_t pairing_saved(am_backend *be, const am_pairing *p, int n)
{
    (void)be;
    return am_gpu_pairing_saved(p, n);
}

static size_t pairing_scratch(am_backend *be, const am_pairing *p, int n)
{
    (void)be;
    return am_gpu_pairing_scratch(p, n);
}

static am_shape features(const am_pairing *p, int n) { return (am_shape){n, p->c, p->h, p->w}; }

static void pairing(am_backend *be, const am_pairing *p, int n, am_dev z, am_dev perm, am_dev lam, const am_pairing_weights *w,
                    am_dev saved, am_dev mask, am_dev health)
{
    BEGIN("pairing", p, n, z, perm, lam, w, saved, mask, health);
    const am_block_weights places_of = {w->query.p, w->query_bias.p, w->value.p, w->value_bias.p};
    am_gpu_pairing(st->stream, p, view(be, features(p, n), z), ints(perm), lam.p, places_of, saved.p, mask.p,
                   am_at(health, AM_HEALTH_ENTROPY).p, am_cuda_trouble(be, IN_PAIRING));
    END;
}

static void pairing_back(am_backend *be, const am_pairing *p, int n, am_dev z, am_dev perm, am_dev lam, const am_pairing_weights *w,
                         am_dev saved, am_dev mask, am_dev dmask, am_dev scratch, const am_pairing_grads *to)
{
    (void)w;
    BEGIN("pairing_back", p, n, z, perm, lam, w, saved, mask, dmask, scratch, to);
    const am_block_sums sums = {sum_of(to->query), sum_of(to->query_bias), sum_of(to->value), sum_of(to->value_bias)};
    am_gpu_pairing_back(st->stream, p, view(be, features(p, n), z), ints(perm), lam.p, saved.p, mask.p, dmask.p, scratch.p, sums);
    END;
}

static void pair_rows(am_backend *be, am_shape s, const am_encoding *e, int partner, am_dev x, am_dev perm, am_dev lam, int width,
                      int first, am_dev rows)
{
    BEGIN("pair_rows", s, e, partner, x, perm, lam, width, first, rows);
    am_gpu_pair_rows(st->stream, e, partner, view(be, s, x), ints(perm), lam.p, width, first, rows.p,
                     am_cuda_trouble(be, IN_PAIRING));
    END;
}

static void attend(am_backend *be, const am_pairing *p, int n, am_dev query, am_dev key, am_dev value, am_dev saved, am_dev mask,
                   am_dev health)
{
    BEGIN("attend", p, n, query, key, value, saved, mask, health);
    am_gpu_attend(st->stream, p, n, query.p, key.p, value.p, saved.p, mask.p, am_at(health, AM_HEALTH_ENTROPY).p);
    END;
}

static void attend_back(am_backend *be, const am_pairing *p, int n, am_dev saved, am_dev mask, am_dev dmask, am_dev scratch,
                        am_dev dquery, am_dev dkey, am_dev dvalue)
{
    BEGIN("attend_back", p, n, saved, mask, dmask, scratch, dquery, dkey, dvalue);
    am_gpu_attend_back(st->stream, p, n, saved.p, mask.p, dmask.p, scratch.p, dquery.p, dkey.p, dvalue.p);
    END;
}

void am_cuda_fill_mixing(am_ops *t)
{
    t->mask_fill = mask_fill, t->mask_box = mask_box, t->mask_margin = mask_margin;
    t->blend = blend, t->blend_back = blend_back, t->blend_back_x = blend_back_x;
    t->mask_loss = mask_loss, t->mask_health = mask_health;
    t->pairing_saved = pairing_saved, t->pairing_scratch = pairing_scratch;
    t->pairing = pairing, t->pairing_back = pairing_back;
    t->attend_saved = pairing_saved, t->attend_scratch = pairing_scratch;
    t->pair_rows = pair_rows, t->attend = attend, t->attend_back = attend_back;
}
