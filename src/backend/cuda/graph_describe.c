/* graph_describe.c: a convolution, told to cuDNN: descriptors are made, given attributes, and finalized. */
#include "graph_inside.h"

/* ---- one descriptor ---- */

int am_desc_make(entry *x, cudnnBackendDescriptorType_t type, desc *d)
{
    if (x->parts == MOST_PARTS || cudnnBackendCreateDescriptor(type, d)) return 0;
    x->part[x->parts++] = *d;
    return 1;
}
int am_desc_set(desc d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count, const void *value)
{
    return cudnnBackendSetAttribute(d, name, type, count, value) == CUDNN_STATUS_SUCCESS;
}
static int set_longs(desc d, cudnnBackendAttributeName_t name, int64_t count, const int64_t *v)
{
    return am_desc_set(d, name, CUDNN_TYPE_INT64, count, v);
}
int am_desc_set_desc(desc d, cudnnBackendAttributeName_t name, desc v) { return am_desc_set(d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &v); }
int am_desc_done(desc d) { return cudnnBackendFinalize(d) == CUDNN_STATUS_SUCCESS; }

static int tensor(entry *x, int64_t uid, cudnnDataType_t type, const int64_t dim[4], desc *d)
{
    const int64_t stride[4] = {dim[1] * dim[2] * dim[3], 1, dim[3] * dim[1], dim[1]}, alignment = 16;
    return am_desc_make(x, CUDNN_BACKEND_TENSOR_DESCRIPTOR, d) && am_desc_set(*d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type) &&
           set_longs(*d, CUDNN_ATTR_TENSOR_DIMENSIONS, 4, dim) && set_longs(*d, CUDNN_ATTR_TENSOR_STRIDES, 4, stride) &&
           set_longs(*d, CUDNN_ATTR_TENSOR_UNIQUE_ID, 1, &uid) &&
           set_longs(*d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 1, &alignment) && am_desc_done(*d);
}

static int window(entry *x, const am_conv *c, desc *d)
{
    const int64_t two = 2, pad[2] = {c->pad, c->pad}, stride[2] = {c->stride, c->stride}, dilation[2] = {1, 1};
    const cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    return am_desc_make(x, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, d) &&
           am_desc_set(*d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums) &&
           am_desc_set(*d, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode) &&
           set_longs(*d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 1, &two) &&
           set_longs(*d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, 2, pad) &&
           set_longs(*d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, 2, pad) &&
           set_longs(*d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, 2, stride) &&
           set_longs(*d, CUDNN_ATTR_CONVOLUTION_DILATIONS, 2, dilation) && am_desc_done(*d);
}

/* ---- the operation: attributes of its kinds; out = conv(a, b) + beta out ---- */

typedef struct names {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t window, a, b, out, alpha, beta;
} names;

#define NAMES_OF_DX                                                                                \
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,            \
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,    \
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, \
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA}

static const names of_kind[AM_GRAPH_KINDS] = {
    [AM_GRAPH_Y] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    [AM_GRAPH_DX] = NAMES_OF_DX,
    [AM_GRAPH_DX_ADD] = NAMES_OF_DX,
    [AM_GRAPH_DW] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
};

static int operation(am_graphs *g, entry *x, desc *d)
{
    const am_conv *c = &x->key.conv;
    const cudnnDataType_t type = g->precision == AM_BF16   ? CUDNN_DATA_BFLOAT16
                                 : g->precision == AM_FP16 ? CUDNN_DATA_HALF
                                                           : CUDNN_DATA_FLOAT;
    const int n = x->key.n;
    const int64_t in[4] = {n, c->c, c->h, c->w}, out[4] = {n, c->filters, c->oh, c->ow};
    const int64_t weights[4] = {c->filters, c->c / c->groups, c->size, c->size};
    const int64_t *dim[AM_GRAPH_KINDS][3] = {{in, weights, out}, {out, weights, in}, {in, out, weights}, {out, weights, in}};
    const names *k = &of_kind[x->key.kind];
    const float one = 1, beta = x->key.kind == AM_GRAPH_DX_ADD ? 1 : 0;
    desc w, a, b, o;
    return window(x, c, &w) && tensor(x, UID_A, type, dim[x->key.kind][0], &a) &&
           tensor(x, UID_B, type, dim[x->key.kind][1], &b) && tensor(x, UID_OUT, type, dim[x->key.kind][2], &o) &&
           am_desc_make(x, k->type, d) && am_desc_set_desc(*d, k->window, w) && am_desc_set_desc(*d, k->a, a) && am_desc_set_desc(*d, k->b, b) &&
           am_desc_set_desc(*d, k->out, o) && am_desc_set(*d, k->alpha, CUDNN_TYPE_FLOAT, 1, &one) &&
           am_desc_set(*d, k->beta, CUDNN_TYPE_FLOAT, 1, &beta) && am_desc_done(*d);
}

int am_graph_describe(am_graphs *g, entry *x)
{
    desc op, *d = &x->operations;
    return operation(g, x, &op) && am_desc_make(x, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, d) &&
           am_desc_set_desc(*d, CUDNN_ATTR_OPERATIONGRAPH_OPS, op) &&
           (!g->handle || am_desc_set(*d, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &g->handle)) && am_desc_done(*d);
}

void am_graph_drop(entry *x)
{
    if (x->plan) cudnnBackendDestroyDescriptor(x->plan);
    while (x->parts) cudnnBackendDestroyDescriptor(x->part[--x->parts]);
    x->plan = NULL;
}
