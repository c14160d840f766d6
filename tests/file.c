/* file.c, weights_file.c, safetensors.c: what comes back is what was written, and whatever happens
 * to a file on the way is noticed before anything of it is used. */
#include "t.h"
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include "file.h"

static float some[6] = {1, -2, 3.5f, 1e-30f, 0, 6};
static int32_t ints[2] = {-7, 1 << 30};
static int64_t longs[1] = {INT64_MIN};
static double doubles[2] = {1e-300, 3};
static unsigned char bytes5[5] = {0, 1, 127, 128, 255};
static const am_tensor sample[] = {
    {"student.0.weights", AM_F32, 2, {2, 3}, some}, {"step", AM_I64, 0, {0}, longs},
    {"a", AM_U8, 1, {5}, bytes5},                   {"b", AM_F64, 1, {2}, doubles},
    {"none", AM_F32, 2, {0, 4}, some},              {"c", AM_I32, 3, {1, 2, 1}, ints},
};
enum { SAMPLES = sizeof sample / sizeof *sample };
static const char cfg[] = "[net]\nbatch=2\n";

static void same_tensors(const am_tensors *t)
{
    assert_int_equal(t->count, SAMPLES);
    for (int i = 0; i < SAMPLES; i++) {
        const am_tensor *got = am_tensor_find(t, sample[i].name);
        assert_non_null(got);
        assert_int_equal(got->type, sample[i].type);
        assert_int_equal(got->dims, sample[i].dims);
        for (int d = 0; d < got->dims; d++) assert_int_equal(got->dim[d], sample[i].dim[d]);
        size_t n = am_tensor_count(got) * am_type_size(got->type);
        assert_memory_equal(got->data, sample[i].data, n);
        assert_int_equal((uintptr_t)got->data % am_type_size(got->type), 0);
    }
    assert_null(am_tensor_find(t, "student.0.biases"));
}

static unsigned char *load(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    unsigned char *b = malloc(1 << 20);
    assert_non_null(b);
    *size = fread(b, 1, 1 << 20, f);
    fclose(f);
    return b;
}

static void store(const char *path, const void *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    fclose(f);
}

static void weights_come_back(void **state)
{
    (void)state;
    char path[300];
    am_tensors t;
    am_err e;
    t_path(path, sizeof path, "a.weights");
    t_ok(am_weights_write(path, cfg, sample, SAMPLES, &e), &e);
    t_ok(am_weights_read(&t, path, &e), &e);
    assert_string_equal(t.cfg, cfg);
    same_tensors(&t);
    for (int i = 0; i < t.count; i++) assert_int_equal((uintptr_t)t.tensor[i].data % 64, 0);
    am_tensors_free(&t);
    t_ok(am_weights_write(path, NULL, NULL, 0, &e), &e);
    t_ok(am_weights_read(&t, path, &e), &e);
    assert_string_equal(t.cfg, "");
    assert_int_equal(t.count, 0);
    am_tensors_free(&t);
}

/* Every bit flipped, every prefix, bytes added: all refused, and nothing is left in the struct. */
static void damage_is_seen(void **state)
{
    (void)state;
    char path[300];
    am_tensors t;
    am_err e;
    size_t size;
    t_path(path, sizeof path, "b.weights");
    t_ok(am_weights_write(path, cfg, sample, SAMPLES, &e), &e);
    unsigned char *b = load(path, &size);
    for (size_t i = 0; i < size; i++)
        for (int bit = 0; bit < 8; bit++) {
            b[i] ^= (unsigned char)(1 << bit);
            if (am_weights_parse(&t, b, size, "x", &e) != AM_EINPUT)
                fail_msg("byte %zu bit %d passed", i, bit);
            assert_null(t.mem.top);
            assert_int_equal(t.count, 0);
            b[i] ^= (unsigned char)(1 << bit);
        }
    for (size_t n = 0; n < size; n++) {
        unsigned char *cut = malloc(n + 1);             /* its own block: reading past it is seen */
        assert_non_null(cut);
        memcpy(cut, b, n);
        if (am_weights_parse(&t, cut, n, "x", &e) != AM_EINPUT)
            fail_msg("%zu bytes of %zu passed", n, size);
        free(cut);
    }
    b[size] = 0;
    assert_int_equal(am_weights_parse(&t, b, size + 1, "x", &e), AM_EINPUT);
    assert_int_equal(am_weights_parse(&t, b, size, "x", &e), AM_OK);
    am_tensors_free(&t);
    free(b);
}

