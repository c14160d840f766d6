/* pairing_up.c: from the MixBlock's logits to mask size, and the adjoint. */
#include "pairing.h"

typedef struct reach { int low, high; float far; } reach;      /* (1 - far) * low + far * high */

static reach reach_of(int at, int scale, int size, int bilinear)
{
    if (!bilinear) return (reach){at / scale, at / scale, 0};
    float place = ((float)at + 0.5f) / (float)scale - 0.5f;
    if (place < 0) place = 0;
    const int low = (int)place;
    return (reach){low, low + 1 < size ? low + 1 : low, place - (float)low};
}

void am_mask_up(const am_pairing *p, const float *l, float *m)
{
    for (int y = 0; y < p->scale * p->h; y++)
        for (int x = 0; x < p->scale * p->w; x++) {
            const reach v = reach_of(y, p->scale, p->h, p->bilinear),
                        u = reach_of(x, p->scale, p->w, p->bilinear);
            const float top =
                (1 - u.far) * l[v.low * p->w + u.low] + u.far * l[v.low * p->w + u.high];
            const float bottom =
                (1 - u.far) * l[v.high * p->w + u.low] + u.far * l[v.high * p->w + u.high];
            *m++ = 1 / (1 + expf(-((1 - v.far) * top + v.far * bottom)));
        }
}

void am_mask_up_back(const am_pairing *p, const float *m, const float *dm, float *dl)
{
    for (int y = 0; y < p->scale * p->h; y++)
        for (int x = 0; x < p->scale * p->w; x++, m++, dm++) {
            const reach v = reach_of(y, p->scale, p->h, p->bilinear),
                        u = reach_of(x, p->scale, p->w, p->bilinear);
            const float g = *dm * *m * (1 - *m);
            dl[v.low * p->w + u.low] += (1 - v.far) * (1 - u.far) * g;
            dl[v.low * p->w + u.high] += (1 - v.far) * u.far * g;
            dl[v.high * p->w + u.low] += v.far * (1 - u.far) * g;
            dl[v.high * p->w + u.high] += v.far * u.far * g;
        }
}
