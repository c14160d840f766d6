/* peak.c: the most that this processor's arithmetic does: multiply-adds of fp32, and products of
 * bf16 pairs added to fp32, into as many sums as hide their latency; on one thread and on all.
 *
 *     cc -O2 -fopenmp bench/peak.c -o peak && ./peak [THREADS]
 *
 * One JSON object, in GFLOP/s; a multiply-add is two operations.  Each number is the best of many
 * runs of about a millisecond, so that a busy machine finds a calm moment.  bf16 is 0 where the
 * processor has no such product.  Matrix units (AMX) are not looked for. */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SUMS = 12, ROUNDS = 20000, BURST = 16 };
static const double patience = 1.5; /* seconds for each number */

#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 12")
#endif

/* STEP: one multiply-add of a into s[i].  HOLD, a register constraint, hides from the compiler that
 * a does not change and that all sums are equal. */
#define KERNEL(name, TARGET, V, HOLD, ONE, STEP)                                                   \
    TARGET static float name(void)                                                                 \
    {                                                                                              \
        V s[SUMS] = {0};                                                                           \
        __typeof__(ONE) a = ONE;                                                                   \
        float sum = 0;                                                                             \
        UNROLL for (int i = 0; i < SUMS; i++) __asm__ volatile("" : HOLD(s[i]));                   \
        for (int r = 0; r < ROUNDS; r++) {                                                         \
            __asm__ volatile("" : HOLD(a));                                                        \
            for (int b = 0; b < BURST; b++) UNROLL                                                 \
                for (int i = 0; i < SUMS; i++) s[i] = STEP;                                        \
        }                                                                                          \
        for (int i = 0; i < SUMS; i++) sum += s[i][0];                                             \
        return sum;                                                                                \
    }

#ifdef __x86_64__
#include <immintrin.h>
#define TARGET(sets) __attribute__((target(sets)))
KERNEL(fp32_sse, , __m128, "+x", _mm_set1_ps(1e-3f), s[i] + a * a)
KERNEL(fp32_avx2, TARGET("avx2,fma"), __m256, "+x", _mm256_set1_ps(1e-3f),
       _mm256_fmadd_ps(a, a, s[i]))
KERNEL(fp32_avx512, TARGET("avx512f"), __m512, "+v", _mm512_set1_ps(1e-3f),
       _mm512_fmadd_ps(a, a, s[i]))
#if __GNUC__ >= 10 || __clang_major__ >= 9
#define PAIRS /* a lane holds 1e-3 twice */
KERNEL(bf16_avx512, TARGET("avx512f,avx512bf16"), __m512, "+v",
       (__m512bh)_mm512_set1_epi32(0x3a833a83), _mm512_dpbf16_ps(s[i], a, a))
#endif
#else
typedef float four __attribute__((vector_size(16)));
KERNEL(fp32_four, , four, "+w", ((four){1e-3f, 1e-3f, 1e-3f, 1e-3f}), s[i] + a * a)
#endif

typedef struct unit {
    const char *name;
    float (*run)(void);
    int adds; /* multiply-adds of one instruction */
} unit;

static void find(unit *fp32, unit *bf16)
{
    *bf16 = (unit){"none", NULL, 0};
#ifdef __x86_64__
    *fp32 = (unit){"sse2", fp32_sse, 4};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        *fp32 = (unit){"avx2", fp32_avx2, 8};
    if (__builtin_cpu_supports("avx512f")) *fp32 = (unit){"avx512", fp32_avx512, 16};
#ifdef PAIRS
    if (__builtin_cpu_supports("avx512bf16")) *bf16 = (unit){"avx512bf16", bf16_avx512, 32};
#endif
#else
    *fp32 = (unit){"vectors of four", fp32_four, 4};
#endif
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double peak(unit u, int threads)
{
    double best = 0, until = seconds() + patience;
    if (!u.run) return 0;
    while (seconds() < until) {
        double began = seconds();
#pragma omp parallel num_threads(threads)
        if (!(u.run() >= 0)) abort();
        double rate = 2e-9 * u.adds * SUMS * BURST * ROUNDS * threads / (seconds() - began);
        if (rate > best) best = rate;
    }
    return best;
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : omp_get_num_procs();
    unit fp32, bf16;
    if (threads < 1) {
        fprintf(stderr, "peak: '%s' is no number of threads; use: peak [THREADS]\n", argv[1]);
        return 2;
    }
    find(&fp32, &bf16);
    printf("{\"fp32\":\"%s\",\"fp32_gflops_1\":%.1f,\"fp32_gflops\":%.1f,", fp32.name,
           peak(fp32, 1), peak(fp32, threads));
    printf("\"bf16\":\"%s\",\"bf16_gflops_1\":%.1f,\"bf16_gflops\":%.1f,\"threads\":%d}\n",
           bf16.name, peak(bf16, 1), peak(bf16, threads), threads);
    return 0;
}
