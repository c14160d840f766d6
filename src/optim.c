/* optim.c: schedules, and one update of the weights.
 *
 * SGD as PyTorch's (methods.md 1.9): g += decay w; v = momentum v + g; w -= rate v; then the
 * teacher follows the student's new value.  Parameters that learn alike lie in stretches, each one
 * flat operation. */
#include "train.h"
#include <math.h>

static const double pi = 3.14159265358979323846;

static double cosine(double from, double to, double share)
{
    return to + 0.5 * (from - to) * (1 + cos(pi * share));
}

/* Darknet's policies count updates from 1: the rate of the first is that of t = 1. */
static double by_policy(const am_net_options *o, long t, long steps, long per_epoch, uint64_t seed)
{
    double lr = o->learning_rate, n = (double)(t + 1);
    switch (o->policy) {
    case 1: return lr * pow(o->scale, floor(n / o->step));
    case 2:
        for (int i = 0; i < o->steps.count; i++)
            if (n >= o->steps.at[i]) lr *= o->scales.at[i];
        return lr;
    case 3: return lr * pow(o->gamma, n);
    case 4: return lr * pow(fmax(0, 1 - n / (double)steps), o->power);
    case 5: return lr / (1 + exp(o->gamma * (n - o->step)));
    case 6: {
        am_rng r = am_rng_at(seed, 0x72617465, (uint64_t)t);
        return lr * pow(am_rng_real(&r), o->power);
    }
    case 7: {
        long epochs = (steps + per_epoch - 1) / per_epoch;
        return cosine(lr, o->min_learning_rate,
                      (double)(t / per_epoch) / (double)(epochs > 0 ? epochs : 1));
    }
    default: return lr;
    }
}

double am_rate_at(const am_net_options *o, long t, long steps, long per_epoch, uint64_t seed)
{
    if (t + 1 < o->burn_in) return o->learning_rate * pow((double)(t + 1) / o->burn_in, o->power);
    return by_policy(o, t, steps, per_epoch, seed);
}

/* methods.md 1.8: held for the first share of the run, then along a cosine whose phase counts from 0. */
double am_follow_at(const am_teacher_options *o, long t, long steps)
{
    double share = (double)t / (double)(steps > 0 ? steps : 1);
    return share < o->hold ? o->momentum : cosine(o->momentum, o->end_momentum, share);
}

double am_mask_weight_at(double weight, int schedule, long t, long steps)
{
    double share = (double)t / (double)(steps > 0 ? steps : 1);
    return schedule == 0 ? weight * (1 - share) : schedule == 2 ? cosine(weight, 0, share) : weight;
}

static double mask_rate(const am_trainer *t, double net_rate)
{
    double rate = net_rate;
    if (t->schedule.own_rate) {
        long epochs = t->steps / (t->steps_per_epoch > 0 ? t->steps_per_epoch : 1),
             epoch = t->step / (t->steps_per_epoch > 0 ? t->steps_per_epoch : 1);
        rate = cosine(t->schedule.rate, t->schedule.min_rate,
                      (double)epoch / (double)(epochs > 0 ? epochs : 1));
    }
    long since = t->step - (long)(t->schedule.start * (double)t->steps);
    if (since < 0) return 0;
    if (since < t->schedule.warmup) rate *= (double)(since + 1) / t->schedule.warmup;
    return rate;
}

void am_step_schedule(am_trainer *t)
{
    const am_net_options *o = &t->net.options;
    double rate = am_rate_at(o, t->step, t->steps, t->steps_per_epoch > 0 ? t->steps_per_epoch : 1,
                             t->seed_value);
    double follow = t->has_teacher ? am_follow_at(&t->follow, t->step, t->steps) : 0;
    for (int i = 0; i < t->stretches; i++) {
        const am_stretch *s = &t->stretch[i];
        float *h = am_state_host(t, s->hyper);
        h[AM_HYPER_RATE] = (float)(s->rate * (s->mixblock ? mask_rate(t, rate) : rate));
        h[AM_HYPER_MOMENTUM] =
            (float)(s->mixblock && t->schedule.momentum >= 0 ? t->schedule.momentum : o->momentum);
        h[AM_HYPER_DECAY] = (float)(s->decays ? o->decay : 0);
        h[AM_HYPER_NESTEROV] = (float)o->nesterov;
        h[AM_HYPER_FOLLOW] = (float)follow;
    }
    *am_state_host(t, t->mask_weight) =
        (float)(am_mask_weight_at(t->schedule.weight, t->schedule.schedule, t->step, t->steps) /
                o->subdivisions);
    *am_state_host(t, t->mask_limit) = (float)t->schedule.clip;
}

static void update(am_trainer *t)
{
    const am_ops *op = t->be->ops;
    am_dev guard = am_at(t->report, AM_REPORT_GUARD);
    op->unscale(t->be, t->net.learned, t->student.grad);
    op->guard(t->be, AM_LOSSES, am_at(t->report, AM_REPORT_LOSS), guard);
    for (int i = 0; i < t->stretches; i++) {
        const am_stretch *s = &t->stretch[i];
        am_dev g = am_at(t->student.grad, s->at);
        am_dev teacher =
            t->has_teacher && !s->mixblock ? am_at(t->teacher.value, s->at) : AM_NOWHERE;
        if (s->mixblock && t->schedule.clip > 0)
            op->clip(t->be, s->count, am_state_dev(t, t->mask_limit), t->clip_scratch, g);
        op->sgd(t->be, s->count, am_at(t->student.value, s->at), g,
                am_at(t->student.velocity, s->at), teacher, am_state_dev(t, s->hyper), guard);
    }
    am_weights_prepare(&t->net, &t->student);
    if (t->has_teacher) am_weights_prepare(&t->net, &t->teacher);
}

void am_step_update(am_trainer *t)
{
    static const char stretch[] = "update";
    do {
        t->be->ops->begin(t->be, stretch);
        update(t);
    } while (t->be->ops->end(t->be));
}
