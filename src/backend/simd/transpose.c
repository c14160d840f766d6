/* transpose.c: W vectors as the rows of a matrix, turned into its columns.
 *
 * log2(W) rounds.  A round of distance d takes rows i and i + d, i without the bit d, and exchanges
 * the lanes of row i that have the bit with those of row i + d that have it not: blocks of d x d
 * change places across the diagonal. */
#include "vec.h"

#ifdef __clang__
#define PICK(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define PICK(a, b, ...) __builtin_shuffle(a, b, (vec_int){__VA_ARGS__})
#endif

/* Lane l of rows i and i + d after the round; lanes of the second operand count from W. */
#define FIRST(l, d) ((l) & (d) ? W + (l) - (d) : (l))
#define SECOND(l, d) ((l) & (d) ? W + (l) : (l) + (d))
#define FOUR(lane, l, d) lane(l, d), lane(l + 1, d), lane(l + 2, d), lane(l + 3, d)
#if defined(PANEL_OF_FOUR)
#define LANES(lane, d) FOUR(lane, 0, d), FOUR(lane, 4, d), FOUR(lane, 8, d), FOUR(lane, 12, d)
#elif defined(__AVX2__)
#define LANES(lane, d) FOUR(lane, 0, d), FOUR(lane, 4, d)
#else
#define LANES(lane, d) FOUR(lane, 0, d)
#endif

#define EXCHANGE(d)                                                                                \
    UNROLL for (int i = 0; i < W; i++)                                                             \
        if (!(i & (d))) {                                                                          \
            vec a = v[i], b = v[i + (d)];                                                          \
            v[i] = PICK(a, b, LANES(FIRST, d));                                                    \
            v[i + (d)] = PICK(a, b, LANES(SECOND, d));                                             \
        }

INLINE void transpose(vec v[W])
{
#if defined(PANEL_OF_FOUR)
    EXCHANGE(8)
#endif
#if defined(PANEL_OF_FOUR) || defined(__AVX2__)
    EXCHANGE(4)
#endif
    EXCHANGE(2)
    EXCHANGE(1)
}
