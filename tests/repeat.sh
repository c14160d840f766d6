#!/bin/sh
# repeat.sh: a run is a function of its seed.  The same seed gives the same bytes with one thread and
# with two; a run that was killed at any moment, or stopped, and resumed until it is done gives the
# bytes of one that was not.
#
#   BACKENDS="cpu simd"
#   TRIES=3   kills of each run, besides one while a checkpoint is being written
. "$(dirname "$0")/check.sh"
TRIES=${TRIES:-3}

run data shapes "$T/s" -train 100 -valid 50 -size 16
holds "automix data shapes" [ "$status" -eq 0 ]
sed 's/^epochs=2/epochs=4/' tests/tiny.cfg >"$T/mixed.cfg"
sed '/^\[mixblock\]/,$d' "$T/mixed.cfg" >"$T/plain.cfg"

# start CFG ARGUMENTS...: a run in the background, its checkpoints in $T/$dir
start() {
    cfg=$1
    shift
    sed "s,^backup=.*,backup=$T/$dir," "$T/s/shapes.data" >"$T/$dir.data"
    "$AUTOMIX" classifier train "$T/$dir.data" "$T/$cfg.cfg" -backend "$backend" -seed 7 "$@" \
        >"$T/out" 2>"$T/err" </dev/null &
    pid=$!
}
done_or_bad() {
    wait "$pid" && return
    bad "exit status $?: $backend $cfg $dir"
    tail -n 3 "$T/err"
}
same() { holds "$backend $cfg: $1" cmp "$T/whole/${cfg}_final.weights" "$T/$dir/${cfg}_final.weights"; }
fresh() { rm -rf "${T:?}/$1"; dir=$1; }

# killed WHAT COMMAND: the command waits for the moment of a kill; in the end the rest of the run
killed() {
    what=$1
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
    same "killed $what and resumed"
    holds "$backend $cfg: killed $what: the log has each epoch once" \
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

# stopped SIGNAL: after the third update is told
stopped() {
    fresh stopped
    start "$cfg" -threads 1
    while kill -0 "$pid" 2>/dev/null && ! grep -q '^3, ' "$T/out"; do sleep 0.01; done
    kill -"$1" "$pid" 2>/dev/null
    done_or_bad
    holds "$backend $cfg: $1 says how to go on" grep -q 'go on with -resume' "$T/err"
    holds "$backend $cfg: $1 saves" [ -s "$T/stopped/${cfg}_last.weights" ]
    holds "$backend $cfg: $1 does not finish the run" [ ! -e "$T/stopped/${cfg}_final.weights" ]
    start "$cfg" -threads 1 -resume
    done_or_bad
    same "stopped by $1 and resumed"
}

for backend in ${BACKENDS:-cpu simd}; do
    run net tests/tiny.cfg -backend "$backend"
    if [ "$status" -ne 0 ]; then
        echo "skipped: backend $backend does not run here"
        continue
    fi
    for cfg in plain mixed; do
        fresh whole
        began=$(now)
        start "$cfg" -threads 1
        done_or_bad
        took=$(($(now) - began))
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
