#!/bin/sh
# repeat.sh: a run is a function of its seed.  The same seed gives the same bytes with one thread and
# with two; a run that was killed at any moment, or stopped, and resumed until it is done gives the
# bytes of one that was not; and a backend that is issued steps ahead tells and leaves what one that is
# waited for does.
#
#   BACKENDS="cpu simd"
#   TRIES=3   kills of each run, besides one while a checkpoint is being written
. "$(dirname "$0")/check.sh"
TRIES=${TRIES:-3}

run data shapes "$T/s" -train 100 -valid 50 -size 16
holds "automix data shapes" [ "$status" -eq 0 ]
sed 's/^epochs=2/epochs=4\nburn_in=12/' tests/tiny.cfg >"$T/mixed.cfg"
sed '/^\[mixblock\]/,$d' "$T/mixed.cfg" >"$T/plain.cfg"
sed 's/^batch=.*/&\nsubdivisions=2/; s/^method=automix/&\nprob=0.4/' "$T/mixed.cfg" >"$T/parts.cfg"
printf '[mix]\nmethod=manifoldmix\nlayers=image,features\nprob=0.3\n[mix]\nmethod=puzzlemix\nprob=0.2\n' >>"$T/parts.cfg"

# A white image among black ones, in units so small that after one wild update its batch overflows, and no other.
i=0
while [ $i -lt 12 ]; do
    printf '\000\000'
    head -c 3072 /dev/zero | if [ $i = 5 ]; then tr '\000' '\377'; else cat; fi
    i=$((i + 1))
done >"$T/glare.bin"
cat >"$T/glare.cfg" <<'CFG'
[net]
batch=12
width=32
height=32
std=1e-6,1e-6,1e-6
learning_rate=1000
policy=constant
epochs=1
flip=0
pad_crop=1
log_every=1

[convolutional]
learning_rate=1000
filters=4
size=3
stride=4
pad=1
activation=linear

[convolutional]
learning_rate=1000
filters=4
size=3
stride=4
pad=1
activation=linear

[avgpool]

[connected]
learning_rate=1000
output=100
activation=linear

[softmax]
CFG
sed 's/^batch=12/batch=4/; s/^learning_rate=1000/learning_rate=0/' "$T/glare.cfg" >"$T/still.cfg"

# start CFG ARGUMENTS...: a run in the background, its checkpoints in $T/$dir
start() {
    cfg=$1
    shift
    sed "s,^backup=.*,backup=$T/$dir," "$T/s/shapes.data" >"$T/$dir.data"
    : >"$T/out"                         # stopped reads it, and the run may take a while to open it
    "$AUTOMIX" classifier train "$T/$dir.data" "$T/$cfg.cfg" -backend "$backend" -seed 7 "$@" \
        >"$T/out" 2>"$T/err" </dev/null &
    pid=$!
}
done_or_bad() {
    wait "$pid" && return
    bad "exit status $?: $backend $cfg $dir"
    tail -n 3 "$T/err"
}
log() { sed 's/"seconds":[0-9.e+-]*//' "$T/$1/$cfg.log.jsonl"; }
same() {
    holds "$backend $cfg: $1" cmp "$T/whole/${cfg}_final.weights" "$T/$dir/${cfg}_final.weights"
    log whole >"$T/log.whole"
    log "$dir" >"$T/log"
    holds "$backend $cfg: $1: the log" cmp "$T/log.whole" "$T/log"
}
fresh() { rm -rf "${T:?}/$1"; dir=$1; }

# killed WHEN COMMAND: the command waits for the moment of a kill; in the end the rest of the run
killed() {
    when=$1
    shift
    fresh killed
    kills=0
    while [ "$kills" -lt "$TRIES" ]; do
        rm -f "$T/killed/${cfg}_last.weights.part"
        start "$cfg" -threads 1 -resume
        "$@"
        kill -9 "$pid" 2>/dev/null || break
        wait "$pid" 2>/dev/null
        kills=$((kills + 1))
    done
    start "$cfg" -threads 1 -resume
    done_or_bad
    same "killed $when and resumed"
    holds "$backend $cfg: killed $when: the log has each epoch once" \
        [ "$(sed 's/^{"epoch":\([0-9]*\),.*/\1/' "$T/killed/$cfg.log.jsonl" | tr '\n' ' ')" = "1 2 3 4 " ]
}

