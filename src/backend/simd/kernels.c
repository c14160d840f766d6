/* kernels.c: all operations of one instruction set, as one object.
 *
 * The makefile compiles this file several times, with the flags of an instruction set and a name
 * for the one symbol that leaves it; what is static below is then free to differ from object to
 * object.  ELEMS_BF16 makes the twin that stores activations in 16 bits. */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include "simd.h"
#include "vec.h"
#include "layout.c"
#include "finish.c"
#include "gemm.c"
#include "transform.c"
#include "transform_stride2.c"
#include "transpose.c"
#include "conv_plan.c"
#include "winograd.c"
#include "winograd_weights.c"
#include "winograd_grad.c"
#include "gather.c"
#include "gather_weights.c"
#include "scatter.c"
#include "narrow.c"
#include "norm.c"
#include "conv.c"
#include "elementwise.c"
#include "pool.c"
#include "blend.c"
#include "optim.c"
#include "dense.c"
#include "pairing.c"
#include "pairing_back.c"
#include "pair_rows.c"
#include "cells.c"

void KERNELS_ENTRY(am_ops *o)
{
    o->room = room;
    o->put = put_nchw;
    o->get = get_nchw;
    o->put_bytes = put_bytes;
    o->fill = fill;
    o->copy = copy;
    o->sgd = sgd;
    o->add = add;
    o->act_back = act_back;
    o->dropout = dropout;
    o->dropout_back = dropout_back;
    o->finite = all_finite;
    o->conv_plan = conv_plan_make;
    o->conv_drop = conv_plan_drop;
    o->conv_prepared = conv_prepared;
    o->conv_prepare = conv_prepare;
    o->conv_scratch = conv_scratch;
    o->conv = conv;
    o->conv_back = conv_back;
    o->bias_back = bias_back;
    o->norm_saved = norm_saved;
    o->norm = norm;
    o->norm_back = norm_back;
    o->affine = affine;
    o->dense = dense;
    o->dense_back = dense_back;
    o->maxpool = maxpool;
    o->maxpool_back = maxpool_back;
    o->avgpool = avgpool;
    o->avgpool_back = avgpool_back;
    o->upsample = upsample;
    o->upsample_back = upsample_back;
    o->route = route;
    o->route_back = route_back;
    o->blend = blend;
    o->blend_back = blend_back;
    o->blend_back_x = blend_back_x;
    o->pairing_saved = pairing_saved;
    o->pairing_scratch = pairing_scratch;
    o->pairing = pairing;
    o->pairing_back = pairing_back;
    o->pair_rows = pair_rows;
    o->cells = cells;
    o->cells_back = cells_back;
}
