#!/bin/sh
# cli.sh: the command line as a person meets it: exit 0, 1 for bad input or a fault, 2 for wrong
# usage, never a signal; a refusal is one line that says where and what next.
. "$(dirname "$0")/check.sh"

# expect STATUS REGEX ARGUMENTS...: the exit status, and what the one line "automix: ..." says.
# Other lines of standard error are chatter of a run that had begun.
expect() {
    want=$1 regex=$2
    shift 2
    run "$@"
    judge "$*"
}

judge() {
    said=$(grep -c '^automix: ' "$T/err")
    if [ "$status" -ne "$want" ]; then
        bad "exit status $status instead of $want: automix $1"
    elif [ "$want" -ne 0 ] && [ "$said" -ne 1 ]; then
        bad "$said lines begin with 'automix: ', not one: automix $1"
    elif ! grep -qE -e "$regex" "$T/err" "$T/out"; then
        bad "says something other than '$regex': automix $1"
    else
        good
        return
    fi
    tail -n 4 "$T/err"
}

# ---- a small set, a small network, and what training leaves ----
cp tests/tiny.cfg "$T/tiny.cfg"
plain() { sed '/^\[mixblock\]/,$d' tests/tiny.cfg; }
plain >"$T/plain.cfg"
plain | sed 's/^filters=8/filters=6/' >"$T/other.cfg"
plain | sed 's/^output=10/output=7/' >"$T/seven.cfg"

expect 0 'shapes\.data$' data shapes "$T/s" -train 100 -valid 50 -size 16
D=$T/s/shapes.data B=$T/s/backup W=$T/s/backup/tiny_final.weights
data() { grep -v "^$1=" "$D"; shift; printf '%s\n' "$@"; } # data KEY LINE...: the set's .data with other lines

expect 0 '^epoch 2 of 2: teacher/one loss' classifier train "$D" "$T/tiny.cfg" -threads 1
number='-?[0-9]+\.[0-9]{6}'
lines=$(grep -cE "^[0-9]+, [0-9]+\.[0-9]{3}: $number, $number avg, $number rate, $number seconds, [0-9]+ images(,|\$)" "$T/out")
holds "a line for each of 10 updates, as Darknet writes them; found $lines" [ "$lines" -eq 10 ]
holds "the images seen are those of the updates" grep -qE '^10, 2\.000: .* 200 images' "$T/out"
for name in tiny_last.weights tiny_best.weights tiny_final.weights tiny.log.jsonl tiny.chart.png tiny.sheet.png; do
    holds "training leaves $name" [ -s "$B/$name" ]
done
holds "training leaves nothing half-written" [ -z "$(ls "$B" | grep -E 'part|write-test')" ]
cat >"$T/json.c" <<'C'
#include <cjson/cJSON.h>
#include <stdio.h>
int main(void)
{
    static char line[65536];
    int n = 0;
    while (fgets(line, sizeof line, stdin)) {
        const char *end;
        cJSON *o = cJSON_ParseWithOpts(line, &end, 0);
        if (!cJSON_IsObject(o) || *end != '\n') return 1;
        if (!cJSON_IsNumber(cJSON_GetObjectItem(o, "epoch")) && !cJSON_IsString(cJSON_GetObjectItem(o, "cfg"))) return 1;
        cJSON_Delete(o);
        n++;
    }
    printf("%d\n", n);
    return 0;
}
C
holds "a program for JSON compiles" ${CC:-cc} "$T/json.c" -o "$T/json" -lcjson
holds "the log has an object for each of 2 epochs" [ "$("$T/json" <"$B/tiny.log.jsonl")" = 2 ]
holds "the log knows the teacher's accuracy" grep -q '"teacher":{"one":{"loss":.*"top1":' "$B/tiny.log.jsonl"

