"""One fault of another program as data: what is wrong, a number that shows it, and how to get that number."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

from .hosts import MissingPeerError


@dataclasses.dataclass(frozen=True)
class Fault:
    """A number that is right for ours and wrong for theirs.

    Attributes:
        name: what the tests and the table call it.
        peer: the program, as ``hosts.version`` knows it.
        component: their class, function or option.
        wrong: one sentence.
        measure: what the number is.
        ours, theirs: give the number, from a run that is made for it.
        at_least, at_most: what is right; one of the two.
        raises: the exception that theirs ends with, if it gives no number.
        threads: where it is discussed, ``owner/repository#number``.
    """

    name: str
    peer: str
    component: str
    wrong: str
    measure: str
    ours: Callable[[], float]
    theirs: Callable[[], float]
    at_least: float = -math.inf
    at_most: float = math.inf
    raises: str = ""
    threads: tuple[str, ...] = ()

    def right(self, number: float) -> bool:
        return self.at_least <= number <= self.at_most

    @property
    def bound(self) -> str:
        return f"at most {self.at_most:g}" if self.at_most < math.inf else f"at least {self.at_least:g}"


def sides(measure: Callable[..., float], *rest: Any, **options: Any) -> tuple[Callable[[], float], Callable[[], float]]:
    """``ours`` and ``theirs`` of a measure whose first argument says whether it is of theirs."""
    return functools.partial(measure, False, *rest, **options), functools.partial(measure, True, *rest, **options)


def outcome(run: Callable[[], float]) -> float | str:
    """The number, or the name of the exception that came in its place.

    Raises:
        MissingPeerError: if the program is not on this machine.
    """
    try:
        return run()
    except MissingPeerError:
        raise
    except Exception as error:
        return type(error).__name__
