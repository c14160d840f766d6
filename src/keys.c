/* keys.c: what the lines of a section mean, by the rows of a table.
 *
 * A section is read in two turns: each line is matched to a row and its value stored; each row
 * that no line named then gets its default, through the same code.  Nothing is guessed: a word
 * that no row knows is refused with the nearest one that some row does. */
#include "cfg.h"
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_LETTERS = 64 };                             /* of a word that is compared with others */

int am_edits(const char *a, const char *b)
{
    int row[MOST_LETTERS + 1]; /* row[j]: edits from a's first i letters to b's first j */
    size_t na = strlen(a), nb = strlen(b);
    if (na > MOST_LETTERS || nb > MOST_LETTERS) return INT_MAX;
    for (size_t j = 0; j <= nb; j++) row[j] = (int)j;
    for (size_t i = 1; i <= na; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= nb; j++) {
            int best = diagonal + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[nb];
}

/* Near: at most three edits, and fewer than half the letters. */
static const char *nearer(const char *typed, const char *word, const char *best, int *edits)
{
    int d = am_edits(typed, word);
    if (d > 3 || 2 * (size_t)d >= strlen(word) + 1 || (best && d >= *edits)) return best;
    *edits = d;
    return word;
}

const char *am_nearest(const char *typed, const char *const *words, int n)
{
    const char *best = NULL;
    int edits = 0;
    for (int i = 0; i < n; i++)
        if (words[i]) best = nearer(typed, words[i], best, &edits);
    return best;
}

/* "a|b|c": copies word i; 0 when there are not so many. */
static int choice_at(const char *choices, int i, char *out, size_t size)
{
    for (; i > 0; i--) {
        choices = strchr(choices, '|');
        if (!choices) return 0;
        choices++;
    }
    snprintf(out, size, "%.*s", (int)strcspn(choices, "|"), choices);
    return 1;
}

const char *am_key_choice(const am_key *keys, const char *name, int value, char *out, size_t size)
{
    for (const am_key *k = keys; k->name; k++)
        if (!strcmp(k->name, name) && k->choices && value >= 0 &&
            choice_at(k->choices, value, out, size))
            return out;
    snprintf(out, size, "?");
    return out;
}

/* Numbers as a person would write them: 65536 and 1000000, not 1e+06. */
static const char *plain(double v, char *out, size_t size)
{
    snprintf(out, size, v == floor(v) && fabs(v) < 1e15 ? "%.0f" : "%g", v);
    return out;
}

typedef struct reading {                                /* one value on its way into a field */
    const am_key *key;
    const am_names *names;
    am_loc loc;
    am_err *err;
} reading;

/* "key=text: " and the rest of the message. */
__attribute__((format(printf, 3, 4)))
static am_status refuse(const reading *r, const char *text, const char *fmt, ...)
{
    char why[400];
    va_list va;
    va_start(va, fmt);
    vsnprintf(why, sizeof why, fmt, va);
    va_end(va);
    return am_fail(r->err, AM_EINPUT, r->loc, "%s=%.80s: %s", r->key->name, text, why);
}

static am_status read_number(const reading *r, const char *text, double *v)
{
    const am_key *k = r->key;
    char *end, low[32], high[32];
    *v = strtod(text, &end);
    /* strtod also takes 0x10, inf and nan */
    if (end == text || *end || text[strspn(text, "+-.0123456789eE")])
        return refuse(r, text, "not a number");
    if (k->kind != AM_KEY_REAL && k->kind != AM_KEY_REALS && *v != floor(*v))
        return refuse(r, text, "not a whole number");
    if (k->kind == AM_KEY_FLAG && *v != 0 && *v != 1)
        return refuse(r, text, "must be 0 or 1");
    double least = k->least, most = k->most;
    if (k->kind == AM_KEY_INT) {
        least = fmax(least, INT_MIN);
        most = fmin(most, INT_MAX);
    }
    if (!(*v >= least && *v <= most))
        return refuse(r, text, "must be from %s to %s", plain(least, low, sizeof low),
                      plain(most, high, sizeof high));
    return AM_OK;
}

static am_status read_choice(const reading *r, const char *text, int *at)
{
    char word[MOST_LETTERS + 1], near[MOST_LETTERS + 1];
    const char *best = NULL;
    int edits = 0;
    for (*at = 0; choice_at(r->key->choices, *at, word, sizeof word); ++*at) {
        if (!strcmp(word, text)) return AM_OK;
        if (nearer(text, word, best, &edits) != best) best = strcpy(near, word);
    }
    if (best)
        return refuse(r, text, "did you mean '%s'? (one of %s)", best, r->key->choices);
    return refuse(r, text, "must be one of %s", r->key->choices);
}

/* A layer by Darknet's number: -1 is the layer above; 0 is the first layer, index 1 here.  No
 * number means the input: what is counted changes when a line is inserted, image does not. */
static am_status layer_number(const reading *r, const char *text, int *at)
{
    const am_names *n = r->names;
    double v = strtod(text, NULL), index = v < 0 ? n->here + v : v + 1;
    if (index >= 1 && index < n->last) {
        *at = (int)index;
        return AM_OK;
    }
    if (n->last <= 1)
        return refuse(r, text, "there is no layer above; the input itself is called image");
    return refuse(r, text,
                  "no such layer above; count from 0 to %d or back from -1 to -%d, or use a name",
                  n->last - 2, n->here - 1);
}

static am_status read_layer(const reading *r, const char *text, int *at)
{
    const am_names *n = r->names;
    if (!n)
        return am_fail(r->err, AM_EBUG, r->loc, "key '%s' names a layer where there are none",
                       r->key->name);
    const char *digits = text + (*text == '-'), *best = NULL;
    if (*digits && !digits[strspn(digits, "0123456789")]) return layer_number(r, text, at);
    *at = 0;
    if (!strcmp(text, "image")) return AM_OK;
    int edits = 0;
    for (*at = 0; *at < n->last; ++*at) {
        const char *name = n->name(n->scope, *at);
        if (!name) continue;
        if (!strcmp(name, text)) return AM_OK;
        best = nearer(text, name, best, &edits);
    }
    if (!best) best = nearer(text, "image", best, &edits);
    if (best) return refuse(r, text, "no layer above has that name; did you mean '%s'?", best);
    return refuse(r, text,
                  "no layer above has that name; give one name=%.80s, or count back with -1", text);
}

/* The next piece of a list, without the blanks around it.  *text becomes NULL after the last. */
static am_status next_piece(const reading *r, const char **text, char *out, size_t size)
{
    size_t all = strcspn(*text, ","), n = all;
    const char *from = *text;
    while (n && (*from == ' ' || *from == '\t')) from++, n--;
    while (n && (from[n - 1] == ' ' || from[n - 1] == '\t')) n--;
    if (!n)
        return am_fail(r->err, AM_EINPUT, r->loc,
                       "%s: nothing between two commas or at an end of the list", r->key->name);
    if (n >= size)
        return am_fail(r->err, AM_EINPUT, r->loc, "%s: '%.40s...' is too long", r->key->name, from);
    memcpy(out, from, n);
    out[n] = 0;
    *text = (*text)[all] ? *text + all + 1 : NULL;
    return AM_OK;
}

static am_status read_list(const reading *r, const char *value, void *field)
{
    char piece[128];
    int count = 0;
    am_reals *reals = field;
    am_layers *layers = field;
    for (const char *p = *value ? value : NULL; p; count++) {
        if (count == AM_MAX_LIST)
            return am_fail(r->err, AM_EINPUT, r->loc, "%s: more than %d in the list", r->key->name,
                           AM_MAX_LIST);
        AM_TRY(next_piece(r, &p, piece, sizeof piece));
        if (r->key->kind == AM_KEY_REALS) AM_TRY(read_number(r, piece, &reals->at[count]));
        else AM_TRY(read_layer(r, piece, &layers->at[count]));
    }
    if (r->key->kind == AM_KEY_REALS) reals->count = count;
    else layers->count = count;
    return AM_OK;
}

static am_status read_value(const reading *r, const char *value, void *options)
{
    void *field = (char *)options + r->key->at;
    double v;
    switch (r->key->kind) {
    case AM_KEY_INT:
    case AM_KEY_FLAG:
        AM_TRY(read_number(r, value, &v));
        *(int *)field = (int)v;
        return AM_OK;
    case AM_KEY_REAL:
        AM_TRY(read_number(r, value, &v));
        *(double *)field = v;
        return AM_OK;
    case AM_KEY_CHOICE:
        return read_choice(r, value, field);
    case AM_KEY_WORD:
        *(const char **)field = value;
        return AM_OK;
    case AM_KEY_LAYER:
        *(int *)field = -1;
        return *value ? read_layer(r, value, field) : AM_OK;
    case AM_KEY_LAYERS:
    case AM_KEY_REALS:
        return read_list(r, value, field);
    }
    return am_fail(r->err, AM_EBUG, r->loc, "key '%s' has no kind", r->key->name);
}

static const am_key *find(const am_key *keys, const char *name, const char **best, int *edits)
{
    for (; keys && keys->name; keys++) {
        if (!strcmp(keys->name, name)) return keys;
        *best = nearer(name, keys->name, *best, edits);
    }
    return NULL;
}

static am_status read_defaults(const am_key *keys, void *options, const am_section *s,
                               const am_names *names, am_err *e)
{
    for (const am_key *k = keys; k && k->name; k++) {
        int given = 0;
        for (int i = 0; i < s->lines; i++) given |= !strcmp(s->line[i].key, k->name);
        if (given) continue;
        if (!k->def)
            return am_fail(e, AM_EINPUT, s->loc, "[%.80s] needs %s= (%s)", s->name, k->name,
                           k->help);
        AM_TRY(read_value(&(reading){k, names, s->loc, e}, k->def, options));
    }
    return AM_OK;
}

am_status am_keys_read(const am_key *keys, void *options, const am_key *more, void *more_options,
                       const am_section *s, const am_names *names, am_err *e)
{
    for (int i = 0; i < s->lines; i++) {
        const am_line *l = &s->line[i];
        const char *best = NULL;
        int edits = 0;
        void *into = options;
        const am_key *k = find(keys, l->key, &best, &edits);
        if (!k) {
            k = find(more, l->key, &best, &edits);
            into = more_options;
        }
        if (!k && best)
            return am_fail(e, AM_EINPUT, l->loc, "[%.80s] has no key '%.80s'; did you mean '%s'?",
                           s->name, l->key, best);
        if (!k)
            return am_fail(e, AM_EINPUT, l->loc,
                           "[%.80s] has no key '%.80s'; try: automix help %.80s", s->name, l->key,
                           s->name);
        for (int j = 0; j < i; j++)
            if (!strcmp(s->line[j].key, l->key))
                return am_fail(e, AM_EINPUT, l->loc, "'%s' was already set on line %d", l->key,
                               s->line[j].loc.line);
        if (!*l->value && (!k->def || *k->def))
            return am_fail(e, AM_EINPUT, l->loc, "'%s' has no value; give one or remove the line",
                           l->key);
        AM_TRY(read_value(&(reading){k, names, l->loc, e}, l->value, into));
    }
    AM_TRY(read_defaults(keys, options, s, names, e));
    return read_defaults(more, more_options, s, names, e);
}

static void print_range(const am_key *k, FILE *to)
{
    char low[32], high[32];
    switch (k->kind) {
    case AM_KEY_INT:
    case AM_KEY_REAL:
    case AM_KEY_REALS:
        fprintf(to, "%s%s to %s", k->kind == AM_KEY_REALS ? "list, each " : "",
                plain(k->least, low, sizeof low), plain(k->most, high, sizeof high));
        return;
    case AM_KEY_FLAG: fputs("0 or 1", to); return;
    case AM_KEY_WORD: fputs("text", to); return;
    case AM_KEY_LAYER: fputs("a layer", to); return;
    case AM_KEY_LAYERS: fputs("layers", to); return;
    case AM_KEY_CHOICE:
        for (const char *p = k->choices; *p; p++) {
            if (*p == '|') fputs(", ", to);
            else fputc(*p, to);
        }
    }
}

void am_keys_print(const am_key *keys, FILE *to)
{
    for (const am_key *k = keys; k->name; k++) {
        fprintf(to, "| `%s` | %s | ", k->name, !k->def ? "required" : *k->def ? k->def : "none");
        print_range(k, to);
        fprintf(to, " | %s |\n", k->help);
    }
}