expect 0 'teacher/one: 50 images, loss' classifier valid "$D" "$T/tiny.cfg" "$W"
expect 0 'student/mix: 50 images, loss' classifier valid "$D" "$T/tiny.cfg" "$W" -net student -head mix
holds "-net and -head choose one line" [ "$(wc -l <"$T/out")" -eq 1 ]
expect 0 'top-1 [0-9.]+ %, top-2 [0-9.]+ %, ECE [0-9.]+ %, gap [+-][0-9.]+ %$' classifier valid "$D" "$T/tiny.cfg" "$W" -bins "$T/bins.csv"
holds "-bins leaves 15 lines for each of 4 heads, and what they are" [ "$(wc -l <"$T/bins.csv")" -eq 61 ]
expect 1 'none/bins\.csv: cannot be written' classifier valid "$D" "$T/tiny.cfg" "$W" -bins "$T/none/bins.csv"
holds "a file that cannot be written does not hide the scores" [ "$(wc -l <"$T/out")" -eq 4 ]
holds "the log knows how calibrated each head is" grep -q '"teacher":{"one":{[^}]*"ece":[0-9.]*,"gap":[0-9.-]*}' "$B/tiny.log.jsonl"
expect 0 'sheet\.png$' classifier sheet "$D" "$T/tiny.cfg" "$W" "$T/sheet.png" -lambda 0,0.5,1 -n 2
expect 0 '"overlap":' classifier masks "$D" "$T/tiny.cfg" "$W"
expect 0 'all\.png$' classifier sheet "$D" "$T/tiny.cfg" "$W" "$T/all.png" -mix all
expect 0 '%: ' classifier predict "$D" "$T/tiny.cfg" "$W" "$T/sheet.png" "$B/tiny.chart.png" "$B/tiny.sheet.png" -t 3
expect 0 'parameters' net "$T/tiny.cfg"
expect 0 'resuming from' classifier train "$D" "$T/tiny.cfg" -resume -threads 1
expect 0 'weights from' classifier train "$D" "$T/plain.cfg" "$W" -epochs 1 -threads 1
cp "$B/plain_final.weights" "$T/plain.weights"
sed 's/^\[connected\]/&\nfresh=1/; s/^\[mixblock\]/&\nfresh=1/' tests/tiny.cfg >"$T/tuned.cfg"
expect 0 '^[0-9] layers start fresh: [0-9]+ \[connected\], [0-9]+ \[connected\], [0-9]+ \[mixblock\]$' \
    classifier train "$D" "$T/tuned.cfg" "$T/plain.weights" -epochs 1 -threads 1
expect 0 'resuming from' classifier train "$D" "$T/tuned.cfg" -epochs 2 -threads 1 -resume
expect 0 'no WEIGHTS are given: every layer starts fresh' classifier train "$D" "$T/tuned.cfg" -epochs 1 -threads 1
expect 1 'plain\.weights: has no tensor .*; fresh=1 in that section' classifier train "$D" "$T/tiny.cfg" "$T/plain.weights"
expect 0 '"mix":"comixup"' bench "$T/tiny.cfg" -steps 1 -threads 1 -batch 4 -mix all
holds "bench -mix all prints one JSON object a method" [ "$("$T/json" <"$T/out")" -gt 10 ]
holds "AttentiveMix too, which in a training wants a file" grep -q '"mix":"attentivemix".*"ratio":' "$T/out"
holds "and GridMix, which in a training wants a classifier of cells" grep -q '"mix":"gridmix".*"ratio":' "$T/out"
printf '[mix]\nmethod=attentivemix\nweights=%s\n' "$T/none.weights" | cat "$T/plain.cfg" - >"$T/attentive.cfg"
expect 0 'method        attentivemix' net "$T/attentive.cfg"
expect 1 'none\.weights: no such file' classifier train "$D" "$T/attentive.cfg"
expect 0 '"ms_per_step":' bench "$T/tiny.cfg" -steps 2 -threads 1
holds "bench prints one JSON object" [ "$("$T/json" <"$T/out")" = 1 ]

