/* plan.c: decides, once, where everything in a trip lies.
 *
 * Time runs forward through the layers (layer i at time i) and then backward (layer i at time
 * end - i).  A value is born when it is written and dies at its last reader; two values may share
 * floats if their lives do not touch.  Largest first, each into the lowest hole that fits.
 *
 * Fusion: where the backend's operations can take it along (`fuses`), a linear convolution
 * computes the [shortcut] right below it too, and a [batchnorm] the [activation], if nothing else
 * reads the upper one. */
#include "net.h"
#include <string.h>

typedef struct life {
    size_t *offset, size;
    int born, dies;
} life;

static size_t place(life *v, int n)
{
    size_t total = 0;
    for (int placed = 0; placed < n; placed++) {
        int big = placed;
        for (int i = placed + 1; i < n; i++)
            if (v[i].size > v[big].size) big = i;
        life x = v[big];
        v[big] = v[placed];
        size_t at = 0;
        for (int moved = 1; moved;) {
            moved = 0;
            for (int i = 0; i < placed; i++) {
                size_t lo = *v[i].offset, hi = lo + v[i].size;
                if (v[i].born <= x.dies && x.born <= v[i].dies && at < hi && lo < at + x.size) {
                    at = hi;
                    moved = 1;
                }
            }
        }
        *x.offset = at;
        v[placed] = x;
        if (at + x.size > total) total = at + x.size;
    }
    return total;
}

/* Mark the ancestors of `to`, down to `from`. */
static am_status ancestors(am_plan *p, int to, am_err *e)
{
    const am_net *net = p->net;
    int from = p->trip.from;
    p->run[to] = 1;
    for (int i = to; i > from; i--)
        for (int k = 0; p->run[i] && k < net->layer[i].ins; k++) {
            int x = net->layer[i].in[k];
            p->run[x] = 1;
            if (x < from) {
                const char *a = net->layer[from].name, *b = net->layer[to].name;
                return am_fail(
                    e, AM_EINPUT, net->layer[i].loc,
                    "'%s' cannot be computed from '%s' alone: this layer reads around it",
                    b ? b : net->layer[to].type->name, a ? a : net->layer[from].type->name);
            }
        }
    return AM_OK;
}

static int is(const am_layer *l, const char *type)
{
    return !strcmp(l->type->name, type);
}

static int takes_along(const am_layer *upper, const am_layer *lower)
{
    if (upper->readers != 1 || lower->in[0] != upper->index) return 0;
    if (is(lower, "activation")) return is(upper, "batchnorm");
    return is(lower, "shortcut") && lower->fusable && lower->in[1] != upper->index &&
           is(upper, "convolutional") && upper->fusable;
}

static void fuse(am_plan *p)
{
    const am_net *net = p->net;
    if (!net->be->fuses) return;
    for (int i = p->trip.from + 2; i < net->layers; i++) {
        int destination = i - 1 == p->trip.to || i - 1 == p->trip.also;
        if (!p->run[i] || !p->run[i - 1] || destination) continue;
        if (takes_along(&net->layer[i - 1], &net->layer[i])) {
            p->fused[i - 1] = i;
            p->fused[i] = -1;
        }
    }
}

