/* gradients.c: every layer against central differences.
 *
 * A layer's `example` (registry row) becomes a net of three images of 4 x 8 x 6, with what is
 * missing on the way to a [softmax] behind it.  The loss is summed in double from the
 * probabilities; the gradient of every number, or of 64 spread evenly, is compared with
 *
 *      (8 (L(w + h) - L(w - h)) - (L(w + 2h) - L(w - 2h))) / 12h
 *
 * whose own error is h^4/30 of the fifth derivative.  Probabilities carry about 1e-7 of rounding
 * each, so at h = 1/128 the difference is good to about 1e-4.  Kinks would spoil it: leaky becomes
 * elu, and the values of an image lie 0.02 apart, more than 2h, so that no maximum changes hands.
 *
 * A [mixblock] ends its own trip, as in training: its loss is a weighted sum of the mask. */
#include "lab.h"

enum { N = 3, NUMBERS = 64 };
static const double step = 1.0 / 128;

typedef struct rig {
    am_backend *be;
    am_arena mem;
    am_cfg cfg;
    am_net net;
    am_weights w;
    am_space space;
    am_plan plan;
    am_pass pass;
    am_dev given, q, state;
    am_shape shape; /* of what is given */
    float *x, *label; /* label: soft labels [n][classes], or what the mask's pixels weigh */
    int n, to, planes;
    size_t rows; /* of label */
} rig;

static const char *text_of(char *out, size_t size, const am_layer_type *type)
{
    char example[600];
    size_t at = 0;
    for (const char *s = type->example; *s && at + 6 < sizeof example;)
        if (!strncmp(s, "leaky", 5)) {
            memcpy(example + at, "elu", 3);
            at += 3;
            s += 5;
        } else {
            example[at++] = *s++;
        }
    example[at] = 0;
    snprintf(out, size, "[net]\nbatch=3\nchannels=4\nheight=8\nwidth=6\nmean=0,0,0\n%s%s", example,
             strcmp(type->name, "softmax") && strcmp(type->name, "mixblock")
                 ? "[connected]\noutput=5\nactivation=linear\n[softmax]\ntemperature=0.7\n"
                 : "");
    return out;
}

/* Values of one image: a permutation of evenly spaced numbers. */
static void spread(float *x, int n, size_t each, uint64_t seed)
{
    int *order = malloc(each * sizeof *order);
    assert_non_null(order);
    for (int i = 0; i < n; i++) {
        am_rng r = am_rng_at(seed, 2, (uint64_t)i);
        am_rng_permute(&r, (int)each, order);
        for (size_t k = 0; k < each; k++)
            x[(size_t)i * each + k] = (float)(4.0 * order[k] / (double)each - 2);
    }
    free(order);
}

static void rig_open(rig *r, am_backend *be, const char *text)
{
    am_err e = {0};
    *r = (rig){.be = be, .space = {.be = be}};
    t_ok(am_cfg_parse(&r->cfg, &r->mem, "example.cfg", text, strlen(text), &e), &e);
    t_ok(am_net_open(&r->net, be, &r->cfg, &e), &e);
    t_ok(am_weights_open(&r->w, &r->net, 1, &e), &e);
    t_ok(am_weights_init(&r->w, &r->net, 3, &e), &e);
    t_scatter(be, r->w.value, r->net.learned, -0.6, 0.6, 11);
    for (int i = 1; i < r->net.layers; i++) /* scales near 1, as they are */
        for (int k = 0; k < r->net.layer[i].params; k++)
            if (!strcmp(r->net.layer[i].param[k].name, "scales"))
                t_scatter(be, am_at(r->w.value, r->net.layer[i].param[k].offset),
                          r->net.layer[i].param[k].count, 0.7, 1.3, 12);
    r->to = r->net.layers - 1;
    r->planes = !strcmp(r->net.layer[r->to].type->name, "mixblock");
    am_weights_prepare(&r->net, &r->w);
}

