#!/bin/sh
# cpu.sh: our training step and PyTorch's, in turn, on this processor; the last lines are a Markdown table.
#
#   bench/cpu.sh [NET-STEP-PRECISION ...]    default: resnet18 and small, none and automix, fp32 and bf16
#
#   PYTHON=python3      an interpreter with torch; without one only ours is timed
#   MODES="nchw nhwc"   what PyTorch is tried with, its best counts; also nhwc-compile (minutes of compiling, once)
#   THREADS=2           of both sides; default: all cores
#   ROUNDS=3 STEPS=10   rounds, and steps in each round
#   BY=ms_per_step      or cpu_ms_min: processor time of the best step, with THREADS=1, for a machine that is not idle
#
# Ours is ./automix.  In a round every cell runs ours and PyTorch's right after each other, so that what else the machine
# does meets both.
cd "$(dirname "$0")/.." || exit 1
[ $# -gt 0 ] || set -- small-none-fp32 small-automix-fp32 small-none-bf16 small-automix-bf16 \
    resnet18-none-fp32 resnet18-automix-fp32 resnet18-none-bf16 resnet18-automix-bf16
python=${PYTHON:-python3} modes=${MODES:-nchw nhwc} threads=${THREADS:-$(nproc)}
rounds=${ROUNDS:-3} steps=${STEPS:-10} by=${BY:-ms_per_step}
out=${OUT:-cpu_bench}
mkdir -p "$out" || exit 1
results=$out/results.txt
: >"$results"
version=$($python -c 'import torch; print(torch.__version__)' 2>/dev/null)
[ -n "$version" ] || echo "no PyTorch in $python: only ours is timed"

# These pin a BLAS below what the processor has; a tuned peer runs without them.
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE

# note CELL WHO MEMORY-KEY: one line of results from the JSON object on standard input
note() {
    awk -v cell="$1" -v who="$2" -v by="$by" -v memory="$3" '
        function number(key) { return match($0, "\"" key "\": *[0-9.]+") ? substr($0, RSTART + length(key) + 3, RLENGTH - length(key) - 3) + 0 : 0 }
        number(by) > 0 { printf "%s %s %.3f %.0f\n", cell, who, number(by), number(memory) / 1e6 }' >>"$results"
}

round=0
while [ $round -lt "$rounds" ]; do
    for cell in "$@"; do
        net=${cell%%-*} precision=${cell##*-}
        step=${cell#*-} step=${step%-*}
        ./automix bench "cfg/${net}_$step.cfg" -batch 100 -precision "$precision" -threads "$threads" -steps "$steps" \
            2>>"$out/ours.log" | note "$cell" ours peak_bytes
        [ -n "$version" ] && for mode in $modes; do
            $python bench/torch_cpu.py --net "$net" --step "$step" --precision "$precision" --threads "$threads" --steps "$steps" \
                --layout "${mode%-compile}" $([ "$mode" = "${mode%-compile}" ] || echo --compile) \
                2>>"$out/torch.log" | note "$cell" "$mode" rss_bytes
        done
    done
    round=$((round + 1))
done

echo "$by in ms, batch 100, $threads threads, median of $rounds rounds (spread); PyTorch ${version:-none}"
echo
echo '| step | ours | PyTorch, best of its modes | ratio | MB: our blocks / its process |'
echo '| --- | ---: | ---: | ---: | ---: |'
sort -k1,1 -k2,2 -k3,3n "$results" | awk '
    function close_run(  median) {
        if (!n) return
        median = v[int((n + 1) / 2)]
        text = sprintf("%.0f (%.0f-%.0f)", median, v[1], v[n])
        if (who == "ours") { ours[cell] = median; said[cell] = text; room[cell] = mb }
        else if (!(cell in peer) || median < best[cell]) { best[cell] = median; peer[cell] = text " " who; peer_room[cell] = mb }
        n = mb = 0
    }
    $1 != cell || $2 != who { close_run(); cell = $1; who = $2; if (!(cell in seen)) { seen[cell] = 1; order[++cells] = cell } }
    { v[++n] = $3; if ($4 > mb) mb = $4 }
    END {
        close_run()
        for (i = 1; i <= cells; i++) {
            c = order[i]
            printf "| %s | %s | %s | %s | %s / %s |\n", c, said[c], (c in peer) ? peer[c] : "-",
                   ((c in peer) && ours[c] > 0) ? sprintf("%.2f", best[c] / ours[c]) : "-", room[c], (c in peer) ? peer_room[c] : "-"
        }
    }'
