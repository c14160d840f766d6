/* dataset_lines.c: text files of one path or name a line. */
#include "dataset.h"
#include "file.h"
#include <string.h>

#define MOST_BYTES ((size_t)1 << 30)

static int blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

am_status am_lines_read(am_lines *l, am_arena *mem, const char *path, am_err *e)
{
    char *text;
    size_t size, most = 1;
    *l = (am_lines){0};
    AM_TRY(am_file_slurp(mem, path, MOST_BYTES, &text, &size, e));
    if (memchr(text, 0, size))
        return am_fail(e, AM_EINPUT, (am_loc){path, 0},
                       "holds zero bytes, so it is no text file; is it another file?");
    for (size_t i = 0; i < size; i++) most += text[i] == '\n';
    l->text = am_new(mem, most * sizeof *l->text);
    l->number = am_new(mem, most * sizeof *l->number);
    if (!l->text || !l->number)
        return am_fail(e, AM_ENOMEM, (am_loc){path, 0}, "no memory for its %zu lines", most);
    if (!strncmp(text, "\xef\xbb\xbf", 3)) text += 3;
    int number = 1;
    for (char *line = text, *next; line; line = next, number++) {
        if ((next = strchr(line, '\n'))) *next++ = 0;
        while (blank(*line)) line++;
        char *end = line + strlen(line);
        while (end > line && blank(end[-1])) end--;
        *end = 0;
        if (end == line) continue;
        l->text[l->count] = line;
        l->number[l->count++] = number;
    }
    return AM_OK;
}

am_status am_names_read(const char *const **names, am_arena *mem, const char *path, int classes,
                        am_err *e)
{
    am_lines l;
    AM_TRY(am_lines_read(&l, mem, path, e));
    for (int i = 0; i < l.count; i++)
        if (l.number[i] != i + 1)
            return am_fail(e, AM_EINPUT, (am_loc){path, i + 1},
                           "a blank line; the line's number is the class, so take it out");
    if (l.count != classes)
        return am_fail(e, AM_EINPUT, (am_loc){path, 0},
                       "has %d names, but classes=%d; one line for each class", l.count, classes);
    *names = l.text;
    return AM_OK;
}
