#!/usr/bin/env bash
# Unpacks ImageNet-1k (ILSVRC 2012) into data/imagenet/, for cfg/imagenet.data.  Its publisher gives it
# to registered users only (image-net.org), so fetch these and name the folder they lie in:
#
#     ILSVRC2012_img_train.tar            138 GB
#     ILSVRC2012_img_val.tar              6.3 GB
#     ILSVRC2012_bbox_val_v3.tgz          the classes of the validation images; or LOC_val_solution.csv
#
#     scripts/get_imagenet.sh FOLDER      needs 150 GB besides; what was cut goes on where it stopped
set -euo pipefail

die() {
    echo "${0##*/}: $*" >&2
    exit 1
}

[[ $# -eq 1 && -d $1 ]] || die "name the folder with the archives; see the head of this file"
from=$(cd "$1" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/.."
to=data/imagenet
mkdir -p "$to"

check() {
    [[ -f $from/$1 ]] || die "$from/$1 is not there; it comes from image-net.org"
    echo "checking $1"
    echo "$2  $from/$1" | md5sum -c --status - || die "$from/$1 is damaged (its MD5 is not $2); fetch it again"
}

# unpack ARCHIVE FOLDER: all of it or nothing
unpack() {
    rm -rf "$2.part"
    mkdir "$2.part"
    tar -xf "$1" -C "$2.part" --no-same-owner
    mv "$2.part" "$2"
}

if [[ ! -d $to/val ]]; then
    check ILSVRC2012_img_val.tar 29b22e2961454d5413ddabcf34fc5622
    unpack "$from/ILSVRC2012_img_val.tar" "$to/val"
fi
labels=$from/LOC_val_solution.csv
if [[ ! -f $labels ]]; then
    labels=$to/boxes
    if [[ ! -d $labels ]]; then
        [[ -f $from/ILSVRC2012_bbox_val_v3.tgz ]] || die "$from has neither ILSVRC2012_bbox_val_v3.tgz nor LOC_val_solution.csv"
        unpack "$from/ILSVRC2012_bbox_val_v3.tgz" "$labels"
    fi
fi
scripts/list_imagenet.sh "$to/val" "$labels"

# The training archive holds an archive for each class, taken apart one by one.
if [[ ! -d $to/train ]]; then
    if [[ ! -d $to/classes ]]; then
        check ILSVRC2012_img_train.tar 1d675b47d978889d74fa0da5fadfb00e
        unpack "$from/ILSVRC2012_img_train.tar" "$to/classes"
    fi
    mkdir -p "$to/train.part"
    for class in "$to"/classes/*.tar; do
        [[ -f $class ]] || break
        name=$(basename "$class" .tar)
        mkdir -p "$to/train.part/$name"
        tar -xf "$class" -C "$to/train.part/$name" --no-same-owner
        rm "$class"
    done
    rmdir "$to/classes"
    mv "$to/train.part" "$to/train"
fi
classes=$(find "$to/train" -mindepth 1 -maxdepth 1 -type d | wc -l)
[[ $classes -eq 1000 ]] || die "$to/train has $classes classes, not 1000"
echo "$to is ready"
