#!/usr/bin/env python3
"""One training step in PyTorch on the processor, timed; the other side of bench/cpu.sh.  Nets and steps are those
of bench/torch_automix.py: CIFAR ResNet-18, or --net small, the ResNet-20 of cfg/small_*.cfg.

  --layout nchw|nhwc      nhwc: channels_last
  --precision fp32|bf16   bf16: autocast
  --compile               torch.compile around student and teacher

The batch is drawn and normalised outside the timed part, as ours is.  Prints one JSON object; rss_bytes is the most
memory that the process held, base_bytes what it held before there was a net."""
import argparse
import json
import os
import resource
import statistics
import time

import torch

from torch_automix import MixBlock, ResNet, Trainer

NETS = {
    "resnet18": (ResNet, lambda: MixBlock(256, 4)),
    "small": (lambda classes: ResNet(classes, (16, 32, 64), 3), lambda: MixBlock(32, 2)),
}


def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Cpu(Trainer):
    """The step without its batch."""

    def __init__(self, options):
        net, block = NETS[options.net]
        layout = torch.channels_last if options.layout == "nhwc" else torch.contiguous_format
        super().__init__(options, torch.device("cpu"), net, block, layout, images=1000)
        self.layout = layout
        if options.compile:
            self.student.forward, self.teacher.forward = torch.compile(self.student.forward), torch.compile(self.teacher.forward)
            self.teacher.features = torch.compile(self.teacher.features)

    def draw(self):
        x, y = super().batch()
        self.drawn = x.contiguous(memory_format=self.layout), y

    def batch(self):
        return self.drawn


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--net", choices=list(NETS), default="small")
    p.add_argument("--step", choices=["none", "automix"], default="automix")
    p.add_argument("--layout", choices=["nchw", "nhwc"], default="nhwc")
    p.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    p.add_argument("--compile", action="store_true")
    p.add_argument("--batch", type=int, default=100)
    p.add_argument("--classes", type=int, default=100)
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--steps", type=int, default=10)
    p.add_argument("--warm", type=int, default=2)
    o = p.parse_args()
    torch.set_num_threads(o.threads)    # the default halves what a virtual machine shows
    base = peak_bytes()
    trainer = Cpu(o)
    wall, processor = [], []
    for i in range(-o.warm, o.steps):
        trainer.draw()
        began, cpu_began = time.perf_counter(), time.process_time()
        trainer.step()
        if i >= 0:
            wall.append(1e3 * (time.perf_counter() - began))
            processor.append(1e3 * (time.process_time() - cpu_began))
    print(json.dumps({"net": o.net, "step": o.step, "layout": o.layout, "precision": o.precision, "compile": o.compile,
                      "threads": o.threads, "batch": o.batch, "steps": o.steps, "ms_per_step": statistics.median(wall),
                      "ms_min": min(wall), "ms_max": max(wall), "cpu_ms_min": min(processor), "rss_bytes": peak_bytes(),
                      "base_bytes": base, "isa": torch.backends.cpu.get_cpu_capability(), "torch": torch.__version__}))


if __name__ == "__main__":
    main()
