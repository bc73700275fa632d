"""The last step of a run, or of several together: results to tables and page."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .loading import Frames, read, run_names
from .plans import Plan, load_plan
from .provenance import versions
from .results import evaluate, previews
from .store import Store

if TYPE_CHECKING:
    import numpy as np


def publish(plan: Plan, folder: Path, out: Path | None = None, *, read_at: Path | None = None) -> Path:
    """Write the tables, samples.png and report.html of a run into its folder, or another one; returns the page.

    Args:
        read_at: the folder in which the page's reader finds it, where that is not the one it is written to.
    """
    store, out = Store(folder), out or folder
    shown = previews(plan, store)
    pictures = {cell: _address(folder, cell, read_at or out) for cell in shown}
    return write(out, evaluate(plan, store), shown, plan, about(plan, folder), pictures)


def publish_joined(folders: Sequence[Path], out: Path) -> Path:
    """Write one report of several runs that have theirs, with all cells compared; returns the page.

    Pictures are of the runs that have the first one's prompts and seed.

    Raises:
        FileNotFoundError, ValueError: as ``load`` does.
    """
    from .joined import join

    names = run_names(folders)
    frames = join({name: read(folder) for name, folder in zip(names, folders, strict=True)})
    plans = [load_plan(folder) for folder in folders]
    alike = [
        (name, folder, previews(plan, Store(folder)))
        for name, folder, plan in zip(names, folders, plans, strict=True)
        if (plan.prompts, plan.sweep.seed) == (plans[0].prompts, plans[0].sweep.seed)
    ]
    shown = {f"{name}:{cell}": images for name, _, found in alike for cell, images in found.items()}
    common = min((len(images) for images in shown.values()), default=0)
    shown = {cell: images[:common] for cell, images in shown.items()}
    pictures = {f"{name}:{cell}": _address(folder, cell, out) for name, folder, found in alike for cell in found}
    command = shlex.join(["sigmabench", "report", *map(str, folders), "--out", str(out)])
    origin = {"title": " and ".join(names), "command": command, "runs": ", ".join(map(str, folders)), **versions()}
    return write(out, frames, shown, plans[0], origin, pictures)


def _address(folder: Path, cell: str, out: Path) -> str:
    """Where a page in ``out`` finds a cell's images in full size; empty where they were not saved."""
    images = folder / "cells" / cell / "images"
    return Path(os.path.relpath(images, out)).as_posix() if images.is_dir() else ""


def write(
    out: Path, frames: Frames, shown: Mapping[str, np.ndarray], plan: Plan, origin: Mapping[str, str],
    pictures: Mapping[str, str],
) -> Path:  # fmt: skip
    """Tables, samples.png and report.html; returns the page."""
    from ..reports.comparisons import Judge
    from ..reports.contact_sheet import write_contact_sheet
    from ..reports.page import write_report

    write_tables(out, frames)
    write_contact_sheet(out, frames.results, shown)
    count = max((len(images) for images in shown.values()), default=0)
    prompts = [plan.prompts[i % len(plan.prompts)] for i in range(count)]
    return write_report(out, frames.results, shown, prompts, origin, Judge(frames.comparisons), pictures)


def write_tables(out: Path, frames: Frames) -> None:
    """What ``loading.read`` reads: no chart library is needed for it."""
    from ..reports.atomic import replace
    from ..reports.export import write_comparisons, write_results

    write_results(out, frames.results)
    write_comparisons(out, frames.comparisons)
    replace(out / "images.parquet", lambda part: frames.images.to_parquet(part, index=False))


def unmeasured(folder: Path) -> dict[str, str]:
    """Cells whose images are there but of which a metric gave no number, with the reason, as published."""
    import pandas as pd

    frame = pd.read_parquet(folder / "results.parquet", columns=["cell", "status", "reason", "metric"])
    failed = frame[(frame["status"] == "failed") & frame["metric"].notna()]
    return dict(zip(failed["cell"], failed["reason"], strict=True))


def about(plan: Plan, folder: Path) -> dict[str, str]:
    """Where the numbers of a run come from, in words."""
    fields = {name: _text(value) for name, value in plan.sweep.model_dump().items() if name != "prompts"}
    prompts = f"{len(plan.prompts)}, the first is {plan.prompts[0]!r}"
    command = f"sigmabench sweep {folder.name}/sweep.yaml --out NEW_FOLDER"
    return {"title": f"Sweep {folder.name}", "command": command, **fields, "prompts": prompts, **versions()}


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
