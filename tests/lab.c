/* lab.c: the bench of lab.h. */
#include "lab.h"

static const struct {
    const char *name, *isa;
} machines[] = {
    {"cuda", NULL}, {"simd", "avx512"}, {"simd", "avx2"}, {"simd", "generic"}, {"cpu", NULL},
};

static int open_machine(am_backend *be, size_t i, int threads)
{
    const am_backend_type *type = am_backend_find(machines[i].name);
    am_backend_options o = {.threads = threads, .isa = machines[i].isa};
    am_err e = {0};
    *be = (am_backend){0};
    if (!type || (t_backend && strcmp(t_backend, type->name))) return 0;
    am_status s = type->open(be, &o, &e);
    if (s == AM_EDEVICE || s == AM_EINPUT || s == AM_EUSAGE) return 0; /* not on this machine */
    t_ok(s, &e);
    return 1;
}

void t_each_machine(int threads, void (*run)(am_backend *))
{
    int ran = 0;
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++) {
        am_backend be;
        if (!open_machine(&be, i, threads)) continue;
        run(&be);
        if (be.bytes) fail_msg("%s: %zu bytes are left", be.about, be.bytes);
        t_close_machine(&be);
        ran++;
    }
    assert_true(ran > 0);
}

void t_open_machine(am_backend *be, int threads)
{
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++)
        if (open_machine(be, i, threads)) return;
    fail_msg("no backend opens");
}

void t_close_machine(am_backend *be)
{
    am_close_backend(be);
}

void t_batch(t_lab *l, uint64_t seed)
{
    am_rng r = am_rng_at(seed, 0, 0);
    size_t pixels = am_count(am_batch_of(l->t.net.input, l->t.n));
    for (size_t i = 0; i < pixels; i++) l->batch.pixel[i] = (unsigned char)am_rng_below(&r, 256);
    for (int i = 0; i < l->t.n; i++) l->batch.label[i] = (int)((uint64_t)i + seed) % l->t.classes;
}

static void start(t_lab *l, int batch)
{
    am_err e = {0};
    am_trainer_options o = {.learn = 1, .batch = batch, .seed = -1};
    t_ok(am_trainer_open(&l->t, l->be, &l->cfg, &o, &e), &e);
    t_ok(am_trainer_start(&l->t, 1, &e), &e);
    l->t.steps = 100;
    l->t.steps_per_epoch = 10;
    l->batch.n = l->t.n;
    l->batch.pixel = am_new(&l->mem, am_count(am_batch_of(l->t.net.input, l->t.n)));
    l->batch.label = am_new(&l->mem, (size_t)l->t.n * sizeof(int));
    l->batch.index = am_new(&l->mem, (size_t)l->t.n * sizeof(int));
    t_batch(l, 0);
}

void t_lab_open(t_lab *l, am_backend *be, const char *cfg)
{
    am_err e = {0};
    *l = (t_lab){.be = be};
    t_ok(am_cfg_parse(&l->cfg, &l->mem, "lab.cfg", cfg, strlen(cfg), &e), &e);
    start(l, 0);
}

void t_lab_load(t_lab *l, am_backend *be, const char *path, int batch)
{
    am_err e = {0};
    *l = (t_lab){.be = be};
    t_ok(am_cfg_load(&l->cfg, &l->mem, path, &e), &e);
    start(l, batch);
}

void t_update(t_lab *l)
{
    float report[AM_REPORT];
    t_learn(l, report);
    am_step_update(&l->t);
    l->t.step++;
}

void t_lab_close(t_lab *l)
{
    am_trainer_close(&l->t);
    am_arena_free(&l->mem);
}

void t_learn(t_lab *l, float report[AM_REPORT])
{
    am_err e = {0};
    am_trainer *t = &l->t;
    am_step_begin(t);
    am_report_clear(t);
    am_step_schedule(t);
    for (int part = 0; part < t->net.options.subdivisions; part++)
        am_step_part(t, am_step_mix(t), &l->batch);
    t_ok(am_step_report(t, report, &e), &e);
}

float *t_get(am_backend *be, am_dev d, size_t n)
{
    am_err e = {0};
    float *x = malloc((n + 1) * sizeof *x);
    assert_non_null(x);
    if (n) be->ops->download(be, n, d, x);
    t_ok(be->ops->sync(be, &e), &e);
    return x;
}

void t_set(am_backend *be, am_dev d, size_t n, const float *x)
{
    be->ops->upload(be, n, x, d);
}

void t_scatter(am_backend *be, am_dev d, size_t n, double lo, double hi, uint64_t seed)
{
    am_rng r = am_rng_at(seed, 1, 0);
    float *x = malloc((n + 1) * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++) x[i] = (float)am_rng_between(&r, lo, hi);
    t_set(be, d, n, x);
    free(x);
}

