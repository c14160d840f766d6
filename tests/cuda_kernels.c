/* cuda_kernels.c: what only the cuda backend does: weights on their way to cuDNN and back, and batches
 * made on the device of a data set that lies there.  On a GPU, or on this processor where built with
 * GPU=emulate. */
#include "lab.h"

#ifdef T_CUDA
#include "backend/cuda/arith.h"
#include "backend/cuda/cuda.h"

static int open_cuda(am_backend *be, am_precision precision)
{
    am_err e = {0};
    am_backend_options how = {.precision = precision};
    *be = (am_backend){0};
    am_status s = am_backend_find("cuda")->open(be, &how, &e);
    if (s == AM_EDEVICE) return 0;
    t_ok(s, &e);
    return 1;
}

static float stored(int half, float x)
{
    return half == AM_HALF_BF16 ? am_of_bf16(am_to_bf16(x)) : half ? am_of_f16(am_to_f16(x)) : x;
}

/* Number i of what lies there in the backend's element type. */
static float element(int half, const void *from, size_t i)
{
    return half == AM_HALF_BF16 ? am_of_bf16(((const am_bf16 *)from)[i])
           : half               ? am_of_f16(((const am_f16 *)from)[i])
                                : ((const float *)from)[i];
}

/* [filters][per][taps] becomes [filters][taps][per], and a gradient comes back, added. */
static void weights_are_turned_over(void **state)
{
    static const am_conv convs[] = {{.c = 3, .filters = 5, .size = 3, .groups = 1},
                                    {.c = 300, .filters = 2, .size = 3, .groups = 1},
                                    {.c = 130, .filters = 4, .size = 1, .groups = 1},
                                    {.c = 12, .filters = 6, .size = 5, .groups = 3},
                                    {.c = 9, .filters = 1, .size = 31, .groups = 1}};
    static const am_precision precisions[] = {AM_FP32, AM_BF16, AM_FP16};
    (void)state;
    for (size_t p = 0; p < 3; p++) {
        am_backend be;
        if (!open_cuda(&be, precisions[p])) return;
        const am_ops *op = be.ops;
        am_cuda_state *st = am_cuda_of(&be);
        for (size_t i = 0; i < sizeof convs / sizeof *convs; i++) {
            const am_conv *c = &convs[i];
            int per = c->c / c->groups, taps = c->size * c->size;
            size_t n = (size_t)(c->filters * per * taps);
            am_dev w = op->alloc(&be, n), to = op->alloc(&be, n), dw = op->alloc(&be, n);
            t_scatter(&be, w, n, -2, 2, 1);
            t_scatter(&be, dw, n, -2, 2, 2);
            float *plain = t_get(&be, w, n), *before = t_get(&be, dw, n);
            am_gpu_conv_prepare(st->stream, c, st->half, w.p, to.p);
            am_gpu_conv_gather_dw(st->stream, c, st->half, to.p, (am_sum){dw.p, 1});
            float *turned = t_get(&be, to, n), *after = t_get(&be, dw, n);
            for (size_t k = 0; k < n; k++) {
                size_t ch = k / (size_t)taps % (size_t)per, filter = k / (size_t)(taps * per);
                size_t at = (filter * (size_t)taps + k % (size_t)taps) * (size_t)per + ch;
                float x = stored(st->half, plain[k]);
                if (element(st->half, turned, at) != x || after[k] != before[k] + x)
                    fail_msg("precision %zu, convolution %zu, number %zu", p, i, k);
            }
            free(plain), free(before), free(turned), free(after);
            op->free(&be, w), op->free(&be, to), op->free(&be, dw);
        }
        am_close_backend(&be);
    }
}

/* ---- batches ---- */

enum { IMAGES = 150, SIDE = 8, BATCH = 4, BYTES = SIDE * SIDE * 3 };

static am_status read_made(const am_dataset *d, int index, am_image *img, am_err *e)
{
    am_rng r = am_rng_at(9, 9, (uint64_t)index);
    int large = d->state && index == *(const int *)d->state;
    AM_TRY(am_image_fit(img, SIDE + large, SIDE, e));
    for (int i = 0; i < BYTES; i++) img->pixel[i] = (unsigned char)am_rng_below(&r, 256);
    return AM_OK;
}

static am_dataset made(int label[IMAGES])
{
    for (int i = 0; i < IMAGES; i++) label[i] = i % 5;
    return (am_dataset){.count = IMAGES, .classes = 5, .label = label, .read = read_made};
}

static am_augment moves(int reflect)
{
    return (am_augment){.width = SIDE,
                        .height = SIDE,
                        .flip = 1,
                        .pad_crop = 3,
                        .pad_reflect = reflect,
                        .aspect = 1,
                        .saturation = 1,
                        .exposure = 1};
}

