#!/bin/sh
# gpu_check.sh: everything about a GPU in one command, under 9 minutes, with nothing to download: it
# builds for this device, tests the cuda backend, trains on the generated set, measures cuDNN's
# engines, times whole steps beside PyTorch's, and ends in a table.  What fails is told, and the
# rest goes on.
#
#   scripts/gpu_check.sh [FOLDER]        logs and results go there; otherwise to build/gpu_check
#   scripts/gpu_check.sh pack [FOLDER]   on a machine set up by scripts/setup.sh: collects what to
#                                        carry to one that has only CUDA, in build/deps or FOLDER
#
#   DEPS=build/deps     such a folder, where there is no libcjson, libxxhash, libstb or libcmocka
#   BUILT=FOLDER        automix and tests/run built before: nothing is built here
#   CUDNN_HOME=FOLDER   where cuDNN is, if neither in the toolkit nor in Python's packages
#   GOLDEN=FOLDER       more golden steps than tests/golden's, of the same names
#   LIMIT=530           seconds; LONGEST=150 for one test
#   PARTS="right ..."   only these: right (tests), same (bytes), time, profile, torch, other (precisions)
#   OUT=FOLDER          the table and one archive of everything else are copied there
#   GPU=emulate         a rehearsal of this script by the emulation, without a GPU; no times
#
# The status is 0 when nothing failed.  FOLDER/*.plans are plan files to keep (-plans).
cd "$(dirname "$0")/.." || exit 1

# ---- what a bare CUDA machine lacks ----
pack() {
    to=$1 missing=
    mkdir -p "$to/include" "$to/lib" || exit 1
    for header in cjson/cJSON.h xxhash.h xxh3.h stb/stb_image.h stb/stb_image_write.h cmocka.h; do
        mkdir -p "$to/include/$(dirname $header)"
        cp "/usr/include/$header" "$to/include/$header" 2>/dev/null || missing="$missing $header"
    done
    for name in cjson xxhash cmocka; do
        from=$(${CC:-cc} -print-file-name=lib$name.so)
        soname=$(readelf -d "$from" 2>/dev/null | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
        if [ -n "$soname" ]; then
            cp -L "$from" "$to/lib/$soname"
            cp -L "$from" "$to/lib/lib$name.so" # links may be lost on the way
        else
            missing="$missing lib$name.so"
        fi
    done
    if [ -n "$missing" ]; then
        echo "gpu_check.sh: not on this machine:$missing; run scripts/setup.sh first" >&2
        exit 1
    fi
    echo "$to: $(du -sk "$to" | cut -f 1) kB; carry it, and give its place there: DEPS=$to"
    exit
}
[ "$1" = pack ] && pack "${2:-build/deps}"

# replay SET PRECISION TOLERANCE OUT: one of its own steps: a golden step, and how far it is off
replay() {
    "$AUTOMIX" classifier replay "$1.cfg" "$1.in.safetensors" "$4" -backend cuda -precision "$2" &&
        python3 tests/golden/compare.py "$4" "$1.out.safetensors" -tol "$3"
    status=$?
    rm -f "$4"
    exit $status
}
[ "$1" = replay ] && shift && replay "$@"

out=${1:-build/gpu_check}
rm -rf "${out:?}"
mkdir -p "$out" || exit 1
out=$(cd "$out" && pwd)
table=$out/table.txt
: >"$table"
began=$(date +%s)
limit=${LIMIT:-530}
longest=${LONGEST:-150}
GPU=${GPU:-1}
parts=${PARTS:-right same time profile torch other}
wanted() { case " $parts " in *" $1 "*) ;; *) false ;; esac; }
left() { echo $((limit - $(date +%s) + began)); }
row() { printf '%-34s %-8s %s\n' "$1" "$2" "$3" | tee -a "$table"; }

# begin NAME SECONDS COMMAND...: beside what else runs; output to NAME.log
started=
begin() {
    job=$1 most=$2
    shift 2
    [ "$(left)" -lt "$most" ] && most=$(left)
    started="$started $job"
    if [ "$most" -lt 5 ]; then
        echo "0 skipped" >"$out/$job.end"
        return
    fi
    (
        from=$(date +%s)
        timeout -k 5 "$most" "$@" >"$out/$job.log" 2>&1 </dev/null
        echo "$? $(($(date +%s) - from)) $most" >"$out/$job.end"
    ) &
}
# together: wait for all that was begun, a row for each; failed: those that failed
together() {
    wait
    failed=
    for job in $started; do
        status='' spent='' most=''
        read -r status spent most <"$out/$job.end"
        rm -f "$out/$job.end"
        if [ "$spent" = skipped ]; then row "$job" skipped "no time left"
        elif [ "${status:-1}" = 0 ]; then row "$job" ok "$spent s"
        else
            failed="$failed $job"
            why="$spent s, status $status"
            [ "$status" = 124 ] && why="stopped after $most s"
            row "$job" FAILED "$why; see $job.log"
            grep -vE '^\[ +(RUN|OK|PASSED|=+) *\]|^  (cc|nvcc|link|c\+\+) ' "$out/$job.log" |
                tail -n 12 | cut -c 1-300
        fi
    done
    started=
    [ -z "$failed" ]
}
step() { begin "$@"; together; }

