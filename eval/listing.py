"""``sigmabench list``: every plugin with its settings, order, cost and source, as plain text and at once."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

from .catalogue_data import catalogue_data
from .errors import UsageError

NAMES = "names"
Row = dict[str, Any]


def show(kind: str | None, *, as_json: bool = False) -> None:
    """Print one kind in full, or all kinds in a line a plugin; or the ``names`` that other programs have for pairs.

    Raises:
        UsageError: for an unknown kind, listing the known ones.
    """
    rows = catalogue_data()
    kinds = [known for known in rows if known != NAMES]
    if kind is not None and kind not in rows:
        raise UsageError(f"unknown kind {kind!r}; kinds: {', '.join(kinds)}, or {NAMES}")
    if as_json:
        print(json.dumps(rows[NAMES] if kind == NAMES else {k: rows[k] for k in ([kind] if kind else kinds)}, indent=1))
    elif kind == NAMES:
        print("\n".join(_names(rows[NAMES])))
    elif kind:
        print("\n".join(_in_full(kind, rows[kind])))
    else:
        print("\n".join(line for k in kinds for line in _in_brief(k, rows[k])))
        print(f"\nWith settings, order, cost and source: sigmabench list {kinds[0]}, ...")


def _in_brief(kind: str, rows: list[Row]) -> Iterator[str]:
    yield f"\n{_heading(kind, rows)}"
    width, room = max(len(row["name"]) for row in rows), shutil.get_terminal_size().columns
    for row in rows:
        about = textwrap.shorten(row["summary"], max(room - width - 5, 20), placeholder=" ...")
        yield f"  {_bold(row['name'].ljust(width))}  {about}"


def _in_full(kind: str, rows: list[Row]) -> Iterator[str]:
    yield _heading(kind, rows)
    for row in rows:
        yield ""
        yield _bold(row["name"]) + (f"  {_cost(row)}" if "order" in row else "")
        also = f"Also: {', '.join(row['aliases'])}." if row["aliases"] else ""
        by = f"From {row['plugin']}." if row["plugin"] != "builtin" else ""
        source = f"{row['reference']}." if row["reference"] else ""
        yield _wrapped(" ".join(text for text in (row["summary"], source, also, by) if text))
        width = max((len(f"{name}={s['default']}") for name, s in row["settings"].items()), default=0)
        for name, setting in row["settings"].items():
            text = f"{name}={setting['default']}".ljust(min(width, 30))
            yield _wrapped(f"{text}  {setting['help']} ({setting['legal']})".replace("  (", "  "), deeper=4)


def _names(rows: list[Row]) -> Iterator[str]:
    for host in dict.fromkeys(row["host"] for row in rows):
        own = [row for row in rows if row["host"] == host]
        yield f"\n{_heading(host, own)}"
        for row in own:
            found = [row["sampler"], row["spacing"], f"on {row['schedule']}" if row["schedule"] else ""]
            yield f"  {_bold(row['name'])}  {', '.join(text for text in found if text)}".rstrip()
            if remark := row["note"] or row["reason"]:
                yield _wrapped(remark, deeper=4)


def _heading(title: str, rows: list[Row]) -> str:
    return _bold(f"{title} ({len(rows)})")


def _cost(row: Row) -> str:
    evaluations = row["evaluations"]
    cost = f"{evaluations} evaluation{'' if evaluations == 1 else 's'} a step" if evaluations else "chooses its steps"
    return f"order {row['order']}, {cost}" + (", stochastic" if row["stochastic"] else "")


def _wrapped(text: str, deeper: int = 0) -> str:
    indent = " " * (2 + deeper)
    return textwrap.fill(text, shutil.get_terminal_size().columns, initial_indent=indent, subsequent_indent=indent)


def _bold(text: str) -> str:
    return f"\033[1m{text}\033[0m" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else text
