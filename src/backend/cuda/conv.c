/* conv.c: convolutions: cuDNN where it has a plan, our own products elsewhere.
 *
 * cuDNN is asked for tensors that are packed and all of one element type; what is left (one pixel in
 * 16 bits, samples with a gap behind them) is rare and small.  What follows a convolution at once is one
 * more kernel over y.
 *
 * scratch: cuDNN's workspace; then dx where it must be added to and no engine adds; then dw in cuDNN's order, or the pieces
 * of our own sum. */
#include "cuda.h"

static am_shape in_shape(const am_conv *c, int n) { return (am_shape){n, c->c, c->h, c->w}; }
static am_shape out_shape(const am_conv *c, int n) { return (am_shape){n, c->filters, c->oh, c->ow}; }
static size_t weights(const am_conv *c) { return (size_t)c->filters * (size_t)(c->c / c->groups) * (size_t)c->size * (size_t)c->size; }
static size_t lines(size_t floats) { return (floats + 15) / 16 * 16; }

/* cuDNN's workspace begins at a multiple of 256 bytes; places in scratch are multiples of 64. */
enum { ALIGNED = 64 };
static void *workspace(am_dev scratch) { return (void *)(((uintptr_t)scratch.p + 255) / 256 * 256); }

static int packed(const am_backend *be, am_shape s)
{
    const am_view v = am_cuda_view(be, s, AM_NOWHERE);
    return v.half == am_cuda_of(be)->half && v.step == (size_t)v.c * (size_t)v.h * (size_t)v.w;
}

static const am_graph *find(am_backend *be, am_graph_kind kind, const am_conv *c, int n)
{
    if (!packed(be, in_shape(c, n)) || !packed(be, out_shape(c, n))) return NULL;
    return am_graph_find(am_cuda_of(be)->graphs, kind, c, n);
}

typedef struct layout { const am_graph *graph[AM_GRAPH_KINDS]; size_t dx, dw, floats; } layout;      /* places in scratch */

static layout layout_of(am_backend *be, const am_conv *c, int n, int back)
{
    layout l = {{NULL}, 0, 0, 0};
    for (int kind = AM_GRAPH_Y; kind < (back ? AM_GRAPH_KINDS : AM_GRAPH_Y + 1); kind++) {
        l.graph[kind] = find(be, (am_graph_kind)kind, c, n);
        const size_t floats = l.graph[kind] ? lines(l.graph[kind]->workspace / sizeof(float) + 1 + ALIGNED) : 0;
        if (floats > l.dx) l.dx = floats;
    }
    if (!back) {
        l.floats = l.dx;
        return l;
    }
    l.dw = l.dx + (l.graph[AM_GRAPH_DX] && !l.graph[AM_GRAPH_DX_ADD] ? lines(am_cuda_room(be, in_shape(c, n))) : 0);
    l.floats = l.dw + lines(weights(c)) * (l.graph[AM_GRAPH_DW] ? 1 : (size_t)am_gpu_conv_pieces(c, n));
    return l;
}

static am_status conv_plan(am_backend *be, am_conv *c, am_loc where, am_err *e)
{
    (void)be;
    c->plan = NULL;                             /* plans hang on the batch too: graph.c keeps them */
    if (c->groups < 1 || c->c % c->groups || c->filters % c->groups)
        return am_fail(e, AM_EINPUT, where, "groups=%d does not divide %d channels and %d filters; make both multiples", c->groups,
                       c->c, c->filters);
    if (c->size < 1 || c->stride < 1 || c->pad < 0 || c->oh < 1 || c->ow < 1)
        return am_fail(e, AM_EINPUT, where, "size=%d stride=%d and %d pixels of padding leave nothing of %dx%d pixels", c->size,
                       c->stride, c->pad, c->w, c->h);
    return AM_OK;
}

static void conv_drop(am_backend *be, am_conv *c)
{
    (void)be;
    c->plan = NULL;
}

static size_t conv_prepared(am_backend *be, const am_conv *c)
{
    return lines(am_cuda_of(be)->half ? (weights(c) + 1) / 2 : weights(c));
}

static void conv_prepare(am_backend *be, const am_conv *c, am_dev w, am_dev prepared)
{
    BEGIN("conv_prepare", c, w, prepared);
    am_gpu_conv_prepare(st->stream, c, st->half, w.p, prepared.p);
    END;
}

static size_t conv_scratch(am_backend *be, const am_conv *c, int n, int back) { return layout_of(be, c, n, back).floats; }

static int aligned(const void *p) { return (uintptr_t)p % 16 == 0; }

