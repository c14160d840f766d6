#!/bin/sh
# gpu.sh: our training step and PyTorch's, in turn, on one GPU; the last lines are a table.
#
#   bench/gpu.sh [CFG ...]       default: the ResNet-18 ones; needs ./automix built with GPU=1, and
#                                python3 with torch for the other side (left out where there is none)
cd "$(dirname "$0")/.." || exit 1
[ $# -gt 0 ] || set -- cfg/resnet18_none.cfg cfg/resnet18_automix.cfg
out=${OUT:-build/gpu_bench}
rounds=${ROUNDS:-3}
mkdir -p "$out" || exit 1
rm -f "$out"/*.plans                                    # measured anew: it may be another GPU
results=$out/results.txt
: >"$results"
torch=$(python3 -c 'import torch; print(torch.__version__ if torch.cuda.is_available() else "")' 2>/dev/null)
[ -n "$torch" ] || echo "no PyTorch with CUDA here: only ours is timed"

if ! nvidia-smi >/dev/null 2>&1; then
    echo "gpu.sh: nvidia-smi finds no GPU here" >&2
    exit 1
fi
number() { sed -n "s/.*\"$1\": *\([0-9.]*\).*/\1/p" | head -n 1; }
for cfg in "$@"; do
    case $cfg in *automix*) step=automix ;; *) step=none ;; esac
    plans=$out/$(basename "$cfg" .cfg).plans
    ./automix bench "$cfg" -backend cuda -precision bf16 -steps 3 -plans "$plans" >>"$out/ours.log" 2>&1 ||
        echo "measuring engines failed; see $out/ours.log"
    round=0
    while [ $round -lt "$rounds" ]; do
        ms=$(./automix bench "$cfg" -backend cuda -precision bf16 -steps 200 -plans "$plans" 2>>"$out/ours.log" | number ms_per_step)
        echo "$cfg ours ${ms:-failed}" >>"$results"
        [ -n "$torch" ] && for mode in eager graph compile; do
            ms=$(python3 bench/torch_automix.py --step $step --mode $mode --steps 100 2>>"$out/torch.log" | number ms_per_step)
            echo "$cfg torch-$mode ${ms:-failed}" >>"$results"
        done
        round=$((round + 1))
    done
done

# The median of each, and how far its runs lie apart.
printf '%-34s %-12s %10s %8s\n' cfg who ms/step spread
sort -k1,1 -k2,2 -k3,3n "$results" | awk '
    function show() {
        if (!n && !bad) return
        if (bad) printf "%-34s %-12s %10s %d of %d\n", cfg, who, "failed", bad, n + bad
        else printf "%-34s %-12s %10s %7.1f%%\n", cfg, who, v[int((n + 1) / 2)], (v[1] > 0 ? 100 * (v[n] / v[1] - 1) : 0)
    }
    { if ($1 != cfg || $2 != who) { show(); n = bad = 0; cfg = $1; who = $2 } }
    $3 == "failed" { bad++; next }
    { v[++n] = $3 }
    END { show() }'
