"""Results at hand: the tidy frame of one or more runs, which shows itself as an answer and a table in a notebook."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import pandas as pd

from .answer import answers
from .comparisons import Judge
from .latex import latex
from .metric_words import better, quality
from .numbers import count
from .results import cells, direction, measured
from .table import Entry, Row, entries, markdown, wide

if TYPE_CHECKING:
    from .answer import Answer

ROWS = 20
"""Cells that a notebook shows, the best first."""
FIGURES = ("quality", "ranking", "tradeoff", "heat")


class Results(pd.DataFrame):
    """A row for each cell and metric, see ``reports.results``; what pandas makes of it is a frame as any other.

    Attributes:
        comparisons: a row for each pair of cells and metric, see ``reports.comparisons``.
        per_image: a row for each image of each cell: its seed, its prompt, its part in every number.
    """

    _metadata = ("comparisons", "per_image")
    comparisons: pd.DataFrame
    per_image: pd.DataFrame

    @property
    def _constructor(self) -> Callable[..., pd.DataFrame]:
        return pd.DataFrame

    @property
    def judge(self) -> Judge:
        """Tells cells apart, image by image."""
        return Judge(self.comparisons)

    def answers(self, metric: str | None = None) -> list[Answer]:
        """Of each model: which setting to use, in words."""
        return answers(self, self.judge, metric)

    def table(self, metrics: Sequence[str] | None = None) -> pd.DataFrame:
        """A row for each cell; per metric M the columns M, "M low", "M high" and "M best"."""
        return wide(self, self.judge, metrics)

    def markdown(self, metrics: Sequence[str] | None = None) -> str:
        """The table for a page; bold is what the data cannot tell from the best."""
        return markdown(self, metrics, self.judge)

    def latex(self, metrics: Sequence[str] | None = None) -> str:
        """The table for a paper; it needs the packages booktabs and, for more than a page, longtable."""
        return latex(self, metrics, self.judge)

    def figure(self, name: str = "quality", metric: str | None = None) -> Any:
        """An Altair chart: quality, ranking, tradeoff or heat; ``reports.charts.save`` writes it to a file.

        Raises:
            ValueError: for another name, or if these results have nothing for it to show.
        """
        from . import charts

        if name not in FIGURES:
            raise ValueError(f"no figure {name!r}; there are {', '.join(FIGURES)}")
        chart = getattr(charts, name)(self, metric, judge=self.judge)
        if chart is None:
            raise ValueError(f"nothing here for the figure {name} to show; try another of {', '.join(FIGURES)}")
        return chart

    def _repr_html_(self) -> str:
        found = self.answers()
        said = [_paragraph(answer, several=len(found) > 1) for answer in found]
        return "\n".join([*said, _html_table(self, self.judge), _left_out(self)])


def _paragraph(answer: Answer, *, several: bool) -> str:
    model = f"{escape(answer.model)}: " if several else ""
    notes = "".join(f"<br>{escape(note)}" for note in answer.notes)
    return f"<p><strong>{model}{escape(answer.lead)}</strong>{notes}</p>"


def _html_table(results: pd.DataFrame, judge: Judge) -> str:
    """The first rows, the best on top; colours are those of the notebook."""
    found, first = entries(results, None, judge), quality(results)
    heads = "".join(f"<th>{escape(column)}</th>" for column in found.columns)
    heads += "".join(f"<th>{escape(m)}<br><small>{better(results, m)}</small></th>" for m in found.metrics)
    order = _places(results, first) if first else {}
    rows = sorted(found.rows, key=lambda row: order.get(row.cell, len(order)))[:ROWS]
    body = "".join(f"<tr>{_cells(row)}</tr>" for row in rows)
    same = "; ".join(f"{name} {value}" for name, value in found.same.items())
    below = " ".join(text for text in (found.bold, f"The same in every row: {same}." if same else "") if text)
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
    return f"{table}<p><small>{escape(below)}</small></p>"


def _cells(row: Row) -> str:
    return "".join(f"<td>{escape(text)}</td>" for text in row.choices) + "".join(map(_cell, row.entries))


def _cell(entry: Entry) -> str:
    value = f"<strong>{entry.value}</strong>" if entry.best else entry.value
    return f"<td>{value} <small>{entry.interval}</small></td>"


def _places(results: pd.DataFrame, metric: str) -> dict[str, int]:
    """Of each cell that has a number, its place from the best on."""
    rows = measured(results, metric).sort_values("value", ascending=not direction(results, metric), kind="stable")
    return {cell: place for place, cell in enumerate(rows["cell"])}


def _left_out(results: pd.DataFrame) -> str:
    """What the table does not show."""
    every = cells(results)
    done = int((every["status"] == "ok").sum())
    facts = [f"{count(done - ROWS, 'more cell')}"] if done > ROWS else []
    facts += [f"{n} {status}" for status in ("failed", "refused") if (n := int((every["status"] == status).sum()))]
    return f"<p><small>Not shown: {', '.join(facts)}.</small></p>" if facts else ""