/* Lay out a trip; what is given stays the same for the same (from, n). */
static void rig_trip(rig *r, am_trip trip)
{
    am_err e = {0};
    const am_ops *op = r->be->ops;
    size_t rows = am_count(am_batch_of(r->net.layer[r->to].out, trip.n)), k = rows / (size_t)trip.n;
    am_space_close(&r->space);
    r->space = (am_space){.be = r->be};
    am_dev old[] = {r->given, r->q, r->state};
    for (int i = 0; i < 3; i++)
        if (am_is(old[i])) op->free(r->be, old[i]);
    free(r->x);
    free(r->label);
    r->n = trip.n;
    r->shape = am_batch_of(r->net.layer[trip.from].out, trip.n);
    t_ok(am_pass_make(&r->pass, &r->plan, &r->net, trip, &r->w, &r->space, &e), &e);
    t_ok(am_space_commit(&r->space, &e), &e);
    op->fill(r->be, r->space.high, NAN,
             r->space.block); /* whoever reads what it has not written shows */
    r->given = op->alloc(r->be, op->room(r->be, r->shape));
    r->q = op->alloc(r->be, rows);
    r->state = op->alloc(r->be, 64);
    r->x = malloc(am_count(r->shape) * sizeof *r->x);
    r->label = malloc(rows * sizeof *r->label);
    assert_true(am_is(r->given) && am_is(r->q) && am_is(r->state) && r->x && r->label);
    spread(r->x, trip.n, am_count(am_batch_of(r->shape, 1)), 5);
    am_rng g = am_rng_at(6, 0, 0);
    r->rows = rows;
    for (size_t i = 0; i < rows; i++) r->label[i] = (float)am_rng_real(&g);
    for (size_t i = 0; i < rows && !r->planes; i += k) {
        double sum = 0;
        for (size_t c = 0; c < k; c++) sum += r->label[i + c];
        for (size_t c = 0; c < k; c++) r->label[i + c] /= (float)sum;
    }
    t_set(r->be, r->q, rows, r->label);
    int state[64] = {0};
    float lam[8] = {0.3f, 0.6f, 0.8f, 0.5f, 0.2f, 0.7f, 0, 0};
    for (int i = 0; i < trip.n; i++) state[i] = (i + 1) % trip.n;
    memcpy(state + 16, lam, sizeof lam);
    state[32] = 17;
    state[33] = 4;
    op->upload(r->be, 64, state, r->state);
    r->pass.given = r->given;
    r->pass.q = r->q;
    r->pass.scale = 1;
    r->pass.perm = r->state;
    r->pass.lam = am_at(r->state, 16);
    r->pass.seed = am_at(r->state, 32);
    op->put(r->be, r->shape, r->x, r->given);
}

static void rig_close(rig *r)
{
    am_dev all[] = {r->given, r->q, r->state};
    for (int i = 0; i < 3; i++)
        if (am_is(all[i])) r->be->ops->free(r->be, all[i]);
    free(r->x);
    free(r->label);
    am_space_close(&r->space);
    am_weights_close(&r->w, &r->net);
    am_net_close(&r->net);
    am_arena_free(&r->mem);
}

static double loss(rig *r)
{
    am_err e = {0};
    float p[256];
    double sum = 0;
    assert_true(r->rows <= 256);
    am_forward(&r->pass);
    r->be->ops->download(r->be, r->rows, am_y(&r->pass, &r->net.layer[r->to]), p);
    t_ok(r->be->ops->sync(r->be, &e), &e);
    for (size_t i = 0; i < r->rows; i++)
        sum += r->planes ? (double)r->label[i] * p[i] : -(double)r->label[i] * log((double)p[i]);
    return sum;
}

static void learn(rig *r)
{
    loss(r);
    if (r->planes) t_set(r->be, am_dy(&r->pass, &r->net.layer[r->to]), r->rows, r->label);
    am_backward(&r->pass);
}

static double at_weight(rig *r, size_t at, float v)
{
    t_set(r->be, am_at(r->w.value, at), 1, &v);
    am_weights_prepare(&r->net, &r->w);
    return loss(r);
}

