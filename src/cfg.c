/* cfg.c: the grammar of .cfg and .data files.
 *
 *     [section]           first sign of the line; may be followed by a comment
 *     key = value         split at the first '='; blanks at both ends of both are dropped
 *     # text   ; text     comment; '#' also behind a blank after a value or a section
 *     [include] file=x    the sections of x, looked up beside the including file, stand here
 *
 * Darknet deletes blanks inside a value too, so that paths with blanks break; here they stay, and
 * keys.c drops them around the commas of a list.  LF and CRLF end a line, a UTF-8 byte-order mark
 * is skipped, and any other control byte is refused: the file is not text.
 *
 * One arena holds everything.  A file's bytes are cut into strings where they lie; sections and
 * lines collect in two arrays that double, and sections find their lines when all is read. */
#include "cfg.h"
#include <string.h>
#include <unistd.h>
#include "file.h"

enum { MOST_BYTES = 1 << 20, MOST_DEPTH = 8 }; /* bytes: of a cfg and its includes together */

typedef struct source {                                 /* a file being read, and who included it */
    const char *file;
    const struct source *by;
    int depth, on_disk;
} source;

typedef struct reader {
    am_arena *mem;
    am_section *section;
    int sections, section_room;
    am_line *line;
    int lines, line_room;
    size_t left;                                        /* bytes that may still be read */
    am_err *err;
} reader;

static am_status no_memory(am_err *e, const char *file)
{
    return am_fail(e, AM_ENOMEM, (am_loc){file, 0}, "out of memory while reading a cfg");
}

/* Room for one more element of an array that doubles; the old one stays in the arena. */
static void *grown(am_arena *mem, void *array, int count, int *room, size_t size)
{
    if (count < *room) return array;
    int more = *room ? 2 * *room : 64;
    void *bigger = am_new(mem, (size_t)more * size);
    if (!bigger) return NULL;
    if (count) memcpy(bigger, array, (size_t)count * size);
    *room = more;
    return bigger;
}

/* A section's .line is NULL until finish(); .lines counts. */
static am_status add_section(reader *r, const char *name, am_loc loc)
{
    r->section = grown(r->mem, r->section, r->sections, &r->section_room, sizeof *r->section);
    if (!r->section) return no_memory(r->err, loc.file);
    r->section[r->sections++] = (am_section){name, loc, NULL, 0};
    return AM_OK;
}

static am_status add_line(reader *r, const char *key, const char *value, am_loc loc)
{
    r->line = grown(r->mem, r->line, r->lines, &r->line_room, sizeof *r->line);
    if (!r->line) return no_memory(r->err, loc.file);
    r->line[r->lines++] = (am_line){key, value, loc};
    r->section[r->sections - 1].lines++;
    return AM_OK;
}

static int blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

static char *trim(char *s)
{
    while (blank(*s)) s++;
    char *end = s + strlen(s);
    while (end > s && blank(end[-1])) *--end = 0;
    return s;
}

static void cut_comment(char *s)
{
    for (char *p = s; *p; p++)
        if (*p == '#' && (p == s || blank(p[-1]))) {
            *p = 0;
            return;
        }
}

static const char *whole_word(const char *name)
{
    static const char *const alias[][2] = {
        {"conv", "convolutional"}, {"conn", "connected"}, {"max", "maxpool"},
        {"avg", "avgpool"},        {"soft", "softmax"},   {"network", "net"},
    };
    for (size_t i = 0; i < sizeof alias / sizeof *alias; i++)
        if (!strcmp(name, alias[i][0])) return alias[i][1];
    return name;
}

static am_status check_text(const char *bytes, size_t size, const char *file, am_err *e)
{
    int line = 1;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)bytes[i];
        line += c == '\n';
        if (c == '\r' && (i + 1 == size || bytes[i + 1] == '\n')) continue;
        if ((c < 32 && c != '\n' && c != '\t') || c == 127)
            return am_fail(e, AM_EINPUT, (am_loc){file, line},
                           "byte 0x%02x: this is not a text file; a cfg is plain ASCII or UTF-8",
                           c);
    }
    return AM_OK;
}

