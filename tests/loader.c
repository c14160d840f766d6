/* loader.c: batches are a function of seed, epoch and sample, whatever the threads do. */
#include "t.h"
#include "data.h"
#include <time.h>
#include <unistd.h>

enum { SIDE = 5, MOST = 64 };

/* A set of images that tell their own number, and that can refuse one. */
typedef struct made { int label[MOST], refuse, slow; } made;

static am_status read_made(const am_dataset *d, int index, am_image *img, am_err *e)
{
    const made *m = d->state;
    if (m->slow && index % 3 == 0) usleep(300);
    if (index == m->refuse)
        return am_fail(e, AM_EINPUT, (am_loc){"made", index}, "image %d is refused", index);
    AM_TRY(am_image_fit(img, SIDE, SIDE, e));
    for (int i = 0; i < 3 * SIDE * SIDE; i++) img->pixel[i] = (unsigned char)(index + i % 3 * 60);
    return AM_OK;
}

static am_dataset make(made *m, int count)
{
    *m = (made){.refuse = -1};
    for (int i = 0; i < count; i++) m->label[i] = i % 10;
    return (am_dataset){
        .count = count, .classes = 10, .label = m->label, .state = m, .read = read_made};
}

static am_loader_options options(int batch, int threads, int train)
{
    return (am_loader_options){.batch = batch,
                               .threads = threads,
                               .seed = 11,
                               .train = train,
                               .augment = {.width = SIDE,
                                           .height = SIDE,
                                           .flip = train,
                                           .pad_crop = train ? 2 : 0,
                                           .aspect = 1,
                                           .saturation = 1,
                                           .exposure = 1}};
}

static am_loader *open_loader(const am_dataset *d, am_loader_options o)
{
    am_loader *l;
    am_err e;
    t_ok(am_loader_open(&l, d, &o, &e), &e);
    return l;
}

static const am_host_batch *next(am_loader *l)
{
    const am_host_batch *b;
    am_err e;
    t_ok(am_loader_next(l, &b, &e), &e);
    return b;
}

/* FNV-1a */
static uint64_t hash(uint64_t h, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) h = (h ^ ((const unsigned char *)bytes)[i]) * 1099511628211u;
    return h;
}

static uint64_t hash_batch(const am_host_batch *b, int batch)
{
    uint64_t h = hash(14695981039346656037u, b->pixel, (size_t)(3 * SIDE * SIDE * batch));
    h = hash(h, b->label, (size_t)batch * sizeof(int));
    return hash(h, b->index, (size_t)batch * sizeof(int));
}

static void an_epoch_is_a_shuffle(void **state)
{
    (void)state;
    made m;
    am_dataset d = make(&m, 43);
    am_loader *l = open_loader(&d, options(10, 2, 1));
    int order[2][40];
    assert_int_equal(am_loader_batches(l), 4); /* the 3 left over are dropped */
    for (int epoch = 0; epoch < 2; epoch++) {
        int seen[43] = {0};
        for (int k = 0; k < 4; k++) {
            const am_host_batch *b = next(l);
            assert_int_equal(b->epoch, epoch);
            assert_int_equal(b->number, k);
            assert_int_equal(b->n, 10);
            for (int i = 0; i < 10; i++) {
                assert_in_range(b->index[i], 0, 42);
                assert_int_equal(b->label[i], b->index[i] % 10);
                assert_int_equal(seen[b->index[i]]++, 0);
                order[epoch][10 * k + i] = b->index[i];
            }
        }
    }
    int same = 0, rising = 0;
    for (int i = 0; i < 40; i++)
        same += order[0][i] == order[1][i], rising += i && order[0][i] > order[0][i - 1];
    assert_true(same < 8);
    assert_in_range(rising, 10, 30);
    am_loader_close(l);
}

static void validation_is_in_order_and_padded(void **state)
{
    (void)state;
    made m;
    am_dataset d = make(&m, 23);
    am_loader *l = open_loader(&d, options(10, 3, 0));
    assert_int_equal(am_loader_batches(l), 3);
    for (int epoch = 0; epoch < 2; epoch++)
        for (int k = 0; k < 3; k++) {
            const am_host_batch *b = next(l);
            assert_int_equal(b->n, k < 2 ? 10 : 3);
            for (int i = 0; i < 10; i++) {
                int at = 10 * k + i, real = at < 23;
                assert_int_equal(b->index[i], real ? at : -1);
                assert_int_equal(b->label[i], real ? at % 10 : -1);
                for (int p = 0; p < 3 * SIDE * SIDE; p++)
                    assert_int_equal(b->pixel[3 * SIDE * SIDE * i + p], real ? at + p % 3 * 60 : 0);
            }
        }
    am_loader_close(l);
}

