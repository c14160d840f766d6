/* mask_loss.c: what pulls the share of a mask towards lambda, and what to watch a mask by.
 *
 * With mu the mean of m, the sample's share is 1 - mu and d = (1 - mu) - lambda:
 *   l1        max(|d| - margin, 0)                  d/dm = -sign(d) / count
 *   l2        max(d^2 - margin^2, 0)                d/dm = -2 d / count
 *   l1var, l2var: the same, minus 2 Var(m)          d/dm adds -4 (m - mu) / count
 *   sparsity  max(mean|m (m - 1)| - margin, 0)      d/dm = sign(m (m - 1)) (2 m - 1) / count
 * either once over the whole batch, with the mean lambda, or per sample and then averaged. */
#include "cpu.h"

static double term(int kind, double margin, double lambda, size_t n, const float *m, float weight,
                   float *dm, float beta)
{
    const double count = (double)n, mu = am_cpu_sum(n, m) / count, d = (1 - mu) - lambda;
    double value = 0, flat = 0, spread = 0, sparse = 0;     /* flat: the same for all pixels */
    if (kind == AM_MASK_L1 || kind == AM_MASK_L1VAR) {
        if (fabs(d) > margin) value = fabs(d) - margin, flat = d > 0 ? -1 : 1;
    } else if (kind == AM_MASK_L2 || kind == AM_MASK_L2VAR) {
        if (d * d > margin * margin) value = d * d - margin * margin, flat = -2 * d;
    } else if (kind == AM_MASK_SPARSITY) {
        double sum = 0;
        for (size_t i = 0; i < n; i++) sum += fabs((double)m[i] * ((double)m[i] - 1));
        if (sum / count > margin) value = sum / count - margin, sparse = 1;
    }
    if (kind == AM_MASK_L1VAR || kind == AM_MASK_L2VAR) {
        double square = 0;
        for (size_t i = 0; i < n; i++) square += ((double)m[i] - mu) * ((double)m[i] - mu);
        value -= 2 * square / count;
        spread = -4;
    }
    for (size_t i = 0; dm && i < n; i++) {
        const double v = (double)m[i], away = v * (v - 1);
        const double g = flat + spread * (v - mu)
                         + sparse
                               * (away > 0   ? 1
                                  : away < 0 ? -1
                                             : 0)
                               * (2 * v - 1);
        const float add = (float)((double)weight * g / count);
        dm[i] = beta == 0 ? add : beta * dm[i] + add;
    }
    return value;
}

void am_cpu_mask_loss(am_backend *be, int n, int h, int w, int kind, int reduce_batch, float margin,
                      am_dev weight, am_dev lam, am_dev m, am_dev loss, am_grad dm)
{
    if (am_cpu_stopped(be)) return;
    const size_t plane = (size_t)h * (size_t)w;
    double value = 0;
    if (reduce_batch) {
        const double lambda = am_cpu_sum((size_t)n, lam.p) / n;
        value = term(kind, (double)margin, lambda, (size_t)n * plane, m.p, weight.p[0], dm.d.p,
                     dm.beta);
    } else
        for (int i = 0; i < n; i++)
            value += term(kind, (double)margin, (double)lam.p[i], plane, m.p + (size_t)i * plane,
                          weight.p[0] / (float)n, am_at(dm.d, (size_t)i * plane).p, dm.beta) / n;
    if (am_is(loss)) loss.p[0] = (float)((double)weight.p[0] * value);
}

void am_cpu_mask_health(am_backend *be, int n, int h, int w, am_dev lam, am_dev m, am_dev health)
{
    if (am_cpu_stopped(be)) return;
    const size_t plane = (size_t)h * (size_t)w;
    double share = 0, drift = 0, structure = 0, saturated = 0;
    for (int i = 0; i < n; i++) {
        const float *mask = m.p + (size_t)i * plane;
        const double mean = am_cpu_sum(plane, mask) / (double)plane,
                     d = (1 - mean) - (double)lam.p[i];
        double square = 0, outside = 0;
        for (size_t k = 0; k < plane; k++) {
            square += ((double)mask[k] - mean) * ((double)mask[k] - mean);
            outside += mask[k] < 0.01f || mask[k] > 0.99f;
        }
        share += fabs(d);
        drift += d;
        structure += sqrt(square / (double)plane);
        saturated += outside / (double)plane;
    }
    health.p[AM_HEALTH_SHARE] += (float)share;
    health.p[AM_HEALTH_DRIFT] += (float)drift;
    health.p[AM_HEALTH_STRUCTURE] += (float)structure;
    health.p[AM_HEALTH_SATURATED] += (float)saturated;
    health.p[AM_HEALTH_SAMPLES] += (float)n;
}
