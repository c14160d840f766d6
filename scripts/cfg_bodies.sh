# shellcheck shell=sh
# cfg_bodies.sh: sourced by cfgs.sh, which sets out: the stems and bodies of the networks, what the
# paper's experiments share.
: "${out:?}"

# conv FILTERS SIZE STRIDE ACTIVATION [LINE]: a normalised convolution without bias, same size out at stride 1
conv() {
    echo "[convolutional]"
    if [ $# -gt 4 ]; then echo "$5"; fi
    echo "batch_normalize=1"
    echo "filters=$1"
    echo "size=$2"
    echo "stride=$3"
    if [ "$2" -gt 1 ]; then echo "pad=1"; fi
    echo "activation=$4"
    echo
}

# join FROM [NAME]: the end of a block
join() {
    echo "[shortcut]"
    if [ $# -gt 1 ]; then echo "name=$2"; fi
    echo "from=$1"
    echo "activation=relu"
    echo
}

# end_block BACK WIDTH STRIDE PROJECT [NAME]: the end of a block whose input lies BACK layers up, projected where asked
end_block() {
    if [ "$4" -eq 1 ]; then
        conv "$2" 1 "$3" linear "input=-$1"
        join -2 ${5+"$5"}
    else
        join "-$1" ${5+"$5"}
    fi
}

# basic WIDTH STRIDE PROJECT [NAME]: 3x3, 3x3 (He et al. 2016, figure 5 left)
basic() {
    conv "$1" 3 "$2" relu
    conv "$1" 3 1 linear
    end_block 3 "$1" "$2" "$3" ${4+"$4"}
}

# bottleneck INNER OUTER STRIDE PROJECT GROUPS [NAME]: 1x1, 3x3 with the stride, 1x1
bottleneck() {
    conv "$1" 1 1 relu
    if [ "$5" -gt 1 ]; then conv "$1" 3 "$3" relu "groups=$5"; else conv "$1" 3 "$3" relu; fi
    conv "$2" 1 1 linear
    end_block 4 "$2" "$3" "$4" ${6+"$6"}
}

# stages KIND GROUPS BLOCKS1 BLOCKS2 BLOCKS3 BLOCKS4: the outputs are named stage1 to stage4
stages() {
    kind=$1 groups=$2
    shift 2
    width=64 stage=1
    for blocks in "$@"; do
        block=1
        while [ $block -le "$blocks" ]; do
            echo "# stage $stage, block $block"
            name=
            stride=1 project=0
            if [ $block -eq 1 ] && [ $stage -gt 1 ]; then stride=2 project=1; fi
            if [ $block -eq 1 ] && [ "$kind" = bottleneck ]; then project=1; fi
            if [ $block -eq "$blocks" ]; then name=stage$stage; fi
            case $kind in
            basic) basic $width $stride $project $name ;;
            bottleneck)
                inner=$width
                if [ "$groups" -gt 1 ]; then inner=$((2 * width)); fi
                bottleneck $inner $((4 * width)) $stride $project "$groups" $name ;;
            esac
            block=$((block + 1))
        done
        width=$((2 * width)) stage=$((stage + 1))
    done
    echo "[avgpool]"
    echo "name=pool"
}

# body NAME COMMENT KIND GROUPS BLOCKS...
body() {
    file=$out/body/$1.layers
    {
        echo "# $2"
        echo "# It follows a stem of 64 channels; its outputs are stage1 to stage4 and pool."
        echo
        shift 2
        stages "$@"
    } >"$file"
}

body resnet18 "ResNet-18 (He et al. 2016) without stem and heads." basic 1 2 2 2 2
body resnet34 "ResNet-34 (He et al. 2016) without stem and heads." basic 1 3 4 6 3
body resnet50 "ResNet-50 (He et al. 2016) without stem and heads; the stride is on the 3x3." bottleneck 1 3 4 6 3
body resnet101 "ResNet-101 (He et al. 2016) without stem and heads; the stride is on the 3x3." bottleneck 1 3 4 23 3
body resnext50 "ResNeXt-50, 32 groups of 4 channels (Xie et al. 2017), without stem and heads." bottleneck 32 3 4 6 3

{
    echo "# The stem for small images: they keep their size."
    echo
    conv 64 3 1 relu
} | sed '$d' >"$out/body/stem_cifar.layers"
{
    echo "# The stem for images of about 224 pixels: what leaves it is a quarter as wide and as high."
    echo
    conv 64 7 2 relu
    echo "[maxpool]"
    echo "size=3"
    echo "stride=2"
    echo "padding=2"
} >"$out/body/stem_imagenet.layers"

# plain FILTERS SIZE STRIDE [LINE]: neither normalised nor activated, so with a bias
plain() {
    echo "[convolutional]"
    if [ $# -gt 3 ]; then echo "$4"; fi
    echo "filters=$1"
    echo "size=$2"
    echo "stride=$3"
    if [ "$2" -gt 1 ]; then echo "pad=1"; fi
    echo "activation=linear"
    echo
}

before() {
    echo "[batchnorm]"
    echo
    echo "[activation]"
    if [ $# -gt 0 ]; then echo "name=$1"; fi
    echo "activation=leaky"
    echo
}

# Normalisation and activation come before the convolutions.  The first projection reads what they
# have made, the other two what comes into the block.
{
    echo "# WRN-28-8 for small images (Zagoruyko and Komodakis 2016), without heads: 28 layers, 8 times as wide."
    echo "# Leaky activations and biases as in the AutoMix authors' code; its outputs are stage1 to stage3 and pool."
    echo
    echo "# stem"
    plain 16 3 1
    for stage in 1 2 3; do
        for block in 1 2 3 4; do
            echo "# stage $stage, block $block"
            width=$((64 << stage)) stride=1
            if [ $block -eq 1 ] && [ $stage -gt 1 ]; then stride=2; fi
            before
            conv $width 3 $stride leaky
            plain $width 3 1
            from=-5
            if [ $block -eq 1 ]; then
                from=-2
                if [ $stage -eq 1 ]; then plain $width 1 1 input=-3; else plain $width 1 $stride input=-5; fi
            fi
            echo "[shortcut]"
            if [ $block -eq 4 ]; then echo "name=stage$stage"; fi
            echo "from=$from"
            echo "activation=linear"
            echo
        done
    done
    before
    echo "[avgpool]"
    echo "name=pool"
} >"$out/body/wrn28_8.layers"
