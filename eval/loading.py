"""``sigmabench.load``: the results of one or more runs as one frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ..reports.export import read_comparisons, read_results
from ..reports.loaded import Results

IMAGES = "images.parquet"


class Frames(NamedTuple):
    """What a run's folder holds: see ``reports.results``, ``reports.comparisons`` and ``per_image``."""

    results: pd.DataFrame
    comparisons: pd.DataFrame
    images: pd.DataFrame


def load(folder: Path | str, *more: Path | str) -> Results:
    """The results of a run; of several runs joined, with a column ``run``, and with all their cells compared.

        results = sigmabench.load("runs/first")
        results = sigmabench.load("runs/first", "runs/second")

    Raises:
        FileNotFoundError: if a folder has no results yet.
        ValueError: if a file is not what it should be; the message names it and the remedy.
    """
    runs = {name: read(path) for name, path in zip(run_names([folder, *more]), [folder, *more], strict=True)}
    frames = next(iter(runs.values()))
    if more:
        from .joined import join

        frames = join(runs)
    results = Results(frames.results)
    results.comparisons, results.per_image = frames.comparisons, frames.images
    return results


def read(folder: Path | str) -> Frames:
    """The frames in a folder of results."""
    results, comparisons = read_results(folder), read_comparisons(folder)
    try:
        return Frames(results, comparisons, pd.read_parquet(Path(folder) / IMAGES))
    except Exception as error:
        raise ValueError(
            f"cannot read {Path(folder) / IMAGES} ({error}); `sigmabench report {folder}` writes it"
        ) from error


def run_names(folders: Sequence[Path | str]) -> list[str]:
    """The folders' own names, or the paths as they are given where two have one name.

    Raises:
        ValueError: if a folder is given twice.
    """
    paths = [Path(folder) for folder in folders]
    if len({path.resolve() for path in paths}) < len(paths):
        raise ValueError(f"a run is given twice: {', '.join(map(str, paths))}; name each once")
    names = [path.resolve().name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]
