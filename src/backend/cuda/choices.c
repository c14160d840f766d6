/* choices.c: see choices.h. */
#include "choices.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const kinds[AM_GRAPH_KINDS] = {"y", "dx", "dw", "dx+"}, *const precisions[] = {"fp32", "bf16", "fast", "tf32", "fp16"};
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
    const int k = word_of(kind, kinds, AM_GRAPH_KINDS), p = word_of(precision, precisions, 5);
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
    char line[LINE], device[LINE], version[LINE];
    if (!next_line(f, line) || strcmp(line, first_line))
        return am_fail(e, AM_EINPUT, (am_loc){s->path, 1}, "this is no plan file (its first line is not '%s'); give another -plans, or remove it", first_line);
    if (!next_line(f, device) || strncmp(device, "device ", 7) || !next_line(f, version) ||
        strncmp(version, "cudnn ", 6))
        return am_fail(e, AM_EINPUT, (am_loc){s->path, 2},
                       "a plan file names its device and its cuDNN here; remove the file, and it is "
                       "measured anew");
    if (strcmp(device + 7, s->device) || strtol(version + 6, NULL, 10) != s->version)
        return am_fail(e, AM_EINPUT, (am_loc){s->path, 2},
                       "these engines were measured on %s with cuDNN %s, and here is %s with cuDNN "
                       "%ld; give another -plans FILE, or remove this one",
                       device + 7, version + 6, s->device, s->version);
    for (int number = 4; next_line(f, line); number++) {
        am_choice c;
        if (!line[0] || line[0] == '#') continue;
        if (!read_line(line, &c))
            return am_fail(e, AM_EINPUT, (am_loc){s->path, number}, "this is no line of a plan file; remove the file, and it is measured anew");
        AM_TRY(append(s, &c, e));
    }
    return AM_OK;
}

/* A word of the path: letters and digits of the device's name. */
static void plain_name(char *out, size_t size, const char *device)
{
    size_t n = 0;
    for (; *device && n + 1 < size; device++)
        if (isalnum((unsigned char)*device)) out[n++] = *device;
        else if (n && out[n - 1] != '_') out[n++] = '_';
    out[n] = 0;
}

int am_choices_place(char *path, size_t size, const char *device, long version)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char folder[sizeof ((am_choices *)0)->path], name[100];
    int n = 0;
    if (cache && *cache == '/') n = snprintf(folder, sizeof folder, "%s", cache);
    else if (home && *home == '/') n = snprintf(folder, sizeof folder, "%s/.cache", home);
    if (n < 1 || n + 9 > (int)sizeof folder) return 0;
    mkdir(folder, 0700);
    snprintf(folder + n, sizeof folder - (size_t)n, "/automix");
    if ((mkdir(folder, 0777) && errno != EEXIST) || access(folder, W_OK | X_OK)) return 0;
    plain_name(name, sizeof name, device);
    return snprintf(path, size, "%s/%s_cudnn%ld.plans", folder, name, version) < (int)size;
}

am_status am_choices_open(am_choices *s, const char *path, const char *device, long version, am_err *e)
{
    *s = (am_choices){.version = version};
    if (strlen(path) + 1 > sizeof s->path)
        return am_fail(e, AM_EINPUT, (am_loc){"-plans", 0},
                       "its path has %zu characters, and %zu are the most; give a shorter one",
                       strlen(path), sizeof s->path - 1);
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

static am_status take_in(am_choices *s, am_err *e)
{
    am_choices there;
    am_status st = am_choices_open(&there, s->path, s->device, s->version, e);
    for (int i = 0; !st && i < there.count; i++) {
        const am_choice *mine = am_choices_find(s, &there.at[i].key);
        if (mine) s->at[mine - s->at] = there.at[i];
        else st = append(s, &there.at[i], e);
    }
    am_choices_close(&there);
    return st;
}

am_status am_choices_write(am_choices *s, am_err *e)
{
    char aside[sizeof s->path + 32];
    if (!s->changed) return AM_OK;
    AM_TRY(take_in(s, e));
    snprintf(aside, sizeof aside, "%s.part%ld", s->path, (long)getpid());
    FILE *f = fopen(aside, "w");
    if (!f)
        return am_fail(e, AM_EIO, (am_loc){"-plans", 0},
                       "%s: %s; give another FILE, or -plans rule to measure nothing", aside,
                       strerror(errno));
    fprintf(f, "%s\ndevice %s\ncudnn %ld\n", first_line, s->device, s->version);
    for (int i = 0; i < s->count; i++) write_line(f, &s->at[i]);
    const int bad = ferror(f) || fflush(f) || fsync(fileno(f));
    if (fclose(f) || bad || rename(aside, s->path)) {
        remove(aside);
        return am_fail(e, AM_EIO, (am_loc){"-plans", 0}, "%s cannot be written: %s; give another "
                       "FILE, or -plans rule to measure nothing", s->path, strerror(errno));
    }
    s->changed = 0;
    return AM_OK;
}

void am_choices_close(am_choices *s)
{
    free(s->at);
    *s = (am_choices){0};
}
