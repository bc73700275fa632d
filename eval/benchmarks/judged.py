"""Rows of results as they were written, and their goals in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def tally(rows: Sequence[Mapping[str, Any]]) -> str:
    """How many of the goals there are are met."""
    met = [row["met"] for row in rows if row["met"] is not None]
    return f"{sum(met)} of {len(met)} goals met"


def judged(row: Mapping[str, Any]) -> tuple[str, str]:
    """The goal in words, and whether it is met; both empty without a goal."""
    goal = "" if row["goal"] is None else f"at {'most' if row['at_most'] else 'least'} {row['goal']:g}"
    return goal, {True: "yes", False: "**no**", None: ""}[row["met"]]
