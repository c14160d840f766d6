#!/bin/sh
# fifty.sh: trains 50 updates of each method on CIFAR-100 and says whether its loss is finite and falls.
#
#     scripts/fifty.sh [CFG ...] [NAME=VALUE ...] [-FLAG VALUE ...]       default: every cfg/small_*.cfg
#
# NAME=VALUE goes to make, which then builds the program first: SAN=address,undefined, CC=clang.  Flags (-backend,
# -threads, -precision, ...) go to every training.
#
#     DATA=data/cifar-100-binary      the folder of train.bin and test.bin; scripts/get_cifar100.sh fetches it
#     AUTOMIX=./automix               the program, where make builds none
#
# A row tells the student's loss, the mean of what it learns of clean and of mixed images, over the first and over the
# last ten updates.  It falls where the second mean is lower by more than twice the standard error of their difference:
# what the batches' chance alone does one time in forty.  PatchUp's loss counts twice in those updates that mix
# features, and is halved there; they are told by its size, as a net that knows nothing has log 100 of it.  The last
# line is "N passed, N failed".
set -u
cd "$(dirname "$0")/.." || exit 1
LC_ALL=C OMP_WAIT_POLICY=passive
export LC_ALL OMP_WAIT_POLICY

die() {
    echo "fifty.sh: $*" >&2
    exit 2
}

cfgs='' make='' flags=''
while [ $# -gt 0 ]; do
    case $1 in
    -epochs | -seed | -resume | -clear | -batch | -mix) die "$1 is not for fifty updates; see the head of this script" ;;
    -*)
        [ $# -gt 1 ] || die "$1 needs a value after it"
        flags="$flags $1 $2"
        shift ;;
    *.cfg) cfgs="$cfgs $1" ;;
    [A-Z]*=*) make="$make $1" ;;
    *) die "'$1' is no CFG, no NAME=VALUE and no -FLAG" ;;
    esac
    shift
done
cfgs=${cfgs:-$(echo cfg/small_*.cfg)} data=${DATA:-data/cifar-100-binary}
for f in $cfgs; do [ -f "$f" ] || die "there is no $f"; done
for f in "$data/train.bin" "$data/test.bin"; do
    [ -f "$f" ] || die "there is no $f; scripts/get_cifar100.sh fetches CIFAR-100"
done
# shellcheck disable=SC2086 # words for make
if [ -n "$make" ]; then
    AUTOMIX=$(make -s --no-print-directory where $make)/automix
    make -s $make "$AUTOMIX" >&2 || die "the build failed"
fi
AUTOMIX=${AUTOMIX:-./automix}
[ -x "$AUTOMIX" ] || die "there is no $AUTOMIX; build it with: make"

T=$(mktemp -d) || exit 1
child=
trap 'rm -rf "$T"' EXIT
trap 'trap "" INT TERM; [ -z "$child" ] || { kill "$child"; wait "$child"; } 2>/dev/null; exit 130' INT TERM
# 100 images to validate: a record is two labels and 32 x 32 pixels of three colours
head -c $((100 * (2 + 3072))) "$data/test.bin" >"$T/valid.bin"

# fifty CFG: one epoch of 50 updates; leaves BASE.out, BASE.err and BASE_final.weights in $T
fifty() {
    base=$(basename "$1" .cfg)
    batch=$(sed -n 's/^[ \t]*batch[ \t]*=[ \t]*\([0-9]*\).*/\1/p' "$1" | head -n 1)
    printf '%s\n' classes=100 format=cifar100 "train=$data/train.bin" "valid=$T/valid.bin" "backup=$T" \
        "per_class=$((50 * ${batch:-1} / 100))" >"$T/$base.data"
    sed "s/^\[net\]/&\nlog_every=1/; /^log_every=/d; s|^weights=.*small_none_final|weights=$T/small_none_final|" \
        "$1" >"$T/$base.cfg"
    # shellcheck disable=SC2086 # flags are words
    "$AUTOMIX" classifier train "$T/$base.data" "$T/$base.cfg" -epochs 1 -seed 1 $flags \
        >"$T/$base.out" 2>"$T/$base.err" </dev/null &
    child=$!
    wait $child
    status=$?
    child=
    return $status
}

passed=0 failed=0
printf '%-24s %-8s %8s %8s\n' cfg "" first last
for cfg in $cfgs; do
    if grep -q '^weights=.*small_none_final' "$cfg" && [ ! -f "$T/small_none_final.weights" ]; then
        fifty cfg/small_none.cfg
    fi
    fifty "$cfg"
    status=$?
    twice=$(grep -c '^method=patchup' "$cfg")
    verdict=$(awk -v status=$status -v twice="$twice" '
        function of(name) {
            return match($0, name " [^,]*") ? substr($0, RSTART + length(name) + 1, RLENGTH - length(name) - 1) : ""
        }
        # the mean and, squared, its standard error
        function look(from, to,  i, m, v) {
            for (i = from; i <= to; i++) m += loss[i] / (to - from + 1)
            for (i = from; i <= to; i++) v += (loss[i] - m) ^ 2 / (to - from) / (to - from + 1)
            mean = m
            square = v
        }
        /^[0-9]+, [0-9.]+: / {
            clean = of("clean")
            mixed = of("mixed")
            if ($3 !~ /^[0-9.]+,$/ || clean mixed !~ /^[0-9.]+$/) endless = 1
            loss[++n] = clean != "" && mixed != "" ? (clean + mixed) / 2 : clean + mixed
            if (twice && loss[n] > 1.5 * log(100)) loss[n] /= 2
        }
        END {
            if (n < 50) { printf "FAILED %8s %8s  %d updates, exit status %d", "-", "-", n, status; exit }
            look(1, 10)
            first = mean
            error = square
            look(n - 9, n)
            why = endless ? "not finite" : status ? "exit status " status : n > 50 ? n " updates" : \
                first - mean <= 2 * sqrt(error + square) ? "does not fall" : ""
            printf "%-8s %8.3f %8.3f%s%s", why == "" ? "ok" : "FAILED", first, mean, why == "" ? "" : "  ", why
        }' "$T/$base.out")
    printf '%-24s %s\n' "$base" "$verdict"
    case $verdict in
    ok*) passed=$((passed + 1)) ;;
    *)
        failed=$((failed + 1))
        grep -vE '^(backend|small_)' "$T/$base.err" | head -n 20 | sed 's/^/    /' ;;
    esac
done
sed -n '/^backend /p' "$T/$base.err" | head -n 1
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
