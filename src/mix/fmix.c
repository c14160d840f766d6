/* fmix.c: method=fmix              a random blob of x_i stays, the rest is x_j
 *
 * A grey image g of low frequencies is drawn: Gaussian coefficients times 1 / frequency^decay, back
 * from the Fourier domain.  The lambda H W largest pixels of g (rounded up or down by a coin) keep
 * x_i.  lambda ~ Beta(alpha, alpha) is the label's weight as drawn.  Harris et al., FMix, 2020.
 * reformulate=1 is the authors' other form: the same expected loss, with one label an image.
 *
 * spectrum=paper     fills all coefficients (ky, kx), kx = 0 .. W/2, real part n1, imaginary n2:
 *                        n / max(sqrt(fx^2 + fy^2), 1 / max(H, W))^decay
 * spectrum=official  what the published code builds and the published numbers come from: an index slip
 *                    leaves the columns kx = 0, 1 and the rows a = 0 .. W/2, with f = a / W:
 *                        n1 / max(f, 1 / S)^decay  +  i n2 / max(sqrt(f^2 + 1 / H^2), 1 / S)^decay
 *
 * With C(kx, y) = sum over ky of X(ky, kx) e^(2 pi i ky y / H), which is cheap as a plain sum,
 *   g(y, x) = sum over kx of w Re(C(kx, y) e^(2 pi i kx x / W)),   w = 1 at kx = 0 and W/2, else 2. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../mixer.h"

typedef struct fmix {
    double alpha, decay, max_soft;
    int spectrum, reformulate, no_repeat;
} fmix;
#define OPTIONS fmix
static const am_key keys[] = {
    AM_REAL(alpha, 1e-3, 1000, "1", "lambda is drawn from Beta(alpha, alpha)"),
    AM_REAL(decay, 0, 10, "3", "how fast high frequencies fade"),
    AM_REAL(max_soft, 0, 0.5, "0",
            "the blob's edge is a ramp over this share of the pixels; 0: hard"),
    AM_CHOICE(spectrum, "official|paper", "official",
              "the coefficients of the published code, or of the paper"),
    AM_FLAG(reformulate, "0",
            "lambda is drawn from Beta(alpha + 1, alpha), and labels stay x_i's own"),
    AM_FLAG(no_repeat, "0", "no image is mixed with itself"),
    {0}
};
enum { OFFICIAL, PAPER };

typedef struct ranked {
    double v;
    int at;
} ranked;
typedef struct state {
    am_slot plane;
    ranked *rank;
    double *wave, *turn;
} state; /* turn: C of one kx */

static am_status setup(am_mix *m, am_trainer *t, am_err *e)
{
    state *s = m->state;
    size_t h = (size_t)t->net.input.h, w = (size_t)t->net.input.w, most = h > w ? h : w;
    s->plane = am_claim(t, h * w);
    s->rank = am_new(&t->mem, h * w * sizeof *s->rank);
    s->wave = am_new(&t->mem, 2 * most * sizeof *s->wave);
    s->turn = am_new(&t->mem, 2 * h * sizeof *s->turn);
    return s->rank && s->wave && s->turn ? AM_OK : am_fail(e, AM_ENOMEM, m->loc, "out of memory");
}

static void make_wave(double *wave, int n) /* e^(2 pi i k / n) */
{
    for (int k = 0; k < n; k++) {
        wave[2 * k] = cos(6.283185307179586 * k / n);
        wave[2 * k + 1] = sin(6.283185307179586 * k / n);
    }
}

/* The scale of coefficient (ky, kx): of its real and its imaginary part. */
static void scales(const fmix *o, int h, int w, int ky, int kx, double *re, double *im)
{
    double least = 1.0 / (h > w ? h : w), fx = (double)kx / w,
           fy = (double)(ky <= h / 2 ? ky : ky - h) / h;
    if (o->spectrum == PAPER) {
        *re = *im = 1 / pow(fmax(sqrt(fx * fx + fy * fy), least), o->decay);
    } else {
        double f = (double)ky / w;
        *re = 1 / pow(fmax(f, least), o->decay);
        *im = 1 / pow(fmax(sqrt(f * f + 1.0 / ((double)h * h)), least), o->decay);
    }
}