static double at_pixel(rig *r, size_t at, float v)
{
    float old = r->x[at];
    r->x[at] = v;
    r->be->ops->put(r->be, r->shape, r->x, r->given);
    double l = loss(r);
    r->x[at] = old;
    return l;
}

/* Compare `count` numbers from `at` with the gradient g of all of them.  at_weight or at_pixel. */
static void compare(rig *r, const char *what, double (*value)(rig *, size_t, float),
                    const float *now, const float *g, size_t at, size_t count)
{
    double most = 0, worst = 0, fd_at = 0;
    size_t tested = count < NUMBERS ? count : NUMBERS, where = 0;
    for (size_t i = 0; i < count; i++) most = fmax(most, fabs((double)g[i]));
    for (size_t k = 0; k < tested; k++) {
        size_t i = k * count / tested;
        double far = value(r, at + i, (float)(now[i] + 2 * step)) -
                     value(r, at + i, (float)(now[i] - 2 * step));
        double near =
            value(r, at + i, (float)(now[i] + step)) - value(r, at + i, (float)(now[i] - step));
        double fd = (8 * near - far) / (12 * step);
        value(r, at + i, now[i]);
        if (!(fabs(fd - g[i]) <= worst)) {
            worst = fabs(fd - g[i]);
            where = i;
            fd_at = fd;
        }
    }
    if (!(worst <= 2e-3 * most + 2e-4)) /* seen: 1.6e-3 of the largest, from curvature */
        fail_msg("%s: %s[%zu]: gradient %.6g, difference %.6g (largest gradient %.3g)",
                 r->be->about, what, where, (double)g[where], fd_at, most);
}

static void check_gradients(rig *r, am_trip trip)
{
    am_backend *be = r->be;
    const am_ops *op = be->ops;
    char what[100];
    trip.flags = AM_TRAIN | AM_GRAD_WEIGHTS | AM_GRAD_FROM;
    rig_trip(r, trip);
    op->fill(be, r->net.learned, 0, r->w.grad);
    learn(r);
    size_t pixels = am_count(r->shape);
    float *dw = t_get(be, r->w.grad, r->net.learned), *dx = malloc(pixels * sizeof *dx),
          *w = t_get(be, r->w.value, r->net.learned);
    assert_non_null(dx);
    op->get(be, r->shape, am_dy(&r->pass, &r->net.layer[trip.from]), dx);

    op->fill(be, r->space.high, NAN, r->space.block);
    for (int i = trip.from + 1; i < r->net.layers; i++)
        for (int k = 0; k < r->net.layer[i].params; k++) {
            const am_param *p = &r->net.layer[i].param[k];
            if (p->role != AM_LEARNED || !r->plan.run[i]) continue;
            snprintf(what, sizeof what, "from %d: layer %d [%s] %s", trip.from, i - 1,
                     r->net.layer[i].type->name, p->name);
            compare(r, what, at_weight, w + p->offset, dw + p->offset, p->offset, p->count);
        }
    snprintf(what, sizeof what, "from %d: input", trip.from);
    if (r->planes) /* the features are the teacher's */
        for (size_t i = 0; i < pixels; i++) assert_true(dx[i] == 0);
    else
        compare(r, what, at_pixel, r->x, dx, 0, pixels);

    /* frozen weights: the same error at the input, and nothing is written to the gradients */
    trip.flags = AM_TRAIN | AM_GRAD_FROM;
    rig_trip(r, trip);
    op->fill(be, r->net.learned, 7, r->w.grad);
    learn(r);
    float *dx2 = malloc(pixels * sizeof *dx2), *untouched = t_get(be, r->w.grad, r->net.learned);
    assert_non_null(dx2);
    op->get(be, r->shape, am_dy(&r->pass, &r->net.layer[trip.from]), dx2);
    for (size_t i = 0; i < r->net.learned; i++) assert_true(untouched[i] == 7);
    assert_true(t_off(dx2, dx, pixels) < 1e-6);
    free(dx2);
    free(untouched);

    /* no error at the input: the same gradients; and a second time they add */
    trip.flags = AM_TRAIN | AM_GRAD_WEIGHTS;
    rig_trip(r, trip);
    op->fill(be, r->net.learned, 0, r->w.grad);
    learn(r);
    float *dw1 = t_get(be, r->w.grad, r->net.learned);
    learn(r);
    float *dw2 = t_get(be, r->w.grad, r->net.learned);
    for (size_t i = 0; i < r->net.learned; i++) dw2[i] /= 2;
    assert_true(t_off(dw1, dw, r->net.learned) < 1e-6);
    assert_true(t_off(dw2, dw, r->net.learned) < 1e-6);
    free(dw1);
    free(dw2);

    /* at rest, with running statistics: the error at the input */
    trip.flags = AM_GRAD_FROM;
    rig_trip(r, trip);
    learn(r);
    op->get(be, r->shape, am_dy(&r->pass, &r->net.layer[trip.from]), dx);
    snprintf(what, sizeof what, "from %d, at rest: input", trip.from);
    if (!r->planes) compare(r, what, at_pixel, r->x, dx, 0, pixels);
    free(dx);
    free(dw);
    free(w);
}

