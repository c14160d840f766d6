/* cuda_record.c: steps recorded as graphs: when, and that the same bytes come out as of steps issued
 * operation by operation.  On a GPU, or on this processor where built with GPU=emulate. */
#include "lab.h"

#ifdef T_CUDA
#include "backend/cuda/arith.h"
#include "backend/cuda/cuda.h"

static int open_cuda(am_backend *be, int uncaptured, am_precision precision)
{
    am_err e = {0};
    am_backend_options how = {.uncaptured = uncaptured, .precision = precision};
    *be = (am_backend){0};
    am_status s = am_backend_find("cuda")->open(be, &how, &e);
    if (s == AM_EDEVICE) return 0;
    t_ok(s, &e);
    return 1;
}

static const char body[] =
    "[convolutional]\nfilters=6\nsize=3\npad=1\nbatch_normalize=1\nactivation=relu\n"
    "[convolutional]\nname=feature\nfilters=6\nsize=3\npad=1\nbatch_normalize=1\nactivation=linear\n"
    "[shortcut]\nname=stage1\nfrom=-2\nactivation=relu\n[dropout]\nprobability=0.2\n[avgpool]\nname=pool\n"
    "[connected]\noutput=5\nactivation=linear\n[softmax]\n"
    "[connected]\ninput=pool\noutput=5\nactivation=linear\n[softmax]\n"
    "[mixblock]\ninput=stage1\nreduction=2\n";

static void open_lab(t_lab *l, am_backend *be, const char *mix)
{
    char cfg[2000];
    snprintf(cfg, sizeof cfg, "[net]\nbatch=4\nwidth=8\nheight=8\nchannels=3\nepochs=10\nlearning_rate=0.1\nmomentum=0.9\n%s%s", body, mix);
    t_lab_open(l, be, cfg);
}

/* Steps of one method; what they leave in the student and in the report. */
static float *train(am_backend *be, const char *mix, int steps, size_t *count)
{
    t_lab l;
    float report[AM_REPORT];
    open_lab(&l, be, mix);
    for (int i = 0; i < steps; i++) {
        t_batch(&l, (uint64_t)i);
        t_learn(&l, report);
        am_step_update(&l.t);
        l.t.step++;
    }
    *count = l.t.net.learned;
    float *w = t_get(be, l.t.student.value, *count);
    t_lab_close(&l);
    return w;
}

static const char automix[] = "[mix]\nmethod=automix\nmask_start=0.04\n[momentum_teacher]\n";
static const char patchwork[] = "[mix]\nmethod=manifoldmix\nlayers=image,stage1\nprob=0.5\n[mix]\nmethod=cutmix\nprob=0.5\n";
static const char puzzle[] = "[mix]\nmethod=puzzlemix\n";

static void recorded_steps_give_the_same_bytes(void **state)
{
    static const char *const mixes[] = {automix, patchwork, puzzle};
    (void)state;
    static const am_precision precisions[] = {AM_FP32, AM_FP16};
    for (size_t p = 0; p < 2; p++)
        for (size_t k = 0; k < sizeof mixes / sizeof *mixes; k++) {
            float *w[2];
            size_t n = 0;
            for (int uncaptured = 0; uncaptured < 2; uncaptured++) {
                am_backend be;
                if (!open_cuda(&be, uncaptured, precisions[p])) return;
                w[uncaptured] = train(&be, mixes[k], 12, &n);
                const am_cuda_record *r = &am_cuda_of(&be)->record;
                if (uncaptured) assert_true(!r->captured && !r->replayed);
                else assert_true(r->captured > 0 && r->replayed > r->captured);
                am_close_backend(&be);
            }
            if (memcmp(w[0], w[1], n * sizeof *w[0])) fail_msg("precision %d, methods %zu: recorded steps give other bytes", (int)precisions[p], k);
            for (int i = 0; i < 2; i++) free(w[i]);
        }
}

/* A constant step is issued once, captured once, and from then on launched; the update the same. */
static void a_step_is_captured_once(void **state)
{
    am_backend be;
    t_lab l;
    (void)state;
    if (!open_cuda(&be, 0, AM_FP32)) return;
    const am_cuda_record *r = &am_cuda_of(&be)->record;
    open_lab(&l, &be, "[mix]\nmethod=automix\n[momentum_teacher]\n");
    for (int i = 0; i < 6; i++) {
        t_update(&l);
        if (r->captured != (i < 1 ? 0 : 2)) fail_msg("update %d: %ld captured; in the way: %s", i, r->captured, r->why);
        assert_int_equal(r->replayed, 2 * i);
    }
    uint64_t sum = r->sum;
    long heard = r->heard;
    t_update(&l);
    assert_true(r->sum == sum && r->heard == heard && heard > 0);
    t_lab_close(&l);
    am_close_backend(&be);
}