finish() {
    echo
    echo "== the table, after $(($(date +%s) - began)) s"
    cat "$table"
    bad=$(grep -cE ' (FAILED|skipped) ' "$table")
    echo "$bad failed or skipped"
    if [ -n "$OUT" ]; then
        mkdir -p "$OUT"
        (cd "$out" && find . -maxdepth 1 -type f | tar -czf "$OUT/gpu_check.tar.gz" -T -)
        cp "$table" "$OUT"
    fi
    [ "$bad" -eq 0 ]
    exit
}

# number FIELD FILE: a number of the JSON object that bench prints
number() { sed -n "s/.*\"$1\": *\([0-9.]*\).*/\1/p" "$2" | head -n 1; }

# ---- the machine ----
arch=
if [ "$GPU" = 1 ]; then
    arch=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1)
    arch=$(echo "$arch" | tr -d '. ')
    if [ -z "$arch" ]; then
        row device FAILED "nvidia-smi finds no GPU here"
        finish
    fi
    asked=name,driver_version,memory.total
    row device ok "$(nvidia-smi --query-gpu=$asked --format=csv,noheader | head -n 1)"
    nvidia-smi >"$out/nvidia-smi.log" 2>&1
fi
[ -z "$DEPS" ] && [ -d build/deps ] && DEPS=build/deps
lacks=
has() {
    {
        for h in stdio.h stdarg.h stddef.h stdint.h setjmp.h "$1"; do echo "#include <$h>"; done
        echo 'int main(void) { return 0; }'
    } >"$out/probe.c"
    ${CC:-cc} ${DEPS:+-isystem "$DEPS/include" -L"$DEPS/lib"} "$out/probe.c" -o "$out/probe" \
        ${2:+"$2"} >/dev/null 2>&1
}
has cjson/cJSON.h -lcjson || lacks="$lacks libcjson"
has xxhash.h -lxxhash || lacks="$lacks libxxhash"
has stb/stb_image.h || lacks="$lacks libstb"
cmocka=1
has cmocka.h -lcmocka || cmocka=
rm -f "$out/probe" "$out/probe.c"
how="here: apt-get install libcjson-dev libxxhash-dev libstb-dev libcmocka-dev
or, without a network: scripts/gpu_check.sh pack FOLDER where they are, and DEPS=FOLDER here"
if [ -n "$lacks" ]; then
    row packages FAILED "this machine has no${lacks}"
    echo "$how"
    finish
fi
[ -n "$cmocka" ] || { row "tests of operations" skipped "no libcmocka"; echo "$how"; }
# make looks for cuDNN in the toolkit and below /usr; Python's package is the next place
if [ "$GPU" = 1 ] && [ -z "$CUDNN_HOME" ] && make -s where GPU=1 2>&1 | grep -q CUDNN_HOME; then
    where='import nvidia.cudnn; print(list(nvidia.cudnn.__path__)[0])'
    CUDNN_HOME=$(python3 -c "$where" 2>/dev/null)
    row cudnn "" "${CUDNN_HOME:-neither in the toolkit nor in Python; CUDNN_HOME=FOLDER names it}"
    # its compiler of kernels on the spot lies in a package of its own
    for lib in "$CUDNN_HOME"/../cu13/lib "$CUDNN_HOME"/../cuda_nvrtc/lib; do
        [ -d "$lib" ] && export LD_LIBRARY_PATH="$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
    done
fi
set -- "GPU=$GPU" SIMD=0 ${arch:+"CUDA_ARCH=$arch"} ${DEPS:+"DEPS=$DEPS"} \
    ${CUDNN_HOME:+"CUDNN_HOME=$CUDNN_HOME"}
