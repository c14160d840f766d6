#!/usr/bin/env bash
# Fetches CIFAR-10 (binary version, 162 MB) and unpacks it into data/cifar-10-batches-bin/.
# Done before: nothing is fetched again.  Run it from anywhere.
set -euo pipefail

url=https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz
md5=c32a1d4ab5d03f1284b67883e8d87530
folder=cifar-10-batches-bin
files=(data_batch_{1..5}.bin test_batch.bin batches.meta.txt)

# shellcheck source=scripts/fetch.sh
source "$(dirname "${BASH_SOURCE[0]}")/fetch.sh"