static void refused_weights(const void *bytes, size_t size, const char *why)
{
    am_tensors t;
    am_err e = {0};
    assert_int_equal(am_weights_parse(&t, bytes, size, "x.weights", &e), AM_EINPUT);
    assert_string_equal(e.text, why);
    assert_string_equal(e.place, "x.weights");
}

static void damage_in_words(void **state)
{
    (void)state;
    char path[300];
    am_err e;
    size_t size;
    t_path(path, sizeof path, "c.weights");
    t_ok(am_weights_write(path, cfg, sample, SAMPLES, &e), &e);
    unsigned char *b = load(path, &size);
    refused_weights("", 0, "is empty");
    refused_weights("hello", 5, "is not a weight file of automix");
    refused_weights("\0\0\0\0\2\0\0\0\0\0\0\0", 12,
                    "is a weight file of Darknet; automix reads its own only");
    b[7] = '2';
    refused_weights(b, size, "was made by a newer automix (format 2; this one reads format 1)");
    b[7] = '1';
    refused_weights(
        b, 20, "is damaged: it ends within its header; take another copy or an older checkpoint");
    char why[200];
    snprintf(why, sizeof why,
             "is damaged: it has %zu bytes and should have %zu; take another copy or an older "
             "checkpoint",
             size - 64, size);
    refused_weights(b, size - 64, why);
    b[64] ^= 1;
    refused_weights(b, size, "is damaged: the checksum of its cfg or of its table is wrong; "
                             "take another copy or an older checkpoint");
    b[64] ^= 1;
    b[size - 64] ^= 1;
    refused_weights(b, size, "is damaged: the checksum of tensor 'c' is wrong; "
                             "take another copy or an older checkpoint");
    free(b);
    am_tensor twice[2] = {sample[0], sample[0]};
    assert_int_equal(am_weights_write(path, cfg, twice, 2, &e), AM_EINPUT);
    assert_string_equal(e.text, "two tensors are called 'student.0.weights'");
}

/* One tensor 'a' of 5 bytes and a cfg of 4 in a file whose sums are put right after `at` became
 * `value` (at 128: the whole name), and `more` zeros behind it.  The header is 0 to 63, the cfg 64
 * to 127, the row 128 to 263, the data 320 to 383. */
static void forged(size_t at, uint64_t value, size_t more, const char *why)
{
    char path[300];
    am_err e;
    size_t size;
    t_path(path, sizeof path, "forged.weights");
    t_ok(am_weights_write(path, "abc", &sample[2], 1, &e), &e);
    unsigned char *b = load(path, &size);
    assert_int_equal(size, 384);
    memset(b + size, 0, more);
    size += more;
    for (size_t i = 0; i < (at == 128 ? 64 : 8); i += 8) memcpy(b + at + i, &value, 8);
    uint64_t sum, total = size;
    memcpy(b + 8, &total, 8);
    sum = XXH3_64bits(b + 64, 4);
    memcpy(b + 32, &sum, 8);
    sum = XXH3_64bits(b + 128, 136);
    memcpy(b + 40, &sum, 8);
    sum = XXH3_64bits(b, 56);
    memcpy(b + 56, &sum, 8);
    if (why) {
        refused_weights(b, size, why);
    } else {
        am_tensors t;
        t_ok(am_weights_parse(&t, b, size, "x", &e), &e);
        am_tensors_free(&t);
    }
    free(b);
}

