/* dataset_cifar10.c: CIFAR-10, binary version (Krizhevsky 2009): a record is one byte of label and
 * the pixels.  train= and valid= name a file, or the folder of data_batch_1.bin to data_batch_5.bin
 * and test_batch.bin. */
#include "dataset_cifar.h"
#include <stdio.h>

static const am_cifar kind = {1, 10, "CIFAR-10", "scripts/get_cifar10.sh", "batches.meta.txt"};

static int looks_like(const char *path)
{
    if (am_cifar_is_folder(path))
        return am_cifar_has(path, "data_batch_1.bin") || am_cifar_has(path, "test_batch.bin");
    return am_cifar_looks_like(&kind, path);
}

static am_status open_set(am_dataset *d, const am_data *data, const char *path, int train,
                          am_err *e)
{
    char name[AM_CIFAR_FILES][4096];
    const char *file[AM_CIFAR_FILES + 1] = {path};
    if (am_cifar_is_folder(path))
        for (int i = 0; i < (train ? AM_CIFAR_FILES : 1); i++) {
            if (train) snprintf(name[i], sizeof name[i], "%s/data_batch_%d.bin", path, i + 1);
            else snprintf(name[i], sizeof name[i], "%s/test_batch.bin", path);
            file[i] = name[i];
        }
    return am_cifar_open(d, &kind, data, file, e);
}

const am_format am_format_cifar10 = {
    .name = "cifar10",
    .help = "CIFAR-10's binary files: one .bin file, or the folder of all six",
    .looks_like = looks_like,
    .open = open_set};
