/* arith.h: the arithmetic of one number, for a kernel and for a processor alike.
 *
 * Everything here is a formula without memory or threads, so that the tests of a machine without a
 * GPU run the very lines that the kernels run.  It compiles as C, as C++ and as device code. */
#ifndef AM_CUDA_ARITH_H
#define AM_CUDA_ARITH_H
#include <math.h>
#include <stdint.h>
#include <string.h>
#include "../../backend.h"

#ifdef __CUDACC__
#define AM_BOTH static __host__ __device__ inline
#else
#define AM_BOTH static inline
#endif

/* ---- bf16: the upper half of a float, rounded to nearest, ties to even; NaN stays NaN ---- */

typedef struct am_bf16 { uint16_t bits; } am_bf16;

AM_BOTH am_bf16 am_to_bf16(float x)
{
    am_bf16 y;
#ifdef __CUDA_ARCH__
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
#else
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    if ((u & 0x7fffffffu) > 0x7f800000u) y.bits = (uint16_t)(u >> 16 | 0x40);
    else y.bits = (uint16_t)((u + 0x7fffu + (u >> 16 & 1)) >> 16);
#endif
    return y;
}

AM_BOTH float am_of_bf16(am_bf16 x)
{
    uint32_t u = (uint32_t)x.bits << 16;
    float y;
    memcpy(&y, &u, sizeof y);
    return y;
}

/* ---- fp16: rounded to nearest, ties to even; beyond 65504 infinite; small numbers lose digits below 6e-5 ---- */

typedef struct am_f16 { uint16_t bits; } am_f16;

AM_BOTH am_f16 am_to_f16(float x)
{
    am_f16 y;
#ifdef __CUDA_ARCH__
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
#else
    uint32_t u, sign;
    memcpy(&u, &x, sizeof u);
    sign = u >> 16 & 0x8000;
    u &= 0x7fffffffu;
    if (u > 0x7f800000u) y.bits = 0x7fff;
    else if (u >= 0x477ff000u) y.bits = (uint16_t)(sign | 0x7c00);
    else if (u >= 0x38800000u) y.bits = (uint16_t)(sign | (u - 0x38000000u + 0xfff + (u >> 13 & 1)) >> 13);
    else {                      /* one half has the last digit of the smallest numbers: the sum rounds there */
        float small;
        memcpy(&small, &u, sizeof small);
        small += 0.5f;
        memcpy(&u, &small, sizeof u);
        y.bits = (uint16_t)(sign | (u - 0x3f000000u));
    }
#endif
    return y;
}

AM_BOTH float am_of_f16(am_f16 x)
{
    float y;
#ifdef __CUDA_ARCH__
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
#else
    const uint32_t sign = (uint32_t)(x.bits & 0x8000) << 16, rest = x.bits & 0x7fffu;
    uint32_t u = rest << 13;
    if (rest >= 0x7c00) u |= 0x7f800000u;
    else if (rest >= 0x400) u += 0x38000000u;
    else {
        y = (float)rest * (1.0f / 16777216.0f);
        memcpy(&u, &y, sizeof u);
    }
    u |= sign;
    memcpy(&y, &u, sizeof y);
#endif
    return y;
}

/* ---- the scale of the losses: {scale, held, updates since it last fell}; the first update is not scaled ---- */

enum { AM_SCALE, AM_SCALE_HELD, AM_SCALE_AGE, AM_SCALES };
#define AM_SCALE_FIRST 16384.0f
#define AM_SCALE_MOST 65536.0f
#define AM_SCALE_PATIENCE 2000.0f

AM_BOTH void am_arith_rescale(float *s)
{
    if (s[AM_SCALE_AGE] < 0) s[AM_SCALE] = AM_SCALE_FIRST, s[AM_SCALE_AGE] = 0;
    else if (s[AM_SCALE_HELD] != 0) s[AM_SCALE] = s[AM_SCALE] > 1 ? s[AM_SCALE] / 2 : 1, s[AM_SCALE_AGE] = 0;
    else if (++s[AM_SCALE_AGE] >= AM_SCALE_PATIENCE) {
        s[AM_SCALE] = s[AM_SCALE] < AM_SCALE_MOST ? 2 * s[AM_SCALE] : AM_SCALE_MOST;
        s[AM_SCALE_AGE] = 0;
    }
}

/* ---- Darknet's activations, and their slopes from the output ----
 * The comparisons let a NaN through: a fault must reach the guard.  At a corner the left slope counts. */

#define AM_SELU_SCALE 1.0507f
#define AM_SELU_ALPHA 1.6732f

AM_BOTH float am_arith_act(int act, float x)
{
    switch (act) {
    case AM_LOGISTIC: return 1 / (1 + expf(-x));
    case AM_LOGGY: return 2 / (1 + expf(-x)) - 1;
    case AM_RELU: return x < 0 ? 0 : x;
    case AM_ELU: return x < 0 ? expm1f(x) : x;
    case AM_SELU: return x < 0 ? AM_SELU_SCALE * AM_SELU_ALPHA * expm1f(x) : AM_SELU_SCALE * x;
    case AM_RELIE: return x < 0 ? 0.01f * x : x;
    case AM_RAMP: return x < 0 ? 0.1f * x : 1.1f * x;
    case AM_TANH: return tanhf(x);
    case AM_PLSE: return x < -4 ? 0.01f * (x + 4) : x > 4 ? 0.01f * (x - 4) + 1 : 0.125f * x + 0.5f;
    case AM_LEAKY: return x < 0 ? 0.1f * x : x;
    case AM_STAIR: {
        float whole = floorf(x);
        return fmodf(whole, 2) == 0 ? floorf(x / 2) : (x - whole) + floorf(x / 2);
    }
    case AM_HARDTAN: return x < -1 ? -1 : x > 1 ? 1 : x;
    case AM_LHTAN: return x < 0 ? 0.001f * x : x > 1 ? 0.001f * (x - 1) + 1 : x;
    default: return x;
    }
}

