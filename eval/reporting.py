"""``sigmabench report``: the page of a run or of several, and what it says for programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import UsageError
from .loading import load
from .plans import load_plan
from .publish import publish, publish_joined


def report(folders: Sequence[Path], out: Path | None = None) -> tuple[Path, dict[str, Any]]:
    """Write it; returns the page and the ``summary`` of its folder.

    Raises:
        UsageError: if a folder holds no run, or several are to have a report without a folder for it.
    """
    if len(folders) == 1:
        page = publish(load_plan(folders[0]), folders[0], out)
    elif out is None:
        raise UsageError("a report of several runs needs a folder of its own: add --out")
    else:
        try:
            page = publish_joined(folders, out)
        except (OSError, ValueError) as error:
            raise UsageError(str(error)) from error
    return page, {"report": str(page), **summary(page.parent)}


def summary(folder: Path) -> dict[str, Any]:
    """What the results in a folder say: counts of cells, and of each model the answer and the cell it recommends."""
    results = load(folder)
    status = results.drop_duplicates("cell")["status"].value_counts().to_dict()
    answers = [{"model": one.model, "answer": one.lead, "cell": one.cell} for one in results.answers()]
    return {"cells": status, "answers": answers}
