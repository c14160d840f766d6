/* finish.c: what happens to a result of the matrix products before it is stored.
 *
 *     forward   y  = act(scale * conv + shift + residual), and partial sums for the norm that follows
 *     backward  dx = beta * dx + conv
 *
 * Both are one formula: y = act(scale * conv + shift + keep * residual) where backward's residual is dx itself.
 * Scale and shift are copied to padded arrays first, so that whole vectors may be read. */
#include "simd.h"
#include "vec.h"

typedef struct finish {
    const float *scale, *shift; /* padded to the stride of a pixel, or NULL */
    const elem *residual; /* laid out as y, or NULL */
    float keep;
    am_act act;
    float *sums; /* sum and sum of squares of each channel, one pair of rows per block of work */
} finish;

static const float *finish_padded(float *to, am_dev from, int n, int padded)
{
    if (!am_is(from)) return NULL;
    memcpy(to, from.p, (size_t)n * sizeof(float));
    memset(to + n, 0, (size_t)(padded - n) * sizeof(float));
    return to;
}

static vec finish_other(am_act act, vec v)
{
    float lane[W];
    store(lane, v);
    am_cpu_act(act, W, lane);
    return load(lane);
}

INLINE vec finish_act(am_act act, vec v)
{
    if (act == AM_LINEAR) return v;
    if (act == AM_RELU) return positive(v);
    return finish_other(act, v);
}

/* Scale and shift of channels c .. c+W-1. */
typedef struct finish_line {
    vec scale, shift;
} finish_line;

INLINE finish_line finish_at(const finish *e, int c)
{
    return (finish_line){e->scale ? load(e->scale + c) : all(1),
                         e->shift ? load(e->shift + c) : all(0)};
}

/* One vector of those channels; r is its residual. */
INLINE vec finish_vector(const finish *e, const finish_line *l, vec v, const elem *r)
{
    v = v * l->scale + l->shift;
    if (r) v += all(e->keep) * load_elems(r);
    return finish_act(e->act, v);
}

INLINE int finish_is_plain(const finish *e)
{
    return !e->scale && !e->shift && !e->residual && e->act == AM_LINEAR;
}