expect 0 '"what":"eval","mix":"automix"' bench "$T/tiny.cfg" -eval -steps 2 -threads 1 -batch 7
holds "bench -eval is at the batch asked for" grep -q '"batch":7,' "$T/out"
holds "bench -eval prints one JSON object" [ "$("$T/json" <"$T/out")" = 1 ]
holds "the process holds more than the backend" sh -c "sed 's/.*\"peak_bytes\":\([0-9]*\),\"rss_bytes\":\([0-9]*\).*/[ \1 -gt 0 ] \&\& [ \2 -gt \1 ]/' '$T/out' | sh"

# ---- usage ----
expect 2 'see: automix help'
expect 2 "there is no command 'clasifier'" clasifier
expect 2 'needs one more word: train, valid' classifier
expect 2 "knows no 'trian'; it knows train" classifier trian
expect 2 'needs one more word: shapes' data
expect 2 "knows no 'cifar'" data cifar
expect 2 'use: automix classifier train DATA CFG' classifier train
expect 2 'too few words' classifier train "$D"
expect 2 'too many words' classifier train "$D" "$T/tiny.cfg" "$W" x
expect 2 'too few words' classifier valid "$D" "$T/tiny.cfg"
expect 2 'too few words' classifier predict "$D" "$T/tiny.cfg"
expect 2 'too few words' classifier sheet "$D" "$T/tiny.cfg" "$W"
expect 2 'too few words' classifier masks "$D"
expect 2 'too few words' classifier replay "$T/tiny.cfg"
expect 2 'too few words' net
expect 2 'too few words' bench
expect 2 'too few words' data shapes
expect 2 'there is no flag -frob' classifier train "$D" "$T/tiny.cfg" -frob
expect 2 'there is no flag -epoch; did you mean -epochs' classifier train "$D" "$T/tiny.cfg" -epoch 3
expect 2 'this command knows no flag -steps' classifier train "$D" "$T/tiny.cfg" -steps 3
expect 2 '-epochs needs a value' classifier train "$D" "$T/tiny.cfg" -epochs
expect 2 '-epochs many: a whole number' classifier train "$D" "$T/tiny.cfg" -epochs many
expect 2 '-epochs 0: a whole number from 1' classifier train "$D" "$T/tiny.cfg" -epochs 0
expect 2 '-seed -1: a whole number' classifier train "$D" "$T/tiny.cfg" -seed -1
expect 2 '-seed 1e3: a whole number' classifier train "$D" "$T/tiny.cfg" -seed 1e3
expect 2 '-threads 0: a whole number' classifier train "$D" "$T/tiny.cfg" -threads 0
expect 2 '-batch 99999999999999999999: a whole' classifier train "$D" "$T/tiny.cfg" -batch 99999999999999999999
expect 2 "no backend is called 'cdua'" classifier train "$D" "$T/tiny.cfg" -backend cdua
expect 2 'precision=fp8' classifier train "$D" "$T/tiny.cfg" -precision fp8
expect 2 '-gpus one: a whole number' classifier train "$D" "$T/tiny.cfg" -gpus one
expect 2 'trains on one GPU' classifier train "$D" "$T/tiny.cfg" -gpus 0,1
expect 2 '-resume goes on from' classifier train "$D" "$T/tiny.cfg" "$W" -resume
expect 2 'has seed 1; leave -seed away' classifier train "$D" "$T/tiny.cfg" -resume -seed 5
expect 2 'teacher or student' classifier valid "$D" "$T/tiny.cfg" "$W" -net pupil
expect 2 'one or mix' classifier valid "$D" "$T/tiny.cfg" "$W" -head two
expect 2 'no \[momentum_teacher\]' classifier valid "$D" "$T/plain.cfg" "$T/plain.weights" -net teacher
expect 2 '-lambda 2: up to 16 numbers' classifier sheet "$D" "$T/tiny.cfg" "$W" "$T/x.png" -lambda 2
expect 2 '-lambda 0,,1: up to 16' classifier sheet "$D" "$T/tiny.cfg" "$W" "$T/x.png" -lambda 0,,1
expect 2 '-lambda : up to 16' classifier sheet "$D" "$T/tiny.cfg" "$W" "$T/x.png" -lambda ''
expect 2 '-n 0: a whole' classifier sheet "$D" "$T/tiny.cfg" "$W" "$T/x.png" -n 0
expect 2 '-t 0: a whole' classifier predict "$D" "$T/tiny.cfg" "$W" -t 0
expect 2 '-steps none: a whole' bench "$T/tiny.cfg" -steps none
expect 2 'leave one of them out' bench "$T/tiny.cfg" -eval -mix cutmix
expect 2 '-size 8: a whole number from 16' data shapes "$T/none" -size 8
expect 2 '-mix: method=cutmx: no such method; did you mean' classifier train "$D" "$T/tiny.cfg" -mix cutmx
expect 1 '\[mixblock\]' classifier train "$D" "$T/plain.cfg" -mix automix

