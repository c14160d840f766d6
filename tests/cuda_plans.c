/* cuda_plans.c: which engines of cuDNN serve which convolutions: chosen by rule for a described device, and
 * kept in a plan file.  None of it needs a GPU. */
#include "t.h"

#ifdef T_CUDA
#include "backend/cuda/choices.h"

static am_choice made_up(int i)
{
    const am_conv c = {64, 32, 32, 128, 16, 16, 3, 2, 1, 1, NULL};
    am_choice x = {.key = am_choice_key_of((am_graph_kind)(i % AM_GRAPH_KINDS), i % 2 ? AM_BF16 : AM_FP16, &c, 100 + i), .engine = 60 + i, .knobs = i % 4, .us = 9.25};
    for (int k = 0; k < x.knobs; k++) x.knob[k] = 10 * k, x.value[k] = k - 1;
    return x;
}

static void what_is_written_is_read_again(void **state)
{
    char path[300];
    am_choices s;
    am_err e = {0};
    (void)state;
    t_path(path, sizeof path, "a.plans");
    t_ok(am_choices_open(&s, path, "A device of 3 words", 91900, &e), &e);
    for (int i = 0; i < 100; i++) {
        const am_choice c = made_up(i);
        t_ok(am_choices_add(&s, &c, &e), &e);
    }
    t_ok(am_choices_write(&s, &e), &e);
    am_choices_close(&s);
    t_ok(am_choices_open(&s, path, "A device of 3 words", 91900, &e), &e);
    assert_int_equal(s.count, 100);
    for (int i = 0; i < 100; i++) {
        const am_choice want = made_up(i), *got = am_choices_find(&s, &want.key);
        assert_non_null(got);
        assert_true(got->engine == want.engine && got->knobs == want.knobs && got->us == want.us);
        for (int k = 0; k < want.knobs; k++) assert_true(got->knob[k] == want.knob[k] && got->value[k] == want.value[k]);
    }
    am_choices_close(&s);
}

/* Engines measured elsewhere are neither used nor written over, and the message names both sides. */
static void another_device_or_version_is_refused(void **state)
{
    static const struct { const char *device; long version; const char *says; } other[] = {
        {"Another device", 91900, "here is Another device with cuDNN 91900"},
        {"A device", 91901, "here is A device with cuDNN 91901"},
        {"A", 91900, "measured on A device with cuDNN 91900"},
    };
    char path[300];
    am_choices s;
    am_err e = {0};
    const am_choice c = made_up(1);
    (void)state;
    t_path(path, sizeof path, "d.plans");
    t_ok(am_choices_open(&s, path, "A device", 91900, &e), &e);
    t_ok(am_choices_add(&s, &c, &e), &e);
    t_ok(am_choices_write(&s, &e), &e);
    am_choices_close(&s);
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        e = (am_err){0};
        assert_int_equal(am_choices_open(&s, path, other[i].device, other[i].version, &e), AM_EINPUT);
        if (!strstr(e.text, other[i].says)) fail_msg("'%s' does not say '%s'", e.text, other[i].says);
    }
}

/* Two runs measure at the same time: the file holds what both found, and the first word stands. */
static void what_two_runs_write_is_kept(void **state)
{
    char path[300];
    am_choices s[2];
    am_err e = {0};
    am_choice c;
    (void)state;
    t_path(path, sizeof path, "e.plans");
    for (int k = 0; k < 2; k++) t_ok(am_choices_open(&s[k], path, "d", 1, &e), &e);
    for (int k = 0; k < 2; k++) {
        c = made_up(k);
        t_ok(am_choices_add(&s[k], &c, &e), &e);
        c = made_up(2);
        c.engine = 70 + k;
        t_ok(am_choices_add(&s[k], &c, &e), &e);
    }
    for (int k = 0; k < 2; k++) t_ok(am_choices_write(&s[k], &e), &e);
    for (int k = 0; k < 2; k++) am_choices_close(&s[k]);
    t_ok(am_choices_open(&s[0], path, "d", 1, &e), &e);
    assert_int_equal(s[0].count, 3);
    c = made_up(2);
    assert_int_equal(am_choices_find(&s[0], &c.key)->engine, 70);
    am_choices_close(&s[0]);
}

