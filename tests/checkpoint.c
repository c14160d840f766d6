/* checkpoint.c: what is saved comes back, a run that was stopped goes on as if it had not been, and
 * weights of another net are refused whole. */
#include "lab.h"

/* ---- with a trainer ---- */
typedef struct numbers {
    float *value, *buffer, *velocity, *teacher, *statistics;
    size_t learned, buffers;
    t_span block;
} numbers;

static numbers look(t_lab *l)
{
    am_trainer *t = &l->t;
    numbers n = {.learned = t->net.learned, .buffers = t->net.buffers};
    int block = am_net_first(&t->net, "mixblock", 0);
    if (block > 0) n.block = t_learned(&t->net, block);
    n.value = t_get(l->be, t->student.value, n.learned);
    n.buffer = t_get(l->be, t->student.buffer, n.buffers);
    n.velocity = t_get(l->be, t->student.velocity, n.learned);
    if (t->has_teacher) {
        n.teacher = t_get(l->be, t->teacher.value, n.learned);
        n.statistics = t_get(l->be, t->teacher.buffer, n.buffers);
        for (size_t i = 0; i < n.block.count; i++)
            n.teacher[n.block.at + i] = 0; /* the teacher has no MixBlock */
    }
    return n;
}

static void forget(numbers *n)
{
    free(n->value);
    free(n->buffer);
    free(n->velocity);
    free(n->teacher);
    free(n->statistics);
}

static void same(const numbers *a, const numbers *b)
{
    assert_int_equal(a->learned, b->learned);
    assert_memory_equal(a->value, b->value, a->learned * sizeof(float));
    assert_memory_equal(a->buffer, b->buffer, a->buffers * sizeof(float));
    assert_memory_equal(a->velocity, b->velocity, a->learned * sizeof(float));
    if (a->teacher) assert_memory_equal(a->teacher, b->teacher, a->learned * sizeof(float));
    if (a->teacher) assert_memory_equal(a->statistics, b->statistics, a->buffers * sizeof(float));
}

static void goes_on(am_backend *be)
{
    char text[3000], path[300];
    am_err e = {0};
    t_lab whole, part, rest;
    am_progress said = {.step = 3,
                        .epoch = 1,
                        .average_loss = 1.5,
                        .best = 42,
                        .seed = 9,
                        .sums = {[0] = 3, [15] = 0.1}},
                heard;
    t_small_automix(text, sizeof text, "batch=4\nmomentum=0.9\n", "", 1);
    t_path(path, sizeof path, "trainer.weights");
    t_lab_open(&whole, be, text);
    t_lab_open(&part, be, text);
    for (int i = 0; i < 6; i++) t_update(&whole);
    for (int i = 0; i < 3; i++) t_update(&part);
    t_ok(am_weights_save(&part.t, path, AM_SAVE_CHECKPOINT, &said, &e), &e);
    t_small_automix(text, sizeof text, "batch=4\nmomentum=0.9\nseed=2\n", "", 1);
    t_lab_open(&rest, be, text);
    t_ok(am_weights_load(&rest.t, path, &heard, &e), &e);
    assert_memory_equal(&said, &heard, sizeof said);
    numbers a = look(&part), b = look(&rest);
    same(&a, &b);
    forget(&a);
    forget(&b);
    rest.t.seed_value = part.t.seed_value;
    rest.t.step = 3;
    for (int i = 0; i < 3; i++) t_update(&rest);
    a = look(&whole);
    b = look(&rest);
    same(&a, &b);
    forget(&a);
    forget(&b);
    t_lab_close(&whole);
    t_lab_close(&part);
    t_lab_close(&rest);
}

static void what_is_saved_goes_on(void **state)
{
    (void)state;
    t_each_machine(2, goes_on);
}

