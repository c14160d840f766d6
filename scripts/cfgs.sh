#!/bin/sh
# cfgs.sh: writes the networks of the paper's experiments: bodies in cfg/body/, and below cfg/ a folder
# for each data set with a cfg for each row of the paper's tables.  What it writes is committed;
# tests/cfgs.sh fails when the two differ.  cfg/PAPER.md says what the names mean.
#
#     scripts/cfgs.sh [FOLDER]        FOLDER (cfg) is made where it is not there
#
# A setting that is wrong for everybody is changed here, and this run; for a trial of your own, copy a cfg.
set -eu
cd "$(dirname "$0")/.."
out=${1:-cfg}
mkdir -p "$out/body" "$out/cifar10" "$out/cifar100" "$out/tiny" "$out/imagenet" "$out/cub" "$out/aircraft"

# shellcheck source=scripts/cfg_bodies.sh
. scripts/cfg_bodies.sh

# ---- experiments ----
# What a data set's recipe says lies in variables: size classes batch parts epochs rate decay
# augmentation stats (lines of [net]); floor block end for AutoMix (the rate's floor, lines of [mix],
# the teacher's last momentum); fresh, a line of heads and MixBlock where the training starts from
# another one's weights.  Then one call of experiment writes one cfg.

cifar_stats="mean=0.4914,0.4822,0.4465
std=0.2023,0.1994,0.2010"
imagenet_stats="mean=0.485,0.456,0.406
std=0.229,0.224,0.225"

title() {
    case $1 in
    resnet18) echo "ResNet-18" ;; resnet34) echo "ResNet-34" ;; resnet50) echo "ResNet-50" ;;
    resnet101) echo "ResNet-101" ;; resnext50) echo "ResNeXt-50 32x4d" ;; wrn28_8) echo "WRN-28-8" ;;
    none) echo "without mixing" ;; mixup) echo "with MixUp" ;; cutmix) echo "with CutMix" ;;
    manifoldmix) echo "with Manifold MixUp" ;; saliencymix) echo "with SaliencyMix" ;; fmix) echo "with FMix" ;;
    puzzlemix) echo "with PuzzleMix" ;; resizemix) echo "with ResizeMix" ;; augmix) echo "with AugMix" ;; automix) echo "with AutoMix" ;;
    esac
}

head_of() {
    cat <<END
[connected]
input=pool$fresh
output=$classes
activation=linear

[softmax]
name=$1
END
}

# alpha_of METHOD: what the published figures of each data set were made with
alpha_of() {
    case $1 in
    mixup) echo "$a_mixup" ;; manifoldmix) echo "$a_manifold" ;;
    cutmix) if [ "$set_name" = imagenet ] && [ "$net" = resnet18 ]; then echo 0.2; else echo "$a_cut"; fi ;;
    saliencymix | fmix) if [ "$set_name" = imagenet ] && [ "$net" = resnet18 ]; then echo 0.2; else echo "$a_mask"; fi ;;
    resizemix) if [ "$set_name" = imagenet ] && [ "$net" = resnet18 ]; then echo 0.2; else echo 1; fi ;;
    puzzlemix) echo 1 ;; automix) echo 2 ;;
    esac
}

