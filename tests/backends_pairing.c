/* backends_pairing.c: the MixBlock.  Forward against its formulas in double; weight gradients
 * against difference quotients of those; and one case whose numbers were worked out elsewhere. */
#include "backends.h"

/* Weights in one array: query [depth][c + concat], its bias, value [c + concat], its bias. */
static size_t weight_count(const am_pairing *p)
{
    return (size_t)(p->depth * (p->c + p->lambda_concat) + p->depth + p->c + p->lambda_concat + 1);
}

static double upsampled(const am_pairing *p, const double *l, int y, int x)
{
    if (!p->bilinear) return l[y / p->scale * p->w + x / p->scale];
    const double v = fmin(fmax((y + .5) / p->scale - .5, 0), p->h - 1),
                 u = fmin(fmax((x + .5) / p->scale - .5, 0), p->w - 1);
    const int a = (int)v, c = (int)u, d = a + 1 < p->h ? a + 1 : a, e = c + 1 < p->w ? c + 1 : c;
    return (1 - (v - a)) * ((1 - (u - c)) * l[a * p->w + c] + (u - c) * l[a * p->w + e]) +
           (v - a) * ((1 - (u - c)) * l[d * p->w + c] + (u - c) * l[d * p->w + e]);
}

/* Masks, and the sum of attention entropies over log P. */
static double formula(const am_pairing *p, int n, const float *z, const int *perm, const float *lam,
                      const double *w, double *mask)
{
    const int P = p->h * p->w, C = p->c + p->lambda_concat, D = p->depth;
    const double *bias = w + D * C, *value = bias + D;
    double *q = malloc(sizeof *q * (size_t)(2 * D * P + 4 * P)), *k = q + D * P, *v = k + D * P,
           *a = v + P, *l = a + P;
    double entropy = 0;
    for (int i = 0; i < n; i++) {
        for (int side = 0; side < 2; side++) {
            const float *from = z + (size_t)(side ? perm[i] : i) * (size_t)(p->c * P);
            const double constant = side ? 1 - (double)lam[i] : (double)lam[i];
            double *to = side ? k : q;
            for (int x = 0; x < P; x++) {
                for (int d = 0; d < D; d++) {
                    to[d * P + x] = bias[d] + (p->lambda_concat ? w[d * C + p->c] * constant : 0);
                    for (int c = 0; c < p->c; c++)
                        to[d * P + x] += w[d * C + c] * (double)from[c * P + x];
                }
                if (!side) continue;
                v[x] = value[C] + (p->lambda_concat ? value[p->c] * constant : 0);
                for (int c = 0; c < p->c; c++) v[x] += value[c] * (double)from[c * P + x];
            }
            for (int d = 0; p->normalise && d < D; d++) {
                double mean = 0, square = 0;
                for (int x = 0; x < P; x++) mean += to[d * P + x] / P;
                for (int x = 0; x < P; x++)
                    square += (to[d * P + x] - mean) * (to[d * P + x] - mean) / P;
                for (int x = 0; x < P; x++)
                    to[d * P + x] = (to[d * P + x] - mean) / sqrt(square + 1e-6);
            }
        }
        for (int y = 0; y < P; y++) {
            double most = -INFINITY, sum = 0;
            for (int x = 0; x < P; x++) {
                a[x] = 0;
                for (int d = 0; d < D; d++) a[x] += q[d * P + y] * k[d * P + x] / sqrt(D);
                most = fmax(most, a[x]);
            }
            for (int x = 0; x < P; x++) sum += a[x] = exp(a[x] - most);
            l[y] = 0;
            for (int x = 0; x < P; x++) {
                l[y] += a[x] / sum * v[x];
                if (P > 1 && a[x] > 0) entropy -= a[x] / sum * log(a[x] / sum) / log(P) / P;
            }
            if (p->bound > 0) l[y] = (double)p->bound * tanh(l[y] / (double)p->bound);
        }
        for (int y = 0; y < p->scale * p->h; y++)
            for (int x = 0; x < p->scale * p->w; x++)
                *mask++ = 1 / (1 + exp(-upsampled(p, l, y, x)));
    }
    free(q);
    return entropy;
}

static am_pairing_weights places(const am_pairing *p, am_dev w)
{
    const size_t c = (size_t)(p->c + p->lambda_concat), d = (size_t)p->depth;
    return (am_pairing_weights){w, am_at(w, d * c), am_at(w, d * c + d), am_at(w, d * c + d + c)};
}