/* Right checksums are no proof of a right file. */
static void forgeries_are_seen(void **state)
{
    (void)state;
    static const char misplaced[] = "is damaged: tensor 'a' does not lie where its shape puts it";
    static const char unknown[] = "tensor 'a' has a type or shape that automix does not know";
    static const char large[] = "is damaged: its parts are larger than the file; "
                                "take another copy or an older checkpoint";
    forged(384, 0, 0, NULL);
    forged(384, 0, 64, "is damaged: there is more in it than its table says; "
                       "take another copy or an older checkpoint");
    forged(248, 256, 0, misplaced);
    forged(248, UINT64_MAX - 63, 0, misplaced);
    forged(200, 65, 0, misplaced);
    forged(200, UINT64_MAX / 4, 0, misplaced);
    forged(200, UINT64_MAX, 0, misplaced);
    forged(200, 4, 0, "is damaged: the checksum of tensor 'a' is wrong; "
                      "take another copy or an older checkpoint");
    forged(192, 5 | (uint64_t)1 << 32, 0, unknown);
    forged(192, 4 | (uint64_t)7 << 32, 0, unknown);
    forged(128, 0x6161616161616161, 0, "is damaged: the name of a tensor has no end; "
                                       "take another copy or an older checkpoint");
    forged(64, 'a', 0, "is damaged: its cfg text is not one string; "
                       "take another copy or an older checkpoint");
    forged(16, 0, 0, large);
    forged(16, UINT64_MAX, 0, large);
    forged(24, 4, 0, large);
    forged(24, UINT64_MAX, 0, large);
}

static void safetensors_come_back(void **state)
{
    (void)state;
    char path[300];
    am_tensors t;
    am_err e;
    size_t size;
    t_path(path, sizeof path, "a.safetensors");
    t_ok(am_safetensors_write(path, sample, SAMPLES, &e), &e);
    t_ok(am_safetensors_read(&t, path, &e), &e);
    same_tensors(&t);
    am_tensors_free(&t);
    unsigned char *b = load(path, &size);
    for (size_t n = 0; n < size; n++) {
        unsigned char *cut = malloc(n + 1);
        assert_non_null(cut);
        memcpy(cut, b, n);
        if (am_safetensors_parse(&t, cut, n, "x", &e) != AM_EINPUT)
            fail_msg("%zu bytes of %zu passed", n, size);
        assert_null(t.mem.top);
        free(cut);
    }
    for (size_t i = 0; i < size; i++)                   /* no checksums: it need only not crash */
        for (int bit = 0; bit < 8; bit++) {
            b[i] ^= (unsigned char)(1 << bit);
            if (!am_safetensors_parse(&t, b, size, "x", &e)) am_tensors_free(&t);
            assert_null(t.mem.top);
            b[i] ^= (unsigned char)(1 << bit);
        }
    free(b);
}

/* header, then `data` zero bytes */
static void safetensors_say(const char *header, size_t data, const char *why)
{
    char b[1000] = {0};
    uint64_t n = strlen(header);
    memcpy(b, &n, 8);
    memcpy(b + 8, header, n);
    am_tensors t;
    am_err e = {0};
    am_status s = am_safetensors_parse(&t, b, 8 + n + data, "x", &e);
    if (!why) t_ok(s, &e);
    else {
        assert_int_equal(s, AM_EINPUT);
        assert_string_equal(e.text, why);
    }
    am_tensors_free(&t);
}

