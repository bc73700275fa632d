"""Measure faults of other programs and print them, or write the report."""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from pathlib import Path

import torch

from .hosts import MissingPeerError
from .registry import FAULTS
from .report import write
from .table import measure, text


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sigmabench.eval.faults", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="faults to measure; default: all")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="for the tables and the page")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in FAULTS]:
        parser.error(f"{', '.join(unknown)}: must be of {', '.join(FAULTS)}")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    rows, missing = [], {}
    for name in options.names or FAULTS:
        try:
            row = measure(FAULTS[name])
        except MissingPeerError as error:
            missing[FAULTS[name].peer] = error
            continue
        if row:
            rows.append(row)
        print(text(row) if row else f"{name}: {FAULTS[name].peer} is right here; this is no fault any more", flush=True)
    for peer, reason in missing.items():
        print(f"{peer} is left out: {reason}", file=sys.stderr)
    if options.write:
        write(options.write, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
