/* keys.c: what rows accept, refuse, suggest and print. */
#include "t.h"
#include "cfg.h"

typedef struct opts {
    int count, on, act, from, guard;
    double rate;
    const char *word;
    am_reals steps;
    am_layers layers;
} opts;
typedef struct common { const char *name; int input; } common;

#define OPTIONS opts
static const am_key keys[] = {
    AM_INT(count, 1, 65536, "7", "how many"),
    AM_REAL(rate, 0, 1, "0.5", "how fast"),
    AM_FLAG(on, "1", "whether"),
    AM_CHOICE(act, "linear|relu|leaky", "leaky", "applied to each output"),
    AM_LAYER(from, "", "the layer that is added"),
    AM_LAYERS(layers, "", "the layers that are joined"),
    AM_REALS(steps, 0, 1e6, "100,200", "when"),
    AM_WORD(word, "", "a text"),
    {0}
};
#undef OPTIONS
#define OPTIONS common
static const am_key common_keys[] = {
    AM_WORD(name, "", "what others call it"),
    AM_LAYER(input, "-1", "what it reads"),
    {0}
};
#undef OPTIONS
#define OPTIONS opts
static const am_key needy[] = {AM_INT(count, 1, 10, AM_REQUIRED, "how many"), {0}};
static const am_key wide[] = {AM_INT(count, -1e12, 1e12, "0", "more than an int holds"), {0}};
#undef OPTIONS

static const char *layer_name(const void *scope, int i)
{
    (void)scope;
    static const char *const names[] = {"image", "stem", NULL, "stage3", "pool", "below"};
    return names[i];
}
static const am_names five = {layer_name, NULL, 5,
                              5}; /* layer 5 is being read; "below" is not above */

static am_status read_with(const char *text, const am_names *names, opts *o, common *c, am_err *e)
{
    static am_arena mem;
    am_arena_free(&mem);
    am_cfg cfg;
    AM_TRY(am_cfg_parse(&cfg, &mem, "x.cfg", text, strlen(text), e));
    return am_keys_read(keys, o, common_keys, c, &cfg.section[0], names, e);
}

static void refused(const char *line, const char *why)
{
    char text[400];
    opts o = {0};
    common c;
    am_err e = {0};
    snprintf(text, sizeof text, "[layer]\n%s\n", line);
    assert_int_equal(read_with(text, &five, &o, &c, &e), AM_EINPUT);
    assert_string_equal(e.text, why);
    assert_string_equal(e.place, strchr(line, '\n') ? "x.cfg:3" : "x.cfg:2");
}

static void defaults(void **state)
{
    (void)state;
    opts o = {.guard = 42};
    common c;
    am_err e;
    t_ok(read_with("[layer]\n", &five, &o, &c, &e), &e);
    assert_int_equal(o.count, 7);
    assert_true(o.rate == 0.5);
    assert_int_equal(o.on, 1);
    assert_int_equal(o.act, 2);
    assert_int_equal(o.from, -1);
    assert_int_equal(o.layers.count, 0);
    assert_int_equal(o.steps.count, 2);
    assert_true(o.steps.at[0] == 100 && o.steps.at[1] == 200);
    assert_string_equal(o.word, "");
    assert_string_equal(c.name, "");
    assert_int_equal(c.input, 4);
    assert_int_equal(o.guard, 42);
}

