"""Several runs as one: all cells side by side, and compared image by image where they share prompts and seeds.

What each image adds to each number is in the runs' images.parquet, so no store and no model is needed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from ..reports.comparisons import COLUMNS
from ..reports.results import RUN, STANDING, conform
from .comparable import IDENTITY
from .comparisons import Costs, compared, look, standing
from .loading import Frames
from .protocols import Value
from .results import UNIT
from .statistics import Joint, clusters


def join(runs: Mapping[str, Frames]) -> Frames:
    """The frames of all runs, cells named by their run; comparisons and ranks are of all cells together."""
    results = pd.concat([_named(frames.results, name).assign(**{RUN: name}) for name, frames in runs.items()])
    images = pd.concat([_named(frames.images, name) for name, frames in runs.items()], ignore_index=True)
    results = results.drop(columns=list(STANDING), errors="ignore").reset_index(drop=True)
    costs = {row["cell"]: Costs(row["nfe"], row["seconds"], np.nan) for _, row in results.iterrows()}
    pairs: list[pd.DataFrame] = []
    standings: dict[tuple[str, str], dict[str, float]] = {}
    for metric, higher, joint in _families(results, images):
        found = [look(joint)]
        pairs.append(compared(metric, found))
        if higher is not None:
            standings |= {(cell, metric): columns for cell, columns in standing(found, higher, costs).items()}
    columns = pd.DataFrame([standings.get((row["cell"], row["metric"]), {}) for _, row in results.iterrows()])
    results = pd.concat([results, columns.reindex(columns=list(STANDING))], axis=1)
    comparisons = pd.concat(pairs, ignore_index=True) if pairs else pd.DataFrame(columns=list(COLUMNS))
    return Frames(conform(results), comparisons, images)


def _named(frame: pd.DataFrame, run: str) -> pd.DataFrame:
    return frame.assign(cell=run + ":" + frame["cell"].astype(str))


def _families(results: pd.DataFrame, images: pd.DataFrame) -> Iterator[tuple[str, bool | None, Joint]]:
    """Metric, direction and numbers of cells that may be compared: one model, the same images, the same metric."""
    good = results[(results["status"] == "ok") & results["value"].notna() & (results["images"] > 1)]
    same = ["metric", "model", "prompts", "seed", "images"]
    of_cell = dict(iter(images.groupby("cell", sort=False, observed=True)))
    for (metric, *_), rows in good.groupby([*same, good["card"].map(_identity)], sort=False):
        if len(rows) > 1:
            values = {row["cell"]: _value(row, of_cell[row["cell"]][metric]) for _, row in rows.iterrows()}
            first = rows.iloc[0]
            drawn = clusters(list(of_cell[first["cell"]]["prompt"]), first["images"]) if UNIT in first["card"] else None
            yield metric, first["higher_is_better"], Joint.of(values, drawn)


def _identity(card: str) -> str:
    found = json.loads(card)
    return repr([found.get(name) for name in (*IDENTITY, UNIT)])


def _value(row: pd.Series, column: pd.Series) -> Value:
    """The number with each image's influence on it, which is the image's part less the number."""
    influence = column.to_numpy(np.float64)[: row["images"]] - row["value"]
    return Value(row["value"], row["se"], row["images"], influence, {})
