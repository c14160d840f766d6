#!/bin/sh
# setup.sh: installs what building and testing need and is not there yet.  Debian and Ubuntu, by
# apt-get, as root or with sudo; elsewhere it names what is missing.  Does nothing where all is there.
set -u

CC=${CC:-cc}
missing=

has_header() {
    if command -v "$CC" >/dev/null 2>&1; then
        printf '#include <stdio.h>\n#include <stdarg.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <setjmp.h>\n#include <%s>\n' "$1" |
            "$CC" -E -x c - >/dev/null 2>&1
    else
        [ -e "/usr/include/$1" ]
    fi
}

need_program() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need_header() { has_header "$1" || missing="$missing $2"; }

command -v "$CC" >/dev/null 2>&1 || missing="$missing gcc"
need_program make make
need_header stdio.h libc6-dev
need_header stb/stb_image.h libstb-dev
need_header cjson/cJSON.h libcjson-dev
need_header xxhash.h libxxhash-dev
need_header cmocka.h libcmocka-dev
[ -z "$missing" ] && exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "setup.sh: missing:$missing (names of Debian packages); install them with your system's package manager" >&2
    exit 1
fi
as_root=
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "setup.sh: missing:$missing; as root: apt-get install$missing" >&2
        exit 1
    fi
    as_root=sudo
fi
echo "setup.sh: installing$missing" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# The lists of a fresh machine are empty or old; a second try with new ones.
install() { DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y --no-install-recommends $missing >"$log" 2>&1; }
if ! install; then
    $as_root apt-get update >"$log" 2>&1 || true
    if ! install; then
        tail -n 5 "$log" >&2
        echo "setup.sh: apt-get could not install$missing; is there a network and a package source?" >&2
        exit 1
    fi
fi