# a moment within the run, which took $took milliseconds; sleep takes fractions on every Linux
any_moment() {
    part=$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')
    sleep "$(awk -v part="$part" -v took="$took" 'BEGIN { printf "%.3f", took / 1000 * part / 65536 }')"
}
# there is a checkpoint, and the next one is being written beside it
while_writing() {
    last=$T/killed/${cfg}_last.weights
    while kill -0 "$pid" 2>/dev/null; do
        [ -e "$last.part" ] && [ -e "$last" ] && return
    done
}
now() { date +%s%N | cut -c 1-13; }

# stopped SIGNAL: within the first epoch, after an update is told
stopped() {
    fresh stopped
    start "$cfg" -threads 1
    while kill -0 "$pid" 2>/dev/null && ! grep -q '^1, ' "$T/out"; do sleep 0.001; done
    kill -"$1" "$pid" 2>/dev/null
    done_or_bad
    holds "$backend $cfg: $1 says how to go on" grep -q 'go on with -resume' "$T/err"
    holds "$backend $cfg: $1 saves" [ -s "$T/stopped/${cfg}_last.weights" ]
    holds "$backend $cfg: $1 does not finish the run" [ ! -e "$T/stopped/${cfg}_final.weights" ]
    start "$cfg" -threads 1 -resume
    done_or_bad
    same "stopped by $1 and resumed"
}

# told: what a run says, but for the time that it takes
told() { cat "$T/out" "$T/err" | sed -E "s,$T/$dir,HERE,g; s/(, )?[0-9.]+ (seconds|images\/s)//g; s/, [^ ]+ (min|h|s) left//"; }

# waited_for: beside `whole`, the same with every step waited for
waited_for() {
    fresh waited
    start "$cfg" -threads 1 -uncaptured
    done_or_bad
    same "with and without -uncaptured"
    told >"$T/told.waited"
    holds "$backend $cfg: the same is told with and without -uncaptured" cmp "$T/told.whole" "$T/told.waited"
    holds "$backend $cfg: the checkpoint is the same with and without -uncaptured" \
        cmp "$T/whole/${cfg}_last.weights" "$T/waited/${cfg}_last.weights"
}

# glare: the update that is not finite, wherever in the epoch it comes, is named, and where it begins
glare() {
    dir=glare
    printf 'classes=100\nformat=cifar100\ntrain=%s\nvalid=%s\nbackup=%s\n' "$T/glare.bin" "$T/glare.bin" "$T/glare" >"$T/glare.data"
    rm -rf "$T/glare"
    run classifier train "$T/glare.data" "$T/glare.cfg" -backend "$backend" -seed 1 -precision fp32
    for seed in 1 2 3; do
        for way in "" -uncaptured; do
            run classifier train "$T/glare.data" "$T/still.cfg" "$T/glare/glare_final.weights" -backend "$backend" \
                -seed $seed -precision fp32 $way
            told >"$T/told$way"
            holds "$backend: update $seed is named${way:+ with $way}" \
                grep -q "update $seed is not finite.* output of layer 3, \[connected\]" "$T/told$way"
            holds "$backend: and those before it told" [ "$(grep -c '^[0-9]*, ' "$T/told$way")" = $((seed - 1)) ]
        done
        holds "$backend: the same with and without -uncaptured" cmp "$T/told" "$T/told-uncaptured"
    done
}

for backend in ${BACKENDS:-cpu simd}; do
    run net tests/tiny.cfg -backend "$backend"
    if [ "$status" -ne 0 ]; then
        echo "skipped: backend $backend does not run here"
        continue
    fi
    glare
    for cfg in plain mixed parts; do
        fresh whole
        began=$(now)
        start "$cfg" -threads 1
        done_or_bad
        took=$(($(now) - began))
        told >"$T/told.whole"
        waited_for
        fresh two
        start "$cfg" -threads 2
        done_or_bad
        same "with 1 and with 2 threads"
        fresh other
        start "$cfg" -threads 1 -batch 25
        done_or_bad
        holds "$backend $cfg: another run has other bytes" \
            sh -c "! cmp -s $T/whole/${cfg}_final.weights $T/other/${cfg}_final.weights"
        killed "at any moment" any_moment
        killed "while it writes" while_writing
        stopped INT
        stopped TERM
        dir=whole
        start "$cfg" -threads 1 -resume
        done_or_bad
        holds "$backend $cfg: a finished run can be resumed" [ -s "$T/whole/${cfg}_final.weights" ]
    done
done
finish
