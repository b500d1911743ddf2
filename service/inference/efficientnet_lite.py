"""EfficientNet-Lite0 (Tan & Le 2019, the Lite variant: no squeeze-and-excitation, ReLU6), for inference.

Module names are those of the published weight file, so it loads strictly and without renaming.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPSILON = 1e-3  # of every batch normalisation, as in the TensorFlow original
STEM, HEAD, CLASSES = 32, 1280, 1000
# (repeats, kernel, stride of the first, expansion, channels out), table 1 of the EfficientNet paper
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow's "same" does it: the odd pixel goes to the right and the bottom."""

    def forward(self, input: Tensor) -> Tensor:
        height, width = (self._missing(size, axis) for axis, size in enumerate(input.shape[-2:]))
        padded = F.pad(input, (width // 2, width - width // 2, height // 2, height - height // 2))
        answer: Tensor = self._conv_forward(padded, self.weight, self.bias)
        return answer

    def _missing(self, size: int, axis: int) -> int:
        stride, kernel = self.stride[axis], self.kernel_size[axis]
        return max((-(-size // stride) - 1) * stride + kernel - size, 0)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=EPSILON)


class Block(nn.Module):
    """Inverted residual: expand, filter by depth, project, and add the input where the shapes allow."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels * expansion
        if expansion > 1:
            self._expand_conv = nn.Conv2d(channels, wide, 1, bias=False)
            self._bn0 = _norm(wide)
        self._depthwise_conv = SameConv(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = _norm(wide)
        self._project_conv = nn.Conv2d(wide, out, 1, bias=False)
        self._bn2 = _norm(out)
        self.expands = expansion > 1
        self.adds = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        out: Tensor = self._bn2(self._project_conv(y))
        return x + out if self.adds else out


class EfficientNetLite0(nn.Module):
    """float32[N, 3, 224, 224] -> logits float32[N, 1000]."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConv(3, STEM, 3, 2, bias=False)
        self._bn0 = _norm(STEM)
        self._blocks = nn.ModuleList(_blocks())
        self._conv_head = nn.Conv2d(STAGES[-1][-1], HEAD, 1, bias=False)
        self._bn1 = _norm(HEAD)
        self._fc = nn.Linear(HEAD, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        x = F.relu6(self._bn1(self._conv_head(x)))
        logits: Tensor = self._fc(x.mean((2, 3)))
        return logits


def _blocks() -> list[Block]:
    """The sixteen blocks; each takes the channels that the one before gives."""
    shapes = [
        (out, kernel, stride if i == 0 else 1, expansion)
        for repeats, kernel, stride, expansion, out in STAGES
        for i in range(repeats)
    ]
    before = (STEM, *(out for out, *_ in shapes))
    return [Block(channels, *shape) for (channels, _), shape in zip(pairwise(before), shapes, strict=True)]


def build() -> nn.Module:
    """The network without weights, on no device: `load_state_dict(…, assign=True)` gives it both."""
    with torch.device("meta"):
        return EfficientNetLite0().eval()
