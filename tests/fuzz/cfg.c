/* fuzz/cfg.c: any bytes as a cfg.  Beyond not crashing: the text that a cfg is normalised to gives
 * the same sections and the same text again, and what the rows accept is within their ranges. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "cfg.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

typedef struct options {
    int count, on, act, from;
    double rate;
    const char *word;
    am_reals steps;
    am_layers layers;
} options;

#define OPTIONS options
static const am_key keys[] = {
    AM_INT(count, 1, 65536, "7", "a number"),
    AM_REAL(rate, 0, 1, "0.5", "a number"),
    AM_FLAG(on, "1", "yes or no"),
    AM_CHOICE(act, "linear|relu|leaky", "leaky", "one of three"),
    AM_LAYER(from, "", "a layer"),
    AM_LAYERS(layers, "", "layers"),
    AM_REALS(steps, 0, 1e6, "100,200", "numbers"),
    AM_WORD(word, "", "a text"),
    {0}
};
#undef OPTIONS

static const char *name(const void *scope, int i)
{
    static const char *const names[] = {"image", "stem", NULL, "stage3", "pool"};
    (void)scope;
    return names[i];
}

static void need(int true_always)
{
    if (!true_always) abort();
}

static void read_sections(const am_cfg *c)
{
    static const am_names names = {name, NULL, 5, 5};
    for (int i = 0; i < c->sections; i++) {
        options o = {0};
        am_err e;
        if (am_keys_read(keys, &o, NULL, NULL, &c->section[i], &names, &e)) {
            need(memchr(e.text, 0, sizeof e.text) && e.text[0] && strchr(e.place, ':'));
            continue;
        }
        need(o.count >= 1 && o.count <= 65536 && o.rate >= 0 && o.rate <= 1 && (o.on & ~1) == 0);
        need(o.act >= 0 && o.act < 3 && o.from >= -1 && o.from < 5 && o.word);
        need(o.steps.count <= AM_MAX_LIST && o.layers.count <= AM_MAX_LIST);
        for (int k = 0; k < o.layers.count; k++) need(o.layers.at[k] >= 0 && o.layers.at[k] < 5);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    am_arena mem = {0};
    am_cfg c, again;
    am_err e;
    if (!am_cfg_parse(&c, &mem, "fuzz.cfg", (const char *)bytes, size, &e)) {
        need(!am_cfg_parse(&again, &mem, "again.cfg", c.text, strlen(c.text), &e));
        need(c.sections == again.sections && !strcmp(c.text, again.text));
        for (int i = 0; i < c.sections; i++) need(c.section[i].lines == again.section[i].lines);
        read_sections(&c);
    }
    am_arena_free(&mem);
    return 0;
}
