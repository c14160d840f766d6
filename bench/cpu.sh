#!/bin/sh
# cpu.sh: our step and PyTorch's, in turn, on this processor; the last lines are Markdown, for RESULTS.md.
#
#   bench/cpu.sh [NET-STEP-PRECISION ...]
#
#   NET small resnet18 resnext50; STEP none automix (training steps) eval (inference); PRECISION fp32 bf16 fast.
#   Default: all 27.
#
#   PYTHON=python3      an interpreter with torch; without one only ours is timed
#   QUICK=1             a first look, under ten minutes on two idle cores: one mode, few steps, slow cells in the first round
#   MODES="nhwc nchw"   what PyTorch is tried with, its best counts: a layout, then any of -tcmalloc -compile (minutes of
#                       compiling) -cast (eval in bf16: see torch_cpu.py).  Default: nhwc nchw nhwc-tcmalloc, and for
#                       eval in bf16 nhwc-cast too
#   TCMALLOC=auto       a path, or none; auto looks for the library.  It is preloaded for PyTorch in modes with -tcmalloc
#   THREADS=2           of both sides; default: all cores that this process may use
#   ROUNDS=3 STEPS=10   rounds, and steps in each; slow cells do a third of the steps
#   BY=ms_per_step      or cpu_ms_min: processor time of the best step, with THREADS=1, for a machine that is not idle
#   LIMIT=900           seconds for one run, which then has failed
#   OUT=build/bench     for logs and raw results
#
# fp32 is compared with PyTorch in fp32; bf16 and fast with the better of its autocast to bf16 and its fp32, if both are
# among the cells.  In a round a cell's two sides run right after each other, ours first in one round and last in the
# next, so that what else the machine does meets both.  A run that fails is named in the table and stops nothing.
cd "$(dirname "$0")/.." || exit 1
LC_ALL=C
export LC_ALL
if [ $# -eq 0 ]; then
    for net in small resnet18 resnext50; do
        for step in none automix eval; do
            for precision in fp32 bf16 fast; do set -- "$@" $net-$step-$precision; done
        done
    done
fi
cfg() { # cfg NET STEP
    case $2 in eval) method=none ;; *) method=$2 ;; esac
    case $1 in resnext50) echo "cfg/cifar100/$1_$method.cfg" ;; *) echo "cfg/$1_$method.cfg" ;; esac
}
split() { # split NET-STEP-WORD: into $net $step $word
    net=${1%%-*} word=${1##*-}
    step=${1#*-} step=${step%-*}
}
for cell in "$@"; do
    split "$cell"
    case $word in fp32 | bf16 | fast) ;; *) word= ;; esac
    case $step in none | automix | eval) ;; *) word= ;; esac
    [ -n "$word" ] && [ -f "$(cfg "$net" "$step")" ] && continue
    echo "cpu.sh: '$cell' is no cell; say NET-STEP-PRECISION, such as resnet18-automix-bf16 (see the head of this script)" >&2
    exit 2
done
[ -x ./automix ] || { echo "cpu.sh: there is no ./automix; build it with: make" >&2; exit 1; }

quick=${QUICK:-0} python=${PYTHON:-python3} threads=${THREADS:-$(nproc)} by=${BY:-ms_per_step} limit=${LIMIT:-900}
if [ "$quick" = 1 ]; then rounds=${ROUNDS:-2} steps=${STEPS:-2}; else rounds=${ROUNDS:-3} steps=${STEPS:-10}; fi
out=${OUT:-build/bench}
mkdir -p "$out" || exit 1
results=$out/results.txt
: >"$results"
version=$($python -c 'import torch; print(torch.__version__)' 2>/dev/null)
[ -n "$version" ] || echo "no PyTorch in $python: only ours is timed" >&2

# These pin a library below what the processor has, or the threads; a tuned peer runs without them.
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE MKL_ENABLE_INSTRUCTIONS MKL_DEBUG_CPU_TYPE ONEDNN_MAX_CPU_ISA DNNL_MAX_CPU_ISA \
    ATEN_CPU_CAPABILITY OMP_NUM_THREADS MKL_NUM_THREADS OMP_PROC_BIND OMP_PLACES OMP_WAIT_POLICY \
    GOMP_CPU_AFFINITY KMP_AFFINITY

tcmalloc=${TCMALLOC:-auto}
case $tcmalloc in
none) tcmalloc= ;;
auto) tcmalloc=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null |
    sed -n 's/.*=> \(.*libtcmalloc\(_minimal\)\{0,1\}\.so.*\)/\1/p' | head -n 1) ;;
*) [ -f "$tcmalloc" ] || { echo "cpu.sh: TCMALLOC=$tcmalloc: no such file; give a path, auto or none" >&2; exit 2; } ;;
esac
[ -z "${MODES:-}" ] && [ -z "$tcmalloc" ] && [ -n "$version" ] &&
    echo "no tcmalloc, which helps PyTorch by some percent: install libtcmalloc-minimal4" >&2
if [ -n "${MODES:-}" ]; then modes=$MODES
elif [ "$quick" = 1 ]; then modes=nhwc${tcmalloc:+-tcmalloc}
else modes="nhwc nchw${tcmalloc:+ nhwc-tcmalloc}"; fi

slow() { case $1 in resnet18-automix | resnext50-*) return 0 ;; esac; return 1; }
steps_of() { # steps_of NET-STEP
    if ! slow "$1"; then echo "$steps"
    elif [ "$quick" = 1 ]; then echo 1
    else echo $(((steps + 2) / 3)); fi
}