/* C(kx, y) for all y, of freshly drawn coefficients. */
static void draw_column(const fmix *o, state *s, int h, int w, int kx, am_rng *r)
{
    int rows = o->spectrum == PAPER ? h : w / 2 + 1 < h ? w / 2 + 1 : h;
    memset(s->turn, 0, 2 * (size_t)h * sizeof *s->turn);
    for (int ky = 0; ky < rows; ky++) {
        double re, im;
        scales(o, h, w, ky, kx, &re, &im);
        re *= am_rng_normal(r);
        im *= am_rng_normal(r);
        for (int y = 0; y < h; y++) {
            const double *e = s->wave + 2 * (ky * y % h);
            s->turn[2 * y] += re * e[0] - im * e[1];
            s->turn[2 * y + 1] += re * e[1] + im * e[0];
        }
    }
}

static void draw_grey(const fmix *o, state *s, int h, int w, am_rng *r)
{
    int columns = o->spectrum == PAPER ? w / 2 + 1 : w > 1 ? 2 : 1;
    for (int i = 0; i < h * w; i++) s->rank[i] = (ranked){0, i};
    for (int kx = 0; kx < columns; kx++) {
        double twice = kx == 0 || 2 * kx == w ? 1 : 2;
        make_wave(s->wave, h);
        draw_column(o, s, h, w, kx, r);
        make_wave(s->wave, w);
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++) {
                const double *e = s->wave + 2 * (kx * x % w);
                s->rank[y * w + x].v += twice * (s->turn[2 * y] * e[0] - s->turn[2 * y + 1] * e[1]);
            }
    }
}

static int downward(const void *a, const void *b) /* of equals the first comes first */
{
    const ranked *x = a, *y = b;
    return x->v > y->v ? -1 : x->v < y->v ? 1 : x->at - y->at;
}

static void draw(am_mix *m, am_trainer *t, am_rng *r)
{
    const fmix *o = m->options;
    state *s = m->state;
    int h = t->net.input.h, w = t->net.input.w, all = h * w;
    double lambda = o->reformulate && t->fixed_lambda < 0 ? am_rng_beta(r, o->alpha + 1, o->alpha)
                                                          : am_draw_lambda(t, r, o->alpha),
           soft = fmin(o->max_soft, fmin(lambda, 1 - lambda));
    float *plane = am_state_host(t, s->plane);
    am_draw_pair(t, r, 1, o->reformulate ? 1 : lambda, o->no_repeat);
    draw_grey(o, s, h, w, r);
    qsort(s->rank, (size_t)all, sizeof *s->rank, downward);
    int up = am_rng_below(r, 2) == 1, count = (int)(up ? ceil(lambda * all) : floor(lambda * all));
    int ramp = (int)floor(soft * all);
    for (int i = 0; i < all; i++) {
        double keeps = i < count;
        if (ramp > 0 && i >= count - ramp && i < count + ramp)
            keeps = 1 - (double)(i - (count - ramp)) / (2 * ramp);
        plane[s->rank[i].at] = (float)(1 - keeps);
    }
}

static void mask(am_mix *m, am_trainer *t, am_dev to)
{
    am_mask_spread(t, am_state_dev(t, ((state *)m->state)->plane), to);
}

const am_method am_method_fmix = {
    .name = "fmix",
    .paper = "Harris et al., 2020",
    .help = "a blob drawn in the Fourier domain keeps one image, the rest is the other",
    .example = "[mix]\nmethod=fmix\nalpha=0.2\n",
    .keys = keys,
    .options = sizeof(fmix),
    .state = sizeof(state),
    .setup = setup,
    .draw = draw,
    .mask = mask,
};
