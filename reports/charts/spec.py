"""A chart as Vega-Lite's JSON without its rows and its look, for a page that has its own."""

from __future__ import annotations

from typing import Any

from .parts import DATA


def spec(chart: Any) -> dict[str, Any]:
    """The specification, with data named "rows" that are to be supplied."""
    found: dict[str, Any] = chart.to_dict(validate=False)
    return {**{key: part for key, part in found.items() if key not in ("$schema", "config")}, "data": {"name": DATA}}
