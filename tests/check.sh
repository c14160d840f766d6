# check.sh: what the shell suites share.  A suite begins with
#     . "$(dirname "$0")/check.sh"
# which goes to the repository's root and makes the folder $T, and ends with finish.
#
# $AUTOMIX is the program; scripts/test.sh sets it, and ./automix stands in.
cd "$(dirname "$0")/.." || exit 1
AUTOMIX=${AUTOMIX:-$(pwd)/automix}
export OMP_WAIT_POLICY=passive LC_ALL=C

passed=0
failed=0
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT
trap 'exit 130' INT TERM

good() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAILED $*"; }

# holds WHAT COMMAND...: the command must succeed
holds() {
    what=$1
    shift
    if "$@" >"$T/holds" 2>&1; then good; else bad "$what"; head -n 5 "$T/holds"; fi
}

# run ARGUMENTS...: the program, at most 100 s; leaves $status, $T/out, $T/err
run() {
    timeout -k 5 100 "$AUTOMIX" "$@" >"$T/out" 2>"$T/err" </dev/null
    status=$?
}

finish() {
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
    exit
}
