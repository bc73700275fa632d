"""Charts as figures for a paper: SVG, PNG or PDF, made without a browser and without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..atomic import replace

DPI = 200.0


def save(chart: Any, path: Path | str) -> Path:
    """Write the chart as the suffix of the path says; returns the path.

    Raises:
        ValueError: the suffix is not .svg, .png or .pdf.
    """
    import vl_convert

    path, spec = Path(path), chart.to_dict()
    makers = {
        ".svg": lambda: vl_convert.vegalite_to_svg(spec).encode(),
        ".png": lambda: vl_convert.vegalite_to_png(spec, scale=2.0, ppi=DPI / 2),
        ".pdf": lambda: vl_convert.vegalite_to_pdf(spec),
    }
    if path.suffix not in makers:
        raise ValueError(f"{path} ends in {path.suffix or 'nothing'}; figures are {', '.join(makers)}")
    return replace(path, lambda part: part.write_bytes(makers[path.suffix]()))
