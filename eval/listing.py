"""``sigmabench list``: every plugin with its settings, order, cost and source."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.table import Table

from .catalogue_data import catalogue_data
from .errors import UsageError

NAMES = "names"


def show(kind: str | None, *, as_json: bool = False) -> None:
    """Print one kind, or all; or the ``names`` by which other programs' users know pairs.

    Raises:
        UsageError: for an unknown kind, listing the known ones.
    """
    rows = catalogue_data()
    kinds = [known for known in rows if known != NAMES]
    if kind is not None and kind not in rows:
        raise UsageError(f"unknown kind {kind!r}; kinds: {', '.join(kinds)}, or {NAMES}")
    found = {k: rows[k] for k in ([kind] if kind else kinds)}
    if as_json:
        print(json.dumps(found[NAMES] if kind == NAMES else found, indent=1))
        return
    for k, listed in found.items():
        for table in _names(listed) if k == NAMES else [_table(k, listed)]:
            Console().print(table)


def _names(rows: list[dict[str, Any]]) -> list[Table]:
    """A table for each program."""
    tables = []
    for host in dict.fromkeys(row["host"] for row in rows):
        table = Table(
            "name", "sampler", "spacing", "schedule", "remarks", title=host, title_justify="left", expand=True
        )
        for row in rows:
            if row["host"] == host:
                table.add_row(
                    row["name"], row["sampler"], row["spacing"], row["schedule"], row["note"] or row["reason"]
                )
        tables.append(table)
    return tables


def _table(kind: str, rows: list[dict[str, Any]]) -> Table:
    sampler = kind == "sampler"
    headings = [
        "name",
        "settings",
        *(["order", "evaluations a step", "noise"] if sampler else []),
        "what it is",
        "source",
    ]
    table = Table(*headings, title=f"{kind} ({len(rows)})", title_justify="left", expand=True, row_styles=["", "dim"])
    for row in rows:
        settings = "\n".join(f"{name}={value['default']}" for name, value in row["settings"].items())
        evaluations = str(row["evaluations"] or "chosen by it") if sampler else ""
        cost = [str(row["order"]), evaluations, "yes" if row["stochastic"] else ""] if sampler else []
        also = f"Also: {', '.join(row['aliases'])}." if row["aliases"] else ""
        table.add_row(row["name"], settings, *cost, f"{row['summary']} {also}".strip(), row["reference"])
    return table
