"""Everything that the page of ``sigmabench explore`` shows, computed once, as plain data."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...plugins.registry import build, describe
from ...samplers.level import Level
from ...samplers.noise import SeededNoise
from ..cells import Cell, plan, samples
from ..errors import UsageError
from ..images import preview
from ..models import Models, device_of
from ..protocols import Drawing, Model
from ..provenance import versions
from ..scales import scale_of, scaled
from ..sweep import Sweep
from .curves import curves, schedules, spacings, taken
from .walks import Frame, Watched, noised, walk

FORWARD = 32
"""Steps in which the forward process is shown."""


def explore(sweep: Sweep) -> dict[str, Any]:
    """Curves and steps of all schedules and spacings; one image's walks by every sampler of the sweep, at its first
    number of steps and its first guidance; and the first sampler's image at every scale of every guidance.

    Raises:
        UsageError: for a model that cannot be loaded or looked into, and where nothing can be walked.
    """
    model, prompts = _load(sweep)
    walked, refused = _walked(sweep, model, prompts, guidance=sweep.guidance[:1])
    good = [each for each in walked if each.x is not None]
    if not good:
        raise UsageError(f"nothing can be walked: {'; '.join(dict.fromkeys(each['reason'] for each in refused))}")
    first, guided = good[0].cell, _scaled(sweep)
    alone = {"samplers": [first.sampler], "schedules": [first.schedule], "spacings": [first.spacing], "pairs": []}
    ends, further = _walked(sweep, model, prompts, **alone, guidance=[text for *_, text in guided])
    every, own = schedules(model.schedule), describe("schedule", model.schedule)
    return {
        "model": model.id, "prompt": prompts[0], "seed": sweep.seed, "guidance": first.guidance,
        "steps": first.steps, "sampler": first.sampler, "schedule": own, "spacing": first.spacing,
        "curves": curves(every), "taken": taken(every, spacings(*sweep.spacings)), "versions": versions(),
        "forward": _forward(model, good[0].x, sweep.seed, device_of(sweep)),
        "walks": [_walk(model, each, label) for each, label in zip(good, _labels(good), strict=True)],
        "scales": [
            {"method": method, "scale": scale, "image": _seen(model, [end.x], [Level(1.0, 0.0)])[0]}
            for method, scale, text in guided
            for end in ends
            if end.cell.guidance == text and end.x is not None
        ],
        "refused": [*refused, *further],
    }  # fmt: skip


def _walked(
    sweep: Sweep, model: Model, prompts: list[str], **changes: Any
) -> tuple[list[Watched], list[dict[str, str]]]:
    """The walks of the changed sweep's cells at its first number of steps, and the reasons of those without an end."""
    changed = sweep.model_copy(update={"steps": sweep.steps[:1], "scales": [], **changes})
    planned = plan(changed, sweep.models[0], model, prompts)
    runnable = [each.cell for each in planned if not each.refused]
    walked = walk(model, runnable, samples(sweep, prompts, 0, 1)[0], device_of(sweep))
    reasons = [(each.cell, each.refused) for each in planned] + [(each.cell, each.error) for each in walked]
    return walked, [{"setting": _label(cell), "reason": reason} for cell, reason in reasons if reason]


def _load(sweep: Sweep) -> tuple[Model, list[str]]:
    models = Models(sweep.model_copy(update={"models": sweep.models[:1]}))
    prompts = models.prompts()
    model = models.ready(sweep.models[0], prompts)
    if isinstance(model, Drawing):
        raise UsageError(f"model {sweep.models[0]} draws whole images, its steps cannot be seen; use another backend")
    return model, prompts


def _scaled(sweep: Sweep) -> list[tuple[str, float, str]]:
    """Method, scale and both as one text, for every guidance of the sweep that has a scale, at every scale."""
    methods = {text: build("guidance", text) for text in sweep.guidance}
    short = {text: text.partition("(")[0] for text in methods}
    names = short if len({*short.values()}) == len(short) else {text: text for text in methods}
    return [
        (names[text], scale, describe("guidance", scaled(method, scale)))
        for text, method in methods.items()
        if not math.isnan(scale_of(method))
        for scale in sweep.scales
    ]


def _forward(model: Model, x0: Tensor | None, seed: int, device: str) -> dict[str, Any]:
    levels = [model.schedule.level(i / FORWARD) for i in range(FORWARD + 1)]
    noise = SeededNoise([seed], model.shape, device).initial()
    states = noised(x0, noise, levels)  # type: ignore[arg-type]
    return {"levels": [_numbers(level) for level in levels], "x": _seen(model, states, levels)}


def _walk(model: Model, watched: Watched, label: str) -> dict[str, Any]:
    frames, end = watched.frames, watched.x
    last = Frame(Level(1.0, 0.0), end, end)  # type: ignore[arg-type]
    shown = [*frames, last]
    levels = [frame.level for frame in shown]
    return {
        "label": label, "levels": [_numbers(level) for level in levels],
        "distance": [float((frame.x0 - last.x0).square().mean().sqrt()) for frame in shown],
        "x": _seen(model, [frame.x for frame in shown], levels),
        "x0": _seen(model, [frame.x0 for frame in shown], [last.level] * len(shown)),
    }  # fmt: skip


def _seen(model: Model, states: list[Tensor], levels: list[Level]) -> np.ndarray:
    """uint8 (n, 3, H, W): each x divided by its level's norm, so that noise is as bright as images are."""
    with torch.no_grad():
        rows = torch.cat([x / level.norm for x, level in zip(states, levels, strict=True)])
        return preview(model.decode(rows.float())).cpu().numpy()


def _numbers(level: Level) -> dict[str, float]:
    return {"alpha": level.alpha, "sigma": level.sigma}


def _labels(walked: list[Watched]) -> list[str]:
    """What tells the walks apart: the sampler, and the spacing and the schedule where there are several."""
    parts = [(each.cell.sampler, each.cell.spacing, each.cell.schedule) for each in walked]
    differ = [True, *(len({part[i] for part in parts}) > 1 for i in (1, 2))]
    return [", ".join(text for text, kept in zip(part, differ, strict=True) if kept) for part in parts]


def _label(cell: Cell) -> str:
    return f"{cell.sampler}, {cell.spacing}, {cell.guidance}"
