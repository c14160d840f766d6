#include "arena.h"
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct am_chunk { am_chunk *below; size_t size, used; _Alignas(64) unsigned char bytes[]; };

void *am_new(am_arena *a, size_t size)
{
    if (size > SIZE_MAX / 2) return NULL;
    size_t need = (size + 63) & ~(size_t)63;
    if (!need) need = 64;
    if (!a->top || a->top->size - a->top->used < need) {
        size_t room = need > 65536 ? need : 65536;
        am_chunk *c = aligned_alloc(64, (sizeof *c + room + 63) & ~(size_t)63);
        if (!c) return NULL;
        memset(c, 0, sizeof *c + room);
        c->below = a->top;
        c->size = room;
        a->top = c;
    }
    void *p = a->top->bytes + a->top->used;
    a->top->used += need;
    return p;
}

char *am_dup(am_arena *a, const char *text)
{
    size_t n = strlen(text) + 1;
    char *d = am_new(a, n);
    return d ? memcpy(d, text, n) : NULL;
}

char *am_print(am_arena *a, const char *fmt, ...)
{
    va_list va;
    va_start(va, fmt);
    int n = vsnprintf(NULL, 0, fmt, va);
    va_end(va);
    char *d = n < 0 ? NULL : am_new(a, (size_t)n + 1);
    if (!d) return NULL;
    va_start(va, fmt);
    vsnprintf(d, (size_t)n + 1, fmt, va);
    va_end(va);
    return d;
}

void am_arena_free(am_arena *a)
{
    while (a->top) {
        am_chunk *c = a->top;
        a->top = c->below;
        free(c);
    }
}
