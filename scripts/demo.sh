#!/usr/bin/env bash
# The main job on a machine that has nothing yet: install, build, draw a set of images, train a small
# net with AutoMix and its plain twin, print their accuracies and how well the learned masks find the
# objects.  Leaves a sheet of mixes and a chart.  About two minutes on two cores; nothing to download
# but packages.
set -euo pipefail
cd "$(dirname "$0")/.."
sh scripts/setup.sh
began=$SECONDS

make -j"$(nproc)" automix
[ -f data/shapes/shapes.data ] || ./automix data shapes data/shapes
for net in shapes_none shapes_automix; do
    echo "training cfg/$net.cfg"
    ./automix classifier train data/shapes/shapes.data "cfg/$net.cfg" >"build/$net.log"
    grep '^epoch' "build/$net.log" | tail -1
done

out=data/shapes/backup
top1() { grep '^epoch' "build/$1.log" | tail -1 | sed -n "s|.* $2/one loss [0-9.]*, top-1 \([0-9.]*\) %.*|\1|p"; }
overlap=$(./automix classifier masks data/shapes/shapes.data cfg/shapes_automix.cfg $out/shapes_automix_final.weights)
field() { echo "$overlap" | sed -n "s/.*\"$1\":\([0-9.]*\).*/\1/p"; }
cat <<EOF

                           top-1 on 1000 images
    plain twin             $(top1 shapes_none student) %
    AutoMix, student       $(top1 shapes_automix student) %
    AutoMix, teacher       $(top1 shapes_automix teacher) %

    overlap of the learned masks with the true silhouettes   $(field overlap)   (a constant mask: $(field chance))

    a sheet of mixes       $out/shapes_automix.sheet.png
    the course of the run  $out/shapes_automix.chart.png
    $((SECONDS - began)) seconds
EOF
