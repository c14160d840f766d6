#!/usr/bin/env bash
# Fetches CUB-200-2011 (1.2 GB), unpacks it into data/CUB_200_2011/ and writes its lists, for cfg/cub.data.
# Done before: nothing is fetched again.  Run it from anywhere.
set -euo pipefail

url='https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz?download=1'
md5=97eceeb196236b17998738112f37df78
folder=CUB_200_2011
files=(images images.txt bounding_boxes.txt train.list test.list labels.txt)
prepare() { scripts/list_cub200.sh "$1" "$2"; }

# shellcheck source=scripts/fetch.sh
source "$(dirname "${BASH_SOURCE[0]}")/fetch.sh"
