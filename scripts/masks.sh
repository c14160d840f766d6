#!/usr/bin/env bash
# What keeps a MixBlock alive on a short run: cfg/shapes_automix.cfg with one of its keys after the
# other taken back to the paper's value, some seeds each, and a Markdown table: accuracies, the health
# of the mask in the last epoch, and its overlap with the objects' true silhouettes.
#
#     scripts/masks.sh [SEEDS]       numbers, with blanks between them: "1 2" by default
#
# About five minutes of one core a run on ten runs; what is done already is not run again (build/masks).
set -euo pipefail
cd "$(dirname "$0")/.."
seeds=${1:-1 2}
out=build/masks
mkdir -p "$out"
[ -f data/shapes/shapes.data ] || ./automix data shapes data/shapes

variant() { # NAME SED-PROGRAM
    sed "$2" cfg/shapes_automix.cfg >"$out/$1.cfg"
    for seed in $seeds; do
        run="$out/$1.$seed"
        [ -f "$run.overlap" ] && continue
        sed '/^backup/d' data/shapes/shapes.data >"$run.data"
        echo "backup=$run" >>"$run.data"
        ./automix classifier train "$run.data" "$out/$1.cfg" -seed "$seed" >"$run.out" 2>"$run.err"
        ./automix classifier masks "$run.data" "$out/$1.cfg" "$run/$1_final.weights" >"$run.part"
        mv "$run.part" "$run.overlap"
        echo "$1, seed $seed: $(cat "$run.overlap")" >&2
    done
}

variant preset ''
variant no_normalise 's/^normalise=1/normalise=0/'
variant no_bound 's/^bound=4/bound=0/'
variant weak_mask_loss 's/^mask_weight=1/mask_weight=0.1/'
variant published 's/^normalise=1/normalise=0/; s/^bound=4/bound=0/; s/^mask_weight=1/mask_weight=0.1/'

field() { tail -n 1 "$1" | sed -n "s/.*\"$2\":\([-0-9.e]*\).*/\1/p"; }
echo "| MixBlock | seed | student | teacher | share - lambda | structure | saturated | entropy / log P | overlap |"
echo "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
for name in preset no_normalise no_bound weak_mask_loss published; do
    for seed in $seeds; do
        log=$out/$name.$seed/$name.log.jsonl
        student=$(tail -n 1 "$log" | sed 's/.*"student":{"one":{[^}]*"top1":\([0-9.]*\).*/\1/')
        teacher=$(tail -n 1 "$log" | sed 's/.*"teacher":{"one":{[^}]*"top1":\([0-9.]*\).*/\1/')
        echo "| $name | $seed | $student | $teacher | $(field "$log" mask_share_error) | $(field "$log" mask_structure) |" \
             "$(field "$log" mask_saturated) | $(field "$log" attention_entropy) | $(field "$out/$name.$seed.overlap" overlap) |"
    done
done
