"""``sigmabench docs``: a page for every kind of plugin, from docstrings, settings and measured orders, and one of those
that are not built; and beside them the schema of sweep files, by which editors check and complete them.

A paragraph of a docstring that does not end with a period is a formula and is set as one; the rest is prose, in which
papers become links.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..plugins.expression import Call, format_call
from ..plugins.hookspecs import KINDS
from ..plugins.markdown import prose
from ..plugins.registry import Entry, catalogue, describe
from ..reports.atomic import replace
from ..samplers.settings import legal_values
from .describing import NAMES, Rows, describe_entry, known_rows
from .not_built import NOT_BUILT
from .sweep_schema import schema

ROOT = Path(__file__).resolve().parent.parent
ORDERS = ROOT / "reports" / "orders" / "orders.csv"
PAGES = {
    "sampler": "Samplers",
    "schedule": "Noise schedules",
    "spacing": "Spacings",
    "guidance": "Guidance",
    "backend": "Backends",
    "metric": "Metrics",
}


def write_pages(folder: Path) -> list[Path]:
    """Write all pages of all registered plugins into the folder."""
    return [
        replace(folder / name, lambda part, text=text: part.write_text(text, encoding="utf-8"))  # type: ignore[misc]
        for name, text in pages().items()
    ]


def pages(plugins: Iterable[str] | None = None) -> dict[str, str]:
    """File name to Markdown: an index, and one page for each kind.

    Args:
        plugins: distributions to document, such as ``builtin``; None for all that are installed.
    """
    wanted = None if plugins is None else set(plugins)
    entries = {
        kind: [entry for entry in catalogue(kind).values() if wanted is None or entry.plugin in wanted]
        for kind in KINDS
    }
    orders = pd.read_csv(ORDERS, keep_default_na=False, na_values=[""]) if ORDERS.exists() else pd.DataFrame()
    found = {f"{kind}.md": _page(kind, entries[kind], orders) for kind in KINDS}
    rows = {kind: [describe_entry(entry) for entry in entries[kind]] for kind in KINDS}
    return {"README.md": _index(entries), **found, "not_built.md": _not_built(), "sweep.schema.json": _schema(rows)}


def _schema(rows: Rows) -> str:
    return json.dumps(schema({**rows, NAMES: known_rows()}), indent=1, ensure_ascii=False) + "\n"


def _index(entries: dict[str, list[Entry]]) -> str:
    lines = [
        "# Every plugin",
        "",
        "Written by `sigmabench docs`, from the code and [measured orders](../orders/README.md).",
    ]
    lines += [
        "To write your own, see [Adding a plugin](../../plugins/README.md); what is missing is in",
        "[Not built, and why](not_built.md).",
        "",
    ]
    for kind, title in PAGES.items():
        names = ", ".join(f"[{entry.name}]({kind}.md#{entry.name})" for entry in entries[kind])
        lines += [f"## [{title}]({kind}.md) ({len(entries[kind])})", "", names, ""]
    return "\n".join(lines)


def _not_built() -> str:
    lines = [
        "# Not built, and why",
        "",
        "Written by `sigmabench docs`; [what is built](README.md). Each can be [added](../../plugins/README.md).",
        "",
    ]
    for kind, title in PAGES.items():
        rows = [[f"`{row.name}`", prose(row.source), prose(row.reason)] for row in NOT_BUILT if row.kind == kind]
        lines += [f"## {title}", "", _table(["name", "source", "why not"], rows), ""] if rows else []
    return "\n".join(lines).rstrip() + "\n"


def _page(kind: str, entries: Sequence[Entry], orders: pd.DataFrame) -> str:
    lines = [f"# {PAGES[kind]}", "", "Written by `sigmabench docs`; [all kinds](README.md).", ""]
    heading = ["name", *(["order", "evaluations a step", "noise"] if kind == "sampler" else []), "what it is"]
    rows = [
        [f"[{entry.name}](#{entry.name})", *_cost(entry), prose(entry.summary)]
        for entry in entries
    ]  # fmt: skip
    lines += [_table(heading, rows), ""]
    for entry in entries:
        lines += [f"## {entry.name}", "", *_document(entry), *_settings(entry), *_facts(entry)]
        lines += _measured(entry, orders) if kind == "sampler" else []
    return "\n".join(lines).rstrip() + "\n"


def _cost(entry: Entry) -> list[str]:
    if entry.kind != "sampler":
        return []
    default = entry.cls()
    return [str(default.order), str(default.evaluations or "chosen by it"), "yes" if default.stochastic else ""]


def _document(entry: Entry) -> list[str]:
    lines: list[str] = []
    for paragraph in (inspect.getdoc(entry.cls) or "").split("\n\n"):
        formula = lines and not paragraph.rstrip().endswith((".", ":"))
        lines += ["```", inspect.cleandoc(paragraph), "```", ""] if formula else [prose(paragraph), ""]
    return lines


def _settings(entry: Entry) -> list[str]:
    rows = [
        [f"`{field.name}`", f"`{_default(field)}`", f"`{_legal(field)}`", prose(field.metadata.get("help", ""))]
        for field in dataclasses.fields(entry.cls)
    ]
    return [_table(["setting", "default", "legal values", "what it does"], rows), ""] if rows else []


def _legal(field: dataclasses.Field[Any]) -> str:
    kind = field.metadata.get("kind")
    return f"any {kind}" if kind else legal_values(field)


def _default(field: dataclasses.Field[Any]) -> str:
    kind, value = field.metadata.get("kind"), field.default
    if kind and value is not None:
        return describe(kind, value)
    return format_call(Call("_", (value,)))[2:-1]


def _facts(entry: Entry) -> list[str]:
    lines = []
    names = [name for name in entry.aliases if name not in entry.variants]
    if names:
        lines += [f"- Also known as {', '.join(f'`{name}`' for name in names)}."]
    if entry.variants:
        short = (f"`{name}` is `{format_call(Call(entry.name, (), dict(v)))}`" for name, v in entry.variants.items())
        lines += [f"- {'; '.join(short)}."]
    module = entry.cls.__module__.split(".")
    if entry.plugin == "builtin":
        path = "/".join(module[1:]) + ".py"
        lines += [f"- Code: [{path}](../../{path})."]
    else:
        lines += [f"- From {entry.plugin} {entry.version}".rstrip() + "."]
    return [*lines, ""]


def _measured(entry: Entry, orders: pd.DataFrame) -> list[str]:
    """Declared and measured orders of its variants, one row where the processes agree."""
    none = ["Not measured yet; `sigmabench orders --peers --out reports/orders` does.", ""]
    if orders.empty:
        return none
    mine = orders[~orders["peer"] & ((orders["name"] == entry.name) | orders["name"].str.startswith(entry.name + "("))]
    rows = [_variant(group) for _, group in mine.groupby("name", sort=False)]
    heading = [
        "",
        "declared order",
        "measured order",
        "evaluations a step",
        "error at 50 evaluations",
        "from alpha = 0",
    ]
    return [_table(heading, rows), ""] if rows else none


def _variant(group: pd.DataFrame) -> list[str]:
    row = group.iloc[-1]
    kind = "weak " if row["measured"] == "distribution" else ""
    measured = sorted({_number(order) for order in group["order"]})
    error = row["error_at_50_nfe"]
    return [
        f"`{row['name']}`",
        _number(row["declared"], 0),
        kind + " to ".join(measured) if pd.notna(row["order"]) else prose(row["note"] if pd.notna(row["note"]) else ""),
        _number(row["evaluations"], 0) or "chosen by it",
        f"{error:.1e}" if pd.notna(error) else "",
        {"True": "exact", "False": "not exact"}.get(str(row["zero_snr_exact"]), ""),
    ]


def _number(value: float, digits: int = 2) -> str:
    if pd.isna(value):
        return ""
    return "exact" if math.isinf(value) else f"{value:.{digits}f}"


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
