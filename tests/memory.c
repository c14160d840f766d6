/* memory.c: training allocates nothing, and an allocation that fails is told, not fatal.
 *
 * The program is linked with --wrap for malloc and its kin (Makefile), so that what our own code
 * asks of the host is counted here and can be refused: every allocation in turn, on the device as
 * on the host. */
#include "lab.h"
#include <stdatomic.h>

/* ---- the host's allocator, watched ---- */
void *__real_malloc(size_t);
void *__real_calloc(size_t, size_t);
void *__real_realloc(void *, size_t);
void *__real_aligned_alloc(size_t, size_t);
char *__real_strdup(const char *);
void __real_free(void *);
void *__wrap_malloc(size_t);
void *__wrap_calloc(size_t, size_t);
void *__wrap_realloc(void *, size_t);
void *__wrap_aligned_alloc(size_t, size_t);
char *__wrap_strdup(const char *);
void __wrap_free(void *);

static _Thread_local long mine; /* asked for by this thread */
static atomic_long alive; /* blocks of all threads */
static _Thread_local long refuse; /* > 0: the refuse-th from now is refused; this thread's */

static int granted(void)
{
    mine++;
    return !(refuse > 0 && --refuse == 0);
}

static void *counted(void *p)
{
    if (p) atomic_fetch_add(&alive, 1);
    return p;
}

void *__wrap_malloc(size_t n)
{
    return granted() ? counted(__real_malloc(n)) : NULL;
}
void *__wrap_calloc(size_t n, size_t size)
{
    return granted() ? counted(__real_calloc(n, size)) : NULL;
}
void *__wrap_aligned_alloc(size_t align, size_t n)
{
    return granted() ? counted(__real_aligned_alloc(align, n)) : NULL;
}
char *__wrap_strdup(const char *s)
{
    return granted() ? counted(__real_strdup(s)) : NULL;
}

void *__wrap_realloc(void *p, size_t n)
{
    if (!granted()) return NULL;
    return p ? __real_realloc(p, n) : counted(__real_realloc(p, n));
}

void __wrap_free(void *p)
{
    if (p) atomic_fetch_sub(&alive, 1);
    __real_free(p);
}

/* ---- nothing in a step ---- */
static const char *cfg_of(char *out, size_t size, int k)
{
    static const char *const mix[] = {"", "[mix]\nmethod=mixup\n",
                                      "[mix]\nmethod=cutmix\n[momentum_teacher]\n"};
    if (k == 3) return t_small_automix(out, size, "batch=6\nsubdivisions=2\n", "", 1);
    snprintf(out, size,
             "[net]\nbatch=4\nwidth=8\nheight=8\n[convolutional]\nfilters=5\nsize=3\npad=1\nbatch_"
             "normalize=1\nactivation=relu\n"
             "[maxpool]\nsize=2\nstride=2\n[dropout]\n[avgpool]\n[connected]\noutput=3\nactivation="
             "linear\n[softmax]\n%s",
             mix[k]);
    return out;
}

static void hundred_steps(am_backend *be)
{
    for (int k = 0; k < 4; k++) {
        char text[3000];
        t_lab l;
        t_lab_open(&l, be, cfg_of(text, sizeof text, k));
        t_update(&l);
        size_t device = be->allocations, bytes = be->bytes;
        long host = mine, all = atomic_load(&alive);
        for (int i = 0; i < 100; i++) t_update(&l);
        assert_int_equal(be->allocations, device);
        assert_int_equal(be->bytes, bytes);
        assert_int_equal(mine, host);
        assert_int_equal(atomic_load(&alive), all);
        t_lab_close(&l);
    }
}

static void a_step_allocates_nothing(void **state)
{
    (void)state;
    t_each_machine(2, hundred_steps);
}

/* The same of am_train, between the updates of an epoch. */
typedef struct seen {
    long steps, grew, at;
} seen;

static void on_step(void *user, const am_step_news *n)
{
    seen *s = user;
    if (n->step % 4 != 1)
        s->grew += mine != s->at; /* an epoch has 4 updates; between them come files */
    s->at = mine;
    s->steps++;
}

static am_status train(const char *set, const char *cfg, am_watch *watch, am_err *e)
{
    am_run run = {.data = set,
                  .cfg = cfg,
                  .backend = t_backend ? t_backend : "cpu",
                  .precision = "fp32",
                  .threads = 1,
                  .seed = -1};
    return am_train(&run, watch, e);
}

static void lay_out_set(char *set, char *cfg, size_t size)
{
    char folder[300], text[3000];
    am_err e = {0};
    am_shapes_request q = {.folder = t_path(folder, sizeof folder, "memory"),
                           .train = 20,
                           .valid = 10,
                           .size = 16,
                           .seed = 1};
    t_ok(am_data_shapes(&q, &e), &e);
    snprintf(set, size, "%s/shapes.data", folder);
    t_small_automix(text, sizeof text, "batch=5\nepochs=2\n", "", 1);
    FILE *f = fopen(t_path(cfg, size, "memory.cfg"), "w");
    assert_non_null(f);
    for (char *s = text; *s; s++)
        if (!strncmp(s, "output=3", 8))
            s += fprintf(f, "output=10") - 2;
        else
            fputc(*s, f);
    fclose(f);
}

