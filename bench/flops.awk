# flops.awk: from `automix net CFG`, the arithmetic of an image's convolutions: "DIRECT WINOGRAD", GFLOP.
#
#   -v step=none|automix|eval
#
# A convolution is looked at once in inference; in learning three times: output, gradient of the input (of the first
# layer nobody asks for it) and of the weights.  AutoMix learns twice, judges once (output and gradient of the input, down
# to the pixels) and takes the teacher's features as far as the MixBlock.  Winograd: where a 3x3 convolution is not grouped,
# tiles of 4x4 need 36 of 144 multiply-adds with stride 1, 81 with stride 2; transforms are not counted.
$2 == "convolutional" {
    grouped = $4 == "grouped"
    at = grouped ? 5 : 4        # "C x H x W" in, then out, then parameters and millions of multiply-adds
    macs = $(at + 11)
    fast = macs
    if ($3 == "3x3" && !grouped) fast *= $(at + 2) == $(at + 7) ? 36 / 144 : $(at + 2) == 2 * $(at + 7) ? 81 / 144 : 1
    direct += macs
    winograd += fast
    if (!first) { first = macs; first_fast = fast }
}
$2 == "mixblock" { feature = $NF }
{
    so_far[NR] = direct
    so_far_fast[NR] = winograd
    if ($1 ~ /^[0-9]+$/ && $2 == "shortcut") stage[$15] = NR
}
END {
    if (!direct) { print "flops.awk: no convolutions in what `automix net` said" >"/dev/stderr"; exit 1 }
    if (step == "eval") factor = 1
    else if (step == "none") factor = 3
    else factor = 8
    full = factor * direct
    full_fast = factor * winograd
    if (step == "none") { full -= first; full_fast -= first_fast }
    if (step == "automix") {
        if (!(feature in stage)) { print "flops.awk: no layer is called " feature >"/dev/stderr"; exit 1 }
        full += so_far[stage[feature]] - 2 * first
        full_fast += so_far_fast[stage[feature]] - 2 * first_fast
    }
    printf "%.4f %.4f\n", 2e-3 * full, 2e-3 * full_fast
}
