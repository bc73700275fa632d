"""The judge: a second opinion on which class an image shows.

A pre-activation residual network (arXiv 1603.05027) with ReLU and strided blocks. It shares no weights, layers, seed
or augmentation with the feature network, so a generator cannot score well here merely by suiting the metric's features.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from .weights_files import WEIGHTS, content_hash, read_weights


class Residual(nn.Module):
    """x + conv(relu(norm(conv(relu(norm(x)))))), the shortcut a 1x1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.norm1(x))
        return self.shortcut(x) + self.conv2(F.relu(self.norm2(self.conv1(y))))


class Judge(nn.Module):
    """uint8 (B, 3, 32, 32) -> float32 logits (B, 10)."""

    hash: str = ""

    def __init__(self, widths: tuple[int, int, int] = (32, 64, 128)) -> None:
        super().__init__()
        a, b, c = widths
        self.stem = nn.Conv2d(3, a, 3, padding=1, bias=False)
        stages = (Residual(a, a, 1), Residual(a, b, 2), Residual(b, c, 2), Residual(c, c, 1))
        self.stages = nn.Sequential(*stages)
        self.norm, self.head = nn.BatchNorm2d(c), nn.Linear(c, 10)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """In evaluation the mean over an image and its mirror image, so that both get the same verdict."""
        logits = self._view(pixels)
        return logits if self.training else (logits + self._view(pixels.flip(-1))) / 2

    def _view(self, pixels: torch.Tensor) -> torch.Tensor:
        x = (pixels.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        x = F.relu(self.norm(self.stages(self.stem(x))))
        return self.head(x.float().mean(dim=(2, 3)))

    def logits(self, pixels: torch.Tensor) -> torch.Tensor:
        """The same as calling it; the name that the feature network has too."""
        return self(pixels)


@lru_cache(maxsize=1)
def load_judge(path: str | Path = WEIGHTS / "judge.safetensors") -> Judge:
    """The network of `path` in float32, frozen, with `.hash`."""
    net = Judge()
    net.load_state_dict(read_weights(path))
    net.hash = content_hash(path)
    return net.eval().requires_grad_(False)
