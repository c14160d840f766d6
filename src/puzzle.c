/* puzzle.c: PuzzleMix (Kim, Choo and Song, ICML 2020) for one pair of images.
 *
 * The images are cut into B x B blocks.  With U_i, U_j the blocks' shares of saliency, a block that
 * shows x_i loses U_j and one that shows x_j loses U_i; each label l = 0 .. L-1 stands for the mask
 * value 1 - t, t = l / (L - 1):
 *
 *   unary(l)   = (1 - t) U_j + t U_i - eta / B^2 log(binomial(L - 1, l) lambda^(L-1-l) (1 - lambda)^l + 1e-8)
 *   pairs      = w (t - t')^2      on the 4-connected grid
 *
 * p_uv, the step in colour across the border of two blocks when the first shows u and the second v
 * (1: x_i, 0: x_j), times b gamma with b = beta / (16 B), enters both: half of it falls to each
 * block's unary for what it shows, and w = b + (p10 + p01 - p11 - p00) / 2.  The minimum is found by
 * alpha-beta swaps.  Then both images' salient blocks move to where their mask shows them, by a greedy
 * assignment: each block asks for its cheapest place, the cheapest asker wins it, the others pay 1. */
#include "puzzle.h"
#include <math.h>
#include <string.h>
#include "graphcut.h"

enum { MOST_LABELS = 4 };
_Static_assert((int)AM_PUZZLE_SITES <= (int)AM_CUT_SITES, "a mask is one cut");

void am_puzzle_shares(const float *g, int side, int blocks, double *share)
{
    int size = side / blocks;
    double all = 0;
    for (int i = 0; i < blocks * blocks; i++) {
        const float *from = g + (size_t)(i / blocks * size * side + i % blocks * size);
        share[i] = 0;
        for (int y = 0; y < size; y++)
            for (int x = 0; x < size; x++) share[i] += from[y * side + x];
        all += share[i];
    }
    for (int i = 0; i < blocks * blocks; i++)
        share[i] = all > 0 ? share[i] / all : 1.0 / (blocks * blocks);
}

/* The mean of a cell of `cell` pixels across, in pixels' own values. */
static double cell_mean(const am_puzzle *p, const float *x, int channel, int cell, int row,
                        int column)
{
    const float *from =
        x + ((size_t)channel * (size_t)p->side + (size_t)(row * cell)) * (size_t)p->side +
        column * cell;
    double sum = 0;
    for (int y = 0; y < cell; y++)
        for (int u = 0; u < cell; u++) sum += from[y * p->side + u];
    return sum / (cell * cell) * p->std[channel] + p->mean[channel];
}

/* Mean step across the border of block i of one image and the block below it, or right of it, of another. */
static double step(const am_puzzle *p, const float *first, const float *second, int cell, int i,
                   int down)
{
    int cells = p->side / p->blocks / cell, row = i / p->blocks * cells,
        column = i % p->blocks * cells;
    double sum = 0;
    for (int c = 0; c < p->channels; c++)
        for (int k = 0; k < cells; k++) {
            int r = down ? row + cells - 1 : row + k, q = down ? column + k : column + cells - 1;
            sum += fabs(cell_mean(p, first, c, cell, r, q) -
                        cell_mean(p, second, c, cell, r + down, q + !down));
        }
    return sum / (cells * p->channels);
}

typedef struct costs {
    double show_i[AM_PUZZLE_SITES], show_j[AM_PUZZLE_SITES], right[AM_PUZZLE_SITES],
        down[AM_PUZZLE_SITES];
} costs;

static void fill_costs(const am_puzzle *p, const am_puzzle_pair *pair, costs *k)
{
    int blocks = p->blocks, size = p->side / blocks, cell = p->neigh < size ? p->neigh : size;
    double b = p->beta / (16 * blocks);
    while (size % cell) cell--;
    am_puzzle_shares(pair->g_j, p->side, blocks, k->show_i);
    am_puzzle_shares(pair->g_i, p->side, blocks, k->show_j);
    for (int i = 0; i < blocks * blocks; i++)
        for (int down = 0; down < 2; down++) {
            int other = down ? i + blocks : i + 1,
                edge = down ? i / blocks + 1 == blocks : i % blocks + 1 == blocks;
            double *weight = down ? &k->down[i] : &k->right[i], by = b * p->gamma;
            *weight = 0;
            if (edge) continue;
            double p11 = by * step(p, pair->x_i, pair->x_i, cell, i, down),
                   p10 = by * step(p, pair->x_i, pair->x_j, cell, i, down);
            double p01 = by * step(p, pair->x_j, pair->x_i, cell, i, down),
                   p00 = by * step(p, pair->x_j, pair->x_j, cell, i, down);
            k->show_i[i] += (p10 + p11) / 2;
            k->show_j[i] += (p01 + p00) / 2;
            k->show_i[other] += (p01 + p11) / 2;
            k->show_j[other] += (p10 + p00) / 2;
            *weight = fmax(b + (p10 + p01 - p11 - p00) / 2, 0);
        }
}

static double prior(int labels, int l, double lambda)
{
    double ways = 1;
    for (int i = 0; i < l; i++) ways = ways * (labels - 1 - i) / (i + 1);
    return -log(ways * pow(lambda, labels - 1 - l) * pow(1 - lambda, l) + 1e-8);
}