AM_BOTH float am_arith_slope(int act, float y)
{
    switch (act) {
    case AM_LOGISTIC: return y * (1 - y);
    case AM_LOGGY: return (1 - y * y) / 2;
    case AM_RELU: return y > 0 ? 1 : 0;
    case AM_ELU: return y < 0 ? y + 1 : 1;
    case AM_SELU: return y < 0 ? y + AM_SELU_SCALE * AM_SELU_ALPHA : AM_SELU_SCALE;
    case AM_RELIE: return y > 0 ? 1 : 0.01f;
    case AM_RAMP: return y > 0 ? 1.1f : 0.1f;
    case AM_TANH: return 1 - y * y;
    case AM_PLSE: return y < 0 || y > 1 ? 0.01f : 0.125f;
    case AM_LEAKY: return y > 0 ? 1 : 0.1f;
    case AM_STAIR: return floorf(y) == y ? 0 : 1;
    case AM_HARDTAN: return y > -1 && y < 1 ? 1 : 0;
    case AM_LHTAN: return y > 0 && y < 1 ? 1 : 0.001f;
    default: return 1;
    }
}

/* d = beta * d + g, without looking at d when beta is 0 (it may hold anything) */
AM_BOTH float am_arith_give(float beta, float before, float g) { return beta == 0 ? g : beta * before + g; }

/* ---- chance in [0, 1) for the index-th value of an activation, counted in NCHW (splitmix64) ---- */

AM_BOTH float am_arith_chance(int seed0, int seed1, int salt, uint64_t index)
{
    uint64_t z = ((uint64_t)(uint32_t)seed1 << 32 | (uint32_t)seed0) ^ (uint64_t)(uint32_t)salt << 17;
    z += (index + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (float)(z >> 40) * (1.0f / 16777216.0f);
}

/* ---- SGD with momentum; hyper: rate, momentum, decay, nesterov, follow ---- */

AM_BOTH void am_arith_sgd(const float *hyper, float g, float *w, float *v)
{
    const float pull = g + hyper[2] * *w;
    *v = hyper[1] * *v + pull;
    *w -= hyper[0] * (hyper[3] != 0 ? pull + hyper[1] * *v : *v);
}

AM_BOTH float am_arith_follow(float follow, float teacher, float w) { return follow * teacher + (1 - follow) * w; }

/* ---- images: a byte as the net takes it; and index i of an axis of n that goes on mirrored, without its border ---- */

AM_BOTH float am_arith_level(unsigned char byte, float mean, float std) { return ((float)byte / 255.0f - mean) / std; }

AM_BOTH int am_arith_mirrored(int i, int n)
{
    const int period = n > 1 ? 2 * (n - 1) : 1;
    i %= period;
    if (i < 0) i += period;
    return i < n ? i : period - i;
}

/* ---- the mask loss (methods: l1, l2, l1var, l2var, sparsity) over `count` pixels ----
 * From sum m, sum m^2 and sum |m (m - 1)|: the value and what the slope at one pixel is made of. */

typedef struct am_mask_term { double value, flat, spread, sparse, mean; } am_mask_term;

AM_BOTH am_mask_term am_arith_mask_term(int kind, double margin, double lambda, double count, double sum,
                                        double squares, double apart)
{
    am_mask_term t;
    t.value = t.flat = t.spread = t.sparse = 0;
    t.mean = sum / count;
    const double d = (1 - t.mean) - lambda;
    if (kind == AM_MASK_L1 || kind == AM_MASK_L1VAR) {
        if (fabs(d) > margin) t.value = fabs(d) - margin, t.flat = d > 0 ? -1 : 1;
    } else if (kind == AM_MASK_L2 || kind == AM_MASK_L2VAR) {
        if (d * d > margin * margin) t.value = d * d - margin * margin, t.flat = -2 * d;
    } else if (kind == AM_MASK_SPARSITY) {
        if (apart / count > margin) t.value = apart / count - margin, t.sparse = 1;
    }
    if (kind == AM_MASK_L1VAR || kind == AM_MASK_L2VAR) {
        t.value -= 2 * (squares / count - t.mean * t.mean);
        t.spread = -4;
    }
    return t;
}

AM_BOTH double am_arith_mask_slope(const am_mask_term *t, double m)
{
    const double away = m * (m - 1);
    return t->flat + t->spread * (m - t->mean) + t->sparse * (away > 0 ? 1 : away < 0 ? -1 : 0) * (2 * m - 1);
}

/* ---- upsampling by `scale`: a place reads (1 - far) * low + far * high; held at the border ---- */

typedef struct am_reach { int low, high; float far_; } am_reach;

AM_BOTH am_reach am_arith_reach(int at, int scale, int size, int bilinear)
{
    am_reach r;
    r.low = r.high = at / scale;
    r.far_ = 0;
    if (!bilinear) return r;
    float place = ((float)at + 0.5f) / (float)scale - 0.5f;
    if (place < 0) place = 0;
    r.low = (int)place;
    r.high = r.low + 1 < size ? r.low + 1 : r.low;
    r.far_ = place - (float)r.low;
    return r;
}

/* How much of source place k a reach takes. */
AM_BOTH float am_arith_share(am_reach r, int k)
{
    return (r.low == k ? 1 - r.far_ : 0) + (r.high == k ? r.far_ : 0);
}

#endif
