/* main.c: the test program.  tests/run [-backend NAME] [SUITE ...] runs all suites or those named;
 * its last line is "N passed, N failed". */
#include "backend.h"
#include "t.h"
#include <unistd.h>

/* From the ground up: a fault below shows before what stands on it. */
#define SUITES(row)                                                                                \
    row(arena) row(rng) row(file) row(cfg) row(keys) row(image) row(augment) row(dataset)          \
        row(calibration) row(npy)                                                                  \
        row(shapes) row(loader) row(picture) row(backends) row(backends_conv) row(backends_rows)   \
            row(backends_pairing) row(cuda) row(cuda_kernels) row(cuda_record) row(cuda_plans) row(gradients)        \
                row(golden) row(mixers) row(step) row(step_order) row(rest) row(schedule) row(nets) \
                    row(backbones) row(memory) row(checkpoint) row(samix) row(methods_masks)       \
                        row(scores)                                                                \
                        row(methods_inside) row(methods_puzzle) row(methods_cells)                 \
                            row(methods_train) row(methods_views)
#define DECLARE(name) extern const t_suite suite_##name;
SUITES(DECLARE)
#define ROW(name) &suite_##name,
static const t_suite *const suites[] = {SUITES(ROW)};

const char *t_backend;
static char folder[200];

/* 1 where each of `name` is a suite; a word that is none would run nothing and pass. */
static int all_suites(int count, char **name)
{
    for (int k = 0; k < count; k++) {
        int known = 0;
        for (size_t i = 0; i < sizeof suites / sizeof *suites; i++)
            known |= !strcmp(name[k], suites[i]->name);
        if (known) continue;
        fprintf(stderr, "tests/run: '%s' is no suite; use tests/run [-backend NAME] [SUITE ...], with one of", name[k]);
        for (size_t i = 0; i < sizeof suites / sizeof *suites; i++) fprintf(stderr, " %s", suites[i]->name);
        fprintf(stderr, "\n");
        return 0;
    }
    return 1;
}

char *t_path(char *out, size_t size, const char *name)
{
    snprintf(out, size, "%s/%s", folder, name);
    return out;
}

int main(int argc, char **argv)
{
    int passed = 0, failed = 0, first = 1;
    const char *tmp = getenv("TMPDIR");
    if (argc > 2 && !strcmp(argv[1], "-backend")) {
        t_backend = argv[2];
        first = 3;
    }
    if (t_backend && !am_backend_find(t_backend)) {
        fprintf(stderr, "tests/run: this build has no backend '%s'; cuda needs make GPU=1\n", t_backend);
        return 2;
    }
    if (!all_suites(argc - first, argv + first)) return 2;
    snprintf(folder, sizeof folder, "%s/automix-test-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(folder)) {
        perror(folder);
        return 1;
    }
    for (size_t i = 0; i < sizeof suites / sizeof *suites; i++) {
        int wanted = first >= argc;
        for (int k = first; k < argc; k++) wanted |= !strcmp(argv[k], suites[i]->name);
        if (!wanted) continue;
        const t_suite *s = suites[i];
        int bad = _cmocka_run_group_tests(s->name, s->test, s->count, NULL, NULL);
        failed += bad;
        passed += (int)suites[i]->count - bad;
    }
    char clean[300];
    snprintf(clean, sizeof clean, "rm -rf '%s'", folder);
    if (system(clean)) perror(folder);
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0;
}
