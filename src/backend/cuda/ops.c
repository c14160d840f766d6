/* ops.c: the operations that are one kernel or a few: from am_dev to views, and on to kernels.h. */
#include "cuda.h"

static am_view view(const am_backend *be, am_shape s, am_dev d) { return am_cuda_view(be, s, d); }
static am_view_grad grad(const am_backend *be, am_shape s, am_grad g) { return am_cuda_view_grad(be, s, g); }
static am_sum sum(am_grad g) { return am_cuda_sum(g); }
static const int *ints(am_dev d) { return am_cuda_ints(d); }

/* In the order of cuda.c's names. */
enum { IN_SCORE = 1, IN_ONEHOT, IN_LABELS_MIX, IN_BLEND, IN_BLEND_BACK, IN_PAIRING };
static am_trouble trouble(const am_backend *be, int op) { return (am_trouble){am_cuda_of(be)->trouble, op}; }

/* ---- plain ---- */

static void fill(am_backend *be, size_t n, float value, am_dev y)
{
    BEGIN;
    am_gpu_fill(st->stream, n, value, y.p);
    END("fill");
}

static void sgd(am_backend *be, size_t n, am_dev w, am_dev g, am_dev v, am_dev teacher, am_dev hyper, am_dev guard)
{
    BEGIN;
    am_gpu_sgd(st->stream, n, w.p, g.p, v.p, teacher.p, hyper.p, guard.p);
    END("sgd");
}

static void clip(am_backend *be, size_t n, am_dev limit, am_dev scratch, am_dev g)
{
    BEGIN;
    am_gpu_clip(st->stream, n, limit.p, scratch.p, g.p);
    END("clip");
}

static void guard(am_backend *be, size_t n, am_dev x, am_dev flag)
{
    BEGIN;
    am_gpu_guard(st->stream, n, x.p, flag.p);
    END("guard");
}

static void mean(am_backend *be, int n, float scale, am_dev x, am_grad out)
{
    BEGIN;
    if (am_is(out.d)) am_gpu_mean(st->stream, (size_t)n, scale, x.p, sum(out));
    END("mean");
}

/* ---- elementwise ---- */

static void add(am_backend *be, am_shape s, float a, am_dev x, float b, am_dev r, am_act act, am_dev y)
{
    BEGIN;
    am_gpu_add(st->stream, a, view(be, s, x), b, view(be, s, r), act, view(be, s, y));
    END("add");
}

static void act_back(am_backend *be, am_shape s, am_act act, am_dev y, am_dev dy, float a, am_grad dx)
{
    BEGIN;
    if (am_is(dx.d)) am_gpu_act_back(st->stream, act, view(be, s, y), view(be, s, dy), a, grad(be, s, dx));
    END("act_back");
}

static void dropout(am_backend *be, am_shape s, float p, am_dev seed, int salt, am_dev x, am_dev y)
{
    BEGIN;
    am_gpu_dropout(st->stream, p, ints(seed), salt, view(be, s, x), view(be, s, y));
    END("dropout");
}

static void dropout_back(am_backend *be, am_shape s, float p, am_dev seed, int salt, am_dev dy, am_grad dx)
{
    BEGIN;
    if (am_is(dx.d)) am_gpu_dropout_back(st->stream, p, ints(seed), salt, view(be, s, dy), grad(be, s, dx));
    END("dropout_back");
}

static void finite(am_backend *be, am_shape s, am_dev x, am_dev flag)
{
    BEGIN;
    am_gpu_finite(st->stream, view(be, s, x), flag.p);
    END("finite");
}

/* ---- batch normalisation ---- */

static size_t norm_saved(am_backend *be, am_shape s, int groups)
{
    (void)be;
    return am_gpu_norm_room(s.n, s.c, s.h * s.w, groups);
}

static void norm(am_backend *be, am_shape s, int groups, int have_stats, am_dev x, am_dev scale, am_dev bias, am_dev residual,
                 am_act act, am_dev y, am_dev saved, am_dev running_mean, am_dev running_variance)
{
    (void)have_stats;                           /* conv leaves none */
    BEGIN;
    am_gpu_norm(st->stream, groups, view(be, s, x), scale.p, bias.p, view(be, s, residual), act, view(be, s, y), saved.p,
                running_mean.p, running_variance.p);
    END("norm");
}

