/* dataset_cifar100.c: CIFAR-100, binary version (Krizhevsky 2009): a record is one byte of 20
 * coarse classes, one of 100 fine ones, which is the label here, and the pixels.  train= and valid=
 * name a file, or the folder of train.bin and test.bin. */
#include "dataset_cifar.h"
#include <stdio.h>

static const am_cifar kind = {2, 100, "CIFAR-100", "scripts/get_cifar100.sh",
                              "fine_label_names.txt"};

static int looks_like(const char *path)
{
    if (am_cifar_is_folder(path))
        return am_cifar_has(path, "train.bin") && am_cifar_has(path, "test.bin");
    return am_cifar_looks_like(&kind, path);
}

static am_status open_set(am_dataset *d, const am_data *data, const char *path, int train,
                          am_err *e)
{
    char file[4096];
    if (am_cifar_is_folder(path)) {
        snprintf(file, sizeof file, "%s/%s", path, train ? "train.bin" : "test.bin");
        path = file;
    }
    return am_cifar_open(d, &kind, data, (const char *[]){path, NULL}, e);
}

const am_format am_format_cifar100 = {
    .name = "cifar100",
    .help = "CIFAR-100's binary files: train.bin, test.bin or their folder",
    .looks_like = looks_like,
    .open = open_set};
