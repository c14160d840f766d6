/* norm.c: batch normalisation fused with the residual and the activation after it.
 *
 *     u = (x - mean) / sqrt(var + eps)        y = act(scale * u + bias + residual)
 *     g = act'(y) * dy,  dbias = sum g,  dscale = sum g u,  dresidual = g
 *     dx = scale / sqrt(var + eps) * (g - mean(g) - u * mean(g u))
 *
 * Each direction is two trips through memory: sums, then results.  Sums are taken over pieces of
 * some hundred pixels that do not depend on the threads, in float, and added in double, in order.
 * The first trip of the forward direction falls away where the convolution left its sums.  When
 * norm takes them itself it subtracts the first pixel, so that a large mean costs no digits.
 *
 * In 16 bits a sample may end with a gap; then a piece is walked one sample's share at a time.
 *
 * saved: [16] header, [groups][channels] mean, 1/std, then the pieces' sums, [2][channels] each;
 * in norm_back's scratch the same places hold mean(g), mean(g u) and sums.
 *
 * One pixel is rows, which the plain operation handles; up to 4 channels, see narrow.c. */
#include "simd.h"
#include "vec.h"

enum { HEADER = 16, PIECE = 24 }; /* pixels of the smallest piece: gather.c's */

typedef struct norm_job {
    am_shape s;
    int groups, pixel, piece, pieces; /* pixels of a piece; pieces of a group */
    size_t per_group;                 /* pixels of a group */
    size_t straight, stride;          /* pixels in one straight run; numbers from run to run */
    const elem *x, *y, *dy, *residual;
    elem *to, *to_residual;
    float beta, beta_residual;
    am_act act;
    const float *mean, *inverse; /* [groups][pixel] */
    float *scale, *bias; /* forward: [groups][pixel] factor, bias; back: factors of dx */
    float *third;
    float *sums;
} norm_job;

static int norm_plain(am_shape s)
{
    return am_simd_one_pixel(s) || am_simd_channels(s.c) % 16;
}

static size_t norm_pixels(am_shape s, int groups)
{
    return (size_t)(s.n / groups) * (size_t)s.h * (size_t)s.w;
}
static size_t norm_most_pieces(am_shape s, int groups)
{
    return norm_pixels(s, groups) / PIECE + 1;
}

/* Floats before the sums: header and five rows for each group. */
static size_t norm_sums_at(am_shape s, int groups)
{
    return HEADER + 5 * (size_t)groups * (size_t)am_simd_channels(s.c);
}

static size_t norm_saved(am_backend *be, am_shape s, int groups)
{
    if (norm_plain(s)) return HEADER + am_cpu_norm_saved(be, s, groups);
    return norm_sums_at(s, groups) +
           norm_most_pieces(s, groups) * (size_t)groups * 2 * (size_t)am_simd_channels(s.c);
}

/* ---- sums that a convolution leaves ---- */

static float *norm_partial_sums(am_shape s, int groups, am_dev saved)
{
    saved.p[0] = 0;
    return norm_plain(s) ? NULL : saved.p + norm_sums_at(s, groups);
}
static void norm_sums_are_left(am_dev saved, int pieces)
{
    saved.p[0] = (float)pieces;
}

/* ---- one piece ---- */

static norm_job norm_make(am_shape s, int groups)
{
    norm_job j = {.s = s,
                  .groups = groups,
                  .pixel = am_simd_channels(s.c),
                  .per_group = norm_pixels(s, groups)};
    size_t plane = (size_t)s.h * (size_t)s.w;
    int gap = sample_elems(s) != plane * (size_t)j.pixel;
    j.straight = gap ? plane : (size_t)s.n * plane;
    j.stride = sample_elems(s);
    size_t piece = am_simd_max(32768 / j.pixel, PIECE);
    if (j.per_group / piece > 256) piece = j.per_group / 256;
    j.piece = (int)piece;
    j.pieces = (int)((j.per_group + piece - 1) / piece);
    return j;
}