/* Where `name` lies when it is written in `file`: beside it, unless it is absolute. */
static char *beside(am_arena *mem, const char *file, const char *name)
{
    const char *slash = strrchr(file, '/');
    if (*name == '/' || !slash) return am_dup(mem, name);
    return am_print(mem, "%.*s/%s", (int)(slash - file), file, name);
}

static void chain(char *out, size_t size, const source *s, const char *next)
{
    if (s->by) {
        chain(out, size, s->by, s->file);
    } else {
        size_t n = strlen(s->file);
        memcpy(out, s->file, n < size ? n : size - 1);
        out[n < size ? n : size - 1] = 0;
    }
    strncat(out, " > ", size - strlen(out) - 1);
    strncat(out, next, size - strlen(out) - 1);
}

static am_status read_file(reader *, const char *path, const source *by);

/* The section just read is an [include]: take it off again and read its file in its place. */
static am_status follow(reader *r, const source *s)
{
    if (!r->sections) return AM_OK;
    am_section in = r->section[r->sections - 1];
    if (strcmp(in.name, "include")) return AM_OK;
    const am_line *l = r->line + r->lines - in.lines;
    if (!s->on_disk)
        return am_fail(r->err, AM_EINPUT, in.loc,
                       "[include] works in files only; write its sections here");
    if (in.lines != 1 || strcmp(l->key, "file") || !*l->value)
        return am_fail(r->err, AM_EINPUT, in.lines ? l[in.lines - 1].loc : in.loc,
                       "[include] takes one line, file=NAME, and nothing else");
    char *path = beside(r->mem, s->file, l->value);
    if (!path) return no_memory(r->err, s->file);
    int circle = 0;
    for (const source *up = s; up; up = up->by) circle |= !strcmp(up->file, path);
    if (circle || s->depth == MOST_DEPTH) {
        char way[400];
        chain(way, sizeof way, s, path);
        return circle ? am_fail(r->err, AM_EINPUT, l->loc, "[include] goes in a circle: %s", way)
                      : am_fail(r->err, AM_EINPUT, l->loc,
                                "[include] goes deeper than %d files: %s", MOST_DEPTH, way);
    }
    am_loc at = l->loc;
    if (access(path, F_OK))
        return am_fail(r->err, AM_EINPUT, at,
                       "[include] file=%s: there is no %s; it is looked up beside the file that "
                       "names it", l->value, path);
    r->sections--;
    r->lines--;
    am_err why = {0};
    am_err *e = r->err;
    int before = r->sections;
    r->err = &why;
    am_status st = read_file(r, path, s);
    r->err = e;
    if (st) {
        if (strcmp(why.place, path)) { /* a fault inside it has its own line */
            if (e) *e = why;
            return st;
        }
        return am_fail(e, st, at, "[include] file=%s: %s", path, why.text);
    }
    if (r->sections == before)
        return am_fail(e, AM_EINPUT, at, "[include] file=%s: it has no [section]", path);
    return AM_OK;
}

static am_status read_header(reader *r, const source *s, char *text, am_loc loc)
{
    AM_TRY(follow(r, s));
    char *end = strchr(text, ']');
    if (!end || end[1])
        return am_fail(r->err, AM_EINPUT, loc, "a section is written [name]; found '%.80s'", text);
    *end = 0;
    char *name = trim(text + 1);
    if (!*name)
        return am_fail(r->err, AM_EINPUT, loc, "a section without a name; write [net], for one");
    return add_section(r, whole_word(name), loc);
}

static am_status read_line(reader *r, char *text, am_loc loc)
{
    char *eq = strchr(text, '=');
    if (!eq || eq == text)
        return am_fail(r->err, AM_EINPUT, loc, "expected key=value, found '%.80s'", text);
    *eq = 0;
    char *key = trim(text), *value = trim(eq + 1);
    return add_line(r, key, value, loc);
}

