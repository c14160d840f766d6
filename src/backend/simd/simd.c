/* simd.c: opening the backend: which instruction set, which storage, and the table.
 *
 * The table starts as the plain backend's, whose operations on rows and plain memory are right
 * here too; the object of the chosen instruction set overwrites the slots it has a form for. */
#include "simd.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct isa {
    const char *name;
    int here; /* the processor has it */
    int pairs; /* it multiplies bf16 (vec.h) */
    void (*fp32)(am_ops *), (*bf16)(am_ops *);
} isa;

enum { ISAS = 5 };

/* Best last.  The first is there for the tests: it computes on any processor what avx512bf16 computes. */
static int list_isas(isa list[ISAS])
{
    int n = 0;
    list[n++] = (isa){"emulated", 1, 1, am_simd_generic, am_simd_emulated_bf16};
    list[n++] = (isa){"generic", 1, 0, am_simd_generic, am_simd_generic_bf16};
#ifdef SETS_X86
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    int avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                 __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    list[n++] = (isa){"avx2", avx2, 0, am_simd_avx2, am_simd_avx2_bf16};
    list[n++] = (isa){"avx512", avx512, 0, am_simd_avx512, am_simd_avx512_bf16};
#ifdef SETS_AVX512BF16
    list[n++] = (isa){"avx512bf16", avx512 && __builtin_cpu_supports("avx512bf16"), 1,
                      am_simd_avx512bf16, am_simd_avx512bf16_bf16};
#endif
#endif
    return n;
}

static am_status choose(const char *wanted, isa *to, am_err *err)
{
    isa list[ISAS];
    int n = list_isas(list);
    for (int i = n - 1; i >= 0; i--) {
        if (wanted ? strcmp(wanted, list[i].name) : !list[i].here) continue;
        if (!list[i].here)
            return am_fail(err, AM_EDEVICE, AM_NOPLACE,
                           "this processor has no %s; leave isa out to take the best it has",
                           wanted);
        *to = list[i];
        return AM_OK;
    }
    return am_fail(err, AM_EINPUT, AM_NOPLACE,
                   "isa '%s' is not one of emulated, generic, avx2, avx512, avx512bf16", wanted);
}

static am_status start(am_backend *be, const am_backend_options *o, am_err *err)
{
    isa chosen = {0};
    AM_TRY(choose(o ? o->isa : NULL, &chosen, err));
    am_precision precision = o ? o->precision : AM_FP32;
    if (precision != AM_FP32 && precision != AM_BF16 && precision != AM_FAST)
        return am_fail(err, AM_EINPUT, AM_NOPLACE,
                       "the simd backend computes in precision fp32, bf16 or fast");
    const char *computes = precision == AM_FP32   ? "fp32"
                           : precision == AM_BF16 ? "bf16"
                           : chosen.pairs         ? "fast"
                                                  : "fast, computed as bf16";
    if (precision == AM_FAST && !chosen.pairs) precision = AM_BF16;
    am_simd_state *st = calloc(1, sizeof *st);
    if (!st) return am_fail(err, AM_ENOMEM, AM_NOPLACE, "no memory for the simd backend");
    am_cpu_start(be, &st->cpu, o);
    st->team = am_team_open(be->threads);
    if (!st->team) {
        free(st);
        return am_fail(err, AM_ENOMEM, AM_NOPLACE, "no memory for %d threads", be->threads);
    }
    be->threads = am_team_size(st->team);
    st->ops = am_cpu_ops;
    if (precision == AM_FP32)
        chosen.fp32(&st->ops);
    else
        chosen.bf16(&st->ops);
    be->ops = &st->ops;
    be->name = "simd";
    be->precision = precision;
    be->fuses = 1;
    be->state = st;
    snprintf(be->about, sizeof be->about, "simd: %s, %d thread%s, %s", chosen.name, be->threads,
             be->threads == 1 ? "" : "s", computes);
    st->small = *be;
    st->small.threads = 1;
    return AM_OK;
}

static void stop(am_backend *be)
{
    am_simd_state *st = be->state;
    am_team_close(st->team);
    free(st);
    be->state = NULL;
}

const am_backend_type am_backend_simd = {
    "simd",
    "vector kernels for this processor's instruction set, fp32 or bf16 activations",
    start,
    stop,
};
