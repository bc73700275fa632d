"""Memory against the number of images: of a sweep of one cell, and of a Frechet distance.

Every size runs in a fresh process, whose peak is the kernel's own count: VmHWM, for Linux hands ru_maxrss on from the
process that started it.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .row import Row
from .timing import spread

FEW, MANY, GOAL = 5_000, 50_000, 10.0
BLOCK, DIMENSION = 250, 512
STATUS = Path("/proc/self/status")


def rows(device: str) -> Iterator[Row]:
    yield _grown("a sweep of one cell, its metric included", "sweep", device)
    yield _grown(f"a Frechet distance of {DIMENSION} features", "frechet_distance", device)


def _grown(what: str, work: str, device: str) -> Row:
    few, many = (_peak(work, images, device) for images in (FEW, MANY))
    grown = many - few
    title = f"peak memory of {what}: {MANY:,} images less {FEW:,}, MiB"
    return Row(title, "", spread([grown]), GOAL, ours=f"{many:.0f} and {few:.0f} MiB")


def _peak(work: str, images: int, device: str) -> float:
    """MiB of a process that does this work on so many images."""
    code = f"from {__name__} import {work}, peak; {work}({images}, {device!r}); peak()"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def peak() -> None:
    """Print this process's peak in MiB."""
    if STATUS.exists():
        print(int(next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM")).split()[1]) / 1024)
    else:
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2)


def sweep(images: int, device: str) -> None:
    """One cell of a closed-form model, generated, observed, stored and evaluated."""
    from ..results import evaluate
    from ..runner import Runner
    from ..store import Store
    from ..sweep import Sweep

    checked = Sweep.model_validate(
        {"models": "gaussian_mixture(size=8)", "samplers": "euler", "spacings": "karras", "steps": 1, "images": images,
         "guidance": "cfg(1)", "metrics": "luminance", "device": device, "batch_size": BLOCK}
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(checked, Path(folder))
        if failed := runner.run(lambda images, cell: None).failed:
            raise RuntimeError(f"nothing was measured: {failed}")
        evaluate(runner.plan, Store(Path(folder)))


def frechet_distance(images: int, device: str) -> None:
    """Between unit normal features, made block by block, and a unit Gaussian."""
    from ..metrics.frechet import frechet
    from ..metrics.reference_files import Reference

    name = "features/normal"
    reference = Reference("unit", np.zeros(DIMENSION), np.eye(DIMENSION), images, Path())
    frechet(_Blocks(name, images), name, reference)


class _Blocks:
    """Shards of features, made anew in every pass."""

    def __init__(self, name: str, images: int) -> None:
        self.name, self.images = name, images

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        for i in range(self.images // BLOCK):
            yield {self.name: np.random.default_rng(i).standard_normal((BLOCK, DIMENSION), np.float32)}
