/* t.h: what a suite of tests includes.  A file tests/NAME.c ends with T_SUITE(NAME, ...); main.c lists it. */
#ifndef T_H
#define T_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>
#include <cmocka.h>

typedef struct t_suite { const char *name; const struct CMUnitTest *test; size_t count; } t_suite;
#define T_SUITE(name, ...)                                                                         \
    static const struct CMUnitTest tests_of_##name[] = {__VA_ARGS__};                              \
    const t_suite suite_##name = {#name, tests_of_##name, sizeof tests_of_##name / sizeof *tests_of_##name}

extern const char *t_backend;                           /* run the backend suites on this one (-backend NAME), or NULL: all on this machine */
char *t_path(char *out, size_t size, const char *name);  /* a path inside a temporary folder of this run */

#define t_ok(call, err)                                                                            \
    do {                                                                                           \
        if (call) fail_msg("%s: %s %s", #call, (err)->place, (err)->text);                         \
    } while (0)

#endif
