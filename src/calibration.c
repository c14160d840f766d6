/* calibration.c: predictions in bins of their confidence, on the host. */
#include "calibration.h"
#include <math.h>

/* The bounds are compared as float32, which confidences are: 0.2f lies in the bin that 3/15 ends. */
static int bin_of(float confidence)
{
    int m = 0;
    while (m < AM_BINS - 1 && confidence > (float)(m + 1) / AM_BINS) m++;
    return m;
}

void am_reliability_add(am_reliability *r, int n, int k, const float *prob, const int *label)
{
    for (int i = 0; i < n; i++) {
        const float *p = prob + (long)i * k;
        float top = NAN;
        int predicted = -1;
        if (label[i] < 0) continue;
        for (int c = 0; c < k; c++)
            if (p[c] == p[c] && !(p[c] <= top)) {
                top = p[c];
                predicted = c;
            }
        am_bin *b = &r->bin[bin_of(top)];
        b->count++;
        b->right += predicted == label[i];
        b->confidence += (double)top;
    }
}

static am_bin all_of(const am_reliability *r)
{
    am_bin all = {0};
    for (int m = 0; m < AM_BINS; m++) {
        all.count += r->bin[m].count;
        all.right += r->bin[m].right;
        all.confidence += r->bin[m].confidence;
    }
    return all;
}

double am_reliability_error(const am_reliability *r)
{
    double off = 0;
    for (int m = 0; m < AM_BINS; m++) off += fabs((double)r->bin[m].right - r->bin[m].confidence);
    return off / (double)all_of(r).count;
}

double am_reliability_gap(const am_reliability *r)
{
    am_bin all = all_of(r);
    return (all.confidence - (double)all.right) / (double)all.count;
}