static am_pairing_grads gradients(const am_pairing *p, am_grad g)
{
    const am_pairing_weights at = places(p, g.d);
    return (am_pairing_grads){
        {at.query, g.beta}, {at.query_bias, g.beta}, {at.value, g.beta}, {at.value_bias, g.beta}};
}

static const struct {
    am_pairing p;
    int n;
    double spread;
} blocks[] = {
    {{.c = 1, .h = 1, .w = 1, .depth = 1, .scale = 3}, 1, 1},
    {{.c = 4, .h = 2, .w = 3, .depth = 2, .scale = 2, .lambda_concat = 1}, 3, 1},
    {{.c = 5, .h = 3, .w = 3, .depth = 2, .scale = 4, .bilinear = 1}, 2, 2},
    {{.c = 6, .h = 4, .w = 4, .depth = 3, .scale = 1, .lambda_concat = 1, .normalise = 1}, 4, 2},
    {{.c = 7,
      .h = 5,
      .w = 3,
      .depth = 4,
      .scale = 2,
      .lambda_concat = 1,
      .bilinear = 1,
      .bound = 1.5f},
     3,
     2},
    {{.c = 18,
      .h = 4,
      .w = 6,
      .depth = 9,
      .scale = 2,
      .lambda_concat = 1,
      .normalise = 1,
      .bound = 4},
     5,
     1},
};

static void pairing(t_bench *b)
{
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        for (int beta = 0; beta < 2; beta++) {
            const am_pairing *p = &blocks[i].p;
            const int n = blocks[i].n;
            const am_shape s = {n, p->c, p->h, p->w};
            const size_t pixels = (size_t)(n * p->h * p->w * p->scale * p->scale),
                         weights = weight_count(p);
            int perm[8];
            float lam[8], zero[AM_HEALTH] = {0}, *z, *w, *dm, *before;
            am_rng_permute(&b->rng, n, perm);
            for (int k = 0; k < n; k++) lam[k] = (float)t_draw(b, 0, 1);
            am_dev dz = t_activation(b, s, -1, 1, &z),
                   dw = t_plain(b, weights, -blocks[i].spread, blocks[i].spread, &w);
            am_dev dp = t_given(b, (size_t)n, perm), dl = t_given(b, (size_t)n, lam),
                   health = t_given(b, AM_HEALTH, zero);
            am_dev saved = t_blank(b, b->op->pairing_saved(b->be, p, n)), mask = t_blank(b, pixels);
            am_dev scratch = t_blank(b, b->op->pairing_scratch(b->be, p, n)),
                   dmask = t_plain(b, pixels, -1, 1, &dm);
            am_grad to = t_plain_grad(b, weights, (float)beta, &before);

            double *wd = t_doubles(b, weights), *m = t_doubles(b, pixels),
                   *want = t_doubles(b, weights);
            for (size_t k = 0; k < weights; k++) wd[k] = (double)w[k];
            double entropies[AM_HEALTH] = {0};
            for (size_t k = 0; k < weights; k++) {
                const double step = 1e-5, keep = wd[k];
                want[k] = (double)before[k];
                for (int sign = -1; sign <= 1; sign += 2) {
                    wd[k] = keep + sign * step;
                    formula(p, n, z, perm, lam, wd, m);
                    for (size_t q = 0; q < pixels; q++)
                        want[k] += sign * (double)dm[q] * m[q] / (2 * step);
                }
                wd[k] = keep;
            }
            entropies[AM_HEALTH_ENTROPY] = formula(p, n, z, perm, lam, wd, m);

            am_pairing_weights at = places(p, dw);
            am_pairing_grads grads = gradients(p, to);
            b->op->pairing(b->be, p, n, dz, dp, dl, &at, saved, mask, health);
            t_plain_is(b, "mask", pixels, mask, m, 1e-5); /* scores are float32 in every backend */
            t_plain_is(b, "entropy", AM_HEALTH, health, entropies, 1e-5);
            b->op->pairing_back(b->be, p, n, dz, dp, dl, &at, saved, mask, dmask, scratch, &grads);
            t_plain_is(b, "MixBlock's gradient", weights, to.d, want, 2e-5);

            am_dev again = t_blank(b, pixels);
            b->op->pairing(b->be, p, n, dz, dp, dl, &at, saved, again, AM_NOWHERE);
            t_plain_is(b, "mask without health", pixels, again, m, 1e-5);
            t_clear(b);
        }
}
static void mixblock_and_its_gradients(void **s)
{
    (void)s;
    t_each(pairing);
}

