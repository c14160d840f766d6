#!/usr/bin/env python3
"""How far low precision moves the gradient of a whole training step: CIFAR ResNet-18 from its random start, on random
images, where relu's corners are met most often.  Prints the relative error ||g - g64|| / ||g64|| and the cosine of the
gradient of all weights, for our backend in each precision (classifier replay) and for PyTorch's fp32 and autocast, all from
the same start and against PyTorch's float64.

  python3 bench/noise.py [--batch 32] [--seeds 3]      a Markdown table, medians over the seeds; ./automix is used"""
import argparse
import json
import os
import statistics
import struct
import subprocess
import tempfile

import torch
import torch.nn as nn

from torch_nets import ConvNorm, Residual, ResNet

HERE = os.path.dirname(os.path.abspath(__file__))
OURS = [("ours, fp32", ["-backend", "simd"]), ("ours, bf16", ["-backend", "simd", "-precision", "bf16"]),
        ("ours, fast", ["-backend", "simd", "-precision", "fast"])]


def save(path, tensors):
    head, at, blobs = {}, 0, []
    for name, t in tensors.items():
        blob = t.contiguous().numpy().tobytes()
        head[name] = {"dtype": "I32" if t.dtype == torch.int32 else "F32", "shape": list(t.shape), "data_offsets": [at, at + len(blob)]}
        at += len(blob)
        blobs.append(blob)
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def load(path):
    with open(path, "rb") as f:
        data = f.read()
    n = struct.unpack("<Q", data[:8])[0]
    out = {}
    for name, h in json.loads(data[8:8 + n]).items():
        if name != "__metadata__" and h["dtype"] == "F32":
            a, b = h["data_offsets"]
            out[name] = torch.frombuffer(bytearray(data[8 + n + a:8 + n + b]), dtype=torch.float32).view(h["shape"])
    return out


def layers(net, indices):
    """(index in the cfg, convolution or linear layer, its norm) in the cfg's order: a side comes after its branch."""
    pairs = [net.stem]
    for r in net.modules():
        if isinstance(r, Residual):
            pairs += sorted((m for m in r.children() if isinstance(m, ConvNorm)), key=lambda m: m is r.side)
    return list(zip(indices, [m.conv for m in pairs] + [net.clean], [m.norm for m in pairs] + [None]))


def gradient(net, indices, x, y, autocast=False):
    net.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        out = net(x, "clean")
    nn.functional.cross_entropy(out.double() if x.dtype == torch.float64 else out.float(), y).backward()
    return torch.cat([m.weight.grad.double().flatten() for _, m, _ in layers(net, indices)])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--automix", default=os.path.join(HERE, "..", "automix"))
    o = p.parse_args()
    cfg = os.path.join(HERE, "..", "cfg", "resnet18_none.cfg")
    table = subprocess.run([o.automix, "net", cfg], capture_output=True, text=True, check=True).stdout
    indices = [int(line.split()[0]) for line in table.splitlines() if len(line.split()) > 1 and line.split()[1] in ("convolutional", "connected")]
    errors = {}
    for seed in range(o.seeds):
        torch.manual_seed(seed)
        net = ResNet(100)
        x, y = torch.randn(o.batch, 3, 32, 32), torch.randint(0, 100, (o.batch,))
        with tempfile.TemporaryDirectory() as folder:
            start = {"images": x[None], "labels": y[None].int(), "labels_b": y[None].int(), "lambda": torch.ones(1, o.batch), "learning_rate": torch.zeros(1)}
            for i, m, norm in layers(net, indices):
                start[f"student.{i}.weights"] = m.weight.detach()
                start[f"student.{i}.biases"] = (m if norm is None else norm).bias.detach()
                if norm is not None:
                    start[f"student.{i}.scales"] = norm.weight.detach()
                    start[f"student.{i}.rolling_mean"], start[f"student.{i}.rolling_variance"] = norm.running_mean, norm.running_var
            source, result, small = (os.path.join(folder, name) for name in ("in", "out", "net.cfg"))
            save(source, start)
            with open(cfg) as f, open(small, "w") as g:
                g.write(f.read().replace("batch=100", f"batch={o.batch}"))
            got = {}
            for name, flags in OURS:
                subprocess.run([o.automix, "classifier", "replay", small, source, result] + flags, check=True, stderr=subprocess.DEVNULL)
                out = load(result)
                got[name] = torch.cat([out[f"grad.{i}.weights"].double().flatten() for i in indices])
        got["PyTorch, fp32"] = gradient(net, indices, x, y)
        got["PyTorch, bf16 autocast"] = gradient(net, indices, x, y, autocast=True)
        exact = gradient(net.double(), indices, x.double(), y)
        for name, g in got.items():
            errors.setdefault(name, []).append((float((g - exact).norm() / exact.norm()), float(g @ exact / g.norm() / exact.norm())))
    print(f"| gradient of ResNet-18, batch {o.batch}, {o.seeds} starts | relative error | cosine |\n| --- | ---: | ---: |")
    for name, e in errors.items():
        print(f"| {name} | {100 * statistics.median(v[0] for v in e):.2f} % | {statistics.median(v[1] for v in e):.5f} |")


if __name__ == "__main__":
    main()
