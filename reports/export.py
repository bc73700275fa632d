"""Results as files: results.parquet for programs, results.csv for people, both read back with the same types.

comparisons.parquet holds the paired comparisons of the cells, where there are any.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from .atomic import replace
from .comparisons import conform_comparisons
from .results import conform

REMEDY = "write it again with write_results, or repeat the sweep's report step"


def write_results(folder: Path | str, results: pd.DataFrame) -> tuple[Path, Path]:
    """Write results.parquet and results.csv into the folder; returns both paths."""
    frame, folder = conform(results), Path(folder)
    parquet = replace(folder / "results.parquet", lambda part: frame.to_parquet(part, index=False))
    csv = replace(folder / "results.csv", lambda part: _to_csv(frame, part))
    return parquet, csv


def write_comparisons(folder: Path | str, comparisons: pd.DataFrame) -> Path:
    """Write comparisons.parquet into the folder; returns its path."""
    frame = conform_comparisons(comparisons)
    return replace(Path(folder) / "comparisons.parquet", lambda part: frame.to_parquet(part, index=False))


def read_comparisons(folder: Path | str) -> pd.DataFrame:
    """The comparisons in a folder of results.

    Raises:
        FileNotFoundError: there are none.
        ValueError: the file is not one of comparisons; the message names it and the remedy.
    """
    path = Path(folder) / "comparisons.parquet"
    if not path.is_file():
        raise FileNotFoundError(f"no comparisons at {path}; {REMEDY}")
    try:
        return conform_comparisons(pd.read_parquet(path))
    except Exception as error:
        raise ValueError(f"cannot read {path} ({type(error).__name__}: {error}); {REMEDY}") from error


def _to_csv(frame: pd.DataFrame, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        frame.to_csv(file, index=False, lineterminator="\n")


def read_results(path: Path | str) -> pd.DataFrame:
    """Read a .parquet or .csv file of results, or the folder that holds them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not one of results; the message names it and the remedy.
    """
    path = Path(path)
    if path.is_dir():
        names = [name for name in ("results.parquet", "results.csv") if (path / name).is_file()]
        if not names:
            raise FileNotFoundError(f"no results.parquet or results.csv in {path}; {REMEDY}")
        path = path / names[0]
    if not path.is_file():
        raise FileNotFoundError(f"no results at {path}; check the path, or {REMEDY}")
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {".parquet": pd.read_parquet, ".csv": _from_csv}
    if path.suffix not in readers:
        raise ValueError(f"{path} ends in {path.suffix or 'nothing'}; results are .parquet or .csv files")
    try:
        frame = readers[path.suffix](path)
    except Exception as error:  # each reader has its own families of errors; all of them mean the same here
        raise ValueError(f"cannot read {path} ({type(error).__name__}: {error}); {REMEDY}") from error
    try:
        return conform(frame)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} does not hold results: {error}") from error


def _from_csv(path: Path) -> pd.DataFrame:
    """Everything as text; ``conform`` knows the types and parses each column exactly."""
    with path.open(encoding="utf-8", newline="") as file:
        return pd.read_csv(file, dtype=str, keep_default_na=False)
