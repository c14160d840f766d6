/* layers.c: what layers are made of, but for convolutions: from am_dev to views, and on to kernels.h. */
#include "cuda.h"

static am_view view(const am_backend *be, am_shape s, am_dev d) { return am_cuda_view(be, s, d); }
static am_view_grad grad(const am_backend *be, am_shape s, am_grad g) { return am_cuda_view_grad(be, s, g); }
static am_sum sum_of(am_grad g) { return am_cuda_sum(g); }

/* ---- elementwise ---- */

static void add(am_backend *be, am_shape s, float a, am_dev x, float b, am_dev r, am_act act, am_dev y)
{
    BEGIN("add", s, a, x, b, r, act, y);
    am_gpu_add(st->stream, a, view(be, s, x), b, view(be, s, r), act, view(be, s, y));
    END;
}

static void act_back(am_backend *be, am_shape s, am_act act, am_dev y, am_dev dy, float a, am_grad dx)
{
    BEGIN("act_back", s, act, y, dy, a, dx);
    if (am_is(dx.d)) am_gpu_act_back(st->stream, act, view(be, s, y), view(be, s, dy), a, grad(be, s, dx));
    END;
}

static void dropout(am_backend *be, am_shape s, float p, am_dev seed, int salt, am_dev x, am_dev y)
{
    BEGIN("dropout", s, p, seed, salt, x, y);
    am_gpu_dropout(st->stream, p, am_cuda_ints(seed), salt, view(be, s, x), view(be, s, y));
    END;
}

static void dropout_back(am_backend *be, am_shape s, float p, am_dev seed, int salt, am_dev dy, am_grad dx)
{
    BEGIN("dropout_back", s, p, seed, salt, dy, dx);
    if (am_is(dx.d)) am_gpu_dropout_back(st->stream, p, am_cuda_ints(seed), salt, view(be, s, dy), grad(be, s, dx));
    END;
}

static void finite(am_backend *be, am_shape s, am_dev x, am_dev flag)
{
    BEGIN("finite", s, x, flag);
    am_gpu_finite(st->stream, view(be, s, x), flag.p);
    END;
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
    BEGIN("norm", s, groups, have_stats, x, scale, bias, residual, act, y, saved, running_mean, running_variance);
    am_gpu_norm(st->stream, st->tickets, groups, view(be, s, x), scale.p, bias.p, view(be, s, residual), act, view(be, s, y),
                saved.p, running_mean.p, running_variance.p);
    END;
}

static void norm_back(am_backend *be, am_shape s, int groups, am_dev x, am_dev scale, am_act act, am_dev y, am_dev saved, am_dev dy,
                      am_dev scratch, am_grad dx, am_grad residual, am_grad dscale, am_grad dbias)
{
    BEGIN("norm_back", s, groups, x, scale, act, y, saved, dy, scratch, dx, residual, dscale, dbias);
    am_gpu_norm_back(st->stream, st->tickets, groups, view(be, s, x), scale.p, act, view(be, s, y), saved.p, view(be, s, dy),
                     scratch.p, grad(be, s, dx), grad(be, s, residual), sum_of(dscale), sum_of(dbias));
    END;
}

static void norm_fold(am_backend *be, int c, am_dev scale, am_dev bias, am_dev mean_, am_dev variance, am_dev out_scale,
                      am_dev out_shift)
{
    BEGIN("norm_fold", c, scale, bias, mean_, variance, out_scale, out_shift);
    am_gpu_norm_fold(st->stream, c, scale.p, bias.p, mean_.p, variance.p, out_scale.p, out_shift.p);
    END;
}

static void affine(am_backend *be, am_shape s, am_dev x, am_dev scale, am_dev shift, am_act act, am_dev y)
{
    BEGIN("affine", s, x, scale, shift, act, y);
    am_gpu_affine(st->stream, view(be, s, x), scale.p, shift.p, view(be, s, AM_NOWHERE), act, view(be, s, y));
    END;
}

/* ---- dense, pooling, routes ---- */

