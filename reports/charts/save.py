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
    path = Path(path)
    makers = {".svg": _svg, ".png": png, ".pdf": _pdf}
    if path.suffix not in makers:
        raise ValueError(f"{path} ends in {path.suffix or 'nothing'}; figures are {', '.join(makers)}")
    return replace(path, lambda part: part.write_bytes(makers[path.suffix](chart)))


def png(chart: Any) -> bytes:
    import vl_convert

    return vl_convert.vegalite_to_png(chart.to_dict(), scale=2.0, ppi=DPI / 2)


def _svg(chart: Any) -> bytes:
    import vl_convert

    return vl_convert.vegalite_to_svg(chart.to_dict()).encode()


def _pdf(chart: Any) -> bytes:
    import vl_convert

    return vl_convert.vegalite_to_pdf(chart.to_dict())
