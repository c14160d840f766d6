/* saliencymix.c: method=saliencymix        a box around what stands out in x_j is pasted into x_i
 *
 * lambda and the box's sides as CutMix's; its centre is the most salient pixel (the first of equals)
 * of one image, the partner of the batch's first, and the whole batch uses this box, as published.
 * lambda becomes the share of x_i that is left.  Uddin et al., SaliencyMix, ICLR 2021.
 *
 * The published code hands normalised floats to a detector that reads bytes, which makes its box
 * nearly random; saliency=legacy_random imitates that.  One map a batch is drawn on the host, before
 * the device has anything to wait for. */
#include <math.h>
#include "../box.h"
#include "../mixer.h"
#include "../saliency.h"

typedef struct saliencymix {
    double alpha;
    int saliency, no_repeat;
} saliencymix;
#define OPTIONS saliencymix
static const am_key keys[] = {
    AM_REAL(alpha, 1e-3, 1000, "1", "lambda is drawn from Beta(alpha, alpha)"),
    AM_CHOICE(saliency, "fine|spectral|legacy_random", "fine",
              "what finds the centre: fine-grained, spectral residual, or chance"),
    AM_FLAG(no_repeat, "0", "no image is mixed with itself"),
    {0}
};
enum { FINE, SPECTRAL };

typedef struct state {
    am_slot box;
    void *room;
    unsigned char *map;
    float *shares;
} state;

static am_status setup(am_mix *m, am_trainer *t, am_err *e)
{
    state *s = m->state;
    size_t pixels = (size_t)(t->net.input.h * t->net.input.w);
    m->reads = ((const saliencymix *)m->options)->saliency <= SPECTRAL;
    s->box = am_claim(t, 4 * (size_t)t->n);
    s->room = am_new(&t->mem, am_saliency_room(t->net.input.h, t->net.input.w));
    s->map = am_new(&t->mem, pixels);
    s->shares = am_new(&t->mem, pixels * sizeof *s->shares);
    return s->room && s->map && s->shares ? AM_OK : am_fail(e, AM_ENOMEM, m->loc, "out of memory");
}

static int most_salient(const saliencymix *o, state *s, const am_trainer *t, int image)
{
    int h = t->net.input.h, w = t->net.input.w, c = t->net.input.c, best = 0;
    const unsigned char *pixel = t->pixels + (size_t)image * am_count(t->net.input);
    if (o->saliency == SPECTRAL)
        am_saliency_spectral(pixel, h, w, c, s->room, s->shares);
    else
        am_saliency_fine(pixel, h, w, c, s->room, s->map);
    for (int i = 1; i < h * w; i++)
        if (o->saliency == SPECTRAL ? s->shares[i] > s->shares[best] : s->map[i] > s->map[best])
            best = i;
    return best;
}

static void draw(am_mix *m, am_trainer *t, am_rng *r)
{
    const saliencymix *o = m->options;
    state *s = m->state;
    int w = t->net.input.w, h = t->net.input.h, *to = am_state_ints(t, s->box);
    double lambda = am_draw_lambda(t, r, o->alpha), side = sqrt(1 - lambda);
    am_draw_pair(t, r, 1, lambda, o->no_repeat);
    int centre = (int)am_rng_below(r, (uint32_t)(w * h));
    if (t->pixels && o->saliency <= SPECTRAL)
        centre = most_salient(o, s, t, am_state_ints(t, t->pair[1].perm)[0]);
    am_box b = am_box_around(centre % w, centre / w, (int)(w * side), (int)(h * side), w, h);
    for (int i = 0; i < t->n; i++) {
        am_state_host(t, t->pair[1].lam)[i] = (float)(1 - am_box_share(b, w, h));
        to[4 * i] = b.x1, to[4 * i + 1] = b.y1, to[4 * i + 2] = b.x2, to[4 * i + 3] = b.y2;
    }
}

static void mask(am_mix *m, am_trainer *t, am_dev to)
{
    t->be->ops->mask_box(t->be, t->n, t->net.input.h, t->net.input.w,
                         am_state_dev(t, ((state *)m->state)->box), to);
}

const am_method am_method_saliencymix = {
    .name = "saliencymix",
    .paper = "Uddin et al., ICLR 2021",
    .help = "a box around what stands out in one image is pasted into the other",
    .example = "[mix]\nmethod=saliencymix\nalpha=0.2\n",
    .keys = keys,
    .options = sizeof(saliencymix),
    .state = sizeof(state),
    .setup = setup,
    .draw = draw,
    .mask = mask,
};
