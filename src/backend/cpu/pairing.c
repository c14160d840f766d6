/* pairing.c: the MixBlock (Liu et al. 2022, "AutoMix"), forward.
 *
 * For sample i with partner j, features z of P pixels, weight lambda of the sample itself:
 *   q = W [z_i; lambda] + b             [depth][P]      one conv serves both sides
 *   k = W [z_j; 1 - lambda] + b         [depth][P]
 *   v = u [z_j; 1 - lambda] + c         [P]
 *   A = softmax over the partner's pixels of q' k / sqrt(depth)      [P][P]
 *   mask = sigmoid(upsampled(A v))      the partner's weight, on the sample's grid
 * lambda's channel is constant over pixels, so W z + b is computed once per sample, and each side
 * adds its multiple of W's last column.
 *
 * normalise: each of the depth numbers of q, and of k, is brought to mean 0 and variance 1 over the
 * sample's pixels.  What all pixels share cannot tell them apart in a softmax, and drowns what can;
 * without it attention starts out even, a saddle that a short run does not leave.  bound: A v is squeezed to bound * tanh(A v / bound). */
#include "pairing.h"

size_t am_paired_place(const am_pairing *p, int n, float *saved, am_paired *s)
{
    const size_t pixels = am_paired_pixels(p), rows = (size_t)n * pixels,
                 deep = rows * (size_t)p->depth;
    const struct {
        float **to;
        size_t size;
    } part[] = {
        {&s->shared, deep},
        {&s->shared_value, rows},
        {&s->q, deep},
        {&s->k, deep},
        {&s->v, rows},
        {&s->q_length, (size_t)n * (size_t)p->depth},
        {&s->k_length, (size_t)n * (size_t)p->depth},
        {&s->a, rows * pixels},
        {&s->logit, rows},
        {&s->entropy, (size_t)n},
    };
    size_t at = 0;
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        *part[i].to = saved ? saved + at : NULL;
        at += (part[i].size + 15) / 16 * 16;
    }
    return at;
}

size_t am_cpu_pairing_saved(am_backend *be, const am_pairing *p, int n)
{
    (void)be;
    am_paired unused;
    return am_paired_place(p, n, NULL, &unused);
}

static void project(const am_pairing *p, const float *z, const am_pairing_weights *w, float *deep,
                    float *value)
{
    const int pixels = p->h * p->w, row = p->c + p->lambda_concat;
    am_columns_product(p->depth, pixels, p->c, w->query.p, (size_t)row, 1, z, (size_t)pixels, deep,
                       (size_t)pixels);
    am_columns_product(1, pixels, p->c, w->value.p, (size_t)row, 1, z, (size_t)pixels, value,
                       (size_t)pixels);
    for (int d = 0; d < p->depth; d++)
        for (int i = 0; i < pixels; i++) deep[d * pixels + i] += w->query_bias.p[d];
    for (int i = 0; i < pixels; i++) value[i] += w->value_bias.p[0];
}

void am_paired_normalise(const am_pairing *p, float *side, float *length)
{
    const int pixels = p->h * p->w;
    for (int d = 0; d < p->depth; d++, side += pixels) {
        float mean = 0, square = 0;
        for (int i = 0; i < pixels; i++) mean += side[i];
        mean /= (float)pixels;
        for (int i = 0; i < pixels; i++) square += (side[i] - mean) * (side[i] - mean);
        length[d] = 1 / sqrtf(square / (float)pixels + AM_PAIRING_EPS);
        for (int i = 0; i < pixels; i++) side[i] = (side[i] - mean) * length[d];
    }
}

/* One side: the shared projection plus `weight` in lambda's channel, normalised where asked. */
static void side(const am_pairing *p, const float *shared, float weight,
                 const am_pairing_weights *w, float *to, float *length)
{
    const int pixels = p->h * p->w, row = p->c + p->lambda_concat;
    for (int d = 0; d < p->depth; d++) {
        const float add = p->lambda_concat ? weight * w->query.p[d * row + p->c] : 0;
        for (int i = 0; i < pixels; i++) to[d * pixels + i] = shared[d * pixels + i] + add;
    }
    if (p->normalise) am_paired_normalise(p, to, length);
}

