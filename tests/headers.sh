#!/bin/sh
# headers.sh: each header of src compiles by itself, twice in one file, as C11 without a warning.
. "$(dirname "$0")/check.sh"

for compiler in ${CC:-cc} clang; do
    command -v "$compiler" >/dev/null 2>&1 || continue
    for h in src/*.h; do
        printf '#include "%s"\n#include "%s"\n' "${h#src/}" "${h#src/}" >"$T/one.c"
        holds "$h does not compile by itself ($compiler)" \
            "$compiler" -std=c11 -Wall -Wextra -Wpedantic -Werror -D_POSIX_C_SOURCE=200809L -Isrc \
            -fsyntax-only "$T/one.c"
    done
    [ "$compiler" = clang ] && break
done
finish
