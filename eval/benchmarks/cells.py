"""What one more cell adds to a sweep, beside its forward passes and its images' features alone."""

from __future__ import annotations

from collections.abc import Iterator

from .row import Row
from .swept import Swept
from .timing import ratios, timed

SAMPLERS = ("euler", "dpmpp_2m", "ddim(eta=0.5)", "dpmpp_2m_sde")
STEPS, ROUNDS, GOAL = 5, 3, 1.03
IMAGES = {"cpu": 8, "cuda": 256}


def rows(device: str) -> Iterator[Row]:
    """The difference between a sweep of all samplers and one of the first, for each of the others.

    Every evaluation counts as a forward pass, the first of each cell too, which cells share.
    """
    images, more = IMAGES[device], len(SAMPLERS) - 1
    one, all_ = (Swept(SAMPLERS[:count], STEPS, images, images, device) for count in (1, len(SAMPLERS)))
    forward, observe = all_.forward(2 * images), all_.observe(images)

    def bare() -> None:
        for _ in range(STEPS):
            forward()
        observe()

    added, alone = [], []
    for number in range(ROUNDS + 1):
        seconds = (timed(all_.run, device) - timed(one.run, device)) / more
        if number:
            added.append(seconds)
            alone.append(timed(bare, device))
    note = f"all {STEPS} steps count, though cells share the first evaluation"
    yield Row("one more cell", "its forwards and features alone", ratios(added, alone), GOAL, note=note)
