/* pairing.cu: the MixBlock (Liu et al. 2022, "AutoMix"), forward; formulas as in cpu/pairing.c.
 *
 *   q = W [z_i; lambda] + b     k = W [z_j; 1 - lambda] + b     v = u [z_j; 1 - lambda] + c
 *   A = softmax over the partner's pixels of q k' / sqrt(depth);  mask = sigmoid(upsampled(A v))
 *
 * normalise: each of the depth numbers of q, and of k, is brought to mean 0 and variance 1 over the
 * sample's pixels.  Channels lie innermost: q and k are [P][depth].  lambda's channel is constant over pixels, so W z + b
 * is computed once a sample and each side adds its multiple of W's last column. */
#include "pairing.cuh"

enum { N = 128 };

size_t paired_place(const am_pairing *p, int n, float *saved, paired *s)
{
    const size_t rows = (size_t)n * (size_t)(p->h * p->w), deep = rows * (size_t)p->depth;
    const size_t lengths = (size_t)n * (size_t)p->depth;
    const size_t size[] = {deep, rows, deep, deep, rows, lengths, lengths, rows * (size_t)(p->h * p->w), rows, rows, rows};
    float **place[] = {&s->shared, &s->shared_value, &s->q, &s->k, &s->v, &s->q_length, &s->k_length, &s->a,
                       &s->squeezed, &s->logit, &s->entropy};
    size_t at = 0;
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        *place[i] = saved ? saved + at : NULL;
        at += (size[i] + 15) / 16 * 16;
    }
    return at;
}

size_t am_gpu_pairing_saved(const am_pairing *p, int n)
{
    paired unused;
    return paired_place(p, n, NULL, &unused);
}

template <class T> static void project(am_stream st, const am_pairing *geometry, am_view z, am_block_weights w, paired s)
{
    am_pairing p = *geometry;
    const int pixels = p.h * p.w, width = p.c + p.lambda_concat;
    product(st, 1, z.n * pixels, p.depth + 1, p.c, 1,
            [=] __device__(int, int row, int ch) {
                return load((const T *)z.p, (size_t)(row / pixels) * z.step + (size_t)(row % pixels) * (size_t)p.c + (size_t)ch);
            },
            [=] __device__(int, int d, int ch) { return d < p.depth ? w.query[d * width + ch] : w.value[ch]; },
            [=] __device__(int, int, int row, int d, float sum) {
                if (d < p.depth) s.shared[(size_t)row * (size_t)p.depth + (size_t)d] = sum + w.query_bias[d];
                else s.shared_value[row] = sum + w.value_bias[0];
            });
}

/* Both sides: the shared projection plus lambda's channel. */
static void sides(am_stream st, const am_pairing *geometry, int n, const int *perm, const float *lam, am_block_weights w, paired s,
                  am_trouble trouble)
{
    am_pairing p = *geometry;
    const int pixels = p.h * p.w, width = p.c + p.lambda_concat;
    each(st, n, (size_t)pixels * (size_t)p.depth, [=] __device__(int i, size_t at) {
        const int partner = perm[i], d = (int)(at % (size_t)p.depth);
        const size_t deep = (size_t)pixels * (size_t)p.depth, row = (size_t)i * (size_t)pixels + at / (size_t)p.depth;
        if (partner < 0 || partner >= n) {
            *trouble.word = trouble.op;
            return;
        }
        const float l = lam[i], add = p.lambda_concat ? w.query[d * width + p.c] : 0;
        s.q[(size_t)i * deep + at] = s.shared[(size_t)i * deep + at] + l * add;
        s.k[(size_t)i * deep + at] = s.shared[(size_t)partner * deep + at] + (1 - l) * add;
        if (d == 0)
            s.v[row] = s.shared_value[(size_t)partner * (size_t)pixels + at / (size_t)p.depth] +
                       (p.lambda_concat ? (1 - l) * w.value[p.c] : 0);
    });
}

/* One number of one sample, over its pixels; blockIdx.y: 0 queries, 1 keys. */
static __global__ void standardise_kernel(am_pairing p, paired s)
{
    const int pixels = p.h * p.w;
    const size_t depth = (size_t)p.depth, sample = blockIdx.x / depth;
    float *x = (blockIdx.y ? s.k : s.q) + sample * (size_t)pixels * depth + blockIdx.x % depth;
    double sum = 0, square = 0;
    for (int i = (int)threadIdx.x; i < pixels; i += N) sum += (double)x[(size_t)i * depth];
    const double mean = block_sum<N>(sum) / pixels;
    for (int i = (int)threadIdx.x; i < pixels; i += N) square += ((double)x[(size_t)i * depth] - mean) * ((double)x[(size_t)i * depth] - mean);
    const double length = 1 / sqrt(block_sum<N>(square) / pixels + (double)PAIRING_EPS);
    for (int i = (int)threadIdx.x; i < pixels; i += N) x[(size_t)i * depth] = (float)(((double)x[(size_t)i * depth] - mean) * length);
    if (threadIdx.x == 0) (blockIdx.y ? s.k_length : s.q_length)[blockIdx.x] = (float)length;
}