/* Another net's weights, a file that is no checkpoint: refused, and nothing has changed. */
static void refused(const char *from, const char *into, int what, int resume, const char *why)
{
    char path[300];
    am_err e = {0};
    am_backend be;
    t_lab a, b;
    am_progress progress = {.step = 1};
    t_open_machine(&be, 1);
    t_lab_open(&a, &be, from);
    t_lab_open(&b, &be, into);
    t_path(path, sizeof path, "other.weights");
    t_update(&a);
    t_update(&b);
    numbers before = look(&b);
    t_ok(am_weights_save(&a.t, path, what, what == AM_SAVE_CHECKPOINT ? &progress : NULL, &e), &e);
    assert_int_equal(am_weights_load(&b.t, path, resume ? &progress : NULL, &e), AM_EINPUT);
    if (!strstr(e.text, why)) fail_msg("wanted '... %s ...', got '%s'", why, e.text);
    assert_string_equal(e.place, path);
    numbers after = look(&b);
    same(&before, &after);
    forget(&before);
    forget(&after);
    t_lab_close(&a);
    t_lab_close(&b);
    t_close_machine(&be);
}

#define HEAD(n) "[avgpool]\n[connected]\noutput=" #n "\nactivation=linear\n[softmax]\n"
#define CONV(n, more)                                                                              \
    "[net]\nbatch=4\nwidth=6\nheight=6\n[convolutional]\nfilters=" #n                              \
    "\nsize=3\nactivation=relu\n" more

static void weights_of_another_net_are_refused(void **state)
{
    (void)state;
    refused(CONV(4, HEAD(3)), CONV(5, HEAD(3)), AM_SAVE_WEIGHTS, 0,
            "student.0.weights has 108 numbers in another shape than layer 0 ([convolutional], "
            "lab.cfg:5) needs (135)");
    refused(CONV(4, HEAD(3)), CONV(4, HEAD(2)), AM_SAVE_WEIGHTS, 0, "another network");
    refused(CONV(4, HEAD(3)), CONV(4, "batch_normalize=1\n" HEAD(3)), AM_SAVE_WEIGHTS, 0,
            "has no tensor student.0.scales");
    refused(CONV(4, HEAD(3)), CONV(4, HEAD(3)), AM_SAVE_WEIGHTS, 1, "cannot be resumed");
    refused(CONV(4, HEAD(3)), CONV(4, HEAD(3) "[momentum_teacher]\n"), AM_SAVE_CHECKPOINT, 1,
            "no teacher");
}

static void a_teacher_starts_from_the_student(void **state)
{
    char path[300];
    (void)state;
    am_err e = {0};
    am_backend be;
    t_lab a, b;
    t_open_machine(&be, 1);
    t_lab_open(&a, &be, CONV(4, "batch_normalize=1\n" HEAD(3)));
    t_lab_open(&b, &be, CONV(4, "batch_normalize=1\n" HEAD(3) "[momentum_teacher]\n"));
    t_update(&a);
    t_ok(am_weights_save(&a.t, t_path(path, sizeof path, "plain.weights"), AM_SAVE_WEIGHTS, NULL,
                         &e),
         &e);
    t_ok(am_weights_load(&b.t, path, NULL, &e), &e);
    numbers x = look(&a), y = look(&b);
    assert_memory_equal(x.value, y.value, x.learned * sizeof(float));
    assert_memory_equal(x.value, y.teacher, x.learned * sizeof(float));
    assert_memory_equal(x.buffer, y.statistics, x.buffers * sizeof(float));
    /* and the other way round: the teacher's tensors are not asked for */
    t_ok(am_weights_save(&b.t, path, AM_SAVE_WEIGHTS, NULL, &e), &e);
    t_ok(am_weights_load(&a.t, path, NULL, &e), &e);
    forget(&x);
    forget(&y);
    t_lab_close(&a);
    t_lab_close(&b);
    t_close_machine(&be);
}

/* ---- from the weights of another net ---- */
#define BODY                                                                                       \
    "[net]\nbatch=4\nwidth=8\nheight=8\n[convolutional]\nname=body\nbatch_normalize=1\n"           \
    "filters=4\nsize=3\npad=1\nactivation=relu\n[avgpool]\nname=pool\n"
