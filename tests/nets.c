/* nets.c: the cfgs that come with automix: each parses, plans and steps; the paper's network has
 * the paper's numbers of parameters and multiply-adds; memory is what `automix net` says. */
#include "lab.h"
#include <dirent.h>

static int name_order(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Paths of the cfgs whose names begin with `prefix`. */
static int cfgs(am_arena *mem, const char *prefix, const char **path)
{
    char folder[300];
    int n = 0;
    DIR *d = opendir(t_beside(folder, sizeof folder, "../cfg"));
    if (!d) fail_msg("no folder %s: run the tests from the repository's root", folder);
    for (struct dirent *f = readdir(d); f; f = readdir(d)) {
        size_t k = strlen(f->d_name);
        if (k < 4 || strcmp(f->d_name + k - 4, ".cfg") ||
            strncmp(f->d_name, prefix, strlen(prefix)))
            continue;
        assert_true(n < 100);
        path[n++] = am_print(mem, "%s/%s", folder, f->d_name);
    }
    closedir(d);
    qsort(path, (size_t)n, sizeof *path, name_order);
    return n;
}

/* NAME_attentivemix.cfg looks through weights that a training of NAME_none.cfg leaves: here, those
 * that it begins with. */
static void load_attentive(t_lab *l, am_backend *be, const char *path, int batch)
{
    char other[300], weights[300], text[65536];
    am_arena mem = {0};
    am_err e = {0};
    am_cfg c;
    snprintf(other, sizeof other, "%.*snone.cfg", (int)(strstr(path, "attentivemix") - path), path);
    t_lab_load(l, be, other, batch);
    t_path(weights, sizeof weights, "none.weights");
    t_ok(am_weights_save(&l->t, weights, AM_SAVE_WEIGHTS, NULL, &e), &e);
    t_lab_close(l);
    t_ok(am_cfg_load(&c, &mem, path, &e), &e);
    const char *at = strstr(c.text, "\nbatch="), *line = strstr(c.text, "\nweights=");
    assert_true(at && line && at < line);
    snprintf(text, sizeof text, "%.*s\nbatch=%d%.*s\nweights=%s%s", (int)(at - c.text), c.text,
             batch, (int)(line - at - 1 - (long)strcspn(at + 1, "\n")),
             at + 1 + strcspn(at + 1, "\n"), weights, line + 1 + strcspn(line + 1, "\n"));
    t_lab_open(l, be, text);
    am_arena_free(&mem);
}

static void step_all(am_backend *be, const char *prefix, int least, int updates)
{
    am_arena mem = {0};
    const char *path[100];
    int n = cfgs(&mem, prefix, path);
    assert_true(n >= least);
    for (int i = 0; i < n; i++) {
        t_lab l;
        float report[AM_REPORT];
        if (strstr(path[i], "attentivemix"))
            load_attentive(&l, be, path[i], 2);
        else
            t_lab_load(&l, be, path[i], 2);
        for (int step = 0; step < updates; step++) {
            t_learn(&l, report);
            am_step_update(&l.t);
            l.t.step++;
            for (int k = 0; k < AM_LOSSES; k++)
                if (!isfinite(report[k]) || report[k] < 0)
                    fail_msg("%s: loss %d of update %d is %g", path[i], k, step, (double)report[k]);
            double loss = fmax(report[AM_LOSS_CLEAN],
                               report[AM_LOSS_MIXED]); /* a net that knows nothing guesses */
            if (strstr(path[i], "patchup") && loss > 1.5 * log(l.t.classes))
                loss /= 2; /* its loss counts twice inside the net */
            if (strstr(path[i], "gridmix.cfg"))
                continue; /* the places' layer begins with great numbers; tests/methods_cells.c */
            if (step == 0 && fabs(loss - log(l.t.classes)) > 1)
                fail_msg("%s: the first loss is %g, and ln %d is %g", path[i], loss, l.t.classes,
                         log(l.t.classes));
        }
        t_lab_close(&l);
    }
    am_arena_free(&mem);
}

static void small(am_backend *be)
{
    step_all(be, "small_automix", 1, 2);
}

static void small_automix_steps_everywhere(void **state)
{
    (void)state;
    t_each_machine(2, small);
}

static void every_cfg_steps(void **state)
{
    (void)state;
    am_backend be;
    t_open_machine(&be, 2);
#ifdef __SANITIZE_ADDRESS__ /* ResNet-18 many times over takes too long */
    step_all(&be, "small_", 18, 1);
#else
    step_all(&be, "", 39, 1);
#endif
    t_close_machine(&be);
}

/* methods.md 3.6, 3.7 and 1.1: ResNet-18 with the CIFAR stem, 100 classes. */
static void resnet18_has_the_papers_numbers(void **state)
{
    static const struct {
        const char *name;
        size_t without, with;
        double mask_macs;
    } row[] = {
        {"resnet18_none.cfg", 11220132, 11220132, 0},
        {"resnet18_mixup.cfg", 11220132, 11220132, 0},
        {"resnet18_cutmix.cfg", 11220132, 11220132, 0},
        {"resnet18_automix.cfg", 11220132 + 51300, 11220132 + 51300 + 33282,
         2. * 64 * 257 * 128 + 64. * 64 * 128 + 64 * 64 + 64 * 257},
        {"resnet18_automix_official.cfg", 11220132 + 51300, 11220132 + 51300 + 33153,
         2. * 64 * 256 * 128 + 64. * 64 * 128 + 64 * 64 + 64 * 256},
    };
    (void)state;
    am_backend be;
    t_open_machine(&be, 1);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char file[100], path[300];
        am_arena mem = {0};
        am_err e = {0};
        am_cfg c;
        am_net net;
        double conv = 0, block = 0;
        snprintf(file, sizeof file, "../cfg/%s", row[i].name);
        t_ok(am_cfg_load(&c, &mem, t_beside(path, sizeof path, file), &e), &e);
        t_ok(am_net_open(&net, &be, &c, &e), &e);
        assert_int_equal(am_net_parameters(&net, 0), row[i].without);
        assert_int_equal(am_net_parameters(&net, 1), row[i].with);
        assert_int_equal(net.learned, row[i].with);
        for (int k = 1; k < net.layers; k++) {
            if (!strcmp(net.layer[k].type->name, "convolutional")) conv += net.layer[k].macs;
            if (!strcmp(net.layer[k].type->name, "mixblock")) block += net.layer[k].macs;
        }
        assert_true(conv == 555417600 && block == row[i].mask_macs);
        am_net_close(&net);
        am_arena_free(&mem);
    }
    t_close_machine(&be);
}

