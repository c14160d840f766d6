#!/bin/sh
# bench.sh: what bench/ reckons: the arithmetic of a net, the table of made-up runs; and what it refuses.
. "$(dirname "$0")/check.sh"
flops() { # flops CFG STEP DIRECT WINOGRAD
    holds "GFLOP an image of $1, $2" [ "$("$AUTOMIX" net "$1" -backend cpu | awk -v step="$2" -f bench/flops.awk)" = "$3 $4" ]
}
flops cfg/resnet18_none.cfg eval 1.1108 0.3225
flops cfg/resnet18_none.cfg none 3.3290 0.9667
flops cfg/resnet18_automix.cfg automix 9.7220 2.8190

cat >"$T/peak.json" <<END
{"fp32":"avx2","fp32_gflops_1":50.0,"fp32_gflops":100.0,"bf16":"none","bf16_gflops_1":0.0,"bf16_gflops":0.0,"threads":2}
END
echo "resnet18-none 3.3000 1.1000" >"$T/flops"
cat >"$T/results.txt" <<END
resnet18-none-fp32 ours 2100 900 800
resnet18-none-fp32 ours 2000 950 800
resnet18-none-fp32 ours 2600 900 800
resnet18-none-fp32 nhwc 5000 1500 2000
resnet18-none-fp32 nchw 4200 1600 2100
resnet18-none-bf16 ours 2100 500 400
resnet18-none-bf16 nhwc 8400 1000 1500
resnet18-none-bf16 nhwc-compile failed no compiler here
resnet18-none-fast ours failed ran past 9 s
small-eval-bf16 ours 5 20 10
small-eval-bf16 nhwc 8.5 20 10
END
awk -v cells="resnet18-none-fp32 resnet18-none-bf16 resnet18-none-fast small-eval-bf16 small-none-fp32" -f bench/cpu.awk \
    "$T/peak.json" "$T/flops" "$T/results.txt" >"$T/out"
says() { holds "$1" grep -qxF -e "$2" "$T/out"; }
says "medians, spread, the best mode, memory, floors" \
    '| resnet18-none-fp32 | 2100 (2000-2600) | 4200 nchw | 2.00 | 950 / 800 | 1600 / 2100 | 3300 / 1100 | 52 % |'
says "PyTorch's fp32 counts for bf16 where it is faster" \
    '| resnet18-none-bf16 | 2100 | 4200 fp32 nchw | 2.00 | 500 / 400 | 1600 / 2100 | 3300 / 1100 | 52 % |'
says "a cell that failed" '| resnet18-none-fast | failed | 4200 fp32 nchw | - | - | 1600 / 2100 | 3300 / 1100 | - |'
says "a cell without floors" '| small-eval-bf16 | 5.00 | 8.50 nhwc | 1.70 | 20 / 10 | 20 / 10 | - | - |'
says "a cell that never ran" '| small-none-fp32 | - | - | - | - | - | - | - |'
says "why ours failed" 'resnet18-none-fast, ours: 1 of 1 runs failed: ran past 9 s'
says "why a mode failed" 'resnet18-none-bf16, nhwc-compile: 1 of 1 runs failed: no compiler here'

for cell in small-none small-valid-fp32 huge-none-fp32 small-none-fp8; do
    bench/cpu.sh "$cell" >"$T/out" 2>&1
    holds "cpu.sh refuses $cell" [ $? -eq 2 ]
done
finish