am_status am_plan_make(am_plan *p, am_net *net, am_trip trip, am_err *e)
{
    int n = net->layers, end = 2 * n, count = 0, from = trip.from;
    int back = trip.flags & (AM_GRAD_WEIGHTS | AM_GRAD_FROM);
    const am_ops *o = net->be->ops;
    if (!trip.groups) trip.groups = 1;
    *p = (am_plan){.net = net, .trip = trip, .scratch = AM_NONE};
    p->run = am_new(&net->mem, (size_t)n);
    p->fused = am_new(&net->mem, (size_t)n * sizeof *p->fused);
    p->y = am_new(&net->mem, (size_t)n * sizeof *p->y);
    p->save = am_new(&net->mem, (size_t)n * sizeof *p->save);
    p->dy = am_new(&net->mem, (size_t)n * sizeof *p->dy);
    p->beta = am_new(&net->mem, (size_t)n * sizeof *p->beta);
    life *v = am_new(&net->mem, (size_t)(3 * n + 2) * sizeof *v);
    int *last = am_new(&net->mem, (size_t)n * sizeof *last),
        *first = am_new(&net->mem, (size_t)n * sizeof *first);
    if (!p->run || !p->fused || !p->y || !p->save || !p->dy || !p->beta || !v || !last || !first)
        return am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory while planning the network");

    AM_TRY(ancestors(p, trip.to, e));
    if (trip.also) AM_TRY(ancestors(p, trip.also, e));
    fuse(p);

    size_t scratch = 0;
    int highest = trip.to > trip.also ? trip.to : trip.also;
    for (int i = 0; i < n; i++) {
        last[i] = i;
        first[i] = end;
        p->y[i] = p->save[i] = p->dy[i] = AM_NONE;
    }
    size_t *save = am_new(&net->mem, (size_t)n * sizeof *save);
    if (!save) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory while planning the network");
    for (int i = from + 1; i <= highest; i++) {
        const am_layer *l = &net->layer[i];
        size_t s = 0;
        if (!p->run[i]) continue;
        for (int k = 0; k < l->ins; k++) {
            int x = l->in[k], t = back && l->type->reads & AM_READS_X ? end - i : i;
            if (t > last[x]) last[x] = t;
            if (end - i < first[x])
                first[x] = end - i; /* the reader whose backward comes first writes, */
        }
        if (back && l->type->reads & AM_READS_Y && end - i > last[i]) last[i] = end - i;
        if (p->fused[i] < 0 && back)
            last[i] = end - i + 1; /* the backward of the layer that computes it comes next */
        if (l->type->needs) l->type->needs(net, l, &p->trip, &save[i], &s);
        if (s > scratch) scratch = s;
    }
    for (int i = from + 1; i <= highest; i++) /* ... the others add */
        for (int k = 0; p->run[i] && k < net->layer[i].ins; k++) {
            int x = net->layer[i].in[k], again = 0;
            for (int j = 0; j < k; j++) again |= net->layer[i].in[j] == x;
            p->beta[i][k] = end - i > first[x] || again ? 1 : 0;
        }
    int *kept = am_new(
        &net->mem,
        (size_t)n * sizeof *kept); /* read until the trip is over: destinations and their logits */
    if (!kept) return am_fail(e, AM_ENOMEM, AM_NOPLACE, "out of memory while planning the network");
    for (int d = 0; d < 2; d++) {
        int to = d ? trip.also : trip.to;
        if (!to) continue;
        kept[to] = 1;
        last[to] = end;
        for (int k = 0; k < net->layer[to].ins; k++) last[net->layer[to].in[k]] = end;
    }
    for (int i = from; i <= highest; i++) {
        const am_layer *l = &net->layer[i];
        am_shape y = am_batch_of(l->out, trip.n);
        size_t room = l->type && l->type->planes ? am_count(y) : o->room(net->be, y);
        int born =
            p->fused[i] < 0 ? i - 1 : i; /* a fused layer is written by the one above it */
        int done = p->fused[i] < 0 ? end - i + 1 : end - i;
        if (!p->run[i]) continue;
        if (i > from && p->fused[i] <= 0) v[count++] = (life){&p->y[i], room, born, last[i]};
        if (i > from && save[i])
            v[count++] = (life){&p->save[i], save[i], i, kept[i] ? end : back ? end - i : i};
        if (back && (i > from || trip.flags & AM_GRAD_FROM) && p->fused[i] <= 0)
            v[count++] =
                (life){&p->dy[i], room, i == highest ? n : first[i], i == from ? end : done};
    }
    if (scratch) v[count++] = (life){&p->scratch, scratch, from, end};
    for (int i = 0; i < count; i++) v[i].size = (v[i].size + 15) & ~(size_t)15;
    p->floats = place(v, count);
    return AM_OK;
}
