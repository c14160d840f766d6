/* rest.c: inference folds normalisation, shortcut and activation into the convolution; the same
 * net spelled out, one layer for each of them and nothing fused, is the judge. */
#include "lab.h"

enum { BATCH = 6, CLASSES = 5 };

#define NET "[net]\nbatch=6\nwidth=16\nheight=16\nchannels=3\nmean=0,0,0\n"
#define CONV(more) "[convolutional]\nsize=3\npad=1\nfilters=" more
#define NORMAL "batch_normalize=1\n"
#define HEAD "[avgpool]\n[connected]\noutput=5\nactivation=linear\n[softmax]\n"

/* A block with a projection, one without; one that activates first and has a convolution without
 * normalisation; a wide one. */
static const char folded[] = NET CONV("16\nname=a\nactivation=relu\n" NORMAL)
    CONV("16\nactivation=leaky\n" NORMAL) CONV("16\nactivation=linear\n" NORMAL)
    "[shortcut]\nname=b\nfrom=a\nactivation=relu\n"
    CONV("24\nstride=2\nactivation=relu\n" NORMAL) CONV("24\nname=c\nactivation=linear\n" NORMAL)
    "[convolutional]\ninput=b\nfilters=24\nstride=2\nactivation=linear\n" NORMAL
    "[shortcut]\nname=d\nfrom=c\nactivation=relu\n"
    "[batchnorm]\n[activation]\nactivation=leaky\n" CONV("24\nactivation=linear\n")
    "[shortcut]\nname=e\nfrom=d\nactivation=linear\n"
    CONV("24\ngroups=3\nactivation=elu\n" NORMAL) "[maxpool]\nsize=2\nstride=2\n" HEAD;

#define APART(act) "[batchnorm]\n[activation]\nactivation=" act "\n"
static const char spelled[] = NET CONV("16\nactivation=linear\n")
    "[batchnorm]\n[activation]\nname=a\nactivation=relu\n"
    CONV("16\nactivation=linear\n") APART("leaky") CONV("16\nactivation=linear\n") APART("linear")
    "[shortcut]\nname=b\nfrom=a\nactivation=relu\n"
    CONV("24\nstride=2\nactivation=linear\n") APART("relu") CONV("24\nactivation=linear\n")
    "[batchnorm]\n[activation]\nname=c\nactivation=linear\n"
    "[convolutional]\ninput=b\nfilters=24\nstride=2\nactivation=linear\n" APART("linear")
    "[shortcut]\nname=d\nfrom=c\nactivation=relu\n"
    "[batchnorm]\n[activation]\nactivation=leaky\n" CONV("24\nactivation=linear\n")
    "[shortcut]\nname=e\nfrom=d\nactivation=linear\n"
    CONV("24\ngroups=3\nactivation=linear\n") APART("elu") "[maxpool]\nsize=2\nstride=2\n" HEAD;

typedef struct still {
    am_arena mem;
    am_cfg cfg;
    am_trainer t;
    am_examiner x;
} still;

static void still_open(still *s, am_backend *be, const char *text)
{
    am_err e = {0};
    am_trainer_options o = {.seed = 1};
    *s = (still){0};
    t_ok(am_cfg_parse(&s->cfg, &s->mem, "rest.cfg", text, strlen(text), &e), &e);
    t_ok(am_trainer_open(&s->t, be, &s->cfg, &o, &e), &e);
    t_ok(am_examiner_layout(&s->x, &s->t, BATCH, 1, &e), &e);
    t_ok(am_trainer_start(&s->t, 0, &e), &e);
    t_ok(am_examiner_open(&s->x, &e), &e);
    be->ops->fill(be, s->t.space.high, NAN, s->t.space.block);
}

static void still_close(still *s)
{
    am_examiner_close(&s->x);
    am_trainer_close(&s->t);
    am_arena_free(&s->mem);
}

