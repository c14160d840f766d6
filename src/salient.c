#include "salient.h"
#include "saliency.h"
#include <math.h>

am_status am_salient_open(am_salient *s, const am_mix *m, am_trainer *t, double lesson, am_err *e)
{
    am_trip trip = {.to = t->clean_head,
                    .n = t->n,
                    .flags = AM_GRAD_FROM | (lesson > 0 ? AM_TRAIN | AM_GRAD_WEIGHTS : 0)};
    size_t mark = am_space_mark(&t->space), n = (size_t)t->n,
           plane = (size_t)(t->net.input.h * t->net.input.w);
    s->lesson = lesson;
    AM_TRY(am_pass_make(&s->pass, &s->plan, &t->net, trip, &t->student, &t->space, e));
    am_space_release(&t->space, mark);
    s->map = am_new(&t->mem, n * plane * sizeof *s->map);
    s->x = am_new(&t->mem, n * am_count(t->net.input) * sizeof *s->x);
    s->room = am_new(&t->mem, am_saliency_room(t->net.input.h, t->net.input.w) + plane);
    return s->map && s->x && s->room ? AM_OK : am_fail(e, AM_ENOMEM, m->loc, "out of memory");
}

static void of_pixels(am_salient *s, const am_trainer *t)
{
    int h = t->net.input.h, w = t->net.input.w, c = t->net.input.c;
    unsigned char *map = (unsigned char *)s->room + am_saliency_room(h, w);
    for (int i = 0; i < t->n; i++) {
        am_saliency_fine(t->pixels + (size_t)i * am_count(t->net.input), h, w, c, s->room, map);
        for (int k = 0; k < h * w; k++) s->map[i * h * w + k] = map[k];
    }
}

void am_salient_find(am_salient *s, am_trainer *t, am_dev x)
{
    am_pass *p = &s->pass;
    size_t plane = (size_t)(t->net.input.h * t->net.input.w), c = (size_t)t->net.input.c;
    if (t->fixed_perm) {
        of_pixels(s, t);
        return;
    }
    p->given = x;
    p->q = am_here(&t->space, t->q);
    p->seed = am_state_dev(t, t->seed);
    p->scale = s->lesson > 0 ? (float)(2 * s->lesson / t->classes) * am_update_share(t)
                             : 1.0f / (float)t->n;
    am_forward(p);
    am_backward(p);
    t->be->ops->get(t->be, am_batch_of(t->net.input, t->n), am_dy(p, &t->net.layer[0]), s->x);
    for (size_t i = 0; i < (size_t)t->n * plane; i++) {
        double sum = 0;
        for (size_t k = 0; k < c; k++) {
            double g = s->x[(i / plane * c + k) * plane + i % plane];
            sum += g * g;
        }
        s->map[i] = (float)sqrt(sum / (double)c);
    }
}
