/* none.c: method=none: clean images, as they are */
#include "../mixer.h"

static const am_key keys[] = {{0}};

static am_status setup(am_mix *m, am_trainer *t, am_err *e)
{
    return am_lesson_make(&m->clean, t,
                          (am_trip){.to = t->clean_head, .flags = AM_TRAIN | AM_GRAD_WEIGHTS},
                          &t->student, AM_LOSS_CLEAN, e);
}

static void draw(am_mix *m, am_trainer *t, am_rng *r)
{
    (void)m;
    (void)t;
    (void)r;
}

static void run(am_mix *m, am_trainer *t)
{
    am_teach(t, &m->clean, am_here(&t->space, t->x), am_here(&t->space, t->q));
}

const am_method am_method_none = {
    .name = "none",
    .paper = "",
    .help = "no mixing",
    .example = "[mix]\nmethod=none\n",
    .keys = keys,
    .setup = setup,
    .draw = draw,
    .run = run,
};