static void norm_back(am_backend *be, am_shape s, int groups, am_dev x, am_dev scale, am_act act, am_dev y, am_dev saved, am_dev dy,
                      am_dev scratch, am_grad dx, am_grad residual, am_grad dscale, am_grad dbias)
{
    BEGIN;
    am_gpu_norm_back(st->stream, groups, view(be, s, x), scale.p, act, view(be, s, y), saved.p, view(be, s, dy), scratch.p,
                     grad(be, s, dx), grad(be, s, residual), sum(dscale), sum(dbias));
    END("norm_back");
}

static void norm_fold(am_backend *be, int c, am_dev scale, am_dev bias, am_dev mean_, am_dev variance, am_dev out_scale,
                      am_dev out_shift)
{
    BEGIN;
    am_gpu_norm_fold(st->stream, c, scale.p, bias.p, mean_.p, variance.p, out_scale.p, out_shift.p);
    END("norm_fold");
}

static void affine(am_backend *be, am_shape s, am_dev x, am_dev scale, am_dev shift, am_act act, am_dev y)
{
    BEGIN;
    am_gpu_affine(st->stream, view(be, s, x), scale.p, shift.p, view(be, s, AM_NOWHERE), act, view(be, s, y));
    END("affine");
}

/* ---- dense, pooling, routes ---- */

static void dense(am_backend *be, am_shape s, int out, am_dev x, am_dev w, am_dev b, am_dev y)
{
    BEGIN;
    am_gpu_dense(st->stream, out, view(be, s, x), w.p, b.p, y.p);
    END("dense");
}

static void dense_back(am_backend *be, am_shape s, int out, am_dev x, am_dev w, am_dev dy, am_grad dx, am_grad dw, am_grad db)
{
    BEGIN;
    am_gpu_dense_back(st->stream, out, view(be, s, x), w.p, dy.p, grad(be, s, dx), sum(dw), sum(db));
    END("dense_back");
}

static short *places(am_dev index) { return (short *)(void *)index.p; }

static void maxpool(am_backend *be, am_shape xs, am_shape ys, am_pool p, am_dev x, am_dev y, am_dev index)
{
    BEGIN;
    am_gpu_maxpool(st->stream, p, view(be, xs, x), view(be, ys, y), places(index));
    END("maxpool");
}

static void maxpool_back(am_backend *be, am_shape xs, am_shape ys, am_pool p, am_dev index, am_dev dy, am_grad dx)
{
    BEGIN;
    if (am_is(dx.d)) am_gpu_maxpool_back(st->stream, p, places(index), view(be, ys, dy), grad(be, xs, dx));
    END("maxpool_back");
}

static void avgpool(am_backend *be, am_shape s, am_dev x, am_dev y)
{
    BEGIN;
    am_gpu_avgpool(st->stream, view(be, s, x), y.p);
    END("avgpool");
}

static void avgpool_back(am_backend *be, am_shape s, am_dev dy, am_grad dx)
{
    BEGIN;
    if (am_is(dx.d)) am_gpu_avgpool_back(st->stream, dy.p, grad(be, s, dx));
    END("avgpool_back");
}

static am_shape larger(am_shape s, int stride) { return (am_shape){s.n, s.c, s.h * stride, s.w * stride}; }

static void upsample(am_backend *be, am_shape s, int stride, float scale, am_dev x, am_dev y)
{
    BEGIN;
    am_gpu_upsample(st->stream, stride, scale, view(be, s, x), view(be, larger(s, stride), y));
    END("upsample");
}

static void upsample_back(am_backend *be, am_shape s, int stride, float scale, am_dev dy, am_grad dx)
{
    BEGIN;
    if (am_is(dx.d)) am_gpu_upsample_back(st->stream, stride, scale, view(be, larger(s, stride), dy), grad(be, s, dx));
    END("upsample_back");
}

static void route(am_backend *be, am_shape part, am_dev x, int first, am_shape whole, am_dev y)
{
    BEGIN;
    am_gpu_route(st->stream, view(be, part, x), first, view(be, whole, y));
    END("route");
}

static void route_back(am_backend *be, am_shape part, int first, am_shape whole, am_dev dy, am_grad dx)
{
    BEGIN;
    if (am_is(dx.d)) am_gpu_route_back(st->stream, view(be, whole, dy), first, grad(be, part, dx));
    END("route_back");
}

