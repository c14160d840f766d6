"""The nets of our cfgs in PyTorch, for the other sides of bench/cpu.sh and bench/gpu.sh: CIFAR ResNet-18 (He et al.
2016), ResNeXt-50 32x4d (Xie et al. 2017), the ResNet-20 of cfg/small_*.cfg, and the MixBlock of each."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval


class ConvNorm(nn.Module):
    def __init__(self, c_in, c_out, size, stride=1, groups=1):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, size, stride, size // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(c_out)

    def forward(self, x):
        return self.norm(self.conv(x))

    def fold(self):
        """The running statistics become the convolution's weights and bias; for a net in eval()."""
        self.conv, self.norm = fuse_conv_bn_eval(self.conv, self.norm), nn.Identity()


class Residual(nn.Module):
    def __init__(self, c_in, c_out, stride):
        super().__init__()
        self.side = ConvNorm(c_in, c_out, 1, stride) if stride > 1 or c_in != c_out else nn.Identity()

    def forward(self, x):
        return F.relu(self.branch(x) + self.side(x))


class Block(Residual):
    def __init__(self, c_in, c_out, stride):
        super().__init__(c_in, c_out, stride)
        self.first, self.second = ConvNorm(c_in, c_out, 3, stride), ConvNorm(c_out, c_out, 3)

    def branch(self, x):
        return self.second(F.relu(self.first(x)))


class Grouped(Residual):
    """A bottleneck of half the width, its middle in 32 groups."""

    def __init__(self, c_in, c_out, stride):
        super().__init__(c_in, c_out, stride)
        c = c_out // 2
        self.first, self.second, self.third = ConvNorm(c_in, c, 1), ConvNorm(c, c, 3, stride, 32), ConvNorm(c, c_out, 1)

    def branch(self, x):
        return self.third(F.relu(self.second(F.relu(self.first(x)))))


class ResNet(nn.Module):
    """Returns the features of the last stage but one and the logits of the clean and of the mixed head."""

    def __init__(self, classes, widths=(64, 128, 256, 512), blocks=(2, 2, 2, 2), block=Block, stem=None):
        super().__init__()
        c_in = stem or widths[0]
        self.stem = ConvNorm(3, c_in, 3)
        stages = []
        for k, c_out in enumerate(widths):
            more = [block(c_out, c_out, 1) for _ in range(blocks[k] - 1)]
            stages.append(nn.Sequential(block(c_in, c_out, 2 if k else 1), *more))
            c_in = c_out
        self.early, self.last = nn.Sequential(*stages[:-1]), stages[-1]
        self.clean, self.mixed = nn.Linear(c_in, classes), nn.Linear(c_in, classes)

    def features(self, x):
        return self.early(F.relu(self.stem(x)))

    def forward(self, x, head):
        return getattr(self, head)(self.last(self.features(x)).mean((2, 3)))

    def fold(self):
        for module in list(self.modules()):
            if isinstance(module, ConvNorm):
                module.fold()


class MixBlock(nn.Module):
    """lambda is one more channel; the mask is the weight of the partner's pixels.  normalise: each number of queries
    and keys gets mean 0 and variance 1 over the image; bound: the logit stays within it, by a tanh."""

    def __init__(self, channels, scale=4, normalise=False, bound=0):
        super().__init__()
        self.scale, self.normalise, self.bound = scale, normalise, bound
        self.query, self.value = nn.Conv2d(channels + 1, channels // 2, 1), nn.Conv2d(channels + 1, 1, 1)

    def forward(self, z, perm, lam):
        n, _, h, w = z.shape
        plane = torch.ones(n, 1, h, w, device=z.device, dtype=z.dtype)
        mine, other = torch.cat([z, lam * plane], 1), torch.cat([z[perm], (1 - lam) * plane], 1)
        q, k, v = (t.flatten(2).float() for t in (self.query(mine), self.query(other), self.value(other)))
        if self.normalise:
            q, k = F.layer_norm(q, q.shape[2:]), F.layer_norm(k, k.shape[2:])
        a = (q.transpose(1, 2) @ k / q.shape[1] ** 0.5).softmax(-1)
        logit = (v @ a.transpose(1, 2)).view(n, 1, h, w)
        if self.bound:
            logit = self.bound * torch.tanh(logit / self.bound)
        return torch.sigmoid(F.interpolate(logit, scale_factor=self.scale, mode="nearest"))


# name: the net of so many classes, its MixBlock; parameters of the net with one head of 100 classes, of the MixBlock
NETS = {
    "small": (lambda classes: ResNet(classes, (16, 32, 64), (3, 3, 3)), lambda: MixBlock(32, 2, True, 4), 278324, 578),
    "resnet18": (ResNet, lambda: MixBlock(256, 4), 11220132, 33282),
    "resnext50": (lambda classes: ResNet(classes, (256, 512, 1024, 2048), (3, 4, 6, 3), Grouped, 64),
                  lambda: MixBlock(1024, 4), 23177124, 526338),
}


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def check(name):
    """The nets have the size of ours (`automix net CFG`)."""
    net, block, net_size, block_size = NETS[name]
    with torch.device("meta"):
        net, block = net(100), block()
    for what, has, wants in (("net", parameters(net) - parameters(net.mixed), net_size), ("MixBlock", parameters(block), block_size)):
        if has != wants:
            raise SystemExit(f"torch_nets.py: the {what} of {name} has {has} parameters here and {wants} in our cfg")