static void run(am_backend *be, const char *op, const am_graph *g, const void *a, const void *b, void *out, void *workspace)
{
    const char *why = am_graph_run(am_cuda_of(be)->graphs, g, a, b, out, workspace);
    if (why) am_cuda_fault(be, op, "cuDNN's engine %d: %s", g->engine, why);
}

static void conv(am_backend *be, const am_conv *c, int n, am_dev x, am_dev w, am_dev prepared, am_dev scratch, const am_post *post,
                 am_dev y)
{
    BEGIN("conv", c, n, x, w, prepared, scratch, post, y);
    const am_graph *g = find(be, AM_GRAPH_Y, c, n);
    const am_view in = am_cuda_view(be, in_shape(c, n), x), out = am_cuda_view(be, out_shape(c, n), y);
    if (g && aligned(x.p) && aligned(y.p) && aligned(prepared.p)) run(be, "conv", g, x.p, prepared.p, y.p, workspace(scratch));
    else am_gpu_conv(st->stream, c, in, w.p, out);
    if (am_is(post->scale) || am_is(post->shift) || am_is(post->residual) || post->act != AM_LINEAR)
        am_gpu_affine(st->stream, out, post->scale.p, post->shift.p, am_cuda_view(be, out_shape(c, n), post->residual), post->act, out);
    END;
}

/* dx by cuDNN: an engine that writes, one that adds, or one that writes aside and a sum.  0: none of them does it. */
static int back_to_x(am_backend *be, const am_conv *c, int n, const layout *l, am_dev prepared, am_dev dy, am_dev scratch, am_grad dx)
{
    const char *const op = "conv_back to x";
    const am_graph *writes = l->graph[AM_GRAPH_DX], *adds = l->graph[AM_GRAPH_DX_ADD];
    if (dx.beta == 1 && adds) {
        run(be, op, adds, dy.p, prepared.p, dx.d.p, workspace(scratch));
        return 1;
    }
    if (!writes || (dx.beta != 0 && adds)) return 0;
    const am_dev fresh = dx.beta == 0 ? dx.d : am_at(scratch, l->dx);
    run(be, op, writes, dy.p, prepared.p, fresh.p, workspace(scratch));
    if (dx.beta == 0) return 1;
    const am_view sum = am_cuda_view(be, in_shape(c, n), dx.d);
    am_gpu_add(am_cuda_of(be)->stream, 1, am_cuda_view(be, in_shape(c, n), fresh), dx.beta, sum, AM_LINEAR, sum);
    return 1;
}

static void conv_back(am_backend *be, const am_conv *c, int n, am_dev x, am_dev w, am_dev prepared, am_dev dy, am_dev scratch,
                      am_grad dx, am_grad dw)
{
    BEGIN("conv_back", c, n, x, w, prepared, dy, scratch, dx, dw);
    const layout l = layout_of(be, c, n, 1);
    const am_view in = am_cuda_view(be, in_shape(c, n), x), out = am_cuda_view(be, out_shape(c, n), dy);
    const am_view_grad to = am_cuda_view_grad(be, in_shape(c, n), dx);
    const int fits = aligned(x.p) && aligned(dy.p) && aligned(scratch.p);
    const int fits_x = fits && aligned(dx.d.p) && aligned(prepared.p);
    if (am_is(dx.d) && !(fits_x && back_to_x(be, c, n, &l, prepared, dy, scratch, dx))) am_gpu_conv_back_x(st->stream, c, out, w.p, to);
    if (am_is(dw.d) && l.graph[AM_GRAPH_DW] && fits) {
        float *fresh = am_at(scratch, l.dw).p;
        run(be, "conv_back to w", l.graph[AM_GRAPH_DW], x.p, dy.p, fresh, workspace(scratch));
        am_gpu_conv_gather_dw(st->stream, c, st->half, fresh, am_cuda_sum(dw));
    } else if (am_is(dw.d)) {
        am_gpu_conv_back_w(st->stream, c, in, out, am_at(scratch, l.dw).p, am_cuda_sum(dw));
    }
    END;
}

static void bias_back(am_backend *be, am_shape s, am_dev dy, am_grad db)
{
    BEGIN("bias_back", s, dy, db);
    if (am_is(db.d)) am_gpu_bias_back(st->stream, am_cuda_view(be, s, dy), am_cuda_sum(db));
    END;
}

void am_cuda_fill_conv(am_ops *t)
{
    t->conv_plan = conv_plan;
    t->conv_drop = conv_drop;
    t->conv_prepared = conv_prepared;
    t->conv_prepare = conv_prepare;
    t->conv_scratch = conv_scratch;
    t->conv = conv;
    t->conv_back = conv_back;
    t->bias_back = bias_back;
}