/* A case in float64, checked elsewhere by finite differences to 1e-10. */
static void golden(t_bench *b)
{
    const am_pairing p = {.c = 4, .h = 2, .w = 2, .depth = 2, .lambda_concat = 1, .scale = 2};
    const am_shape s = {2, 4, 2, 2};
    static const double logit_mask[2][4] = {{0.47823676, 0.48603979, 0.46772114, 0.47354591},
                                            {0.57793755, 0.59942369, 0.53323485, 0.54855661}};
    static const double want[] = {
        0.00968684,  0.03099926, -0.05306128, 0.00637976,  -0.00467773, -0.05264451,
        0.00735294,  0.01228213, -0.04029478, -0.0037525,  -0.01559242, -0.01250833,
        -0.22139048, 0.1263246,  0.08241748,  -0.16008434, -0.10157068, -0.14510096862754615};
    float z[32], w[18], dm[32], lam[2] = {.3f, .3f}, half[2] = {.5f, .5f}, one = 1;
    int perm[2] = {1, 0};
    double mask[32], value = 0.00058704, per_sample = 0.02420114, loss = -0.31456983933981597,
                     got = 0;
    for (int k = 0; k < 32; k++) {
        const int n = k / 16, c = k / 4 % 4, y = k / 2 % 2, x = k % 2, v = k / 4 % 4, u = k % 4;
        z[k] = .25f * (float)((7 * n + 3 * c + 5 * y + 2 * x + 1) % 11) - 1;
        dm[k] = .1f * (float)((3 * n + 5 * v + 2 * u) % 7) - .3f;
        mask[k] = logit_mask[n][v / 2 * 2 + u / 2];
    }
    for (int o = 0; o < 2; o++)
        for (int i = 0; i < 5; i++) w[o * 5 + i] = .2f * (float)((3 * o + 2 * i + 1) % 7) - .5f;
    w[10] = .1f, w[11] = -.2f, w[17] = .05f;
    for (int i = 0; i < 5; i++) w[12 + i] = .3f * (float)((2 * i + 1) % 5) - .6f;

    am_dev dz = t_blank_activation(b, s), dw = t_given(b, 18, w), dp = t_given(b, 2, perm),
           dl = t_given(b, 2, lam);
    am_dev saved = t_blank(b, b->op->pairing_saved(b->be, &p, 2)), m = t_blank(b, 32),
           d = t_given(b, 32, dm);
    am_dev scratch = t_blank(b, b->op->pairing_scratch(b->be, &p, 2)), g = t_blank(b, 18),
           weight = t_given(b, 1, &one);
    am_pairing_weights at = places(&p, dw);
    am_pairing_grads grads = gradients(&p, (am_grad){g, 0});
    b->op->put(b->be, s, z, dz);
    b->op->pairing(b->be, &p, 2, dz, dp, dl, &at, saved, m, AM_NOWHERE);
    t_plain_is(b, "mask", 32, m, mask, 1e-6);
    b->op->pairing_back(b->be, &p, 2, dz, dp, dl, &at, saved, m, d, scratch, &grads);
    t_plain_is(b, "gradient", 18, g, want, 1e-6);

    float out[32];
    b->op->download(b->be, 32, m, out);
    for (int k = 0; k < 32; k++) got += (double)dm[k] * (double)out[k];
    assert_true(fabs(got - loss) < 1e-6);
    am_dev l = t_given(b, 2, half), batch = t_blank(b, 1), each = t_blank(b, 1);
    b->op->mask_loss(b->be, 2, 4, 4, AM_MASK_L1, 1, .02f, weight, l, m, batch,
                     (am_grad){AM_NOWHERE, 0});
    b->op->mask_loss(b->be, 2, 4, 4, AM_MASK_L1, 0, .02f, weight, l, m, each,
                     (am_grad){AM_NOWHERE, 0});
    t_plain_is(b, "batch loss", 1, batch, &value, 2e-4); /* 0.0206 - 0.02: the last bits of 0.02f */
    t_plain_is(b, "loss per sample", 1, each, &per_sample, 1e-5);
}
static void mixblock_by_golden_numbers(void **s)
{
    (void)s;
    t_each(golden);
}

T_SUITE(backends_pairing, cmocka_unit_test(mixblock_and_its_gradients),
        cmocka_unit_test(mixblock_by_golden_numbers));