/* Softmax of one row of scores in place; returns its entropy. */
static double attend(int n, float scale, float *row)
{
    float most = row[0];
    double sum = 0, entropy = 0;
    for (int i = 1; i < n; i++) most = row[i] > most ? row[i] : most;
    for (int i = 0; i < n; i++) sum += (double)(row[i] = expf(scale * (row[i] - most)));
    for (int i = 0; i < n; i++) {
        row[i] = (float)((double)row[i] / sum);
        if (row[i] > 0) entropy -= (double)(row[i] * logf(row[i]));
    }
    return entropy;
}

void am_paired_attend(const am_pairing *p, const am_paired *s, int i, float *mask)
{
    const size_t pixels = am_paired_pixels(p), deep = pixels * (size_t)p->depth,
                 at = (size_t)i * pixels;
    const int n = (int)pixels;
    const float *v = s->v + at;
    float *a = s->a + at * pixels, *logit = s->logit + at;
    double entropy = 0;
    am_columns_product(n, n, p->depth, s->q + (size_t)i * deep, 1, pixels, s->k + (size_t)i * deep,
                       pixels, a, pixels);
    for (int y = 0; y < n; y++, a += pixels) {
        entropy += attend(n, 1 / sqrtf((float)p->depth), a);
        logit[y] = (float)am_cpu_sum_product(pixels, a, v);
        if (p->bound > 0) logit[y] = p->bound * tanhf(logit[y] / p->bound);
    }
    s->entropy[i] = n > 1 ? (float)(entropy / n / log(n)) : 0;
    am_mask_up(p, logit, mask);
}

static void pair(const am_pairing *p, const am_paired *s, int i, int j, float lambda,
                 const am_pairing_weights *w, float *mask)
{
    const size_t pixels = am_paired_pixels(p), deep = pixels * (size_t)p->depth;
    float *v = s->v + (size_t)i * pixels;
    side(p, s->shared + (size_t)i * deep, lambda, w, s->q + (size_t)i * deep,
         s->q_length + (size_t)i * (size_t)p->depth);
    side(p, s->shared + (size_t)j * deep, 1 - lambda, w, s->k + (size_t)i * deep,
         s->k_length + (size_t)i * (size_t)p->depth);
    for (size_t x = 0; x < pixels; x++)
        v[x] = s->shared_value[(size_t)j * pixels + x] +
               (p->lambda_concat ? (1 - lambda) * w->value.p[p->c] : 0);
    am_paired_attend(p, s, i, mask);
}

void am_cpu_pairing(am_backend *be, const am_pairing *p, int n, am_dev z, am_dev perm, am_dev lam,
                    const am_pairing_weights *w, am_dev saved, am_dev mask, am_dev health)
{
    if (am_cpu_stopped(be) || !am_cpu_perm_ok(be, "pairing", n, perm)) return;
    const size_t pixels = am_paired_pixels(p),
                 step = am_cpu_sample((am_shape){n, p->c, p->h, p->w});
    const size_t plane = pixels * (size_t)p->scale * (size_t)p->scale;
    am_paired s;
    am_paired_place(p, n, saved.p, &s);
#pragma omp parallel for num_threads(be->threads) schedule(static)
    for (int i = 0; i < n; i++)
        project(p, z.p + (size_t)i * step, w, s.shared + (size_t)i * pixels * (size_t)p->depth,
                s.shared_value + (size_t)i * pixels);
#pragma omp parallel for num_threads(be->threads) schedule(static)
    for (int i = 0; i < n; i++)
        pair(p, &s, i, am_cpu_ints(perm)[i], lam.p[i], w, mask.p + (size_t)i * plane);
    if (am_is(health)) health.p[AM_HEALTH_ENTROPY] += (float)am_cpu_sum((size_t)n, s.entropy);
}
