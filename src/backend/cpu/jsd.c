/* jsd.c: how far three predictions of each sample are apart (Hendrycks et al. 2020, "AugMix").
 *
 * With M = (p0 + p1 + p2) / 3, held within 1e-7 .. 1:
 *   loss = weight / 3 sum_k KL(p_k | M)          d loss / d p_k = g_k = weight / 3 log(p_k / M)
 * (the derivatives of M's own path and of p log p add up to nothing).  softmax_back turns labels q
 * into sum(q) p - q, and what is wanted of a logit is p (g - sum(p g)); so the labels under which
 * softmax_back gives this gradient are q = -p g, to which a clean row adds its own. */
#include "cpu.h"

void am_cpu_jsd(am_backend *be, int n, int k, float weight, am_dev prob, am_dev labels, am_dev q,
                am_dev cross, am_dev loss)
{
    if (am_cpu_stopped(be)) return;
    for (int i = 0; i < n; i++) {
        const size_t row[3] = {(size_t)i * (size_t)k, (size_t)(n + 2 * i) * (size_t)k,
                               (size_t)(n + 2 * i + 1) * (size_t)k};
        double apart = 0, wrong = 0;
        for (int c = 0; c < k; c++) {
            const float *p[3] = {prob.p + row[0] + c, prob.p + row[1] + c, prob.p + row[2] + c};
            float mean = (*p[0] + *p[1] + *p[2]) / 3;
            mean = mean < 1e-7f ? 1e-7f : mean > 1 ? 1 : mean;
            for (int v = 0; v < 3; v++) {
                const float least = *p[v] < 1e-30f ? 1e-30f : *p[v],
                            g = weight / 3 * logf(least / mean);
                apart += (double)(*p[v] * g);
                q.p[row[v] + (size_t)c] = -*p[v] * g;
            }
            const float label = labels.p[row[0] + (size_t)c];
            if (label != 0) wrong -= (double)(label * logf(*p[0] < 1e-30f ? 1e-30f : *p[0]));
            q.p[row[0] + (size_t)c] += label;
        }
        cross.p[i] = (float)wrong;
        loss.p[i] = (float)apart;
    }
}
