"""Reports: from the tidy results of a sweep to tables, figures and one self-contained HTML page.

    results = read_results("runs/first")                                  # or the frame a sweep returns
    judge = Judge(read_comparisons("runs/first"))                         # tells cells apart, image by image
    write_report("runs/first", results, samples, prompts, about, judge)   # runs/first/report.html

A report reads only results: one row per cell and metric (see ``results.COLUMNS``), and the comparisons of the cells,
one row per pair and metric (see ``comparisons.COLUMNS``). Importing this package is cheap; what it re-exports is loaded
at first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .answer import answers as answers
    from .comparisons import Judge as Judge
    from .export import read_comparisons as read_comparisons
    from .export import read_results as read_results
    from .export import write_comparisons as write_comparisons
    from .export import write_results as write_results
    from .page import render as render
    from .page import write_report as write_report
    from .table import markdown as markdown
    from .table import wide as wide

_HOMES = {
    "Judge": "comparisons", "answers": "answer", "markdown": "table", "read_comparisons": "export",
    "read_results": "export", "render": "page", "wide": "table", "write_comparisons": "export",
    "write_report": "page", "write_results": "export",
}  # fmt: skip

__all__ = [
    "Judge", "answers", "markdown", "read_comparisons", "read_results", "render", "wide",
    "write_comparisons", "write_report", "write_results",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
