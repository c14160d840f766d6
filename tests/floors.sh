#!/bin/sh
# floors.sh: who may include whom, and what the library must not do.
#
#   floor       headers                                 may include
#   0 base      err arena rng, and the host arithmetic  libc
#               of methods: box distort graphcut ...
#   1 words     cfg file npy                            0
#   2 numbers   backend space, backend/*                0; a backend: backend.h and its own folder, simd also cpu/
#   3 net       net, layers/*                           0-2; a layer: net.h alone
#   4 pictures  data dataset shapes picture ...         0-1 and 4: data knows no network
#   5 learning  mixer train tap, mix/*                  0-4; a method: 0 and 5 alone
#   6 names     automix session job, registry.c         all
#   7 programs  examples/*                              automix.h alone
. "$(dirname "$0")/check.sh"

# ---- includes ----
cat >"$T/floors.awk" <<'AWK'
BEGIN {
    split("err arena rng box calibration comix distort graphcut puzzle saliency transport", w); for (i in w) floor[w[i]] = 0
    split("cfg keys file npy safetensors weights_file", w1); for (i in w1) floor[w1[i]] = 1
    split("backend space", w2); for (i in w2) floor[w2[i]] = 2
    split("net weights plan pass", w3); for (i in w3) floor[w3[i]] = 3
    n = split("data dataset image augment resize loader shapes picture chart font sheet ticks tiles", w4)
    for (i in w4) floor[w4[i]] = 4
    split("mixer lesson trainer train step resident optim valid checkpoint tap salient", w5); for (i in w5) floor[w5[i]] = 5
    split("automix session job registry bench describe help history masks mixsheet gallery replay rest scores corruptions", w6)
    for (i in w6) floor[w6[i]] = 6
}
function base(path) { sub(/.*\//, "", path); sub(/\.[a-z]*$/, "", path); return path }
# dataset_list stands where dataset does
function floor_of(name) {
    if (name in floor) return floor[name]
    sub(/_.*/, "", name)
    return name in floor ? floor[name] : -1
}
function wrong(why) { printf "%s:%d: includes %s: %s\n", FILENAME, FNR, to, why }
FNR == 1 {
    name = base(FILENAME)
    folder = FILENAME; sub(/\/[^\/]*$/, "", folder)
    mine = folder == "src" ? floor_of(name) : 0
    if (FILENAME == "src/train.c") mine = 6                 # the loop; train.h is what it drives
    if (mine < 0) printf "%s: tests/floors.sh does not know its floor\n", FILENAME
}
/^#[ \t]*include[ \t]*"/ {
    to = $0; sub(/^[^"]*"/, "", to); sub(/".*/, "", to)
    own = to !~ /\//                                        # of the same folder
    if (folder == "examples") { if (to != "automix.h" && to != "program.h") wrong("a program sees automix.h alone") }
    else if (folder == "src/layers") { if (to != "../net.h") wrong("a layer sees net.h alone") }
    else if (folder == "src/mix") { if (!own && floor_of(base(to)) != 5 && floor_of(base(to)) != 0) wrong("a method sees floors 0 and 5 alone") }
    else if (folder ~ /^src\/backend\//) {
        cpu = folder == "src/backend/simd" && to ~ /^\.\.\/cpu\/[a-z_]*\.h$/
        inner = folder ~ /^src\/backend\/[a-z]*\// && to ~ /^\.\.\/[a-z_]*\.h$/
        absent = to !~ /\.\./ && to != "backend.h" && (getline line < (folder "/" to)) < 0
        if (FILENAME ~ /\.cu$/ && to !~ /^[a-z_]*\.(h|cuh)$/) wrong("a kernel sees its own folder alone")
        if (absent || (to ~ /\.\./ && !cpu && !inner && to != "../../backend.h")) wrong("a backend sees backend.h and its own folder")
    } else if (folder == "src") {
        theirs = floor_of(base(to))
        if (theirs < 0) wrong("no floor is known for it")
        else if (theirs > mine) wrong("it is on floor " theirs ", above floor " mine)
        else if (mine == 4 && (theirs == 2 || theirs == 3)) wrong("pictures know no network")
    }
}
AWK
files=$(find src examples -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' | sort)
none() {
    what=$1
    shift
    found=$("$@")
    if [ -z "$found" ]; then good; else bad "$what"; echo "$found"; fi
}
none "an include goes the wrong way" awk -f "$T/floors.awk" $files

# ---- the choice of backends is registry.c's alone ----
none "AM_SIMD, AM_CUDA, AM_OPENCV belong into src/registry.c alone" \
    grep -nEw '^ *# *(if|ifdef|ifndef|elif).*AM_(SIMD|CUDA|OPENCV)' $(echo "$files" | grep -v '^src/registry.c$')
for word in AM_SIMD AM_CUDA AM_OPENCV; do
    none "$word: once in src/registry.c" awk -v w="$word" \
        '$0 ~ "^# *if.*" w "$" { n++ } END { if (n > 1) print n " times" }' src/registry.c
done

# ---- the library neither prints nor ends the program ----
library=$(echo "$files" | grep '^src/')
none "src prints or exits" grep -nE '\b(printf|vprintf|puts|putchar|perror|exit|_exit|abort)[ ]*\(|\b(stdout|stderr)\b' $library

# ---- device memory is looked into by backends alone ----
none ".p of an am_dev outside src/backend" grep -nE '[])a-z_]\.p\b' \
    $(echo "$library" | grep -v '^src/backend')

# ---- no variable that outlives a call: neither .data nor .bss, in what was compiled ----
build=$(dirname "$AUTOMIX")
[ "$build" = "$(pwd)" ] && build=$(make -s --no-print-directory where)
case $build in
*-address* | *-thread* | *-undefined*) echo "skipped: mutable statics (sanitizers have their own)" ;;
*)
    # image_stb.o holds stb, of the system, which keeps the reason of its last failure
    objects() { find "$build/src" -name '*.o' ! -path '*/cuda/*' ! -name image_stb.o | sort; }
    statics() {
        objects | while read -r o; do
            objdump -t "$o" | awk -v o="${o#"$build"/}" '
                $0 ~ / O / && $0 ~ /[ \t](\.data|\.bss|\.tdata|\.tbss|\*COM\*)/ && $0 !~ /\.data\.rel\.ro/ && $NF !~ /^\.gomp_critical/ { print o ": " $NF }'
        done
    }
    calls() {
        objects | while read -r o; do
            nm -u "$o" | awk -v o="${o#"$build"/}" '$2 ~ /^(printf|puts|putchar|exit|_exit|abort|stdout|stderr|perror|vprintf|__printf_chk)$/ { print o ": " $2 }'
        done
    }
    if [ -z "$(objects)" ]; then
        bad "no objects in $build to look at; run make first"
    else
        none "a mutable static variable" statics
        none "what was compiled prints or exits" calls
    fi ;;
esac
finish
