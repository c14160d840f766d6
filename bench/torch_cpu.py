#!/usr/bin/env python3
"""One training step, or one batch of inference, in PyTorch on the processor, timed; the other side of bench/cpu.sh.
Nets are those of bench/torch_nets.py, the step is that of bench/torch_automix.py.

  --step none|automix|eval   eval: inference, normalisation folded into the convolutions, loss and hits at the end
  --layout nchw|nhwc         nhwc: channels_last
  --precision fp32|bf16      bf16: autocast
  --cast                     eval in bf16: the net is converted once instead, which spares autocast's conversions
  --compile                  torch.compile around the nets; in eval with weights frozen

Prints one JSON object.  rss_bytes is the most memory that the process held, base_bytes what it held before there was a
net, added_bytes the difference.

Where the two sides do not do quite the same:

  * The batch is drawn and normalised outside the timed part.  Ours is timed from bytes on: draws, upload, normalisation.
  * Ours ends each step by reading the losses and the MixBlock's health, and looks whether they are finite; here nothing
    reads the loss.
  * Mixed labels are two cross-entropies here, one soft label in ours.  lambda is one number a batch in both.
  * Under autocast the attention's products are bf16 here; ours are fp32 in every precision.
  * Ours projects the features once for query and key and adds lambda's part to each; here the projection runs twice,
    as it is usually written.  It is below 2 % of a step.
  * The losses go back one after the other in both, so that one graph is alive at a time; the usual way to write it,
    one backward of their sum, takes as long here and more memory.
  * Gradients are dropped (set_to_none) here; ours are cleared by the optimiser in the pass that uses them.
  * Clean and mixed images are two passes with statistics of their own in both; the teacher's features end at the
    MixBlock's stage in both; the teacher's weights get no gradient in either."""
import argparse
import json
import os
import resource
import statistics
import time

import torch
import torch.nn.functional as F

import torch_nets
from torch_automix import Trainer

TOP = 5


def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def layout_of(options):
    return torch.channels_last if options.layout == "nhwc" else torch.contiguous_format


class Step(Trainer):
    """A training step without its batch."""

    forget = apart = True

    def __init__(self, options):
        net, block = torch_nets.NETS[options.net][:2]
        super().__init__(options, torch.device("cpu"), net, block, layout_of(options), images=1000)
        if options.compile:
            for module in (self.student, self.teacher, self.block):
                module.compile()
            self.teacher.features = torch.compile(self.teacher.features)

    def draw(self):
        x, y = super().batch()
        self.drawn = x.contiguous(memory_format=layout_of(self.o)), y

    def batch(self):
        return self.drawn


class Eval:
    def __init__(self, options):
        self.o = options
        torch.manual_seed(1)
        net = torch_nets.NETS[options.net][0](options.classes).eval()
        two = torch.randn(2, 3, 32, 32)
        with torch.inference_mode():
            wants = net(two, "clean")
            net.fold()
            if not torch.allclose(net(two, "clean"), wants, rtol=1e-3, atol=1e-4):
                raise SystemExit("torch_cpu.py: the folded net gives other logits than the net it was made of")
        self.net = net.to(memory_format=layout_of(options))
        if options.cast:
            self.net = self.net.bfloat16()
        if options.compile:
            torch._inductor.config.freezing = True
            self.net.compile()

    def draw(self):
        x = torch.randn(self.o.batch, 3, 32, 32)
        self.drawn = x.contiguous(memory_format=layout_of(self.o)), torch.randint(0, self.o.classes, (self.o.batch,))

    @torch.inference_mode()
    def step(self):
        x, y = self.drawn
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.o.precision == "bf16" and not self.o.cast):
            logits = self.net(x.bfloat16() if self.o.cast else x, "clean").float()
        hits = logits.topk(TOP, 1).indices == y[:, None]
        return F.cross_entropy(logits, y), hits[:, 0].sum(), hits.sum()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--net", choices=list(torch_nets.NETS), default="small")
    p.add_argument("--step", choices=["none", "automix", "eval"], default="automix")
    p.add_argument("--layout", choices=["nchw", "nhwc"], default="nhwc")
    p.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    p.add_argument("--cast", action="store_true")
    p.add_argument("--compile", action="store_true")
    p.add_argument("--batch", type=int, default=100)
    p.add_argument("--classes", type=int, default=100)
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--steps", type=int, default=10)
    p.add_argument("--warm", type=int, default=2)
    o = p.parse_args()
    if o.cast and (o.step != "eval" or o.precision != "bf16"):
        p.error("--cast is for --step eval --precision bf16")
    torch.set_num_threads(o.threads)    # the default halves what a virtual machine shows
    base = peak_bytes()
    torch_nets.check(o.net)
    timed = (Eval if o.step == "eval" else Step)(o)
    wall, processor = [], []
    for i in range(-o.warm, o.steps):
        timed.draw()
        began, cpu_began = time.perf_counter(), time.process_time()
        timed.step()
        if i >= 0:
            wall.append(1e3 * (time.perf_counter() - began))
            processor.append(1e3 * (time.process_time() - cpu_began))
    peak = peak_bytes()
    print(json.dumps({"net": o.net, "step": o.step, "layout": o.layout, "precision": o.precision, "cast": o.cast,
                      "compile": o.compile, "tcmalloc": "tcmalloc" in os.environ.get("LD_PRELOAD", ""),
                      "threads": o.threads, "batch": o.batch, "steps": o.steps, "ms_per_step": statistics.median(wall),
                      "ms_min": min(wall), "ms_max": max(wall), "cpu_ms_min": min(processor), "rss_bytes": peak,
                      "base_bytes": base, "added_bytes": peak - base,
                      "isa": torch.backends.cpu.get_cpu_capability(), "torch": torch.__version__}))


if __name__ == "__main__":
    main()
