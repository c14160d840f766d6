/* norm.c: batch normalisation (Ioffe and Szegedy 2015), a channel at a time.
 *
 *   u = (x - mean) / sqrt(var + eps)        y = act(scale * u + bias + residual)
 *
 * Backward, with g = act'(y) * dy and means over the m values of a channel:
 *   dbias = sum g      dscale = sum g u      dresidual = g
 *   dx = scale / sqrt(var + eps) * (g - mean(g) - u * mean(g u))
 * The last two terms are the paths through mean and variance.
 *
 * saved: mean [groups][c], then 1/sqrt(var + eps) [groups][c]. */
#include "cpu.h"

enum { SPAN = 1024 };

size_t am_cpu_norm_saved(am_backend *be, am_shape s, int groups)
{
    (void)be;
    return 2 * (size_t)groups * (size_t)s.c;
}

typedef struct channel { size_t plane, step, at; int first, last; double count; } channel;

/* Channel c in the samples of group g: sample i's plane begins at i * step + at. */
static channel pick(am_shape s, int groups, int g, int c)
{
    const int n = s.n / groups;
    const size_t plane = am_cpu_plane(s);
    return (channel){.plane = plane, .step = am_cpu_sample(s), .at = (size_t)c * plane,
                     .first = g * n, .last = (g + 1) * n, .count = (double)n * (double)plane};
}

static void follow(am_dev running, int c, double batch)
{
    if (!am_is(running)) return;
    running.p[c] = (1 - AM_NORM_MOMENTUM) * running.p[c] + AM_NORM_MOMENTUM * (float)batch;
}

void am_cpu_norm(am_backend *be, am_shape s, int groups, int have_stats, am_dev x, am_dev scale,
                 am_dev bias, am_dev residual, am_act act, am_dev y, am_dev saved,
                 am_dev running_mean, am_dev running_variance)
{
    (void)have_stats; /* conv leaves none here: the judge takes its statistics from x */
    if (am_cpu_stopped(be)) return;
#pragma omp parallel for num_threads(am_cpu_team(be, am_count(s))) schedule(static)
    for (int c = 0; c < s.c; c++)
        for (int g = 0; g < groups; g++) {
            const channel ch = pick(s, groups, g, c);
            double sum = 0, square = 0;
            for (int i = ch.first; i < ch.last; i++)
                sum += am_cpu_sum(ch.plane, x.p + (size_t)i * ch.step + ch.at);
            const double exact = sum / ch.count;
            const float mean = (float)exact;
            for (int i = ch.first; i < ch.last; i++)
                square += am_cpu_sum_square(ch.plane, x.p + (size_t)i * ch.step + ch.at, mean);
            square -= ch.count * (exact - mean) * (exact - mean);
            const double variance = square > 0 || square != square ? square / ch.count : 0;
            const float inverse = (float)(1 / sqrt(variance + (double)AM_NORM_EPS));
            saved.p[g * s.c + c] = mean;
            saved.p[(groups + g) * s.c + c] = inverse;
            follow(running_mean, c, exact);
            follow(running_variance, c,
                   ch.count > 1 ? variance * ch.count / (ch.count - 1) : variance);

            /* The mean's rounding is taken up by the shift: near a ReLU's corner it would show. */
            const float slope = scale.p[c] * inverse;
            const float shift = (float)((double)bias.p[c] - (double)slope * (exact - (double)mean));
            for (int i = ch.first; i < ch.last; i++) {
                const size_t at = (size_t)i * ch.step + ch.at;
                const float *from = x.p + at;
                float *to = y.p + at;
                if (am_is(residual))
                    for (size_t k = 0; k < ch.plane; k++)
                        to[k] = slope * (from[k] - mean) + shift + residual.p[at + k];
                else
                    for (size_t k = 0; k < ch.plane; k++) to[k] = slope * (from[k] - mean) + shift;
                am_cpu_act(act, ch.plane, to);
            }
        }
}

