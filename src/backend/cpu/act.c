/* act.c: Darknet's activations and their slopes, the slopes from the output; and sums.
 *
 * ReLU and its kin test so that a NaN passes through: a fault must reach the guard, not vanish.
 * The slope of ELU and SELU is y + alpha because y = alpha (e^x - 1); logistic y (1 - y); tanh
 * 1 - y^2; loggy is 2 logistic - 1.  At a corner the left slope counts. */
#include "cpu.h"

#define SELU_SCALE 1.0507f
#define SELU_ALPHA 1.6732f

static inline float apply(am_act a, float x)
{
    switch (a) {
    case AM_LINEAR: return x;
    case AM_LOGISTIC: return 1 / (1 + expf(-x));
    case AM_LOGGY: return 2 / (1 + expf(-x)) - 1;
    case AM_RELU: return x < 0 ? 0 : x;
    case AM_ELU: return x < 0 ? expm1f(x) : x;
    case AM_SELU: return x < 0 ? SELU_SCALE * SELU_ALPHA * expm1f(x) : SELU_SCALE * x;
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
    }
    return x;
}

static inline float slope(am_act a, float y)
{
    switch (a) {
    case AM_LINEAR: return 1;
    case AM_LOGISTIC: return y * (1 - y);
    case AM_LOGGY: return (1 - y * y) / 2;
    case AM_RELU: return y > 0 ? 1 : 0;
    case AM_ELU: return y < 0 ? y + 1 : 1;
    case AM_SELU: return y < 0 ? y + SELU_SCALE * SELU_ALPHA : SELU_SCALE;
    case AM_RELIE: return y > 0 ? 1 : 0.01f;
    case AM_RAMP: return y > 0 ? 1.1f : 0.1f;
    case AM_TANH: return 1 - y * y;
    case AM_PLSE: return y < 0 || y > 1 ? 0.01f : 0.125f;
    case AM_LEAKY: return y > 0 ? 1 : 0.1f;
    case AM_STAIR: return floorf(y) == y ? 0 : 1;
    case AM_HARDTAN: return y > -1 && y < 1 ? 1 : 0;
    case AM_LHTAN: return y > 0 && y < 1 ? 1 : 0.001f;
    }
    return 1;
}

/* The common ones are spelled with a constant, so that the compiler makes one vector loop each. */
void am_cpu_act(am_act a, size_t n, float *y)
{
    switch (a) {
    case AM_LINEAR: return;
    case AM_RELU: for (size_t i = 0; i < n; i++) y[i] = apply(AM_RELU, y[i]); return;
    case AM_LEAKY: for (size_t i = 0; i < n; i++) y[i] = apply(AM_LEAKY, y[i]); return;
    default: for (size_t i = 0; i < n; i++) y[i] = apply(a, y[i]);
    }
}

void am_cpu_slope(am_act a, size_t n, const float *y, const float *dy, float *g)
{
    switch (a) {
    case AM_LINEAR: for (size_t i = 0; i < n; i++) g[i] = dy[i]; return;
    case AM_RELU: for (size_t i = 0; i < n; i++) g[i] = slope(AM_RELU, y[i]) * dy[i]; return;
    case AM_LEAKY: for (size_t i = 0; i < n; i++) g[i] = slope(AM_LEAKY, y[i]) * dy[i]; return;
    default: for (size_t i = 0; i < n; i++) g[i] = slope(a, y[i]) * dy[i];
    }
}

enum { LANES = 16, CHUNK = 1024 };

static double fold(const float *lane)
{
    double s = 0;
    for (int l = 0; l < LANES; l++) s += lane[l];
    return s;
}

#define SUM(term)                                                                                  \
    double total = 0;                                                                              \
    for (size_t at = 0; at < n; at += CHUNK) {                                                     \
        float lane[LANES] = {0};                                                                   \
        size_t i = at, end = n - at < CHUNK ? n : at + CHUNK;                                      \
        for (; i + LANES <= end; i += LANES)                                                       \
            for (size_t l = 0; l < LANES; l++) lane[l] += term(i + l);                             \
        for (size_t l = 0; i < end; i++, l++) lane[l] += term(i);                                  \
        total += fold(lane);                                                                       \
    }                                                                                              \
    return total

#define PLAIN(k) x[k]
#define PRODUCT(k) x[k] * y[k]
#define SQUARE(k) (x[k] - mean) * (x[k] - mean)

double am_cpu_sum(size_t n, const float *x) { SUM(PLAIN); }
double am_cpu_sum_product(size_t n, const float *x, const float *y) { SUM(PRODUCT); }
double am_cpu_sum_square(size_t n, const float *x, float mean) { SUM(SQUARE); }
