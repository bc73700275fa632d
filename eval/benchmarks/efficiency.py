"""Images a second of a sweep over what the network alone would make: forward passes a second / evaluations an image.

Few steps are the hard case: what looks at an image costs the same however many steps made it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping

from .row import Row
from .swept import Swept
from .timing import spread, timed

SAMPLERS, STEPS, ROUNDS = ("euler", "dpmpp_2m", "dpmpp_2m_sde"), (6, 20), 4
CASES = {"cpu": (16, (16, 32, 64), 0.95, 0.95), "cuda": (64, (64, 128, 256), 0.97, 0.90)}
"""Images of a batch, batches at which the network is tried, the goals for sampling and with metrics."""


def rows(device: str) -> Iterator[Row]:
    for steps in STEPS:
        yield from _rows(steps, device)


def _rows(steps: int, device: str) -> Iterator[Row]:
    batch, sizes, sampling, with_metrics = CASES[device]
    swept = Swept(SAMPLERS, steps, batch, batch, device)
    forwards = {size: swept.forward(size) for size in sizes}
    shares: dict[str, list[float]] = {"sampling": [], "with metrics": []}
    asked = 2 * steps * len(SAMPLERS) * batch
    for number in range(ROUNDS + 1):
        before = _row(forwards, device)
        seconds = {"sampling": timed(swept.sample, device), "with metrics": timed(swept.run, device)}
        row = (before + _row(forwards, device)) / 2
        for name in shares if number else ():
            shares[name].append(asked * row / seconds[name])
    what = f"harness efficiency, {len(SAMPLERS)} cells of {steps} steps, batches of {batch}"
    peer = "the network's best throughput / evaluations of an image"
    note = f"all {steps} steps count, though cells share the first evaluation, so it may be above 1"
    for name, goal in (("sampling", sampling), ("with metrics", with_metrics)):
        yield Row(f"{what}, {name}", peer, spread(shares[name]), goal, at_most=False, note=note)


def _row(forwards: Mapping[int, Callable[[], object]], device: str) -> float:
    """Seconds of a row at the best batch."""
    return min(statistics.median(timed(run, device) for _ in range(3)) / size for size, run in forwards.items())
