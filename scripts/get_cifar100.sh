#!/usr/bin/env bash
# Fetches CIFAR-100 (binary version, 161 MB) and unpacks it into data/cifar-100-binary/.
# Done before: nothing is fetched again.  Run it from anywhere.
set -euo pipefail

url=https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz
md5=03b5dce01913d631647c71ecec9e9cb8
folder=cifar-100-binary
files=(train.bin test.bin fine_label_names.txt coarse_label_names.txt)

# shellcheck source=scripts/fetch.sh
source "$(dirname "${BASH_SOURCE[0]}")/fetch.sh"
