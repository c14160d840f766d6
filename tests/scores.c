/* scores.c: what valid tells: every net and head, the bins of their reliability diagrams, and
 * images that are corrupted, a severity at a time. */
#include "lab.h"
#include <sys/stat.h>

enum { COUNT = 21, SIDE = 8, BYTES = 3 * SIDE * SIDE, BLOCKS = 5 };

static void put_npy(const char *name, int images, const unsigned char *pixel, const int *label)
{
    char path[300], text[120];
    for (int k = 0; k < 2; k++) {
        if (k && !label) return;
        snprintf(text, sizeof text, "%s%s.npy", name, k ? "_labels" : "");
        FILE *f = fopen(t_path(path, sizeof path, text), "wb");
        assert_non_null(f);
        snprintf(text, sizeof text, "{'descr': '|u1', 'fortran_order': False, 'shape': (%d,%s)}",
                 images, k ? "" : " 8, 8, 3");
        fprintf(f, "\x93NUMPY%c%c%c%c%-117s\n", 1, 0, 118, 0, text);
        for (int i = 0; k && i < images; i++) fputc(label[i], f);
        if (!k) fwrite(pixel, 1, (size_t)images * BYTES, f);
        assert_int_equal(fclose(f), 0);
    }
}

static void put_text(const char *name, const char *text)
{
    char path[300];
    FILE *f = fopen(t_path(path, sizeof path, name), "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void put_data(const char *name, const char *valid, const char *corruptions)
{
    char text[1000], a[300], b[300];
    snprintf(text, sizeof text, "classes=3\nvalid=%s\n%s%s\n", t_path(a, sizeof a, valid),
             corruptions ? "corruptions=" : "",
             corruptions ? t_path(b, sizeof b, corruptions) : "");
    put_text(name, text);
}

/* ---- what is told ---- */
typedef struct told {
    am_score_news score[4];
    int scores;
    am_corrupted_news corrupted[40];
    int corruptions;
    char warning[700];
} told;

static void tell(void *user, const am_score_news *n)
{
    told *t = user;
    t->score[t->scores++] = *n;
}
static void tell_corrupted(void *user, const am_corrupted_news *n)
{
    told *t = user;
    assert_true(t->corruptions < 40);
    t->corrupted[t->corruptions++] = *n;
}
static void warn(void *user, const char *text)
{
    snprintf(((told *)user)->warning, 700, "%s", text);
}

static am_status valid(const char *data, const char *net, const char *head, const char *bins,
                       told *t, am_err *e)
{
    char a[300], b[300], c[300];
    *t = (told){0};
    am_run run = {.data = t_path(a, sizeof a, data),
                  .cfg = t_path(b, sizeof b, "scores.cfg"),
                  .weights = t_path(c, sizeof c, "scores.weights"),
                  .backend = t_backend,
                  .precision = "fp32",
                  .threads = 1,
                  .batch = 8, /* 21 images: the last batch is padded */
                  .seed = -1};
    am_valid_request q = {.net = net,
                          .head = head,
                          .bins = bins,
                          .user = t,
                          .tell = tell,
                          .tell_corrupted = tell_corrupted};
    am_watch watch = {.user = t, .warn = warn};
    return am_valid(&run, &q, &watch, e);
}

/* Weights of a net that has opinions, images and labels; pixels [BLOCKS][COUNT] of five severities.
 * */
static unsigned char pixel[BLOCKS * COUNT * BYTES];
static int label[BLOCKS * COUNT];

static void lay_out(void)
{
    static const char lines[] = "batch=8\nmean=0.5,0.5,0.5\nstd=0.1,0.1,0.1\n";
    char text[3000], path[300];
    am_backend be;
    t_lab l;
    am_err e = {0};
    t_open_machine(&be, 1);
    t_small_automix(text, sizeof text, lines, "", 1);
    put_text("scores.cfg", text);
    t_lab_stir(&l, &be, lines, "", 1);
    t_ok(am_weights_save(&l.t, t_path(path, sizeof path, "scores.weights"), AM_SAVE_WEIGHTS, NULL,
                         &e),
         &e);
    t_lab_close(&l);
    t_close_machine(&be);
    am_rng r = am_rng_at(3, 0, 0);
    for (size_t i = 0; i < sizeof pixel; i++) /* pictures that differ in their colours */
        pixel[i] = (unsigned char)(am_rng_below(&r, 64) + 48 * (i / BYTES * 7 % 5 + i % 3 % 2));
    for (int i = 0; i < BLOCKS * COUNT; i++) label[i] = i % COUNT * 5 % 3;
    mkdir(t_path(path, sizeof path, "corrupted"), 0777);
    put_npy("clean", COUNT, pixel, label);
}

static void every_net_and_head_is_calibrated(void **state)
{
    (void)state;
    told t;
    am_err e = {0};
    char bins[300], line[200];
    lay_out();
    put_data("scores.data", "clean.npy", NULL);
    t_ok(valid("scores.data", NULL, NULL, t_path(bins, sizeof bins, "bins.csv"), &t, &e), &e);
    assert_int_equal(t.scores, 4);
    assert_string_equal(t.score[0].net, "teacher");
    assert_string_equal(t.score[0].head, "one");
    assert_string_equal(t.score[3].net, "student");
    assert_string_equal(t.score[3].head, "mix");
    assert_int_equal(t.corruptions, 0);
    /* what is told follows from the file of the bins, for each */
    FILE *f = fopen(bins, "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof line, f));
    assert_string_equal(line, "net,head,above,to,count,accuracy,confidence\n");
    for (int k = 0; k < 4; k++) {
        double off = 0, right = 0, sure = 0;
        long n = 0;
        for (int m = 0; m < AM_BINS; m++) {
            char net[20], head[20];
            double above, to, accuracy, confidence;
            long count;
            assert_non_null(fgets(line, sizeof line, f));
            int fields = sscanf(line, "%19[a-z],%19[a-z],%lf,%lf,%ld,%lf,%lf", net, head, &above,
                                &to, &count, &accuracy, &confidence);
            assert_int_equal(fields, count ? 7 : 5);
            assert_string_equal(net, t.score[k].net);
            assert_string_equal(head, t.score[k].head);
            assert_true(fabs(above - m / 15.) < 1e-6 && fabs(to - (m + 1) / 15.) < 1e-6);
            if (!count) continue;
            assert_true(confidence > above - 1e-6 && confidence < to + 1e-6);
            n += count;
            right += accuracy * (double)count;
            sure += confidence * (double)count;
            off += fabs(accuracy - confidence) * (double)count;
        }
        assert_int_equal(n, COUNT);
        assert_true(fabs(t.score[k].top1 - 100 * right / COUNT) < 1e-3);
        assert_true(fabs(t.score[k].ece - 100 * off / COUNT) < 1e-3);
        assert_true(fabs(t.score[k].gap - 100 * (sure - right) / COUNT) < 1e-3);
    }
    assert_null(fgets(line, sizeof line, f));
    fclose(f);
    assert_true(t.score[0].ece != t.score[2].ece); /* teacher and student differ */
    told one;
    t_ok(valid("scores.data", "student", "mix", bins, &one, &e), &e);
    assert_int_equal(one.scores, 1);
    assert_true(one.score[0].ece == t.score[3].ece && one.score[0].gap == t.score[3].gap);
}

/* A severity of a corruption scores what its images score as a set of their own; the means are
 * means. */
static void corruptions_are_scored_block_by_block(void **state)
{
    (void)state;
    told t, part;
    am_err e = {0};
    double want[2][BLOCKS];
    lay_out();
    put_data("part.data", "part.npy", NULL);
    put_data("scores.data", "clean.npy", "corrupted");
    put_npy("corrupted/fog", BLOCKS * COUNT, pixel, label);
    static unsigned char other[sizeof pixel];
    for (size_t i = 0; i < sizeof pixel; i++) other[i] = (unsigned char)(255 - pixel[i]);
    put_npy("corrupted/spatter", BLOCKS * COUNT, other, label); /* not among the 15 */
    put_npy("corrupted/unheard_of", BLOCKS * COUNT, other, label);
    for (int k = 0; k < 2; k++)
        for (int b = 0; b < BLOCKS; b++) {
            put_npy("part", COUNT, (k ? pixel : other) + (size_t)b * COUNT * BYTES, label);
            t_ok(valid("part.data", "teacher", "one", NULL, &part, &e), &e);
            want[k][b] = part.score[0].top1;
        }
    t_ok(valid("scores.data", NULL, NULL, NULL, &t, &e), &e);
    assert_int_equal(t.scores, 4);
    assert_string_equal(t.warning, "");
    assert_int_equal(t.corruptions,
                     4 * 4); /* two corruptions, two means, of two nets and two heads */
    static const struct {
        const char *name;
        int of, all, images;
    } row[] = {
        {"fog", 1, 19, 105}, {"spatter", 1, 19, 105}, {NULL, 2, 19, 210}, {NULL, 1, 15, 105}};
    const am_corrupted_news *at[4];
    for (int i = 0; i < 4; i++) {
        const am_corrupted_news *n = at[i] = &t.corrupted[4 * i];
        assert_string_equal(n->net, "teacher");
        assert_string_equal(n->head, "one");
        assert_string_equal(n[2].net, "student");
        if (row[i].name)
            assert_string_equal(n->name, row[i].name);
        else
            assert_null(n->name);
        assert_int_equal(n->of, row[i].of);
        assert_int_equal(n->all, row[i].all);
        assert_int_equal(n->images, row[i].images);
    }
    double sum = 0, spread = 0;
    for (int b = 0; b < BLOCKS; b++) {
        assert_true(at[0]->severity[b] == want[1][b] && at[1]->severity[b] == want[0][b]);
        assert_true(fabs(at[2]->severity[b] - (want[0][b] + want[1][b]) / 2) < 1e-9);
        assert_true(at[3]->severity[b] == want[1][b]);
        sum += want[0][b] + want[1][b];
        spread += fabs(want[1][b] - want[1][0]);
    }
    assert_true(fabs(at[2]->top1 - sum / 10) < 1e-9);
    assert_true(at[0]->severity[0] == t.score[0].top1); /* the first block is the clean set */
    assert_true(spread > 0); /* and blocks can be told apart */
}

static void refused(const char *why)
{
    told t;
    am_err e = {0};
    assert_int_equal(valid("scores.data", NULL, NULL, NULL, &t, &e), AM_EINPUT);
    if (!strstr(e.text, why)) fail_msg("wanted '... %s ...', got '%s'", why, e.text);
    assert_int_equal(t.scores, 0); /* before anything is scored */
}

static void wrong_folders_are_told_first(void **state)
{
    (void)state;
    told t;
    am_err e = {0};
    char path[300];
    lay_out();
    put_data("scores.data", "clean.npy", "nowhere");
    refused("nowhere is no folder");
    put_data("scores.data", "clean.npy", "empty");
    mkdir(t_path(path, sizeof path, "empty"), 0777);
    refused("scripts/get_cifar100c.sh fetches it");
    put_data("scores.data", "clean.npy", "corrupted");
    put_npy("corrupted/spatter", COUNT, pixel, label);
    put_npy("corrupted/fog", BLOCKS * COUNT, pixel, label);
    refused("has 21 images, which are not 5 severities");
    put_npy("corrupted/spatter", BLOCKS * COUNT, pixel, label);
    label[COUNT + 2] = (label[COUNT + 2] + 1) % 3; /* the first of them is looked at */
    put_npy("corrupted/fog", BLOCKS * COUNT, pixel, label);
    t_ok(valid("scores.data", "teacher", "one", NULL, &t, &e), &e);
    assert_non_null(strstr(t.warning, "are these images of another set?"));
}

T_SUITE(scores, cmocka_unit_test(every_net_and_head_is_calibrated),
        cmocka_unit_test(corruptions_are_scored_block_by_block),
        cmocka_unit_test(wrong_folders_are_told_first));
