/* choices.c: see choices.h. */
#include "choices.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kinds[] = {"y", "dx", "dw"}, *const precisions[] = {"fp32", "bf16", "fast", "tf32", "fp16"};
static const char first_line[] = "automix plans 1";
enum { LINE = 1000 };

am_choice_key am_choice_key_of(am_graph_kind kind, am_precision precision, const am_conv *c, int n)
{
    am_choice_key k = {kind, precision, n, *c};
    k.conv.plan = NULL;
    return k;
}

int am_choice_same(const am_choice_key *x, const am_choice_key *y)
{
    const am_conv *a = &x->conv, *b = &y->conv;
    return x->kind == y->kind && x->precision == y->precision && x->n == y->n && a->c == b->c && a->h == b->h && a->w == b->w &&
           a->filters == b->filters && a->oh == b->oh && a->ow == b->ow && a->size == b->size && a->stride == b->stride &&
           a->pad == b->pad && a->groups == b->groups;
}

const am_choice *am_choices_find(const am_choices *s, const am_choice_key *k)
{
    for (int i = 0; i < s->count; i++)
        if (am_choice_same(&s->at[i].key, k)) return &s->at[i];
    return NULL;
}

static am_status append(am_choices *s, const am_choice *c, am_err *e)
{
    if (s->count == s->room) {
        const int room = s->room ? 2 * s->room : 64;
        am_choice *at = realloc(s->at, (size_t)room * sizeof *at);
        if (!at) return am_fail(e, AM_ENOMEM, (am_loc){s->path, 0}, "no memory for %d plans", room);
        s->at = at;
        s->room = room;
    }
    s->at[s->count++] = *c;
    return AM_OK;
}

am_status am_choices_add(am_choices *s, const am_choice *c, am_err *e)
{
    s->changed = 1;
    return append(s, c, e);
}

/* ---- one line ---- */

static void write_line(FILE *f, const am_choice *c)
{
    const am_conv *v = &c->key.conv;
    fprintf(f, "%s %s n %d c %d %d %d f %d %d %d k %d %d %d g %d : engine %lld knobs", kinds[c->key.kind], precisions[c->key.precision],
            c->key.n, v->c, v->h, v->w, v->filters, v->oh, v->ow, v->size, v->stride, v->pad, v->groups, (long long)c->engine);
    for (int i = 0; i < c->knobs; i++) fprintf(f, " %lld=%lld", (long long)c->knob[i], (long long)c->value[i]);
    fprintf(f, " : %.2f us\n", c->us);
}

static int word_of(const char *word, const char *const *words, int count)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(word, words[i])) return i;
    return -1;
}

static int read_line(const char *line, am_choice *c)
{
    char kind[8], precision[8];
    am_conv *v = &c->key.conv;
    long long engine;
    int used = 0;
    *c = (am_choice){0};
    if (sscanf(line, "%7s %7s n %d c %d %d %d f %d %d %d k %d %d %d g %d : engine %lld knobs%n", kind, precision, &c->key.n, &v->c, &v->h,
               &v->w, &v->filters, &v->oh, &v->ow, &v->size, &v->stride, &v->pad, &v->groups, &engine, &used) != 14 || !used)
        return 0;
    const int k = word_of(kind, kinds, 3), p = word_of(precision, precisions, 5);
    if (k < 0 || p < 0) return 0;
    c->key.kind = (am_graph_kind)k;
    c->key.precision = (am_precision)p;
    c->engine = engine;
    line += used;
    for (;;) {
        long long knob, value;
        used = 0;
        if (sscanf(line, " %lld=%lld%n", &knob, &value, &used) < 2 || !used) break;
        if (c->knobs == CHOICE_KNOBS) return 0;
        c->knob[c->knobs] = knob;
        c->value[c->knobs++] = value;
        line += used;
    }
    used = 0;
    return sscanf(line, " : %lf us%n", &c->us, &used) == 1 && used && !line[used + (int)strspn(line + used, " \r")];
}

/* ---- the file ---- */

static int next_line(FILE *f, char line[LINE])
{
    if (!fgets(line, LINE, f)) return 0;
    line[strcspn(line, "\r\n")] = 0;
    return 1;
}

static am_status read_all(am_choices *s, FILE *f, am_err *e)
{
    char line[LINE], device[LINE + 8], version[60];
    snprintf(device, sizeof device, "device %s", s->device);
    snprintf(version, sizeof version, "cudnn %ld", s->version);
    if (!next_line(f, line) || strcmp(line, first_line))
        return am_fail(e, AM_EINPUT, (am_loc){s->path, 1}, "this is no plan file (its first line is not '%s'); give another -plans, or remove it", first_line);
    if (!next_line(f, line) || strcmp(line, device) || !next_line(f, line) || strcmp(line, version)) {
        s->changed = 1;                         /* of another device or another cuDNN: measured anew */
        return AM_OK;
    }
    for (int number = 4; next_line(f, line); number++) {
        am_choice c;
        if (!line[0] || line[0] == '#') continue;
        if (!read_line(line, &c))
            return am_fail(e, AM_EINPUT, (am_loc){s->path, number}, "this is no line of a plan file; remove the file, and it is measured anew");
        AM_TRY(append(s, &c, e));
    }
    return AM_OK;
}

am_status am_choices_open(am_choices *s, const char *path, const char *device, long version, am_err *e)
{
    *s = (am_choices){.version = version};
    if (strlen(path) + 8 > sizeof s->path) return am_fail(e, AM_EINPUT, (am_loc){"-plans", 0}, "the path is longer than %zu", sizeof s->path - 8);
    snprintf(s->path, sizeof s->path, "%s", path);
    snprintf(s->device, sizeof s->device, "%s", device);
    FILE *f = fopen(path, "r");
    if (!f && errno == ENOENT) return AM_OK;
    if (!f) return am_fail(e, AM_EIO, (am_loc){"-plans", 0}, "%s: %s", path, strerror(errno));
    am_status st = read_all(s, f, e);
    fclose(f);
    if (st) am_choices_close(s);
    return st;
}

am_status am_choices_write(am_choices *s, am_err *e)
{
    char aside[sizeof s->path + 8];
    if (!s->changed) return AM_OK;
    snprintf(aside, sizeof aside, "%s.part", s->path);
    FILE *f = fopen(aside, "w");
    if (!f) return am_fail(e, AM_EIO, (am_loc){"-plans", 0}, "%s: %s", aside, strerror(errno));
    fprintf(f, "%s\ndevice %s\ncudnn %ld\n", first_line, s->device, s->version);
    for (int i = 0; i < s->count; i++) write_line(f, &s->at[i]);
    const int bad = ferror(f);
    if (fclose(f) || bad || rename(aside, s->path)) {
        remove(aside);
        return am_fail(e, AM_EIO, (am_loc){"-plans", 0}, "%s cannot be written: %s", s->path, strerror(errno));
    }
    s->changed = 0;
    return AM_OK;
}

void am_choices_close(am_choices *s)
{
    free(s->at);
    *s = (am_choices){0};
}