build=$(make -s --no-print-directory where "$@" 2>"$out/where.log") || {
    row build FAILED "$(tail -n 1 "$out/where.log")"
    finish
}
program=$(pwd)/$build/automix tests=$build/tests/run
[ -n "$BUILT" ] && program=$BUILT/automix tests=$BUILT/tests/run
export AUTOMIX="$program" XDG_CACHE_HOME="$out/cache"
[ -n "$BUILT" ] || step build 200 make -k -j"$(nproc)" "$@" "$build/automix" ${cmocka:+"$tests"} || {
    [ -x "$program" ] || finish
    [ -x "$tests" ] || cmocka=
}
step start 60 "$program" bench tests/tiny.cfg -backend cuda -steps 2 -plans rule &&
    row "  backend" "" "$(sed -n 's/.*"about":"\([^"]*\)".*/\1/p' "$out/start.log")"

# ---- right first.  All at once: they wait for cuDNN's plans more than for the device ----
right() {
    suites="cuda cuda_kernels cuda_plans cuda_record backends backends_conv backends_rows"
    suites="$suites backends_pairing golden step_order"
    [ "$GPU" = 1 ] && suites="$suites gradients step methods_train"
    if [ -n "$cmocka" ]; then
        for suite in $suites; do begin "test_$suite" "$longest" "$tests" -backend cuda "$suite"; done
        if [ "$GPU" = 1 ] && command -v compute-sanitizer >/dev/null; then
            for suite in cuda_kernels backends_rows; do
                begin "memcheck_$suite" "$longest" compute-sanitizer --error-exitcode 9 \
                    "$tests" -backend cuda $suite
            done
            begin racecheck_backends_pairing "$longest" compute-sanitizer --tool racecheck \
                --error-exitcode 9 "$tests" -backend cuda backends_pairing
        fi
    fi
    # golden steps of another implementation, in every precision; the gradients of so small a net
    # are off by tenths in 16 bits, and by hundredths with tf32's 11 bits
    if command -v python3 >/dev/null; then
        for folder in tests/golden ${GOLDEN:+"$GOLDEN"}; do
            for cfg in "$folder"/*.cfg; do
                set=$(basename "$cfg" .cfg)
                for most in fp32=5e-4 tf32=0.2 fp16=0.2 bf16=0.5; do
                    p=${most%=*} name=$(basename "$folder")_${set}_${most%=*}
                    begin "replay_$name" 60 scripts/gpu_check.sh replay "$folder/$set" "$p" \
                        "${most#*=}" "$out/$name.safetensors"
                done
            done
        done
    else
        row replay skipped "no python3 for tests/golden/compare.py"
    fi
    together
    again=
    for name in $failed; do case $name in test_*) again="$again ${name#test_}" ;; esac; done
    # where: a second, blocking run names the kernel
    for suite in $again; do
        begin "where_$suite" 60 env CUDA_LAUNCH_BLOCKING=1 "$tests" -backend cuda "$suite"
    done
    together
}

# ---- the same seed gives the same bytes: twice, recorded or not, killed or not ----
same_bytes() {
    a=$(ls "$out/$1"/*_final.weights 2>/dev/null) b=$(ls "$out/$2"/*_final.weights 2>/dev/null)
    if [ -n "$a" ] && cmp -s "$a" "$b"; then row "same_bytes_$2" ok "as $1"
    else row "same_bytes_$2" FAILED "$1 and $2, of one seed, differ or did not end"; fi
}
# train RUN ARGUMENTS...
train() {
    run=$1
    shift
    mkdir -p "$out/$run"
    sed "s#^backup.*#backup=$out/$run#" "$out/set/shapes.data" >"$out/$run.data"
    begin "train_$run" 90 "$program" classifier train "$out/$run.data" "$cfg" \
        -backend cuda -seed 1 -epochs 1 "$@"
}
same() {
    cfg=cfg/shapes_automix.cfg few=
    [ "$GPU" = 1 ] || cfg=tests/tiny.cfg few="-train 100 -valid 50 -size 16"
    # shellcheck disable=SC2086 # few is words
    if step make_set 60 "$program" data shapes "$out/set" $few; then
        for p in bf16 fp16 tf32 fp32; do
            for k in 1 2; do train ${p}_$k -precision $p -plans rule; done
        done
        train bf16_uncaptured -precision bf16 -plans rule -uncaptured
        [ "$GPU" = 1 ] && begin repeat 150 env BACKENDS=cuda TRIES=1 tests/repeat.sh
        together
        for p in bf16 fp16 tf32 fp32; do same_bytes ${p}_1 ${p}_2; done
        same_bytes bf16_1 bf16_uncaptured
        # engines measured without a flag, and found again
        train measured_1 -precision bf16
        together
        train measured_2 -precision bf16
        together
        same_bytes measured_1 measured_2
    fi
}

# ---- whole steps on made-up images, one at a time: engines by rule, measured, then timed ----
# bench NAME CFG PRECISION STEPS ARGUMENTS...
bench() {
    f=$out/bench_$1.log of=$2 as=$3 steps=$4 called=bench_$1
    shift 4
    step "$called" 60 "$program" bench "$of" -backend cuda -precision "$as" -steps "$steps" \
        "$@" || return 1
    range="$(number ms_min "$f"), $(number ms_max "$f")"
    range="$(number ms_per_step "$f") ($range), $(number peak_bytes "$f") bytes"
    row "  ms per step (min, max)" "" "$range"
}
net=cfg/resnet18_automix.cfg plans=$out/resnet18_automix_bf16.plans
time_steps() {
    for name in resnet18_automix resnet18_none; do
        bench "rule_${name}_bf16" "cfg/$name.cfg" bf16 100 -plans rule
        bench "tune_${name}_bf16" "cfg/$name.cfg" bf16 3 -plans "$out/${name}_bf16.plans"
        bench "${name}_bf16" "cfg/$name.cfg" bf16 300 -plans "$out/${name}_bf16.plans"
    done
    bench uncaptured_resnet18_automix $net bf16 50 -uncaptured -plans "$plans"
    wide=cfg/cifar100/resnext50_automix.cfg
    bench tune_resnext50_automix_bf16 $wide bf16 3 -plans "$out/resnext50_automix_bf16.plans" &&
        bench resnext50_automix_bf16 $wide bf16 60 -plans "$out/resnext50_automix_bf16.plans"
}

# where a step's time goes: each kernel's own time, of one step, by name
profile() {
    command -v ncu >/dev/null && command -v python3 >/dev/null || return
    name=$(basename "$1" .cfg)
    step "profile_$name" 90 ncu --clock-control none --cache-control none --print-kernel-base demangled \
        --metrics gpu__time_duration.sum --csv "$program" bench "$1" -backend cuda -precision bf16 \
        -steps 1 -uncaptured -plans "$out/${name}_bf16.plans" || return
    python3 - "$out/profile_$name.log" <<'PY' | tee "$out/kernels_$name.txt" | head -n 45
import csv, re, sys
rows = [r for r in csv.DictReader(l for l in open(sys.argv[1]) if l.startswith('"'))
        if r.get("Metric Name") == "gpu__time_duration.sum"]
scale = {"n": 1e-3, "u": 1, "m": 1e3, "s": 1e6}
seen = [(r["Kernel Name"], r["Grid Size"], r["Block Size"],
         scale[r["Metric Unit"][0]] * float(r["Metric Value"].replace(",", ""))) for r in rows]
guards = [i for i, s in enumerate(seen) if "am_gpu_guard" in s[0]]      # one in each step
step = seen[guards[-2]:guards[-1]]
print(f"{sum(s[3] for s in step):10.1f} us in {len(step)} kernels of one step; {len(seen)} seen")
sums = {}
for name, grid, block, us in step:
    short = re.sub(r"\(anonymous namespace\)::|void |__nv_dl_wrapper_t|__nv_dl_tag", "", name)[:150]
    t, n = sums.get(short, (0, 0))
    sums[short] = (t + us, n + 1)
for short in sorted(sums, key=lambda k: -sums[k][0]):
    print(f"{sums[short][0]:10.1f} us {sums[short][1]:5d} x  {short}")
print("in order:")
for name, grid, block, us in step:
    print(f"{us:8.2f} {grid} {block} {name[:300]}")
PY
}

# the other side, and ours once more behind it: what else the machine does shows as a difference
torch() {
    if ! python3 -c 'import torch; raise SystemExit(not torch.cuda.is_available())' 2>/dev/null; then
        row torch "" "no PyTorch with CUDA here: only ours is timed"
        return
    fi
    for mode in ${MODES:-eager graph compile}; do
        for what in automix none; do
            step torch_${what}_$mode 150 python3 bench/torch_automix.py --step $what --mode $mode \
                --steps 100 &&
                row "  ms per step" "" "$(number ms_per_step "$out/torch_${what}_$mode.log")"
        done
        bench again_${mode}_automix $net bf16 300 -plans "$plans"
    done
}

other() {
    for p in fp16 tf32 fp32; do
        plans=$out/resnet18_automix_$p.plans
        bench "tune_resnet18_automix_$p" $net "$p" 3 -plans "$plans" &&
            bench "resnet18_automix_$p" $net "$p" 100 -plans "$plans"
    done
}

wanted right && right
if [ "$GPU" != 1 ]; then
    wanted same && same
    wanted time && bench tiny tests/tiny.cfg bf16 2
    finish
fi
wanted time && time_steps
wanted profile && { profile cfg/resnet18_automix.cfg; profile cfg/resnet18_none.cfg; }
wanted same && same
wanted torch && torch
wanted other && other
finish