/* Softmax of one row of scores, its entropy, and what it makes of v. */
static __global__ void attend_kernel(am_pairing p, paired s)
{
    const int pixels = p.h * p.w, row = (int)blockIdx.x;
    float *a = s.a + (size_t)row * (size_t)pixels;
    const float *v = s.v + (size_t)(row / pixels) * (size_t)pixels;
    const float scale = 1 / sqrtf((float)p.depth);
    float most = -INFINITY;
    for (int x = (int)threadIdx.x; x < pixels; x += N) most = a[x] > most ? a[x] : most;
    most = block_max<N>(most);
    double sum = 0, entropy = 0, logit = 0;
    for (int x = (int)threadIdx.x; x < pixels; x += N) {
        const float e = expf(scale * (a[x] - most));
        a[x] = e;
        sum += (double)e;
    }
    sum = block_sum<N>(sum);
    for (int x = (int)threadIdx.x; x < pixels; x += N) {
        const float e = (float)((double)a[x] / sum);
        a[x] = e;
        if (e > 0) entropy -= (double)(e * logf(e));
        logit += (double)e * (double)v[x];
    }
    entropy = block_sum<N>(entropy);
    logit = block_sum<N>(logit);
    if (threadIdx.x) return;
    s.logit[row] = (float)logit;
    s.squeezed[row] = p.bound > 0 ? p.bound * tanhf((float)logit / p.bound) : (float)logit;
    s.entropy[row] = pixels > 1 ? (float)(entropy / pixels / log((double)pixels)) : 0;
}

void am_gpu_pairing_attend(am_stream st, const am_pairing *geometry, int n, float *saved, float *mask, float *entropy)
{
    am_pairing p = *geometry;
    const int pixels = p.h * p.w, mw = p.w * p.scale, mh = p.h * p.scale;
    const unsigned rows = (unsigned)(n * pixels);
    paired s;
    paired_place(&p, n, saved, &s);
    if (p.normalise) AM_LAUNCH(standardise_kernel, dim3((unsigned)(n * p.depth), 2), dim3(N), st, p, s);
    product(st, n, pixels, pixels, p.depth, 1,
            [=] __device__(int i, int y, int d) { return s.q[(size_t)(i * pixels + y) * (size_t)p.depth + (size_t)d]; },
            [=] __device__(int i, int x, int d) { return s.k[(size_t)(i * pixels + x) * (size_t)p.depth + (size_t)d]; },
            [=] __device__(int i, int, int y, int x, float sum) { s.a[(size_t)(i * pixels + y) * (size_t)pixels + (size_t)x] = sum; });
    AM_LAUNCH(attend_kernel, dim3(rows), dim3(N), st, p, s);
    each(st, n, (size_t)mw * (size_t)mh, [=] __device__(int i, size_t at) {
        const am_reach v = am_arith_reach((int)(at / (size_t)mw), p.scale, p.h, p.bilinear);
        const am_reach u = am_arith_reach((int)(at % (size_t)mw), p.scale, p.w, p.bilinear);
        const float *l = s.squeezed + (size_t)i * (size_t)pixels;
        const float top = (1 - u.far_) * l[v.low * p.w + u.low] + u.far_ * l[v.low * p.w + u.high];
        const float bottom = (1 - u.far_) * l[v.high * p.w + u.low] + u.far_ * l[v.high * p.w + u.high];
        mask[(size_t)i * (size_t)mw * (size_t)mh + at] = 1 / (1 + expf(-((1 - v.far_) * top + v.far_ * bottom)));
    });
    const am_sum to = {entropy, 1};
    if (entropy) am_gpu_mean(st, rows, 1, s.entropy, to);
}

void am_gpu_pairing(am_stream st, const am_pairing *geometry, am_view z, const int *perm, const float *lam, am_block_weights w,
                    float *saved, float *mask, float *entropy, am_trouble trouble)
{
    paired s;
    paired_place(geometry, z.n, saved, &s);
    BY_TYPE(z.half, project, st, geometry, z, w, s);
    sides(st, geometry, z.n, perm, lam, w, s, trouble);
    am_gpu_pairing_attend(st, geometry, z.n, saved, mask, entropy);
}
