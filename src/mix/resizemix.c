/* resizemix.c: method=resizemix            the whole of x_j, made small, is pasted into x_i
 *
 * tau ~ U(scale_min, scale_max), or Beta(alpha, alpha) drawn until it falls between them; the box has
 * sides floor(tau W), floor(tau H), a centre anywhere, and is clipped; x_j is brought to the clipped
 * box by nearest neighbour (source = floor(target * whole / box)).  lambda is the share of x_i that is
 * left.  Qin et al., ResizeMix, 2020.
 *
 * Picking pixels commutes with normalising them, so the mixture is made of the bytes on the host,
 * while nothing waits, and goes to the device as the clean batch does. */
#include <math.h>
#include <string.h>
#include "../box.h"
#include "../mixer.h"

typedef struct resizemix {
    double alpha, scale_min, scale_max;
    int no_repeat;
} resizemix;
#define OPTIONS resizemix
static const am_key keys[] = {
    AM_REAL(alpha, 0, 1000, "1",
            "tau is drawn from Beta(alpha, alpha) within the scope; 0: evenly"),
    AM_REAL(scale_min, 0.01, 1, "0.1",
            "the least of tau, the box's side as a share of the image's"),
    AM_REAL(scale_max, 0.01, 1, "0.8", "the greatest of tau"),
    AM_FLAG(no_repeat, "0", "no image is mixed with itself"),
    {0}
};

typedef struct state {
    unsigned char *mixed;
} state;

static am_status setup(am_mix *m, am_trainer *t, am_err *e)
{
    const resizemix *o = m->options;
    if (o->scale_min > o->scale_max)
        return am_fail(e, AM_EINPUT, m->loc, "scale_min=%g is greater than scale_max=%g",
                       o->scale_min, o->scale_max);
    m->reads = 1;
    ((state *)m->state)->mixed = am_new(&t->mem, (size_t)t->n * am_count(t->net.input));
    return ((state *)m->state)->mixed ? AM_OK : am_fail(e, AM_ENOMEM, m->loc, "out of memory");
}

static double draw_tau(const resizemix *o, am_rng *r)
{
    for (int tries = 0; o->alpha > 0 && tries < 1000; tries++) {
        double tau = am_rng_beta(r, o->alpha, o->alpha);
        if (tau >= o->scale_min && tau <= o->scale_max) return tau;
    }
    return am_rng_between(r, o->scale_min, o->scale_max);
}

static void paste(const am_trainer *t, const int *perm, am_box b, unsigned char *to)
{
    int w = t->net.input.w, h = t->net.input.h, bw = b.x2 - b.x1, bh = b.y2 - b.y1;
    size_t c = (size_t)t->net.input.c, image = am_count(t->net.input);
    memcpy(to, t->pixels, (size_t)t->n * image);
    for (int i = 0; i < t->n; i++) {
        const unsigned char *from = t->pixels + (size_t)perm[i] * image;
        for (int y = 0; y < bh; y++)
            for (int x = 0; x < bw; x++)
                memcpy(to + (size_t)i * image + (size_t)((b.y1 + y) * w + b.x1 + x) * c,
                       from + (size_t)(y * h / bh * w + x * w / bw) * c, c);
    }
}

static void draw(am_mix *m, am_trainer *t, am_rng *r)
{
    const resizemix *o = m->options;
    int w = t->net.input.w, h = t->net.input.h;
    double tau = t->fixed_lambda >= 0 ? sqrt(1 - t->fixed_lambda) : draw_tau(o, r);
    int cx = (int)am_rng_below(r, (uint32_t)w), cy = (int)am_rng_below(r, (uint32_t)h);
    am_box b = am_box_around(cx, cy, (int)(tau * w), (int)(tau * h), w, h);
    am_draw_pair(t, r, 1, 1 - am_box_share(b, w, h), o->no_repeat);
    if (t->pixels) paste(t, am_state_ints(t, t->pair[1].perm), b, ((state *)m->state)->mixed);
}

static void mix(am_mix *m, am_trainer *t, am_dev x, am_dev to)
{
    (void)x;
    am_put_pixels(t, ((state *)m->state)->mixed, to);
}

const am_method am_method_resizemix = {
    .name = "resizemix",
    .paper = "Qin et al., 2020",
    .help = "the whole of one image, made small, is pasted into the other",
    .example = "[mix]\nmethod=resizemix\n",
    .keys = keys,
    .options = sizeof(resizemix),
    .state = sizeof(state),
    .setup = setup,
    .draw = draw,
    .mix = mix,
};