# ---- help ----
expect 0 'automix classifier train' help
cp "$T/out" "$T/overview"
words=$(sed -n '/^automix help WORD/,/^Backends/s/^    \([a-z_0-9]*\) .*/\1/p' "$T/overview")
holds "help lists sections, layers and methods" [ "$(echo "$words" | wc -l)" -gt 15 ]
for word in $words \
    train valid predict sheet masks replay net bench shapes help; do
    expect 0 '[a-z]' help "$word"
done
expect 0 'classifier valid' help classifier valid
expect 0 '^automix trains image classifiers' --help
expect 0 '^### \[net\]' -h net
expect 2 "no help on 'convolutoinal'; did you mean 'convolutional'" help convolutoinal
expect 2 'automix help lists what there is' help qqqqqqqqqq
expect 0 '^# What a cfg may say' reference
if [ -e cfg/README.md ]; then
    run reference
    holds "cfg/README.md is stale: run make docs" cmp "$T/out" cfg/README.md
else
    bad "cfg/README.md is not there: run make docs"
fi

# ---- files that are not there, or something else ----
expect 1 'no such file' classifier train "$T/none.data" "$T/tiny.cfg"
expect 1 'no such file' classifier train "$D" "$T/none.cfg"
expect 1 'no such file' classifier valid "$D" "$T/tiny.cfg" "$T/none.weights"
expect 1 'is a folder' classifier train "$D" "$T"
expect 1 'is a folder' classifier valid "$D" "$T/tiny.cfg" "$T"
expect 1 'a \.data file has no sections' classifier train "$T/tiny.cfg" "$T/tiny.cfg"
expect 1 'no such file' net "$T/none.cfg"
expect 1 'no such file' bench "$T/none.cfg"
expect 1 'no such file' classifier replay "$T/tiny.cfg" "$T/none.safetensors" "$T/out.safetensors"
expect 1 'is not a safetensors file' classifier replay "$T/tiny.cfg" "$B/tiny.chart.png" "$T/out.safetensors"

# ---- weights ----
valid_weights() { expect 1 "$2" classifier valid "$D" "$T/tiny.cfg" "$1"; }
size=$(wc -c <"$W")
: >"$T/empty.weights"
valid_weights "$T/empty.weights" 'is empty'
for keep in 7 40 1000 $((size / 2)) $((size - 1)); do
    head -c "$keep" "$W" >"$T/cut.weights"
    valid_weights "$T/cut.weights" 'cut\.weights: is (damaged|not)'
done
for at in 3 9 60 100 700 $((size / 2)) $((size - 70)); do
    cp "$W" "$T/flipped.weights"
    old=$(od -An -tu1 -j "$at" -N 1 "$W")
    printf "\\$(printf %o $((old ^ 64)))" | dd of="$T/flipped.weights" bs=1 seek="$at" conv=notrunc 2>/dev/null
    valid_weights "$T/flipped.weights" 'flipped\.weights: (is|has|tensor)'
