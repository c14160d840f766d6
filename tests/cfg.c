/* cfg.c: the grammar of cfg files, what it refuses and in which words. */
#include "t.h"
#include "cfg.h"

static void parse(am_cfg *c, am_arena *mem, const char *text)
{
    am_err e;
    t_ok(am_cfg_parse(c, mem, "x.cfg", text, strlen(text), &e), &e);
}

/* Parsing must fail with exactly this place and text. */
static void refused_bytes(const char *text, size_t size, const char *place, const char *why)
{
    am_arena mem = {0};
    am_cfg c;
    am_err e = {0};
    assert_int_equal(am_cfg_parse(&c, &mem, "x.cfg", text, size, &e), AM_EINPUT);
    assert_string_equal(e.text, why);
    assert_string_equal(e.place, place);
    am_arena_free(&mem);
}

static void refused(const char *text, const char *place, const char *why)
{
    refused_bytes(text, strlen(text), place, why);
}

static void put(const char *name, const char *text)
{
    char path[300];
    FILE *f = fopen(t_path(path, sizeof path, name), "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void reads_darknets_manner(void **state)
{
    (void)state;
    am_arena mem = {0};
    am_cfg c;
    parse(&c, &mem, "\xef\xbb\xbf# a comment\r\n  ; another\r\n\r\n[net] # the first\r\n"
                    "batch = 2\r\n\tsteps=1, 2   # inline\r\n"
                    "[conv]\nfilters=16\nname=a#b;c\n[ max ]\n[avg]\n[soft]\n[conn]\n[network]\n"
                    "text=a = b\nempty=\nlast=no newline");
    assert_int_equal(c.sections, 7);
    const char *names[] = {"net",     "convolutional", "maxpool", "avgpool",
                           "softmax", "connected",     "net"};
    for (int i = 0; i < 7; i++) assert_string_equal(c.section[i].name, names[i]);
    assert_int_equal(c.section[0].loc.line, 4);
    assert_string_equal(c.section[0].loc.file, "x.cfg");
    assert_int_equal(c.section[0].lines, 2);
    assert_string_equal(c.section[0].line[0].key, "batch");
    assert_string_equal(c.section[0].line[0].value, "2");
    assert_int_equal(c.section[0].line[1].loc.line, 6);
    assert_string_equal(c.section[0].line[1].value, "1, 2");
    assert_string_equal(c.section[1].line[1].value, "a#b;c");
    assert_string_equal(c.section[6].line[0].key, "text");
    assert_string_equal(c.section[6].line[0].value, "a = b");
    assert_string_equal(c.section[6].line[1].value, "");
    assert_string_equal(c.section[6].line[2].value, "no newline");
    am_arena_free(&mem);
}

static void refuses_in_words(void **state)
{
    (void)state;
    refused("", "x.cfg", "no [section] in it; a cfg begins with [net]");
    refused("# nothing\n\n", "x.cfg", "no [section] in it; a cfg begins with [net]");
    refused("[net]\nbatch\n", "x.cfg:2", "expected key=value, found 'batch'");
    refused("[net]\nbatch # = 2\n", "x.cfg:2", "expected key=value, found 'batch'");
    refused("[net]\n= 2\n", "x.cfg:2", "expected key=value, found '= 2'");
    refused("\nbatch=2\n[net]\n", "x.cfg:2",
            "'batch=2' comes before any [section]; a cfg begins with [net]");
    refused("[net]\n[conv\n", "x.cfg:2", "a section is written [name]; found '[conv'");
    refused("[net] x\n", "x.cfg:1", "a section is written [name]; found '[net] x'");
    refused("[ ]\n", "x.cfg:1", "a section without a name; write [net], for one");
    refused("[net]\nname=a\x01\n", "x.cfg:2",
            "byte 0x01: this is not a text file; a cfg is plain ASCII or UTF-8");
    refused("[net]\nname=a\x7f\n", "x.cfg:2",
            "byte 0x7f: this is not a text file; a cfg is plain ASCII or UTF-8");
    refused("[net]\rbatch=1\r", "x.cfg:1",
            "byte 0x0d: this is not a text file; a cfg is plain ASCII or UTF-8");
    refused_bytes("[net]\nname=a\0b\n", 15, "x.cfg:2",
                  "byte 0x00: this is not a text file; a cfg is plain ASCII or UTF-8");
    refused("[net]\n[include]\nfile=x\n", "x.cfg:2",
            "[include] works in files only; write its sections here");
    refused_bytes("", (1 << 20) + 1, "x.cfg",
                  "1048577 bytes are too many for a cfg; at most 1048576");
}

static void same_sections(const am_cfg *a, const am_cfg *b)
{
    assert_int_equal(a->sections, b->sections);
    for (int i = 0; i < a->sections; i++) {
        assert_string_equal(a->section[i].name, b->section[i].name);
        assert_int_equal(a->section[i].lines, b->section[i].lines);
        for (int j = 0; j < a->section[i].lines; j++) {
            assert_string_equal(a->section[i].line[j].key, b->section[i].line[j].key);
            assert_string_equal(a->section[i].line[j].value, b->section[i].line[j].value);
        }
    }
}

static void includes_are_spelled_out(void **state)
{
    (void)state;
    char path[300], body[300];
    am_arena mem = {0};
    am_cfg c, again;
    am_err e;
    put("a.cfg", "[net]\nbatch=3\n[include]\nfile = body.layers # shared\n[connected]\noutput=2\n");
    put("body.layers", "# body\n[conv]\nfilters=8\n\n[include]\nfile=deeper.layers\n");
    put("deeper.layers", "\xef\xbb\xbf[max]\nsize=2");
    t_ok(am_cfg_load(&c, &mem, t_path(path, sizeof path, "a.cfg"), &e), &e);
    assert_string_equal(c.text,
                        "[net]\nbatch=3\n\n[convolutional]\nfilters=8\n\n[maxpool]\nsize=2\n\n"
                        "[connected]\noutput=2\n");
    assert_string_equal(c.file, path);
    assert_string_equal(c.section[1].loc.file, t_path(body, sizeof body, "body.layers"));
    assert_int_equal(c.section[1].line[0].loc.line, 3);
    assert_int_equal(c.section[3].loc.line, 5);
    assert_string_equal(c.section[3].loc.file, path);
    parse(&again, &mem, c.text);
    same_sections(&c, &again);
    assert_string_equal(again.text, c.text);
    char absolute[400];
    snprintf(absolute, sizeof absolute, "[net]\n[include]\nfile=%s\n", body);
    put("absolute.cfg", absolute);
    t_ok(am_cfg_load(&c, &mem, t_path(path, sizeof path, "absolute.cfg"), &e), &e);
    assert_int_equal(c.sections, 3);
    am_arena_free(&mem);
}

/* Loading `name` must fail; %s in place and text stands for the folder of this run. */
static void load_refused(const char *name, const char *place, const char *why)
{
    char path[300], folder[300], want[900];
    am_arena mem = {0};
    am_cfg c;
    am_err e = {0};
    t_path(folder, sizeof folder, "");
    folder[strlen(folder) - 1] = 0;
    assert_int_equal(am_cfg_load(&c, &mem, t_path(path, sizeof path, name), &e), AM_EINPUT);
    size_t n = strlen(folder);
    const char *texts[2] = {e.text, e.place}, *wants[2] = {why, place};
    for (int i = 0; i < 2; i++) {                       /* the folder's name back to a dot */
        char *to = want;
        for (const char *p = texts[i]; *p;) {
            if (!strncmp(p, folder, n)) {
                *to++ = '.';
                p += n;
            } else {
                *to++ = *p++;
            }
        }
        *to = 0;
        assert_string_equal(want, wants[i]);
    }
    am_arena_free(&mem);
}

static void include_faults(void **state)
{
    (void)state;
    put("loop.cfg", "[net]\n[include]\nfile=loop.layers\n");
    put("loop.layers", "[include]\nfile=loop.cfg\n");
    load_refused("loop.cfg", "./loop.layers:2",
                 "[include] goes in a circle: ./loop.cfg > ./loop.layers > ./loop.cfg");
    put("self.cfg", "[net]\n[include]\nfile=self.cfg\n");
    load_refused("self.cfg", "./self.cfg:3", "[include] goes in a circle: ./self.cfg > ./self.cfg");
    put("gone.cfg", "[net]\n[include]\nfile=gone.layers\n");
    load_refused("gone.cfg", "./gone.cfg:3",
                 "[include] file=gone.layers: there is no ./gone.layers; it is looked up beside "
                 "the file that names it");
    put("bad.cfg", "[net]\n[include]\nfile=bad.layers\n");
    put("bad.layers", "[conv]\nfilters\n");
    load_refused("bad.cfg", "./bad.layers:2", "expected key=value, found 'filters'");
    put("early.layers", "filters=1\n");
    put("early.cfg", "[net]\n[include]\nfile=early.layers\n");
    load_refused("early.cfg", "./early.layers:1",
                 "'filters=1' comes before any [section]; a cfg begins with [net]");
    put("empty.layers", "# nothing\n");
    put("empty.cfg", "[net]\n[include]\nfile=empty.layers\n");
    load_refused("empty.cfg", "./empty.cfg:3",
                 "[include] file=./empty.layers: it has no [section]");
    put("keys.cfg", "[net]\n[include]\nfile=a\nname=b\n");
    load_refused("keys.cfg", "./keys.cfg:4",
                 "[include] takes one line, file=NAME, and nothing else");
    put("none.cfg", "[net]\n[include]\n[conv]\n");
    load_refused("none.cfg", "./none.cfg:2",
                 "[include] takes one line, file=NAME, and nothing else");
    load_refused("missing.cfg", "./missing.cfg",
                 "no such file; paths are relative to the folder automix runs in");
    load_refused("", "./", "is a folder; give the name of a file");
}

static void includes_have_an_end(void **state)
{
    (void)state;
    char name[40], text[80];
    for (int i = 0; i < 9; i++) {
        snprintf(name, sizeof name, "deep%d", i);
        snprintf(text, sizeof text, "[net]\n[include]\nfile=deep%d\n", i + 1);
        put(name, text);
    }
    load_refused(
        "deep0", "./deep7:3",
        "[include] goes deeper than 8 files: ./deep0 > ./deep1 > ./deep2 > ./deep3 > ./deep4 > "
        "./deep5 > ./deep6 > ./deep7 > ./deep8");
    /* each file twice the next: only the limit of bytes stops it, and soon */
    for (int i = 0; i < 7; i++) {
        snprintf(name, sizeof name, "wide%d", i);
        char both[160];
        snprintf(both, sizeof both, "[include]\nfile=wide%d\n[include]\nfile=wide%d\n", i + 1,
                 i + 1);
        put(name, both);
    }
    char *big = malloc(20000);
    assert_non_null(big);
    memset(big, '#', 19999);
    big[19999] = 0;
    memcpy(big, "[net]\n", 6);
    put("wide7", big);
    free(big);
    char path[300];
    am_arena mem = {0};
    am_cfg c;
    am_err e = {0};
    assert_int_equal(am_cfg_load(&c, &mem, t_path(path, sizeof path, "wide0"), &e), AM_EINPUT);
    assert_non_null(strstr(e.text, "cannot be right"));
    am_arena_free(&mem);
}

static void data_files(void **state)
{
    (void)state;
    char path[300];
    am_arena mem = {0};
    am_section s;
    am_err e = {0};
    put("x.data", "classes = 100\n# comment\ntrain=data/my images/train.list\r\n");
    t_ok(am_cfg_load_data(&s, &mem, t_path(path, sizeof path, "x.data"), &e), &e);
    assert_string_equal(s.name, "data");
    assert_int_equal(s.lines, 2);
    assert_string_equal(s.line[1].value, "data/my images/train.list");
    assert_int_equal(s.line[1].loc.line, 3);
    assert_string_equal(s.line[1].loc.file, path);
    put("y.data", "classes=1\n[net]\n");
    assert_int_equal(am_cfg_load_data(&s, &mem, t_path(path, sizeof path, "y.data"), &e),
                     AM_EINPUT);
    assert_string_equal(e.text, "[net]: a .data file has no sections; is this the .cfg?");
    put("z.data", "");
    t_ok(am_cfg_load_data(&s, &mem, t_path(path, sizeof path, "z.data"), &e), &e);
    assert_int_equal(s.lines, 0);
    am_arena_free(&mem);
}

/* More sections and lines than the arrays begin with. */
static void grows(void **state)
{
    (void)state;
    char text[8000], *p = text;
    for (int i = 0; i < 300; i++) p += sprintf(p, "[s%d]\nk=%d\n", i, i);
    am_arena mem = {0};
    am_cfg c;
    parse(&c, &mem, text);
    assert_int_equal(c.sections, 300);
    for (int i = 0; i < 300; i++) {
        assert_int_equal(atoi(c.section[i].name + 1), i);
        assert_int_equal(atoi(c.section[i].line[0].value), i);
    }
    am_arena_free(&mem);
}

T_SUITE(cfg, cmocka_unit_test(reads_darknets_manner), cmocka_unit_test(refuses_in_words),
        cmocka_unit_test(includes_are_spelled_out), cmocka_unit_test(include_faults),
        cmocka_unit_test(includes_have_an_end), cmocka_unit_test(data_files),
        cmocka_unit_test(grows));
