#!/bin/sh
# floor.sh: what this processor's arithmetic can do at most, and how fast the nets could be at that: a Markdown table.
#
#   bench/floor.sh [THREADS]        default: all cores; peak.c measures, flops.awk counts
#
# Floors are of 100 images through the convolutions alone, as if memory and Winograd's transforms were free.  bf16 is
# reckoned with the peak of fp32 where the processor has no products of bf16.
cd "$(dirname "$0")/.." || exit 1
threads=${1:-$(nproc)}
mkdir -p build/bench || exit 1
[ -x ./automix ] || { echo "floor.sh: there is no ./automix; build it with: make" >&2; exit 1; }
${CC:-cc} -O2 -fopenmp bench/peak.c -o build/bench/peak || exit 1
peak=$(build/bench/peak "$threads") || exit 1
number() { echo "$peak" | sed "s/.*\"$1\":\"*\([^,\"}]*\).*/\1/"; }
cat <<END
| GFLOP/s | instructions | 1 thread | $threads threads |
| --- | --- | ---: | ---: |
| fp32 | $(number fp32) | $(number fp32_gflops_1) | $(number fp32_gflops) |
| bf16 | $(number bf16) | $(number bf16_gflops_1) | $(number bf16_gflops) |

| 100 images | GFLOP an image: direct / Winograd | fp32, ms: direct / Winograd | bf16, ms: direct / Winograd |
| --- | ---: | ---: | ---: |
END
for net in small resnet18 cifar100/resnext50; do
    for step in none automix eval; do
        cfg=cfg/${net}_$step.cfg
        [ $step != eval ] || cfg=cfg/${net}_none.cfg
        flops=$(./automix net "$cfg" | awk -v step=$step -f bench/flops.awk) || exit 1
        echo "$(basename $net)-$step $flops $(number fp32_gflops) $(number bf16_gflops)"
    done
done | awk '{
    bf16 = $5 > $4 ? $5 : $4
    printf "| %s | %.2f / %.2f | %.0f / %.0f | %.0f / %.0f |\n", $1, $2, $3, 1e5 * $2 / $4, 1e5 * $3 / $4, 1e5 * $2 / bf16, 1e5 * $3 / bf16
}'