static void a_place_of_its_own(void **state)
{
    char cache[300], want[400], path[1000];
    const char *before = getenv("XDG_CACHE_HOME");
    char *kept = before ? strdup(before) : NULL;
    (void)state;
    t_path(cache, sizeof cache, "cache");
    setenv("XDG_CACHE_HOME", cache, 1);
    assert_true(am_choices_place(path, sizeof path, "NVIDIA H100 80GB (HBM3)", 91900));
    snprintf(want, sizeof want, "%s/automix/NVIDIA_H100_80GB_HBM3__cudnn91900.plans", cache);
    assert_string_equal(path, want);
    setenv("XDG_CACHE_HOME", "/dev/null", 1);
    assert_false(am_choices_place(path, sizeof path, "d", 1));
    if (kept) setenv("XDG_CACHE_HOME", kept, 1);
    else unsetenv("XDG_CACHE_HOME");
    free(kept);
}

static void a_damaged_file_is_refused(void **state)
{
    static const char good[] = "y bf16 n 100 c 64 32 32 f 64 32 32 k 3 1 1 g 1 : engine 62 knobs 0=2 3=1 : 9.84 us\n";
    static const struct { const char *head, *line; int count; } file[] = {
        {"", good, 1},
        {"automix plans 1\ndevice d\ncudnn 1\n", "y bf16 n 100 c 64 32 32 f 64 32 32 k 3 1 1 g 1 : engine 62 knobs 0=2 3=", -1},
        {"automix plans 1\ndevice d\ncudnn 1\n", "z bf16 n 100 c 64 32 32 f 64 32 32 k 3 1 1 g 1 : engine 62 knobs : 9.84 us\n", -1},
        {"automix plans 1\ndevice d\ncudnn 1\n", good, 1},
        {"automix plans 1\ndevice d\ncudnn 1\n", "# a remark\n\n", 0},
    };
    char path[300];
    (void)state;
    t_path(path, sizeof path, "b.plans");
    for (size_t i = 0; i < sizeof file / sizeof *file; i++) {
        FILE *f = fopen(path, "w");
        am_choices s;
        am_err e = {0};
        assert_non_null(f);
        fprintf(f, "%s%s", file[i].head, file[i].line);
        fclose(f);
        am_status st = am_choices_open(&s, path, "d", 1, &e);
        if (!i || file[i].count < 0) {
            assert_int_equal(st, AM_EINPUT);
            assert_true(e.text[0]);
            continue;
        }
        t_ok(st, &e);
        assert_int_equal(s.count, file[i].count);
        am_choices_close(&s);
    }
}
#endif

#ifdef AM_CUDNN
#include "backend/cuda/graph_inside.h"

static const char device[] =
    "{\"maxGridSize\":[2147483647,65535,65535],\"maxBlockSize\":[1024,1024,64],\"regsPerBlock\":65536,\"multiProcessorCount\":132,"
    "\"warpSize\":32,\"maxSharedMemoryPerBlock\":49152,\"maxSharedMemoryPerBlockOptin\":232448,\"reservedSharedMemoryPerBlock\":1024,"
    "\"maxRegistersPerSM\":65536,\"maxCtasPerSM\":32,\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":2048,\"pciDeviceId\":0,"
    "\"isTccDriver\":0,\"supportCoopLaunch\":1,\"totalGlobalMem\":150754820096,\"smClockRateKHz\":1980000,"
    "\"memClockRateKHz\":3201000,\"l2CacheSize\":62914560,\"cudaDeviceId\":0,\"deviceVer\":900,\"driverVer\":13000,"
    "\"deviceName\":\"NVIDIA H200\"}";

/* Every convolution of the ResNets that we ship for has an engine in each precision and direction, the
 * same at each question and in each process, with a bounded workspace. */
static void engines_are_chosen_without_a_device(void **s)
{
    (void)s;
    static const am_conv convs[] = {{3, 32, 32, 64, 32, 32, 3, 1, 1, 1, NULL},      {64, 32, 32, 128, 16, 16, 3, 2, 1, 1, NULL},
                                    {512, 4, 4, 512, 4, 4, 3, 1, 1, 1, NULL},       {64, 32, 32, 128, 16, 16, 1, 2, 0, 1, NULL},
                                    {128, 32, 32, 128, 32, 32, 3, 1, 1, 32, NULL}};
    static const am_precision precisions[] = {AM_FP32, AM_TF32, AM_BF16};
    for (size_t p = 0; p < 3; p++) {
        am_graphs *g[2];
        am_err e = {0};
        for (int k = 0; k < 2; k++) t_ok(am_graphs_open_for(&g[k], precisions[p], device, &e), &e);
        for (size_t i = 0; i < sizeof convs / sizeof *convs; i++)
            for (int kind = AM_GRAPH_Y; kind < AM_GRAPH_KINDS; kind++) {
                const am_graph *a = am_graph_find(g[0], (am_graph_kind)kind, &convs[i], 100);
                const am_graph *b = am_graph_find(g[1], (am_graph_kind)kind, &convs[i], 100);
                if (!a || !b) fail_msg("precision %d, convolution %zu, direction %d: no engine", (int)precisions[p], i, kind);
                assert_true(a == am_graph_find(g[0], (am_graph_kind)kind, &convs[i], 100));
                assert_int_equal(a->engine, b->engine);
                assert_true(a->workspace == b->workspace && a->workspace <= 256u << 20);
            }
        for (int k = 0; k < 2; k++) am_graphs_close(g[k]);
    }
    am_graphs *none;
    am_err e = {0};
    assert_int_equal(am_graphs_open_for(&none, AM_BF16, "{}", &e), AM_EINPUT);
    assert_true(e.text[0]);
}

