/* conv.c: the convolution's slots: which of the roads, and where their memory lies.
 *
 * Scratch: the padded scale and shift, a line of zeros, then whatever the road needs.
 * The partial sums that a forward pass may leave for the norm are described in norm.c. */
#include "simd.h"
#include "vec.h"

/* Floats of the prepared weights of one direction. */
static size_t conv_prepared_way(const am_conv *k, int back)
{
    const conv_plan *p = conv_plan_of(k);
    if (back && p->scatter) return scatter_weights(k, p);
    if (p->winograd[back]) return p->late ? 0 : winograd_points(p, back);
    return back ? gather_weights_back(p) : gather_weights_forward(p);
}

static size_t conv_prepared(am_backend *be, const am_conv *k)
{
    (void)be;
    const conv_plan *p = conv_plan_of(k);
    return conv_prepared_way(k, 0) + (p->rests ? 0 : conv_prepared_way(k, 1));
}

static void conv_prepare(am_backend *be, const am_conv *k, am_dev w, am_dev prepared)
{
    const conv_plan *p = conv_plan_of(k);
    am_team *team = am_simd_team(be);
    float *to = prepared.p;
    for (int back = 0; back < 2 - p->rests; to += conv_prepared_way(k, back++))
        if (!p->winograd[back]) {
            if (back && p->scatter) scatter_prepare_back(team, k, w.p, to);
            else if (back) gather_prepare_back(team, k, w.p, to);
            else gather_prepare_forward(team, k, w.p, to);
        } else if (!p->late) {
            winograd_prepare_go(team, k, w.p, back, to);
        }
}

/* The transformed weights of one direction: what was prepared, or made now at *room, which then begins behind them. */
static const float *conv_points(am_backend *be, const am_conv *k, int turned, am_dev w,
                                am_dev prepared, float **room)
{
    const conv_plan *p = conv_plan_of(k);
    if (!p->late) return prepared.p + (turned ? conv_prepared_way(k, 0) : 0);
    float *points = *room;
    winograd_prepare_go(am_simd_team(be), k, w.p, turned, points);
    *room += winograd_points(p, turned);
    return points;
}

/* What all roads keep at the start of the scratch. */
static size_t conv_head(const am_conv *k)
{
    size_t widest = (size_t)am_simd_channels(am_simd_max(k->c, k->filters));
    return (2 + MOST_SPAN) * widest;
}

static size_t conv_scratch(am_backend *be, const am_conv *k, int n, int back)
{
    int threads = be->threads;
    size_t most = 0;
#define AT_LEAST(floats)                                                                           \
    do {                                                                                           \
        size_t f_ = (floats);                                                                      \
        if (f_ > most) most = f_;                                                                  \
    } while (0)
    const conv_plan *p = conv_plan_of(k);
    for (int way = 0; way <= back; way++) {
        if (p->winograd[way]) {
            winograd g = winograd_make(k, n, 1, way);
            AT_LEAST((p->late ? winograd_points(p, way) : 0) + winograd_room(&g, threads));
        } else if (way && p->scatter) {
            AT_LEAST(scatter_make(k, n).worker_room * (size_t)threads);
        } else if (!way) {
            AT_LEAST(gather_forward(k, n, 1).worker_room * (size_t)threads);
        } else {
            for (int phase = 0; phase < k->stride * k->stride; phase++)
                AT_LEAST(gather_back(k, n, phase / k->stride, phase % k->stride).worker_room *
                         (size_t)threads);
        }
    }
    if (back && p->winograd[1]) {
        winograd_grad s = winograd_grad_make(k, n);
        AT_LEAST(winograd_grad_room(&s, threads));
    } else if (back) {
        gather_grad s = gather_grad_make(k, n);
        AT_LEAST(gather_grad_room(&s, threads));
    }
#undef AT_LEAST
    return conv_head(k) + most;
}

