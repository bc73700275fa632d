"""A cell of a run by a few words: the first digits of its key, or settings such as ``dpmpp_2m steps=10 scale=3``.

A word is the text of one of the cell's plugins, or its bare name where no text is just that; ``field=value`` names one
of model, sampler, schedule, spacing, steps, guidance, scale, seed and dtype.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from ..plugins.registry import build
from ..reports.results import GIVEN
from .cells import Cell
from .errors import UsageError

TEXTS = ("sampler", "spacing", "schedule", "guidance", "model")
NUMBERS = ("steps", "scale", "seed")
FIELDS = (*TEXTS, *NUMBERS, "dtype")
KEY = re.compile(r"[0-9a-f]{4,16}")
SHOWN = 10


def select(text: str, cells: Sequence[Cell]) -> Cell:
    """The one cell that these words mean.

    Raises:
        UsageError: if there is none or several, listing them.
    """
    found = [cell for cell in cells if KEY.fullmatch(text) and cell.key.startswith(text)]
    if not found:
        found = list(cells)
        for word in _words(text):
            found = _narrow(word, found)
    if len(found) == 1:
        return found[0]
    listed, problem = (found, "means several cells") if found else (list(cells), "means no cell")
    lines = [f"  {cell.key[:8]}  {describe(cell)}" for cell in listed[:SHOWN]]
    more = [f"  and {len(listed) - SHOWN} more"] if len(listed) > SHOWN else []
    raise UsageError(
        "\n".join([f"{text!r} {problem}; add a word or field=value, or use the first digits of a key:", *lines, *more])
    )


def describe(cell: Cell) -> str:
    """A cell in words that select it among cells of one model, schedule and seed."""
    if cell.given:
        return GIVEN
    return f"{cell.sampler} {cell.spacing} steps={cell.steps} {cell.guidance}"


def _words(text: str) -> Iterator[str]:
    """Split at spaces that are outside of parentheses."""
    word, depth = "", 0
    for sign in text.strip() + " ":
        depth += (sign == "(") - (sign == ")")
        if sign.isspace() and not depth:
            if word:
                yield word
            word = ""
        else:
            word += sign


def _narrow(word: str, cells: list[Cell]) -> list[Cell]:
    named = re.fullmatch(r"(\w+)=(.*)", word)
    if not named:
        return _first(lambda cell, plain: word in [plain(getattr(cell, field)) for field in TEXTS], cells)
    field, value = named[1], named[2]
    if field not in FIELDS:
        raise UsageError(f"{word!r}: a cell has no field {field!r}; fields: {', '.join(FIELDS)}")
    if field in NUMBERS:
        try:
            number = float(value)
        except ValueError:
            raise UsageError(f"{word!r}: {field} must be a number") from None
        return [cell for cell in cells if _number(cell, field) == number]
    return _first(lambda cell, plain: plain(getattr(cell, field)) == value, cells)


def _first(matches: Callable[[Cell, Callable[[str], str]], bool], cells: list[Cell]) -> list[Cell]:
    """Cells that match by a whole text; where there are none, by its name without settings."""
    for plain in (lambda text: text, lambda text: text.partition("(")[0]):
        if found := [cell for cell in cells if matches(cell, plain)]:
            return found
    return []


def _number(cell: Cell, field: str) -> float | None:
    return getattr(build("guidance", cell.guidance), "scale", None) if field == "scale" else getattr(cell, field)
