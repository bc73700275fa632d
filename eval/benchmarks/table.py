"""The results of a part as JSON, and those of all parts that were ever run as one page."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..provenance import device_name, versions
from .judged import judged, tally
from .row import Row

FOLDER = Path(__file__).resolve().parents[2] / "reports" / "benchmarks"


def write(part: str, device: str, rows: Sequence[Row], folder: Path = FOLDER) -> Path:
    """``<part>-<device>.json``, and the page of all in the folder anew."""
    about = {
        "part": part, "device": device, "hardware": _hardware(device), "cores": os.cpu_count(),
        "threads": torch.get_num_threads(), "clock": "CPU seconds of the process" if device == "cpu" else "wall time",
        "versions": versions(),
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{part}-{device}.json"
    path.write_text(json.dumps({**about, "rows": [row.record() for row in rows]}, indent=1) + "\n", encoding="utf-8")
    write_page(folder)
    return path


def write_page(folder: Path = FOLDER) -> None:
    """README.md of the parts in the folder."""
    parts = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))]
    (folder / "README.md").write_text(page(parts), encoding="utf-8")


def page(parts: Sequence[dict[str, Any]]) -> str:
    """A table for each part."""
    lines = ["# Benchmarks", "", INTRODUCTION, ""]
    for part in parts:
        rows = part["rows"]
        lines += [f"## {part['part']}, {part['device']}: {tally(rows)}", ""]
        lines += ["| what | beside | ours | theirs | value (quartiles) | goal | met |", "|---|---|--:|--:|--:|--:|---|"]
        lines += [_line(row) for row in rows]
        made = part["versions"]
        lines += [
            "",
            f"{part['hardware']}, {part['cores']} cores, {part['threads']} threads; {part['clock']}; torch "
            f"{made['torch']}, diffusers {made['diffusers']}, Python {made['python']}, git {made['git']}.",
            "",
        ]
    return "\n".join(lines)


def _line(row: dict[str, Any]) -> str:
    value = row["value"]
    shown = f"{value['median']:.3g} ({value['low']:.3g} to {value['high']:.3g})"
    note = "; ".join(text for text in (row["peer"], row["note"]) if text)
    return f"| {' | '.join((row['what'], note, row['ours'], row['theirs'], shown, *judged(row)))} |"


def _hardware(device: str) -> str:
    if device != "cpu":
        return device_name(device)
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return f"{model} ({torch.backends.cpu.get_cpu_capability()})" if model else platform.processor()


INTRODUCTION = """\
Written by `make bench`, or `python -m sigmabench.eval.benchmarks PART` for one part. Contestants take turns in one
process; a value is the median over the rounds of ours to theirs, with quartiles, and the goal is about it. What does
not meet its goal says so. On a GPU nothing has been measured unless a part below says cuda."""
