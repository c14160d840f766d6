/* comix.c: Co-Mixup (Kim et al., ICLR 2021): n mixtures of n images at once, salient and unlike each other.
 *
 * With z_i the one-hot choices of mixture i over cells, c_k(cell) = - salient_k - eta log a_k and
 * a ~ Dirichlet(alpha), and p_i how many cells of mixture i each image has,
 *
 *   f = sum_i c . z_i + beta (torn neighbours of z_i) + gamma sum_{i != j} p_i . p_j
 *
 * The last term wants mixtures to differ; it is taken as linear about the other mixtures, one mixture at a
 * time: image k costs 2 gamma q_k more where q = near * (p - p_i) exceeds tau.  Each mixture is then a Potts
 * cut (graphcut.c).  From the second round on a mixture of two images, or the first three of more, may
 * have cells that are half of each, a little cheaper than the mean and near both parents.  Before the last
 * round, mixtures of the same images are driven apart.  beta, gamma and eta are per cell, tau in cells. */
#include "comix.h"
#include "graphcut.h"
#include <math.h>
#include <string.h>

enum { HALVES = 3, MOST = AM_COMIX_PART + HALVES };

typedef struct mixture { /* one Potts cut */
    int n, labels, cells, halves, parent[HALVES][2];
    double unary[AM_COMIX_CELLS * MOST], distance[MOST * MOST];
    double edge[AM_COMIX_CELLS];
} mixture;

static void count_cells(int n, int cells, const float *z, double *count)
{
    for (int k = 0; k < n; k++) {
        count[k] = 0;
        for (int cell = 0; cell < cells; cell++) count[k] += (double)z[cell * n + k];
    }
}

double am_comix_objective(const am_comix *o, int n, const double *cost, const float *share)
{
    int g = o->grid, cells = g * g;
    double f = 0, all[AM_COMIX_PART] = {0}, own = 0, pairs = 0;
    for (int i = 0; i < n; i++) {
        const float *z = share + (size_t)i * (size_t)(cells * n);
        for (int cell = 0; cell < cells; cell++)
            for (int k = 0; k < n; k++) {
                double v = (double)z[cell * n + k],
                       right = cell % g + 1 < g ? v - (double)z[(cell + 1) * n + k] : 0,
                       down = cell + g < cells ? v - (double)z[(cell + g) * n + k] : 0;
                f += cost[k * cells + cell] * v +
                     o->beta / cells / 2 * (right * right + down * down);
            }
        double count[AM_COMIX_PART];
        count_cells(n, cells, z, count);
        for (int k = 0; k < n; k++) all[k] += count[k], own += count[k] * count[k];
    }
    for (int k = 0; k < n; k++) pairs += all[k] * all[k];
    return f + o->gamma / cells * (pairs - own);
}

/* The images that a mixture has, most cells first, equals in order; at most `most` of them, the count of all. */
static int find_used(int n, const double *count, int most, int *used)
{
    int all = 0, taken = 0;
    char seen[AM_COMIX_PART] = {0};
    for (int k = 0; k < n; k++) all += count[k] > 0;
    for (; taken < most && taken < all; taken++) {
        int best = -1;
        for (int k = 0; k < n; k++)
            if (!seen[k] && count[k] > 0 && (best < 0 || count[k] > count[best])) best = k;
        used[taken] = best;
        seen[best] = 1;
    }
    return all;
}

static void fill_halves(mixture *m, const int *used, int all)
{
    static const int pick[HALVES][2] = {{0, 1}, {0, 2}, {1, 2}};
    m->halves = all == 2 ? 1 : all > 2 ? 3 : 0;
    m->labels = m->n + m->halves;
    for (int h = 0; h < m->halves; h++)
        for (int side = 0; side < 2; side++) m->parent[h][side] = used[pick[h][side]];
    for (int a = 0; a < m->labels; a++)
        for (int b = 0; b < m->labels; b++) m->distance[a * m->labels + b] = a != b;
    for (int h = 0; h < m->halves; h++)
        for (int side = 0; side < 2; side++) {
            int k = m->parent[h][side];
            m->distance[(m->n + h) * m->labels + k] = m->distance[k * m->labels + m->n + h] = 0.25;
        }
}

