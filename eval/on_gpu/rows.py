"""A part of the benchmarks, row by row; once all are there, as the file that goes into ``reports/benchmarks``."""

from __future__ import annotations

import importlib
import logging
import warnings

import torch

from ..benchmarks import table
from .stages import Found, Task

FOLDER = "benchmarks"


def rows(task: Task) -> Found:
    """As ``python -m sigmabench.eval.benchmarks PART --device DEVICE`` does."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)  # diffusers remarks on each scheduler's settings
    torch.set_num_threads(1)
    part, found = task.options["part"], []
    for row in importlib.import_module(f"..benchmarks.{part}", __package__).rows(task.device):
        found.append(row)
        yield {"rows": [one.record() for one in found]}
    if found:
        yield {"file": str(table.write(part, task.device, found, task.folder / FOLDER).relative_to(task.folder))}
