"""What a run has found, for reading: a line for each stage, and the numbers that matter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..benchmarks.judged import judged, tally
from .stages import Record


def page(records: Mapping[str, Record]) -> str:
    """Markdown."""
    lines = ["# On a GPU", "", "| stage | status | seconds | found |", "|---|---|--:|---|"]
    lines += [
        f"| {name} | {one['status']} | {one.get('seconds', '')} | {_found(name, one)} |"
        for name, one in records.items()
    ]
    if rows := [row for one in records.values() for row in _rows(one)]:
        lines += ["", "| row | beside | value | goal | met |", "|---|---|--:|--:|---|", *map(_row, rows)]
    failed = {name: one["error"] for name, one in records.items() if one.get("error")}
    for name, error in failed.items():
        lines += ["", f"## {name}", "", "```", str(error).strip()[-3000:], "```"]
    return "\n".join([*lines, ""])


def _rows(record: Record) -> list[dict[str, Any]]:
    return record.get("rows", [])


def _row(row: Mapping[str, Any]) -> str:
    cells = (row["what"], row["peer"], f"{row['value']['median']:.3g}", *judged(row))
    return f"| {' | '.join(cells)} |"


def line(name: str, record: Record) -> str:
    """Of a stage that has ended."""
    why = str(record.get("error", "")).strip().rpartition("\n")[2]
    said = "; ".join(text for text in (_found(name, record), why) if text)
    return f"{name}: {record['status']} in {record.get('seconds', 0)} s; {said}"


def _found(name: str, record: Record) -> str:
    """In a few words."""
    if rows := _rows(record):
        return tally(rows)
    if "checks" in record:
        checks = record["checks"]
        worst = max(checks, key=_share)
        said = f"{sum(check['met'] for check in checks)} of {len(checks)} agree"
        return f"{said}; nearest to its tolerance: {worst['what']} {worst['difference']:.2g} of {worst['tolerance']:g}"
    shown = {key: value for key, value in record.items() if key in SHOWN and value not in ("", {}, None)}
    return "; ".join(f"{key} {_text(value)}" for key, value in shown.items())


SHOWN = (
    "hardware", "missing", "tflops", "matmul_error", "cells", "images", "images_per_s", "efficiency", "pairs", "state",
    "verdicts", "last",
)  # fmt: skip


def _share(check: Mapping[str, Any]) -> float:
    if check["error"]:
        return float("inf")
    return check["difference"] / check["tolerance"] if check["tolerance"] else float(check["difference"] > 0)


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
