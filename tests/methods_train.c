/* methods_train.c: every method trains: fifty steps of a small net on images whose colour tells their class,
 * on the judge and on the fastest backend here.  All losses stay finite and their sum falls. */
#include "lab.h"

enum { STEPS = 50, EDGE = 10, CLASSES = 8 };

#define NET                                                                                        \
    "[net]\nbatch=16\nwidth=12\nheight=12\nchannels=3\nlearning_rate=0.05\nmomentum=0.9\nmean=0."  \
    "5,0.5,0.5\nstd=0.25,0.25,0.25\n"                                                              \
    "[convolutional]\nname=stem\nfilters=8\nsize=3\npad=1\nbatch_normalize=1\nactivation=relu\n"   \
    "[convolutional]\nname=stage1\nfilters=8\nsize=3\npad=1\nbatch_normalize=1\nactivation=relu\n" \
    "[convolutional]\nname=stage2\nfilters=12\nsize=3\nstride=2\npad=1\nbatch_normalize="          \
    "1\nactivation=relu\n"                                                                         \
    "[avgpool]\nname=pool\n[connected]\ninput=pool\noutput=8\nactivation=linear\n[softmax]\nname=" \
    "one\n"                                                                                        \
    "[connected]\ninput=pool\noutput=8\nactivation=linear\n[softmax]\nname=mix\n"
#define BLOCK "[mixblock]\ninput=stage2\nnormalise=1\nbound=4\n"
#define LOCAL "[convolutional]\nname=local\ninput=stage2\nfilters=8\nsize=1\nactivation=linear\n"
#define TEACHER "[momentum_teacher]\nmomentum=0.9\n"

/* What a method needs besides its name; the others run on the net alone. */
static const struct {
    const char *name, *layers, *keys;
} more[] = {
    {"automix", BLOCK, TEACHER},
    {"automix",
     "[mixblock]\ninput=stage2\nlambda_concat=0\nlambda_mul=1\nlambda_residual=1\nlambda_mul_k=0."
     "25\nqk_concat=1\nvalue_hidden=6\n",
     "mask_loss=l1var\n" TEACHER},
    {"automix", BLOCK, ""},
    {"mixup", "", TEACHER},
    {"gridmix", LOCAL, "grid=2\n"},
    {"comixup", "", "part=5\n"},
};

static void paint(t_lab *l, uint64_t seed)
{
    for (int i = 0; i < l->t.n; i++) {
        am_rng r = am_rng_at(seed, 1, (uint64_t)i);
        int c = l->batch.label[i] = (int)am_rng_below(&r, CLASSES);
        for (int k = 0; k < 12 * 12 * 3; k++)
            l->batch.pixel[i * 12 * 12 * 3 + k] =
                (unsigned char)((c >> k % 3 & 1 ? 150 : 30) + (int)am_rng_below(&r, 70));
    }
}

static void trains(am_backend *be, const char *name, const char *layers, const char *keys,
                   const char *save)
{
    char text[3000];
    double first = 0, last = 0;
    t_lab l;
    snprintf(text, sizeof text, NET "%s[mix]\nmethod=%s\n%s", layers, name, keys);
    t_lab_open(&l, be, text);
    for (int step = 0; step < STEPS; step++) {
        float report[AM_REPORT];
        double sum = 0;
        paint(&l, (uint64_t)step);
        t_learn(&l, report);
        for (int k = 0; k < AM_LOSSES; k++) sum += (double)report[AM_REPORT_LOSS + k];
        if (!isfinite(sum))
            fail_msg("%s: %s %s: losses of step %d are not finite", be->about, name, keys, step);
        if (step < EDGE) first += sum / EDGE;
        if (step >= STEPS - EDGE) last += sum / EDGE;
        am_step_update(&l.t);
        l.t.step++;
    }
    if (!(last < 0.9 * first))
        fail_msg("%s: %s %s: the losses went from %.3f to %.3f", be->about, name, keys, first,
                 last);
    if (save) {
        am_err e = {0};
        t_ok(am_weights_save(&l.t, save, AM_SAVE_WEIGHTS, NULL, &e), &e);
    }
    t_lab_close(&l);
}

static void train_all(am_backend *be)
{
    char path[300], attentive[400];
    t_path(path, sizeof path, "trained.weights");
    trains(be, "none", "", "", path);
    snprintf(attentive, sizeof attentive, "weights=%s\n", path);
    for (const am_method *const *m = am_methods(); *m; m++) {
        int done = !strcmp((*m)->name, "none");
        for (size_t k = 0; k < sizeof more / sizeof *more; k++)
            if (!strcmp(more[k].name, (*m)->name)) {
                trains(be, more[k].name, more[k].layers, more[k].keys, NULL);
                done |= strcmp(more[k].name, "mixup") != 0;
            }
        if (!done)
            trains(be, (*m)->name, "", strcmp((*m)->name, "attentivemix") ? "" : attentive, NULL);
    }
}

static void on_the_judge(void **state)
{
    am_backend be;
    am_err e = {0};
    am_backend_options o = {.threads = 1};
    (void)state;
    t_ok(am_backend_find(t_backend ? t_backend : "cpu")->open(&be, &o, &e), &e);
    train_all(&be);
    t_close_machine(&be);
}

static void on_the_fastest(void **state)
{
    am_backend be;
    (void)state;
    t_open_machine(&be, 1);
    train_all(&be);
    t_close_machine(&be);
}

T_SUITE(methods_train, cmocka_unit_test(on_the_judge), cmocka_unit_test(on_the_fastest));
