"""From a run's folder to one tidy DataFrame: a row for each cell and metric."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from ..plugins.registry import build
from ..reports.results import COLUMNS
from .cells import Planned
from .images import PREVIEW, PREVIEWS
from .protocols import Value
from .provenance import versions
from .runner import Plan
from .scales import scale_of
from .store import Observed, Store
from .sweep import metric_instances

Z95 = 1.959963984540054  # normal quantile of a two-sided 95 % interval


def results(plan: Plan, store: Store) -> pd.DataFrame:
    """Every planned cell, finished or not; numbers are computed anew from the stored observations."""
    metrics = metric_instances(plan.sweep)
    rows = [row for planned in plan.cells for row in _rows(plan, store, planned, metrics)]
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


def previews(plan: Plan, store: Store) -> dict[str, np.ndarray]:
    """The first images of each finished cell, uint8 (k, 3, H, W), the same indices and seeds in all."""
    found = {}
    for planned in plan.runnable:
        parts = [o[PREVIEW] for o in store.observations(planned.cell, plan.sweep.images) if PREVIEW in o]
        if parts:
            found[planned.cell.key] = np.concatenate(parts)[:PREVIEWS]
    return found


def _rows(plan: Plan, store: Store, planned: Planned, metrics: dict[str, Any]) -> Iterator[dict[str, Any]]:
    cell, images = planned.cell, plan.sweep.images
    base = {"cell": cell.key, **_settings(planned), "seed": cell.seed, "prompts": cell.prompts, "dtype": cell.dtype}
    observed = store.observations(cell, images)
    have = sum(min(shard.stop, images) - shard.start for shard in observed.shards if shard.start < images)
    if planned.refused or have < images:
        reason = planned.refused or store.failure(cell) or _missing(observed, have)
        status = "refused" if planned.refused else "failed"
        yield {**base, "status": status, "reason": reason, "images": have, **_current()}
        return
    measured = {"status": "ok", "reason": "", "images": images, **_cost(observed, images)}
    for text, metric in metrics.items():
        yield {**base, **measured, **_number(text, metric, observed)}


def _missing(observed: Observed, have: int) -> str:
    damaged = "".join(f"shard {path.name} is damaged and left out; " for path in observed.damaged)
    return f"{damaged}{have} of {observed.images} images are there; run the sweep again"


def _number(text: str, metric: Any, observed: Observed) -> dict[str, Any]:
    try:
        value: Value = metric.evaluate(observed)
    except (ValueError, KeyError, OSError) as error:
        return {"metric": text, "status": "failed", "reason": f"{text}: {error}", "value": math.nan}
    return {
        "metric": text,
        "value": value.value,
        "se": value.se,
        "low": value.value - Z95 * value.se,
        "high": value.value + Z95 * value.se,
        "higher_is_better": metric.higher_is_better,
        "card": json.dumps(value.card, default=str),
    }


def _settings(planned: Planned) -> dict[str, Any]:
    cell = planned.cell
    return {
        "model": cell.model,
        "sampler": cell.sampler,
        "schedule": cell.schedule,
        "spacing": cell.spacing,
        "steps": cell.steps,
        "guidance": cell.guidance,
        "method": cell.guidance.partition("(")[0],
        "scale": scale_of(build("guidance", cell.guidance)),
    }


def _cost(observed: Observed, images: int) -> dict[str, Any]:
    """Network evaluations and seconds per image, over whole shards."""
    metadata = observed.metadata()
    made = sum(shard.stop - shard.start for shard in observed.shards if shard.start < images)
    first = metadata[0]
    return {
        "nfe": sum(int(m["evaluations"]) for m in metadata) / made,
        "seconds": sum(float(m["seconds"]) for m in metadata) / made,
        "device": first["device"],
        **{name: first.get(name, "") for name in _current()},
    }


def _current() -> dict[str, str]:
    return {name: versions()[name] for name in ("sigmabench", "git", "torch", "diffusers")}
