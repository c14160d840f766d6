#!/usr/bin/env python3
"""One training step of CIFAR ResNet-18 in PyTorch, as cfg/resnet18_none.cfg and cfg/resnet18_automix.cfg
describe it, timed on one GPU; the other side of bench/gpu.sh.

  --step none|automix     what a step is
  --mode eager            channels_last, autocast, fused SGD, foreach teacher average, nothing waits for the device
  --mode graph            the same step recorded once as a CUDA graph and replayed
  --mode compile          the same with the nets compiled by torch.compile, and recorded (the strongest baseline)

Made-up images lie on the device; lambda, permutations and crops are drawn there anew in every step.  Prints
one JSON object.  The semantics of the AutoMix step are those at the head of src/mix/automix.c."""
import argparse
import json
import statistics

import torch
import torch.nn.functional as F

from torch_nets import MixBlock, ResNet


def cross_entropy(logits, labels):
    return F.cross_entropy(logits.float(), labels)


class Trainer:
    forget = False    # gradients; a recorded step needs them where they were
    apart = False     # the losses' ways back, one after the other: one graph is alive at a time

    def __init__(self, options, device, net=ResNet, block=lambda: MixBlock(256), layout=torch.channels_last, images=50000):
        self.o, self.device = options, device
        torch.manual_seed(1)
        nets = [net(options.classes), net(options.classes), block()]
        self.student, self.teacher, self.block = (n.to(device, memory_format=layout) for n in nets)
        self.teacher.load_state_dict(self.student.state_dict())
        for p in self.teacher.parameters():
            p.requires_grad_(False)
        learned = list(self.student.parameters()) + (list(self.block.parameters()) if options.step == "automix" else [])
        self.optimiser = torch.optim.SGD(learned, lr=torch.tensor(1e-4, device=device), momentum=0.9, weight_decay=1e-4, fused=True)
        self.follows = [list(n.parameters()) for n in (self.teacher, self.student)]
        self.images = torch.randint(0, 256, (images, 3, 32, 32), dtype=torch.uint8, device=device)
        self.labels = torch.randint(0, options.classes, (images,), device=device)

    def batch(self):
        """Reflected padding by 4, a random crop, a random flip, then normalisation."""
        n, d = self.o.batch, self.device
        chosen = torch.randint(0, len(self.images), (n,), device=d)
        padded = F.pad(self.images[chosen].float(), (4, 4, 4, 4), mode="reflect").permute(0, 2, 3, 1)
        corner, places = torch.randint(0, 9, (2, n, 1, 1), device=d), torch.arange(32, device=d)
        columns = torch.where(torch.rand(n, 1, 1, device=d) < 0.5, 31 - places, places)
        sample = torch.arange(n, device=d).view(n, 1, 1)
        x = padded[sample, places.view(1, 32, 1) + corner[0], columns + corner[1]]
        return ((x / 255 - 0.47) / 0.2).permute(0, 3, 1, 2), self.labels[chosen]

    def pair(self):
        g = torch._standard_gamma(torch.full((2,), 2.0, device=self.device))
        return torch.rand(self.o.batch, device=self.device).argsort(), g[0] / g.sum()

    def mixed_loss(self, logits, y, perm, lam):
        return lam * cross_entropy(logits, y) + (1 - lam) * cross_entropy(logits, y[perm])

    def losses(self, x, y):
        """Those of the step, one after the other."""
        yield cross_entropy(self.student(x, "clean"), y)
        if self.o.step == "none":
            return
        (perm_k, lam_k), (perm_q, lam_q) = self.pair(), self.pair()
        with torch.no_grad():
            z = self.teacher.features(x)
            mask_q = self.block(z, perm_q, lam_q)
            edge = (lam_q <= 0.08) | (lam_q >= 0.92)
            mask_q = torch.where(edge, (1 - lam_q).expand_as(mask_q), mask_q)
            x_q = (1 - mask_q) * x + mask_q * x[perm_q]
        mask_k = self.block(z, perm_k, lam_k)
        x_k = (1 - mask_k) * x + mask_k * x[perm_k]
        shares = (1 - mask_k).mean((1, 2, 3)) - lam_k
        yield (self.mixed_loss(self.teacher(x_k, "mixed"), y, perm_k, lam_k)
               + 0.1 * (shares.abs() - 0.1).clamp(min=0).mean())
        yield self.mixed_loss(self.student(x_q, "mixed"), y, perm_q, lam_q)

    def step(self):
        self.optimiser.zero_grad(set_to_none=self.forget)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.o.precision == "bf16"):
            total = 0
            for loss in self.losses(*self.batch()):
                if self.apart:
                    loss.backward()
                else:
                    total = total + loss
        if not self.apart:
            total.backward()
        self.optimiser.step()
        if self.o.step == "automix":
            with torch.no_grad():
                torch._foreach_lerp_(*self.follows, 1 - 0.999)


def recorded(trainer):
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(5):
            trainer.step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        trainer.step()
    return graph.replay


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--step", choices=["none", "automix"], default="automix")
    p.add_argument("--mode", choices=["eager", "graph", "compile"], default="eager")
    p.add_argument("--precision", choices=["bf16", "tf32", "fp32"], default="bf16")
    p.add_argument("--batch", type=int, default=100)
    p.add_argument("--classes", type=int, default=100)
    p.add_argument("--steps", type=int, default=100)
    o = p.parse_args()
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = o.precision != "fp32"
    trainer = Trainer(o, torch.device("cuda"))
    if o.mode == "compile":
        for net in (trainer.student, trainer.teacher, trainer.block):
            net.compile(mode="max-autotune-no-cudagraphs")
        trainer.teacher.features = torch.compile(trainer.teacher.features, mode="max-autotune-no-cudagraphs")
    for _ in range(10):
        trainer.step()
    run = trainer.step if o.mode == "eager" else recorded(trainer)
    times = []
    for _ in range(5):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(o.steps):
            run()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) / o.steps)
    print(json.dumps({"step": o.step, "mode": o.mode, "precision": o.precision, "batch": o.batch, "steps": o.steps,
                      "ms_per_step": statistics.median(times), "ms_min": min(times), "ms_max": max(times),
                      "peak_bytes": torch.cuda.max_memory_allocated(), "torch": torch.__version__}))


if __name__ == "__main__":
    main()
