#!/bin/sh
# run.sh NAME ...: builds and runs these fuzzers (make fuzz runs all), each for FUZZ_SECONDS.  What
# they find interesting stays in build/corpus/NAME and is where the next run begins; an input that
# fails is left in build/ and named on the last lines.
cd "$(dirname "$0")/../.." || exit 1
root=$(pwd)
if ! command -v clang >/dev/null 2>&1; then
    echo "fuzz: libFuzzer needs clang; on Debian: apt-get install clang"
    exit 1
fi
flags="CC=clang SIMD=0 OPENMP=0 SAN=fuzzer-no-link,address,undefined"
build=$(make -s --no-print-directory $flags where)
mkdir -p build/corpus

# Inputs to begin with, where there are none yet.
seeds=build/corpus/seeds
if [ ! -d $seeds ] && [ -x ./automix ]; then
    mkdir -p $seeds/cfg $seeds/image $seeds/weights $seeds/list $seeds/npy
    cp cfg/*.cfg tests/refuse/*.cfg $seeds/cfg
    ./automix data shapes $seeds/set -train 20 -valid 10 -size 16 >/dev/null &&
        ./automix classifier train $seeds/set/shapes.data tests/tiny.cfg -epochs 1 -threads 1 >/dev/null 2>&1 &&
        cp $seeds/set/backup/*.weights $seeds/weights
    for c in bow ring star; do cp "$(ls $seeds/set/valid/$c/*.png | head -n 1)" $seeds/image/$c.png; done
    for shape in '4, 1, 2, 3' '24,'; do
        printf '\223NUMPY\001\000\166\000%-117s\n%s' "{'descr': '|u1', 'fortran_order': False, 'shape': ($shape), }" \
            abcdefghijklmnopqrstuvwx >"$seeds/npy/${shape%%,*}"
    done
    printf 'bee\nbeetle\n\377bee.png\ntrain/bee/1.png\n' >$seeds/list/good
    printf '_bee.\nbeetle_\n\377train/1_bee.png\r\nbeetle_1.png\n' >$seeds/list/own_edges
fi

scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
status=0
for name in "$@"; do
    echo "== $name"
    make -s -j2 $flags "$build/fuzz/$name" || exit 1
    mkdir -p "build/corpus/$name" "$seeds/$name"
    (cd "$scratch" && exec "$root/$build/fuzz/$name" -max_total_time="${FUZZ_SECONDS:-30}" -max_len=20000 -timeout=20 -rss_limit_mb=2048 \
        -verbosity=0 -print_final_stats=1 -artifact_prefix="$root/build/$name-" \
        "$root/build/corpus/$name" "$root/$seeds/$name") >"build/$name.log" 2>&1
    if [ $? -eq 0 ]; then
        sed -n 's/^stat::number_of_executed_units: */   inputs tried: /p' "build/$name.log"
    else
        status=1
        grep -vE '^stat::' "build/$name.log" | tail -n 40
    fi
done
exit $status
