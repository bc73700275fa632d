"""A measured number beside a peer's, and whether its goal is met."""

from __future__ import annotations

import dataclasses
from typing import Any

from .timing import Spread, ratios, spread


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table. ``value`` is what the goal is about: a ratio, a number of bytes, a share."""

    what: str
    peer: str
    """What it is compared with; empty for a number of its own."""
    value: Spread
    goal: float | None
    """None for a number that this package alone does not decide."""
    at_most: bool = True
    ours: str = ""
    theirs: str = ""
    note: str = ""

    @property
    def met(self) -> bool | None:
        """None without a goal."""
        if self.goal is None:
            return None
        return bool(self.value.median <= self.goal if self.at_most else self.value.median >= self.goal)

    def record(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "value": self.value._asdict(), "met": self.met}


def compared(
    what: str, peer: str, ours: list[float], theirs: list[float], goal: float, unit: tuple[str, float], note: str = ""
) -> Row:
    """A ratio of times taken in turns.

    Args:
        unit: its name, and how many of it a second is.
    """
    name, times = unit
    own, other = (f"{spread(values).median * times:.3g} {name}" for values in (ours, theirs))
    return Row(what, peer, ratios(ours, theirs), goal, ours=own, theirs=other, note=note)