static void dense(am_backend *be, am_shape s, int out, am_dev x, am_dev w, am_dev b, am_dev y)
{
    BEGIN("dense", s, out, x, w, b, y);
    am_gpu_dense(st->stream, out, view(be, s, x), w.p, b.p, y.p);
    END;
}

static void dense_back(am_backend *be, am_shape s, int out, am_dev x, am_dev w, am_dev dy, am_grad dx, am_grad dw, am_grad db)
{
    BEGIN("dense_back", s, out, x, w, dy, dx, dw, db);
    am_gpu_dense_back(st->stream, out, view(be, s, x), w.p, dy.p, grad(be, s, dx), sum_of(dw), sum_of(db));
    END;
}

static short *places(am_dev index) { return (short *)(void *)index.p; }

static void maxpool(am_backend *be, am_shape xs, am_shape ys, am_pool p, am_dev x, am_dev y, am_dev index)
{
    BEGIN("maxpool", xs, ys, p, x, y, index);
    am_gpu_maxpool(st->stream, p, view(be, xs, x), view(be, ys, y), places(index));
    END;
}

static void maxpool_back(am_backend *be, am_shape xs, am_shape ys, am_pool p, am_dev index, am_dev dy, am_grad dx)
{
    BEGIN("maxpool_back", xs, ys, p, index, dy, dx);
    if (am_is(dx.d)) am_gpu_maxpool_back(st->stream, p, places(index), view(be, ys, dy), grad(be, xs, dx));
    END;
}

static void avgpool(am_backend *be, am_shape s, am_dev x, am_dev y)
{
    BEGIN("avgpool", s, x, y);
    am_gpu_avgpool(st->stream, view(be, s, x), y.p);
    END;
}

static void avgpool_back(am_backend *be, am_shape s, am_dev dy, am_grad dx)
{
    BEGIN("avgpool_back", s, dy, dx);
    if (am_is(dx.d)) am_gpu_avgpool_back(st->stream, dy.p, grad(be, s, dx));
    END;
}

static am_shape larger(am_shape s, int stride) { return (am_shape){s.n, s.c, s.h * stride, s.w * stride}; }

static void upsample(am_backend *be, am_shape s, int stride, float scale, am_dev x, am_dev y)
{
    BEGIN("upsample", s, stride, scale, x, y);
    am_gpu_upsample(st->stream, stride, scale, view(be, s, x), view(be, larger(s, stride), y));
    END;
}

static void upsample_back(am_backend *be, am_shape s, int stride, float scale, am_dev dy, am_grad dx)
{
    BEGIN("upsample_back", s, stride, scale, dy, dx);
    if (am_is(dx.d)) am_gpu_upsample_back(st->stream, stride, scale, view(be, larger(s, stride), dy), grad(be, s, dx));
    END;
}

static void route(am_backend *be, am_shape part, am_dev x, int first, am_shape whole, am_dev y)
{
    BEGIN("route", part, x, first, whole, y);
    am_gpu_route(st->stream, view(be, part, x), first, view(be, whole, y));
    END;
}

static void route_back(am_backend *be, am_shape part, int first, am_shape whole, am_dev dy, am_grad dx)
{
    BEGIN("route_back", part, first, whole, dy, dx);
    if (am_is(dx.d)) am_gpu_route_back(st->stream, view(be, whole, dy), first, grad(be, part, dx));
    END;
}

void am_cuda_fill_layers(am_ops *t)
{
    t->add = add, t->act_back = act_back, t->dropout = dropout, t->dropout_back = dropout_back, t->finite = finite;
    t->norm_saved = norm_saved, t->norm = norm, t->norm_back = norm_back, t->norm_fold = norm_fold, t->affine = affine;
    t->dense = dense, t->dense_back = dense_back;
    t->maxpool = maxpool, t->maxpool_back = maxpool_back, t->avgpool = avgpool, t->avgpool_back = avgpool_back;
    t->upsample = upsample, t->upsample_back = upsample_back, t->route = route, t->route_back = route_back;
}
