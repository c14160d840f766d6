/* cuda.c: what the cuda backend does on the host: arithmetic that its kernels share with it, and the
 * choice of cuDNN's engines for a described device.  Kernels are tested by the backends suites, on a GPU
 * or, built with GPU=emulate, on this processor. */
#include "backends.h"
#include "backend/cuda/arith.h"

static void bf16_rounds_to_nearest_even(void **s)
{
    (void)s;
    const struct { float x, y; } cases[] = {{1, 1}, {-0.0f, -0.0f}, {1.00390625f, 1}, {1.01171875f, 1.015625f}, {1.004f, 1.0078125f},
                                            {3.3895314e38f, 3.3895314e38f}, {3.4e38f, INFINITY}, {-INFINITY, -INFINITY}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const float y = am_of_bf16(am_to_bf16(cases[i].x));
        if (memcmp(&y, &cases[i].y, sizeof y)) fail_msg("%.9g becomes %.9g, not %.9g", (double)cases[i].x, (double)y, (double)cases[i].y);
    }
    assert_true(isnan(am_of_bf16(am_to_bf16(NAN))));
}

static void activations_agree(void **s)
{
    (void)s;
    for (int act = AM_LINEAR; act <= AM_LHTAN; act++)
        for (float x = -5.96875f; x < 6; x += 0.0625f) {
            const double y = t_act((am_act)act, (double)x);
            if (!(fabs((double)am_arith_act(act, x) - y) <= 2e-6 * fmax(1, fabs(y)))) fail_msg("activation %d of %g", act, (double)x);
            if (!(fabs((double)am_arith_slope(act, (float)y) - t_slope((am_act)act, (double)(float)y)) <= 2e-6)) fail_msg("slope %d at %g", act, (double)x);
        }
}

/* The slope at each pixel is the difference quotient of the value. */
static void mask_terms_and_slopes(void **s)
{
    (void)s;
    enum { N = 6 };
    double m[N] = {.03, .2, .41, .6, .77, .98};
    for (int kind = AM_MASK_NONE; kind <= AM_MASK_SPARSITY; kind++) {
        am_mask_term at = {0};
        for (int i = 0; i < N; i++) {
            double value[3];
            for (int side = -1; side <= 1; side++) {
                double sum = 0, squares = 0, apart = 0;
                m[i] += 1e-6 * side;
                for (int k = 0; k < N; k++) sum += m[k], squares += m[k] * m[k], apart += fabs(m[k] * (m[k] - 1));
                m[i] -= 1e-6 * side;
                const am_mask_term t = am_arith_mask_term(kind, .02, .7, N, sum, squares, apart);
                value[side + 1] = t.value;
                if (!side) at = t;
            }
            const double want = (value[2] - value[0]) / 2e-6 * N;
            if (!(fabs(am_arith_mask_slope(&at, m[i]) - want) < 1e-6)) fail_msg("kind %d: slope %g, not %g", kind, am_arith_mask_slope(&at, m[i]), want);
        }
    }
}

static void every_place_is_shared_out(void **s)
{
    (void)s;
    for (int scale = 1; scale <= 5; scale++)
        for (int size = 1; size <= 4; size++)
            for (int at = 0; at < scale * size; at++)
                for (int bilinear = 0; bilinear < 2; bilinear++) {
                    const am_reach r = am_arith_reach(at, scale, size, bilinear);
                    float all = 0;
                    for (int k = 0; k < size; k++) all += am_arith_share(r, k);
                    assert_true(r.low >= 0 && r.high < size && fabsf(all - 1) < 1e-6f);
                }
}

#ifdef AM_CUDNN
#include "backend/cuda/graph.h"

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
            for (int kind = AM_GRAPH_Y; kind <= AM_GRAPH_DW; kind++) {
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
#else
static void engines_are_chosen_without_a_device(void **s) { (void)s; }
#endif

T_SUITE(cuda, cmocka_unit_test(bf16_rounds_to_nearest_even), cmocka_unit_test(activations_agree),
        cmocka_unit_test(mask_terms_and_slopes), cmocka_unit_test(every_place_is_shared_out),
        cmocka_unit_test(engines_are_chosen_without_a_device));
