"""The network as CUDA graphs, and compiled: the same images as without, and the time that they take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from torch import Tensor

from ...plugins.registry import build
from ..cells import Cell, samples
from ..engine import produce
from ..execution.executed import Executed, executed
from ..execution.names import Execution
from ..execution.proven import TOLERANCE, distance
from ..jobs import Job
from ..padding import unit_of
from ..sweep import load_sweep
from .row import Row, compared
from .timing import in_turns, ready, spread

WAYS: tuple[Execution, ...] = ("cuda_graphs", "compiled")
PROMPTS = ["a photo of a cat", "a photo of a ship", "a photo of a frog"]
WALKS = (("euler", 6), ("dpmpp_2m", 8), ("dpmpp_2m_sde", 7))
CHANGED = "pag"
BATCHES, ROUNDS = (4, 64), 5


def rows(device: str) -> Iterator[Row]:
    """On a GPU: the largest difference of an image, how many sizes of calls were used, times at two batches."""
    for way in WAYS if device == "cuda" else ():
        yield from of(way, device, BATCHES)


def of(way: Execution, device: str, batches: Sequence[int]) -> Iterator[Row]:
    """Of one way, on any device that it can be had on.

    Raises:
        RuntimeError: if all calls were executed as usual, with the reason.
    """
    usual, faster = (build("backend", "embedded").load(device) for _ in range(2))
    executed(faster, way)
    work = jobs(batches[0], ("cfg(3)", CHANGED))
    differences = [
        distance(one, other) for one, other in zip(*(images(m, work, device) for m in (usual, faster)), strict=True)
    ]
    instead: Any = faster.network.forward
    assert isinstance(instead, Executed)
    if not instead.proven.proven:
        raise RuntimeError(f"nothing was measured: {instead.proven.given_up}")
    note = f"{len(instead.proven.proven)} sizes of calls were proven and used"
    what, limit = f"images by {way}, {CHANGED} among them: largest difference", TOLERANCE[usual.dtype]
    yield Row(what, "eager", spread([max(differences)]), limit, note=note)
    for batch in batches:
        runs = {
            name: ready(partial(images, model, jobs(batch, ("cfg(3)",)), device))
            for name, model in (("eager", usual), (way, faster))
        }
        times = in_turns(runs, ROUNDS, device)
        unit = (f"ms, batches of {batch}", 1000.0)
        yield compared(f"three cells by {way}, batches of {batch}", "eager", times[way], times["eager"], 1.0, unit)


def jobs(batch: int, guidances: Sequence[str]) -> list[Job]:
    """Cells whose calls are of few sizes, each often enough to be proven."""
    drawn = samples(load_sweep(None, {"images": batch, "prompts": PROMPTS}), PROMPTS, 0, batch)
    return [
        Job(Cell("m", sampler, "model", "trailing", steps, guidance, "0", 0, "float32"), drawn)
        for guidance in guidances
        for sampler, steps in WALKS
    ]


def images(model: Any, work: Sequence[Job], device: str) -> list[Tensor]:
    """As a sweep on a GPU makes them, in the order of the jobs."""
    most = 2 * len(work[0].samples)
    done = {id(one.job): one for one in produce(model, work, device, most, unit_of(most))}
    for one in done.values():
        if error := one.failure():
            raise error
    return [done[id(job)].x for job in work]  # type: ignore[misc]