# note KEY WHO STATUS MEMORY...: a line of results from the JSON object in $out/said: KEY WHO ms MEMORY..., in MB
note() {
    key=$1 who=$2 status=$3
    shift 3
    awk -v key="$key" -v who="$who" -v status="$status" -v by="$by" -v memory="$*" -v limit="$limit" '
        function number(word) {
            if (!match($0, "\"" word "\": *[0-9.]+")) return 0
            return substr($0, RSTART + length(word) + 3, RLENGTH - length(word) - 3) + 0
        }
        FILENAME ~ /said$/ && number(by) > 0 && !ms {
            ms = number(by)
            n = split(memory, word, " ")
            for (i = 1; i <= n; i++) room = room sprintf(" %.0f", number(word[i]) / 1e6)
        }
        FILENAME ~ /err$/ && NF { why = $0 }
        END {
            if (status == 0 && ms) { printf "%s %s %.3f%s\n", key, who, ms, room; exit }
            if (status == 124) why = "ran past " limit " s"
            else if (why == "") why = "status " status
            printf "%s %s failed %s\n", key, who, substr(why, 1, 150)
        }' "$out/said" "$out/err" >>"$results"
    cat "$out/err" >>"$out/log"
}

ours() { # ours CELL
    split "$1"
    eval_flag= && [ "$step" != eval ] || eval_flag=-eval
    timeout -k 5 "$limit" ./automix bench "$(cfg "$net" "$step")" $eval_flag -batch 100 -precision "$word" \
        -threads "$threads" -steps "$(steps_of "$net-$step")" >"$out/said" 2>"$out/err"
    note "$1" ours $? rss_bytes peak_bytes
    sed -n 's/.*"about":"\([^"]*\)".*/\1/p' "$out/said" | head -n 1 >>"$out/about"
}

peers() { # peers NET-STEP-CLASS
    split "$1"
    [ -n "$version" ] || return 0
    tried=$modes
    [ "$step-$word-${MODES:-}" != eval-bf16- ] || tried="$modes nhwc-cast${tcmalloc:+-tcmalloc}"
    for mode in $tried; do
        case $mode-$step-$word in *-cast*-eval-bf16) ;; *-cast*) continue ;; esac
        set -- --layout "${mode%%-*}"
        preload=
        for option in $(echo "${mode#*-}" | tr - ' '); do
            case $option in
            nhwc | nchw) ;;
            tcmalloc) preload=$tcmalloc ;;
            *) set -- "$@" "--$option" ;;
            esac
        done
        env ${preload:+LD_PRELOAD="$preload"} timeout -k 5 "$limit" $python bench/torch_cpu.py --net "$net" --step "$step" \
            --precision "$word" --threads "$threads" --steps "$(steps_of "$net-$step")" --warm $((quick == 1 ? 1 : 2)) "$@" \
            >"$out/said" 2>"$out/err"
        note "$net-$step-$word" "$mode" $? added_bytes rss_bytes
    done
}

class() { case $1 in *-fp32) echo "$1" ;; *) echo "${1%-*}-bf16" ;; esac; }
groups=$(for cell in "$@"; do class "$cell"; done | awk '!seen[$0]++')
: >"$out/about"
: >"$out/log"
load=$(cut -d ' ' -f 1 /proc/loadavg 2>/dev/null)
began=$(date +%s)
round=0
while [ $round -lt "$rounds" ]; do
    for group in $groups; do
        [ "$quick" = 1 ] && [ $round -gt 0 ] && slow "${group%-*}" && continue
        echo "round $((round + 1)) of $rounds: $group, $(($(date +%s) - began)) s" >&2
        [ $((round % 2)) -eq 0 ] || peers "$group"
        for cell in "$@"; do [ "$(class "$cell")" != "$group" ] || ours "$cell"; done
        [ $((round % 2)) -eq 1 ] || peers "$group"
    done
    round=$((round + 1))
done

# ---- what came of it ----
${CC:-cc} -O2 -fopenmp bench/peak.c -o "$out/peak" 2>>"$out/log" && "$out/peak" "$threads" >"$out/peak.json" || : >"$out/peak.json"
for group in $(for cell in "$@"; do echo "${cell%-*}"; done | awk '!seen[$0]++'); do
    echo "$group $(./automix net "$(cfg "${group%%-*}" "${group#*-}")" 2>>"$out/log" | awk -v step="${group#*-}" -f bench/flops.awk)"
done >"$out/flops"

tree=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
[ -z "$(git status --porcelain 2>/dev/null)" ] || tree="$tree with changes"
about=$(awk '!seen[$0]++' "$out/about" | paste -s -d ';' - | sed 's/;/; /g')
sets=$(awk -F : '/^flags|^Features/ { n = split($2, f, " ")
    for (i = 1; i <= n; i++) if (f[i] ~ /^(sse4_2|avx2|fma|avx512(f|bw|vl|_bf16|_fp16)|avx_vnni|amx_(tile|bf16)|asimd|bf16|sve)$/) s = s " " f[i]
    print substr(s, 2); exit }' /proc/cpuinfo)
family=$(awk -F ': *' '/^(cpu family|model|model name)[ \t]*:/ { sub(/[ \t]+$/, "", $1); v[$1] = $2 } /^$/ { exit }
    END { print v["model name"] ", family " v["cpu family"] " model " v["model"] }' /proc/cpuinfo)
cat <<END
$(date -u +%Y-%m-%d), automix $tree ($(${CC:-cc} --version | head -n 1)), ${about:-nothing of ours ran}
PyTorch ${version:-none}${version:+ in $modes}${tcmalloc:+, $(basename "$tcmalloc")}
$family, $(nproc) cores: $sets; load before: ${load:-unknown}
batch 100, $threads threads, $by in ms, median (least-most) of $rounds rounds${quick:+$([ "$quick" = 1 ] && echo ', QUICK=1')}

END
awk -v cells="$*" -f bench/cpu.awk "$out/peak.json" "$out/flops" "$results"