void am_cpu_norm_back(am_backend *be, am_shape s, int groups, am_dev x, am_dev scale, am_act act,
                      am_dev y, am_dev saved, am_dev dy, am_dev scratch, am_grad dx,
                      am_grad residual, am_grad dscale, am_grad dbias)
{
    (void)scratch;
    if (am_cpu_stopped(be)) return;
#pragma omp parallel for num_threads(am_cpu_team(be, am_count(s))) schedule(static)
    for (int c = 0; c < s.c; c++) {
        float g[SPAN];
        double all_g = 0, all_gu = 0;
        for (int b = 0; b < groups; b++) {
            const channel ch = pick(s, groups, b, c);
            const float mean = saved.p[b * s.c + c], inverse = saved.p[(groups + b) * s.c + c];
            double sum_g = 0, sum_gx = 0;
            for (int i = ch.first; i < ch.last; i++)
                for (size_t from = 0; from < ch.plane; from += SPAN) {
                    const size_t n = ch.plane - from < SPAN ? ch.plane - from : SPAN;
                    const size_t at = (size_t)i * ch.step + ch.at + from;
                    float centred[SPAN];
                    am_cpu_slope(act, n, act == AM_LINEAR ? NULL : y.p + at, dy.p + at, g);
                    for (size_t k = 0; k < n; k++) centred[k] = x.p[at + k] - mean;
                    sum_g += am_cpu_sum(n, g);
                    sum_gx += am_cpu_sum_product(n, g, centred);
                }
            const double sum_gu = sum_gx * (double)inverse;
            all_g += sum_g;
            all_gu += sum_gu;
            if (!am_is(dx.d) && !am_is(residual.d)) continue;

            const float mean_g = (float)(sum_g / ch.count),
                        pull = (float)(sum_gu / ch.count) * inverse;
            const float slope = scale.p[c] * inverse;
            for (int i = ch.first; i < ch.last; i++)
                for (size_t from = 0; from < ch.plane; from += SPAN) {
                    const size_t n = ch.plane - from < SPAN ? ch.plane - from : SPAN;
                    const size_t at = (size_t)i * ch.step + ch.at + from;
                    am_cpu_slope(act, n, act == AM_LINEAR ? NULL : y.p + at, dy.p + at, g);
                    if (am_is(residual.d)) am_cpu_give(residual, at, n, 1, g);
                    if (!am_is(dx.d)) continue;
                    for (size_t k = 0; k < n; k++) g[k] -= mean_g + pull * (x.p[at + k] - mean);
                    am_cpu_give(dx, at, n, slope, g);
                }
        }
        if (am_is(dscale.d)) am_cpu_give1(dscale, (size_t)c, (float)all_gu);
        if (am_is(dbias.d)) am_cpu_give1(dbias, (size_t)c, (float)all_g);
    }
}

void am_cpu_norm_fold(am_backend *be, int c, am_dev scale, am_dev bias, am_dev mean,
                      am_dev variance, am_dev out_scale, am_dev out_shift)
{
    if (am_cpu_stopped(be)) return;
    for (int i = 0; i < c; i++) {
        const float slope = scale.p[i] / sqrtf(variance.p[i] + AM_NORM_EPS);
        out_shift.p[i] = bias.p[i] - mean.p[i] * slope;
        out_scale.p[i] = slope;
    }
}

void am_cpu_affine(am_backend *be, am_shape s, am_dev x, am_dev scale, am_dev shift, am_act act,
                   am_dev y)
{
    if (am_cpu_stopped(be)) return;
    const size_t plane = am_cpu_plane(s), step = am_cpu_sample(s);
#pragma omp parallel for num_threads(am_cpu_team(be, am_count(s))) schedule(static)
    for (int i = 0; i < s.n * s.c; i++) {
        const int c = i % s.c;
        const size_t at = (size_t)(i / s.c) * step + (size_t)c * plane;
        for (size_t k = at; k < at + plane; k++) y.p[k] = scale.p[c] * x.p[k] + shift.p[c];
        am_cpu_act(act, plane, y.p + at);
    }
}