static void values(void **state)
{
    (void)state;
    opts o = {0};
    common c;
    am_err e;
    t_ok(read_with("[layer]\ncount=1e3\nrate = 5e-4\non=0\nact=relu\nword=a b\nsteps=1 ,2,\t3e2\n"
                   "from=-2\nlayers= -1, 0,stem , image\nname=me\ninput=stage3\n",
                   &five, &o, &c, &e),
         &e);
    assert_int_equal(o.count, 1000);
    assert_true(o.rate == 5e-4);
    assert_int_equal(o.on, 0);
    assert_int_equal(o.act, 1);
    assert_string_equal(o.word, "a b");
    assert_int_equal(o.steps.count, 3);
    assert_true(o.steps.at[0] == 1 && o.steps.at[1] == 2 && o.steps.at[2] == 300);
    assert_int_equal(o.from, 3);
    assert_int_equal(o.layers.count, 4);
    const int at[] = {4, 1, 1, 0};                      /* Darknet's layer 0 has index 1 */
    assert_memory_equal(o.layers.at, at, sizeof at);
    assert_string_equal(c.name, "me");
    assert_int_equal(c.input, 3);
    t_ok(read_with("[layer]\nfrom=3\nlayers=\nword=\ncount=+65536\n", &five, &o, &c, &e), &e);
    assert_int_equal(o.from, 4);
    assert_int_equal(o.layers.count, 0);
    assert_int_equal(o.count, 65536);
}

static void refuses_numbers(void **state)
{
    (void)state;
    refused("count=2x", "count=2x: not a number");
    refused("count=two", "count=two: not a number");
    refused("count=0x10", "count=0x10: not a number");
    refused("rate=nan", "rate=nan: not a number");
    refused("rate=inf", "rate=inf: not a number");
    refused("rate=1,5", "rate=1,5: not a number");
    refused("count=1 000", "count=1 000: not a number");
    refused("count=1.5", "count=1.5: not a whole number");
    refused("count=0", "count=0: must be from 1 to 65536");
    refused("count=1e99", "count=1e99: must be from 1 to 65536");
    refused("rate=1e999", "rate=1e999: must be from 0 to 1");
    refused("rate=-0.1", "rate=-0.1: must be from 0 to 1");
    refused("on=2", "on=2: must be 0 or 1");
    refused("on=yes", "on=yes: not a number");
    refused("count=", "'count' has no value; give one or remove the line");
    refused("steps=1,,2", "steps: nothing between two commas or at an end of the list");
    refused("steps=1,2,", "steps: nothing between two commas or at an end of the list");
    refused("steps=1,2e6", "steps=2e6: must be from 0 to 1000000");
    refused("steps=1 2", "steps=1 2: not a number");
    refused("steps=1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1", "steps: more than 16 in the list");
}

static void refuses_words(void **state)
{
    (void)state;
    refused("cuont=2", "[layer] has no key 'cuont'; did you mean 'count'?");
    refused("nmae=2", "[layer] has no key 'nmae'; did you mean 'name'?");
    refused("steps=", "'steps' has no value; give one or remove the line");
    refused("inptu=2", "[layer] has no key 'inptu'; did you mean 'input'?");
    refused("zebra=2", "[layer] has no key 'zebra'; try: automix help layer");
    refused("act=relv", "act=relv: did you mean 'relu'? (one of linear|relu|leaky)");
    refused("act=swish", "act=swish: must be one of linear|relu|leaky");
    refused("act=", "'act' has no value; give one or remove the line");
    refused("count=2\ncount=2", "'count' was already set on line 2");
}

static void refuses_layers(void **state)
{
    (void)state;
    refused("from=stgae3", "from=stgae3: no layer above has that name; did you mean 'stage3'?");
    refused("from=imaeg", "from=imaeg: no layer above has that name; did you mean 'image'?");
    refused("from=below",
            "from=below: no layer above has that name; give one name=below, or count back with -1");
    refused("from=-5",
            "from=-5: no such layer above; count from 0 to 3 or back from -1 to -4, or use a name");
    refused("from=4",
            "from=4: no such layer above; count from 0 to 3 or back from -1 to -4, or use a name");
    refused("layers=-1,99999999999999999999",
            "layers=99999999999999999999: no such layer above; count from 0 to 3 or back from -1 "
            "to -4, or use a name");
    opts o;
    common c;
    am_err e = {0};
    am_names first = {layer_name, NULL, 1, 1};
    assert_int_equal(read_with("[layer]\nfrom=-1\n", &first, &o, &c, &e), AM_EINPUT);
    assert_string_equal(e.text,
                        "from=-1: there is no layer above; the input itself is called image");
    am_names after = {layer_name, NULL, 6, 6}; /* a [mix] section: every layer may be named */
    t_ok(read_with("[mix]\nfrom=below\nlayers=4,-1\n", &after, &o, &c, &e), &e);
    assert_int_equal(o.from, 5);
    assert_int_equal(o.layers.at[0], 5);
    assert_int_equal(o.layers.at[1], 5);
}

