#!/usr/bin/env bash
# Fetches FGVC-Aircraft (2.8 GB), unpacks it into data/fgvc-aircraft-2013b/ and sorts its images by
# variant, for cfg/aircraft.data.  Done before: nothing is fetched again.  Run it from anywhere.
set -euo pipefail

url=https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/archives/fgvc-aircraft-2013b.tar.gz
md5=d4acdd33327262359767eeaa97a4f732
folder=fgvc-aircraft-2013b
files=(data/images data/variants.txt trainval/707-320 test/707-320)
prepare() { scripts/list_aircraft.sh "$1"; }

# shellcheck source=scripts/fetch.sh
source "$(dirname "${BASH_SOURCE[0]}")/fetch.sh"
