"""The table of faults, measured: CSV for programs, Markdown for people."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from .fault import Fault, outcome
from .hosts import version

COLUMNS = ("fault", "peer", "version", "component", "wrong", "measure", "right", "theirs", "ours", "threads", "command")
Row = Mapping[str, str]


def measure(fault: Fault) -> Row | None:
    """A row, with the version that is on this machine; None if that is right, which makes the row none.

    Raises:
        MissingPeerError: if it is not there.
        RuntimeError: if ours is wrong, or theirs fails in another way than the fault's.
    """
    found, theirs, ours = version(fault.peer), outcome(fault.theirs), fault.ours()
    if isinstance(theirs, str) and theirs != fault.raises:
        raise RuntimeError(f"{fault.name}: {theirs} was raised, which is not the fault")
    if not fault.right(ours):
        raise RuntimeError(f"{fault.name}: ours has {ours}, right is {fault.bound}")
    if not isinstance(theirs, str) and fault.right(theirs):
        return None
    return {
        "fault": fault.name,
        "peer": fault.peer,
        "version": found,
        "component": fault.component,
        "wrong": fault.wrong,
        "measure": fault.measure,
        "right": fault.bound,
        "theirs": number(theirs),
        "ours": number(ours),
        "threads": " ".join(fault.threads),
        "command": f"python -m sigmabench.eval.faults {fault.name}",
    }


def number(value: float | str) -> str:
    """Three digits; what is rounding alone is 0."""
    if isinstance(value, str):
        return value
    return "0" if abs(value) < 1e-9 else f"{value:.3g}"


def read(path: Path) -> list[Row]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def update(path: Path, rows: Sequence[Row], columns: Sequence[str], names: Sequence[str]) -> list[Row]:
    """Write rows beside those of other versions that are there, in the order of the names in the first column.

    Rows are told apart by the first column and the version; names that are no more are left out.
    """
    key = columns[0]
    all_rows = {(row[key], row["version"]): row for row in (*read(path), *rows) if row[key] in names}
    ordered = sorted(all_rows.values(), key=lambda row: (names.index(row[key]), parts_of(row["version"])))
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(ordered)
    return ordered


def markdown(rows: Sequence[Row]) -> str:
    """A section for each peer, a line for each fault with the numbers of the newest version."""
    newest = {row["fault"]: row for row in rows}
    parts = []
    for peer in dict.fromkeys(row["peer"] for row in rows):
        versions = sorted({row["version"] for row in rows if row["peer"] == peer}, key=parts_of)
        parts.append(f"## {peer} {' and '.join(versions)}\n")
        parts.append("| name | where | what is wrong | measure | right | theirs | ours |")
        parts.append("| --- | --- | --- | --- | --- | ---: | ---: |")
        parts += [_line(row) for row in newest.values() if row["peer"] == peer]
        parts.append("")
    return "\n".join(parts)


def text(row: Row) -> str:
    """For a terminal."""
    return (
        f"{row['fault']} ({row['peer']} {row['version']}): {row['component']}\n    {row['wrong']}\n"
        f"    {row['measure']}: right is {row['right']}, theirs {row['theirs']}, ours {row['ours']}"
    )


def parts_of(version: str) -> list[int]:
    """0.3.64 to [0, 3, 64], so that versions sort."""
    return [int(part) for part in version.split(".") if part.isdigit()]


def _line(row: Row) -> str:
    threads = "".join(f" [{thread.split('/')[1]}]({_link(thread)})" for thread in row["threads"].split())
    cells = row["fault"], f"`{row['component']}`", row["wrong"] + threads, row["measure"]
    return f"| {' | '.join((*cells, row['right'], row['theirs'], row['ours']))} |"


def _link(thread: str) -> str:
    repository, issue = thread.split("#")
    return f"https://github.com/{repository}/issues/{issue}"
