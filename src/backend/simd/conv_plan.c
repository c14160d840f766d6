/* conv_plan.c: what is decided once per convolution: how groups are merged, which algorithm, how
 * its weights lie.
 *
 * Groups narrower than a vector (ResNeXt: 4 channels) would leave lanes idle, so neighbouring
 * groups are merged until a block of channels is a multiple of 16 on both sides; the weights
 * between groups that were not neighbours in the definition are zero.  Where no number of groups
 * gives such a block, all become one.  A convolution without groups is one block, and there the
 * block is the pixel with its padding.
 *
 * Winograd's transforms multiply the rounding of bf16.  Forward, that error moves activations across
 * relu's corner, and more of them in each layer; backward it only adds up.  So precision=bf16 multiplies
 * floats forward and bf16 (PAIRS) where gradients are made, and precision=fast bf16 everywhere. */
#include "simd.h"
#include "vec.h"

typedef struct conv_plan {
    int blocks; /* groups after merging */
    int c, f; /* channels of a block, with padding: in, out */
    int taps; /* size * size */
    int winograd[2]; /* forward and back: 3x3, maps that fill the tiles well enough */
    int pairs[2]; /* winograd: V and U are bf16 */
    int scatter; /* back: few channels of input */
    int late; /* winograd: too wide to keep the transformed weights */
    int rests; /* no way back */
} conv_plan;

enum { LATE = 128 * 128, STRIDE2 = 0, SCATTER_MOST = 1 << 17 };

static const conv_plan *conv_plan_of(const am_conv *k)
{
    return k->plan;
}

static am_shape conv_in(const am_conv *k, int n)
{
    return (am_shape){n, k->c, k->h, k->w};
}
static am_shape conv_out(const am_conv *k, int n)
{
    return (am_shape){n, k->filters, k->oh, k->ow};
}

/* Of a map's pixels, at least half must lie in tiles of `tile` x `tile`. */
static int fills(int h, int w, int tile)
{
    return h * w > 1 && am_simd_up(h, tile) * am_simd_up(w, tile) <= 2 * h * w;
}

static int suits_winograd(const am_conv *k, const conv_plan *p)
{
    if (k->size != 3 || p->c % 16 || p->f % 16) return 0;
    if (k->stride == 1) return k->pad <= 2 && fills(k->oh, k->ow, 4) && fills(k->h, k->w, 4);
    return k->stride == 2 && k->pad == 1 && p->c * p->f >= STRIDE2 && fills(k->oh, k->ow, 4);
}

/* Columns of the scattered product, and how many lines of dy a line of dx sees. */
static int scatter_columns(const am_conv *k)
{
    return am_simd_up(k->size * k->size * k->c, W);
}
static int scatter_reach(const am_conv *k)
{
    return (k->size + k->stride - 1) / k->stride;
}

/* Where a pixel's channels are less than a vector, and the lines of dy that are seen at once stay in the second
 * cache. */
static int suits_scatter(const am_conv *k, const conv_plan *p)
{
    return k->groups == 1 && k->c <= 4 && p->taps > 1 && k->h * k->w > 1 && k->oh * k->ow > 1 &&
           scatter_columns(k) * k->ow <= SCATTER_MOST / scatter_reach(k);
}

static am_status conv_plan_make(am_backend *be, am_conv *k, am_loc where, am_err *err)
{
    k->plan = NULL;
    if (k->groups < 1 || k->c % k->groups || k->filters % k->groups)
        return am_fail(
            err, AM_EINPUT, where,
            "%d groups do not divide %d channels into %d filters; both must be multiples",
            k->groups, k->c, k->filters);
    if (k->size < 1 || k->stride < 1 || k->pad < 0 || k->oh < 1 || k->ow < 1)
        return am_fail(err, AM_EINPUT, where,
                       "a window of %d with stride %d and padding %d makes nothing of %dx%d pixels",
                       k->size, k->stride, k->pad, k->w, k->h);
    conv_plan *p = calloc(1, sizeof *p);
    if (!p) return am_fail(err, AM_ENOMEM, where, "no memory for a convolution's plan");
    int c = k->c / k->groups, f = k->filters / k->groups, merge = 1;
    while (merge < k->groups && (k->groups % merge || merge * c % 16 || merge * f % 16)) merge++;
    p->blocks = k->groups / merge;
    p->c = p->blocks > 1 ? merge * c : am_simd_channels(k->c);
    p->f = p->blocks > 1 ? merge * f : am_simd_channels(k->filters);
    p->taps = k->size * k->size;
    p->winograd[1] = suits_winograd(k, p);
    p->pairs[0] = PAIRS && p->winograd[1] && be->precision == AM_FAST;
    p->pairs[1] = PAIRS && p->winograd[1];
    p->winograd[0] = p->winograd[1] && (k->stride == 1 || PAIRS == p->pairs[0]);
    p->scatter = suits_scatter(k, p);
    p->rests = be->rests;
    p->late = p->winograd[1] && p->c * p->f > LATE && !p->rests;
    k->plan = p;
    return AM_OK;
}

static void conv_plan_drop(am_backend *be, am_conv *k)
{
    (void)be;
    free(k->plan);
    k->plan = NULL;
}

/* The taps of filter o on channel i, both counted in merged blocks with padding; NULL where there are none. */
INLINE const float *conv_taps(const am_conv *k, const conv_plan *p, const float *w, int o, int i)
{
    int c = k->c, group = 0;
    if (o >= k->filters) return NULL;
    if (k->groups > 1) {
        c = k->c / k->groups;
        group = o / (k->filters / k->groups);
    }
    if (i < group * c || i >= (group + 1) * c) return NULL;
    return w + ((size_t)o * (size_t)c + (size_t)(i - group * c)) * (size_t)p->taps;
}