done
{ cat "$W"; echo more; } >"$T/long.weights"
valid_weights "$T/long.weights" 'is damaged'
printf '\0\0\0\0\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0aaaabbbbcccc' >"$T/darknet.weights"
valid_weights "$T/darknet.weights" 'weight file of Darknet'
sed 's/^AUTOMIX1/AUTOMIX2/' "$W" >"$T/newer.weights"
valid_weights "$T/newer.weights" 'newer automix'
valid_weights "$B/tiny.chart.png" 'is not a weight file'
expect 1 'weights of another network' classifier valid "$D" "$T/other.cfg" "$W"
expect 1 'weights of another network' classifier train "$D" "$T/other.cfg" "$W"
cp "$T/plain.cfg" "$T/copy.cfg"
cp "$T/plain.weights" "$B/copy_last.weights"
expect 1 'not the state of a run' classifier train "$D" "$T/copy.cfg" -resume
head -c 5000 "$B/tiny_last.weights" >"$B/copy_last.weights"
expect 1 'is damaged' classifier train "$D" "$T/copy.cfg" -resume
rm "$B/copy_last.weights"
expect 0 'starting anew' classifier train "$D" "$T/copy.cfg" -resume -epochs 1 -threads 1

# ---- .data files ----
train_data() { expect 1 "$1" classifier train "$T/x.data" "$T/tiny.cfg"; }
grep -v '^classes=' "$D" >"$T/x.data"
train_data 'needs classes='
data classes classes=7 | grep -v '^names=' >"$T/x.data"
expect 1 'tiny\.cfg:[0-9]+: the network tells 10 classes apart' classifier train "$T/x.data" "$T/tiny.cfg"
expect 1 'seven\.cfg:[0-9]+: the network tells 7 classes apart' classifier valid "$D" "$T/seven.cfg" "$W"
expect 1 'the network tells 7 classes apart' classifier predict "$D" "$T/seven.cfg" "$W" "$T/sheet.png"
data classes classes=ten >"$T/x.data"
train_data 'classes=ten: not a number'
data top top=11 >"$T/x.data"
train_data 'x\.data:[0-9]+: top=11 of classes=10'
data train trian=x >"$T/x.data"
train_data "has no key 'trian'; did you mean 'train'"
data train >"$T/x.data"
train_data 'train= is missing'
data train "train=$T/nowhere" >"$T/x.data"
train_data 'x\.data:[0-9]+: train=.*does not exist'
data valid "valid=$T/nowhere" >"$T/x.data"
train_data 'x\.data:[0-9]+: valid=.*does not exist'
data format format=cifar1000 >"$T/x.data"
train_data 'x\.data:[0-9]+: format=cifar1000 is none of'
data format format=cifar10 >"$T/x.data"
train_data 'data_batch_1\.bin: no such file'
data names "names=$T/nowhere" >"$T/x.data"
train_data 'nowhere'
head -n 9 "$T/s/names.txt" >"$T/nine.txt"
data names "names=$T/nine.txt" >"$T/x.data"
train_data 'nine\.txt'
data per_class per_class=1 >"$T/x.data"
train_data 'x\.data: train= has 10 images, fewer than one batch=20'
sed 's/^epochs=2/epochs=0/' "$T/tiny.cfg" >"$T/endless.cfg"
expect 1 'no end to the training' classifier train "$D" "$T/endless.cfg"
sed 's/^width=16/&\nchannels=1/' "$T/plain.cfg" >"$T/grey.cfg"
expect 1 'grey\.cfg:[0-9]+: \[net\] channels=1, and images have 3' classifier train "$D" "$T/grey.cfg"

