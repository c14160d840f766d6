/* cells.c: the loss of cells (cpu/cells.c) where a place's logits lie side by side: a cell is a piece of work, W
 * classes the inner loop.  Lanes beyond the last class hold a number below all others, whose exp is nothing. */
#include "simd.h"
#include "vec.h"

typedef struct cells_job {
    am_shape s;
    const am_cells *k;
    const elem *x;
    elem *dx;
    float *loss, beta, scale;
    int places;
} cells_job;

/* Elements from the cell's sample to place i of it. */
INLINE size_t cells_place(const cells_job *k, int cell, int i)
{
    const int rows = k->s.h / k->k->grid, columns = k->s.w / k->k->grid;
    const int row = cell / k->k->grid * rows + i / columns, column = cell % k->k->grid * columns + i % columns;
    return (size_t)(row * k->s.w + column) * (size_t)am_simd_channels(k->s.c);
}

/* The first `count` of W elements; the rest are 0. */
INLINE vec cells_load(const elem *p, int count)
{
    if (count >= W) return load_elems(p);
    float lane[W] = {0};
    for (int l = 0; l < count; l++) lane[l] = get(p[l]);
    return load(lane);
}

/* Mean logits of W classes, the first of them c. */
INLINE vec cells_logits(const cells_job *k, const elem *sample, int cell, int c)
{
    const int left = k->s.c - c;
    vec sum = all(0);
    for (int i = 0; i < k->places; i++)
        sum += cells_load(sample + cells_place(k, cell, i) + c, am_simd_min(left, W));
    sum /= all((float)k->places);
    for (int l = am_simd_max(left, 0); l < W; l++) sum[l] = -1e30f;
    return sum;
}

typedef struct cells_spread { float most, sum; } cells_spread;

INLINE cells_spread cells_measure(const cells_job *k, const elem *sample, int cell)
{
    vec most = all(-1e30f), sum = all(0);
    cells_spread r = {-1e30f, 0};
    for (int c = 0; c < k->s.c; c += W) {
        const vec z = cells_logits(k, sample, cell, c);
        const vec_int higher = ~(vec_int)(z <= most);  /* also what is no number */
        most = (vec)(((vec_int)z & higher) | ((vec_int)most & ~higher));
    }
    for (int l = 0; l < W; l++)
        if (!(most[l] <= r.most)) r.most = most[l];
    for (int c = 0; c < k->s.c; c += W) sum += exp_below(cells_logits(k, sample, cell, c) - all(r.most));
    for (int l = 0; l < W; l++) r.sum += sum[l];
    return r;
}

static void cells_item(const void *arg, int item, int worker)
{
    const cells_job *k = arg;
    const int cells = k->k->grid * k->k->grid, cell = item % cells;
    const int label = am_cpu_cells_label(k->k, item / cells, cell);
    const elem *sample = k->x + (size_t)(item / cells) * sample_elems(k->s);
    (void)worker;
    k->loss[item] = 0;
    if (label < 0) return;
    const cells_spread r = cells_measure(k, sample, cell);
    float own = 0;
    for (int i = 0; i < k->places; i++) own += get(sample[cells_place(k, cell, i) + (size_t)label]);
    k->loss[item] = logf(r.sum) + r.most - own / (float)k->places;
}

static void cells(am_backend *be, am_shape s, const am_cells *c, am_dev x, am_dev loss)
{
    if (am_simd_one_pixel(s)) {
        am_cpu_cells(be, s, c, x, loss);
        return;
    }
    if (!am_cpu_cells_ok(be, "cells", s, c)) return;
    cells_job k = {.s = s, .k = c, .x = elems(x), .loss = loss.p, .places = s.h / c->grid * (s.w / c->grid)};
    am_team_run(am_simd_team(be), s.n * c->grid * c->grid, cells_item, &k);
}

/* dx = beta dx + g, W channels or the `count` that the pixel has. */
INLINE void cells_give(elem *to, vec g, float beta, int count)
{
    if (count >= W) {
        store_elems(to, beta == 0 ? g : all(beta) * load_elems(to) + g);
        return;
    }
    for (int l = 0; l < count; l++) to[l] = put(beta == 0 ? g[l] : beta * get(to[l]) + g[l]);
}

static void cells_back_item(const void *arg, int item, int worker)
{
    const cells_job *k = arg;
    const int cells = k->k->grid * k->k->grid, cell = item % cells;
    const int label = am_cpu_cells_label(k->k, item / cells, cell);
    const int channels = am_simd_channels(k->s.c);
    const size_t at = (size_t)(item / cells) * sample_elems(k->s);
    (void)worker;
    const cells_spread r = cells_measure(k, k->x + at, cell);
    const float by = label < 0 ? 0 : k->scale / (float)k->places;
    for (int c = 0; c < channels; c += W) {
        vec p = exp_below(cells_logits(k, k->x + at, cell, c) - all(r.most)) / all(r.sum);
        if (label >= c && label < c + W) p[label - c] -= 1;
        for (int i = 0; i < k->places; i++)
            cells_give(k->dx + at + cells_place(k, cell, i) + c, all(by) * p, k->beta, channels - c);
    }
}

static void cells_back(am_backend *be, am_shape s, const am_cells *c, float scale, am_dev x, am_grad dx)
{
    if (am_simd_one_pixel(s)) {
        am_cpu_cells_back(be, s, c, scale, x, dx);
        return;
    }
    if (!am_is(dx.d) || !am_cpu_cells_ok(be, "cells_back", s, c)) return;
    cells_job k = {.s = s, .k = c, .x = elems(x), .dx = elems(dx.d), .beta = dx.beta, .scale = scale,
                   .places = s.h / c->grid * (s.w / c->grid)};
    am_team_run(am_simd_team(be), s.n * c->grid * c->grid, cells_back_item, &k);
}