/* A straight run of pixels inside a piece of work: where its numbers begin, how many pixels. */
typedef struct stretch {
    int group;
    size_t first, end, at;
    int pixels;
} stretch;

static stretch norm_piece(const norm_job *j, int item)
{
    int group = item / j->pieces;
    size_t first = (size_t)(item % j->pieces) * (size_t)j->piece, end = first + (size_t)j->piece;
    size_t start = (size_t)group * j->per_group;
    return (stretch){.group = group,
                     .first = start + first,
                     .end = start + (end < j->per_group ? end : j->per_group)};
}

/* The next run of the piece; 0 when it is done. */
static int norm_next(const norm_job *j, stretch *p)
{
    if (p->first >= p->end) return 0;
    size_t inside = p->first % j->straight, left = j->straight - inside;
    p->at = p->first / j->straight * j->stride + inside * (size_t)j->pixel;
    p->pixels = (int)(left < p->end - p->first ? left : p->end - p->first);
    p->first += (size_t)p->pixels;
    return 1;
}

/* act'(y) * dy */
INLINE vec norm_slope(am_act act, const elem *y, vec dy)
{
    if (act == AM_LINEAR) return dy;
    vec out = load_elems(y);
    if (act == AM_RELU) return (vec)((vec_int)dy & (vec_int)(out > all(0)));
    float from[W], to[W];
    store(from, out);
    store(to, dy);
    am_cpu_slope(act, W, from, to, to);
    return load(to);
}

/* Channels whose sums stay in registers over a piece: a wide run of each pixel where there are as
 * many, so that memory is read in long straights, and 16 at a time for the rest. */
enum { WIDE = 4 * W > 16 ? 4 * W : 16 };

static const elem *norm_pivot(const norm_job *j, int group)
{
    return j->x + (size_t)(group * (j->s.n / j->groups)) * j->stride;
}

INLINE void norm_sum_channels(const norm_job *j, const stretch *piece, int c, const int channels,
                              float *sum)
{
    const elem *pivot = norm_pivot(j, piece->group) + c;
    vec p[WIDE / W], s[WIDE / W], q[WIDE / W];
    UNROLL for (int v = 0; v < channels / W; v++) p[v] = load_elems(pivot + v * W),
                                                  s[v] = q[v] = all(0);
    for (stretch r = *piece; norm_next(j, &r);) {
        const elem *x = j->x + r.at + c;
        for (int i = 0; i < r.pixels; i++, x += j->pixel)
            UNROLL for (int v = 0; v < channels / W; v++)
            {
                vec d = load_elems(x + v * W) - p[v];
                s[v] += d;
                q[v] += d * d;
            }
    }
    UNROLL for (int v = 0; v < channels / W; v++) store(sum + c + v * W, s[v]),
        store(sum + j->pixel + c + v * W, q[v]);
}

static void norm_sum_item(const void *arg, int item, int worker)
{
    const norm_job *j = arg;
    stretch piece = norm_piece(j, item);
    float *sum = j->sums + (size_t)item * 2 * (size_t)j->pixel;
    int c = 0;
    (void)worker;
    for (; c + WIDE <= j->pixel; c += WIDE) norm_sum_channels(j, &piece, c, WIDE, sum);
    for (; c < j->pixel; c += 16) norm_sum_channels(j, &piece, c, 16, sum);
}

INLINE void norm_apply_pixels(const norm_job *j, size_t at, int group, int pixels, const int relu,
                              const int residual)
{
    const float *mean = j->mean + group * j->pixel, *scale = j->scale + group * j->pixel,
                *bias = j->bias + group * j->pixel;
    for (int i = 0; i < pixels; i++)
        for (int c = 0; c < j->pixel; c += W, at += W) {
            vec v = (load_elems(j->x + at) - load(mean + c)) * load(scale + c) + load(bias + c);
            if (residual) v += load_elems(j->residual + at);
            store_elems(j->to + at, relu ? positive(v) : finish_act(j->act, v));
        }
}

