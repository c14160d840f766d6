#!/bin/sh
# list_imagenet.sh VAL LABELS: moves the validation images of ImageNet, which come in one heap, into a
# folder for each class: VAL/n01440764/ILSVRC2012_val_00000293.JPEG.  LABELS is one of
#
#     a folder with the published boxes       ILSVRC2012_val_00000293.xml, with <name>n01440764</name>
#     LOC_val_solution.csv                    ILSVRC2012_val_00000293,n01440764 ...
#     a text file                             ILSVRC2012_val_00000293.JPEG n01440764
#
# Images that are sorted already stay where they are, so what was cut goes on.
set -eu
die() { echo "list_imagenet.sh: $*" >&2; exit 1; }

[ $# -eq 2 ] && [ -d "$1" ] || die "name the folder with the validation images, and what says their classes"
[ -e "$2" ] || die "$2 does not exist"
list=$(mktemp)
trap 'rm -f "$list"' EXIT
if [ -d "$2" ]; then
    find "$2" -name '*.xml' -exec awk '
        FNR == 1 { seen = 0 }
        !seen && match($0, /<name>n[0-9]+<\/name>/) {
            seen = 1
            image = FILENAME
            sub(/.*\//, "", image)
            sub(/\.xml$/, "", image)
            print image, substr($0, RSTART + 6, RLENGTH - 13)
        }' {} +
else
    tr -d '\r' <"$2" | awk '{ sub(/,/, " "); sub(/\.JPEG/, "") } $2 ~ /^n[0-9]+$/ { print $1, $2 }'
fi >"$list"
[ -s "$list" ] || die "$2 says no classes; see the head of this file for what is read"

while read -r image class; do
    if [ -f "$1/$image.JPEG" ]; then
        [ -d "$1/$class" ] || mkdir "$1/$class"
        mv "$1/$image.JPEG" "$1/$class/$image.JPEG"
    elif [ ! -f "$1/$class/$image.JPEG" ]; then
        die "$1 lacks $image.JPEG; unpack the set again"
    fi
done <"$list"
for left in "$1"/*.JPEG; do
    if [ -f "$left" ]; then die "$2 does not say the class of $left"; fi
done
