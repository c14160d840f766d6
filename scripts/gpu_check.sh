#!/bin/sh
# gpu_check.sh: everything about a GPU in one command, under 9 minutes, with nothing to download: it
# builds for this device, tests the cuda backend, trains on the generated set, measures cuDNN's engines,
# times whole steps, and ends in a table.  Needs nvcc, cuDNN 9, libcjson, libxxhash, libstb and libcmocka.
#
#   scripts/gpu_check.sh [FOLDER]        logs and results go there; otherwise to $OUT or gpu_check/
#
# The status is 0 when nothing failed.  FOLDER/*.plans are plan files to keep (-plans).
cd "$(dirname "$0")/.." || exit 1
out=${1:-${OUT:-gpu_check}}
mkdir -p "$out" || exit 1
table=$out/table.txt
: >"$table"
began=$(date +%s)
limit=${LIMIT:-530}
left() { echo $((limit - $(date +%s) + began)); }
row() { printf '%-30s %-8s %s\n' "$1" "$2" "$3" | tee -a "$table"; }

# step NAME SECONDS COMMAND...: output to NAME.log; a row in the table, with the reason where it failed.
step() {
    name=$1 most=$2
    shift 2
    [ "$(left)" -lt "$most" ] && most=$(left)
    if [ "$most" -lt 5 ]; then
        row "$name" skipped "no time left"
        return 1
    fi
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
    echo "== the table, after $(($(date +%s) - began)) s"
    cat "$table"
    ! grep -qE 'FAILED|skipped' "$table"
    exit
}

# number FIELD FILE: a number of the JSON object that bench prints
number() { sed -n "s/.*\"$1\": *\([0-9.]*\).*/\1/p" "$2" | head -n 1; }

arch=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 | tr -d '. ')
if [ -z "$arch" ]; then
    row device FAILED "nvidia-smi finds no GPU here"
    finish
fi
row device ok "$(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | head -n 1)"
set -- GPU=1 "CUDA_ARCH=$arch"
build=$(make -s --no-print-directory where "$@")
program=$build/automix tests=$build/tests/run
step build 200 make -j"$(nproc)" "$@" "$program" "$tests" || finish

# ---- right first: operations against formulas, gradients, golden steps; fp32 and 16 bits ----
# One suite a row, so that a fault names itself; a second, blocking run of the suite names the kernel.
for suite in cuda cuda_plans backends backends_conv backends_rows backends_pairing golden cuda_record gradients step step_order; do
    step "test_$suite" 60 "$tests" -backend cuda $suite ||
        step "where_$suite" 40 env CUDA_LAUNCH_BLOCKING=1 "$tests" -backend cuda $suite
done

# ---- the same seed gives the same bytes, twice, and recorded or not ----
if step make_set 60 "$program" data shapes "$out/set"; then
    base=$(cd "$out" && pwd)
    sed "s#^backup.*#backup=$base/set/backup#" "$out/set/shapes.data" >"$out/set/here.data"
    for run in first second uncaptured; do
        flag=
        [ $run = uncaptured ] && flag=-uncaptured
        mkdir -p "$out/set/backup"
        step "train_$run" 60 "$program" classifier train "$out/set/here.data" cfg/shapes_automix.cfg -backend cuda -precision bf16 -seed 1 -epochs 1 $flag
        rm -rf "${out:?}/$run"
        mv "$out/set/backup" "$out/$run" 2>/dev/null
    done
    same() {
        a=$(ls "$out/$1"/*_final.weights 2>/dev/null) b=$(ls "$out/$2"/*_final.weights 2>/dev/null)
        if [ -n "$a" ] && cmp -s "$a" "$b"; then row "same_bytes_$2" ok "as the $1 run"
        else row "same_bytes_$2" FAILED "the $1 and the $2 run of one seed differ, or did not end"; fi
    }
    same first second
    same first uncaptured
fi

# ---- whole training steps on made-up images: engines by rule, measured, then timed ----
for net in resnet18_automix resnet18_none; do
    for precision in bf16 fp16 tf32 fp32; do
        plans=$out/${net}_$precision.plans log=${net}_$precision
        [ $precision = bf16 ] && step "rule_$log" 40 "$program" bench cfg/$net.cfg -backend cuda -precision $precision -steps 100 &&
            row "  ms per step" "" "$(number ms_per_step "$out/rule_$log.log")"
        step "tune_$log" 60 "$program" bench cfg/$net.cfg -backend cuda -precision $precision -steps 3 -plans "$plans" &&
            step "bench_$log" 40 "$program" bench cfg/$net.cfg -backend cuda -precision $precision -steps 200 -plans "$plans" &&
            row "  ms per step (min, max)" "" "$(number ms_per_step "$out/bench_$log.log") ($(number ms_min "$out/bench_$log.log"), $(number ms_max "$out/bench_$log.log")), $(number peak_bytes "$out/bench_$log.log") bytes"
    done
    step "bench_uncaptured_$net" 40 "$program" bench cfg/$net.cfg -backend cuda -precision bf16 -steps 50 -uncaptured -plans "$out/${net}_bf16.plans" &&
        row "  ms per step" "" "$(number ms_per_step "$out/bench_uncaptured_$net.log")"
done
command -v compute-sanitizer >/dev/null &&
    step memcheck 90 compute-sanitizer --error-exitcode 9 "$tests" -backend cuda cuda_record
finish
