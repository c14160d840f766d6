/* smoothmix.c: method=smoothmix    x_j shows through a soft round window in x_i
 *
 *   m(y, x) = exp(-((y - cy)^2 + (x - cx)^2) / (2 sigma^2)),   sigma ~ U(sigma_min, sigma_max) of the height
 *
 * with a centre anywhere in the image; lambda = 1 - mean(m).  No edge remains that a network could
 * learn to look for.  Lee et al., SmoothMix, CVPR workshops 2020. */
#include <math.h>
#include "../mixer.h"

typedef struct smoothmix {
    double sigma_min, sigma_max;
    int no_repeat;
} smoothmix;
#define OPTIONS smoothmix
static const am_key keys[] = {
    AM_REAL(sigma_min, 0.001, 100, "0.25",
            "least width of the window, as a share of the image's height"),
    AM_REAL(sigma_max, 0.001, 100, "0.5", "greatest width of the window"),
    AM_FLAG(no_repeat, "0", "no image is mixed with itself"),
    {0}
};

typedef struct state {
    am_slot plane;
} state;

static am_status setup(am_mix *m, am_trainer *t, am_err *e)
{
    const smoothmix *o = m->options;
    if (o->sigma_min > o->sigma_max)
        return am_fail(e, AM_EINPUT, m->loc, "sigma_min=%g is greater than sigma_max=%g",
                       o->sigma_min, o->sigma_max);
    ((state *)m->state)->plane = am_claim(t, (size_t)(t->net.input.h * t->net.input.w));
    return AM_OK;
}

static double fill_plane(float *plane, int h, int w, double cy, double cx, double sigma)
{
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            plane[y * w + x] =
                (float)exp(-((y - cy) * (y - cy) + (x - cx) * (x - cx)) / (2 * sigma * sigma));
    return am_mask_kept(plane, (size_t)(h * w));
}

/* The sheet asks for a lambda: the window that leaves it. */
static double sigma_for(double lambda, float *plane, int h, int w, double cy, double cx)
{
    double low = 1e-3, high = 1e3 * h;
    for (int i = 0; i < 60; i++) {
        double middle = sqrt(low * high);
        if (fill_plane(plane, h, w, cy, cx, middle) > lambda)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static void draw(am_mix *m, am_trainer *t, am_rng *r)
{
    const smoothmix *o = m->options;
    int h = t->net.input.h, w = t->net.input.w;
    float *plane = am_state_host(t, ((state *)m->state)->plane);
    double cx = (int)am_rng_below(r, (uint32_t)w) - 0.5,
           cy = (int)am_rng_below(r, (uint32_t)h) - 0.5;
    double sigma = h * am_rng_between(r, o->sigma_min, o->sigma_max);
    if (t->fixed_lambda >= 0) sigma = sigma_for(t->fixed_lambda, plane, h, w, cy, cx);
    am_draw_pair(t, r, 1, fill_plane(plane, h, w, cy, cx, sigma), o->no_repeat);
}

static void mask(am_mix *m, am_trainer *t, am_dev to)
{
    am_mask_spread(t, am_state_dev(t, ((state *)m->state)->plane), to);
}

const am_method am_method_smoothmix = {
    .name = "smoothmix",
    .paper = "Lee et al., CVPRW 2020",
    .help = "one image shows through a soft round window in the other",
    .example = "[mix]\nmethod=smoothmix\n",
    .keys = keys,
    .options = sizeof(smoothmix),
    .state = sizeof(state),
    .setup = setup,
    .draw = draw,
    .mask = mask,
};