#define END(n, fresh)                                                                              \
    "[connected]\ninput=pool\n" fresh "output=" #n "\nactivation=linear\n[softmax]\n"
#define ANOTHER                                                                                    \
    BODY END(7, "fresh=1\n") END(7, "fresh=1\n")                                                   \
        "[mixblock]\ninput=body\nfresh=1\n[mix]\nmethod=automix\n"

static void is_span(const float *a, const float *b, t_span s, int same)
{
    assert_int_equal(!memcmp(a + s.at, b + s.at, s.count * sizeof *a), same);
}

/* A trained net of ten classes and one head is where one of seven with two heads, a MixBlock and a
 * teacher begins: its body, bit for bit, and the initialisation of the rest. */
static void fresh_layers_take_nothing(void **state)
{
    (void)state;
    char path[300];
    am_err e = {0};
    am_backend be;
    t_lab ten, seven, untouched;
    t_open_machine(&be, 1);
    t_lab_open(&ten, &be, BODY END(10, ""));
    t_lab_open(&seven, &be, ANOTHER "[momentum_teacher]\n");
    t_lab_open(&untouched, &be, ANOTHER "[momentum_teacher]\n");
    for (int i = 0; i < 3; i++) t_update(&ten);
    for (int i = 0; i < 2; i++) t_update(&seven); /* so that the teacher is not the student */
    numbers start = look(&seven);
    t_ok(am_weights_save(&ten.t, t_path(path, sizeof path, "ten.weights"), AM_SAVE_WEIGHTS, NULL,
                         &e),
         &e);
    t_ok(am_weights_begin(&seven.t, path, &e), &e);
    numbers a = look(&ten), b = look(&seven);
    t_span body = t_learned(&seven.t.net, 1);
    assert_int_equal(body.at, 0);
    is_span(a.value, b.value, body, 1);
    is_span(start.value, b.value, body, 0);
    assert_memory_equal(a.buffer, b.buffer, a.buffers * sizeof(float));
    is_span(start.value, b.value, (t_span){body.count, b.learned - body.count}, 1);
    is_span(b.value, b.teacher, (t_span){0, b.block.at}, 1); /* the teacher starts as the student */
    assert_memory_equal(b.buffer, b.statistics, b.buffers * sizeof(float));
    forget(&b);
    t_ok(am_weights_begin(&untouched.t, path, &e), &e);
    assert_int_equal(am_fresh_layers(&untouched.t.net), 3);
    t_update(&untouched); /* and it learns */
    /* its own weights, with a teacher: whole for whom they are whole, anew for a new training */
    t_update(&seven);
    t_ok(am_weights_save(&seven.t, path, AM_SAVE_WEIGHTS, NULL, &e), &e);
    b = look(&seven);
    t_ok(am_weights_load(&untouched.t, path, NULL, &e), &e);
    numbers c = look(&untouched);
    assert_memory_equal(b.value, c.value, b.learned * sizeof(float));
    assert_memory_equal(b.teacher, c.teacher, b.learned * sizeof(float));
    forget(&c);
    t_lab_close(&untouched);
    t_lab_open(&untouched, &be, ANOTHER "[momentum_teacher]\n");
    t_ok(am_weights_begin(&untouched.t, path, &e), &e);
    c = look(&untouched);
    is_span(b.value, c.value, body, 1);
    is_span(b.value, c.value, (t_span){body.count, b.learned - body.count}, 0);
    is_span(c.value, c.teacher, (t_span){0, c.block.at}, 1);
    forget(&a);
    forget(&b);
    forget(&c);
    forget(&start);
    t_lab_close(&ten);
    t_lab_close(&seven);
    t_lab_close(&untouched);
    t_close_machine(&be);
}

