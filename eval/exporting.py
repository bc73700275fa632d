"""``sigmabench export``: a run's tables and figures as files for a page, a paper, or another program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..reports.atomic import replace
from ..reports.loaded import Results
from .errors import UsageError
from .loading import load

TABLES = {".md": "md", ".tex": "latex", ".csv": "csv", ".parquet": "parquet"}
FIGURES = (".svg", ".png", ".pdf")
TEXTS = ("md", "latex", "csv")
"""What can be printed."""


def loaded(folders: Sequence[Path]) -> Results:
    """
    Raises:
        UsageError: if a folder has no results.
    """
    try:
        return load(*folders)
    except (OSError, ValueError) as error:
        raise UsageError(str(error)) from error


def text(results: Results, form: str, metrics: Sequence[str] | None) -> str:
    """The table in this form.

    Raises:
        UsageError: for an unknown form or metric.
    """
    makers: dict[str, Callable[[], str]] = {
        "md": lambda: results.markdown(metrics),
        "latex": lambda: results.latex(metrics),
        "csv": lambda: results.table(metrics).to_csv(index=False, lineterminator="\n"),
    }
    if form not in makers:
        raise UsageError(f"--format {form}: what can be printed is {', '.join(makers)}; write other forms with --out")
    try:
        return makers[form]()
    except ValueError as error:
        raise UsageError(str(error)) from error


def write(results: Results, path: Path, metrics: Sequence[str] | None, figure: str) -> Path:
    """Write the table, or the figure of that name, as the file's suffix says; returns the path.

    Raises:
        UsageError: for an unknown suffix, metric or figure.
    """
    form = TABLES.get(path.suffix)
    if form in TEXTS:
        content = text(results, form, metrics)
        return replace(path, lambda part: part.write_text(content, encoding="utf-8"))
    try:
        if form == "parquet":
            frame = results.table(metrics)
            return replace(path, lambda part: frame.to_parquet(part, index=False))
        if path.suffix in FIGURES:
            from ..reports.charts import save

            return save(results.figure(figure, metrics[0] if metrics else None), path)
    except ValueError as error:
        raise UsageError(str(error)) from error
    known = ", ".join([*TABLES, *FIGURES])
    raise UsageError(f"--out {path}: unknown suffix {path.suffix or 'of none'!r}; tables and figures are {known}")
