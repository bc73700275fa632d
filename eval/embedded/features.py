"""The feature network: the space in which image sets are compared.

A ten-class classifier in the manner of airbench (arXiv 2404.00498): a frozen 2x2 whitening convolution, three blocks
conv-pool-norm-GELU-conv-norm-GELU, channel means, a linear head. The features are the 256 channel means before the
head, averaged over an image and its mirror image. Trained on this project's data, so a distance between such
features is not FID, and its name says so.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from .weights_files import WEIGHTS, content_hash, read_weights

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def normalise(pixels: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """uint8 (B, 3, H, W) -> float32, zero mean and unit variance per channel over the training images."""
    x = pixels.float() / 255
    return ((x - mean[:, None, None]) / std[:, None, None]).contiguous(memory_format=torch.channels_last)


def block(inputs: int, outputs: int) -> nn.Sequential:
    """conv3x3, 2x2 max pool, norm, GELU, conv3x3, norm, GELU: (B, inputs, n, n) -> (B, outputs, n // 2, n // 2)."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(outputs),
        nn.GELU(approximate="tanh"),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.GELU(approximate="tanh"),
    )


class FeatureNet(nn.Module):
    """uint8 (B, 3, 32, 32) -> float32 features (B, 256); `logits` gives (B, 10)."""

    num_features = 256
    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, widths: tuple[int, int, int] = (64, 192, 256)) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN))
        self.register_buffer("std", torch.tensor(STD))
        self.whiten = nn.Conv2d(3, 24, 2)
        self.whiten.weight.requires_grad_(False)
        self.blocks = nn.Sequential(*(block(i, o) for i, o in zip((24, *widths), widths, strict=False)))
        self.head = nn.Linear(widths[-1], 10)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """In evaluation the mean over an image and its mirror image, so that both have the same features."""
        if self.training:
            return self._view(pixels)
        one, other = self._view(torch.cat([pixels, pixels.flip(-1)])).chunk(2)
        return (one + other) / 2

    def _view(self, pixels: torch.Tensor) -> torch.Tensor:
        x = F.gelu(self.whiten(normalise(pixels, self.mean, self.std)), approximate="tanh")
        return self.blocks(x).float().mean(dim=(2, 3))

    def logits(self, pixels: torch.Tensor) -> torch.Tensor:
        """Class scores (B, 10)."""
        return self.head(self(pixels))

    @torch.no_grad()
    def set_whitening(self, pixels: torch.Tensor, eps: float = 5e-4) -> None:
        """Filters +-v_i / sqrt(lambda_i + eps) from the eigenvectors of the covariance of 2x2 patches."""
        x = normalise(pixels, self.mean, self.std)
        patches = x.unfold(2, 2, 1).unfold(3, 2, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, 12).double()
        values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        filters = (vectors / (values + eps).sqrt()).T.reshape(12, 3, 2, 2).float()
        self.whiten.weight.copy_(torch.cat([filters, -filters]))
        self.whiten.bias.zero_()  # type: ignore[union-attr]


class FrozenFeatureNet(FeatureNet):
    """The shipped network: evaluation mode, no gradients, and its identity."""

    hash: str

    @property
    def name(self) -> str:
        """For metric ids, such as cifarnet-3f2a91bc."""
        return f"cifarnet-{self.hash}"


@lru_cache(maxsize=1)
def load_feature_net(path: str | Path = WEIGHTS / "features.safetensors") -> FrozenFeatureNet:
    """The network of `path` in float32, frozen, with `.hash` and `.name`."""
    net = FrozenFeatureNet()
    net.load_state_dict(read_weights(path))
    net.hash = content_hash(path)
    return net.eval().requires_grad_(False)
