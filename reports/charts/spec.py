"""A chart as Vega-Lite's JSON without its rows and its look, for a page that has its own."""

from __future__ import annotations

from typing import Any

from .parts import DATA


def spec(chart: Any) -> dict[str, Any]:
    """The specification, with data named "rows" that are to be supplied."""
    found: dict[str, Any] = chart.to_dict()
    for key in ("$schema", "config"):
        del found[key]
    return dict(_without_rows(found))


def _without_rows(part: Any) -> Any:
    if isinstance(part, list):
        return [_without_rows(one) for one in part]
    if not isinstance(part, dict):
        return part
    if part.get("name") == DATA and "values" in part:
        return {"name": DATA}
    return {key: _without_rows(one) for key, one in part.items()}
