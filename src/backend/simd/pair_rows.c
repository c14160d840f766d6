/* pair_rows.c: features of pairs as rows, a pixel each, whatever they are stored as. */
#include "simd.h"
#include "vec.h"

typedef struct rows_job {
    am_shape s;
    const am_encoding *e;
    int partner, width, first;
    const elem *x;
    const int *perm;
    const float *lam;
    float *rows;
} rows_job;

static void pair_rows_item(const void *arg, int sample, int worker)
{
    const rows_job *k = arg;
    const size_t pixels = (size_t)k->s.h * (size_t)k->s.w, pixel = (size_t)am_simd_channels(k->s.c);
    const elem *from = k->x + (size_t)(k->partner ? k->perm[sample] : sample) * sample_elems(k->s);
    const float l = k->lam[sample], scale = am_cpu_encoded(k->e, l, k->partner);
    float *to = k->rows + (size_t)sample * pixels * (size_t)k->width + k->first;
    (void)worker;
    for (size_t i = 0; i < pixels; i++, from += pixel, to += k->width) {
        for (int c = 0; c < k->s.c; c++) to[c] = scale * get(from[c]);
        if (k->e->concat) to[k->s.c] = k->partner ? 1 - l : l;
    }
}

static void pair_rows(am_backend *be, am_shape s, const am_encoding *e, int partner, am_dev x,
                      am_dev perm, am_dev lam, int width, int first, am_dev rows)
{
    if (am_cpu_stopped(be) || !am_cpu_perm_ok(be, "pair_rows", s.n, perm)) return;
    if (am_simd_one_pixel(s)) {
        am_cpu_pair_rows(be, s, e, partner, x, perm, lam, width, first, rows);
        return;
    }
    rows_job k = {s, e, partner, width, first, elems(x), am_cpu_ints(perm), lam.p, rows.p};
    am_team_run(am_simd_team(be), s.n, pair_rows_item, &k);
}