/* What the file keeps of a plan makes the same plan again. */
static void a_plan_is_made_again_from_its_line(void **state)
{
    static const am_conv convs[] = {{64, 32, 32, 64, 32, 32, 3, 1, 1, 1, NULL}, {128, 32, 32, 128, 32, 32, 3, 1, 1, 32, NULL}};
    static const am_precision precisions[] = {AM_FP32, AM_BF16, AM_FP16};
    char path[300];
    (void)state;
    t_path(path, sizeof path, "c.plans");
    for (size_t p = 0; p < 3; p++) {
        am_graphs *rule, *file;
        am_choices s;
        am_err e = {0};
        remove(path);
        t_ok(am_graphs_open_for(&rule, precisions[p], device, &e), &e);
        t_ok(am_choices_open(&s, path, "H200", (long)cudnnGetVersion(), &e), &e);
        for (int i = 0; i < 2 * AM_GRAPH_KINDS; i++) {
            const am_graph *g = am_graph_find(rule, (am_graph_kind)(i % AM_GRAPH_KINDS), &convs[i / AM_GRAPH_KINDS], 100);
            am_choice c;
            assert_non_null(g);
            assert_true(am_engine_knobs(g, &c));
            t_ok(am_choices_add(&s, &c, &e), &e);
        }
        t_ok(am_choices_write(&s, &e), &e);
        am_choices_close(&s);
        t_ok(am_graphs_open_for(&file, precisions[p], device, &e), &e);
        t_ok(am_graphs_remember(file, path, "H200", &e), &e);
        assert_int_equal(file->choices->count, 2 * AM_GRAPH_KINDS);
        for (int i = 0; i < 2 * AM_GRAPH_KINDS; i++) {
            const am_graph *a = am_graph_find(rule, (am_graph_kind)(i % AM_GRAPH_KINDS), &convs[i / AM_GRAPH_KINDS], 100);
            const am_graph *b = am_graph_find(file, (am_graph_kind)(i % AM_GRAPH_KINDS), &convs[i / AM_GRAPH_KINDS], 100);
            am_choice ca, cb;
            assert_non_null(b);
            assert_true(am_engine_knobs(a, &ca) && am_engine_knobs(b, &cb));
            assert_true(a->engine == b->engine && a->workspace == b->workspace && ca.knobs == cb.knobs);
            for (int k = 0; k < ca.knobs; k++) assert_true(ca.knob[k] == cb.knob[k] && ca.value[k] == cb.value[k]);
        }
        t_ok(am_graphs_keep(file, &e), &e);
        am_graphs_close(rule);
        am_graphs_close(file);
    }
}
#else
static void engines_are_chosen_without_a_device(void **state) { (void)state; }
static void a_plan_is_made_again_from_its_line(void **state) { (void)state; }
#endif

#ifndef T_CUDA
static void what_is_written_is_read_again(void **state) { (void)state; }
static void another_device_or_version_is_refused(void **state) { (void)state; }
static void what_two_runs_write_is_kept(void **state) { (void)state; }
static void a_place_of_its_own(void **state) { (void)state; }
static void a_damaged_file_is_refused(void **state) { (void)state; }
#endif

T_SUITE(cuda_plans, cmocka_unit_test(what_is_written_is_read_again), cmocka_unit_test(a_damaged_file_is_refused),
        cmocka_unit_test(another_device_or_version_is_refused), cmocka_unit_test(what_two_runs_write_is_kept),
        cmocka_unit_test(a_place_of_its_own),
        cmocka_unit_test(engines_are_chosen_without_a_device), cmocka_unit_test(a_plan_is_made_again_from_its_line));
