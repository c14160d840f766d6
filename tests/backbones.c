/* backbones.c: the bodies in cfg/body and the networks made of them in the folders below cfg/:
 * parameters and multiply-adds of methods.md 3.6 and 3.7, the start of 3.4, every cfg planned whole and
 * stepped thin. */
#include "lab.h"
#include <dirent.h>

static const char *const folders[] = {"cifar10", "cifar100", "tiny", "imagenet", "cub", "aircraft"};
enum { FOLDERS = sizeof folders / sizeof *folders, MOST = 64 };

typedef struct body {
    const char *name;
    size_t none[2]; /* parameters without heads: CIFAR stem, ImageNet stem */
    double macs[3]; /* convolutions at 32 and 64 pixels with the one, at 224 with the other */
    int channels; /* that the head reads */
} body;

static const body bodies[] = {
    {"resnet18", {11168832, 11176512}, {555417600., 2221670400., 1813561344.}, 512},
    {"resnet34", {21276992, 21284672}, {1159397376., 4637589504., 3663249408.}, 512},
    {"resnet50", {23500352, 23508032}, {1297809408., 5191237632., 4087136256.}, 2048},
    {"resnet101", {42492480, 42500160}, {2509963264., 10039853056., 7799357440.}, 2048},
    {"resnext50", {22972224, 22979904}, {1343946752., 5375787008., 4228431872.}, 2048},
};

/* A cfg file of a stem, a body, one head. */
static char *write_net(char *path, size_t size, const char *stem, const char *name, int pixels,
                       int classes, const char *more)
{
    char from[300];
    t_beside(from, sizeof from, "../cfg/body");
    char *real = realpath(from, NULL);
    if (!real) fail_msg("no folder %s: run the tests from the repository's root", from);
    FILE *f = fopen(t_path(path, size, "body.cfg"), "w");
    assert_non_null(f);
    fprintf(f, "[net]\nbatch=2\nwidth=%d\nheight=%d\n%s\n", pixels, pixels, more);
    if (stem) fprintf(f, "[include]\nfile=%s/stem_%s.layers\n", real, stem);
    fprintf(f, "[include]\nfile=%s/%s.layers\n", real, name);
    fprintf(f, "[connected]\ninput=pool\noutput=%d\nactivation=linear\n[softmax]\n", classes);
    free(real);
    assert_int_equal(fclose(f), 0);
    return path;
}

static double conv_macs(const am_net *net)
{
    double sum = 0;
    for (int i = 1; i < net->layers; i++)
        if (!strcmp(net->layer[i].type->name, "convolutional")) sum += net->layer[i].macs;
    return sum;
}

static void bodies_have_their_numbers(void **state)
{
    static const int pixels[] = {32, 64, 224}, classes[] = {10, 100, 200, 1000};
    (void)state;
    am_backend be;
    t_open_machine(&be, 1);
    for (size_t b = 0; b < sizeof bodies / sizeof *bodies; b++)
        for (int s = 0; s < 3; s++)
            for (int k = 0; k < 4; k++) {
                char path[300];
                am_arena mem = {0};
                am_err e = {0};
                am_cfg c;
                am_net net;
                const body *o = &bodies[b];
                write_net(path, sizeof path, s < 2 ? "cifar" : "imagenet", o->name, pixels[s],
                          classes[k], "");
                t_ok(am_cfg_load(&c, &mem, path, &e), &e);
                t_ok(am_net_open(&net, &be, &c, &e), &e);
                size_t want = o->none[s == 2] + (size_t)((o->channels + 1) * classes[k]);
                if (net.learned != want || am_net_parameters(&net, 1) != want)
                    fail_msg("%s at %d: %zu parameters, not %zu", o->name, pixels[s], net.learned,
                             want);
                if (conv_macs(&net) != o->macs[s])
                    fail_msg("%s at %d: %.0f multiply-adds, not %.0f", o->name, pixels[s],
                             conv_macs(&net), o->macs[s]);
                am_net_close(&net);
                am_arena_free(&mem);
            }
    t_close_machine(&be);
}

/* WRN-28-8 counted from its description: per block two 3x3 convolutions and two normalisations; a
 * bias where no normalisation follows at once. */
static void wide_resnet_has_its_numbers(void **state)
{
    (void)state;
    char path[300];
    am_backend be;
    am_arena mem = {0};
    am_err e = {0};
    am_cfg c;
    am_net net;
    size_t want = 3 * 9 * 16 + 16, in = 16;
    double macs = 32. * 32 * 3 * 9 * 16;
    for (int stage = 0; stage < 3; stage++) {
        size_t out = (size_t)128 << stage, side = (size_t)32 >> stage;
        for (int block = 0; block < 4; block++) {
            size_t project = block ? 0 : in * out;
            want +=
                2 * in + 9 * in * out + 2 * out + 9 * out * out + out + project + (block ? 0 : out);
            macs += (double)(side * side) * (double)(9 * in * out + 9 * out * out + project);
            in = out;
        }
    }
    want += 2 * in + (in + 1) * 100;
    t_open_machine(&be, 1);
    write_net(path, sizeof path, NULL, "wrn28_8", 32, 100, "");
    t_ok(am_cfg_load(&c, &mem, path, &e), &e);
    t_ok(am_net_open(&net, &be, &c, &e), &e);
    assert_int_equal(net.learned, want);
    assert_true(conv_macs(&net) == macs);
    am_net_close(&net);
    am_arena_free(&mem);
    t_close_machine(&be);
}