static void threads_change_nothing(void **state)
{
    (void)state;
    made m;
    am_dataset d = make(&m, 50);
    uint64_t first[30];
    const int threads[] = {1, 2, 7};
    for (int t = 0; t < 3; t++) {
        m.slow = t > 0;
        am_loader *l = open_loader(&d, options(12, threads[t], 1));
        for (int k = 0; k < 30; k++) {
            uint64_t h = hash_batch(next(l), 12);
            if (!t) first[k] = h;
            else if (h != first[k]) fail_msg("batch %d differs with %d threads", k, threads[t]);
        }
        am_loader_close(l);
    }
    for (int k = 1; k < 30; k++) assert_true(first[k] != first[0]);
}

static void seeds_and_epochs_differ(void **state)
{
    (void)state;
    made m;
    am_dataset d = make(&m, 20);
    am_loader_options o = options(20, 1, 1);
    am_loader *a = open_loader(&d, o);
    o.seed++;
    am_loader *b = open_loader(&d, o);
    const am_host_batch *x = next(a), *y = next(b);
    assert_true(memcmp(x->index, y->index, sizeof(int) * 20));
    unsigned char window[2][20][3 * SIDE * SIDE]; /* the same image is cut anew each epoch */
    for (int epoch = 0; epoch < 2; epoch++, x = next(a))
        for (int i = 0; i < 20; i++)
            memcpy(window[epoch][x->index[i]], x->pixel + 3 * SIDE * SIDE * i, 3 * SIDE * SIDE);
    int same = 0;
    for (int i = 0; i < 20; i++) same += !memcmp(window[0][i], window[1][i], 3 * SIDE * SIDE);
    assert_true(same < 8);
    am_loader_close(a);
    am_loader_close(b);
}

static void seeks_to_any_batch(void **state)
{
    (void)state;
    made m;
    am_dataset d = make(&m, 33);
    am_loader *l = open_loader(&d, options(8, 3, 1));
    uint64_t straight[40];
    for (int k = 0; k < 40; k++) straight[k] = hash_batch(next(l), 8);
    am_loader_close(l);
    m.slow = 1;
    l = open_loader(&d, options(8, 3, 1));
    am_rng rng = am_rng_at(1, 2, 3);
    for (int i = 0; i < 200; i++) {
        int k = (int)am_rng_below(&rng, 36), steps = (int)am_rng_below(&rng, 4);
        am_loader_seek(l, k / 4, k % 4);
        for (int s = 0; s < steps; s++, k++) {
            const am_host_batch *b = next(l);
            assert_int_equal(b->epoch * 4 + b->number, k);
            assert_true(hash_batch(b, 8) == straight[k]);
        }
        am_loader_seek(l, k / 4, k % 4); /* where it is already */
        assert_true(hash_batch(next(l), 8) == straight[k]);
    }
    am_loader_close(l);
}

static void faults_come_out_in_their_place(void **state)
{
    (void)state;
    made m;
    am_dataset d = make(&m, 40);
    m.refuse = 25;
    am_loader *l = open_loader(&d, options(10, 3, 0));
    const am_host_batch *b;
    am_err e = {0};
    assert_int_equal(next(l)->number, 0);
    assert_int_equal(next(l)->number, 1);
    for (int i = 0; i < 2; i++) { /* asking again gets the same answer */
        assert_int_equal(am_loader_next(l, &b, &e), AM_EINPUT);
        assert_null(b);
        assert_string_equal(e.place, "made:25");
        assert_string_equal(e.text, "image 25 is refused");
    }
    assert_int_equal(am_loader_next(l, &b, NULL), AM_EINPUT);
    am_loader_seek(l, 2, 3); /* past it, all is well */
    assert_int_equal(next(l)->index[0], 30);
    am_loader_close(l);
}

/* Of several bad images in a batch it is the first that is told, with any number of threads. */
static am_status refuse_some(const am_dataset *d, int index, am_image *img, am_err *e)
{
    if (index >= 13) return am_fail(e, AM_EINPUT, (am_loc){"made", index}, "no");
    return read_made(d, index, img, e);
}

