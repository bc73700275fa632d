"""From a run's folder to two tidy frames: a row for each cell and metric, and one for each pair of cells and metric.

Numbers of all cells are over the sweep's images. Comparisons use what more a cell has when the sweep goes on until its
best cells are separated.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from ..plugins.registry import build
from ..reports.comparisons import COLUMNS as COMPARED
from ..reports.results import COLUMNS, GIVEN, STANDING
from .cells import Cell, Planned
from .comparable import Measurement
from .comparisons import Costs, Look, compared, families, look, standing
from .errors import NotApplicable
from .images import PREVIEW, PREVIEWS
from .loading import Frames
from .per_image import per_image
from .plans import Plan
from .protocols import Value
from .provenance import versions
from .scales import scale_of
from .statistics import Joint, interval
from .store import Observed, Store
from .sweep import metric_instances
from .valued import Values

UNIT = "unit_of_the_intervals"
"""Entry of a number's card that says that prompts were drawn, not images."""


def results(plan: Plan, store: Store) -> pd.DataFrame:
    """Every planned cell, finished or not; numbers are computed anew from the stored observations."""
    return evaluate(plan, store).results


def evaluate(plan: Plan, store: Store, values: Values | None = None) -> Frames:
    """Every planned cell with its numbers, and all comparisons of them; ``values`` are those of an earlier look."""
    metrics, values = metric_instances(plan.sweep), values or Values(store)
    rows, measurements = [], []
    for planned in plan.cells:
        for row, measurement in _rows(plan, store, planned, metrics, values):
            rows.append(row)
            measurements += [measurement] if measurement else []
    costs = {row["cell"]: Costs(row["nfe"], row["seconds"], row["seconds_se"]) for row in rows if "nfe" in row}
    pairs: list[pd.DataFrame] = []
    standings: dict[tuple[str, str | None], dict[str, float]] = {}
    for family in families(measurements):
        metric, looks = family[0].metric, _looks(plan, family, metrics, values)
        if looks:
            pairs.append(compared(metric, looks))
            higher = metrics[metric].higher_is_better
            found = {} if higher is None else standing(looks, higher, costs)
            standings |= {(cell, metric): columns for cell, columns in found.items()}
    frame = pd.DataFrame([{**row, **standings.get((row["cell"], row.get("metric")), {})} for row in rows])
    comparisons = pd.concat(pairs, ignore_index=True) if pairs else pd.DataFrame(columns=list(COMPARED))
    frame = frame.reindex(columns=[*COLUMNS, *STANDING])
    return Frames(frame, comparisons, per_image(measurements, plan.prompts))


def _looks(plan: Plan, family: list[Measurement], metrics: dict[str, Any], values: Values) -> list[Look]:
    """The comparison on the sweep's images, and on twice as many each time for cells that went on."""
    if len(family) < 2 or family[0].value.n < 2:
        return []
    sequential, metric = bool(plan.sweep.until), metrics[family[0].metric]
    first = {one.cell.key: one.value for one in family}
    found = [look(Joint.of(first, plan.clusters(family[0].value.n)), sequential=sequential)]
    for number, images in enumerate(plan.sweep.looks()[1:], 1):
        more = [one.cell for one in family if covered(values.store, one.cell) >= images]
        if len(more) < 2:
            break
        those = {cell.key: values.of(family[0].metric, metric, cell, images) for cell in more}
        found.append(look(Joint.of(those, plan.clusters(images)), number, sequential=True))
    return found


def covered(store: Store, cell: Cell) -> int:
    """The first images of a cell that are there without a gap."""
    stop = 0
    for shard in store.observations(cell, 0).shards:
        if shard.start > stop:
            break
        stop = max(stop, shard.stop)
    return stop


def previews(plan: Plan, store: Store) -> dict[str, np.ndarray]:
    """The first images, uint8 (k, 3, H, W), the same indices and seeds in all; of cells that have as many as others."""
    found = {}
    for planned in plan.runnable:
        parts = [o[PREVIEW] for o in store.observations(planned.cell, plan.sweep.images) if PREVIEW in o]
        if parts:
            found[planned.cell.key] = np.concatenate(parts)[:PREVIEWS]
    most = max(map(len, found.values()), default=0)
    return {key: images for key, images in found.items() if len(images) == most}