/* ---- losses and labels ---- */

static void softmax(am_backend *be, int n, int k, float temperature, am_dev x, am_dev q, am_dev prob, am_dev loss)
{
    BEGIN;
    am_gpu_softmax(st->stream, n, k, temperature, x.p, q.p, prob.p, loss.p);
    END("softmax");
}

static void softmax_back(am_backend *be, int n, int k, float temperature, float scale, am_dev prob, am_dev q, am_grad dx)
{
    BEGIN;
    if (am_is(dx.d)) am_gpu_softmax_back(st->stream, n, k, temperature, scale, prob.p, q.p, sum(dx));
    END("softmax_back");
}

static void score(am_backend *be, int n, int k, int top, am_dev prob, am_dev labels, am_dev loss, am_dev tally)
{
    BEGIN;
    am_gpu_score(st->stream, n, k, top, prob.p, ints(labels), loss.p, tally.p, trouble(be, IN_SCORE));
    END("score");
}

static void onehot(am_backend *be, int n, int k, float smooth, am_dev labels, am_dev q)
{
    BEGIN;
    am_gpu_onehot(st->stream, n, k, smooth, ints(labels), q.p, trouble(be, IN_ONEHOT));
    END("onehot");
}

static void labels_mix(am_backend *be, int n, int k, am_dev q, am_dev perm, am_dev lam, am_dev out)
{
    BEGIN;
    am_gpu_labels_mix(st->stream, n, k, q.p, ints(perm), lam.p, out.p, trouble(be, IN_LABELS_MIX));
    END("labels_mix");
}

static void jsd(am_backend *be, int n, int k, float weight, am_dev prob, am_dev labels, am_dev q, am_dev cross, am_dev loss)
{
    BEGIN;
    am_gpu_jsd(st->stream, n, k, weight, prob.p, labels.p, q.p, cross.p, loss.p);
    END("jsd");
}

/* ---- masks and mixing ---- */

static void mask_fill(am_backend *be, int n, int h, int w, am_dev lam, am_dev m)
{
    BEGIN;
    am_gpu_mask_fill(st->stream, n, h * w, lam.p, m.p);
    END("mask_fill");
}

static void mask_box(am_backend *be, int n, int h, int w, am_dev box, am_dev m)
{
    BEGIN;
    am_gpu_mask_box(st->stream, n, h, w, ints(box), m.p);
    END("mask_box");
}

static void mask_margin(am_backend *be, int n, int h, int w, am_dev lam, float margin, am_dev m)
{
    BEGIN;
    am_gpu_mask_margin(st->stream, n, h * w, lam.p, margin, m.p);
    END("mask_margin");
}

static void blend(am_backend *be, am_shape s, am_dev x, am_dev perm, am_dev m, am_dev y)
{
    BEGIN;
    am_gpu_blend(st->stream, view(be, s, x), ints(perm), m.p, view(be, s, y), trouble(be, IN_BLEND));
    END("blend");
}

static void blend_back(am_backend *be, am_shape s, am_dev x, am_dev perm, am_dev dy, am_grad dm)
{
    BEGIN;
    if (am_is(dm.d))
        am_gpu_blend_back(st->stream, view(be, s, x), ints(perm), view(be, s, dy), sum(dm), trouble(be, IN_BLEND_BACK));
    END("blend_back");
}

static void blend_back_x(am_backend *be, am_shape s, am_dev perm, am_dev m, am_dev dy, am_grad dx)
{
    BEGIN;
    if (s.n > CUDA_SAMPLES - 1) am_cuda_fault(be, "blend_back_x", "a batch of %d is more than %d", s.n, CUDA_SAMPLES - 1);
    else if (am_is(dx.d)) am_gpu_blend_back_x(st->stream, ints(perm), m.p, view(be, s, dy), grad(be, s, dx));
    END("blend_back_x");
}

static void mask_loss(am_backend *be, int n, int h, int w, int kind, int reduce_batch, float margin, am_dev weight, am_dev lam,
                      am_dev m, am_dev loss, am_grad dm)
{
    BEGIN;
    if (n > CUDA_SAMPLES) am_cuda_fault(be, "mask_loss", "a batch of %d is more than %d", n, CUDA_SAMPLES);
    else am_gpu_mask_loss(st->stream, n, h * w, kind, reduce_batch, margin, weight.p, lam.p, m.p, st->partial, loss.p, sum(dm));
    END("mask_loss");
}

