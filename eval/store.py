"""A run's folder: observations of images in shards, named by content, published whole or not at all.

    run/cells/<key>/cell.json                           the cell's settings
    run/cells/<key>/0000000-0000050.safetensors         observations of images 0 ... 49
    run/cells/<key>/failed.json                         why the cell's last attempt ended, until one succeeds

A shard is written beside its place, flushed and renamed, so that a reader never sees half of one whatever kills the
writer. Its metadata hold a digest of its arrays: a damaged shard counts as missing and is made again. Of 10,000 shards
made by three workers under 200 kills, none that was finished was lost or made twice; ``tests/killing.py`` repeats it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ..reports.atomic import replace
from .cells import Cell
from .errors import UsageError
from .protocols import Observations

SHARD = re.compile(r"(\d{7,})-(\d{7,})\.safetensors")
LITTER = 3600.0  # seconds after which an unfinished file is one that its writer did not live to finish


@dataclasses.dataclass(frozen=True, order=True)
class Shard:
    """A published file with the observations of images start ... stop - 1."""

    start: int
    stop: int
    path: Path = dataclasses.field(compare=False)


class Store:
    """Reads and writes one run's folder.

    Raises:
        UsageError: if the folder cannot be made or is not a directory that can be written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            (root / "cells").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"cannot use {root} as a results folder: {error.strerror}; choose another --out"
            ) from error
        if not os.access(root / "cells", os.R_OK | os.W_OK | os.X_OK):
            raise UsageError(f"no permission to read and write {root}; choose another --out")

    def folder(self, cell: Cell) -> Path:
        return self.root / "cells" / cell.key

    def shards(self, cell: Cell) -> list[Shard]:
        """Published shards in order of images."""
        found = []
        for path in self.folder(cell).glob("*.safetensors"):
            if match := SHARD.fullmatch(path.name):
                found.append(Shard(int(match[1]), int(match[2]), path))
        return sorted(found)

    def missing(self, cell: Cell, images: int, size: int, names: frozenset[str]) -> list[tuple[int, int]]:
        """Ranges of at most ``size`` images that no intact shard with all these observations covers."""
        gaps, position = [], 0
        for shard in self.shards(cell):
            if shard.start < position or not names <= intact(shard.path):
                continue
            gaps += _cut(position, min(shard.start, images), size)
            position = shard.stop
        return gaps + _cut(position, images, size)

    def has(self, cell: Cell, start: int, stop: int, names: frozenset[str]) -> bool:
        """Whether an intact shard of exactly these images has all these observations."""
        return names <= intact(self.folder(cell) / _name(start, stop))

    def put(self, cell: Cell, start: int, observations: Observations, metadata: Mapping[str, str]) -> None:
        """Publish the observations of the images from ``start`` on, in place of shards of the same images.

        What an intact shard of just these images has observed already, for other metrics, is kept.
        """
        from safetensors.numpy import load_file, save

        folder = self.folder(cell)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "cell.json").exists():
            write_atomic(folder / "cell.json", json.dumps(dataclasses.asdict(cell), indent=1).encode())
        stop = start + len(next(iter(observations.values())))
        path = folder / _name(start, stop)
        earlier = load_file(path) if intact(path) else {}
        arrays = {name: np.ascontiguousarray(array) for name, array in {**earlier, **observations}.items()}
        write_atomic(path, save(arrays, metadata={**metadata, "digest": _digest(arrays)}))
        for shard in self.shards(cell):
            if shard.path != path and shard.start < stop and start < shard.stop:
                shard.path.unlink()
        (folder / "failed.json").unlink(missing_ok=True)

    def fail(self, cell: Cell, reason: str) -> None:
        """Record why the cell could not be finished."""
        folder = self.folder(cell)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / "failed.json", json.dumps({"reason": reason}).encode())

    def tidy(self) -> None:
        """Remove what killed writers have left behind."""
        for path in (*self.root.glob("cells/*/.*"), *self.root.glob("claims/*")):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > LITTER:
                    path.unlink()

    def forgive(self, cell: Cell) -> None:
        """Forget an earlier failure, so that the cell is tried again."""
        (self.folder(cell) / "failed.json").unlink(missing_ok=True)

    def failure(self, cell: Cell) -> str:
        """The recorded reason, empty if there is none."""
        try:
            return json.loads((self.folder(cell) / "failed.json").read_text())["reason"]
        except (OSError, ValueError, KeyError):
            return ""

    def observations(self, cell: Cell, images: int) -> Observed:
        """What the intact shards hold; damaged ones are set apart."""
        shards = self.shards(cell)
        whole = tuple(shard for shard in shards if intact(shard.path))
        return Observed(whole, images, tuple(shard.path for shard in shards if shard not in whole))


@dataclasses.dataclass(frozen=True)
class Observed:
    """The observations of a cell's first images, shard by shard; each iteration reads them from disk anew."""

    shards: tuple[Shard, ...]
    images: int
    damaged: tuple[Path, ...] = ()
    """Shards that are truncated or altered; the next run of the sweep makes them again."""

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        from safetensors.numpy import load_file

        for shard in self.shards:
            if shard.start < self.images:
                arrays = load_file(shard.path)
                yield {name: array[: self.images - shard.start] for name, array in arrays.items()}

    def metadata(self) -> list[dict[str, str]]:
        """Of each shard: seconds, evaluations, device and versions."""
        return [read_metadata(shard.path) for shard in self.shards if shard.start < self.images]


def read_metadata(path: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        return file.metadata() or {}


def intact(path: Path) -> frozenset[str]:
    """Names of the arrays of a shard whose digest is right; empty for a missing, truncated or altered file."""
    try:
        status = path.stat()
    except OSError:
        return frozenset()
    return _intact(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=100_000)
def _intact(path: Path, changed: int, size: int) -> frozenset[str]:
    """Read once for each state of the file, which its size and the time of its last change stand for."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays, digest = load_file(path), read_metadata(path).get("digest")
    except (OSError, SafetensorError, ValueError):
        return frozenset()
    return frozenset(arrays) if digest == _digest(arrays) else frozenset()


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that it appears whole or not at all."""
    replace(path, lambda part: part.write_bytes(data))


def _digest(arrays: Mapping[str, Any]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


def _name(start: int, stop: int) -> str:
    return f"{start:07d}-{stop:07d}.safetensors"


def _cut(start: int, stop: int, size: int) -> list[tuple[int, int]]:
    """Ranges of at most ``size``, cut at its multiples."""
    edges = [start, *range(start - start % size + size, stop, size), stop]
    return list(pairwise(edges)) if start < stop else []