t_span t_learned(const am_net *net, int layer)
{
    t_span s = {0};
    const am_layer *l = &net->layer[layer];
    for (int k = 0; k < l->params; k++)
        if (l->param[k].role == AM_LEARNED) {
            if (!s.count) s.at = l->param[k].offset;
            s.count += l->param[k].count;
        }
    return s;
}

double t_off(const float *a, const float *b, size_t n)
{
    double off = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        off += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        size += (double)b[i] * b[i];
    }
    return sqrt(size > 0 ? off / size : off);
}

char *t_beside(char *out, size_t size, const char *name)
{
    const char *slash = strrchr(__FILE__, '/');
    snprintf(out, size, "%.*s%s", slash ? (int)(slash - __FILE__) + 1 : 0, __FILE__, name);
    return out;
}

const char *t_small_automix(char *out, size_t size, const char *net, const char *mix, int teacher)
{
    static const char body[] =
        "[convolutional]\nbatch_normalize=1\nfilters=6\nsize=3\npad=1\nactivation=elu\n"
        "[convolutional]\nbatch_normalize=1\nfilters=6\nsize=3\npad=1\nactivation=linear\n"
        "[shortcut]\nfrom=-2\nactivation=elu\n"
        "[convolutional]\nname=narrow\nbatch_normalize=1\nfilters=4\nsize=3\nstride=2\npad="
        "1\nactivation=elu\n"
        "[convolutional]\nfilters=4\nsize=1\nactivation=tanh\n"
        "[route]\nname=feature\nlayers=-1,narrow\n"
        "[convolutional]\nbatch_normalize=1\nfilters=8\nsize=3\nstride=2\npad=1\nactivation=elu\n"
        "[avgpool]\nname=pool\n"
        "[connected]\ninput=pool\noutput=3\nactivation=linear\n[softmax]\nname=one\n"
        "[connected]\ninput=pool\noutput=3\nactivation=linear\n[softmax]\nname=mix\n"
        "[mixblock]\nname=block\ninput=feature\n";
    snprintf(out, size,
             "[net]\nwidth=8\nheight=8\nlearning_rate=0.1\n%s\n%s[mix]\nmethod=automix\n%s\n%s",
             net, body, mix, teacher ? "[momentum_teacher]\nmomentum=0.9\n" : "");
    return out;
}

void t_lab_stir(t_lab *l, am_backend *be, const char *net, const char *mix, int teacher)
{
    char text[3000], all[1000];
    snprintf(all, sizeof all,
             "mask_margin=0.01\nmask_weight=2\nmask_schedule=constant\nlambda_margin=0\n%s", mix);
    t_lab_open(l, be, t_small_automix(text, sizeof text, net, all, teacher));
    am_trainer *t = &l->t;
    int block = am_net_first(&t->net, "mixblock", 0);
    t_span s = t_learned(&t->net, block);
    t_scatter(be, am_at(t->student.value, s.at), s.count, -1, 1, 21);
    for (int head = 0; head < 2; head++) {
        t_span h = t_learned(&t->net, am_net_first(&t->net, "connected", head));
        t_scatter(be, am_at(t->student.value, h.at), h.count, -1, 1, 22 + (uint64_t)head);
    }
    for (int i = 1; i < t->net.layers; i++) /* a branch whose last scale is 0 would be deaf */
        for (int k = 0; k < t->net.layer[i].params; k++)
            if (!strcmp(t->net.layer[i].param[k].name, "scales"))
                t_scatter(be, am_at(t->student.value, t->net.layer[i].param[k].offset),
                          t->net.layer[i].param[k].count, 0.7, 1.3, 30 + (uint64_t)i);
    if (teacher) {
        am_weights_copy(&t->net, &t->student, &t->teacher);
        for (int i = 1; i < t->net.layers; i++) { /* a teacher unlike the student */
            t_span p = t_learned(&t->net, i);
            float *w = t_get(be, am_at(t->teacher.value, p.at), p.count);
            am_rng r = am_rng_at(40, (uint64_t)i, 0);
            for (size_t k = 0; k < p.count; k++) w[k] *= (float)am_rng_between(&r, 0.7, 1.3);
            t_set(be, am_at(t->teacher.value, p.at), p.count, w);
            free(w);
        }
        am_weights_prepare(&t->net, &t->teacher);
    }
    am_weights_prepare(&t->net, &t->student);
    t->step = 3;
}

void t_clear_gradients(t_lab *l)
{
    l->be->ops->fill(l->be, l->t.net.learned, 0, l->t.student.grad);
}

int t_all_zero(const float *g, t_span s)
{
    for (size_t i = s.at; i < s.at + s.count; i++)
        if (g[i] != 0) return 0;
    return 1;
}