/* text is 0-terminated and is cut up.  data: the file has no sections, one is open already. */
static am_status read_text(reader *r, char *text, const source *s, int data)
{
    if (!strncmp(text, "\xef\xbb\xbf", 3)) text += 3;
    int line = 0, open = data;                          /* open: a section that takes lines */
    for (char *next; text; text = next) {
        am_loc loc = {s->file, ++line};
        next = strchr(text, '\n');
        if (next) *next++ = 0;
        text = trim(text);
        if (*text == ';') continue;
        cut_comment(text);
        text = trim(text);
        if (!*text) continue;
        if (*text == '[') {
            if (data)
                return am_fail(r->err, AM_EINPUT, loc,
                               "%.80s: a .data file has no sections; is this the .cfg?", text);
            AM_TRY(read_header(r, s, text, loc));
            open = 1;
        } else if (!open) {
            return am_fail(r->err, AM_EINPUT, loc,
                           "'%.80s' comes before any [section]; a cfg begins with [net]", text);
        } else {
            AM_TRY(read_line(r, text, loc));
        }
    }
    return open ? follow(r, s) : AM_OK;
}

static am_status read_path(reader *r, const char *path, const source *by, int data)
{
    char *bytes;
    size_t size;
    AM_TRY(am_file_slurp(r->mem, path, r->left, &bytes, &size, r->err));
    r->left -= size;
    AM_TRY(check_text(bytes, size, path, r->err));
    return read_text(r, bytes, &(source){path, by, by ? by->depth + 1 : 1, 1}, data);
}

static am_status read_file(reader *r, const char *path, const source *by)
{
    return read_path(r, path, by, 0);
}

/* Sections find their lines; the whole is written out as one text, from which am_cfg_parse makes
 * the same sections again. */
static am_status finish(reader *r, am_cfg *c, const char *file)
{
    if (!r->sections)
        return am_fail(r->err, AM_EINPUT, (am_loc){file, 0},
                       "no [section] in it; a cfg begins with [net]");
    size_t size = 1;
    am_line *l = r->line;
    for (int i = 0; i < r->sections; i++) {
        am_section *s = &r->section[i];
        s->line = l;
        size += strlen(s->name) + 4;
        for (int j = 0; j < s->lines; j++, l++) size += strlen(l->key) + strlen(l->value) + 2;
    }
    char *text = am_new(r->mem, size), *p = text;
    if (!text) return no_memory(r->err, file);
    for (int i = 0; i < r->sections; i++) {
        const am_section *s = &r->section[i];
        p = stpcpy(p, i ? "\n[" : "[");
        p = stpcpy(stpcpy(p, s->name), "]\n");
        for (int j = 0; j < s->lines; j++) {
            p = stpcpy(stpcpy(p, s->line[j].key), "=");
            p = stpcpy(stpcpy(p, s->line[j].value), "\n");
        }
    }
    *c = (am_cfg){r->section, r->sections, file, text};
    return AM_OK;
}

am_status am_cfg_load(am_cfg *c, am_arena *mem, const char *path, am_err *e)
{
    reader r = {.mem = mem, .left = MOST_BYTES, .err = e};
    char *name = am_dup(mem, path);
    if (!name) return no_memory(e, path);
    AM_TRY(read_path(&r, name, NULL, 0));
    return finish(&r, c, name);
}

am_status am_cfg_parse(am_cfg *c, am_arena *mem, const char *name, const char *text, size_t size,
                       am_err *e)
{
    reader r = {.mem = mem, .err = e};
    if (size > MOST_BYTES)
        return am_fail(e, AM_EINPUT, (am_loc){name, 0},
                       "%zu bytes are too many for a cfg; at most %d", size, MOST_BYTES);
    AM_TRY(check_text(text, size, name, e));
    char *file = am_dup(mem, name), *copy = am_new(mem, size + 1);
    if (!file || !copy) return no_memory(e, name);
    memcpy(copy, text, size);
    AM_TRY(read_text(&r, copy, &(source){file, NULL, 1, 0}, 0));
    return finish(&r, c, file);
}

am_status am_cfg_load_data(am_section *s, am_arena *mem, const char *path, am_err *e)
{
    reader r = {.mem = mem, .left = MOST_BYTES, .err = e};
    char *name = am_dup(mem, path);
    if (!name) return no_memory(e, path);
    AM_TRY(add_section(&r, "data", (am_loc){name, 0}));
    AM_TRY(read_path(&r, name, NULL, 1));
    *s = r.section[0];
    s->line = r.line;
    return AM_OK;
}
