/* registry.c: everything automix knows, by name.  A new thing is a new file and a new row.
 * What is compiled in is decided here and nowhere else. */
#include <string.h>
#include "data.h"
#include "mixer.h"
#include "net.h"

#define LAYERS(row)                                                                                \
    row(convolutional) row(connected) row(batchnorm) row(activation) row(shortcut) row(route)      \
    row(maxpool) row(avgpool) row(upsample) row(dropout) row(softmax) row(mixblock)
#define METHODS(row)                                                                               \
    row(none) row(mixup) row(cutmix) row(automix) row(manifoldmix) row(resizemix)     \
    row(fmix) row(gridmixup) row(saliencymix) row(smoothmix) row(puzzlemix)    \
    row(augmix) row(patchup) row(attentivemix) row(alignmix) row(gridmix) row(comixup)
#define FORMATS(row) row(cifar100) row(cifar10) row(shapes) row(npy) row(folder) row(list)

#ifdef AM_SIMD
#define SIMD(row) row(simd)
#else
#define SIMD(row)
#endif
#ifdef AM_CUDA
#define CUDA(row) row(cuda)
#else
#define CUDA(row)
#endif
#define BACKENDS(row) CUDA(row) SIMD(row) row(cpu)      /* `auto` takes the first that opens */

#define DECLARE_LAYER(name) extern const am_layer_type am_layer_##name;
#define DECLARE_METHOD(name) extern const am_method am_method_##name;
#define DECLARE_FORMAT(name) extern const am_format am_format_##name;
#define DECLARE_BACKEND(name) extern const am_backend_type am_backend_##name;
LAYERS(DECLARE_LAYER)
METHODS(DECLARE_METHOD)
FORMATS(DECLARE_FORMAT)
BACKENDS(DECLARE_BACKEND)

#define LAYER(name) &am_layer_##name,
#define METHOD(name) &am_method_##name,
#define FORMAT(name) &am_format_##name,
#define BACKEND(name) &am_backend_##name,
static const am_layer_type *const layers[] = {LAYERS(LAYER) NULL};
static const am_method *const methods[] = {METHODS(METHOD) NULL};
static const am_format *const formats[] = {FORMATS(FORMAT) NULL};
static const am_backend_type *const backends[] = {BACKENDS(BACKEND) NULL};

const am_layer_type *const *am_layer_types(void) { return layers; }
const am_method *const *am_methods(void) { return methods; }
const am_format *const *am_formats(void) { return formats; }
const am_backend_type *const *am_backends(void) { return backends; }

#define FIND(type, function, table)                                                                \
    const type *function(const char *name)                                                         \
    {                                                                                              \
        for (int i = 0; table[i]; i++)                                                             \
            if (!strcmp(table[i]->name, name)) return table[i];                                    \
        return NULL;                                                                               \
    }
FIND(am_layer_type, am_layer_find, layers)
FIND(am_method, am_method_find, methods)
FIND(am_format, am_format_find, formats)
FIND(am_backend_type, am_backend_find, backends)

const am_format *am_format_guess(const char *path)
{
    for (int i = 0; formats[i]; i++)
        if (formats[i]->looks_like && formats[i]->looks_like(path)) return formats[i];
    return NULL;
}
