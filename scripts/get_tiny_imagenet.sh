#!/usr/bin/env bash
# Fetches Tiny-ImageNet (248 MB) and unpacks it into data/tiny-imagenet-200/, for cfg/tiny.data.
# Done before: nothing is fetched again.  Run it from anywhere.
set -euo pipefail

url=http://cs231n.stanford.edu/tiny-imagenet-200.zip
md5=90528d7ca1a48142e341f4ef8d21d0de
folder=tiny-imagenet-200
files=(wnids.txt words.txt names.txt train/n01443537/images val/images val/val_annotations.txt)
prepare() { scripts/list_tiny_imagenet.sh "$1"; }

# shellcheck source=scripts/fetch.sh
source "$(dirname "${BASH_SOURCE[0]}")/fetch.sh"