static void cut(const am_comix *o, mixture *m, const double *cost, const double *more, float *z)
{
    int label[AM_COMIX_CELLS] = {0};
    for (int cell = 0; cell < m->cells; cell++) {
        double *unary = m->unary + cell * m->labels;
        for (int k = 0; k < m->n; k++) unary[k] = cost[k * m->cells + cell] + more[k];
        for (int h = 0; h < m->halves; h++)
            unary[m->n + h] = (unary[m->parent[h][0]] + unary[m->parent[h][1]]) / 2 - 5e-4;
        m->edge[cell] = o->beta / m->cells;
    }
    am_cut c = {o->grid, o->grid, m->labels, m->unary, m->edge, m->edge, m->distance};
    am_cut_swap(&c, label);
    memset(z, 0, (size_t)(m->cells * m->n) * sizeof *z);
    for (int cell = 0; cell < m->cells; cell++) {
        if (label[cell] < m->n) {
            z[cell * m->n + label[cell]] = 1;
            continue;
        }
        for (int side = 0; side < 2; side++)
            z[cell * m->n + m->parent[label[cell] - m->n][side]] = 0.5f;
    }
}

/* Of two mixtures with the same images, the first pays for the first of those, the second for the second. */
static void drive_apart(int n, int cells, const float *share, double *add)
{
    double count[2][AM_COMIX_PART];
    for (int i = 0; i < n; i++)
        for (int j = i + 1; j < n; j++) {
            int same = 1, which[2] = {-1, -1};
            count_cells(n, cells, share + (size_t)i * (size_t)(cells * n), count[0]);
            count_cells(n, cells, share + (size_t)j * (size_t)(cells * n), count[1]);
            for (int k = 0; k < n; k++) {
                same &= (count[0][k] > 0) == (count[1][k] > 0);
                if (count[0][k] > 0 && which[1] < 0) which[which[0] >= 0] = k;
            }
            if (!same || which[1] < 0) continue;
            add[i * n + which[0]] = 1;
            add[j * n + which[1]] = 1;
        }
}

static void fill_costs(const am_comix *o, int n, int cells, const double *salient, am_rng *r,
                       double *cost)
{
    double a[AM_COMIX_PART], all = 0;
    for (int k = 0; k < n; k++) all += a[k] = am_rng_gamma(r, o->alpha);
    for (int k = 0; k < n; k++)
        for (int cell = 0; cell < cells; cell++)
            cost[k * cells + cell] = -salient[k * cells + cell] -
                                     o->eta / cells * log((all > 0 ? a[k] / all : 1.0 / n) + 1e-8);
}

void am_comix_solve(const am_comix *o, int n, const double *salient, const double *near, am_rng *r,
                    float *share, double *room)
{
    int cells = o->grid * o->grid;
    double *cost = room, *add = room + n * cells, p[AM_COMIX_PART] = {0}, count[AM_COMIX_PART],
           more[AM_COMIX_PART], before;
    mixture m = {.n = n, .cells = cells};
    fill_costs(o, n, cells, salient, r, cost);
    memset(add, 0, (size_t)(n * n) * sizeof *add);
    memset(share, 0, (size_t)(n * cells) * (size_t)n * sizeof *share);
    for (int at = 0; at < n * cells; at++) {
        int k = (int)am_rng_below(r, (uint32_t)n);
        share[at * n + k] = 1;
        p[k]++;
    }
    before = am_comix_objective(o, n, cost, share);
    for (int round = 0; round < o->rounds; round++) {
        for (int i = 0; i < n; i++) {
            float *z = share + (size_t)i * (size_t)(cells * n);
            int used[HALVES], all;
            count_cells(n, cells, z, count);
            for (int k = 0; k < n; k++) p[k] -= count[k];
            for (int k = 0; k < n; k++) {
                double q = 0;
                for (int l = 0; l < n; l++) q += near[k * n + l] * p[l];
                more[k] = o->gamma / cells * (2 * (q > o->tau * cells ? q : 0) + add[i * n + k]);
            }
            all = find_used(n, count, HALVES, used);
            fill_halves(&m, used, round ? all : 0);
            cut(o, &m, cost, more, z);
            count_cells(n, cells, z, count);
            for (int k = 0; k < n; k++) p[k] += count[k];
        }
        if (round == o->rounds - 2) drive_apart(n, cells, share, add);
        double now = am_comix_objective(o, n, cost, share);
        if (fabs(before - now) < 1e-6 * fabs(now)) break;
        before = now;
    }
}
