#!/bin/sh
# table.sh: runs the rows of a table of the paper and prints ours beside the published figures.
#
#     scripts/table.sh TABLE [-epochs N] [-trials N] [-gpus 0,1] [-print] [FLAG VALUE ...]
#
# TABLE is 1, 2, 3, 6, 8 or small (cfg/tables/TABLE.table), or a file of that form.  Every trial of every row is
# one training with its own seed and folder below results/; what is done is skipped, what was cut goes on
# from its checkpoint, so run it again until it is done.  With several GPUs a row runs on each.  Other flags
# (-threads, -backend, -precision, ...) go to every training.
#
#     -epochs N     instead of the table's own; such results are kept apart
#     -trials N     instead of the table's own
#     -print        only print what is done
#
# A row that ends in from=FILE begins with those weights, apart from the layers with fresh=1.
# A row that ends in of=COLUMN trains nothing: what that column trained is scored on DATA's corruptions, and its
# figure is the mean over 19 of them; where DATA's folder of corruptions is not there the cell says so.
#
# A row's trial is the median of its last epochs, a cell the mean of the trials; the head is the teacher's
# first, or the student's where there is no teacher.  Leaves results/TABLE/table.md and table.csv.
set -u
cd "$(dirname "$0")/.." || exit 1
AUTOMIX=${AUTOMIX:-./automix}
LC_ALL=C
export LC_ALL

die() {
    echo "table.sh: $*" >&2
    exit 2
}

table='' epochs='' trials='' gpus='' print=0 flags=''
while [ $# -gt 0 ]; do
    case $1 in
    -print) print=1 ;;
    -*)
        [ $# -gt 1 ] || die "$1 needs a value after it"
        case $1 in
        -epochs) epochs=$2 ;;
        -trials) trials=$2 ;;
        -gpus) gpus=$2 ;;
        -seed | -resume | -clear | -mix) die "$1 is not for tables; see the head of this script" ;;
        *) flags="$flags $1 $2" ;;
        esac
        shift ;;
    *)
        [ -z "$table" ] || die "one table at a time"
        table=$1 ;;
    esac
    shift
done
[ -n "$table" ] || die "which table? one of: $(ls cfg/tables | sed 's/\.table$//' | tr '\n' ' ')"
for n in "$epochs" "$trials"; do
    case $n in *[!0-9]* | 0) die "'$n' is not a number of epochs or trials" ;; esac
done
file=$table
[ -f "$file" ] || file=cfg/tables/$table.table
[ -f "$file" ] || die "there is no $file; tables: $(ls cfg/tables | sed 's/\.table$//' | tr '\n' ' ')"
table=$(basename "$file" .table)
out=${RESULTS:-results}/$table
[ -x "$AUTOMIX" ] || die "there is no $AUTOMIX; build it with: make"
mkdir -p "$out" || exit 1

# Lines of "number|row|column|data|cfg|epochs|published|needs", after what the table says of itself.
rows=$out/rows
awk -F '|' -v epochs="$epochs" -v file="$file" '
    function bad(why) { printf "%s:%d: %s\n", file, FNR, why >"/dev/stderr"; exit 2 }
    { gsub(/[ \t]*\|[ \t]*/, "|"); gsub(/^[ \t]+|[ \t\r]+$/, "") }
    /^#/ || /^$/ { next }
    /^[a-z]+ *=/ {
        key = value = $0
        sub(/ *=.*/, "", key)
        sub(/^[^=]*= */, "", value)
        if (key != "title" && key != "last" && key != "trials") bad("a table says title=, last= and trials=, not " key "=")
        print key "=" value
        next
    }
    NF < 6 || NF > 7 || (NF == 7 && $7 !~ /^(needs|of|from)=/) { bad("not ROW | COLUMN | DATA | CFG | EPOCHS | PUBLISHED [| needs=ROW, of=COLUMN or from=FILE]") }
    { $1 = $1; n++; print n, $1, $2, $3, $4, (epochs ? epochs : $5), $6, $7 }' OFS='|' "$file" >"$rows.part" || exit 2
