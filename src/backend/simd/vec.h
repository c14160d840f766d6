/* vec.h: one vector type for every instruction set.
 *
 * GNU vector extensions: vec is W floats, + - * work lane by lane, and a * b + c becomes one fused
 * multiply-add where the processor has it (-ffp-contract=fast).  W and the number of accumulators
 * follow from the flags the file is compiled with; everything else in this folder is written once.
 *
 * elem is how an activation's number is stored: float, or with ELEMS_BF16 the upper half of one,
 * rounded to nearest even (bf16).
 *
 * Pairs.  A processor with bf16 products multiplies two of them at a time and adds both to a float:
 * sum += a0 b0 + a1 b1.  Such a pair takes the room of one float, the first number in the lower half,
 * so a matrix of pairs is laid out and walked like one of floats with half the depth.  PAIRS says that
 * this object has such products; EMULATE_PAIRS computes them with floats, for the tests. */
#ifndef AM_VEC_H
#define AM_VEC_H
#include <stdint.h>
#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__) || defined(WIDE_VECTORS)
#define PANEL_OF_FOUR 1
enum { W = 16, COLUMNS = 4 };       /* 32 registers: 6 rows x 4 vectors */
#elif defined(__AVX2__)
enum { W = 8, COLUMNS = 2 };        /* 16 registers: 6 rows x 2 vectors */
#else
enum { W = 4, COLUMNS = 2 };
#endif
enum { ROWS = 6 };
_Static_assert(16 % W == 0, "channels are padded to 16");

typedef float vec __attribute__((vector_size(4 * W)));
typedef float vec_loose __attribute__((vector_size(4 * W), aligned(4), may_alias));
typedef int32_t vec_int __attribute__((vector_size(4 * W)));

#define INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#define ROLLED _Pragma("clang loop unroll(disable)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#define ROLLED _Pragma("GCC unroll 1")
#endif

INLINE vec all(float x) { return x - (vec){0}; }
INLINE vec load(const float *p) { return *(const vec_loose *)p; }
INLINE void store(float *p, vec v) { *(vec_loose *)p = v; }

typedef uint16_t half_loose __attribute__((vector_size(2 * W), aligned(2), may_alias));
typedef uint32_t vec_bits __attribute__((vector_size(4 * W)));
typedef uint32_t vec_bits_loose __attribute__((vector_size(4 * W), aligned(4), may_alias));
typedef uint32_t bits_alias __attribute__((may_alias));

/* Bits whose upper halves are v in bf16. */
INLINE vec_bits rounded(vec v)
{
    vec_bits b = (vec_bits)v;
    return b + 0x7fff + (b >> 16 & 1);
}
INLINE uint16_t bf16_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
INLINE void store_bf16(uint16_t *p, vec v)
{
#if defined(__AVX512BF16__)
    *(half_loose *)p = (half_loose)_mm512_cvtneps_pbh((__m512)v);
#else
    *(half_loose *)p = __builtin_convertvector(rounded(v) >> 16, half_loose);
#endif
}

/* Ask for `bytes` from p on; p need not be valid. */
INLINE void prefetch(const void *p, const int bytes)
{
    UNROLL for (int i = 0; i < bytes; i += 64) __builtin_prefetch((const char *)p + i, 0, 2);
}

/* How a vector is put into a matrix: as floats; as floats past the caches, at whole lines that are
 * read much later; as bf16, each the neighbour of the next; or as one half of W pairs, first the
 * lower halves, which clears the upper ones, then those. */
typedef enum form { FLOATS, STREAMED, HALVES, LOWER, UPPER } form;

INLINE void stream(float *p, vec v)
{
#if defined(__AVX512F__) /* narrower vectors are no whole lines */
    _mm512_stream_ps(p, (__m512)v);
#else
    store(p, v);
#endif
}
INLINE void stream_end(void) /* before another thread reads it */
{
#if defined(__AVX512F__)
    _mm_sfence();
#endif
}

INLINE void put_as(float *p, vec v, const form as)
{
    vec_bits_loose *bits = (vec_bits_loose *)p;
    switch (as) {
    case FLOATS: store(p, v); break;
    case STREAMED: stream(p, v); break;
    case HALVES: store_bf16((uint16_t *)p, v); break;
    case LOWER: *bits = rounded(v) >> 16; break;
    case UPPER: *bits |= rounded(v) & 0xffff0000; break;
    }
}

#if defined(ELEMS_BF16) && (defined(__AVX512BF16__) || defined(EMULATE_PAIRS))
enum { PAIRS = 1 };
#else
enum { PAIRS = 0 };
#endif

/* sum + a0 b0 + a1 b1 in each lane of pairs */
INLINE vec multiply_pairs(vec sum, vec a, vec b)
{
#if defined(__AVX512BF16__)
    return (vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
#else
    sum += (vec)((vec_bits)a << 16) * (vec)((vec_bits)b << 16);
    return sum + (vec)((vec_bits)a & 0xffff0000) * (vec)((vec_bits)b & 0xffff0000);
#endif
}

/* max(v, 0), and a number that is none stays none */
INLINE vec positive(vec v) { return (vec)((vec_int)v & ~(vec_int)(v <= all(0))); }

/* exp(x) for x <= 0, held above -80: 2^n times a polynomial on |r| <= ln 2 / 2; relative error 2e-7. */
INLINE vec exp_below(vec x)
{
    const vec magic =
        all(12582912); /* 1.5 * 2^23: adding it rounds to a whole number, in the low bits */
    vec_int low = (vec_int)(x < all(-80));
    vec y = (vec)(((vec_int)all(-80) & low) | ((vec_int)x & ~low));
    vec t = y * all(1.44269504f) + magic, n = t - magic;
    vec r = y - n * all(0.693359375f);
    r = r + n * all(2.12194440e-4f);
    vec e = all(1.3888889e-3f);
    e = e * r + all(8.3333333e-3f);
    e = e * r + all(4.1666667e-2f);
    e = e * r + all(1.6666667e-1f);
    e = e * r + all(0.5f);
    e = e * r + all(1);
    e = e * r + all(1);
    return (vec)((vec_int)e + ((vec_int)t << 23)) + (x - x); /* what is no number stays none */
}

#ifdef ELEMS_BF16
typedef uint16_t elem;

INLINE float get(elem e)
{
    uint32_t bits = (uint32_t)e << 16;
    float x;
    memcpy(&x, &bits, 4);
    return x;
}
INLINE elem put(float x) { return bf16_of(x); }
INLINE vec load_elems(const elem *p)
{
    /* Said in GNU C, gcc 12 makes three instructions of this one. */
#if defined(__AVX512F__)
    return (vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)*(const half_loose *)p), 16);
#elif defined(__AVX2__)
    return (vec)_mm256_slli_epi32(_mm256_cvtepu16_epi32((__m128i)*(const half_loose *)p), 16);
#else
    return (vec)(__builtin_convertvector(*(const half_loose *)p, vec_bits) << 16);
#endif
}
INLINE void store_elems(elem *p, vec v) { store_bf16(p, v); }
#else
typedef float elem;
INLINE float get(elem e) { return e; }
INLINE elem put(float x) { return x; }
INLINE vec load_elems(const elem *p) { return load(p); }
INLINE void store_elems(elem *p, vec v) { store(p, v); }
#endif

#endif