static void training_allocates_only_between_epochs(void **state)
{
    (void)state;
    char set[320], cfg[320];
    am_err e = {0};
    seen s = {0};
    am_watch watch = {.user = &s, .step = on_step};
    lay_out_set(set, cfg, sizeof set);
    t_ok(train(set, cfg, &watch, &e), &e);
    assert_int_equal(s.steps, 8);
    assert_int_equal(s.grew, 0);
}

/* ---- every allocation refused in turn ---- */
static am_status whole_life(am_backend *be, const char *text, const am_ops *ops, am_err *e)
{
    am_arena mem = {0};
    am_cfg c;
    am_trainer t = {0};
    am_examiner x = {0};
    am_trainer_options o = {.learn = 1, .seed = -1};
    float report[AM_REPORT];
    static const int label[3] = {0, 1, 2};
    static const unsigned char pixel[3 * 8 * 8 * 3];
    am_host_batch b = {
        .n = 3, .pixel = (unsigned char *)(size_t)pixel, .label = (int *)(size_t)label};
    const am_ops *own = be->ops;
    if (ops) be->ops = ops;
    am_status s = am_cfg_parse(&c, &mem, "x.cfg", text, strlen(text), e);
    if (!s) s = am_trainer_open(&t, be, &c, &o, e);
    if (!s) s = am_examiner_layout(&x, &t, 3, 1, e);
    if (!s) s = am_trainer_start(&t, 1, e);
    if (!s) s = am_examiner_open(&x, e);
    if (!s) {
        am_step_begin(&t);
        am_step_schedule(&t);
        for (int part = 0; part < t.net.options.subdivisions; part++)
            am_step_part(&t, am_step_mix(&t), &b);
        am_step_update(&t);
        s = am_step_report(&t, report, e);
    }
    am_examiner_close(&x);
    am_trainer_close(&t);
    am_arena_free(&mem);
    be->ops = own;
    return s;
}

static am_ops refusing;
static am_dev (*granting)(am_backend *, size_t);
static long allowed;

static am_dev meagre(am_backend *be, size_t floats)
{
    return allowed-- > 0 ? granting(be, floats) : AM_NOWHERE;
}

static void device_refuses(am_backend *be)
{
    char text[3000];
    t_small_automix(text, sizeof text, "batch=6\nsubdivisions=2\n", "", 1);
    refusing = *be->ops;
    granting = be->ops->alloc;
    refusing.alloc = meagre;
    long before = atomic_load(&alive);
    for (long n = 0;; n++) {
        am_err e = {0};
        allowed = n;
        am_status s = whole_life(be, text, &refusing, &e);
        assert_int_equal(be->bytes, 0);
        assert_int_equal(atomic_load(&alive), before);
        if (!s) {
            assert_true(n > 10);
            break;
        }
        if (s != AM_ENOMEM || !e.text[0])
            fail_msg("%s: without the %ldth block: status %d, '%s'", be->about, n + 1, s, e.text);
    }
}

static void the_device_may_refuse(void **state)
{
    (void)state;
    t_each_machine(2, device_refuses);
}

static void host_refuses(am_backend *be)
{
    char text[3000];
    t_small_automix(text, sizeof text, "batch=6\nsubdivisions=2\n", "", 1);
    long before = atomic_load(&alive);
    for (long n = 1;; n++) {
        am_err e = {0};
        refuse = n;
        am_status s = whole_life(be, text, NULL, &e);
        long left = refuse;
        refuse = 0;
        assert_int_equal(be->bytes, 0);
        if (atomic_load(&alive) != before)
            fail_msg("%s: without allocation %ld, %ld blocks are left", be->about, n,
                     atomic_load(&alive) - before);
        if (left > 0) { /* it was never asked for */
            assert_int_equal(s, AM_OK);
            assert_true(n > 10);
            break;
        }
        if (s != AM_ENOMEM || !e.text[0])
            fail_msg("%s: without allocation %ld: status %d, '%s'", be->about, n, s, e.text);
    }
}

static void the_host_may_refuse(void **state)
{
    (void)state;
    t_each_machine(1, host_refuses);
}

/* A run up to its first update and the checkpoint after it: refused memory ends it with a message,
 * or did not matter.  stb takes a refusal for "not of this format" and tries the next, so a
 * picture may be called unreadable instead. */
static int stop(void *user)
{
    (void)user;
    return 1;
}

static void a_run_may_be_refused(void **state)
{
    (void)state;
    char set[320], cfg[320];
    am_watch watch = {.stop = stop};
    int told = 0, tried = 0;
    lay_out_set(set, cfg, sizeof set);
    for (long n = 1;; n += 1 + n / 8) {
        am_err e = {0};
        refuse = n;
        am_status s = train(set, cfg, &watch, &e);
        long left = refuse;
        refuse = 0;
        if (left > 0) {
            t_ok(s, &e);
            assert_true(n > 50 && 2 * told > tried);
            break;
        }
        if (s && !strstr(e.place, ".png") && (s != AM_ENOMEM || !e.text[0]))
            fail_msg("without allocation %ld: status %d, '%s' '%s'", n, s, e.place, e.text);
        tried++;
        told += s == AM_ENOMEM;
    }
}

T_SUITE(memory, cmocka_unit_test(a_step_allocates_nothing),
        cmocka_unit_test(training_allocates_only_between_epochs),
        cmocka_unit_test(the_device_may_refuse), cmocka_unit_test(the_host_may_refuse),
        cmocka_unit_test(a_run_may_be_refused));
