#!/bin/sh
# gpu_check.sh: everything about a GPU in one command, under 9 minutes, with nothing to download: it
# builds for this device, tests the cuda backend, trains and judges on the generated set, times whole
# steps, and ends in a table.  Needs nvcc, cuDNN 9, libcjson, libxxhash, libstb and libcmocka.
#
#   scripts/gpu_check.sh [FOLDER]        logs and results go there; otherwise to $OUT or gpu_check/
cd "$(dirname "$0")/.." || exit 1
out=${1:-${OUT:-gpu_check}}
mkdir -p "$out" || exit 1
table=$out/table.txt
: >"$table"
began=$(date +%s)
limit=530
left() { echo $((limit - $(date +%s) + began)); }
row() { printf '%-26s %-8s %s\n' "$1" "$2" "$3" >>"$table"; }

# step NAME SECONDS COMMAND...: output to NAME.log; a row in the table, with the reason where it failed.
step() {
    name=$1 most=$2
    shift 2
    [ "$(left)" -lt "$most" ] && most=$(left)
    if [ "$most" -lt 5 ]; then
        row "$name" skipped "no time left"
        return 1
    fi
    echo "== $name"
    from=$(date +%s)
    timeout -k 5 "$most" "$@" >"$out/$name.log" 2>&1
    status=$?
    spent="$(($(date +%s) - from)) s"
    if [ $status -eq 0 ]; then
        row "$name" ok "$spent"
        return 0
    fi
    [ $status -eq 124 ] && spent="$spent: stopped after $most seconds"
    row "$name" FAILED "$spent, status $status; see $out/$name.log"
    grep -vE '^\[ (RUN     |      OK) \]|^  (cc|nvcc|link) ' "$out/$name.log" | tail -n 25
    return 1
}

finish() {
    echo
    cat "$table"
    ! grep -q FAILED "$table"
    exit
}

arch=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 | tr -d .)
if [ -z "$arch" ]; then
    row device FAILED "nvidia-smi finds no GPU"
    finish
fi
row device ok "$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | head -n 1)"
set -- GPU=1 "CUDA_ARCH=$arch"
program=$(make -s --no-print-directory where "$@")/automix
tests=$(dirname "$program")/tests/run
step build 240 make -j"$(nproc)" "$@" "$program" || finish

# One operation after another against its formula, fp32 and bf16; the first look at a fault is blocking.
if step build_tests 120 make -j"$(nproc)" "$@" "$tests"; then
    step test_operations 200 "$tests" -backend cuda backends backends_conv backends_rows backends_pairing ||
        step test_where 60 env CUDA_LAUNCH_BLOCKING=1 "$tests" -backend cuda backends backends_conv backends_rows backends_pairing
fi

# The same seed must give the same bytes twice, and something must be learned.
if step make_set 60 "$program" data shapes "$out/set"; then
    base=$(pwd)
    sed -i "s#^backup.*#backup=$base/$out/set/backup#" "$out/set/shapes.data" 2>/dev/null
    cfg=cfg/shapes_automix.cfg
    for run in first second; do
        mkdir -p "$out/set/backup"
        step "train_$run" 60 "$program" classifier train "$out/set/shapes.data" $cfg -backend cuda -precision bf16 -seed 1 -epochs 1
        rm -rf "${out:?}/$run"
        mv "$out/set/backup" "$out/$run" 2>/dev/null
    done
    a=$(ls "$out"/first/*_final.weights 2>/dev/null) b=$(ls "$out"/second/*_final.weights 2>/dev/null)
    if [ -n "$a" ] && cmp -s "$a" "$b"; then row same_bytes ok "two runs of one seed"
    else row same_bytes FAILED "two runs of one seed differ, or did not end"; fi
fi

# Whole training steps on made-up images.
for precision in bf16 tf32 fp32; do
    for net in resnet18_none resnet18_mixup resnet18_automix; do
        log=bench_${net}_$precision
        step "$log" 40 "$program" bench cfg/$net.cfg -backend cuda -precision $precision -steps 50 &&
            row "  ms per step" "" "$(grep -o '"ms_per_step":[0-9.]*' "$out/$log.log" | cut -d: -f2)"
    done
done
finish
