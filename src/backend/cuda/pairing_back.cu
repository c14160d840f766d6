/* pairing_back.cu: the MixBlock's gradients, from the mask to its weights; none goes to z.  Formulas as
 * in cpu/pairing_back.c.
 *
 * With g = dmask m (1 - m) brought down to the logits' grid, times 1 - (logit / bound)^2 where bounded:
 *   dv = A' g     dS = A * g (v' - A v)     dq = dS k / sqrt(depth)     dk = dS' q / sqrt(depth)
 * and through the normalisation dq0 = l (dq - mean(dq) - q mean(q dq)), means over the sample's pixels.
 *
 * Then one product over 2 n P terms, queries first and keys after, makes all weight gradients: row d of
 * it is a query's, the last row the value's; its last column, where the other factor is 1, the biases'. */
#include "pairing.cuh"

enum { N = 128, TERMS_A_PIECE = 512, MOST_PIECES = 32 };

typedef struct back { float *dl, *ds, *dq, *dk, *dv, *sums; } back;

static int pieces_of(const am_pairing *p, int n)
{
    const long pieces = (2L * n * p->h * p->w + TERMS_A_PIECE - 1) / TERMS_A_PIECE;
    return pieces < 1 ? 1 : pieces > MOST_PIECES ? MOST_PIECES : (int)pieces;
}

static size_t back_place(const am_pairing *p, int n, float *scratch, back *b)
{
    const size_t rows = (size_t)n * (size_t)(p->h * p->w), deep = rows * (size_t)p->depth;
    const size_t sums = (size_t)pieces_of(p, n) * (size_t)(p->depth + 1) * (size_t)(p->c + p->lambda_concat + 1);
    const size_t size[] = {rows, rows * (size_t)(p->h * p->w), deep, deep, rows, sums};
    float **place[] = {&b->dl, &b->ds, &b->dq, &b->dk, &b->dv, &b->sums};
    size_t at = 0;
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        *place[i] = scratch ? scratch + at : NULL;
        at += (size[i] + 15) / 16 * 16;
    }
    return at;
}

size_t am_gpu_pairing_scratch(const am_pairing *p, int n)
{
    back unused;
    return back_place(p, n, NULL, &unused);
}

/* One number of dq or dk of one sample; blockIdx.y: 0 queries, 1 keys. */
static __global__ void standardise_kernel(am_pairing p, paired s, back b)
{
    const int pixels = p.h * p.w;
    const size_t depth = (size_t)p.depth, at = blockIdx.x / depth * (size_t)pixels * depth + blockIdx.x % depth;
    const float *q = (blockIdx.y ? s.k : s.q) + at, length = (blockIdx.y ? s.k_length : s.q_length)[blockIdx.x];
    float *dq = (blockIdx.y ? b.dk : b.dq) + at;
    double sum = 0, along = 0;
    for (int i = (int)threadIdx.x; i < pixels; i += N) {
        sum += (double)dq[(size_t)i * depth];
        along += (double)q[(size_t)i * depth] * (double)dq[(size_t)i * depth];
    }
    const float mean = (float)(block_sum<N>(sum) / pixels), pull = (float)(block_sum<N>(along) / pixels);
    for (int i = (int)threadIdx.x; i < pixels; i += N)
        dq[(size_t)i * depth] = length * (dq[(size_t)i * depth] - mean - q[(size_t)i * depth] * pull);
}

template <class T>
static void weights(am_stream st, const am_pairing *geometry, am_view z, const int *perm, const float *lam, back b, am_block_sums to)
{
    am_pairing p = *geometry;
    const int pixels = p.h * p.w, rows = z.n * pixels, width = p.c + p.lambda_concat, pieces = pieces_of(&p, z.n);
    const size_t size = (size_t)(p.depth + 1) * (size_t)(width + 1);
    product(st, 1, p.depth + 1, width + 1, 2 * rows, pieces,
            [=] __device__(int, int d, int term) {
                const int key = term >= rows;
                const size_t row = (size_t)(key ? term - rows : term);
                if (d == p.depth) return key ? b.dv[row] : 0.0f;
                return (key ? b.dk : b.dq)[row * (size_t)p.depth + (size_t)d];
            },
            [=] __device__(int, int ch, int term) {
                const int key = term >= rows, row = key ? term - rows : term, sample = row / pixels;
                if (ch == width) return 1.0f;
                if (ch == p.c) return key ? 1 - lam[sample] : lam[sample];
                int from = key ? perm[sample] : sample;
                if (from < 0 || from >= z.n) from = 0;
                return load((const T *)z.p, (size_t)from * z.step + (size_t)(row % pixels) * (size_t)p.c + (size_t)ch);
            },
            [=] __device__(int, int piece, int d, int ch, float sum) {
                b.sums[(size_t)piece * size + (size_t)d * (size_t)(width + 1) + (size_t)ch] = sum;
            });
    each(st, 1, size, [=] __device__(int, size_t i) {
        const int d = (int)(i / (size_t)(width + 1)), ch = (int)(i % (size_t)(width + 1));
        const am_sum g = d < p.depth ? ch < width ? to.query : to.query_bias : ch < width ? to.value : to.value_bias;
        const size_t at = d < p.depth ? ch < width ? (size_t)d * (size_t)width + (size_t)ch : (size_t)d : ch < width ? (size_t)ch : 0;
        if (!g.p) return;
        float sum = 0;
        for (int piece = 0; piece < pieces; piece++) sum += b.sums[(size_t)piece * size + i];
        give(g.p, at, g.beta, sum);
    });
}