static void mask_health(am_backend *be, int n, int h, int w, am_dev lam, am_dev m, am_dev health)
{
    BEGIN;
    if (n > CUDA_SAMPLES) am_cuda_fault(be, "mask_health", "a batch of %d is more than %d", n, CUDA_SAMPLES);
    else am_gpu_mask_health(st->stream, n, h * w, lam.p, m.p, st->partial, health.p);
    END("mask_health");
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
    BEGIN;
    const am_block_weights places_of = {w->query.p, w->query_bias.p, w->value.p, w->value_bias.p};
    am_gpu_pairing(st->stream, p, view(be, features(p, n), z), ints(perm), lam.p, places_of, saved.p, mask.p,
                   am_at(health, AM_HEALTH_ENTROPY).p, trouble(be, IN_PAIRING));
    END("pairing");
}

static void pairing_back(am_backend *be, const am_pairing *p, int n, am_dev z, am_dev perm, am_dev lam, const am_pairing_weights *w,
                         am_dev saved, am_dev mask, am_dev dmask, am_dev scratch, const am_pairing_grads *to)
{
    (void)w;
    BEGIN;
    const am_block_sums sums = {sum(to->query), sum(to->query_bias), sum(to->value), sum(to->value_bias)};
    am_gpu_pairing_back(st->stream, p, view(be, features(p, n), z), ints(perm), lam.p, saved.p, mask.p, dmask.p, scratch.p, sums);
    END("pairing_back");
}

static void pair_rows(am_backend *be, am_shape s, const am_encoding *e, int partner, am_dev x, am_dev perm, am_dev lam, int width,
                      int first, am_dev rows)
{
    BEGIN;
    am_gpu_pair_rows(st->stream, e, partner, view(be, s, x), ints(perm), lam.p, width, first, rows.p, trouble(be, IN_PAIRING));
    END("pair_rows");
}

static void attend(am_backend *be, const am_pairing *p, int n, am_dev query, am_dev key, am_dev value, am_dev saved, am_dev mask,
                   am_dev health)
{
    BEGIN;
    am_gpu_attend(st->stream, p, n, query.p, key.p, value.p, saved.p, mask.p, am_at(health, AM_HEALTH_ENTROPY).p);
    END("attend");
}

static void attend_back(am_backend *be, const am_pairing *p, int n, am_dev saved, am_dev mask, am_dev dmask, am_dev scratch,
                        am_dev dquery, am_dev dkey, am_dev dvalue)
{
    BEGIN;
    am_gpu_attend_back(st->stream, p, n, saved.p, mask.p, dmask.p, scratch.p, dquery.p, dkey.p, dvalue.p);
    END("attend_back");
}

void am_cuda_fill_ops(am_ops *t)
{
    t->fill = fill, t->sgd = sgd, t->clip = clip, t->guard = guard, t->mean = mean;
    t->add = add, t->act_back = act_back, t->dropout = dropout, t->dropout_back = dropout_back, t->finite = finite;
    t->norm_saved = norm_saved, t->norm = norm, t->norm_back = norm_back, t->norm_fold = norm_fold, t->affine = affine;
    t->dense = dense, t->dense_back = dense_back;
    t->maxpool = maxpool, t->maxpool_back = maxpool_back, t->avgpool = avgpool, t->avgpool_back = avgpool_back;
    t->upsample = upsample, t->upsample_back = upsample_back, t->route = route, t->route_back = route_back;
    t->softmax = softmax, t->softmax_back = softmax_back, t->score = score, t->onehot = onehot, t->labels_mix = labels_mix;
    t->mask_fill = mask_fill, t->mask_box = mask_box, t->mask_margin = mask_margin;
    t->blend = blend, t->blend_back = blend_back, t->blend_back_x = blend_back_x;
    t->mask_loss = mask_loss, t->mask_health = mask_health;
    t->pairing_saved = pairing_saved, t->pairing_scratch = pairing_scratch;
    t->pairing = pairing, t->pairing_back = pairing_back, t->jsd = jsd;
    t->attend_saved = pairing_saved, t->attend_scratch = pairing_scratch;
    t->pair_rows = pair_rows, t->attend = attend, t->attend_back = attend_back;
}