mv "$rows.part" "$rows"
said() { sed -n "s/^$1=//p" "$rows"; }
last=$(said last)
[ -n "$trials" ] || trials=$(said trials)
last=${last:-10} trials=${trials:-3}

# where ROW-NUMBER TRIAL: the folder of one training
where() { awk -F '|' -v n="$1" -v t="$2" -v out="$out" '
    $1 == n { gsub(/[^A-Za-z0-9]+/, "-", $2); gsub(/[^A-Za-z0-9]+/, "-", $3); print out "/" $3 "." $2 "." $6 "epochs/" t }' "$rows"; }
field() { awk -F '|' -v n="$1" -v f="$2" '$1 == n { print $f }' "$rows"; }
base() { basename "$1" .cfg; }

# number_of ROW COLUMN
number_of() { awk -F '|' -v r="$1" -v c="$2" '$2 == r && $3 == c { print $1 }' "$rows"; }
corruptions_of() { sed -n 's/^[ \t]*corruptions[ \t]*=[ \t]*//p' "${1%% *}" | sed 's/[ \t\r]*$//'; }
absent() { case $(field "$1" 8) in of=*) [ ! -d "$(corruptions_of "$(field "$1" 4)")" ] ;; *) false ;; esac; }

# score ROW-NUMBER TRIAL [GPU]: another column's weights on corrupted images
score() {
    dir=$(where "$1" "$2") cfg=$(field "$1" 5) data=$(field "$1" 4) column=$(field "$1" 8)
    data=${data%% *}
    other=$(number_of "$(field "$1" 2)" "${column#of=}")
    weights=$(where "$other" "$2")/$(base "$(field "$other" 5)")_final.weights
    [ ! -f "$dir/valid.txt" ] || return 0
    if absent "$1"; then
        echo "table.sh: $(field "$1" 2), $(field "$1" 3) is left out: $(corruptions_of "$data") of $data is not there" >&2
        return 0
    fi
    [ -f "$weights" ] || { echo "table.sh: $dir needs $weights, which is not done" >&2; return 1; }
    mkdir -p "$dir" || return 1
    echo "$(field "$1" 2), $(field "$1" 3), trial $2: $dir" >&2
    # shellcheck disable=SC2086
    "$AUTOMIX" classifier valid "$data" "$cfg" "$weights" ${3:+-gpus "$3"} $flags >"$dir/valid.part" 2>>"$dir/err" </dev/null &
    child=$!
    wait $child && mv "$dir/valid.part" "$dir/valid.txt" && return 0
    echo "table.sh: $dir: $(tail -n 1 "$dir/err")" >&2
    return 1
}

