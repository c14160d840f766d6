/* loss.c: soft labels, softmax with cross-entropy, and scores, over rows [n][k].
 *
 *   prob = softmax(x / T)        loss = -sum_c q_c log prob_c
 *   dloss/dx = (sum(q) prob - q) / T
 * log prob is x / T - max - log(sum of exponentials), so a class of probability 0 costs much but
 * never infinity. */
#include "cpu.h"

void am_cpu_softmax(am_backend *be, int n, int k, float temperature, am_dev x, am_dev q,
                    am_dev prob, am_dev loss)
{
    if (am_cpu_stopped(be)) return;
#pragma omp parallel for num_threads(am_cpu_team(be, (size_t)n * (size_t)k)) schedule(static)
    for (int i = 0; i < n; i++) {
        const size_t row = (size_t)i * (size_t)k;
        const float *from = x.p + row;
        float *p = prob.p + row, most = from[0];
        for (int c = 1; c < k; c++) most = from[c] > most ? from[c] : most;
        double cost = 0, labels = 0, sum = 0;
        if (am_is(q) && am_is(loss))
            for (int c = 0; c < k; c++) {
                cost -=
                    (double)q.p[row + (size_t)c] * ((double)(from[c] - most) / (double)temperature);
                labels += (double)q.p[row + (size_t)c];
            }
        for (int c = 0; c < k; c++) sum += (double)(p[c] = expf((from[c] - most) / temperature));
        for (int c = 0; c < k; c++) p[c] = (float)((double)p[c] / sum);
        if (am_is(q) && am_is(loss)) loss.p[i] = (float)(cost + labels * log(sum));
    }
}

void am_cpu_softmax_back(am_backend *be, int n, int k, float temperature, float scale, am_dev prob,
                         am_dev q, am_grad dx)
{
    if (am_cpu_stopped(be) || !am_is(dx.d)) return;
    const float by = scale / temperature;
#pragma omp parallel for num_threads(am_cpu_team(be, (size_t)n * (size_t)k)) schedule(static)
    for (int i = 0; i < n; i++) {
        const size_t row = (size_t)i * (size_t)k;
        float labels = 0;
        for (int c = 0; c < k; c++) labels += q.p[row + (size_t)c];
        for (int c = 0; c < k; c++)
            am_cpu_give1(dx, row + (size_t)c,
                         by * (labels * prob.p[row + (size_t)c] - q.p[row + (size_t)c]));
    }
}

/* A class is ahead of the label when it is likelier, or as likely and earlier.  A label whose
 * probability is not a number is last: a dead net scores nothing. */
void am_cpu_score(am_backend *be, int n, int k, int top, am_dev prob, am_dev labels, am_dev loss,
                  am_dev tally)
{
    if (am_cpu_stopped(be) || !am_cpu_labels_ok(be, "score", n, k, labels)) return;
    double lost = 0;
    int samples = 0, first = 0, near = 0;
    for (int i = 0; i < n; i++) {
        const int label = am_cpu_ints(labels)[i];
        if (label < 0) continue;
        const float *p = prob.p + (size_t)i * (size_t)k;
        int ahead = p[label] == p[label] ? 0 : k;
        for (int c = 0; c < k; c++) ahead += c < label ? p[c] >= p[label] : p[c] > p[label];
        samples++;
        first += ahead < 1;
        near += ahead < top;
        if (am_is(loss)) lost += (double)loss.p[i];
    }
    tally.p[AM_SCORE_LOSS] += (float)lost;
    tally.p[AM_SCORE_TOP1] += (float)first;
    tally.p[AM_SCORE_TOPK] += (float)near;
    tally.p[AM_SCORE_SAMPLES] += (float)samples;
}

void am_cpu_mean(am_backend *be, int n, float scale, am_dev x, am_grad out)
{
    if (am_cpu_stopped(be) || !am_is(out.d)) return;
    am_cpu_give1(out, 0, (float)((double)scale * am_cpu_sum((size_t)n, x.p)));
}

void am_cpu_onehot(am_backend *be, int n, int k, float smooth, am_dev labels, am_dev q)
{
    if (am_cpu_stopped(be) || !am_cpu_labels_ok(be, "onehot", n, k, labels)) return;
    for (int i = 0; i < n; i++) {
        const int label = am_cpu_ints(labels)[i];
        float *row = q.p + (size_t)i * (size_t)k;
        for (int c = 0; c < k; c++)
            row[c] = label < 0 ? 0 : c == label ? 1 - smooth : smooth / (float)(k - 1);
    }
}

void am_cpu_labels_mix(am_backend *be, int n, int k, am_dev q, am_dev perm, am_dev lam, am_dev out)
{
    if (am_cpu_stopped(be) || !am_cpu_perm_ok(be, "labels_mix", n, perm)) return;
    for (int i = 0; i < n; i++) {
        const float l = lam.p[i], *mine = q.p + (size_t)i * (size_t)k;
        const float *other = q.p + (size_t)am_cpu_ints(perm)[i] * (size_t)k;
        for (int c = 0; c < k; c++)
            out.p[(size_t)i * (size_t)k + (size_t)c] = l * mine[c] + (1 - l) * other[c];
    }
}
