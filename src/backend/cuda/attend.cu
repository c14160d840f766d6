/* attend.cu: the MixBlock in parts: features of pairs as rows, and the attention from query, key and value
 * on; formulas as in cpu/attend.c. */
#include "pairing.cuh"

static __device__ float encoded(am_encoding e, float lambda, int partner)
{
    float t = lambda;
    if (e.bend >= 0) t = ((4.0f / 3 * lambda - 2) * lambda + e.bend + 1) * lambda / (e.bend + 1.0f / 3);
    if (partner) t = 1 - t;
    return e.multiply <= 0 ? 1 : e.residual ? 1 + e.multiply * t : t;
}

template <class T>
static void rows_of(am_stream st, const am_encoding *code, int partner, am_view x, const int *perm, const float *lam, int width,
                    int first, float *rows, am_trouble trouble)
{
    const am_encoding e = *code;
    const int pixels = x.h * x.w, columns = x.c + e.concat;
    each(st, x.n, (size_t)pixels * (size_t)columns, [=] __device__(int i, size_t at) {
        const int from = partner ? perm[i] : i, c = (int)(at % (size_t)columns);
        const size_t k = at / (size_t)columns;
        if (from < 0 || from >= x.n) {
            *trouble.word = trouble.op;
            return;
        }
        const float l = lam[i];
        rows[((size_t)i * (size_t)pixels + k) * (size_t)width + (size_t)(first + c)] =
            c == x.c ? (partner ? 1 - l : l) : encoded(e, l, partner) * load((const T *)x.p, (size_t)from * x.step + k * (size_t)x.c + (size_t)c);
    });
}

void am_gpu_pair_rows(am_stream st, const am_encoding *e, int partner, am_view x, const int *perm, const float *lam, int width,
                      int first, float *rows, am_trouble trouble)
{
    BY_TYPE(x.half, rows_of, st, e, partner, x, perm, lam, width, first, rows, trouble);
}

void am_gpu_attend(am_stream st, const am_pairing *p, int n, const float *query, const float *key, const float *value, float *saved,
                   float *mask, float *entropy)
{
    const size_t pixels = (size_t)(p->h * p->w), deep = pixels * (size_t)p->depth;
    paired s;
    paired_place(p, n, saved, &s);
    each(st, n, deep, [=] __device__(int i, size_t at) {
        s.q[(size_t)i * deep + at] = query[(size_t)i * deep + at];
        s.k[(size_t)i * deep + at] = key[(size_t)i * deep + at];
        if (at < pixels) s.v[(size_t)i * pixels + at] = value[(size_t)i * pixels + at];
    });
    am_gpu_pairing_attend(st, p, n, saved, mask, entropy);
}
