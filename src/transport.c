/* transport.c: optimal transport with entropy (Sinkhorn; Cuturi 2013), in logarithms.
 *
 *   cost[i][j] = |a_i - b_j|^2,  mu_i = nu_j = 1 / places
 *   u_i = eps (log mu - log sum_j exp((v_j - cost[i][j]) / eps)),  and v likewise, by turns
 *   plan[i][j] = places exp((u_i + v_j - cost[i][j]) / eps)
 * until u moves by less than 0.1 in all, or `rounds` are over. */
#include "transport.h"
#include <math.h>

/* eps log sum exp((add_j - cost_j) / eps) along a row or a column */
static double soft_least(int n, const float *cost, int step, const double *add, double eps)
{
    double most = -INFINITY, sum = 0;
    for (int j = 0; j < n; j++) most = fmax(most, add[j] - cost[j * step]);
    for (int j = 0; j < n; j++) sum += exp((add[j] - cost[j * step] - most) / eps);
    return most + eps * log(sum);
}

void am_transport_plan(int places, int channels, const float *a, const float *b, double eps,
                       int rounds, float *plan)
{
    double u[AM_TRANSPORT_PLACES] = {0}, v[AM_TRANSPORT_PLACES] = {0},
           share = -eps * log((double)places);
    for (int i = 0; i < places; i++)
        for (int j = 0; j < places; j++) {
            double sum = 0;
            for (int c = 0; c < channels; c++) {
                double d = (double)a[c * places + i] - b[c * places + j];
                sum += d * d;
            }
            plan[i * places + j] = (float)sum;
        }
    double moved = 1;
    for (int k = 0; k < rounds && moved >= 0.1; k++) {
        moved = 0;
        for (int i = 0; i < places; i++) {
            double now = share - soft_least(places, plan + i * places, 1, v, eps);
            moved += fabs(now - u[i]);
            u[i] = now;
        }
        for (int j = 0; j < places; j++)
            v[j] = share - soft_least(places, plan + j, places, u, eps);
    }
    for (int i = 0; i < places; i++)
        for (int j = 0; j < places; j++)
            plan[i * places + j] =
                (float)(places * exp((u[i] + v[j] - plan[i * places + j]) / eps));
}
