/* blend.c: mixing a batch with itself under masks, and the two adjoints.
 *
 *     y = (1 - m) x + m x[perm]        dm = sum over channels of dy (x[perm] - x)
 *     dx = (1 - m) dy + what the sample lent: m dy of the sample whose partner it is
 *
 * m is planes [n][h][w]; a sample is a piece of work. */
#include "simd.h"
#include "vec.h"

typedef struct blend_job {
    am_shape s;
    const elem *x, *dy;
    elem *to;
    const int *perm;
    const float *m;
    float *dm, beta;
} blend_job;

/* pixel is a constant where this is called, so that the loop over channels is straight. */
INLINE void blend_pixels(const blend_job *k, int sample, const int pixel)
{
    const size_t step = sample_elems(k->s), pixels = (size_t)k->s.h * (size_t)k->s.w;
    const elem *mine = k->x + (size_t)sample * step, *other = k->x + (size_t)k->perm[sample] * step;
    const float *m = k->m + (size_t)sample * pixels;
    elem *to = k->to + (size_t)sample * step;
    for (size_t i = 0; i < pixels; i++, mine += pixel, other += pixel, to += pixel)
        for (int c = 0; c < pixel; c++)
            to[c] = put((1 - m[i]) * get(mine[c]) + m[i] * get(other[c]));
}

static void blend_item(const void *arg, int sample, int worker)
{
    const blend_job *k = arg;
    int pixel = am_simd_channels(k->s.c);
    (void)worker;
    if (pixel == 4)
        blend_pixels(k, sample, 4);
    else
        blend_pixels(k, sample, pixel);
}

static void blend(am_backend *be, am_shape s, am_dev x, am_dev perm, am_dev m, am_dev y)
{
    if (am_cpu_stopped(be) || !am_cpu_perm_ok(be, "blend", s.n, perm)) return;
    if (am_simd_one_pixel(s)) {
        am_cpu_blend(be, s, x, perm, m, y);
        return;
    }
    blend_job k = {.s = s, .x = elems(x), .to = elems(y), .perm = am_cpu_ints(perm), .m = m.p};
    am_team_run(am_simd_team(be), s.n, blend_item, &k);
}

static void blend_back_item(const void *arg, int sample, int worker)
{
    const blend_job *k = arg;
    const size_t step = sample_elems(k->s), pixels = (size_t)k->s.h * (size_t)k->s.w;
    const int pixel = am_simd_channels(k->s.c);
    const elem *mine = k->x + (size_t)sample * step, *other = k->x + (size_t)k->perm[sample] * step;
    const elem *dy = k->dy + (size_t)sample * step;
    float *dm = k->dm + (size_t)sample * pixels;
    (void)worker;
    for (size_t i = 0; i < pixels; i++, mine += pixel, other += pixel, dy += pixel) {
        float sum = 0;
        for (int c = 0; c < k->s.c; c++) sum += get(dy[c]) * (get(other[c]) - get(mine[c]));
        dm[i] = k->beta == 0 ? sum : k->beta * dm[i] + sum;
    }
}

static void blend_back(am_backend *be, am_shape s, am_dev x, am_dev perm, am_dev dy, am_grad dm)
{
    if (am_cpu_stopped(be) || !am_is(dm.d) || !am_cpu_perm_ok(be, "blend_back", s.n, perm)) return;
    if (am_simd_one_pixel(s)) {
        am_cpu_blend_back(be, s, x, perm, dy, dm);
        return;
    }
    blend_job k = {.s = s,
                   .x = elems(x),
                   .dy = elems(dy),
                   .perm = am_cpu_ints(perm),
                   .dm = dm.d.p,
                   .beta = dm.beta};
    am_team_run(am_simd_team(be), s.n, blend_back_item, &k);
}

INLINE void blend_back_x_pixels(const blend_job *k, int sample, int borrower, const int pixel)
{
    const size_t step = sample_elems(k->s), pixels = (size_t)k->s.h * (size_t)k->s.w;
    const elem *mine = k->dy + (size_t)sample * step, *lent = k->dy + (size_t)borrower * step;
    const float *m = k->m + (size_t)sample * pixels, *share = k->m + (size_t)borrower * pixels;
    elem *to = k->to + (size_t)sample * step;
    for (size_t i = 0; i < pixels; i++, mine += pixel, lent += pixel, to += pixel)
        for (int c = 0; c < pixel; c++) {
            float v = (1 - m[i]) * get(mine[c]) + share[i] * get(lent[c]);
            to[c] = put(k->beta == 0 ? v : k->beta * get(to[c]) + v);
        }
}

static void blend_back_x_item(const void *arg, int sample, int worker)
{
    const blend_job *k = arg;
    int pixel = am_simd_channels(k->s.c), borrower = 0;
    (void)worker;
    while (borrower < k->s.n - 1 && k->perm[borrower] != sample) borrower++;
    if (pixel == 4)
        blend_back_x_pixels(k, sample, borrower, 4);
    else
        blend_back_x_pixels(k, sample, borrower, pixel);
}

static void blend_back_x(am_backend *be, am_shape s, am_dev perm, am_dev m, am_dev dy, am_grad dx)
{
    if (am_cpu_stopped(be) || !am_is(dx.d) || !am_cpu_perm_ok(be, "blend_back_x", s.n, perm))
        return;
    if (am_simd_one_pixel(s)) {
        am_cpu_blend_back_x(be, s, perm, m, dy, dx);
        return;
    }
    blend_job k = {.s = s,
                   .dy = elems(dy),
                   .to = elems(dx.d),
                   .perm = am_cpu_ints(perm),
                   .m = m.p,
                   .beta = dx.beta};
    am_team_run(am_simd_team(be), s.n, blend_back_x_item, &k);
}
