/* arena.h: host memory that dies together.
 *
 * What is built from a cfg (the net, its layers, their strings, their plans) is never freed
 * piece by piece; the arena is freed whole. */
#ifndef AM_ARENA_H
#define AM_ARENA_H
#include <stddef.h>

typedef struct am_chunk am_chunk;
typedef struct am_arena { am_chunk *top; } am_arena;

void *am_new(am_arena *, size_t size);          /* zeroed, 64-byte aligned; NULL when memory is out */
char *am_dup(am_arena *, const char *text);
char *am_print(am_arena *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void  am_arena_free(am_arena *);

#endif