static const char body[] =
    "[net]\nbatch=4\nwidth=8\nheight=8\nchannels=3\nepochs=10\nlearning_rate=0.1\nmomentum=0.9\n"
    "mean=0.5,0.4,0.3\nstd=0.2,0.21,0.3\n"
    "[convolutional]\nname=stage1\nfilters=6\nsize=3\npad=1\nbatch_normalize=1\nactivation=relu\n"
    "[avgpool]\nname=pool\n[connected]\noutput=5\nactivation=linear\n[softmax]\n"
    "[connected]\ninput=pool\noutput=5\nactivation=linear\n[softmax]\n";

static void cfg_of(char *out, size_t size, const char *method)
{
    int automix = !strcmp(method, "automix");
    snprintf(out, size, "%s%s[mix]\nmethod=%s\n%s%s", body,
             automix ? "[mixblock]\ninput=stage1\nreduction=2\n" : "", method,
             !strcmp(method, "comixup") ? "part=2\ngrid=2\n" : "",
             automix ? "[momentum_teacher]\n" : "");
}

/* 0: this method does not fit the net. */
static int open_trainer(am_trainer *t, am_cfg *c, am_arena *mem, am_backend *be, const char *method)
{
    char text[2000];
    am_err e = {0};
    am_trainer_options o = {.learn = 1, .seed = 4};
    cfg_of(text, sizeof text, method);
    t_ok(am_cfg_parse(c, mem, "made.cfg", text, strlen(text), &e), &e);
    am_status s = am_trainer_open(t, be, c, &o, &e);
    if (!s) s = am_trainer_start(t, 1, &e);
    if (s == AM_EINPUT)
        am_trainer_close(t);
    else
        t_ok(s, &e);
    return !s;
}

/* The weights after a few steps; NULL: it does not fit.  resident: did the set lie on the device? */
static float *train(am_backend *be, const char *method, int reflect, int steps, int *resident,
                    size_t *n)
{
    am_trainer t;
    am_cfg c;
    am_arena mem = {0};
    am_err e = {0};
    int label[IMAGES];
    am_dataset d = made(label);
    am_loader *l;
    float *w = NULL;
    am_loader_options o = {
        .batch = BATCH, .threads = 1, .seed = 4, .train = 1, .augment = moves(reflect)};
    if (open_trainer(&t, &c, &mem, be, method)) {
        t.steps = 100;
        t.steps_per_epoch = 10;
        t_ok(am_resident_open(&t, &d, &o.augment, &e), &e);
        *resident = o.windows = am_is(t.set);
        if (t.extra_size) o.prepare = am_prepare, o.user = &t, o.extra = t.extra_size;
        t_ok(am_loader_open(&l, &d, &o, &e), &e);
        for (; t.step < steps; t.step++) {
            const am_host_batch *b;
            float report[AM_REPORT];
            t_ok(am_loader_next(l, &b, &e), &e);
            am_step_begin(&t);
            am_step_schedule(&t);
            am_step_part(&t, am_step_mix(&t), b);
            am_step_update(&t);
            t_ok(am_step_report(&t, report, &e), &e);
        }
        *n = t.net.learned;
        w = t_get(be, t.student.value, *n);
        am_loader_close(l);
        am_trainer_close(&t);
    }
    am_arena_free(&mem);
    return w;
}

/* Every method gets the same bytes by either road, and those that read the batch on the host stay on
 * theirs. */
static void methods_do_not_see_the_road(void **state)
{
    int compared = 0;
    (void)state;
    for (const am_method *const *m = am_methods(); *m; m++) {
        const char *name = (*m)->name;
        int resident[2] = {0, 0}, reflect = compared % 2;
        int host =
            !strcmp(name, "resizemix") || !strcmp(name, "saliencymix") || !strcmp(name, "augmix");
        size_t n = 0;
        float *w[2];
        if (!strcmp(name, "attentivemix")) continue; /* wants a trained net */
        for (int road = 0; road < 2; road++) {
            am_backend be;
            if (!open_cuda(&be, AM_FP32)) return;
            if (road) be.resident = 0;
            w[road] = train(&be, name, reflect, 3, &resident[road], &n);
            if (be.bytes) fail_msg("%s: %zu bytes are left", name, be.bytes);
            am_close_backend(&be);
        }
        if (!w[0]) continue;
        if (resident[0] == host || resident[1]) fail_msg("%s: on the wrong road", name);
        if (memcmp(w[0], w[1], n * sizeof *w[0]))
            fail_msg("%s: the roads give different bytes", name);
        for (int road = 0; road < 2; road++) free(w[road]);
        compared++;
    }
    assert_true(compared > 12);
}

/* In every precision the batch is the one that put_bytes makes of the host's bytes; in fp32 the
 * judge's too. */