# ---- lists and pictures ----
mkdir -p "$T/pictures"
png=$(find "$T/s/valid/bow" -name '*.png' | sort | head -n 1)
cp "$png" "$T/pictures/bow_1.png"
cp "$png" "$T/pictures/nothing_1.png"
cp "$png" "$T/pictures/bow_ring_1.png"
half=$(($(wc -c <"$png") / 2))
head -c "$half" "$png" >"$T/pictures/cut.png"
head -c 20 "$png" >"$T/pictures/head.png"
{ head -c "$half" "$png"; printf 'qqqqqqqqqqqqqqqqqqqqqqqq'; tail -c +$((half + 25)) "$png"; } >"$T/pictures/garbled.png"
printf '\377\330\377\340\000\020JFIF\000\001\001\000\000\001\000\001\000\000' >"$T/pictures/cut.jpg"
: >"$T/pictures/empty.png"
echo "not a picture" >"$T/pictures/text.png"
list() {
    printf '%s\n' "$@" >"$T/x.list"
    { data train "train=$T/x.list" "labels=$T/s/names.txt" | grep -v '^format='; } >"$T/x.data"
}
: >"$T/x.list"
{ data train "train=$T/x.list" "labels=$T/s/names.txt" | grep -v '^format='; } >"$T/x.data"
train_data 'x\.list: the list is empty'
list "$T/pictures/bow_1.png" "$T/pictures/none.png"
train_data 'x\.list: 1 of 2 images do not exist'
list "$T/pictures/bow_1.png" "$T/pictures/nothing_1.png"
train_data 'x\.list: 1 of 2 images have no label'
list "$T/pictures/bow_1.png" "$T/pictures/bow_ring_1.png"
train_data '1 have several'
grep -v '^labels=\|^names=' "$T/x.data" >"$T/y.data"
expect 1 'a list needs labels=' classifier train "$T/y.data" "$T/tiny.cfg"
mkdir -p "$T/pictures/bow"
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19; do cp "$png" "$T/pictures/bow/$i.png"; done
cp "$T/pictures/cut.png" "$T/pictures/bow/20.png"
find "$T/pictures/bow" -name '*.png' >"$T/x.list"
train_data 'bow/20\.png: the picture'

# two lines: the picture's, and how many there were
predict_bad() {
    run classifier predict "$D" "$T/tiny.cfg" "$W" "$1"
    grep -v '1 of 1 images could not be read' "$T/err" >"$T/err2"
    holds "predict counts the bad picture $1" [ "$(wc -l <"$T/err2")" -lt "$(wc -l <"$T/err")" ]
    mv "$T/err2" "$T/err"
    want=1 regex=$2
    judge "classifier predict ... $1"
}
predict_bad "$T/pictures/none.png" 'no such file'
predict_bad "$T/pictures/empty.png" 'is an empty file'
predict_bad "$T/pictures/text.png" 'is no picture'
predict_bad "$T/pictures/cut.png" 'cut\.png: the picture (is cut|cannot be decoded)'
predict_bad "$T/pictures/head.png" 'head\.png: the picture (is cut|cannot be decoded)'
predict_bad "$T/pictures/garbled.png" 'garbled\.png: the picture (is cut|cannot be decoded)'
predict_bad "$T/pictures/cut.jpg" 'cut\.jpg: the picture (is cut|cannot be decoded)'
predict_bad "$T/pictures" 'is a folder'
printf '%s\n' "$png" "$T/pictures/cut.png" "" "$png" |
    timeout 100 "$AUTOMIX" classifier predict "$D" "$T/tiny.cfg" "$W" >"$T/out" 2>"$T/err"
status=$?
holds "predict from standard input: a bad picture fails the command" [ $status -eq 1 ]
holds "predict from standard input: the pictures after it are told" [ "$(grep -c "^$png" "$T/out")" -eq 2 ]
holds "predict from standard input: it is counted" grep -q '1 of 3 images could not be read' "$T/err"
printf '%s\r\n' "$png" | timeout 100 "$AUTOMIX" classifier predict "$D" "$T/tiny.cfg" "$W" >"$T/out" 2>"$T/err"
holds "predict from standard input: CRLF" [ $? -eq 0 ]
run classifier predict "$D" "$T/tiny.cfg" "$W"
holds "predict from an empty standard input" [ $status -eq 0 ]

