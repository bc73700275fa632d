"""The table for a paper: LaTeX with booktabs, every text escaped, bold by statistics rather than by rank.

\\usepackage{booktabs}                      % and longtable for more than a page
\\input{table}
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import pandas as pd

from .comparisons import Judge
from .results import direction
from .table import Entries, Entry, entries

NUMBERS = ("steps", "nfe", "images", "seconds")
PAGE = 40
"""Rows that fit on a page; more go into a longtable."""
ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"''", "`": r"\textasciigrave{}", "[": "{[}", "]": "{]}", "\N{EN DASH}": "--",
    "\N{MIDDLE DOT}": r"$\cdot$", "\N{MULTIPLICATION SIGN}": r"$\times$",
}  # fmt: skip


def latex(results: pd.DataFrame, chosen: Sequence[str] | None = None, judge: Judge | None = None) -> str:
    """A table, or a longtable where it is more than a page: the varying choices, and the metrics with intervals."""
    found = entries(results, chosen, judge)
    columns = "".join("r" if column in NUMBERS else "l" for column in found.columns) + "r" * len(found.metrics)
    heads = [escape(column) for column in found.columns] + [_head(results, metric) for metric in found.metrics]
    rows = [" & ".join([*map(escape, row.choices), *map(_entry, row.entries)]) + r" \\" for row in found.rows]
    top = [r"\toprule", " & ".join(heads) + r" \\", r"\midrule"]
    caption = rf"\caption{{{_caption(found)}}}"
    if len(rows) > PAGE:
        opening = [rf"\begin{{longtable}}{{{columns}}}", caption + r" \\", *top, r"\endhead"]
        lines = [*opening, *rows, r"\bottomrule", r"\end{longtable}"]
    else:
        opening = [r"\begin{table}", r"\centering", r"\small", caption, rf"\begin{{tabular}}{{{columns}}}"]
        lines = [*opening, *top, *rows, r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Text that LaTeX prints as it is; signs that its fonts may lack lose their accents or become question marks."""
    return "".join(ESCAPES.get(sign) or _plain(sign) for sign in " ".join(text.split()))


def _plain(sign: str) -> str:
    if sign.isascii() and sign.isprintable():
        return sign
    bare = unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode()
    return "".join(ESCAPES.get(part, part) for part in bare if part.isprintable()) or "?"


def _entry(entry: Entry) -> str:
    value = rf"\textbf{{{entry.value}}}" if entry.best else entry.value.replace("\N{EN DASH}", "--")
    return rf"{value} {{\scriptsize {escape(entry.interval)}}}" if entry.interval else value


def _head(results: pd.DataFrame, metric: str) -> str:
    arrow = {True: r" $\uparrow$", False: r" $\downarrow$", None: ""}[direction(results, metric)]
    return escape(metric) + arrow


def _caption(found: Entries) -> str:
    same = ", ".join(f"{name} {value}" for name, value in found.same.items())
    said = ["Values with 95 % intervals.", found.bold, f"The same in every row: {same}." if same else ""]
    return escape(" ".join(text for text in said if text))