static void without_the_key_another_net_is_refused(void **state)
{
    static const struct { const char *into, *why; } row[] = {
        {BODY END(7, ""), "student.2.weights has 40 numbers in another shape than layer 2 "
                          "([connected], lab.cfg:14) needs (28): these are weights of another "
                          "network; fresh=1 in that section lets the layer start anew"},
        {BODY END(10, "") "[mixblock]\ninput=body\n[mix]\nmethod=automix\n",
         "has no tensor student.4.query.weights, which layer 4 ([mixblock], lab.cfg:19) needs"},
        {BODY END(10, "") END(10, "fresh=1\n") "[mixblock]\ninput=body\n", "[mixblock]"},
    };
    (void)state;
    char path[300];
    am_err e = {0};
    am_backend be;
    t_lab ten, other;
    t_open_machine(&be, 1);
    t_lab_open(&ten, &be, BODY END(10, ""));
    t_ok(am_weights_save(&ten.t, t_path(path, sizeof path, "ten.weights"), AM_SAVE_WEIGHTS, NULL,
                         &e),
         &e);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        t_lab_open(&other, &be, row[i].into);
        numbers before = look(&other);
        assert_int_equal(am_weights_begin(&other.t, path, &e), AM_EINPUT);
        if (!strstr(e.text, row[i].why)) fail_msg("wanted '... %s', got '%s'", row[i].why, e.text);
        numbers after = look(&other);
        same(&before, &after);
        forget(&before);
        forget(&after);
        t_lab_close(&other);
    }
    /* who does not start a training wants them whole, and is told of no key that would not help */
    t_lab_open(&other, &be, BODY END(7, "fresh=1\n"));
    assert_int_equal(am_weights_load(&other.t, path, NULL, &e), AM_EINPUT);
    assert_null(strstr(e.text, "fresh"));
    t_lab_close(&other);
    t_lab_close(&ten);
    t_close_machine(&be);
}

/* ---- with am_train ---- */
typedef struct talk {
    long stop_after;
    char said[4000];
} talk;

static void hear(void *user, const char *text)
{
    talk *k = user;
    size_t n = strlen(k->said);
    snprintf(k->said + n, sizeof k->said - n, "%s\n", text);
}

static int stop(void *user)
{
    return --((talk *)user)->stop_after == 0;
}

/* A set of 30 pictures; each run has a backup folder and so a .data file of its own. */
static void lay_out(const char *folder, const char *cfg_name, const char *mix)
{
    char path[300], text[3000];
    am_err e = {0};
    am_shapes_request q = {.folder = t_path(path, sizeof path, "run"),
                           .train = 30,
                           .valid = 10,
                           .size = 16,
                           .seed = 1};
    t_ok(am_data_shapes(&q, &e), &e);
    snprintf(text, sizeof text, "%s.data", folder);
    FILE *f = fopen(t_path(path, sizeof path, text), "w");
    assert_non_null(f);
    fprintf(f, "classes=10\ntrain=%s\n", t_path(path, sizeof path, "run/train"));
    fprintf(f, "valid=%s\nformat=shapes\n", t_path(path, sizeof path, "run/valid"));
    fprintf(f, "backup=%s\n", t_path(path, sizeof path, folder));
    fclose(f);
    t_small_automix(text, sizeof text, "batch=5\nepochs=2\nflip=1\npad_crop=2\npolicy=cosine\n",
                    mix, 1);
    f = fopen(t_path(path, sizeof path, cfg_name), "w");
    assert_non_null(f);
    for (char *s = text; *s; s++)
        if (!strncmp(s, "output=3", 8))
            s += fprintf(f, "output=10") - 2;
        else
            fputc(*s, f);
    fclose(f);
}

static am_status train(const char *folder, const char *cfg, const char *backend, int threads,
                       long seed, int resume, long stop_after, talk *k, am_err *e)
{
    char data[320], path[300], name[100];
    talk quiet = {0};
    if (!k) k = &quiet;
    k->stop_after = stop_after;
    am_watch watch = {.user = k, .say = hear, .stop = stop};
    snprintf(name, sizeof name, "%s.data", folder);
    t_path(data, sizeof data, name);
    am_run run = {.data = data,
                  .cfg = t_path(path, sizeof path, cfg),
                  .backend = backend,
                  .precision = "fp32",
                  .threads = threads,
                  .seed = seed,
                  .resume = resume};
    return am_train(&run, &watch, e);
}

