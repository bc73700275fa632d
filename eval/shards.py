"""A shard on its way: what was seen of its batches and has come to the host, and what of it is published."""

from __future__ import annotations

import dataclasses
import json
from collections import deque
from collections.abc import Collection, Iterator, Sequence

import numpy as np

from .cells import Cell
from .clock import Seconds
from .jobs import diverged
from .protocols import Observations, Sample
from .provenance import device_name, versions
from .readback import Fetched

FINITE, IMAGES = "finite", "images"
"""What is seen of a batch beside the observations: which of its images are finite, and images that are to be saved."""


@dataclasses.dataclass
class Shard:
    """Images start ... stop - 1 of a cell, claimed and on their way."""

    cell: Cell
    start: int
    stop: int
    batches: list[tuple[int, Seconds]] = dataclasses.field(default_factory=list)
    evaluations: int = 0
    coming: deque[tuple[Sequence[Sample], Fetched]] = dataclasses.field(default_factory=deque)
    parts: dict[int, Observations] = dataclasses.field(default_factory=dict)
    closed: bool = False

    @property
    def name(self) -> str:
        return f"{self.cell.key}-{self.start:07d}-{self.stop:07d}"

    @property
    def complete(self) -> bool:
        """Whether all of its images have been asked for."""
        return sum(images for images, _ in self.batches) == self.stop - self.start

    @property
    def ready(self) -> bool:
        """Whether all that was asked for has come."""
        return not self.coming or self.coming[-1][1].ready

    def come(self, wait: bool) -> Iterator[tuple[Sequence[Sample], dict[str, np.ndarray]]]:
        """Batches that have come since; if so wanted all of them, waiting for the last, which comes last."""
        if wait and self.coming:
            self.coming[-1][1].wait()
        while self.coming and self.coming[0][1].ready:
            samples, fetched = self.coming.popleft()
            yield samples, fetched.arrays()

    def observations(self) -> Observations:
        """Of all batches, in order of images."""
        parts = [self.parts[start] for start in sorted(self.parts)]
        return {name: np.concatenate([part[name] for part in parts if name in part]) for name in parts[0]}

    def metadata(self, device: str, execution: str) -> dict[str, str]:
        """Times, evaluations, device, execution of the network and versions."""
        batches = [(images, round(float(seconds), 6)) for images, seconds in self.batches]
        return {
            "seconds": repr(sum(seconds for _, seconds in batches)),
            "batches": json.dumps(batches),
            "evaluations": str(self.evaluations),
            "device": device_name(device),
            "execution": execution,
            **versions(),
        }


def check(cell: Cell, samples: Sequence[Sample], seen: dict[str, np.ndarray], names: Collection[str]) -> None:
    """
    Args:
        names: of observations that have to be finite.

    Raises:
        FloatingPointError: for images that are not finite, or an observation, naming it and the first image.
    """
    if FINITE in seen and (error := diverged(cell, seen[FINITE])):
        raise error
    for name in names:
        bad = ~np.isfinite(seen[name]).reshape(len(samples), -1).all(axis=1)
        if bad.any():
            index = samples[int(bad.argmax())].index
            raise FloatingPointError(
                f"{name} of {int(bad.sum())} of {len(samples)} images is not finite, the first is {index}"
            )