/* dq, dk and dv, from the mask's gradient. */
static void embeddings(am_stream st, const am_pairing *geometry, int n, paired s, back b, const float *mask, const float *dmask)
{
    am_pairing p = *geometry;
    const int pixels = p.h * p.w, mw = p.w * p.scale, mh = p.h * p.scale;
    const float scale = 1 / sqrtf((float)p.depth);

    /* A logit's pixels lie within one logit of it, both ways. */
    each(st, n, (size_t)pixels, [=] __device__(int i, size_t at) {
        const int v = (int)(at / (size_t)p.w), u = (int)(at % (size_t)p.w), around = p.bilinear ? 1 : 0;
        const int y0 = v > around ? (v - around) * p.scale : 0, y1 = (v + 1 + around) * p.scale < mh ? (v + 1 + around) * p.scale : mh;
        const int x0 = u > around ? (u - around) * p.scale : 0, x1 = (u + 1 + around) * p.scale < mw ? (u + 1 + around) * p.scale : mw;
        float sum = 0;
        for (int y = y0; y < y1; y++)
            for (int x = x0; x < x1; x++) {
                const float share = am_arith_share(am_arith_reach(y, p.scale, p.h, p.bilinear), v) *
                                    am_arith_share(am_arith_reach(x, p.scale, p.w, p.bilinear), u);
                const size_t k = ((size_t)i * (size_t)mh + (size_t)y) * (size_t)mw + (size_t)x;
                sum += share * dmask[k] * mask[k] * (1 - mask[k]);
            }
        const float l = s.squeezed[(size_t)i * (size_t)pixels + at] / (p.bound > 0 ? p.bound : 1);
        b.dl[(size_t)i * (size_t)pixels + at] = p.bound > 0 ? sum * (1 - l * l) : sum;
    });
    each(st, n * pixels, (size_t)pixels, [=] __device__(int row, size_t x) {
        const size_t at = (size_t)row * (size_t)pixels + x, key = (size_t)(row / pixels) * (size_t)pixels + x;
        b.ds[at] = scale * s.a[at] * b.dl[row] * (s.v[key] - s.logit[row]);
    });
    each(st, n, (size_t)pixels, [=] __device__(int i, size_t x) {
        float sum = 0;
        for (int y = 0; y < pixels; y++)
            sum += s.a[((size_t)i * (size_t)pixels + (size_t)y) * (size_t)pixels + x] * b.dl[(size_t)i * (size_t)pixels + (size_t)y];
        b.dv[(size_t)i * (size_t)pixels + x] = sum;
    });
    product(st, n, pixels, p.depth, pixels, 1,
            [=] __device__(int i, int y, int x) { return b.ds[(size_t)(i * pixels + y) * (size_t)pixels + (size_t)x]; },
            [=] __device__(int i, int d, int x) { return s.k[(size_t)(i * pixels + x) * (size_t)p.depth + (size_t)d]; },
            [=] __device__(int i, int, int y, int d, float sum) { b.dq[(size_t)(i * pixels + y) * (size_t)p.depth + (size_t)d] = sum; });
    product(st, n, pixels, p.depth, pixels, 1,
            [=] __device__(int i, int x, int y) { return b.ds[(size_t)(i * pixels + y) * (size_t)pixels + (size_t)x]; },
            [=] __device__(int i, int d, int y) { return s.q[(size_t)(i * pixels + y) * (size_t)p.depth + (size_t)d]; },
            [=] __device__(int i, int, int x, int d, float sum) { b.dk[(size_t)(i * pixels + x) * (size_t)p.depth + (size_t)d] = sum; });
    if (p.normalise) AM_LAUNCH(standardise_kernel, dim3((unsigned)(n * p.depth), 2), dim3(N), st, p, s, b);
}

void am_gpu_pairing_back(am_stream st, const am_pairing *p, am_view z, const int *perm, const float *lam, const float *saved,
                         const float *mask, const float *dmask, float *scratch, am_block_sums to)
{
    paired s;
    back b;
    paired_place(p, z.n, (float *)saved, &s);
    back_place(p, z.n, scratch, &b);
    embeddings(st, p, z.n, s, b, mask, dmask);
    BY_TYPE(z.half, weights, st, p, z, perm, lam, b, to);
}

void am_gpu_attend_back(am_stream st, const am_pairing *p, int n, const float *saved, const float *mask, const float *dmask,
                        float *scratch, float *dquery, float *dkey, float *dvalue)
{
    paired s;
    back b;
    paired_place(p, n, (float *)saved, &s);
    back_place(p, n, scratch, &b);
    b.dq = dquery, b.dk = dkey, b.dv = dvalue;
    embeddings(st, p, n, s, b, mask, dmask);
}
