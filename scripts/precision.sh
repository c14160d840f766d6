#!/bin/sh
# precision.sh: trains one cfg in fp32, bf16 and fast, one after the other, and prints a Markdown table of the last epoch:
# loss, top-1 of every net and head, images a second.
#
#     scripts/precision.sh [CFG [DATA]] [FLAG VALUE ...]       default: cfg/small_automix.cfg cfg/cifar100_slice.data
#
#     EPOCHS=30 SEED=1                of every training
#     PRECISIONS="fp32 bf16 fast"
#     RESULTS=results                 a folder below RESULTS/precision for each training
#
# What is done is skipped, what was cut goes on from its checkpoint, so run it again until it is done.  Flags
# (-threads, -backend, ...) go to every training; results of other flags need another RESULTS.
set -u
cd "$(dirname "$0")/.." || exit 1
AUTOMIX=${AUTOMIX:-./automix}
LC_ALL=C
export LC_ALL

die() {
    echo "precision.sh: $*" >&2
    exit 2
}

cfg='' data=''
while [ $# -gt 0 ]; do
    case $1 in
    -*) break ;;
    *)
        [ -z "$data" ] || die "'$1': only CFG and DATA come before the flags"
        if [ -z "$cfg" ]; then cfg=$1; else data=$1; fi ;;
    esac
    shift
done
case " $* " in *' -precision '* | *' -seed '* | *' -epochs '* | *' -resume '* | *' -clear '*)
    die "-precision, -seed, -epochs and -resume are this script's own; see its head" ;;
esac
cfg=${cfg:-cfg/small_automix.cfg} data=${data:-cfg/cifar100_slice.data}
epochs=${EPOCHS:-30} seed=${SEED:-1} precisions=${PRECISIONS:-fp32 bf16 fast}
for f in "$cfg" "$data"; do [ -f "$f" ] || die "there is no $f"; done
[ -x "$AUTOMIX" ] || die "there is no $AUTOMIX; build it with: make"
base=$(basename "$cfg" .cfg)
out=${RESULTS:-results}/precision
folder() { echo "$out/$base.$(basename "$data" .data).${epochs}epochs.seed$seed.$1"; }

child=
trap 'trap "" INT TERM; [ -z "$child" ] || { kill "$child"; wait "$child"; } 2>/dev/null; exit 130' INT TERM
failed=0
for precision in $precisions; do
    dir=$(folder "$precision")
    [ ! -f "$dir/${base}_final.weights" ] || continue
    mkdir -p "$dir" || exit 1
    { sed '/^[ \t]*backup[ \t]*=/d' "$data"; echo "backup=$dir"; } >"$dir/run.data"
    echo "$precision: $dir" >&2
    "$AUTOMIX" classifier train "$dir/run.data" "$cfg" -precision "$precision" -epochs "$epochs" -seed "$seed" -resume "$@" \
        >>"$dir/out" 2>>"$dir/err" </dev/null &
    child=$!
    wait $child
    status=$?
    child=
    [ ! -f "$dir/${base}_final.weights" ] || continue
    echo "precision.sh: $dir: exit status $status: $(tail -n 1 "$dir/err")" >&2
    failed=1
done

echo "$cfg on $data, $epochs epochs, seed $seed${*:+, $*}"
echo
for precision in $precisions; do
    dir=$(folder "$precision")
    echo "precision $precision"
    sed -n '/^backend /p' "$dir/err" 2>/dev/null | tail -n 1
    sed -n 's/.*, \([0-9.]*\) images\/s,.*/speed \1/p' "$dir/out" 2>/dev/null | sort -k2,2n
    tail -n 1 "$dir/$base.log.jsonl" 2>/dev/null
done | awk -v epochs="$epochs" '
    function top1(net, head,  s) {
        if (!match($0, "\"" net "\":[{]\"one\":[{].*")) return "-"
        s = substr($0, RSTART, RLENGTH)
        if (!match(s, "\"" head "\":[{][^}]*\"top1\":[-0-9.e+]+")) return "-"
        s = substr(s, RSTART, RLENGTH)
        sub(/.*:/, "", s)
        return sprintf("%.2f", s)
    }
    function field(key) {
        return match($0, "\"" key "\":[-0-9.e+]+") ? substr($0, RSTART + length(key) + 3, RLENGTH - length(key) - 3) : "-"
    }
    /^precision / { row[++n] = $2; next }
    /^backend / { about[n] = substr($0, 9); next }
    /^speed / { speed[n, ++speeds[n]] = $2; next }
    {
        epoch[n] = field("epoch") " of " epochs
        loss[n] = field("loss")
        for (i = 1; i <= 4; i++) {
            value[n, i] = top1(i > 2 ? "teacher" : "student", i % 2 ? "one" : "mix")
            if (value[n, i] != "-") shown[i] = 1
        }
    }
    END {
        split("student/one student/mix teacher/one teacher/mix", name, " ")
        head = "| precision | epoch | loss |"
        rule = "| --- | ---: | ---: |"
        for (i = 1; i <= 4; i++) if (shown[i]) { head = head " " name[i] " |"; rule = rule " ---: |" }
        print head " images/s | backend |"
        print rule " ---: | --- |"
        for (k = 1; k <= n; k++) {
            line = sprintf("| %s | %s | %s |", row[k], k in epoch ? epoch[k] : "not begun", k in loss ? sprintf("%.4f", loss[k]) : "-")
            for (i = 1; i <= 4; i++) if (shown[i]) line = line " " ((k, i) in value ? value[k, i] : "-") " |"
            s = speeds[k] ? sprintf("%.0f", speed[k, int((speeds[k] + 1) / 2)]) : "-"
            print line " " s " | " (k in about ? about[k] : "-") " |"
        }
    }'
[ $failed -eq 0 ] || echo "precision.sh: some trainings failed or were stopped; run this again to go on" >&2
exit $failed
