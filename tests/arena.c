/* arena.c: memory comes zeroed and aligned, stays where it is, and goes all at once. */
#include "t.h"
#include "arena.h"

static void zeroed_and_aligned(void **state)
{
    (void)state;
    am_arena a = {0};
    static const size_t size[] = {0, 1, 63, 64, 65, 4000, 70000, 65536, 1};
    unsigned char *p[200];
    for (int i = 0; i < 200; i++) {
        size_t n = size[i % 9];
        p[i] = am_new(&a, n);
        assert_non_null(p[i]);
        assert_int_equal((uintptr_t)p[i] % 64, 0);
        for (size_t k = 0; k < n; k++) assert_int_equal(p[i][k], 0);
        memset(p[i], i, n);
    }
    for (int i = 0; i < 200; i++)                       /* no two share a byte */
        for (size_t k = 0; k < size[i % 9]; k++) assert_int_equal(p[i][k], (unsigned char)i);
    am_arena_free(&a);
    assert_null(a.top);
    am_arena_free(&a);
}

static void too_much_is_null(void **state)
{
    (void)state;
    am_arena a = {0};
    assert_null(am_new(&a, SIZE_MAX));
    assert_null(am_new(&a, SIZE_MAX / 2 + 1));
    assert_non_null(am_new(&a, 1));
    am_arena_free(&a);
}

static void texts(void **state)
{
    (void)state;
    am_arena a = {0};
    char lengthy[3000];
    memset(lengthy, 'x', sizeof lengthy - 1);
    lengthy[sizeof lengthy - 1] = 0;
    char *d = am_dup(&a, "stage3"), *empty = am_dup(&a, ""), *p = am_print(&a, "%s_%d", "epoch", 7);
    char *all = am_print(&a, "<%s>", lengthy);
    assert_string_equal(d, "stage3");
    assert_string_equal(empty, "");
    assert_string_equal(p, "epoch_7");
    assert_int_equal(strlen(all), sizeof lengthy + 1);
    assert_int_equal(all[sizeof lengthy], '>');
    am_arena_free(&a);
}

T_SUITE(arena, cmocka_unit_test(zeroed_and_aligned), cmocka_unit_test(too_much_is_null),
        cmocka_unit_test(texts));