static am_dev place(const am_weights *w, const am_param *p)
{
    return am_at(p->role == AM_LEARNED ? w->value : w->buffer, p->offset);
}

/* Parameters that training would have left: nothing at its start. */
static void stir(still *s)
{
    for (int i = 1; i < s->t.net.layers; i++)
        for (int k = 0; k < s->t.net.layer[i].params; k++) {
            const am_param *p = &s->t.net.layer[i].param[k];
            int spread = !strcmp(p->name, "scales") || !strcmp(p->name, "rolling_variance");
            if (p->dims > 1) continue;
            t_scatter(s->t.be, place(&s->t.student, p), p->count, spread ? 0.5 : -0.5,
                      spread ? 1.5 : 0.5, (uint64_t)(16 * i + k));
        }
    am_weights_prepare(&s->t.net, &s->t.student);
}

static void take(const still *from, const am_param *p, still *to, int layer)
{
    const am_layer *l = &to->t.net.layer[layer];
    for (int k = 0; k < l->params; k++)
        if (!strcmp(l->param[k].name, p->name)) {
            assert_int_equal(l->param[k].count, p->count);
            from->t.be->ops->copy(from->t.be, p->count, place(&from->t.student, p),
                                  place(&to->t.student, &l->param[k]));
            return;
        }
    fail_msg("layer %d [%s] has no %s", layer, l->type->name, p->name);
}

/* The numbers of the folded net into the spelled one, whose normalised convolutions are three
 * layers each. */
static void spell(const still *from, still *to)
{
    int at = 1;
    for (int i = 1; i < from->t.net.layers; i++, at++) {
        const am_layer *l = &from->t.net.layer[i];
        int apart = l->params == 5;
        assert_string_equal(l->type->name, to->t.net.layer[at].type->name);
        for (int k = 0; k < l->params; k++) take(from, &l->param[k], to, at + (apart && k > 0));
        if (apart) {
            const am_param *bias = &to->t.net.layer[at].param[1];
            from->t.be->ops->fill(from->t.be, bias->count, 0, place(&to->t.student, bias));
            at += 2;
        }
    }
    assert_int_equal(at, to->t.net.layers);
    am_weights_prepare(&to->t.net, &to->t.student);
}

static void logits(still *s, float *out)
{
    am_err e = {0};
    am_shape shape = am_batch_of(s->t.net.input, BATCH);
    am_rng r = am_rng_at(3, 0, 0);
    float *x = malloc(am_count(shape) * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < am_count(shape); i++) x[i] = (float)am_rng_between(&r, -2, 2);
    am_dev given = am_here(&s->t.space, s->x.x);
    s->t.be->ops->put(s->t.be, shape, x, given);
    free(x);
    t_ok(am_examine_logits(&s->x, AM_STUDENT, AM_HEAD_ONE, given, out, &e), &e);
}

static int fused(const still *s)
{
    int n = 0;
    for (int i = 1; i < s->t.net.layers; i++) n += s->x.plan[0].fused[i] < 0;
    return n;
}

static void roads(am_backend *be)
{
    float right[BATCH * CLASSES], got[BATCH * CLASSES];
    int fuses = be->fuses;
    still a, b;
    still_open(&a, be, folded);
    stir(&a);
    logits(&a, got);
    assert_int_equal(fused(&a), fuses ? 4 : 0); /* three shortcuts, one activation */
    be->fuses = 0;
    still_open(&b, be, spelled);
    be->fuses = fuses;
    assert_int_equal(fused(&b), 0);
    spell(&a, &b);
    logits(&b, right);
    double off = t_off(got, right, BATCH * CLASSES);
    if (!(off < 1e-5)) fail_msg("%s: folded and spelled out differ by %g", be->about, off);
    still_close(&b);
    still_close(&a);
}

static void folded_and_spelled_out_agree(void **state)
{
    (void)state;
    t_each_machine(2, roads);
}

T_SUITE(rest, cmocka_unit_test(folded_and_spelled_out_agree));
