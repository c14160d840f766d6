#!/bin/sh
# test.sh: builds and runs every test; the same as make test.  Words such as SAN=address,undefined
# or CC=clang go to make.  The last line is "N passed, N failed"; the status is 0 when none failed.
#
#   SUITES="cli repeat"  runs these shell suites only (and not tests/run)
#   JOBS=2               compilers at a time
#   LIMIT=1200           seconds after which a suite counts as hung; minutes are normal, on an idle machine
cd "$(dirname "$0")/.." || exit 1
for word in "$@"; do
    case $word in
    CC=*) CC=${word#CC=}; export CC ;;
    *=*) ;;
    *) echo "test.sh: '$word' is not NAME=VALUE, such as SAN=address,undefined" >&2; exit 2 ;;
    esac
done

# libgomp's threads spin while they wait, which starves whatever else runs on the cores.
export OMP_WAIT_POLICY=passive

passed=0
failed=0

# suite NAME COMMAND...: runs it and adds up the "N passed, N failed" of its last line.
suite() {
    name=$1 limit=${LIMIT:-1200}
    shift
    echo "== $name"
    began=$(date +%s)
    timeout -k 10 "$limit" "$@" >"$log" 2>&1 </dev/null
    status=$?
    last=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1)
    good=$(echo "$last" | sed 's/ passed.*//')
    bad=$(echo "$last" | sed 's/.*passed, //; s/ failed//')
    if [ -z "$last" ] || { [ $status -ne 0 ] && [ "$bad" -eq 0 ]; }; then
        [ $status -eq 124 ] && echo "$name: not done after $limit seconds"
        echo "$name: ended with status $status"
        bad=$((${bad:-0} + 1))
    fi
    if [ "$bad" -ne 0 ]; then
        grep -vE '^\[( RUN      |       OK |==========|  PASSED  )\]' "$log"
    else
        grep -E '^skipped' "$log"
    fi
    passed=$((passed + ${good:-0}))
    failed=$((failed + bad))
    echo "   $name: ${good:-0} passed, $bad failed, $(($(date +%s) - began)) s"
}

finish() {
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
    exit
}

log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT TERM

if ! ./scripts/setup.sh; then
    failed=1
    finish
fi
build=$(make -s --no-print-directory where "$@")
echo "== build in $build"
if ! make -j"${JOBS:-2}" "$@" "$build/automix" "$build/tests/run" >"$log" 2>&1; then
    grep -vE '^  (cc|link) ' "$log" | tail -n 60
    echo "the build failed"
    failed=1
    finish
fi
if grep -q 'warning:.*\[-W' "$log"; then
    grep -A 6 'warning:.*\[-W' "$log"
    echo "the compiler warns, and must not"
    failed=$((failed + 1))
fi

AUTOMIX=$(pwd)/$build/automix
export AUTOMIX
case $build in *-address*)
    # the leak detector needs ptrace, which some containers forbid
    printf 'int main(void) { return 0; }\n' | ${CC:-cc} -fsanitize=address -x c - -o "$build/leak" 2>/dev/null
    if ! "$build/leak" 2>/dev/null; then
        echo "skipped: the leak detector does not run here"
        export ASAN_OPTIONS="detect_leaks=0:${ASAN_OPTIONS:-}"
    fi ;;
esac

if [ -z "${SUITES:-}" ]; then suite tests/run "$build/tests/run"; fi
for s in ${SUITES:-headers floors cfgs lists refuse cli repeat table precision bench}; do
    suite "tests/$s.sh" "tests/$s.sh"
done
finish
