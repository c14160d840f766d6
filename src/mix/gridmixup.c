/* gridmixup.c: method=gridmixup    holes on a grid over part of x_i show x_j
 *
 * n in cells_min .. cells_max; a crop of area share a ~ U(crop_min, crop_max) and aspect
 * rho ~ U(aspect_min, aspect_max), sides w = floor(sqrt(a H W / rho)) and h = floor(w rho), lies
 * anywhere in the image.  Its cells are ceil(w / n) wide and as high; in each the upper left
 * floor(cell sqrt(1 - lambda)), at least 1 and at most cell - 1, is taken from x_j.
 * lambda ~ Beta(alpha, alpha) then becomes the share of x_i that is left, so labels follow pixels.
 * GridMixup (I. Dobrynin's library, 2020; what OpenMixup calls gridmix). */
#include <math.h>
#include "../mixer.h"

typedef struct gridmixup {
    double alpha, crop_min, crop_max, aspect_min, aspect_max;
    int cells_min, cells_max, no_repeat;
} gridmixup;
#define OPTIONS gridmixup
static const am_key keys[] = {
    AM_REAL(alpha, 1e-3, 1000, "1", "lambda is drawn from Beta(alpha, alpha)"),
    AM_INT(cells_min, 1, 1000, "2", "least number of cells across the crop"),
    AM_INT(cells_max, 1, 1000, "6", "greatest number of cells across the crop"),
    AM_REAL(crop_min, 0.01, 1, "0.5", "least share of the image's area that has holes"),
    AM_REAL(crop_max, 0.01, 1, "1", "greatest share of the image's area that has holes"),
    AM_REAL(aspect_min, 0.01, 100, "0.5", "least height / width of that part"),
    AM_REAL(aspect_max, 0.01, 100, "2", "greatest height / width of that part"),
    AM_FLAG(no_repeat, "0", "no image is mixed with itself"),
    {0}
};

typedef struct state {
    am_slot plane;
} state;

static am_status setup(am_mix *m, am_trainer *t, am_err *e)
{
    const gridmixup *o = m->options;
    if (o->cells_min > o->cells_max || o->crop_min > o->crop_max || o->aspect_min > o->aspect_max)
        return am_fail(
            e, AM_EINPUT, m->loc,
            "method=gridmixup: each of cells_, crop_ and aspect_ needs its _min at most its _max");
    ((state *)m->state)->plane = am_claim(t, (size_t)(t->net.input.h * t->net.input.w));
    return AM_OK;
}

static int within(double v, int least, int most)
{
    return v < least ? least : v > most ? most : (int)v;
}

static void draw(am_mix *m, am_trainer *t, am_rng *r)
{
    const gridmixup *o = m->options;
    int h = t->net.input.h, w = t->net.input.w;
    float *plane = am_state_host(t, ((state *)m->state)->plane);
    double lambda = am_draw_lambda(t, r, o->alpha);
    int n = o->cells_min + (int)am_rng_below(r, (uint32_t)(o->cells_max - o->cells_min + 1));
    double area = am_rng_between(r, o->crop_min, o->crop_max),
           aspect = am_rng_between(r, o->aspect_min, o->aspect_max);
    int crop_w = within(floor(sqrt(area * h * w / aspect)), 1, w),
        crop_h = within(floor(crop_w * aspect), 1, h);
    int left = (int)am_rng_below(r, (uint32_t)(w - crop_w + 1)),
        top = (int)am_rng_below(r, (uint32_t)(h - crop_h + 1));
    int cell = (crop_w + n - 1) / n,
        hole = within(floor(cell * sqrt(1 - lambda)), 1, cell > 1 ? cell - 1 : 1);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            int inside = y >= top && y < top + crop_h && x >= left && x < left + crop_w;
            plane[y * w + x] = inside && (y - top) % cell < hole && (x - left) % cell < hole;
        }
    am_draw_pair(t, r, 1, am_mask_kept(plane, (size_t)(h * w)), o->no_repeat);
}

static void mask(am_mix *m, am_trainer *t, am_dev to)
{
    am_mask_spread(t, am_state_dev(t, ((state *)m->state)->plane), to);
}

const am_method am_method_gridmixup = {
    .name = "gridmixup",
    .paper = "Dobrynin, 2020",
    .help = "holes on a grid over one image show the other",
    .example = "[mix]\nmethod=gridmixup\nalpha=0.2\n",
    .keys = keys,
    .options = sizeof(gridmixup),
    .state = sizeof(state),
    .setup = setup,
    .draw = draw,
    .mask = mask,
};
