"""What ``sigmabench plan`` says beside what the sweep then takes, by the clock: it wants a machine of its own."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ..costs.estimate import estimate
from ..costs.words import span
from ..publish import publish
from ..runner import Runner
from ..sweep import Sweep
from .row import Row
from .timing import spread

GOAL = 0.15
IMAGES = {"cpu": 60, "cuda": 1000}


def rows(device: str) -> Iterator[Row]:
    fields = {
        "models": "embedded", "samplers": ["euler", "heun", "dpmpp_2m", "dpmpp_2m_sde"], "steps": [5, 10],
        "guidance": "cfg", "scales": [1, 3], "images": IMAGES[device], "batch_size": IMAGES[device] // 4,
        "metrics": ["fd", "clip_score"], "device": device,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(Sweep.model_validate(fields), Path(folder))
        predicted = estimate(runner, Path(folder)).seconds()
        began = time.perf_counter()
        runner.run(lambda images, cell: None)
        publish(runner.plan, Path(folder))
        taken = time.perf_counter() - began
    off = abs(predicted / taken - 1)
    what = f"relative error of the predicted time of {len(runner.plan.cells)} cells"
    yield Row(what, "the sweep itself", spread([off]), GOAL, ours=span(predicted), theirs=span(taken))