static void safetensors_refused(void **state)
{
    (void)state;
#define F32(name, shape, from, to)                                                                 \
    "\"" name "\":{\"dtype\":\"F32\",\"shape\":[" shape "],\"data_offsets\":[" #from "," #to "]}"
    safetensors_say("{}", 0, NULL);
    safetensors_say("{\"__metadata__\":{\"format\":\"pt\"}," F32("a", "2", 0, 8) "}   ", 8, NULL);
    safetensors_say("{" F32("b", "1", 4, 8) "," F32("a", "1", 0, 4) "}", 8, NULL);
    safetensors_say("{" F32("b", "1", 4, 8) "," F32("a", "1", 0, 4), 8,
                    "the header is not JSON (byte 113 of the file)");
    safetensors_say("[1,2]", 0, "the header is not a JSON object");
    safetensors_say("{} x", 0, "the header is not JSON (byte 11 of the file)");
    safetensors_say("{" F32("a", "2", 0, 8) "}", 4,
                    "tensor 'a' ends at byte 8 of 4: the file was cut or is wrong");
    safetensors_say("{" F32("a", "3", 0, 8) "}", 8,
                    "tensor 'a' has 8 bytes and its shape asks for 12");
    safetensors_say("{" F32("a", "1", 0, 4) "," F32("b", "2", 0, 8) "}", 8,
                    "tensors overlap or leave a gap at byte 4 of the data");
    safetensors_say("{" F32("a", "1", 0, 4) "," F32("b", "1", 8, 12) "}", 12,
                    "tensors overlap or leave a gap at byte 4 of the data");
    safetensors_say("{" F32("a", "1", 0, 4) "}", 6, "has 2 bytes of data that belong to no tensor");
    safetensors_say("{" F32("a", "1", 0, 4) "," F32("a", "1", 4, 8) "}", 8,
                    "two tensors are called 'a'");
    safetensors_say("{" F32("a", "-1", 0, 4) "}", 4, "tensor 'a': shape or data_offsets is wrong");
    safetensors_say("{" F32("a", "1.5", 0, 4) "}", 4, "tensor 'a': shape or data_offsets is wrong");
    safetensors_say("{" F32("a", "4294967296,4294967296", 0, 0) "}", 0,
                    "tensor 'a': shape or data_offsets is wrong");
    safetensors_say("{" F32("a", "1,1,1,1,1,1,1", 0, 4) "}", 4,
                    "tensor 'a' has more than 6 dimensions");
    safetensors_say("{\"a\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[0,2]}}", 2,
                    "tensor 'a' has dtype BF16; automix reads F32, F64, I32, I64 and U8");
    safetensors_say("{\"a\":3}", 0,
                    "tensor 'a' has dtype none; automix reads F32, F64, I32, I64 and U8");
    am_tensors t;
    am_err e = {0};
    assert_int_equal(am_safetensors_parse(&t, "\144\0\0\0\0\0\0\0{}", 10, "x", &e), AM_EINPUT);
    assert_string_equal(e.text, "is not a safetensors file, or was cut within its header");
    assert_int_equal(am_safetensors_parse(&t, "\377\377\377\377\377\377\377\377{}", 10, "x", &e),
                     AM_EINPUT);
    assert_string_equal(e.text, "is not a safetensors file, or was cut within its header");
}

static void replaces_whole_files(void **state)
{
    (void)state;
    char path[300], part[310], folder[300], fifo[300];
    am_err e = {0};
    struct stat st;
    size_t size;
    am_span spans[] = {{"new ", 4}, {"text", 4}};
    t_path(path, sizeof path, "file.txt");
    snprintf(part, sizeof part, "%s.part", path);
    store(path, "old", 3);
    store(part, "left over by a crash, and longer", 32);
    t_ok(am_file_replace(path, spans, 2, &e), &e);
    unsigned char *b = load(path, &size);
    assert_int_equal(size, 8);
    assert_memory_equal(b, "new text", 8);
    free(b);
    assert_int_equal(stat(part, &st), -1);
    assert_int_equal(am_file_replace(t_path(folder, sizeof folder, ""), spans, 2, &e), AM_EIO);
    assert_string_equal(e.text, "is a folder; give the name of a file");
    t_path(fifo, sizeof fifo, "pipe");                  /* a device would be lost if this failed */
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(am_file_replace(fifo, spans, 2, &e), AM_EIO);
    assert_string_equal(e.text, "is a device or a pipe; give the name of a file");
    assert_int_equal(am_file_replace(t_path(folder, sizeof folder, "no/such"), spans, 2, &e),
                     AM_EIO);
    assert_string_equal(e.text,
                        "cannot be written: No such file or directory (8 bytes are needed); its "
                        "folder does not exist, create it first");
    assert_string_equal(e.place, folder);
}

