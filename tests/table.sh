#!/bin/sh
# table.sh: scripts/table.sh trains a table's rows, goes on where it was killed, and reckons by the protocol.
. "$(dirname "$0")/check.sh"
export AUTOMIX RESULTS="$T/results"
table() { timeout -k 5 100 scripts/table.sh "$@" -threads 1 >"$T/out" 2>"$T/err" </dev/null; status=$?; }
says() { holds "$1" grep -qE -e "$2" "$T/out"; }

# ---- the protocol: medians of logs that are made up ----
cat >"$T/sums.table" <<END
# a comment
title  = Sums
last   = 3
trials = 2
A  | one | x.data | a.cfg | 5 | 80.5
B  | one | x.data | b.cfg | 5 | -
A  | two | y.data | c.cfg | 5 | 70.00
END
log() { # log FOLDER BASE TOP1...: epochs; the teacher's decides where there is one
    mkdir -p "$RESULTS/sums/$1"
    to=$RESULTS/sums/$1/$2.log.jsonl base=$2
    : >"${to%.log.jsonl}_final.weights"
    shift 2
    for v in "$@"; do
        case $base in
        a) echo "{\"epoch\":1,\"student\":{\"one\":{\"loss\":1.5,\"top1\":$v,\"topk\":99}}}" ;;
        *) echo "{\"epoch\":1,\"student\":{\"one\":{\"loss\":1.5,\"top1\":1,\"topk\":99},\"mix\":{\"loss\":1,\"top1\":2}},\"teacher\":{\"one\":{\"loss\":2e-05,\"top1\":$v,\"topk\":99},\"mix\":{\"loss\":2,\"top1\":3}}}" ;;
        esac
    done >"$to"
    echo '{"epoch":9,"loss":2.1}' >>"$to"
}
log one.A.5epochs/1 a 99 99 81 83 82
log one.A.5epochs/2 a 10 80 79 90
log one.B.5epochs/1 b 50 60 61.5
table "$T/sums.table" -print
holds "printing alone: status 0" [ "$status" -eq 0 ]
says "the title" '^Sums$'
says "the mean of the trials' medians, their deviation, the published figure; and what is not done" '^\| A \| 81\.00 ± 1\.41 \(80\.5\) \| - \(70\.00\) \|$'
says "one trial of two, of the teacher" '^\| B \| 60\.00, 1 of 2 trials \|  \|$'
holds "a line of CSV a cell" grep -qxF 'sums,"A","one",a.cfg,5,2,81.00,1.41,80.5' "$RESULTS/sums/table.csv"
rm "$RESULTS/sums/one.A.5epochs/2/a_final.weights"
table "$T/sums.table" -print
says "a trial that is not done does not count" '^\| A \| 82\.00, 1 of 2 trials \(80\.5\)'
table "$T/sums.table" -print -epochs 2
says "other epochs are other results" '^\| A \| - \(80\.5\)'

# ---- trainings ----
run data shapes "$T/s" -train 60 -valid 30 -size 16
sed '/^\[mixblock\]/,$d' tests/tiny.cfg >"$T/plain.cfg"
cp tests/tiny.cfg "$T/mixed.cfg"
{ cat "$T/plain.cfg"; printf '[mix]\nmethod=attentivemix\nlayer=features\nweights=none\n'; } >"$T/attentive.cfg"
cat >"$T/small.table" <<END
title=Shapes
last=10
trials=2
plain  | top-1 | $T/s/shapes.data              | $T/plain.cfg     | 3 | 50.00
needs  | top-1 | $T/s/shapes.data              | $T/attentive.cfg | 3 | - | needs=plain
+mixed | top-1 | $T/s/shapes.data per_class=4  | $T/mixed.cfg     | 3 | -
+mixed | worse | $T/worse.data                 | $T/mixed.cfg     | 3 | 12.00 | of=top-1
END
{ cat "$T/s/shapes.data"; echo "corruptions = $T/worse"; } >"$T/worse.data"
timeout -k 5 100 scripts/table.sh "$T/small.table" -threads 1 >"$T/out" 2>"$T/err" </dev/null &
pid=$!
first=$RESULTS/small/top-1.plain.3epochs/1/plain_final.weights
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
    if [ -f "$first" ]; then break; fi
    sleep 1
done
holds "the first training ends" [ -f "$first" ]
kill -TERM $pid
wait $pid
holds "a table that is killed says so by its status" [ $? -ge 124 ]
before=$(cksum <"$first"; stat -c %Y "$first")
sleep 1
table "$T/small.table"
holds "run again it goes on to the end: $(tail -n 1 "$T/err")" [ "$status" -eq 0 ]
holds "and leaves what was done alone" [ "$(cksum <"$first"; stat -c %Y "$first")" = "$before" ]
says "a row" '^\| plain \| [0-9.]+ ± [0-9.]+ \(50\.00\) \|'
says "a row that needed another" '^\| needs \| [0-9.]+ ± [0-9.]+ \|'
says "a row that needed neither" '^\| \+mixed \| [0-9.]+ ± [0-9.]+ \|'
holds "three epochs each" [ "$(cat "$RESULTS"/small/*/*/*.log.jsonl | wc -l)" -eq 18 ]
holds "trials differ" sh -c "! cmp -s '$first' '$RESULTS/small/top-1.plain.3epochs/2/plain_final.weights'"
says "images that are not there" '^\| \+mixed \| [0-9.]+ ± [0-9.]+ \| no data \(12\.00\) \|$'
holds "and a word about them" grep -q "is left out: $T/worse of $T/worse.data is not there" "$T/err"