def _rows(
    plan: Plan, store: Store, planned: Planned, metrics: dict[str, Any], values: Values
) -> Iterator[tuple[dict[str, Any], Measurement | None]]:
    cell, images = planned.cell, plan.sweep.images
    base = {"cell": cell.key, **_settings(planned), "seed": cell.seed, "prompts": cell.prompts, "dtype": cell.dtype}
    observed = store.observations(cell, images)
    have = sum(min(shard.stop, images) - shard.start for shard in observed.shards if shard.start < images)
    if planned.refused or have < images:
        reason = planned.refused or store.failure(cell) or _missing(observed, have)
        status = "refused" if planned.refused else "failed"
        yield {**base, "status": status, "reason": reason, "images": have, **_current()}, None
        return
    measured = {"status": "ok", "reason": "", "images": images, **_cost(cell, observed, images)}
    for text, metric in metrics.items():
        try:
            value = values.of(text, metric, cell, images)
        except Exception as error:  # a plugin's metric may raise anything, and the others go on
            status = "refused" if isinstance(error, NotApplicable) else "failed"
            reason = f"{text}: {error}" if isinstance(error, ValueError) else f"{text}: {type(error).__name__}: {error}"
            yield {**base, **measured, "metric": text, "status": status, "reason": reason, "value": math.nan}, None
        else:
            number = _number(text, metric, value, plan.clusters(value.n))
            yield {**base, **measured, **number}, Measurement(cell, text, value)


def _missing(observed: Observed, have: int) -> str:
    damaged = "".join(f"shard {path.name} is damaged and left out; " for path in observed.damaged)
    return f"{damaged}{have} of {observed.images} images are there; run the sweep again"


def _number(text: str, metric: Any, value: Value, cluster: np.ndarray | None) -> dict[str, Any]:
    unit = {} if cluster is None else {UNIT: f"prompt, {len(np.unique(cluster))} of them"}
    return {
        "metric": text,
        "value": value.value,
        **interval(value.value, value.influence, cluster)._asdict(),
        "higher_is_better": metric.higher_is_better,
        "card": json.dumps({**value.card, **unit}, default=str),
    }


def _settings(planned: Planned) -> dict[str, Any]:
    cell = planned.cell
    if cell.given:
        return {"model": cell.model, "sampler": GIVEN, "steps": None, "scale": math.nan}
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


def _cost(cell: Cell, observed: Observed, images: int) -> dict[str, Any]:
    """Network evaluations and seconds per image, over whole shards, and how well the seconds are known.

    nan for images that were given: what it took to make them is not known.
    """
    metadata = observed.metadata()
    made = sum(shard.stop - shard.start for shard in observed.shards if shard.start < images)
    first = metadata[0]
    unknown = math.nan if cell.given else 0.0
    return {
        "nfe": unknown + sum(int(m["evaluations"]) for m in metadata) / made,
        "seconds": unknown + sum(float(m["seconds"]) for m in metadata) / made,
        "seconds_se": _seconds_error([batch for m in metadata for batch in json.loads(m.get("batches", "[]"))]),
        "device": first["device"],
        **{name: first.get(name, "") for name in _current()},
    }


def _seconds_error(batches: list[tuple[int, float]]) -> float:
    """Standard error of the seconds of an image, from batches of (images, seconds); nan for fewer than two."""
    if len(batches) < 2:
        return math.nan
    images, seconds = np.array(batches, dtype=np.float64).T
    residual = seconds - images * (seconds.sum() / images.sum())
    return float(math.sqrt(len(batches) / (len(batches) - 1) * (residual**2).sum()) / images.sum())


def _current() -> dict[str, str]:
    return {name: versions()[name] for name in ("sigmabench", "git", "torch", "diffusers")}
