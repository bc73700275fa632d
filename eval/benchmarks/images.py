"""From x to what a feature network takes, at 256 px, beside the usual way over PNG files.

Ours: uint8 tensors, clean-fid's resize for each, on a GPU without leaving it. Theirs, as in a user's script: each image
to PIL, to a PNG file, read again, resized by clean-fid.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from cleanfid.resize import build_resizer
from PIL import Image
from torch import Tensor

from ..metrics.inception import resized
from .row import Row, compared
from .timing import Spread, in_turns, ready

IMAGES, SIDE, ROUNDS, GOAL = 16, 256, 7, 0.2


def rows(device: str) -> Iterator[Row]:
    x, resize, found = _photographs().to(device), build_resizer("clean"), {}

    def ours() -> None:
        found["ours"] = resized(_uint8(x))

    def theirs() -> None:
        with tempfile.TemporaryDirectory() as folder:
            for i, image in enumerate((x / 2 + 0.5).clamp(0, 1).cpu().permute(0, 2, 3, 1).numpy()):
                Image.fromarray((image * 255).round().astype(np.uint8)).save(Path(folder, f"{i:05d}.png"))
            read = [np.array(Image.open(path).convert("RGB")) for path in sorted(Path(folder).iterdir())]
            found["theirs"] = torch.stack([torch.from_numpy(resize(image)).permute(2, 0, 1) for image in read])

    times = in_turns({"ours": ready(ours), "theirs": ready(theirs)}, ROUNDS, device)
    own, other = ([seconds / IMAGES for seconds in times[name]] for name in ("ours", "theirs"))
    what = f"an image of {SIDE} px, up to its features"
    yield compared(what, "PNG files and clean-fid", own, other, GOAL, ("ms", 1e3))
    off = (found["ours"].cpu() - found["theirs"]).abs().max().item()
    yield Row("its largest difference, of 255", "clean-fid", Spread(off, off, off), 1e-3)


def _uint8(x: Tensor) -> Tensor:
    return (x / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)


def _photographs() -> Tensor:
    """Smooth with some grain, in [-1, 1], which compress about as photographs do."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(IMAGES, 3, 16, 16, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bicubic")
    return (smooth * 0.5 + torch.randn(smooth.shape, generator=generator) * 0.03).clamp(-1, 1)
