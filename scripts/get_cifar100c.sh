#!/usr/bin/env bash
# Fetches CIFAR-100-C (2.9 GB), CIFAR-100's test images under 19 corruptions, and unpacks it into
# data/CIFAR-100-C/, for cfg/cifar100c.data.  Done before: nothing is fetched again.  Run it from anywhere.
set -euo pipefail

url='https://zenodo.org/records/3555552/files/CIFAR-100-C.tar?download=1'
md5=11f0ed0f1191edbf9fa23466ae6021d3
folder=CIFAR-100-C
files=({gaussian,shot,impulse,speckle}_noise.npy {defocus,glass,motion,zoom,gaussian}_blur.npy
    {snow,frost,fog,spatter,brightness,contrast,saturate,elastic_transform,pixelate,jpeg_compression,labels}.npy)

# shellcheck source=scripts/fetch.sh
source "$(dirname "${BASH_SOURCE[0]}")/fetch.sh"