/* A step during which the host looks at the device runs plainly, whatever was thought of it before. */
static void what_the_host_looks_at_is_not_recorded(void **state)
{
    static const char stretch[] = "a test";
    am_backend be;
    (void)state;
    if (!open_cuda(&be, 0, AM_FP32)) return;
    const am_cuda_record *r = &am_cuda_of(&be)->record;
    const am_ops *op = be.ops;
    am_dev d = op->alloc(&be, 16);
    am_err e = {0};
    for (int i = 0; i < 6; i++) {
        float got = -1;
        int issued = 0;
        do {
            op->begin(&be, stretch);
            op->fill(&be, 16, (float)i, d);
            if (i > 2) op->download(&be, 1, d, &got);
            issued++;
        } while (op->end(&be));
        if (i <= 2) op->download(&be, 1, d, &got);
        assert_true(got == (float)i);
        assert_int_equal(issued, i == 0 || i > 3 ? 1 : 2);      /* i == 3: heard, then issued plainly */
    }
    assert_int_equal(r->captured, 0);
    t_ok(op->sync(&be, &e), &e);
    op->free(&be, d);
    am_close_backend(&be);
}

/* fp16: an update with a gradient that is not finite changes nothing, and halves the scale; one without is unscaled. */
static void an_overflow_holds_the_update(void **state)
{
    am_backend be;
    am_err e = {0};
    const float hyper[5] = {.5f, 0, 0, 0, 0}, w[3] = {1, 2, 3}, fine[3] = {AM_SCALE_FIRST, 0, 2 * AM_SCALE_FIRST}, wild[3] = {1, INFINITY, 1};
    float got[3], scale[AM_SCALES];
    (void)state;
    if (!open_cuda(&be, 0, AM_FP16)) return;
    const am_ops *op = be.ops;
    const am_dev s = {am_cuda_of(&be)->scale}, dw = op->alloc(&be, 3), g = op->alloc(&be, 3), v = op->alloc(&be, 3), h = op->alloc(&be, 5);
    op->unscale(&be, 3, g);
    op->upload(&be, 5, hyper, h);
    op->upload(&be, 3, w, dw);
    op->upload(&be, 3, wild, g);
    op->unscale(&be, 3, g);
    op->sgd(&be, 3, dw, g, v, AM_NOWHERE, h, AM_NOWHERE);
    op->download(&be, 3, dw, got);
    op->download(&be, AM_SCALES, s, scale);
    assert_memory_equal(got, w, sizeof w);
    assert_true(scale[AM_SCALE] == AM_SCALE_FIRST / 2);
    op->upload(&be, 3, fine, g);
    op->unscale(&be, 3, g);
    op->sgd(&be, 3, dw, g, v, AM_NOWHERE, h, AM_NOWHERE);
    op->download(&be, 3, dw, got);
    assert_true(got[0] == 0 && got[1] == 2 && got[2] == 1);         /* gradients 2, 0, 4, rate 1/2 */
    t_ok(op->sync(&be, &e), &e);
    const am_dev all[] = {dw, g, v, h};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) op->free(&be, all[i]);
    am_close_backend(&be);
}

/* Two gradients point the same way and are about as long. */
static void alike(const char *what, const float *a, const float *b, t_span s)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = s.at; i < s.at + s.count; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    if (!(ab > 0.98 * sqrt(aa * bb) && aa < 1.2 * bb && bb < 1.2 * aa))
        fail_msg("%s: lengths %g and %g, cosine %g", what, sqrt(aa), sqrt(bb), ab / sqrt(aa * bb));
}

