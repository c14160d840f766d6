/* cfg.h: a cfg file as sections and lines, and what a section may say as rows of a table.
 *
 * cfg.c knows the grammar: [section], key=value, comments (# or ; first on a line, # after a
 * value), CRLF, [include] file=.  It knows no meaning.
 *
 * keys.c knows meaning: one row per key.  The same rows fill the struct, refuse what is unknown
 * or out of range, suggest what was meant, print `automix help`, and write cfg/README.md. */
#ifndef AM_CFG_H
#define AM_CFG_H
#include <stddef.h>
#include <stdio.h>
#include "arena.h"
#include "err.h"

typedef struct am_line { const char *key, *value; am_loc loc; } am_line;
typedef struct am_section { const char *name; am_loc loc; am_line *line; int lines; } am_section;
typedef struct am_cfg { am_section *section; int sections; const char *file, *text; } am_cfg;
/* text: the whole cfg as one string with its includes spelled out; it goes into weight files */

/* Read a file; [include] file=NAME is looked up beside the including file.  A .data file is the
 * same grammar without sections: its lines land in one section called "data". */
am_status am_cfg_load(am_cfg *, am_arena *, const char *path, am_err *);
am_status am_cfg_parse(am_cfg *, am_arena *, const char *name, const char *text, size_t size, am_err *);
am_status am_cfg_load_data(am_section *, am_arena *, const char *path, am_err *);

typedef enum am_kind {
    AM_KEY_INT, AM_KEY_REAL, AM_KEY_FLAG, AM_KEY_WORD, AM_KEY_CHOICE, AM_KEY_LAYER, AM_KEY_LAYERS,
    AM_KEY_REALS
} am_kind;

enum { AM_MAX_LIST = 16 };
typedef struct am_reals { int count; double at[AM_MAX_LIST]; } am_reals;    /* steps=100,200 */
typedef struct am_layers { int count, at[AM_MAX_LIST]; } am_layers;         /* layers=-1,stage2 */

typedef struct am_key {
    const char *name;
    am_kind kind;
    size_t at;                  /* offset of the field in the options struct */
    double least, most;         /* numbers: the range, inclusive */
    const char *def;            /* as it would be written in a cfg; NULL: the key is required */
    const char *choices;        /* "leaky|relu|linear" for AM_KEY_CHOICE; the field gets the position */
    const char *help;           /* one sentence, lower case, no full stop */
} am_key;

/* What an AM_KEY_LAYER may refer to.  The field gets am_layer.index (0 is the image, Darknet's
 * layer 0 is 1).  def "" for AM_KEY_LAYER: not given, the field becomes -1. */
typedef struct am_names {
    const char *(*name)(const void *scope, int index);  /* NULL: that layer has no name */
    const void *scope;
    int here;                                           /* index of the layer being read; -1 counts back from it */
    int last;                                           /* one past the highest index that may be named */
} am_names;

/* Rows.  The key is spelled like the field, and a row whose field has another type does not
 * compile.  OPTIONS is the struct of the file at hand. */
#define AM_FIELD(f, type)                                                                          \
    offsetof(OPTIONS, f) + 0 * sizeof(char[_Generic(((OPTIONS *)0)->f, type : 1, default : -1)])
#define AM_INT(f, least, most, def, help)  {#f, AM_KEY_INT, AM_FIELD(f, int), least, most, def, NULL, help}
#define AM_REAL(f, least, most, def, help) {#f, AM_KEY_REAL, AM_FIELD(f, double), least, most, def, NULL, help}
#define AM_FLAG(f, def, help)              {#f, AM_KEY_FLAG, AM_FIELD(f, int), 0, 1, def, NULL, help}
#define AM_CHOICE(f, choices, def, help)   {#f, AM_KEY_CHOICE, AM_FIELD(f, int), 0, 0, def, choices, help}
#define AM_LAYER(f, def, help)             {#f, AM_KEY_LAYER, AM_FIELD(f, int), 0, 0, def, NULL, help}
#define AM_LAYERS(f, def, help)            {#f, AM_KEY_LAYERS, AM_FIELD(f, am_layers), 0, 0, def, NULL, help}
#define AM_REALS(f, least, most, def, help) {#f, AM_KEY_REALS, AM_FIELD(f, am_reals), least, most, def, NULL, help}
#define AM_WORD(f, def, help)              {#f, AM_KEY_WORD, AM_FIELD(f, const char *), 0, 0, def, NULL, help}
#define AM_REQUIRED NULL

/* Fill options from a section.  `more` may be NULL: a second table, read into `more_options`
 * from the same section (the keys common to all layers, to all [mix] sections).  names may be
 * NULL where no row is AM_KEY_LAYER(S). */
am_status am_keys_read(const am_key *keys, void *options, const am_key *more, void *more_options,
                       const am_section *, const am_names *names, am_err *);
const char *am_key_choice(const am_key *keys, const char *name, int value, char *out, size_t size);
void am_keys_print(const am_key *keys, FILE *to);       /* the rows of a Markdown table, without its head */

int am_edits(const char *a, const char *b);             /* Levenshtein distance, for "did you mean" */
/* The nearest of n words (words[i] may be NULL) to what was typed, or NULL when nothing is near. */
const char *am_nearest(const char *typed, const char *const *words, int n);

#endif
