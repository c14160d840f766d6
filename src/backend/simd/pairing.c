/* pairing.c: the MixBlock on features of this layout: they are put in the plain order once, behind
 * the values that the plain operation saves, and both directions work from there. */
#include "simd.h"
#include "vec.h"

static am_shape pairing_features(const am_pairing *p, int n) { return (am_shape){n, p->c, p->h, p->w}; }

static size_t pairing_saved(am_backend *be, const am_pairing *p, int n)
{
    return am_cpu_pairing_saved(be, p, n) + (size_t)n * am_cpu_sample(pairing_features(p, n));
}

typedef struct pairing_job { am_shape s; const elem *z; float *to; } pairing_job;

static void pairing_item(const void *arg, int sample, int worker)
{
    const pairing_job *k = arg;
    const int pixel = am_simd_channels(k->s.c), pixels = k->s.h * k->s.w;
    const elem *z = k->z + (size_t)sample * sample_elems(k->s);
    float *to = k->to + (size_t)sample * am_cpu_sample(k->s);
    (void)worker;
    for (int c = 0; c < k->s.c; c++)
        for (int i = 0; i < pixels; i++) *to++ = get(z[i * pixel + c]);
}

static void pairing(am_backend *be, const am_pairing *p, int n, am_dev z, am_dev perm, am_dev lam,
                    const am_pairing_weights *w, am_dev saved, am_dev mask, am_dev health)
{
    if (am_cpu_stopped(be)) return;
    am_dev plain = am_at(saved, am_cpu_pairing_saved(be, p, n));
    pairing_job k = {pairing_features(p, n), elems(z), plain.p};
    if (am_simd_one_pixel(k.s)) copy(be, am_count(k.s), z, plain);
    else am_team_run(am_simd_team(be), n, pairing_item, &k);
    am_cpu_pairing(be, p, n, plain, perm, lam, w, saved, mask, health);
}

static void pairing_back(am_backend *be, const am_pairing *p, int n, am_dev z, am_dev perm, am_dev lam,
                         const am_pairing_weights *w, am_dev saved, am_dev mask, am_dev dmask, am_dev scratch,
                         const am_pairing_grads *to)
{
    (void)z;
    am_cpu_pairing_back(be, p, n, am_at(saved, am_cpu_pairing_saved(be, p, n)), perm, lam, w, saved, mask, dmask,
                        scratch, to);
}