/* A mask is no activation: on some backends it lies in memory differently. */
static void nothing_reads_a_mask(void **state)
{
    static const char text[] =
        "[net]\n[convolutional]\nfilters=4\n[mixblock]\n[avgpool]\n[softmax]\n";
    (void)state;
    am_backend be;
    am_arena mem = {0};
    am_err e = {0};
    am_cfg c;
    am_net net;
    t_open_machine(&be, 1);
    t_ok(am_cfg_parse(&c, &mem, "x.cfg", text, strlen(text), &e), &e);
    assert_int_equal(am_net_open(&net, &be, &c, &e), AM_EINPUT);
    assert_string_equal(e.place, "x.cfg:5");
    assert_string_equal(
        e.text, "[avgpool] reads a [mixblock], whose mask is for [mix] alone; give it input=");
    am_net_close(&net);
    am_arena_free(&mem);
    t_close_machine(&be);
}

/* Methods that look at the last map pass windows by. */
static void the_last_map_is_pooled_whole(void **state)
{
    static const char text[] = "[net]\nheight=8\nwidth=8\n[convolutional]\nfilters=4\n[avgpool]\nsize=2\n"
                               "[convolutional]\nname=last\nfilters=4\n[avgpool]\n[softmax]\n";
    (void)state;
    am_backend be;
    am_arena mem = {0};
    am_err e = {0};
    am_cfg c;
    am_net net;
    t_open_machine(&be, 1);
    t_ok(am_cfg_parse(&c, &mem, "x.cfg", text, strlen(text), &e), &e);
    t_ok(am_net_open(&net, &be, &c, &e), &e);
    assert_int_equal(am_net_last_map(&net), am_net_find(&net, "last"));
    am_net_close(&net);
    am_arena_free(&mem);
    t_close_machine(&be);
}

/* What the layer table says of memory, in MB. */
static double told(const char *path)
{
    char line[400];
    double mb = -1;
    am_err e = {0};
    am_run run = {.cfg = path,
                  .backend = t_backend,
                  .precision = "fp32",
                  .threads = 1,
                  .batch = 4,
                  .seed = -1};
    FILE *f = tmpfile();
    assert_non_null(f);
    t_ok(am_describe_net(&run, f, &e), &e);
    rewind(f);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "memory %lf MB to train", &mb) == 1) break;
    fclose(f);
    return mb;
}

static void memory_is_what_is_told(void **state)
{
    (void)state;
    am_arena mem = {0};
    const char *path[100];
    int n = cfgs(&mem, "", path);
    for (int i = 0; i < n; i++) {
        if (!strstr(path[i], "_automix.cfg") && !strstr(path[i], "_none.cfg")) continue;
        am_run run = {
            .cfg = path[i], .backend = t_backend, .precision = "fp32", .threads = 1, .seed = -1};
        am_trainer_options o = {.learn = 1, .batch = 4, .seed = -1};
        am_arena own = {0};
        am_backend be = {0};
        am_cfg c;
        am_trainer t;
        am_examiner x;
        am_mix_sheet *sheet = NULL;
        am_err e = {0};
        t_ok(am_cfg_load(&c, &own, path[i], &e), &e);
        t_ok(am_open_backend(&be, &run, &c, 0, &e), &e);
        t_ok(am_trainer_open(&t, &be, &c, &o, &e), &e);
        t_ok(am_examiner_layout(&x, &t, 50, 5, &e), &e);
        t_ok(am_mix_sheet_layout(&sheet, &t, t.n / 2, &e), &e);
        t_ok(am_trainer_start(&t, 1, &e), &e);
        t_ok(am_examiner_open(&x, &e), &e);
        double took = 1e-6 * (double)(be.peak + am_checkpoint_bytes(&t)), said = told(path[i]);
        if (!(fabs(took - said) <= 0.2 * said))
            fail_msg("%s: %.1f MB were told, %.1f MB were taken", path[i], said, took);
        am_mix_sheet_free(sheet);
        am_examiner_close(&x);
        am_trainer_close(&t);
        assert_int_equal(be.bytes, 0);
        am_close_backend(&be);
        am_arena_free(&own);
    }
    am_arena_free(&mem);
}

T_SUITE(nets, cmocka_unit_test(small_automix_steps_everywhere), cmocka_unit_test(every_cfg_steps),
        cmocka_unit_test(resnet18_has_the_papers_numbers), cmocka_unit_test(nothing_reads_a_mask),
        cmocka_unit_test(the_last_map_is_pooled_whole), cmocka_unit_test(memory_is_what_is_told));