static void conv(am_backend *be, const am_conv *k, int n, am_dev x, am_dev w, am_dev prepared,
                 am_dev scratch, const am_post *post, am_dev y)
{
    if (am_cpu_stopped(be)) return;
    am_shape out = conv_out(k, n);
    int padded = am_simd_channels(k->filters), groups = 1;
    size_t widest = (size_t)am_simd_channels(am_simd_max(k->c, k->filters));
    float *room = scratch.p + conv_head(k);
    finish e = {.act = AM_LINEAR};
    if (post) {
        e = (finish){.scale = finish_padded(scratch.p, post->scale, k->filters, padded),
                     .shift = finish_padded(scratch.p + widest, post->shift, k->filters, padded),
                     .residual = elems(post->residual),
                     .keep = 1,
                     .act = post->act};
        if (am_is(post->stats)) {
            groups = post->groups > 0 ? post->groups : 1;
            e.sums = norm_partial_sums(out, groups, post->stats);
        }
    }
    if (conv_plan_of(k)->winograd[0]) {
        winograd g = winograd_make(k, n, groups, 0);
        elem *zeros = (elem *)(void *)(scratch.p + 2 * widest);
        memset(zeros, 0, MOST_SPAN * (size_t)g.x_pixel * sizeof *zeros);
        g.u = conv_points(be, k, 0, w, prepared, &room);
        g.x = elems(x), g.y = elems(y), g.zeros = zeros, g.finish = e, g.room = room;
        winograd_go(am_simd_team(be), &g);
        if (e.sums) norm_sums_are_left(post->stats, g.runs);
    } else {
        gather g = gather_forward(k, n, groups);
        g.x = x.p, g.y = y.p, g.weights = prepared.p, g.finish = e, g.room = room;
        if (g.to.one || g.to.pixel % W) g.finish.sums = NULL;
        gather_go(am_simd_team(be), &g);
        if (g.finish.sums) norm_sums_are_left(post->stats, g.runs);
    }
}

static void conv_back(am_backend *be, const am_conv *k, int n, am_dev x, am_dev w, am_dev prepared,
                      am_dev dy, am_dev scratch, am_grad dx, am_grad dw)
{
    if (am_cpu_stopped(be)) return;
    const conv_plan *p = conv_plan_of(k);
    am_team *team = am_simd_team(be);
    size_t widest = (size_t)am_simd_channels(am_simd_max(k->c, k->filters));
    float *room = scratch.p + conv_head(k);
    elem *zeros = (elem *)(void *)(scratch.p + 2 * widest);
    memset(zeros, 0, MOST_SPAN * widest * sizeof *zeros);
    finish e = {.residual = dx.beta == 0 ? NULL : elems(dx.d), .keep = dx.beta, .act = AM_LINEAR};
    if (am_is(dx.d) && p->winograd[1]) {
        winograd g = winograd_make(k, n, 1, 1);
        float *rest = room;
        g.u = conv_points(be, k, 1, w, prepared, &rest);
        g.x = elems(dy), g.y = elems(dx.d), g.zeros = zeros, g.finish = e, g.room = rest;
        winograd_go(team, &g);
    } else if (am_is(dx.d) && p->scatter) {
        scatter s = scatter_make(k, n);
        s.dy = elems(dy), s.dx = elems(dx.d), s.beta = dx.beta, s.room = room;
        s.weights = prepared.p + conv_prepared_way(k, 0);
        scatter_go(team, &s, n);
    } else if (am_is(dx.d)) {
        const float *weights = prepared.p + conv_prepared_way(k, 0);
        for (int phase = 0; phase < k->stride * k->stride; phase++) {
            gather g = gather_back(k, n, phase / k->stride, phase % k->stride);
            g.x = dy.p, g.y = dx.d.p, g.weights = weights, g.finish = e, g.room = room;
            if (g.runs > 0) gather_go(team, &g);
            weights += (size_t)g.blocks * (size_t)gather_row(&g) * (size_t)g.columns;
        }
    }
    if (am_is(dw.d) && p->winograd[1]) {
        winograd_grad s = winograd_grad_make(k, n);
        s.g.x = elems(x), s.g.zeros = zeros, s.dy = elems(dy), s.dw = dw.d.p, s.beta = dw.beta;
        winograd_grad_go(team, &s, room);
    } else if (am_is(dw.d)) {
        gather_grad s = gather_grad_make(k, n);
        s.g.x = x.p, s.dy = dy.p, s.dw = dw.d.p, s.beta = dw.beta;
        gather_grad_go(team, &s, room);
    }
}
