"""Inception exactly as clean-fid runs it: its resizer, its TorchScript network; 2048 features or 1008 classes.

The weights (inception-2015-12-05.pt, 95 MB) are not part of this package. They are looked for in

    $SIGMABENCH_INCEPTION    <cache>/inception-2015-12-05.pt    /tmp/inception-2015-12-05.pt (where clean-fid puts them)

and fetched only with SIGMABENCH_DOWNLOAD=1. Parmar, Zhang, Zhu 2022, arXiv:2104.11222.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..cache import cache_folder, published
from .observations import check_pixels
from .pil_resize import resized_floats
from .precision import full_precision

if TYPE_CHECKING:
    from torch import Tensor

SIDE = 299
FILE = "inception-2015-12-05.pt"
URL = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/" + FILE


class Inception:
    """The network, and images as it wants them: clean-fid's "clean" mode, PIL bicubic on float channels, clamped."""

    def __init__(self, device: str, path: Path) -> None:
        from cleanfid.inception_torchscript import InceptionV3W

        from ..embedded.weights_files import content_hash

        with tempfile.TemporaryDirectory() as folder:  # clean-fid takes a folder and a fixed file name
            link = Path(folder, FILE)
            try:
                link.symlink_to(path)
            except OSError:
                shutil.copyfile(path, link)
            self.network = InceptionV3W(folder, download=False).eval().requires_grad_(False).to(device)
        self.device, self.hash = device, content_hash(path)

    def prepared(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """uint8 (B, 3, H, W) to float (B, 3, 299, 299) in 0 ... 255."""
        check_pixels(images, prompts)
        return resized(images.to(self.device))


def resized(images: Tensor) -> Tensor:
    """uint8 (B, 3, H, W) to float (B, 3, 299, 299): clean-fid's numbers, to float rounding, where the images are."""
    return resized_floats(images, SIDE, SIDE).clamp_(0, 255)


class InceptionFeatures:
    """The 2048 numbers before the last layer, float32 (B, 2048)."""

    def __init__(self, device: str) -> None:
        self.inception = _load(device, weights())
        self.name = f"features/inception-{self.inception.hash}/clean"

    def __call__(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        with full_precision(self.inception.device):
            return self.inception.network(self.inception.prepared(images, prompts)).float()


class InceptionClasses:
    """Probabilities of the 1008 outputs, float32 (B, 1008); without the output bias, as the Inception score has it."""

    def __init__(self, device: str) -> None:
        self.inception = _load(device, weights())
        self.name = f"classes/inception-{self.inception.hash}/clean"

    def __call__(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        with full_precision(self.inception.device):
            batch = self.inception.prepared(images, prompts)
            return self.inception.network.base(batch, no_output_bias=True).float()


@lru_cache(maxsize=1)
def _load(device: str, path: Path) -> Inception:
    return Inception(device, path)


def weights() -> Path:
    """The weights file.

    Raises:
        FileNotFoundError: without weights, naming the places they may be.
        OSError: if they may be downloaded but cannot.
    """
    named = os.environ.get("SIGMABENCH_INCEPTION")
    places = [Path(named)] if named else [cache_folder() / FILE, Path("/tmp", FILE)]
    instead = "set SIGMABENCH_INCEPTION to the file, or use features='embedded'"
    return published(URL, f"Inception ({FILE})", places, instead)
