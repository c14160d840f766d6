/* graphcut.c: alpha-beta swaps (Boykov, Veksler and Zabih 2001).
 *
 * A swap of a and b frees all sites that carry either, and finds the best of all their choices at
 * once, as a minimum cut: a site that stays with the source takes a and cuts its edge to the sink,
 * whose capacity is what a costs it, its fixed neighbours counted in; a pair that is torn apart pays
 * weight V(a, b).  No triangle inequality is needed, so V may be a square, as PuzzleMix's is.
 *
 * The flow is Dinic's: levels by breadth, then paths by depth.  The grids have 256 sites at most, and
 * everything lies on the stack, so many grids may be cut at a time. */
#include "graphcut.h"
#include <string.h>

enum { RIGHT, DOWN, LEFT, UP, SIDES };
#define LITTLE 1e-12 /* less is no capacity */

typedef struct flow {
    int h, w, n;
    double from_source[AM_CUT_SITES], to_sink[AM_CUT_SITES],
        side[AM_CUT_SITES][SIDES]; /* what is left */
    unsigned char in[AM_CUT_SITES], next[AM_CUT_SITES];
    short level[AM_CUT_SITES];
} flow;

static int neighbour(int h, int w, int i, int side)
{
    switch (side) {
    case RIGHT: return i % w + 1 < w ? i + 1 : -1;
    case DOWN: return i / w + 1 < h ? i + w : -1;
    case LEFT: return i % w ? i - 1 : -1;
    default: return i / w ? i - w : -1;
    }
}

static int opposite(int side)
{
    return (side + 2) % SIDES;
}

static double weight(const am_cut *c, int i, int side)
{
    int j = neighbour(c->h, c->w, i, side);
    return side == RIGHT  ? c->right[i]
           : side == DOWN ? c->down[i]
           : side == LEFT ? c->right[j]
                          : c->down[j];
}

double am_cut_energy(const am_cut *c, const int *label)
{
    double sum = 0;
    for (int i = 0; i < c->h * c->w; i++) {
        sum += c->unary[i * c->labels + label[i]];
        for (int side = RIGHT; side <= DOWN; side++) {
            int j = neighbour(c->h, c->w, i, side);
            if (j >= 0) sum += weight(c, i, side) * c->distance[label[i] * c->labels + label[j]];
        }
    }
    return sum;
}

/* Distance from the source in edges; 1 where one is reached.  Returns whether the sink is. */
static int find_levels(flow *f)
{
    int queue[AM_CUT_SITES], first = 0, last = 0, reached = 0;
    for (int i = 0; i < f->n; i++) {
        f->level[i] = -1;
        f->next[i] = 0;
        if (f->in[i] && f->from_source[i] > LITTLE) {
            f->level[i] = 1;
            queue[last++] = i;
        }
    }
    while (first < last) {
        int i = queue[first++];
        reached |= f->to_sink[i] > LITTLE;
        for (int side = 0; side < SIDES; side++) {
            int j = neighbour(f->h, f->w, i, side);
            if (j < 0 || !f->in[j] || f->level[j] >= 0 || f->side[i][side] <= LITTLE) continue;
            f->level[j] = (short)(f->level[i] + 1);
            queue[last++] = j;
        }
    }
    return reached;
}

static double push(flow *f, int i, double most)
{
    if (f->to_sink[i] > LITTLE) {
        double sent = most < f->to_sink[i] ? most : f->to_sink[i];
        f->to_sink[i] -= sent;
        return sent;
    }
    for (; f->next[i] < SIDES; f->next[i]++) {
        int side = f->next[i], j = neighbour(f->h, f->w, i, side);
        if (j < 0 || !f->in[j] || f->level[j] != f->level[i] + 1 || f->side[i][side] <= LITTLE)
            continue;
        double sent = push(f, j, most < f->side[i][side] ? most : f->side[i][side]);
        if (sent <= 0) continue;
        f->side[i][side] -= sent;
        f->side[j][opposite(side)] += sent;
        return sent;
    }
    return 0;
}

static void fill_flow(flow *f, const am_cut *c, const int *label, int a, int b)
{
    f->h = c->h, f->w = c->w, f->n = c->h * c->w;
    for (int i = 0; i < f->n; i++) f->in[i] = label[i] == a || label[i] == b;
    for (int i = 0; i < f->n; i++) {
        if (!f->in[i]) continue;
        double take_a = c->unary[i * c->labels + a], take_b = c->unary[i * c->labels + b];
        for (int side = 0; side < SIDES; side++) {
            int j = neighbour(c->h, c->w, i, side);
            f->side[i][side] = 0;
            if (j < 0) continue;
            if (f->in[j]) {
                f->side[i][side] = weight(c, i, side) * c->distance[a * c->labels + b];
            } else {
                take_a += weight(c, i, side) * c->distance[a * c->labels + label[j]];
                take_b += weight(c, i, side) * c->distance[b * c->labels + label[j]];
            }
        }
        double both = take_a < take_b ? take_a : take_b; /* is paid anyway */
        f->to_sink[i] = take_a - both;
        f->from_source[i] = take_b - both;
    }
}

static void swap(const am_cut *c, int *label, int a, int b)
{
    flow f;
    fill_flow(&f, c, label, a, b);
    while (find_levels(&f))
        for (int i = 0; i < f.n; i++)
            while (f.in[i] && f.from_source[i] > LITTLE) {
                double sent = push(&f, i, f.from_source[i]);
                if (sent <= 0) break;
                f.from_source[i] -= sent;
            }
    for (int i = 0; i < f.n; i++) /* the last search reached the source's side */
        if (f.in[i]) label[i] = f.level[i] >= 0 ? a : b;
}

static int carried(const am_cut *c, const int *label, int l)
{
    for (int i = 0; i < c->h * c->w; i++)
        if (label[i] == l) return 1;
    return 0;
}

double am_cut_swap(const am_cut *c, int *label)
{
    double energy = am_cut_energy(c, label);
    for (int better = 1; better;) {
        better = 0;
        for (int a = 0; a < c->labels; a++)
            for (int b = c->labels - 1; b > a; b--) {
                int tried[AM_CUT_SITES];
                if (!carried(c, label, a) && !carried(c, label, b)) continue;
                memcpy(tried, label, (size_t)(c->h * c->w) * sizeof *tried);
                swap(c, tried, a, b);
                double now = am_cut_energy(c, tried);
                if (!(now < energy - 1e-10)) continue;
                energy = now;
                memcpy(label, tried, (size_t)(c->h * c->w) * sizeof *tried);
                better = 1;
            }
    }
    return energy;
}
