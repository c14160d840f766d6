# shellcheck shell=bash
# fetch.sh: sourced by get_*.sh, which set url, md5, folder and files.  Fetches an archive into data/,
# resuming what was cut, checks it, unpacks it aside, and moves it in place only when all is there.
# A function prepare, where there is one, gets the folder aside and the name it will have.
: "${url:?}" "${md5:?}" "${folder:?}" "${files:?}"

die() {
    echo "${0##*/}: $*" >&2
    exit 1
}

complete() {
    local f
    for f in "${files[@]}"; do [[ -s $1/$f ]] || return 1; done
}

check_md5() {
    if command -v md5sum >/dev/null; then echo "$md5  $1" | md5sum -c --status -
    else [[ $(md5 -q "$1") == "$md5" ]]; fi
}

unpack() {
    case $1 in
    *.zip) unzip -q "$1" -d "$2" ;;
    *.tar) tar -xf "$1" -C "$2" --no-same-owner ;;
    *) tar -xzf "$1" -C "$2" --no-same-owner ;;
    esac
}

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
mkdir -p data || die "cannot make the folder $PWD/data"
if complete "data/$folder"; then
    echo "data/$folder is there already"
    exit 0
fi
[[ ! -e data/$folder ]] || die "data/$folder is there but not complete; move it away and run this again"

archive=${url##*/}
archive=data/${archive%%\?*}
if [[ $archive == *.zip ]]; then command -v unzip >/dev/null || die "needs unzip: apt-get install unzip"; fi
if [[ ! -f $archive ]]; then
    echo "fetching $url"
    if command -v curl >/dev/null; then curl -fL --retry 3 -C - -o "$archive.part" "$url"
    elif command -v wget >/dev/null; then wget -c -O "$archive.part" "$url"
    else die "needs curl or wget: apt-get install curl"
    fi || die "the download failed; run this again to go on from where it stopped"
    mv "$archive.part" "$archive"
fi
check_md5 "$archive" || die "$archive is damaged (its MD5 is not $md5); remove it and run this again"

aside=$(mktemp -d "data/.$folder.XXXXXX")
trap 'rm -rf "$aside"' EXIT
unpack "$archive" "$aside" || die "$archive does not unpack; is the disk full?"
if declare -F prepare >/dev/null; then prepare "$aside/$folder" "data/$folder" || die "$archive is not what was expected"; fi
complete "$aside/$folder" || die "$archive lacks some of: ${files[*]}"
mv "$aside/$folder" "data/$folder"
rm -f "$archive"
echo "data/$folder is ready"