static void the_first_fault_is_told(void **state)
{
    (void)state;
    made m;
    am_dataset d = make(&m, 60);
    d.read = refuse_some;
    for (int i = 0; i < 50; i++) {
        am_loader *l = open_loader(&d, options(60, 5, 0));
        const am_host_batch *b;
        am_err e = {0};
        assert_int_equal(am_loader_next(l, &b, &e), AM_EINPUT);
        assert_string_equal(e.place, "made:13");
        am_loader_close(l);
    }
}

static void closes_at_any_time(void **state)
{
    (void)state;
    made m;
    am_dataset d = make(&m, 60);
    m.slow = 1;
    for (int i = 0; i < 60; i++) {
        am_loader *l = open_loader(&d, options(10, 1 + i % 4, i % 2));
        for (int k = 0; k < i % 7; k++) next(l);
        am_loader_close(l);
    }
    am_loader_close(NULL);
}

static void refuses_batches_beyond_the_set(void **state)
{
    (void)state;
    made m;
    am_dataset d = make(&m, 9);
    am_loader *l;
    am_loader_options o = options(10, 1, 1);
    am_err e = {0};
    assert_int_equal(am_loader_open(&l, &d, &o, &e), AM_EINPUT);
    assert_null(l);
    assert_string_equal(e.text, "the training set has 9 images and a batch takes 10; use a smaller "
                                "batch");
    o.train = 0;
    t_ok(am_loader_open(&l, &d, &o, &e), &e);
    assert_int_equal(next(l)->n, 9);
    am_loader_close(l);
}

/* The batch in the caller's hands is not touched while the threads run ahead, and they sleep when
 * there is nothing to do. */
static void waits_without_spinning(void **state)
{
    (void)state;
    made m;
    am_dataset d = make(&m, 40);
    am_loader *l = open_loader(&d, options(10, 4, 1));
    const am_host_batch *b = next(l);
    uint64_t h = hash_batch(b, 10);
    usleep(50000);
    clock_t before = clock();
    usleep(300000);
    assert_true((double)(clock() - before) / CLOCKS_PER_SEC < 0.1);
    assert_true(hash_batch(b, 10) == h);
    am_loader_close(l);
}

static am_status read_spots(const am_dataset *d, int index, am_image *img, am_err *e)
{
    (void)d;
    AM_TRY(am_image_fit(img, SIDE, SIDE, e));
    for (int i = 0; i < 3 * SIDE * SIDE; i++) img->pixel[i] = (unsigned char)(index + 3 * i);
    return AM_OK;
}

/* Where images lie elsewhere, a loader gives windows; they are those of the batches of bytes. */
static void windows_instead_of_bytes(void **state)
{
    (void)state;
    made m;
    am_dataset d = make(&m, 43);
    am_loader_options o = options(10, 2, 1);
    am_err e;
    d.read = read_spots;
    am_loader *bytes = open_loader(&d, o), *windows, *none;
    o.windows = 1;
    windows = open_loader(&d, o);
    for (int k = 0; k < 9; k++) {
        const am_host_batch *b = next(bytes), *w = next(windows);
        assert_true(b->pixel && !b->window && w->window && !w->pixel);
        for (int i = 0; i < 10; i++) {
            const am_window *at = &w->window[i];
            assert_true(w->index[i] == b->index[i] && w->label[i] == b->label[i]);
            assert_int_equal(at->image, b->index[i]);
            for (int p = 0; p < SIDE * SIDE; p++) {
                int column = p % SIDE, y = at->y + p / SIDE;
                int x = at->x + (at->flip ? SIDE - 1 - column : column);
                int inside = x >= 0 && y >= 0 && x < SIDE && y < SIDE;
                int want = inside ? (at->image + 9 * (y * SIDE + x)) % 256 : 0;
                assert_int_equal(b->pixel[3 * (i * SIDE * SIDE + p)], want);
            }
        }
    }
    am_loader_close(bytes);
    am_loader_close(windows);
    o.augment.hue = 0.1;
    assert_int_equal(am_loader_open(&none, &d, &o, &e), AM_EBUG);
}

T_SUITE(loader, cmocka_unit_test(windows_instead_of_bytes),
        cmocka_unit_test(an_epoch_is_a_shuffle),
        cmocka_unit_test(validation_is_in_order_and_padded),
        cmocka_unit_test(threads_change_nothing), cmocka_unit_test(seeds_and_epochs_differ),
        cmocka_unit_test(seeks_to_any_batch), cmocka_unit_test(faults_come_out_in_their_place),
        cmocka_unit_test(the_first_fault_is_told), cmocka_unit_test(closes_at_any_time),
        cmocka_unit_test(refuses_batches_beyond_the_set), cmocka_unit_test(waits_without_spinning));