void am_puzzle_mask(const am_puzzle *p, const am_puzzle_pair *pair, float *mask)
{
    costs k;
    double unary[AM_PUZZLE_SITES * MOST_LABELS], distance[MOST_LABELS * MOST_LABELS];
    int label[AM_PUZZLE_SITES] = {0}, sites = p->blocks * p->blocks, labels = p->labels;
    fill_costs(p, pair, &k);
    for (int i = 0; i < sites; i++)
        for (int l = 0; l < labels; l++) {
            double t = (double)l / (labels - 1);
            unary[i * labels + l] = (1 - t) * k.show_i[i] + t * k.show_j[i] +
                                    p->eta / sites * prior(labels, l, pair->lambda);
        }
    for (int a = 0; a < labels; a++)
        for (int b = 0; b < labels; b++)
            distance[a * labels + b] = (double)((a - b) * (a - b)) / ((labels - 1) * (labels - 1));
    am_cut c = {p->blocks, p->blocks, labels, unary, k.right, k.down, distance};
    am_cut_swap(&c, label);
    for (int i = 0; i < sites; i++) mask[i] = 1 - (float)label[i] / (float)(labels - 1);
}

static double place_cost(int blocks, double t_eps, const float *mask, const double *share, int s,
                         int d)
{
    int dy = s / blocks - d / blocks, dx = s % blocks - d % blocks;
    return t_eps * (dy * dy + dx * dx) / ((blocks - 1) * (blocks - 1)) -
           (mask[d] > 0 ? share[s] : 0);
}

void am_puzzle_plan(int blocks, double t_eps, const float *mask, const double *share, int *source)
{
    double cost[AM_PUZZLE_SITES][AM_PUZZLE_SITES];
    int sites = blocks * blocks, wish[AM_PUZZLE_SITES], losers = 1;
    double price[AM_PUZZLE_SITES];
    for (int i = 0; i < sites; i++) source[i] = i;
    if (blocks < 2) return;
    for (int s = 0; s < sites; s++)
        for (int d = 0; d < sites; d++) cost[s][d] = place_cost(blocks, t_eps, mask, share, s, d);
    for (int round = 0; round < blocks && losers; round++) {
        for (int s = 0; s < sites; s++) {
            wish[s] = 0;
            price[s] = INFINITY;
            for (int d = 0; d < sites; d++)
                if (cost[s][d] < price[s]) price[s] = cost[s][d], wish[s] = d;
        }
        for (int d = 0; d < sites; d++) source[d] = -1;
        for (int s = 0; s < sites; s++)
            if (source[wish[s]] < 0 || price[s] < price[source[wish[s]]]) source[wish[s]] = s;
        losers = 0;
        for (int s = 0; s < sites; s++) {
            if (source[wish[s]] == s) continue;
            cost[s][wish[s]] += 1;
            losers++;
        }
    }
}

/* to += weight of the block x moved */
static void add_image(const am_puzzle *p, const float *x, const int *source, const float *mask,
                      int of_j, float *to)
{
    int size = p->side / p->moved, n = p->moved;
    for (int c = 0; c < p->channels; c++)
        for (int d = 0; d < n * n; d++) {
            float weight = of_j ? 1 - mask[d] : mask[d];
            if (source[d] < 0 || weight == 0) continue;
            size_t plane = (size_t)c * (size_t)(p->side * p->side);
            const float *from =
                x + plane + (size_t)(source[d] / n * size * p->side + source[d] % n * size);
            float *there = to + plane + (size_t)(d / n * size * p->side + d % n * size);
            for (int y = 0; y < size; y++)
                for (int u = 0; u < size; u++)
                    there[y * p->side + u] += weight * from[y * p->side + u];
        }
}

double am_puzzle_mix(const am_puzzle *p, const am_puzzle_pair *pair, float *to)
{
    float mask[AM_PUZZLE_SITES], fine[AM_PUZZLE_SITES], rest[AM_PUZZLE_SITES];
    int source[2][AM_PUZZLE_SITES], sites = p->moved * p->moved, by = p->moved / p->blocks;
    double sum = 0;
    am_puzzle_mask(p, pair, mask);
    for (int d = 0; d < sites; d++) {
        fine[d] = mask[d / p->moved / by * p->blocks + d % p->moved / by];
        rest[d] = 1 - fine[d];
        source[0][d] = source[1][d] = d;
        sum += fine[d];
    }
    if (p->transport) {
        double share[AM_PUZZLE_SITES];
        am_puzzle_shares(pair->g_i, p->side, p->moved, share);
        am_puzzle_plan(p->moved, p->t_eps, fine, share, source[0]);
        am_puzzle_shares(pair->g_j, p->side, p->moved, share);
        am_puzzle_plan(p->moved, p->t_eps, rest, share, source[1]);
    }
    memset(to, 0, (size_t)p->channels * (size_t)(p->side * p->side) * sizeof *to);
    add_image(p, pair->x_i, source[0], fine, 0, to);
    add_image(p, pair->x_j, source[1], fine, 1, to);
    return sum / sites;
}
