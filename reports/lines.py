"""Names for settings: as short as they can be without two settings of the frame looking alike.

A line of a figure is a sampler with its spacing and its schedule; colour and marker say the sampler, dashes the rest.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import pandas as pd

from .results import GIVEN, RUN


class Line(NamedTuple):
    """The settings that stay the same along a line."""

    sampler: str
    spacing: str
    schedule: str
    run: str = ""


def line_of(row: pd.Series) -> Line:
    """The line a cell belongs to."""
    return Line(row["sampler"], row["spacing"], row["schedule"], row.get(RUN, ""))


def on(rows: pd.DataFrame, line: Line) -> pd.DataFrame:
    """The rows of this line."""
    columns = [column for column in Line._fields if column in rows]
    return rows[(rows[columns] == [getattr(line, column) for column in columns]).all(axis=1)]


def lines(results: pd.DataFrame) -> dict[Line, str]:
    """Every line of the frame with its label, sorted: the sampler, then what else is needed to tell lines apart."""
    columns = [column for column in Line._fields if column in results]
    found = sorted({Line(*row) for row in results[columns].itertuples(index=False)})
    parts = [len({line[i] for line in found}) > 1 for i in range(len(columns))]
    return {
        line: " · ".join(text for i, text in enumerate(line[: len(columns)]) if i == 0 or (parts[i] and text))
        for line in found
    }


def setting(row: pd.Series, *, among: pd.DataFrame | None = None, skip: tuple[str, ...] = ()) -> str:
    """A cell in words: "dpmpp_2m with karras, 10 steps, cfg 3"; without what is the same in all rows of ``among``."""

    def said(column: str) -> bool:
        return column not in skip and (among is None or among[column].nunique(dropna=False) > 1)

    name = row["sampler"] + (f" with {row['spacing']}" if row["spacing"] and said("spacing") else "")
    parts = [name, f"{row['schedule']} schedule" if among is not None and said("schedule") and row["schedule"] else ""]
    if said("steps") and pd.notna(row["steps"]):
        parts.append(steps_text(row["steps"]))
    if said("guidance") and row["guidance"]:
        parts.append(guidance_text(row))
    if row.get(RUN):
        parts.append(f"run {row[RUN]}")
    return ", ".join(part for part in parts if part)


def steps_text(steps: int) -> str:
    """ "1 step", "10 steps"; "given" for images of which none are known."""
    if pd.isna(steps):
        return GIVEN
    return f"{int(steps)} step" + ("" if int(steps) == 1 else "s")


def guidance_text(row: pd.Series) -> str:
    """ "cfg 3" for "cfg(scale=3)"; the whole text when it says more than method and scale; "no guidance" for none."""
    text, scale = row["guidance"], row["scale"]
    plain = re.fullmatch(re.escape(row["method"]) + r"\(\s*(?:scale\s*=\s*)?([\d.]+)\s*\)", text)
    if plain and pd.notna(scale) and _same(plain[1], scale):
        return f"{row['method']} {scale:g}"
    return text if text and text != "none" else "no guidance"


def _same(text: str, scale: float) -> bool:
    """Whether the text is this number, and the brief form of the number loses nothing."""
    try:
        return float(text) == scale == float(f"{scale:g}")
    except ValueError:
        return False


def guidances(results: pd.DataFrame) -> dict[str, str]:
    """The guidance settings by method and scale, with their brief names."""
    frame = results[["guidance", "method", "scale"]].drop_duplicates("guidance")
    frame = frame.sort_values(["method", "scale", "guidance"], na_position="first")
    return {row["guidance"]: guidance_text(row) for _, row in frame.iterrows()}