# ---- where nothing can be written ----
data backup "backup=$T/none/deeper" >"$T/x.data"
train_data 'x\.data:[0-9]+: backup=.*cannot be made'
data backup "backup=$T/pictures/text.png" >"$T/x.data"
train_data 'x\.data:[0-9]+: backup=.*is not a folder'
data backup "backup=$T/new" >"$T/x.data"
expect 0 'epoch 1 of 1' classifier train "$T/x.data" "$T/plain.cfg" -epochs 1 -threads 1
holds "the backup folder is made" [ -s "$T/new/plain_final.weights" ]
expect 1 'cannot be written' classifier sheet "$D" "$T/tiny.cfg" "$W" "$T/none/sheet.png"
expect 1 'is a folder' classifier sheet "$D" "$T/tiny.cfg" "$W" "$T"
expect 1 'tiny\.cfg: cannot make this folder' data shapes "$T/tiny.cfg" -train 10 -valid 10
"$AUTOMIX" help >/dev/full 2>"$T/err"
holds "standard output on a full disk is a fault" [ $? -eq 1 ]

mkdir "$T/locked"
data backup "backup=$T/locked" >"$T/x.data"
chmod 555 "$T/locked"
chmod 755 "$T"
as_nobody=
if [ "$(id -u)" != 0 ]; then
    as_nobody=env
elif command -v setpriv >/dev/null 2>&1; then
    as_nobody="setpriv --reuid=65534 --regid=65534 --clear-groups"
fi
cp "$AUTOMIX" "$T/automix"
if [ -n "$as_nobody" ] && $as_nobody "$T/automix" help >/dev/null 2>&1; then
    $as_nobody timeout 100 "$T/automix" classifier train "$T/x.data" "$T/tiny.cfg" >"$T/out" 2>"$T/err"
    status=$? want=1 regex='backup=.*locked takes no files'
    judge "classifier train with a folder that is read-only"
else
    echo "skipped: a read-only folder, permissions do not bind root"
fi

# A file may have 4 KiB: the log fits, a checkpoint does not, and what was there must survive.
cp "$B/plain_last.weights" "$T/kept.weights"
(
    ulimit -f 8
    exec timeout 100 "$AUTOMIX" classifier train "$D" "$T/plain.cfg" -seed 3 -threads 1
) >"$T/out" 2>"$T/err"
status=$? want=1 regex='plain_[a-z]*\.weights: cannot be written.*File too large'
judge "classifier train where files may not grow"
holds "the checkpoint that was there survives" cmp "$B/plain_last.weights" "$T/kept.weights"
mkdir "$T/disk"
if mount -t tmpfs -o size=1m tmpfs "$T/disk" 2>/dev/null; then
    data backup "backup=$T/disk" >"$T/x.data"
    train_data 'x\.data:[0-9]+: backup=.*MiB of disk left'
    head -c 1100000 /dev/zero >"$T/disk/full" 2>/dev/null
    expect 1 'No space left' classifier sheet "$D" "$T/tiny.cfg" "$W" "$T/disk/sheet.png"
    holds "a full disk keeps no half a picture" [ "$(ls "$T/disk")" = full ]
    umount "$T/disk"
else
    echo "skipped: a full disk, mount is not permitted here"
fi

# ---- a run that explodes ----
plain | sed 's/^batch_normalize=1/batch_normalize=0/' >"$T/wild.cfg"
expect 0 'epoch 1 of 1' classifier train "$D" "$T/wild.cfg" -epochs 1 -threads 1
cp "$B/wild_last.weights" "$T/kept.weights"
sed -i 's/^learning_rate=0.05/learning_rate=1000/; s/^filters=8/learning_rate=1000\n&/' "$T/wild.cfg"
expect 1 'wild\.cfg:[0-9]+: the loss of update [0-9]+ is not finite.*layer [0-9]+.*wild_last\.weights; try a lower' \
    classifier train "$D" "$T/wild.cfg" -resume -epochs 3 -threads 1
holds "the last good checkpoint survives" cmp "$B/wild_last.weights" "$T/kept.weights"
expect 0 'student/one' classifier valid "$D" "$T/wild.cfg" "$B/wild_last.weights"
finish
