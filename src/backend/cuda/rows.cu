/* rows.cu: soft labels, softmax with cross-entropy, and scores, over rows [n][k]: a block a row.
 *
 *   prob = softmax(x / T)        loss = -sum_c q_c log prob_c = sum(q) log(sum of exp) - sum_c q_c (x_c - max) / T
 *   dloss/dx = (sum(q) prob - q) / T */
#include "device.cuh"

enum { N = 128, SCORE = 256 };

static __global__ void softmax_kernel(int k, float temperature, const float *x, const float *q, float *prob, float *loss)
{
    const size_t row = (size_t)blockIdx.x * (size_t)k;
    float most = -INFINITY;
    for (int c = (int)threadIdx.x; c < k; c += N) most = x[row + c] > most ? x[row + c] : most;
    most = block_max<N>(most);
    double sum = 0, cost = 0, labels = 0;
    for (int c = (int)threadIdx.x; c < k; c += N) {
        const float p = expf((x[row + c] - most) / temperature);
        if (q) {
            cost -= (double)q[row + c] * ((double)(x[row + c] - most) / (double)temperature);
            labels += (double)q[row + c];
        }
        prob[row + c] = p;
        sum += (double)p;
    }
    sum = block_sum<N>(sum);
    for (int c = (int)threadIdx.x; c < k; c += N) prob[row + c] = (float)((double)prob[row + c] / sum);
    if (!q) return;
    cost = block_sum<N>(cost);
    labels = block_sum<N>(labels);
    if (threadIdx.x == 0) loss[blockIdx.x] = (float)(cost + labels * log(sum));
}
void am_gpu_softmax(am_stream st, int n, int k, float temperature, const float *x, const float *q, float *prob, float *loss)
{
    AM_LAUNCH(softmax_kernel, dim3((unsigned)n), dim3(N), st, k, temperature, x, loss ? q : (const float *)0, prob, loss);
}

static __global__ void softmax_back_kernel(int k, float by, const float *lift, const float *prob, const float *q, am_sum dx)
{
    const size_t row = (size_t)blockIdx.x * (size_t)k;
    double labels = 0;
    if (lift) by *= lift[0];
    for (int c = (int)threadIdx.x; c < k; c += N) labels += (double)q[row + c];
    labels = block_sum<N>(labels);
    for (int c = (int)threadIdx.x; c < k; c += N)
        give(dx.p, row + c, dx.beta, by * ((float)labels * prob[row + c] - q[row + c]));
}
void am_gpu_softmax_back(am_stream st, int n, int k, float temperature, float scale, const float *lift, const float *prob,
                         const float *q, am_sum dx)
{
    AM_LAUNCH(softmax_back_kernel, dim3((unsigned)n), dim3(N), st, k, scale / temperature, lift, prob, q, dx);
}

/* A class is ahead of the label when it is likelier, or as likely and earlier.  A label whose
 * probability is not a number is last: a dead net scores nothing. */
static __global__ void score_kernel(int n, int k, int top, const float *prob, const int *labels, const float *loss, float *tally,
                                    am_trouble trouble)
{
    double lost = 0, samples = 0, first = 0, near = 0;
    for (int i = (int)threadIdx.x; i < n; i += SCORE) {
        const int label = labels[i];
        if (label >= k) *trouble.word = trouble.op;
        if (label < 0 || label >= k) continue;
        const float *p = prob + (size_t)i * (size_t)k;
        int ahead = p[label] == p[label] ? 0 : k;
        for (int c = 0; c < k; c++) ahead += c < label ? p[c] >= p[label] : p[c] > p[label];
        samples += 1;
        first += ahead < 1;
        near += ahead < top;
        if (loss) lost += (double)loss[i];
    }
    lost = block_sum<SCORE>(lost);
    samples = block_sum<SCORE>(samples);
    first = block_sum<SCORE>(first);
    near = block_sum<SCORE>(near);
    if (threadIdx.x) return;
    tally[AM_SCORE_LOSS] += (float)lost;
    tally[AM_SCORE_TOP1] += (float)first;
    tally[AM_SCORE_TOPK] += (float)near;
    tally[AM_SCORE_SAMPLES] += (float)samples;
}
void am_gpu_score(am_stream st, int n, int k, int top, const float *prob, const int *labels, const float *loss, float *tally,
                  am_trouble trouble)
{
    AM_LAUNCH(score_kernel, dim3(1), dim3(SCORE), st, n, k, top, prob, labels, loss, tally, trouble);
}

void am_gpu_onehot(am_stream st, int n, int k, float smooth, const int *labels, float *q, am_trouble trouble)
{
    each(st, n, (size_t)k, [=] __device__(int s, size_t c) {
        const int label = labels[s];
        if (label >= k) *trouble.word = trouble.op;
        q[(size_t)s * (size_t)k + c] = label < 0 ? 0 : (int)c == label ? 1 - smooth : smooth / (float)(k - 1);
    });
}

void am_gpu_labels_mix(am_stream st, int n, int k, const float *q, const int *perm, const float *lam, float *out,
                       am_trouble trouble)
{
    each(st, n, (size_t)k, [=] __device__(int s, size_t c) {
        const int partner = perm[s];
        if (partner < 0 || partner >= n) {
            *trouble.word = trouble.op;
            return;
        }
        const float l = lam[s];
        out[(size_t)s * (size_t)k + c] = l * q[(size_t)s * (size_t)k + c] + (1 - l) * q[(size_t)partner * (size_t)k + c];
    });
}

/* How far three predictions of each sample are apart (Hendrycks et al. 2020, "AugMix"); formulas as in
 * cpu/jsd.c.  Rows are the clean ones, then two for each sample. */
static __global__ void jsd_kernel(int n, int k, float weight, const float *prob, const float *labels, float *q, float *cross,
                                  float *loss)
{
    const size_t i = blockIdx.x, row[3] = {i * (size_t)k, ((size_t)n + 2 * i) * (size_t)k, ((size_t)n + 2 * i + 1) * (size_t)k};
    double apart = 0, wrong = 0;
    for (int c = (int)threadIdx.x; c < k; c += N) {
        float mean = (prob[row[0] + c] + prob[row[1] + c] + prob[row[2] + c]) / 3;
        mean = mean < 1e-7f ? 1e-7f : mean > 1 ? 1 : mean;
        const float label = labels[row[0] + c], clean = prob[row[0] + c];
        for (int v = 0; v < 3; v++) {
            const float p = prob[row[v] + c], g = weight / 3 * logf((p < 1e-30f ? 1e-30f : p) / mean);
            apart += (double)(p * g);
            q[row[v] + c] = (v == 0 ? label : 0) - p * g;
        }
        if (label != 0) wrong -= (double)(label * logf(clean < 1e-30f ? 1e-30f : clean));
    }
    apart = block_sum<N>(apart);
    wrong = block_sum<N>(wrong);
    if (threadIdx.x == 0) cross[i] = (float)wrong, loss[i] = (float)apart;
}
void am_gpu_jsd(am_stream st, int n, int k, float weight, const float *prob, const float *labels, float *q, float *cross,
                float *loss)
{
    AM_LAUNCH(jsd_kernel, dim3((unsigned)n), dim3(N), st, n, k, weight, prob, labels, q, cross, loss);
}
