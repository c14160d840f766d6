#!/bin/sh
# list_aircraft.sh FOLDER: sorts the images of FGVC-Aircraft by variant: FOLDER/trainval/VARIANT/ and
# FOLDER/test/VARIANT/ hold links to FOLDER/data/images/, by data/images_variant_{trainval,test}.txt.  A
# blank or a slash in a variant's name becomes an underscore.
set -eu
die() { echo "list_aircraft.sh: $*" >&2; exit 1; }

[ $# -eq 1 ] || die "name the folder that holds data/images"
cd "$1/data" || die "$1 has no data/; unpack the set again"
for half in trainval test; do
    list=images_variant_$half.txt
    [ -f "$list" ] || die "$1/data lacks $list; unpack the set again"
    rm -rf "../$half.part" "../$half"
    mkdir "../$half.part"
    line=0
    while read -r image variant; do
        line=$((line + 1))
        [ -n "$variant" ] || die "$list:$line: '$image' has no variant"
        [ -f "images/$image.jpg" ] || die "$list:$line: images/$image.jpg is not there"
        to=../$half.part/$(echo "$variant" | tr ' /' '__')
        [ -d "$to" ] || mkdir "$to"
        ln -s "../../data/images/$image.jpg" "$to/$image.jpg"
    done <"$list"
    [ $line -gt 0 ] || die "$list is empty"
    mv "../$half.part" "../$half"
done