# experiment SET NET METHOD [TEACHER]: TEACHER is a row of the paper's table 6:
#     alone   no teacher, mixed images only       ce      no teacher, clean images too
#     mp      a momentum teacher                  mp_ce   both
experiment() {
    set_name=$1 net=$2 method=$3 teacher=${4-}
    suffix=
    if [ -n "$teacher" ]; then suffix=_$teacher; fi
    heads=1 min=0 decays=$decay starts=$rate epochs_of=$epochs
    if [ "$net" = wrn28_8 ]; then starts=0.03 decays=0.001 epochs_of=400; fi
    case $teacher:$method in
    :automix) heads=2 min=$floor ;;
    mp:*) min=$floor ;;
    mp_ce:*) heads=2 min=$floor ;;
    ce:*) heads=2 ;;
    esac
    if [ "$net" = wrn28_8 ] && [ $heads = 2 ]; then min=0.001; fi
    case $set_name:$net:$method in
    cifar100:resnext50:cutmix | cifar100:resnext50:saliencymix | cifar100:resnext50:fmix | cifar100:resnext50:resizemix) decays=0.0005 ;;
    esac
    case $teacher in
    alone) row=", the paper's table 6: neither teacher nor clean images" ;;
    ce) row=", the paper's table 6: clean images too (+CE)" ;;
    mp) row=", the paper's table 6: a momentum teacher (+MP)" ;;
    mp_ce) row=", the paper's table 6: a momentum teacher, and clean images too (+MP+CE)" ;;
    *) row= ;;
    esac
    body=body/$net.layers stem=body/stem_cifar.layers
    if [ "$size" -gt 64 ]; then stem=body/stem_imagenet.layers; fi
    {
        echo "# $full: $(title "$net") $(title "$method")$row."
        if [ -n "$note" ]; then echo "# $note"; fi
        echo
        echo "[net]"
        echo "batch=$batch"
        if [ "$parts" -gt 1 ]; then echo "subdivisions=$parts"; fi
        echo "width=$size"
        echo "height=$size"
        echo "channels=3"
        echo "learning_rate=$starts"
        if [ "$min" != 0 ]; then echo "min_learning_rate=$min"; fi
        echo "momentum=0.9"
        echo "decay=$decays"
        echo "policy=cosine"
        echo "epochs=$epochs_of"
        echo "$augmentation"
        echo "$stats"
        echo
        if [ "$net" != wrn28_8 ]; then
            echo "[include]"
            echo "file=../$stem"
            echo
        fi
        echo "[include]"
        echo "file=../$body"
        echo
        head_of one
        if [ $heads = 2 ]; then
            echo
            head_of mix
        fi
        if [ "$method" = automix ]; then
            echo
            echo "[mixblock]"
            echo "name=mixblock"
            if [ "$net" = wrn28_8 ]; then echo "input=stage2"; else echo "input=stage3$fresh"; fi
            echo "reduction=2"
            echo "lambda_concat=1"
            echo "upsample=nearest"
        fi
        if [ "$method" != none ]; then
            echo
            echo "[mix]"
            echo "method=$method"
            if [ "$method" != augmix ]; then echo "alpha=$(alpha_of "$method")"; fi
        fi
        case $method in
        automix)
            if [ "$fine" = 1 ] && [ "$net" = resnext50 ]; then echo "mask_loss=l1var"; else echo "mask_loss=l1"; fi
            echo "mask_margin=0.1"
            echo "mask_weight=0.1"
            echo "mask_schedule=linear"
            echo "mask_reduce=sample"
            echo "lambda_margin=0.08"
            if [ "$net" = wrn28_8 ]; then echo "mask_momentum=0"; fi
            if [ -n "$block" ]; then echo "$block"; fi ;;
        puzzlemix)
            if [ "$size" -gt 32 ]; then
                echo "t_size=-1"
                echo "block_max=3"
            fi ;;
        esac
        case $teacher:$method in
        :automix | mp:* | mp_ce:*)
            echo
            echo "[momentum_teacher]"
            echo "momentum=0.999"
            echo "end_momentum=$end"
            echo "hold=0.1"
            if [ "$teacher" = mp ]; then echo "clean_loss=0"; fi ;;
        alone:* | ce:*)
            echo
            echo "# with momentum 0 the teacher is the student itself"
            echo "[momentum_teacher]"
            echo "momentum=0"
            echo "end_momentum=0"
            if [ "$teacher" = alone ]; then echo "clean_loss=0"; fi ;;
        esac
    } >"$out/$set_name/${net}_$method$suffix.cfg"
}

methods="none mixup cutmix manifoldmix saliencymix fmix puzzlemix resizemix automix"
# each SET NETS...: every method on each net
each() {
    set_of=$1
    shift
    for n in "$@"; do for m in $methods; do experiment "$set_of" "$n" "$m"; done; done
}
# table6 SET: what is not the plain method or AutoMix itself
table6() {
    for m in mixup cutmix; do for t in ce mp mp_ce; do experiment "$1" resnet18 $m $t; done; done
    for t in alone ce mp; do experiment "$1" resnet18 automix $t; done
}

fine=0 note= fresh=
parts=1 batch=100 decay=0.0001 end=0.999999 floor=0.05
size=32 rate=0.1 epochs=800 block= stats=$cifar_stats
a_mixup=1 a_cut=0.2 a_mask=0.2 a_manifold=2
full=CIFAR-10 classes=10
augmentation="flip=1
pad_crop=4
pad_mode=zero"
each cifar10 resnet18 resnext50
full=CIFAR-100 classes=100
augmentation="flip=1
pad_crop=4
pad_mode=reflect"
each cifar100 resnext50 wrn28_8
experiment cifar100 resnext50 augmix
table6 cifar100

full=Tiny-ImageNet classes=200 size=64 rate=0.2 epochs=400 stats=$imagenet_stats
a_cut=1 a_mask=1 a_manifold=0.2
block="mask_learning_rate=0.1
mask_min_learning_rate=0.001"
augmentation="flip=1
resized_crop=1
crop_scale=0.08,1
filter=bicubic"
each tiny resnet18 resnext50
table6 tiny

full=ImageNet-1k classes=1000 size=224 batch=256 parts=4 rate=0.1 epochs=300 floor=0 end=0.99999
a_mixup=0.2
augmentation="flip=1
resized_crop=1
crop_scale=0.08,1
filter=bicubic
resize=256"
note="Four parts of 64, as published: each has batch statistics and partners of its own."
each imagenet resnet18 resnet34 resnet50 resnet101
experiment imagenet resnext50 none # where cub and aircraft start

fine=1 size=224 batch=16 parts=1 rate=0.001 decay=0.0005 epochs=200
a_mask=0.2 a_manifold=0.5
block="no_repeat=1
mask_learning_rate=0.01
mask_min_learning_rate=0.0005"
augmentation="flip=1
resized_crop=1
crop_scale=0.5,1
filter=bilinear
resize=256"
note="Give WEIGHTS of an ImageNet training of this net, as the published ones: the rate is that of fine-tuning."
fresh="
fresh=1"
full=CUB-200-2011 classes=200
each cub resnet18 resnext50
full=FGVC-Aircraft classes=100
each aircraft resnet18 resnext50
