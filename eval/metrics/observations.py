"""What observers are given and what metrics read: pixels in, named rows out, with the errors said in one place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from ..protocols import Observations


def check_pixels(images: Tensor, prompts: Sequence[str]) -> None:
    """
    Raises:
        TypeError: unless the images are a uint8 tensor.
        ValueError: unless its shape is (B, 3, H, W) with one prompt for each image.
    """
    dtype = str(getattr(images, "dtype", type(images).__name__))
    if dtype != "torch.uint8":
        raise TypeError(f"images are {dtype}: must be torch.uint8 in 0 ... 255; round and clamp before converting")
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images have shape {tuple(images.shape)}: must be (B, 3, H, W)")
    if len(prompts) != len(images):
        raise ValueError(f"{len(images)} images came with {len(prompts)} prompts: must be one prompt for each image")


def on_the_host(answer: Tensor | np.ndarray) -> np.ndarray:
    """What an observer answers, as an array; waits for the device."""
    return answer if isinstance(answer, np.ndarray) else answer.cpu().numpy()


def find(shards: Iterable[Observations], stem: str) -> str:
    """The full name of the one observation ``stem-<hash8>`` or ``stem-<hash8>/<resizer>``.

    Raises:
        ValueError: if there is none, or several by different weights.
    """
    pattern = re.compile(re.escape(stem) + r"-[0-9a-f]{8}(/.*)?")
    names = sorted(next(iter(shards), {}))
    found = [name for name in names if pattern.fullmatch(name)]
    if len(found) == 1:
        return found[0]
    problem = f"several, {', '.join(found)}," if found else "no"
    raise ValueError(
        f"{problem} observations {stem!r} of these images; there are {', '.join(names) or 'none'}. "
        "Run the sweep again with this metric, in a new folder if weights have changed."
    )


def rows(shards: Iterable[Observations], name: str) -> Iterator[np.ndarray[Any, np.dtype[np.float64]]]:
    """One observation shard by shard, as float64.

    Raises:
        ValueError: if a shard lacks it, or for an image whose row is not finite, naming the image.
    """
    start = 0
    for shard in shards:
        if name not in shard:
            raise ValueError(f"images from {start} on lack observation {name!r}; run the sweep again with this metric")
        block = np.asarray(shard[name], dtype=np.float64)
        bad = ~np.isfinite(block).reshape(len(block), -1).all(axis=1)
        if bad.any():
            raise ValueError(f"observation {name!r} of image {start + int(bad.argmax())} is not finite")
        yield block
        start += len(block)


def column(shards: Iterable[Observations], name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A whole observation that is a few numbers per image: (n,) or (n, k)."""
    blocks = list(rows(shards, name))
    if not blocks:
        raise ValueError(f"no images, so no observation {name!r}; run the sweep first")
    return np.concatenate(blocks)
