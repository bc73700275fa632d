"""``python -m sigmabench.eval.benchmarks [PART ...] [--device cuda]``; see the package."""

from __future__ import annotations

import argparse
import importlib
import logging
import warnings

import torch
from rich.console import Console
from rich.table import Table

from . import PARTS
from .judged import judged
from .row import Row
from .table import write


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m sigmabench.eval.benchmarks")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    given = parser.parse_args()
    if unknown := set(given.parts) - {*PARTS}:
        parser.error(f"no part {', '.join(sorted(unknown))}; parts: {', '.join(PARTS)}")
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)  # diffusers remarks on each scheduler's settings
    torch.set_num_threads(1)
    for part in given.parts or PARTS:
        rows = list(importlib.import_module(f".{part}", __package__).rows(given.device))
        if not rows:
            continue
        show(part, rows)
        Console(stderr=True).print(f"{write(part, given.device, rows)}")


def show(part: str, rows: list[Row]) -> None:
    table = Table("what", "beside", "ours", "theirs", "value", "goal", "met", title=part, title_justify="left")
    for row in rows:
        value = f"{row.value.median:.3g}"
        table.add_row(row.what, row.peer, row.ours, row.theirs, value, *judged(row.record()))
    Console().print(table)


if __name__ == "__main__":
    main()