/* Masks are floats beside activations of 16 bits: where they get the room of an activation, they are lost. */
static void sixteen_bits_teach_the_mixblock_alike(void **state)
{
    static const am_precision precisions[] = {AM_FP32, AM_BF16, AM_FP16};
    float *g[3];
    (void)state;
    t_span mixblock = {0, 0}, all = {0, 0};
    for (int k = 0; k < 3; k++) {
        am_backend be;
        t_lab l;
        float report[AM_REPORT];
        if (!open_cuda(&be, 0, precisions[k])) return;
        t_lab_stir(&l, &be, "batch=16\n", "", 1);
        t_learn(&l, report);
        g[k] = t_get(&be, l.t.student.grad, l.t.net.learned);
        all.count = l.t.net.learned;
        mixblock = t_learned(&l.t.net, am_net_first(&l.t.net, "mixblock", 0));
        t_lab_close(&l);
        am_close_backend(&be);
    }
    alike("bf16", g[1], g[0], all);
    alike("fp16", g[2], g[0], all);
    alike("bf16, the MixBlock", g[1], g[0], mixblock);
    alike("fp16, the MixBlock", g[2], g[0], mixblock);
    for (int k = 0; k < 3; k++) free(g[k]);
}

/* ---- the judge of graphs whose operations may run side by side ---- */

#ifdef AM_CUDA_EMULATE_RUNTIME_H
/* Two streams write to one place, `ordered` by an event between them or only by the fork; joined, where a graph is to come of it. */
static cudaError_t two_writers(cudaStream_t s, cudaStream_t u, cudaEvent_t e, int *x, int ordered, int joined, cudaGraph_t *graph)
{
    cudaStreamBeginCapture(s, cudaStreamCaptureModeRelaxed);
    cudaMemsetAsync(x, 0, sizeof *x, s);
    if (!ordered) cudaEventRecord(e, s);
    cudaMemsetAsync(x, 1, sizeof *x, s);
    if (ordered) cudaEventRecord(e, s);
    cudaStreamWaitEvent(u, e, 0);
    cudaMemsetAsync(x, 2, sizeof *x, u);
    cudaEventRecord(e, u);
    if (joined) cudaStreamWaitEvent(s, e, 0);
    return cudaStreamEndCapture(s, graph);
}

static int launched(cudaGraphExec_t graph, cudaStream_t s, const int *x, int order)
{
    int got = 0;
    am_emulate_order(order, 1);
    cudaGraphLaunch(graph, s);
    cudaMemcpyAsync(&got, x, sizeof got, cudaMemcpyDeviceToHost, s);
    am_emulate_order(AM_EMULATE_VARIED, 1);
    return got;
}

static void a_missing_dependency_shows(void **state)
{
    cudaStream_t s, u;
    cudaEvent_t e;
    cudaGraph_t graph;
    void *x;
    (void)state;
    cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&u, cudaStreamNonBlocking);
    cudaEventCreateWithFlags(&e, cudaEventDisableTiming);
    cudaMalloc(&x, sizeof(int));
    for (int ordered = 0; ordered < 2; ordered++) {
        cudaGraphExec_t ready;
        long operations, pairs;
        assert_int_equal(two_writers(s, u, e, x, ordered, 1, &graph), cudaSuccess);
        cudaGraphInstantiate(&ready, graph, 0);
        am_emulate_watch(1);
        const int first = launched(ready, s, x, AM_EMULATE_AS_ISSUED), last = launched(ready, s, x, AM_EMULATE_LAST_FIRST);
        assert_int_equal(am_emulate_watch(0), ordered ? 0 : 2);
        assert_int_equal(first == last, ordered);
        am_emulate_shape(&operations, &pairs);
        assert_int_equal(operations, 3);
        assert_int_equal(pairs, !ordered);
        cudaGraphDestroy(graph);
        cudaGraphExecDestroy(ready);
    }
    assert_int_equal(two_writers(s, u, e, x, 1, 0, &graph), cudaErrorStreamCaptureUnjoined);
    cudaFree(x);
    cudaEventDestroy(e);
    cudaStreamDestroy(u);
    cudaStreamDestroy(s);
}
#else
static void a_missing_dependency_shows(void **state) { (void)state; }
#endif

T_SUITE(cuda_record, cmocka_unit_test(a_missing_dependency_shows), cmocka_unit_test(sixteen_bits_teach_the_mixblock_alike), cmocka_unit_test(an_overflow_holds_the_update), cmocka_unit_test(recorded_steps_give_the_same_bytes), cmocka_unit_test(a_step_is_captured_once),
        cmocka_unit_test(what_the_host_looks_at_is_not_recorded));
#else
static void is_not_built_in(void **state) { (void)state; }
T_SUITE(cuda_record, cmocka_unit_test(is_not_built_in));
#endif
