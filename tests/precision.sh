#!/bin/sh
# precision.sh: scripts/precision.sh trains once in each precision, goes on where it was cut, and tells the last epoch.
. "$(dirname "$0")/check.sh"
export AUTOMIX RESULTS="$T/results"
D=$T/s/shapes.data
R=$RESULTS/precision/tiny.shapes
run data shapes "$T/s" -train 60 -valid 30 -size 16
precisions() { timeout -k 5 100 scripts/precision.sh tests/tiny.cfg "$D" "$@" >"$T/out" 2>"$T/err" </dev/null; status=$?; }
says() { holds "$1" grep -qE -e "$2" "$T/out"; }

EPOCHS=30 PRECISIONS=bf16 timeout -k 5 100 scripts/precision.sh tests/tiny.cfg "$D" -threads 1 >"$T/out" 2>"$T/err" </dev/null &
pid=$!
cut=$R.30epochs.seed1.bf16
for _ in 1 2 3 4 5 6 7 8 9 10; do
    if [ -s "$cut/tiny.log.jsonl" ]; then break; fi
    sleep 0.3
done
kill -TERM $pid
wait $pid
holds "a training that is cut says so by its status" [ $? -ge 124 ]
holds "it was cut in the middle" [ ! -f "$cut/tiny_final.weights" ]
EPOCHS=30 PRECISIONS=bf16 precisions -threads 1
holds "run again it goes on to the end: $(tail -n 1 "$T/err")" [ "$status" -eq 0 ]
holds "from its checkpoint" grep -q 'resuming from' "$cut/err"
holds "one line an epoch" [ "$(wc -l <"$cut/tiny.log.jsonl")" -eq 30 ]
says "the table's row" '^\| bf16 \| 30 of 30 \| [0-9.]+ \| [0-9.]+ \| [0-9.]+ \| [0-9.]+ \| [0-9.]+ \| [0-9]+ \| simd: .*, bf16 \|$'

EPOCHS=2 precisions -threads 1
holds "three precisions are trained" [ "$status" -eq 0 ]
says "fp32" '^\| fp32 \| 2 of 2 \|.*, fp32 \|$'
says "fast" '^\| fast \| 2 of 2 \|.*fast'
before=$(stat -c %Y.%i "$R.2epochs.seed1.fp32/tiny_final.weights")
EPOCHS=2 precisions -threads 1
holds "what is done is not trained again" [ "$(stat -c %Y.%i "$R.2epochs.seed1.fp32/tiny_final.weights")" = "$before" ]

# the numbers of the last line, each in its column
echo '{"epoch":2,"loss":1.25,"student":{"one":{"loss":9,"top1":11,"topk":1},"mix":{"loss":9,"top1":12}},"teacher":{"one":{"loss":9,"top1":13},"mix":{"top1":1.4e+01}}}' \
    >"$R.2epochs.seed1.fp32/tiny.log.jsonl"
EPOCHS=2 PRECISIONS=fp32 precisions
says "every net and head in its column" '^\| fp32 \| 2 of 2 \| 1\.2500 \| 11\.00 \| 12\.00 \| 13\.00 \| 14\.00 \|'
echo '{"epoch":2,"loss":1.25,"student":{"one":{"loss":9,"top1":11,"topk":1}}}' >"$R.2epochs.seed1.fp32/tiny.log.jsonl"
EPOCHS=2 PRECISIONS=fp32 precisions
says "no column for what is not there" '^\| precision \| epoch \| loss \| student/one \| images/s \| backend \|$'
PRECISIONS=tf32 EPOCHS=1 precisions -backend simd
holds "a precision that the backend lacks is reported" sh -c "[ $status -eq 1 ] && grep -q 'fp32, bf16 or fast' '$T/err'"
says "and in the table" '^\| tf32 \| not begun \|'
precisions -precision bf16
holds "flags that are the script's own" [ "$status" -eq 2 ]
finish