static int ends(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n >= k && !strcmp(s + n - k, end);
}

static int name_order(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int cfgs_in(am_arena *mem, const char *folder, const char **path)
{
    char below[100], at[300];
    int n = 0;
    snprintf(below, sizeof below, "../cfg/%s", folder);
    DIR *d = opendir(t_beside(at, sizeof at, below));
    if (!d) fail_msg("no folder %s: run the tests from the repository's root", at);
    for (struct dirent *f = readdir(d); f; f = readdir(d))
        if (ends(f->d_name, ".cfg")) {
            assert_true(n < MOST);
            path[n++] = am_print(mem, "%s/%s", at, f->d_name);
        }
    closedir(d);
    qsort(path, (size_t)n, sizeof *path, name_order);
    return n;
}

/* The variance of what a layer's parameter starts with, and its greatest number. */
static double variance_of(t_lab *l, const am_param *p, double *greatest)
{
    double sum = 0;
    float *w = t_get(l->be, am_at(l->t.student.value, p->offset), p->count);
    *greatest = 0;
    for (size_t i = 0; i < p->count; i++) {
        sum += (double)w[i] * w[i];
        if (fabs(w[i]) > *greatest) *greatest = fabs(w[i]);
    }
    free(w);
    return sum / (double)p->count;
}

/* methods.md 3.4, on a net with groups and bottlenecks. */
static void check_start(am_backend *be, const char *scheme, int pytorch)
{
    char path[300];
    t_lab l;
    int zeros = 0;
    write_net(path, sizeof path, "cifar", "resnext50", 32, 100, scheme);
    t_lab_load(&l, be, path, 2);
    for (int i = 1; i < l.t.net.layers; i++) {
        const am_layer *y = &l.t.net.layer[i];
        for (int k = 0; k < y->params; k++) {
            const am_param *p = &y->param[k];
            int dense = !strcmp(y->type->name, "connected");
            double most, fan_in = 1, got, want = 0, limit = 1e9;
            if (p->role != AM_LEARNED) continue;
            for (int j = 1; j < p->dims; j++) fan_in *= (double)p->dim[j];
            got = variance_of(&l, p, &most);
            if (!strcmp(p->name, "weights")) {
                double fan_out =
                    (double)p->dim[0] * (p->dims > 2 ? (double)(p->dim[2] * p->dim[3]) : 1);
                want = pytorch ? 1 / (3 * fan_in) : dense ? 1e-4 : 2 / fan_out;
                if (pytorch) limit = 1 / sqrt(fan_in);
            } else if (!strcmp(p->name, "biases")) {
                want = dense && pytorch ? 1 / (3. * 2048) : 0;
                if (dense && pytorch) limit = 1 / sqrt(2048);
            } else if (!strcmp(p->name, "scales")) {
                int last = !pytorch && i + 1 < l.t.net.layers && y->out.c > 4 * 31 && got == 0;
                zeros += last;
                want = last ? 0 : 1;
            }
            double slack =
                6 * sqrt(2 / (double)p->count); /* of a variance, in its standard deviations */
            if (fabs(got - want) > slack * want || most > limit * 1.0001)
                fail_msg("%s, layer %d, %s: variance %g, not %g; greatest %g", scheme, i, p->name,
                         got, want, most);
        }
    }
    assert_int_equal(zeros, pytorch ? 0 : 16); /* one for each residual branch */
    /* and it is the branch, not the projection */
    for (int i = 1; !pytorch && i < l.t.net.layers; i++) {
        const am_layer *s = &l.t.net.layer[i];
        if (strcmp(s->type->name, "shortcut")) continue;
        int projects = s->in[1] == i - 2;
        const am_layer *end = &l.t.net.layer[projects ? i - 2 : i - 1];
        double most;
        assert_true(variance_of(&l, &end->param[2], &most) == 0);
        if (projects) assert_true(variance_of(&l, &l.t.net.layer[i - 1].param[2], &most) == 1);
    }
    t_lab_close(&l);
}

static void starts_are_as_published(void **state)
{
    (void)state;
    am_backend be;
    t_open_machine(&be, 2);
    check_start(&be, "init=fan_out", 0);
    check_start(&be, "init=pytorch", 1);
    t_close_machine(&be);
}

/* Every cfg as it is: read, and every address of its step decided. */
static void every_cfg_is_planned_whole(void **state)
{
    (void)state;
    am_backend be;
    int all = 0;
    t_open_machine(&be, 2);
    for (int i = 0; i < FOLDERS; i++) {
        const char *path[MOST];
        am_arena names = {0};
        int n = cfgs_in(&names, folders[i], path);
        for (int k = 0; k < n; k++, all++) {
            am_trainer_options o = {.learn = 1, .seed = -1};
            am_arena mem = {0};
            am_err e = {0};
            am_cfg c;
            am_trainer t;
            t_ok(am_cfg_load(&c, &mem, path[k], &e), &e);
            t_ok(am_trainer_open(&t, &be, &c, &o, &e), &e);
            assert_true(t.net.options.epochs >= 200);
            am_trainer_close(&t);
            am_arena_free(&mem);
        }
        am_arena_free(&names);
    }
    assert_true(all >= 140);
    t_close_machine(&be);
}

/* The cfg's text with a quarter of its channels, two images a step, and small ones. */
static char *thin(am_arena *mem, const char *text)
{
    char *out = am_new(mem, strlen(text) + 1), *to = out;
    assert_non_null(out);
    for (const char *line = text; *line;) {
        size_t n = strcspn(line, "\n");
        int value;
        char key[16];
        if (sscanf(line, "%15[a-z]=%d", key, &value) == 2 && !strcmp(key, "filters"))
            to += sprintf(to, "filters=%d", value / 4);
        else if (!strncmp(line, "batch=", 6))
            to += sprintf(to, "batch=2");
        else if (!strncmp(line, "subdivisions=", 13))
            to += sprintf(to, "#");
        else if (!strncmp(line, "width=224", 9))
            to += sprintf(to, "width=64");
        else if (!strncmp(line, "height=224", 10))
            to += sprintf(to, "height=64");
        else {
            memcpy(to, line, n);
            to += n;
        }
        line += n;
        if (*line) *to++ = *line++;
    }
    *to = 0;
    return out;
}

static void every_cfg_steps_thin(void **state)
{
    (void)state;
    am_backend be;
    t_open_machine(&be, 2);
    for (int i = 0; i < FOLDERS; i++) {
        const char *path[MOST];
        am_arena names = {0};
        int n = cfgs_in(&names, folders[i], path);
        for (int k = 0; k < n; k++) {
            am_err e = {0};
            am_cfg c;
            t_lab l;
            float report[AM_REPORT];
            t_ok(am_cfg_load(&c, &names, path[k], &e), &e);
            t_lab_open(&l, &be, thin(&names, c.text));
            t_learn(&l, report);
            am_step_update(&l.t);
            double loss = fmax(report[AM_LOSS_CLEAN], report[AM_LOSS_MIXED]),
                   blind = log(l.t.classes);
            if (!(fabs(loss - blind) < 1))
                fail_msg("%s: the first loss is %g, and ln %d is %g", path[k], loss, l.t.classes,
                         blind);
            t_lab_close(&l);
        }
        am_arena_free(&names);
    }
    t_close_machine(&be);
}

/* The weights of an ImageNet training of the net are where every cfg of cub and aircraft can start:
 * nothing but its heads and its MixBlock is fresh. */
static void fine_grained_nets_start_from_imagenet(void **state)
{
    static const char *const nets[] = {"resnet18", "resnext50"};
    static const char *const sets[] = {"cub", "aircraft"};
    (void)state;
    am_backend be;
    t_open_machine(&be, 2);
    for (int k = 0; k < 4; k++) {
        const char *path[MOST], *net = nets[k / 2];
        char name[100], from[300], weights[300];
        am_arena mem = {0};
        am_err e = {0};
        am_cfg c;
        t_lab l;
        int seen = 0;
        snprintf(name, sizeof name, "../cfg/imagenet/%s_none.cfg", net);
        t_ok(am_cfg_load(&c, &mem, t_beside(from, sizeof from, name), &e), &e);
        t_lab_open(&l, &be, thin(&mem, c.text));
        t_path(weights, sizeof weights, "imagenet.weights");
        t_ok(am_weights_save(&l.t, weights, AM_SAVE_WEIGHTS, NULL, &e), &e);
        t_lab_close(&l);
        for (int i = 0, n = cfgs_in(&mem, sets[k % 2], path); i < n; i++) {
            if (!strstr(path[i], net)) continue;
            t_ok(am_cfg_load(&c, &mem, path[i], &e), &e);
            t_lab_open(&l, &be, thin(&mem, c.text));
            t_ok(am_weights_begin(&l.t, weights, &e), &e);
            assert_int_equal(am_fresh_layers(&l.t.net), strstr(path[i], "automix") ? 3 : 1);
            t_lab_close(&l);
            seen++;
        }
        assert_int_equal(seen, 9);
        am_arena_free(&mem);
    }
    t_close_machine(&be);
}

T_SUITE(backbones, cmocka_unit_test(bodies_have_their_numbers),
        cmocka_unit_test(wide_resnet_has_its_numbers), cmocka_unit_test(starts_are_as_published),
        cmocka_unit_test(every_cfg_is_planned_whole), cmocka_unit_test(every_cfg_steps_thin),
        cmocka_unit_test(fine_grained_nets_start_from_imagenet));
