#!/usr/bin/env bash
# Fetches CIFAR-10-C (2.9 GB), CIFAR-10's test images under 19 corruptions, and unpacks it into
# data/CIFAR-10-C/, for cfg/cifar10c.data.  Done before: nothing is fetched again.  Run it from anywhere.
set -euo pipefail

url='https://zenodo.org/records/2535967/files/CIFAR-10-C.tar?download=1'
md5=56bf5dcef84df0e2308c6dcbcbbd8499
folder=CIFAR-10-C
files=({gaussian,shot,impulse,speckle}_noise.npy {defocus,glass,motion,zoom,gaussian}_blur.npy
    {snow,frost,fog,spatter,brightness,contrast,saturate,elastic_transform,pixelate,jpeg_compression,labels}.npy)

# shellcheck source=scripts/fetch.sh
source "$(dirname "${BASH_SOURCE[0]}")/fetch.sh"
