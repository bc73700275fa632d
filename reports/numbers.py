"""Numbers as text: as many digits as their interval supports."""

from __future__ import annotations

import math

DASH = "\N{EN DASH}"


def digits(value: float, low: float = math.nan, high: float = math.nan) -> int:
    """Decimals to print: two significant digits of the interval's half-width, or four of a value without one."""
    half = (high - low) / 2
    if math.isfinite(half) and half > 0:
        return min(max(1 - math.floor(math.log10(half)), 0), 8)
    if math.isfinite(value) and value:
        return min(max(3 - math.floor(math.log10(abs(value))), 0), 8)
    return 0


def number(value: float, low: float = math.nan, high: float = math.nan) -> str:
    """The value, rounded as its interval allows; a dash when there is none."""
    return f"{value:.{digits(value, low, high)}f}" if math.isfinite(value) else DASH


def interval(value: float, low: float, high: float) -> str:
    """The interval in brackets, "" when it is unknown."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    places = digits(value, low, high)
    return f"[{low:.{places}f}, {high:.{places}f}]"


def with_interval(value: float, low: float, high: float) -> str:
    """Value and interval: "12.31 [11.85, 12.77]"."""
    return f"{number(value, low, high)} {interval(value, low, high)}".rstrip() if math.isfinite(value) else DASH


def short(value: float) -> str:
    """A setting or a count: 10, 7.5, 12.25, 10,000."""
    if not math.isfinite(value):
        return DASH
    return f"{value:,.0f}" if value == round(value) else f"{value:,.4g}"


def count(n: int, noun: str) -> str:
    """ "1 cell", "2 cells"."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def probability(p: float) -> str:
    """Two digits, and never a certainty: "0.94", "more than 0.99", "less than 0.01"."""
    if not math.isfinite(p):
        return DASH
    return "more than 0.99" if p > 0.99 else "less than 0.01" if p < 0.01 else f"{p:.2f}"
