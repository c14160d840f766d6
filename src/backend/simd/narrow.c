/* narrow.c: norm for rows and for pixels of up to 4 channels, where vectors do not fit.
 * One channel at a time, in double; such layers are small. */
#include "simd.h"
#include "vec.h"

typedef struct narrow {
    am_shape s;
    int groups;
    size_t pixels, pixel, sample;
    int one;
} narrow;

static narrow narrow_of(am_shape s, int groups)
{
    return (narrow){s,
                    groups,
                    (size_t)s.h * (size_t)s.w,
                    (size_t)am_simd_stride(s),
                    sample_elems(s),
                    am_simd_one_pixel(s)};
}
INLINE float narrow_get(const narrow *k, am_dev d, size_t i)
{
    return k->one ? d.p[i] : get(elems(d)[i]);
}
INLINE void narrow_put(const narrow *k, am_dev d, size_t i, float v)
{
    if (k->one)
        d.p[i] = v;
    else
        elems(d)[i] = put(v);
}

/* For each number of channel c in the samples of group g; `i` is its place. */
#define EACH(k, g, c, i)                                                                           \
    for (int n_ = (g) * ((k).s.n / (k).groups); n_ < ((g) + 1) * ((k).s.n / (k).groups); n_++)     \
        for (size_t p_ = 0, i = (size_t)n_ * (k).sample + (size_t)(c); p_ < (k).pixels;            \
             p_++, i += (k).pixel)

static void norm_follow(am_dev running, int c, double batch)
{
    if (!am_is(running)) return;
    running.p[c] = (1 - AM_NORM_MOMENTUM) * running.p[c] + AM_NORM_MOMENTUM * (float)batch;
}

static void norm_give(am_grad to, int c, double v)
{
    if (am_is(to.d)) to.d.p[c] = to.beta == 0 ? (float)v : to.beta * to.d.p[c] + (float)v;
}

static void norm_narrow(am_backend *be, am_shape s, int groups, am_dev x, am_dev scale, am_dev bias,
                        am_dev residual, am_act act, am_dev y, am_dev saved, am_dev running_mean,
                        am_dev running_variance)
{
    (void)be;
    narrow k = narrow_of(s, groups);
    double count = (double)(s.n / groups) * (double)k.pixels;
    for (int c = 0; c < (int)k.pixel; c++)
        for (int g = 0; g < groups; g++) {
            if (c >= s.c) {
                EACH(k, g, c, i) narrow_put(&k, y, i, 0);
                continue;
            }
            double sum = 0, square = 0;
            EACH(k, g, c, i) sum += narrow_get(&k, x, i);
            double mean = sum / count;
            EACH(k, g, c, i)
            square += (narrow_get(&k, x, i) - mean) * (narrow_get(&k, x, i) - mean);
            double variance = square / count;
            float inverse = (float)(1 / sqrt(variance + (double)AM_NORM_EPS));
            saved.p[g * s.c + c] = (float)mean;
            saved.p[(groups + g) * s.c + c] = inverse;
            EACH(k, g, c, i)
            {
                float v = (narrow_get(&k, x, i) - (float)mean) * inverse * scale.p[c] + bias.p[c];
                if (am_is(residual)) v += narrow_get(&k, residual, i);
                am_cpu_act(act, 1, &v);
                narrow_put(&k, y, i, v);
            }
            norm_follow(running_mean, c, mean);
            norm_follow(running_variance, c, count > 1 ? variance * count / (count - 1) : variance);
        }
}

static void norm_narrow_back(am_backend *be, am_shape s, int groups, am_dev x, am_dev scale,
                             am_act act, am_dev y, am_dev saved, am_dev dy, am_dev scratch,
                             am_grad dx, am_grad residual, am_grad dscale, am_grad dbias)
{
    (void)be, (void)scratch;
    narrow k = narrow_of(s, groups);
    double count = (double)(s.n / groups) * (double)k.pixels;
    for (int c = 0; c < (int)k.pixel; c++) {
        double all_g = 0, all_gu = 0;
        for (int g = 0; g < groups; g++) {
            if (c >= s.c) {
                if (am_is(dx.d) && dx.beta == 0) EACH(k, g, c, i) narrow_put(&k, dx.d, i, 0);
                if (am_is(residual.d) && residual.beta == 0)
                    EACH(k, g, c, i) narrow_put(&k, residual.d, i, 0);
                continue;
            }
            double sum = 0, product = 0;
            float mean = saved.p[g * s.c + c], inverse = saved.p[(groups + g) * s.c + c];
            EACH(k, g, c, i)
            {
                float out = act == AM_LINEAR ? 0 : narrow_get(&k, y, i),
                      slope = narrow_get(&k, dy, i);
                am_cpu_slope(act, 1, &out, &slope, &slope);
                sum += slope;
                product += slope * ((narrow_get(&k, x, i) - mean) * inverse);
            }
            all_g += sum;
            all_gu += product;
            EACH(k, g, c, i)
            {
                float out = act == AM_LINEAR ? 0 : narrow_get(&k, y, i),
                      slope = narrow_get(&k, dy, i);
                am_cpu_slope(act, 1, &out, &slope, &slope);
                if (am_is(residual.d)) {
                    float r =
                        residual.beta == 0 ? 0 : residual.beta * narrow_get(&k, residual.d, i);
                    narrow_put(&k, residual.d, i, r + slope);
                }
                if (!am_is(dx.d)) continue;
                float u = (narrow_get(&k, x, i) - mean) * inverse;
                float v = scale.p[c] * inverse *
                          (slope - (float)(sum / count) - u * (float)(product / count));
                if (dx.beta != 0) v += dx.beta * narrow_get(&k, dx.d, i);
                narrow_put(&k, dx.d, i, v);
            }
        }
        if (c >= s.c) continue;
        norm_give(dscale, c, all_gu);
        norm_give(dbias, c, all_g);
    }
}
#undef EACH
