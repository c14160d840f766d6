#!/bin/sh
# list_tiny_imagenet.sh FOLDER: writes FOLDER/names.txt, what each class of Tiny-ImageNet is called, in the
# order of the folders of train/.  Everything else is read as it was published: val/val_annotations.txt says
# the classes of the validation images.
set -eu
LC_ALL=C
export LC_ALL
die() { echo "list_tiny_imagenet.sh: $*" >&2; exit 1; }

[ $# -eq 1 ] || die "name the folder that holds train/ and words.txt"
[ -d "$1/train" ] && [ -f "$1/words.txt" ] || die "$1 lacks train/ or words.txt; unpack the set again"
for class in "$1"/train/*/; do basename "$class"; done | sort |
    awk -F '\t' '
        FILENAME != "-" { words[$1] = $2; next }
        { print ($1 in words) ? words[$1] : $1 }' "$1/words.txt" - >"$1/names.part"
mv "$1/names.part" "$1/names.txt"
