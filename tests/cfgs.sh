#!/bin/sh
# cfgs.sh: the cfgs that a script writes are what the script writes, and no more.
. "$(dirname "$0")/check.sh"

holds "scripts/cfgs.sh runs" scripts/cfgs.sh "$T/cfg"
for folder in body cifar10 cifar100 tiny imagenet cub aircraft; do
    holds "cfg/$folder is what scripts/cfgs.sh writes" diff -r "cfg/$folder" "$T/cfg/$folder"
done
finish
