#include "rng.h"
#include <math.h>

/* SplitMix64's finaliser: spreads small integers such as epoch numbers over all 64 bits. */
static uint64_t scramble(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

am_rng am_rng_at(uint64_t seed, uint64_t a, uint64_t b)
{
    uint64_t key = scramble(seed ^ scramble(a ^ scramble(b)));
    am_rng r = {0, (scramble(key) << 1) | 1}; /* an odd increment selects the stream */
    am_rng_u32(&r);
    r.state += key;
    am_rng_u32(&r);
    return r;
}

uint32_t am_rng_u32(am_rng *r)
{
    uint64_t old = r->state;
    r->state = old * 6364136223846793005u + r->stream;
    uint32_t x = (uint32_t)(((old >> 18) ^ old) >> 27), turn = (uint32_t)(old >> 59);
    return (x >> turn) | (x << ((32 - turn) & 31));
}

uint32_t am_rng_below(am_rng *r, uint32_t n)
{
    uint32_t reject = (0u - n) % n, x; /* 2^32 mod n values would be favoured */
    do x = am_rng_u32(r);
    while (x < reject);
    return x % n;
}

double am_rng_real(am_rng *r)
{
    uint64_t hi = am_rng_u32(r), lo = am_rng_u32(r);
    return (double)((hi << 21) | (lo >> 11)) * 0x1p-53;
}

double am_rng_between(am_rng *r, double lo, double hi)
{
    return lo + (hi - lo) * am_rng_real(r);
}

double am_rng_normal(am_rng *r)
{
    double u = 1 - am_rng_real(r), v = am_rng_real(r); /* u in (0, 1] */
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

double am_rng_gamma(am_rng *r, double shape)
{
    if (shape < 1) return am_rng_gamma(r, shape + 1) * pow(1 - am_rng_real(r), 1 / shape);
    double d = shape - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double x = am_rng_normal(r), v = 1 + c * x;
        if (v <= 0) continue;
        v = v * v * v;
        if (log(1 - am_rng_real(r)) < 0.5 * x * x + d * (1 - v + log(v))) return d * v;
    }
}

double am_rng_beta(am_rng *r, double a, double b)
{
    double x = am_rng_gamma(r, a), y = am_rng_gamma(r, b);
    if (x + y > 0) return x / (x + y);
    return am_rng_real(r) < a / (a + b); /* both underflowed: a, b near 0, two points */
}

void am_rng_permute(am_rng *r, int n, int *p)
{
    for (int i = 0; i < n; i++) {
        int j = (int)am_rng_below(r, (uint32_t)i + 1);
        p[i] = p[j];
        p[j] = i;
    }
}