static char *final_bytes(const char *folder, size_t *size, am_arena *mem)
{
    char path[300], name[100], *bytes;
    am_err e = {0};
    snprintf(name, sizeof name, "%s/run_final.weights", folder);
    t_ok(am_file_slurp(mem, t_path(path, sizeof path, name), (size_t)1 << 30, &bytes, size, &e),
         &e);
    return bytes;
}

static void same_end(const char *a, const char *b)
{
    am_arena mem = {0};
    size_t n, m;
    char *x = final_bytes(a, &n, &mem), *y = final_bytes(b, &m, &mem);
    assert_int_equal(n, m);
    assert_memory_equal(x, y, n);
    am_arena_free(&mem);
}

static void a_stopped_run_ends_in_the_same_bytes(void **state)
{
    static const char *const backends[] = {"cpu", "simd"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        am_err e = {0};
        talk k = {0};
        if (!am_backend_find(backends[i]) || (t_backend && strcmp(t_backend, backends[i])))
            continue;
        lay_out("whole", "run.cfg", "");
        lay_out("parts", "run.cfg", "");
        t_ok(train("whole", "run.cfg", backends[i], 1, 7, 0, 0, NULL, &e), &e);
        t_ok(train("parts", "run.cfg", backends[i], 2, 7, 0, 4, NULL, &e),
             &e); /* in mid-epoch, which has 6 updates */
        t_ok(train("parts", "run.cfg", backends[i], 1, -1, 1, 2, NULL, &e),
             &e); /* at its end; the seed is the checkpoint's */
        t_ok(train("parts", "run.cfg", backends[i], 2, -1, 1, 0, &k, &e), &e);
        assert_non_null(strstr(k.said, "resuming from "));
        assert_non_null(strstr(k.said, "at update 6, epoch 1"));
        same_end("whole", "parts");
        assert_int_equal(train("parts", "run.cfg", backends[i], 1, 8, 1, 0, NULL, &e), AM_EUSAGE);
        assert_non_null(strstr(e.text, "has seed 7"));
    }
}

static void threads_do_not_matter(void **state)
{
    static const char *const backends[] = {"cpu", "simd"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        am_err e = {0};
        if (!am_backend_find(backends[i]) || (t_backend && strcmp(t_backend, backends[i])))
            continue;
        lay_out("one", "run.cfg", "mask_reduce=batch\n");
        lay_out("two", "run.cfg", "mask_reduce=batch\n");
        t_ok(train("one", "run.cfg", backends[i], 1, -1, 0, 0, NULL, &e), &e);
        t_ok(train("two", "run.cfg", backends[i], 2, -1, 0, 0, NULL, &e), &e);
        same_end("one", "two");
    }
}

static void resume_without_a_checkpoint_starts_anew(void **state)
{
    (void)state;
    am_err e = {0};
    talk k = {0};
    lay_out("anew", "run.cfg", "");
    lay_out("anew2", "run.cfg", "");
    const char *backend = t_backend ? t_backend : "cpu";
    t_ok(train("anew", "run.cfg", backend, 1, -1, 1, 0, &k, &e), &e);
    assert_non_null(strstr(k.said, "anew/run_last.weights yet: starting anew"));
    t_ok(train("anew2", "run.cfg", backend, 1, -1, 0, 0, NULL, &e), &e);
    same_end("anew", "anew2");
}

T_SUITE(checkpoint, cmocka_unit_test(what_is_saved_goes_on),
        cmocka_unit_test(weights_of_another_net_are_refused),
        cmocka_unit_test(a_teacher_starts_from_the_student),
        cmocka_unit_test(fresh_layers_take_nothing),
        cmocka_unit_test(without_the_key_another_net_is_refused),
        cmocka_unit_test(a_stopped_run_ends_in_the_same_bytes),
        cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(resume_without_a_checkpoint_starts_anew));
