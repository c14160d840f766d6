#include "err.h"
#include <stdarg.h>
#include <stdio.h>

am_status am_fail(am_err *e, am_status s, am_loc where, const char *fmt, ...)
{
    if (!e) return s;
    e->status = s;
    e->place[0] = 0;
    if (where.file && where.line)
        snprintf(e->place, sizeof e->place, "%s:%d", where.file, where.line);
    else if (where.file)
        snprintf(e->place, sizeof e->place, "%s", where.file);
    va_list va;
    va_start(va, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, va);
    va_end(va);
    return s;
}