# train ROW-NUMBER TRIAL [GPU]: one training, from where it stopped
train() {
    case $(field "$1" 8) in of=*) score "$@"; return ;; esac
    dir=$(where "$1" "$2") cfg=$(field "$1" 5) data=$(field "$1" 4)
    [ ! -f "$dir/$(base "$cfg")_final.weights" ] || return 0
    source=${data%% *} more=
    [ "$source" = "$data" ] || more=${data#* }
    [ -f "$cfg" ] && [ -f "$source" ] || { echo "table.sh: $cfg or $source is not there" >&2; return 1; }
    mkdir -p "$dir" || return 1
    { sed '/^[ \t]*backup[ \t]*=/d' "$source"; echo "backup=$dir"; echo "$more" | tr ' ' '\n'; } >"$dir/run.data"
    needs=$(field "$1" 8) begin=-resume
    case $needs in
    from=*)
        [ -f "$dir/$(base "$cfg")_last.weights" ] || begin=${needs#from=}
        [ "$begin" = -resume ] || [ -f "$begin" ] || { echo "table.sh: $cfg starts from $begin, which is not there" >&2; return 1; } ;;
    needs=*)
        other=$(number_of "${needs#needs=}" "$(field "$1" 3)")
        weights=$(where "$other" "$2")/$(base "$(field "$other" 5)")_final.weights
        [ -f "$weights" ] || { echo "table.sh: $cfg needs $weights, which is not done" >&2; return 1; }
        sed "s|^weights=.*|weights=$weights|" "$cfg" >"$dir/$(basename "$cfg")"
        cfg=$dir/$(basename "$cfg") ;;
    esac
    echo "$(field "$1" 2), $(field "$1" 3), trial $2: $dir" >&2
    # shellcheck disable=SC2086
    "$AUTOMIX" classifier train "$dir/run.data" "$cfg" "$begin" -seed "$2" -epochs "$(field "$1" 6)" \
        ${3:+-gpus "$3"} $flags >>"$dir/out" 2>>"$dir/err" </dev/null &
    child=$!
    wait $child
    status=$?
    [ -f "$dir/$(base "$cfg")_final.weights" ] && return 0
    echo "table.sh: $dir: exit status $status: $(tail -n 1 "$dir/err")" >&2
    return 1
}

# work NEEDING WORKER WORKERS [GPU]: every WORKERS-th of the rows that need (1) or do not need (0) another one
work() {
    child=
    trap 'trap "" INT TERM; [ -z "$child" ] || { kill "$child"; wait "$child"; } 2>/dev/null; exit 130' INT TERM
    good=0 k=0
    t=1
    while [ "$t" -le "$trials" ]; do
        for n in $(awk -F '|' -v needing="$1" '/^[0-9]/ && ($8 != "") == needing { print $1 }' "$rows"); do
            if [ $((k % $3)) -eq "$2" ]; then train "$n" "$t" ${4+"$4"} || good=1; fi
            k=$((k + 1))
        done
        t=$((t + 1))
    done
    return $good
}

failed=0
if [ "$print" -eq 0 ]; then
    workers=$(echo "$gpus" | tr ',' '\n' | wc -l)
    pids=
    trap 'trap "" INT TERM; for p in $pids; do kill "$p" 2>/dev/null; done; wait; exit 130' INT TERM
    for needing in 0 1; do
        pids= w=0
        for gpu in $(echo "${gpus:-none}" | tr ',' ' '); do
            if [ "$gpu" = none ]; then work $needing $w "$workers" & else work $needing $w "$workers" "$gpu" & fi
            pids="$pids $!"
            w=$((w + 1))
        done
        for p in $pids; do wait "$p" || failed=1; done
    done
fi

# ---- what is done ----
log_of() { echo "$(where "$1" "$2")/$(base "$(field "$1" 5)").log.jsonl"; }
{
    sed -n '/^[0-9]/!p' "$rows"
    for n in $(awk -F '|' '/^[0-9]/ { print $1 }' "$rows"); do
        t=1
        if absent "$n"; then echo "absent"; fi
        while [ "$t" -le "$trials" ]; do
            scores=$(where "$n" "$t")/valid.txt
            [ ! -f "$scores" ] || sed -n "s|^[a-z]*/one mean of 19 corruptions: .* top-1 \([0-9.]*\) %.*|score $n $t \1|p" "$scores" | head -n 1
            log=$(log_of "$n" "$t")
            [ ! -f "${log%.log.jsonl}_final.weights" ] || sed "s/^/trial $n $t $last /" "$log"
            t=$((t + 1))
        done
        sed -n "s/^$n|/row|$n|/p" "$rows"
    done
} | awk -v table="$table" -v csv="$out/table.csv" -v trials="$trials" -f scripts/table.awk >"$out/table.md"
cat "$out/table.md"
if [ $failed -ne 0 ]; then echo "table.sh: some trainings failed or were stopped; run this again to go on" >&2; fi
exit $failed