static void required(void **state)
{
    (void)state;
    am_arena mem = {0};
    am_cfg cfg;
    am_err e = {0};
    opts o;
    t_ok(am_cfg_parse(&cfg, &mem, "x.cfg", "\n[net]\n", 7, &e), &e);
    assert_int_equal(am_keys_read(needy, &o, NULL, NULL, &cfg.section[0], NULL, &e), AM_EINPUT);
    assert_string_equal(e.text, "[net] needs count= (how many)");
    assert_string_equal(e.place, "x.cfg:2");
    t_ok(am_cfg_parse(&cfg, &mem, "x.cfg", "[net]\ncount=3e9\n", 16, &e), &e);
    assert_int_equal(am_keys_read(wide, &o, NULL, NULL, &cfg.section[0], NULL, &e), AM_EINPUT);
    assert_string_equal(e.text, "count=3e9: must be from -2147483648 to 2147483647");
    am_arena_free(&mem);
}

static void prints(void **state)
{
    (void)state;
    char text[2000] = "", path[300], word[20];
    FILE *f = fopen(t_path(path, sizeof path, "keys.md"), "w+");
    assert_non_null(f);
    am_keys_print(keys, f);
    am_keys_print(needy, f);
    rewind(f);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    assert_string_equal(text, "| `count` | 7 | 1 to 65536 | how many |\n"
                              "| `rate` | 0.5 | 0 to 1 | how fast |\n"
                              "| `on` | 1 | 0 or 1 | whether |\n"
                              "| `act` | leaky | linear, relu, leaky | applied to each output |\n"
                              "| `from` | none | a layer | the layer that is added |\n"
                              "| `layers` | none | layers | the layers that are joined |\n"
                              "| `steps` | 100,200 | list, each 0 to 1000000 | when |\n"
                              "| `word` | none | text | a text |\n"
                              "| `count` | required | 1 to 10 | how many |\n");
    assert_string_equal(am_key_choice(keys, "act", 1, word, sizeof word), "relu");
    assert_string_equal(am_key_choice(keys, "act", 3, word, sizeof word), "?");
    assert_string_equal(am_key_choice(keys, "act", -1, word, sizeof word), "?");
    assert_string_equal(am_key_choice(keys, "count", 1, word, sizeof word), "?");
}

static void nearest(void **state)
{
    (void)state;
    const char *words[] = {"softmax", NULL, "maxpool", "avgpool"}, *two[] = {"stage3", "stage"};
    assert_string_equal(am_nearest("stage3x", two, 2), "stage3");
    assert_int_equal(am_edits("kitten", "sitting"), 3);
    assert_int_equal(am_edits("", "abc"), 3);
    assert_int_equal(am_edits("abc", ""), 3);
    assert_int_equal(am_edits("same", "same"), 0);
    assert_string_equal(am_nearest("sotfmax", words, 4), "softmax");
    assert_string_equal(am_nearest("maxpol", words, 4), "maxpool");
    assert_null(am_nearest("mixblock", words, 4));
    assert_null(am_nearest("x", words, 4));
    char lengthy[400];
    memset(lengthy, 'a', sizeof lengthy - 1);
    lengthy[sizeof lengthy - 1] = 0;
    assert_null(am_nearest(lengthy, words, 4));
}

T_SUITE(keys, cmocka_unit_test(defaults), cmocka_unit_test(values),
        cmocka_unit_test(refuses_numbers), cmocka_unit_test(refuses_words),
        cmocka_unit_test(refuses_layers), cmocka_unit_test(required), cmocka_unit_test(prints),
        cmocka_unit_test(nearest));