static void a_gathered_batch_is_the_hosts(void **state)
{
    static const am_precision precisions[] = {AM_FP32, AM_BF16, AM_FP16};
    static const float mean[3] = {0.5f, 0.4f, 0.3f}, std[3] = {0.2f, 0.21f, 0.3f};
    enum { N = 64 };
    am_shape s = {N, 3, SIDE, SIDE};
    size_t count = am_count(s);
    float *got = malloc(count * sizeof *got), *want = malloc(count * sizeof *want);
    unsigned char *set = calloc(IMAGES, BYTES), *pixel = calloc(N, BYTES);
    int label[IMAGES];
    am_dataset d = made(label);
    am_image img = {0};
    (void)state;
    for (int i = 0; i < IMAGES; i++) {
        t_ok(d.read(&d, i, &img, NULL), &(am_err){0});
        memcpy(set + i * BYTES, img.pixel, BYTES);
    }
    for (size_t k = 0; k < 6; k++) {
        am_backend be, judge;
        am_err e = {0};
        am_augment a = moves((int)k / 3);
        am_window at[N];
        if (!open_cuda(&be, precisions[k % 3])) break;
        const am_ops *op = be.ops;
        for (int i = 0; i < N; i++) {
            at[i].image = i < N - 1 ? i * 7 % IMAGES : -1;
            am_rng r[2] = {am_rng_at(1, k, (uint64_t)i), am_rng_at(1, k, (uint64_t)i)};
            am_augment_window(&a, &r[0], &at[i]);
            if (at[i].image < 0)
                memset(pixel + i * BYTES, 0, BYTES);
            else {
                memcpy(img.pixel, set + at[i].image * BYTES, BYTES);
                t_ok(am_augment_apply(&a, &img, &r[1], pixel + i * BYTES, &e), &e);
            }
        }
        am_dev x = op->alloc(&be, op->room(&be, s)), all = op->alloc(&be, IMAGES * BYTES / 4),
               windows = op->alloc(&be, N * AM_WINDOW);
        op->upload(&be, IMAGES * BYTES / 4, set, all);
        op->upload(&be, N * AM_WINDOW, at, windows);
        op->put_bytes(&be, s, pixel, mean, std, x);
        op->get(&be, s, x, want);
        op->fill(&be, op->room(&be, s), 1e30f, x);
        op->gather(&be, s, IMAGES, all, windows, a.pad_reflect, mean, std, x);
        op->get(&be, s, x, got);
        assert_memory_equal(got, want, count * sizeof *got);
        t_ok(be.ops->sync(&be, &e), &e);
        if (k % 3 == 0) {
            am_backend_options how = {.threads = 1};
            judge = (am_backend){0};
            t_ok(am_backend_find("cpu")->open(&judge, &how, &e), &e);
            am_dev y = judge.ops->alloc(&judge, judge.ops->room(&judge, s));
            judge.ops->put_bytes(&judge, s, pixel, mean, std, y);
            judge.ops->get(&judge, s, y, want);
            assert_memory_equal(got, want, count * sizeof *got);
            judge.ops->free(&judge, y);
            am_close_backend(&judge);
        }
        at[3].image = IMAGES;
        op->upload(&be, N * AM_WINDOW, at, windows);
        op->gather(&be, s, IMAGES, all, windows, a.pad_reflect, mean, std, x);
        assert_int_equal(be.ops->sync(&be, &e), AM_EBUG);
        assert_non_null(strstr(e.text, "gather"));
        op->free(&be, x), op->free(&be, all), op->free(&be, windows);
        am_close_backend(&be);
    }
    am_image_free(&img);
    free(got), free(want), free(set), free(pixel);
}

/* What does not suit, and memory that is not there, leave the host's road and nothing behind. */
static void the_hosts_road_stays(void **state)
{
    am_backend be;
    am_trainer t;
    am_cfg c;
    am_arena mem = {0};
    am_err e = {0};
    int label[IMAGES], odd = 30;
    am_dataset d = made(label);
    am_augment a = moves(0);
    (void)state;
    if (!open_cuda(&be, AM_FP32)) return;
    assert_true(open_trainer(&t, &c, &mem, &be, "mixup"));
    size_t before = be.bytes;
    d.state = &odd; /* one image is larger */
    t_ok(am_resident_open(&t, &d, &a, &e), &e);
    assert_true(!am_is(t.set) && be.bytes == before);
    d.state = NULL;
    a.hue = 0.1; /* more than moved */
    t_ok(am_resident_open(&t, &d, &a, &e), &e);
    assert_false(am_is(t.set));
    a.hue = 0;
    be.resident = IMAGES * BYTES - 1; /* too large */
    t_ok(am_resident_open(&t, &d, &a, &e), &e);
    assert_false(am_is(t.set));
    be.resident = IMAGES * BYTES;
    t_ok(am_resident_open(&t, &d, &a, &e), &e);
    assert_true(am_is(t.set) && be.bytes > before);
    am_trainer_close(&t);
    am_arena_free(&mem);
    assert_int_equal(be.bytes, 0);
    am_close_backend(&be);
}

T_SUITE(cuda_kernels, cmocka_unit_test(weights_are_turned_over),
        cmocka_unit_test(a_gathered_batch_is_the_hosts), cmocka_unit_test(the_hosts_road_stays),
        cmocka_unit_test(methods_do_not_see_the_road));
#else
static void is_not_built_in(void **state)
{
    (void)state;
}
T_SUITE(cuda_kernels, cmocka_unit_test(is_not_built_in));
#endif