static void examples(am_backend *be)
{
    for (const am_layer_type *const *type = am_layer_types(); *type; type++) {
        char text[1000];
        rig r;
        rig_open(&r, be, text_of(text, sizeof text, *type));
        check_gradients(
            &r,
            (am_trip){.from = r.planes ? am_net_find(&r.net, "features") : 0, .to = r.to, .n = N});
        rig_close(&r);
    }
}

static void every_layer(void **state)
{
    (void)state;
    t_each_machine(1, examples);
}

/* Layers that are read several times, at once and across others: who writes a gradient and who
 * adds, and what may lie in the same memory, is the plan's business. */
static const char branches[] =
    "[net]\nchannels=4\nheight=8\nwidth=6\nmean=0,0,0\n"
    "[convolutional]\nname=a\nfilters=6\nsize=3\npad=1\nbatch_normalize=1\nactivation=elu\n"
    "[convolutional]\nfilters=6\nsize=3\npad=1\nbatch_normalize=1\nactivation=linear\n"
    "[shortcut]\nname=b\nfrom=a\nactivation=elu\n"
    "[convolutional]\nfilters=8\nsize=3\nstride=2\npad=1\nbatch_normalize=1\nactivation=elu\n"
    "[convolutional]\nname=c\nfilters=8\nsize=3\npad=1\nbatch_normalize=1\nactivation=linear\n"
    "[convolutional]\ninput=b\nfilters=8\nsize=1\nstride=2\nbatch_normalize=1\nactivation=linear\n"
    "[shortcut]\nname=d\nfrom=c\nactivation=elu\n"
    "[shortcut]\nfrom=-1\nalpha=0.5\nbeta=0.25\nactivation=tanh\n"
    "[route]\nlayers=d,-1,d\n"
    "[avgpool]\n[connected]\noutput=5\nactivation=tanh\nbatch_normalize=1\n[connected]\noutput="
    "4\nactivation=linear\n[softmax]\n";

/* A block that activates first: normalisation and activation are layers of their own. */
static const char activated_first[] =
    "[net]\nchannels=4\nheight=8\nwidth=6\nmean=0,0,0\n"
    "[convolutional]\nname=a\nfilters=6\nsize=3\npad=1\nactivation=linear\n"
    "[batchnorm]\n[activation]\nactivation=elu\n"
    "[convolutional]\nfilters=6\nsize=3\npad=1\nactivation=linear\n"
    "[shortcut]\nname=d\nfrom=a\nactivation=elu\n"
    "[batchnorm]\n[activation]\nactivation=tanh\n"
    "[avgpool]\n[connected]\noutput=4\nactivation=linear\n[softmax]\n";

static void branching(am_backend *be, const char *text)
{
    static const char *const starts[] = {"image", "a", "b", "d"};
    for (int fuses = be->fuses ? 1 : 0; fuses >= 0; fuses--) {
        rig r;
        be->fuses = fuses;
        rig_open(&r, be, text);
        for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
            int from = am_net_find(&r.net, starts[i]);
            if (from >= 0) check_gradients(&r, (am_trip){.from = from, .to = r.to, .n = N});
        }
        check_gradients(&r,
                        (am_trip){.to = r.to, .n = 2 * N, .groups = 2}); /* two batches in one */
        rig_close(&r);
    }
}

