/* simd.h: what the files of this folder share: the state, and where a number lies.
 *
 * Layout.  An activation is NHWC: the channels of a pixel lie side by side, padded to a multiple
 * of 16 so that every vector width divides them (images of up to 4 channels: to 4).  A sample
 * takes a multiple of 16 floats.  One pixel (h = w = 1) is rows [n][c] without padding.
 * Padding channels hold finite numbers that no result depends on: whoever writes a pixel writes
 * them too, and weights and scales are zero there. */
#ifndef AM_SIMD_H
#define AM_SIMD_H
#include <stddef.h>
#include <stdint.h>
#include "backend.h"
#include "../cpu/cpu.h"
#include "team.h"

typedef struct am_simd_state {
    am_cpu_state cpu;           /* first: the inherited operations find their own state here */
    am_team *team;
    am_backend small;           /* this backend with one thread, for inherited operations on little data */
    am_ops ops;                 /* the cpu table with the slots of the chosen instruction set */
} am_simd_state;

/* One per object that the makefile builds from kernels.c; each overwrites the slots it has. */
void am_simd_generic(am_ops *), am_simd_generic_bf16(am_ops *);
void am_simd_emulated_bf16(am_ops *);
void am_simd_avx2(am_ops *), am_simd_avx2_bf16(am_ops *);
void am_simd_avx512(am_ops *), am_simd_avx512_bf16(am_ops *);
void am_simd_avx512bf16(am_ops *), am_simd_avx512bf16_bf16(am_ops *);

static inline am_simd_state *am_simd_of(am_backend *be) { return be->state; }
static inline am_team *am_simd_team(am_backend *be) { return am_simd_of(be)->team; }

/* For an inherited operation: with so little work the plain backend's threads are not worth waking. */
static inline am_backend *am_simd_for(am_backend *be, size_t work) { return work < 1 << 24 ? &am_simd_of(be)->small : be; }

static inline int am_simd_up(int n, int to) { return (n + to - 1) / to * to; }
static inline int am_simd_min(int a, int b) { return a < b ? a : b; }
static inline int am_simd_max(int a, int b) { return a > b ? a : b; }

static inline int am_simd_one_pixel(am_shape s) { return s.h == 1 && s.w == 1; }

/* Channels of a pixel with their padding. */
static inline int am_simd_channels(int c) { return c <= 4 ? 4 : am_simd_up(c, 16); }
static inline int am_simd_stride(am_shape s) { return am_simd_one_pixel(s) ? s.c : am_simd_channels(s.c); }

#endif
