/* cells.c: each cell of a map held against a label of its own (Baek, Bang and Shim 2021, "GridMix").
 *
 * The logits of a cell are the means over its places; softmax and cross-entropy as for any row:
 *   loss = log(sum_c exp z_c) - z_label        d loss / d z_c = softmax(z)_c - (c == label)
 * and each place has 1 / places of its cell's gradient. */
#include "cpu.h"

typedef struct cell { const float *first; int rows, columns, width; size_t plane; } cell;

int am_cpu_cells_ok(am_backend *be, const char *op, am_shape s, const am_cells *k)
{
    return !am_cpu_stopped(be) && am_cpu_labels_ok(be, op, s.n, s.c, k->labels) &&
           am_cpu_perm_ok(be, op, s.n, k->perm);
}

static cell cell_of(am_shape s, int grid, int which, const float *sample)
{
    const int rows = s.h / grid, columns = s.w / grid;
    const float *first = sample + which / grid * rows * s.w + which % grid * columns;
    return (cell){first, rows, columns, s.w, am_cpu_plane(s)};
}

int am_cpu_cells_label(const am_cells *k, int sample, int which)
{
    const int partner = k->partner.p[which] != 0;
    return am_cpu_ints(k->labels)[partner ? am_cpu_ints(k->perm)[sample] : sample];
}

static double logit(const cell *at, int c)
{
    const float *x = at->first + (size_t)c * at->plane;
    double sum = 0;
    for (int i = 0; i < at->rows; i++)
        for (int j = 0; j < at->columns; j++) sum += (double)x[i * at->width + j];
    return sum / (at->rows * at->columns);
}

/* The largest logit, and the sum of exp(logit - largest). */
static double spread(const cell *at, int classes, double *most)
{
    double sum = 0;
    *most = -INFINITY;
    for (int c = 0; c < classes; c++) {
        const double z = logit(at, c);
        if (!(z <= *most)) *most = z;
    }
    for (int c = 0; c < classes; c++) sum += exp(logit(at, c) - *most);
    return sum;
}

void am_cpu_cells(am_backend *be, am_shape s, const am_cells *k, am_dev x, am_dev loss)
{
    if (!am_cpu_cells_ok(be, "cells", s, k)) return;
    const int cells = k->grid * k->grid;
#pragma omp parallel for num_threads(am_cpu_team(be, am_count(s))) schedule(static)
    for (int i = 0; i < s.n * cells; i++) {
        const cell at = cell_of(s, k->grid, i % cells, x.p + (size_t)(i / cells) * am_cpu_sample(s));
        const int label = am_cpu_cells_label(k, i / cells, i % cells);
        double most;
        const double sum = spread(&at, s.c, &most);
        loss.p[i] = label < 0 ? 0 : (float)(log(sum) + most - logit(&at, label));
    }
}

void am_cpu_cells_back(am_backend *be, am_shape s, const am_cells *k, float scale, am_dev x, am_grad dx)
{
    if (!am_is(dx.d) || !am_cpu_cells_ok(be, "cells_back", s, k)) return;
    const int cells = k->grid * k->grid, places = s.h / k->grid * (s.w / k->grid);
#pragma omp parallel for num_threads(am_cpu_team(be, am_count(s))) schedule(static)
    for (int i = 0; i < s.n * cells; i++) {
        const float *sample = x.p + (size_t)(i / cells) * am_cpu_sample(s);
        const cell at = cell_of(s, k->grid, i % cells, sample);
        const int label = am_cpu_cells_label(k, i / cells, i % cells);
        const float by = label < 0 ? 0 : scale / (float)places;
        float *to = dx.d.p + (at.first - x.p);
        double most;
        const double sum = spread(&at, s.c, &most);
        for (int c = 0; c < s.c; c++, to += at.plane) {
            const float g = by * (float)(exp(logit(&at, c) - most) / sum - (c == label));
            for (int p = 0; p < places; p++) {
                float *d = to + p / at.columns * at.width + p % at.columns;
                *d = dx.beta == 0 ? g : dx.beta * *d + g;
            }
        }
    }
}