/* A limit on the size of files stands for a full disk: the write fails halfway. */
static void full_disk_keeps_the_old_file(void **state)
{
    (void)state;
    char path[300], part[310];
    am_err e = {0};
    struct stat st;
    size_t size;
    enum { BYTES = 9 << 20 };
    char *big = calloc(BYTES, 1);
    assert_non_null(big);
    t_path(path, sizeof path, "full.weights");
    snprintf(part, sizeof part, "%s.part", path);
    am_tensor huge = {"huge", AM_U8, 1, {BYTES}, big};
    t_ok(am_weights_write(path, cfg, sample, SAMPLES, &e), &e);
    unsigned char *before = load(path, &size);
    struct rlimit old, low;
    getrlimit(RLIMIT_FSIZE, &old);
    low = old;
    low.rlim_cur = 5 << 20;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &low);
    am_status s = am_weights_write(path, cfg, &huge, 1, &e);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, handler);
    assert_int_equal(s, AM_EIO);
    assert_string_equal(e.text,
                        "cannot be written; what was there is untouched: File too large (9437504 "
                        "bytes are needed); make room or choose another folder");
    assert_string_equal(e.place, path);
    assert_int_equal(stat(part, &st), -1);
    size_t now;
    unsigned char *after = load(path, &now);
    assert_int_equal(now, size);
    assert_memory_equal(after, before, size);
    free(before);
    free(after);
    free(big);
}

static void reads_whole_files(void **state)
{
    (void)state;
    char path[300], fifo[300], *b;
    size_t size;
    am_arena mem = {0};
    am_err e = {0};
    t_path(path, sizeof path, "slurp");
    store(path, "ab\0c", 4);
    t_ok(am_file_slurp(&mem, path, 4, &b, &size, &e), &e);
    assert_int_equal(size, 4);
    assert_memory_equal(b, "ab\0c", 5);
    assert_int_equal(am_file_slurp(&mem, path, 3, &b, &size, &e), AM_EINPUT);
    assert_string_equal(e.text, "has 4 bytes; more than 3 cannot be right, is it another file?");
    store(path, "", 0);
    t_ok(am_file_slurp(&mem, path, 4, &b, &size, &e), &e);
    assert_int_equal(size, 0);
    assert_int_equal(*b, 0);
    assert_int_equal(am_file_slurp(&mem, "no/such/file", 4, &b, &size, &e), AM_EINPUT);
    assert_string_equal(e.text, "no such file; paths are relative to the folder automix runs in");
    assert_string_equal(e.place, "no/such/file");
    t_path(fifo, sizeof fifo, "fifo");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(am_file_slurp(&mem, fifo, 4, &b, &size, &e), AM_EINPUT);
    assert_string_equal(e.text, "is not a regular file");
    am_arena_free(&mem);
}

static void counts_bytes(void **state)
{
    (void)state;
    size_t n;
    am_tensor t = {"t", AM_F64, 3, {2, 3, 4}, NULL};
    assert_true(am_tensor_bytes(&t, &n));
    assert_int_equal(n, 192);
    assert_int_equal(am_tensor_count(&t), 24);
    t = (am_tensor){"t", AM_F32, 3, {SIZE_MAX, SIZE_MAX, 0}, NULL};
    assert_true(am_tensor_bytes(&t, &n));
    assert_int_equal(n, 0);
    t.dim[2] = 1;
    assert_false(am_tensor_bytes(&t, &n));
    t = (am_tensor){"t", AM_U8, 2, {(size_t)1 << 32, (size_t)1 << 32}, NULL};
    assert_false(am_tensor_bytes(&t, &n));
    t.dims = 0;
    assert_true(am_tensor_bytes(&t, &n));
    assert_int_equal(n, 1);
}

T_SUITE(file, cmocka_unit_test(weights_come_back), cmocka_unit_test(damage_is_seen),
        cmocka_unit_test(damage_in_words), cmocka_unit_test(forgeries_are_seen),
        cmocka_unit_test(safetensors_come_back),
        cmocka_unit_test(safetensors_refused), cmocka_unit_test(replaces_whole_files),
        cmocka_unit_test(full_disk_keeps_the_old_file), cmocka_unit_test(reads_whole_files),
        cmocka_unit_test(counts_bytes));