# ---- corrupted images: 19 files of five severities of two images, 16 x 16 ----
npy() { printf '\223NUMPY\001\000\166\000%-117s\n' "{'descr': '|u1', 'fortran_order': False, 'shape': ($1), }"; }
mkdir "$T/worse"
{ npy 10,; printf '\000\001\000\001\000\001\000\001\000\001'; } >"$T/worse/labels.npy"
for name in gaussian_noise shot_noise impulse_noise speckle_noise defocus_blur glass_blur motion_blur zoom_blur \
    gaussian_blur snow frost fog spatter brightness contrast saturate elastic_transform pixelate jpeg_compression; do
    { npy "10, 16, 16, 3"; head -c 7680 "$AUTOMIX"; } >"$T/worse/$name.npy"
done
mv "$T/worse/fog.npy" "$T/fog.npy"
run classifier valid "$T/worse.data" "$T/mixed.cfg" "$RESULTS/small/top-1.-mixed.3epochs/1/mixed_final.weights"
holds "valid says what is lacking" grep -q '^teacher/one mean of 18 of 19 corruptions: 180 images' "$T/out"
mv "$T/fog.npy" "$T/worse/fog.npy"
table "$T/small.table"
holds "their column is scored: $(tail -n 1 "$T/err")" [ "$status" -eq 0 ]
says "and printed" '^\| \+mixed \| [0-9.]+ ± [0-9.]+ \| [0-9.]+ ± [0-9.]+ \(12\.00\) \|$'
scores=$RESULTS/small/worse.-mixed.3epochs/2/valid.txt
holds "as the teacher's first head scores them" grep -qF ",$(awk '/^teacher\/one mean of 19/ { sum += $9 } END { printf "%.2f", sum / 2 }' \
    "$RESULTS"/small/worse.-mixed.3epochs/?/valid.txt)," "$RESULTS/small/table.csv"
holds "19 corruptions and two means of each net and head, after the clean ones" [ "$(wc -l <"$scores")" -eq 88 ]
rm -rf "$T/s"
table "$T/small.table"
holds "what is done is not trained again" [ "$status" -eq 0 ]

# ---- a row that begins with given weights ----
run data shapes "$T/s" -train 60 -valid 30 -size 16
sed 's/^\[connected\]/&\nfresh=1/' "$T/plain.cfg" >"$T/tuned.cfg"
printf 'title=Tuned\ntrials=1\ntuned | top-1 | %s | %s | 1 | - | from=%s\n' \
    "$T/s/shapes.data" "$T/tuned.cfg" "$T/start.weights" >"$T/tuned.table"
table "$T/tuned.table"
holds "weights that are not there" grep -q 'tuned\.cfg starts from .*start\.weights, which is not there' "$T/err"
holds "are a fault" [ "$status" -eq 1 ]
cp "$RESULTS/small/top-1.plain.3epochs/1/plain_final.weights" "$T/start.weights"
table "$T/tuned.table"
holds "weights that are there: $(tail -n 1 "$T/err")" [ "$status" -eq 0 ]
holds "but the head starts fresh" grep -q '^. layers\{0,1\} starts\{0,1\} fresh' "$RESULTS/tuned/top-1.tuned.1epochs/1/err"
rm "$RESULTS/tuned/top-1.tuned.1epochs/1/tuned_final.weights"
table "$T/tuned.table"
holds "what was cut goes on from its checkpoint" grep -q '^resuming from' "$RESULTS/tuned/top-1.tuned.1epochs/1/err"
rm -rf "$T/s"

# ---- what is refused, and the tables of the paper ----
table nothing
holds "a table that is not there" [ "$status" -eq 2 ]
table small -epochs many
holds "epochs that are no number" [ "$status" -eq 2 ]
echo 'A | b | c' >"$T/short.table"
table "$T/short.table"
holds "a row with too few fields" [ "$status" -eq 2 ]
for f in cfg/tables/*.table; do
    table "$(basename "$f" .table)" -print
    holds "$f prints" [ "$status" -eq 0 ]
    holds "$f names cfgs and data that are there" awk -F ' *[|] *' '/^#/ || !NF || /^[a-z]+ *=/ { next }
        { n++; split($3, d, " ") }
        (getline line <$4) < 0 { print $4; bad = 1 }
        (getline line <d[1]) < 0 { print d[1]; bad = 1 }
        END { exit bad || !n }' "$f"
done
finish