static void norm_apply_item(const void *arg, int item, int worker)
{
    const norm_job *j = arg;
    int relu = j->act == AM_RELU;
    (void)worker;
    for (stretch r = norm_piece(j, item); norm_next(j, &r);) {
        if (relu && j->residual)
            norm_apply_pixels(j, r.at, r.group, r.pixels, 1, 1);
        else if (relu)
            norm_apply_pixels(j, r.at, r.group, r.pixels, 1, 0);
        else
            norm_apply_pixels(j, r.at, r.group, r.pixels, 0, j->residual != NULL);
    }
}

/* Sums of g and g * u. */
INLINE void norm_back_sum_channels(const norm_job *j, const stretch *piece, int c,
                                   const int channels, float *sum)
{
    vec mean[WIDE / W], s[WIDE / W], q[WIDE / W];
    const int row = piece->group * j->pixel + c;
    UNROLL for (int v = 0; v < channels / W; v++) mean[v] = load(j->mean + row + v * W),
                                                  s[v] = q[v] = all(0);
    for (stretch r = *piece; norm_next(j, &r);) {
        size_t o = r.at + (size_t)c;
        for (int i = 0; i < r.pixels; i++, o += (size_t)j->pixel)
            UNROLL for (int v = 0; v < channels / W; v++)
            {
                vec g = norm_slope(j->act, j->y + o + v * W, load_elems(j->dy + o + v * W));
                s[v] += g;
                q[v] += g * (load_elems(j->x + o + v * W) - mean[v]);
            }
    }
    UNROLL for (int v = 0; v < channels / W; v++)
    {
        store(sum + c + v * W, s[v]);
        store(sum + j->pixel + c + v * W, q[v] * load(j->inverse + row + v * W));
    }
}

static void norm_back_sum_item(const void *arg, int item, int worker)
{
    const norm_job *j = arg;
    stretch piece = norm_piece(j, item);
    float *sum = j->sums + (size_t)item * 2 * (size_t)j->pixel;
    int c = 0;
    (void)worker;
    for (; c + WIDE <= j->pixel; c += WIDE) norm_back_sum_channels(j, &piece, c, WIDE, sum);
    for (; c < j->pixel; c += 16) norm_back_sum_channels(j, &piece, c, 16, sum);
}

/* dx = scale * g + bias + third * (x - mean), the three being sums already. */
INLINE void norm_back_pixels(const norm_job *j, size_t at, int group, int pixels,
                             const int residual)
{
    const int row = group * j->pixel;
    for (int i = 0; i < pixels; i++)
        for (int c = 0; c < j->pixel; c += W, at += W) {
            vec g = norm_slope(j->act, j->y + at, load_elems(j->dy + at));
            if (residual) {
                vec r = g;
                if (j->beta_residual != 0)
                    r += all(j->beta_residual) * load_elems(j->to_residual + at);
                store_elems(j->to_residual + at, r);
            }
            if (!j->to) continue;
            vec u = load_elems(j->x + at) - load(j->mean + row + c);
            vec v = load(j->scale + row + c) * g +
                    (load(j->bias + row + c) + load(j->third + row + c) * u);
            if (j->beta != 0) v += all(j->beta) * load_elems(j->to + at);
            store_elems(j->to + at, v);
        }
}

static void norm_back_item(const void *arg, int item, int worker)
{
    const norm_job *j = arg;
    (void)worker;
    for (stretch r = norm_piece(j, item); norm_next(j, &r);)
        norm_back_pixels(j, r.at, r.group, r.pixels, j->to_residual != NULL);
}

/* ---- the operations ---- */

