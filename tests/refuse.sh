#!/bin/sh
# refuse.sh: every wrong cfg of tests/refuse must be refused with exactly the line in its .txt and
# exit status 1.  "refuse.sh write" writes the .txt of those that have none, to be read by a person.
. "$(dirname "$0")/check.sh"

for cfg in tests/refuse/*.cfg; do
    want=${cfg%.cfg}.txt
    run net "$cfg" -backend cpu
    if [ "${1:-}" = write ] && [ ! -e "$want" ]; then cp "$T/err" "$want"; fi
    if [ "$status" -ne 1 ]; then
        bad "$cfg: exit status $status instead of 1"
        cat "$T/err"
    elif ! cmp -s "$T/err" "$want"; then
        bad "$cfg"
        echo "  found: $(cat "$T/err")"
        echo "  wants: $(cat "$want" 2>&1)"
    else
        good
    fi
done
finish