static void branching_after(am_backend *be)
{
    branching(be, branches);
}

static void branching_before(am_backend *be)
{
    branching(be, activated_first);
}

static void branches_from_every_start(void **state)
{
    (void)state;
    t_each_machine(1, branching_after);
    t_each_machine(1, branching_before);
}

static int below(am_rng *g, int n) { return (int)am_rng_below(g, (uint32_t)n); }

/* A map's windows are read twice, so that one error is written and one is added:
 * y = 2 mean(x), dx = 2 / size^2 dy. */
static void windows_of(am_backend *be, int size, am_shape out, uint64_t seed)
{
    const am_ops *op = be->ops;
    const int h = size * out.h, w = size * out.w;
    char text[300];
    rig r;
    snprintf(text, sizeof text,
             "[net]\nheight=%d\nwidth=%d\n[convolutional]\nname=x\nfilters=%d\n[avgpool]\nname=once\n"
             "size=%d\n[avgpool]\ninput=x\nsize=%d\n[shortcut]\nfrom=once\nactivation=linear\n",
             h, w, out.c, size, size);
    rig_open(&r, be, text);
    const am_layer *top = &r.net.layer[r.to], *x = &r.net.layer[am_net_find(&r.net, "x")];
    rig_trip(&r, (am_trip){.from = x->index,
                           .to = r.to,
                           .n = out.n,
                           .flags = AM_TRAIN | AM_GRAD_FROM});
    const size_t outs = am_count(out), ins = am_count(r.shape);
    float *y = malloc(outs * sizeof *y), *dy = malloc(outs * sizeof *dy),
          *dx = malloc(ins * sizeof *dx), *want = calloc(outs, sizeof *want),
          *error = malloc(ins * sizeof *error);
    assert_true(y && dy && dx && want && error && r.rows == outs);
    spread(dy, out.n, outs / (size_t)out.n, seed);
    for (size_t i = 0; i < ins; i++) {
        const size_t u = i % (size_t)w / (size_t)size,
                     v = i / (size_t)w % (size_t)h / (size_t)size,
                     at = (i / (size_t)(h * w) * (size_t)out.h + v) * (size_t)out.w + u;
        want[at] += 2 * r.x[i] / (float)(size * size);
        error[i] = 2 * dy[at] / (float)(size * size);
    }
    am_forward(&r.pass);
    op->get(be, out, am_y(&r.pass, top), y);
    op->put(be, out, dy, am_dy(&r.pass, top));
    am_backward(&r.pass);
    op->get(be, r.shape, am_dy(&r.pass, x), dx);
    if (!(t_off(y, want, outs) < 1e-6) || !(t_off(dx, error, ins) < 1e-6))
        fail_msg("%s: windows of %d over %d x %d x %d: off by %g, their errors by %g", be->about,
                 size, out.c, h, w, t_off(y, want, outs), t_off(dx, error, ins));
    free(y);
    free(dy);
    free(dx);
    free(want);
    free(error);
    rig_close(&r);
}

static void windows(am_backend *be)
{
    am_rng g = am_rng_at(9, 0, 0);
    windows_of(be, 3, (am_shape){2, 19, 1, 1}, 1); /* one pixel */
    for (int i = 0; i < 12; i++) {
        am_shape out = {1 + below(&g, 3), 1 + below(&g, 40), 1 + below(&g, 5), 1 + below(&g, 5)};
        windows_of(be, 1 + below(&g, 5), out, (uint64_t)i);
    }
}

static void windows_of_odd_shapes(void **state)
{
    (void)state;
    t_each_machine(3, windows);
}

T_SUITE(gradients, cmocka_unit_test(every_layer), cmocka_unit_test(branches_from_every_start),
        cmocka_unit_test(windows_of_odd_shapes));
