/* golden.c: whole training steps against an independent float64 implementation (golden/README.md).
 *
 * Every tensor that comes out of am_replay is held against the stored one, ||out - ref|| /
 * ||ref||: below 1e-4 in float32.
 *
 * One exception.  step_official has one ReLU whose input in the first step is within 1.2e-7 of
 * zero (layer 4, channel 14, sample 2, pixel 58): float32 sums in some orders round it to the
 * other side than float64 (cpu, simd generic; not simd avx2).  Where that happens, five of the
 * student's tensors are off by up to 2.8e-4; for those five alone the bound is 5e-4.
 *
 * With activations in bf16 the losses stay below 5e-3, and values, statistics, masks, mixtures and
 * logits below 5e-2.  Gradients of nets this small do not: a rounding of 2^-9 sends some relu's input
 * to the other side of zero, and a channel sums few pixels.  bf16 as mere storage, its products exact,
 * is off by 0.28 already; the bound of 0.6 tells a wrong gradient, which is off by 1 or more, from a
 * rough one.  The gradient of the value's bias is a sum that cancels, and says nothing. */
#include <math.h>
#include "lab.h"

static const char *const names[] = {"plain_resnext", "step_official", "step_paper"};
static const char *const kink[] = {"student.0.biases", "student.1.weights", "student.1.biases",
                                   "student.2.biases", "student.4.biases"};

static int behind_the_kink(const char *set, const char *tensor)
{
    if (strcmp(set, "step_official")) return 0;
    for (size_t i = 0; i < sizeof kink / sizeof *kink; i++)
        if (!strcmp(tensor, kink[i])) return 1;
    return 0;
}

static double bound(const char *set, const char *tensor, int fp32)
{
    if (fp32) return behind_the_kink(set, tensor) ? 5e-4 : 1e-4;
    if (strstr(tensor, "value.biases")) return HUGE_VAL;
    if (!strncmp(tensor, "grad.", 5)) return 0.6;
    return strcmp(tensor, "losses") ? 5e-2 : 5e-3;
}

static void replay(const char *backend, const char *isa, const char *precision, int threads,
                   const char *set)
{
    char cfg[300], in[300], want[300], out[300], file[100];
    am_err e = {0};
    am_tensors got, ref;
    snprintf(file, sizeof file, "golden/%s.cfg", set);
    t_beside(cfg, sizeof cfg, file);
    snprintf(file, sizeof file, "golden/%s.in.safetensors", set);
    t_beside(in, sizeof in, file);
    snprintf(file, sizeof file, "golden/%s.out.safetensors", set);
    t_beside(want, sizeof want, file);
    t_path(out, sizeof out, "golden.safetensors");
    am_run run = {.cfg = cfg,
                  .backend = backend,
                  .isa = isa,
                  .precision = precision,
                  .threads = threads,
                  .seed = -1};
    am_status s = am_replay(&run, in, out, &e);
    if (s == AM_EDEVICE || (isa && (s == AM_EUSAGE || s == AM_EINPUT)))
        return; /* not on this machine */
    t_ok(s, &e);
    t_ok(am_safetensors_read(&got, out, &e), &e);
    t_ok(am_safetensors_read(&ref, want, &e), &e);
    double worst = 0;
    const char *which = "";
    for (int i = 0; i < ref.count; i++) {
        const am_tensor *r = &ref.tensor[i], *g = am_tensor_find(&got, r->name);
        if (!g) fail_msg("%s on %s: '%s' is missing", set, backend, r->name);
        assert_int_equal(g->type, AM_F32);
        assert_int_equal(g->dims, r->dims);
        for (int d = 0; d < r->dims; d++) assert_int_equal(g->dim[d], r->dim[d]);
        double off = t_off(g->data, r->data, am_tensor_count(r)),
               most = bound(set, r->name, !strcmp(precision, "fp32"));
        if (!(off / most <= worst)) {
            worst = off / most;
            which = r->name;
        }
    }
    if (!(worst <= 1))
        fail_msg("%s on %s %s %s: %s is off by %.2f times its bound", set, backend,
                 isa ? isa : "", precision, which, worst);
    am_tensors_free(&got);
    am_tensors_free(&ref);
}

static void every_set_on_every_backend(void **state)
{
    static const struct {
        const char *backend, *isa, *precision;
    } machine[] = {
        {"cpu", NULL, "fp32"},        {"cpu", "generic", "fp32"},   {"simd", "generic", "fp32"},
        {"simd", "avx2", "fp32"},     {"simd", "avx512", "fp32"},   {"simd", "generic", "bf16"},
        {"simd", "emulated", "bf16"}, {"simd", "emulated", "fast"}, {"simd", NULL, "bf16"},
        {"simd", NULL, "fast"},       {"cuda", NULL, "fp32"},
    };
    (void)state;
    for (size_t m = 0; m < sizeof machine / sizeof *machine; m++)
        for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
            if (!am_backend_find(machine[m].backend) ||
                (t_backend && strcmp(t_backend, machine[m].backend)))
                continue;
            replay(machine[m].backend, machine[m].isa, machine[m].precision, 1 + (int)k % 2,
                   names[k]);
        }
}

T_SUITE(golden, cmocka_unit_test(every_set_on_every_backend));
