"""``sigmabench list``: every plugin with its settings, order, cost and source."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

from rich.console import Console
from rich.table import Table

from ..plugins.door import REFERENCE
from ..plugins.hookspecs import KINDS
from ..plugins.names import Resolved, known_names
from ..plugins.registry import Entry, catalogue
from ..samplers.settings import legal_values
from .errors import UsageError

NAMES = "names"


def show(kind: str | None, *, as_json: bool = False) -> None:
    """Print one kind, or all; or the ``names`` by which other programs' users know pairs.

    Raises:
        UsageError: for an unknown kind, listing the known ones.
    """
    if kind == NAMES:
        _show_names(as_json=as_json)
        return
    if kind is not None and kind not in KINDS:
        raise UsageError(f"unknown kind {kind!r}; kinds: {', '.join(KINDS)}, or {NAMES}")
    found = {k: [describe_entry(entry) for entry in catalogue(k).values()] for k in ([kind] if kind else KINDS)}
    if as_json:
        print(json.dumps(found, indent=1))
        return
    for k, rows in found.items():
        Console().print(_table(k, rows))


def _show_names(*, as_json: bool) -> None:
    known = list(known_names())
    if as_json:
        rows = [
            {"host": k.host, "reason": k.reason, **dataclasses.asdict(k.resolved or _nothing(k.name))} for k in known
        ]
        print(json.dumps(rows, indent=1))
        return
    for host in dict.fromkeys(k.host for k in known):
        table = Table(
            "name", "sampler", "spacing", "schedule", "remarks", title=host, title_justify="left", expand=True
        )
        for k in known:
            if k.host == host:
                found = k.resolved or _nothing(k.name)
                table.add_row(k.name, found.sampler, found.spacing, found.schedule, found.note or k.reason)
        Console().print(table)


def _nothing(name: str) -> Resolved:
    return Resolved(name, sampler="", spacing="")


def describe_entry(entry: Entry) -> dict[str, Any]:
    """What is known of a plugin without running it."""
    cls = entry.cls
    reference = re.search(rf"(?:{REFERENCE.pattern})\S*", cls.__doc__ or "")
    row: dict[str, Any] = {
        "name": entry.name,
        "settings": {
            f.name: {"default": _default(f), "legal": legal_values(f), "help": f.metadata.get("help", "")}
            for f in dataclasses.fields(cls)
        },
        "summary": entry.summary,
        "reference": reference[0].rstrip(".,;)") if reference else "",
        "aliases": list(entry.aliases),
        "plugin": f"{entry.plugin} {entry.version}".strip(),
    }
    if entry.kind == "sampler":
        default = cls()  # the order and the cost of some methods depend on their settings
        row |= {"order": default.order, "evaluations": default.evaluations, "stochastic": default.stochastic}
    return row


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


def _default(field: dataclasses.Field[Any]) -> Any:
    value = field.default
    return value if isinstance(value, (int, float, str, bool, type(None))) else repr(value)