static void norm(am_backend *be, am_shape s, int groups, int have_stats, am_dev x, am_dev scale,
                 am_dev bias, am_dev residual, am_act act, am_dev y, am_dev saved,
                 am_dev running_mean, am_dev running_variance)
{
    if (am_cpu_stopped(be)) return;
    if (norm_plain(s)) {
        norm_narrow(be, s, groups, x, scale, bias, residual, act, y, am_at(saved, HEADER),
                    running_mean, running_variance);
        return;
    }
    norm_job j = norm_make(s, groups);
    int width = j.pixel, left = have_stats ? (int)saved.p[0] : 0, pieces = left ? left : j.pieces;
    size_t row = (size_t)groups * (size_t)width;
    float *mean = saved.p + HEADER, *inverse = mean + row;
    j.x = elems(x), j.residual = elems(residual), j.to = elems(y), j.act = act;
    j.mean = mean, j.inverse = inverse, j.scale = inverse + row, j.bias = j.scale + row;
    j.sums = saved.p + norm_sums_at(s, groups);
    if (!left) am_team_run(am_simd_team(be), groups * j.pieces, norm_sum_item, &j);
    for (int g = 0; g < groups; g++)
        for (int c = 0; c < width; c++) {
            double sum = 0, square = 0, count = (double)j.per_group;
            double pivot = left ? 0 : get(norm_pivot(&j, g)[c]);
            const float *from = j.sums + (size_t)g * (size_t)pieces * 2 * (size_t)width + c;
            for (int i = 0; i < pieces; i++, from += 2 * width) {
                sum += from[0];
                square += from[width];
            }
            double offset = sum / count, variance = square / count - offset * offset;
            if (variance < 0) variance = 0;
            int at = g * width + c;
            mean[at] = (float)(pivot + offset);
            inverse[at] = (float)(1 / sqrt(variance + (double)AM_NORM_EPS));
            j.scale[at] = c < s.c ? scale.p[c] * inverse[at] : 0;
            j.bias[at] = c < s.c ? bias.p[c] : 0;
            if (c >= s.c) continue;
            norm_follow(running_mean, c, pivot + offset);
            norm_follow(running_variance, c, count > 1 ? variance * count / (count - 1) : variance);
        }
    am_team_run(am_simd_team(be), groups * j.pieces, norm_apply_item, &j);
}

static void norm_back(am_backend *be, am_shape s, int groups, am_dev x, am_dev scale, am_act act,
                      am_dev y, am_dev saved, am_dev dy, am_dev scratch, am_grad dx,
                      am_grad residual, am_grad dscale, am_grad dbias)
{
    if (am_cpu_stopped(be)) return;
    if (norm_plain(s)) {
        norm_narrow_back(be, s, groups, x, scale, act, y, am_at(saved, HEADER), dy, scratch, dx,
                         residual, dscale, dbias);
        return;
    }
    norm_job j = norm_make(s, groups);
    int width = j.pixel;
    size_t row = (size_t)groups * (size_t)width;
    j.mean = saved.p + HEADER, j.inverse = j.mean + row;
    j.scale = scratch.p + HEADER, j.bias = j.scale + row, j.third = j.bias + row;
    j.sums = scratch.p + norm_sums_at(s, groups);
    j.x = elems(x), j.y = elems(y), j.dy = elems(dy), j.act = act;
    j.to = elems(dx.d), j.beta = dx.beta, j.to_residual = elems(residual.d),
    j.beta_residual = residual.beta;
    am_team_run(am_simd_team(be), groups * j.pieces, norm_back_sum_item, &j);
    for (int c = 0; c < width; c++) {
        double all_g = 0, all_gu = 0;
        for (int g = 0; g < groups; g++) {
            double sum = 0, product = 0;
            const float *from = j.sums + (size_t)g * (size_t)j.pieces * 2 * (size_t)width + c;
            for (int i = 0; i < j.pieces; i++, from += 2 * width) {
                sum += from[0];
                product += from[width];
            }
            all_g += sum;
            all_gu += product;
            int at = g * width + c;
            double count = (double)j.per_group,
                   factor = c < s.c ? (double)scale.p[c] * (double)j.inverse[at] : 0;
            j.scale[at] = (float)factor;
            j.bias[at] = (float)(-factor * sum / count);
            j.third[at] = (float)(-factor * (double)j.inverse[at] * product / count);
        }
        if (c >= s.c) continue;
        norm_give(dscale, c, all_gu);
        norm_give(dbias, c, all_g);
    }
    if (j.to || j.to_residual) am_team_run(am_simd_team(be), groups * j.pieces, norm_back_item, &j);
}
