"""The report: one HTML file that opens from a disk, makes no request, and puts the answer before the evidence."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import pandas as pd
from markupsafe import Markup

from . import atomic, sample_grid
from .answer import answers
from .comparisons import Judge
from .draw import COLOURS, INK, Panel, axes, looks, panel, svg
from .heat_figure import heat_map
from .lines import guidance_text, line_of, setting
from .metric_words import adherence, better, quality, sentence, short_name, title
from .numbers import count, interval, number, short
from .quality_figure import quality_by_nfe
from .results import GIVEN, cells, conform, direction, measured, metrics
from .table import constant, text_of, varying, wide
from .tradeoff_figure import tradeoff

if TYPE_CHECKING:
    import numpy as np

TEMPLATES = Path(__file__).parent / "templates"
PANELS = 40
"""More panels than this and the figures of further metrics are left to the table, which the page says."""


def write_report(
    folder: Path | str,
    results: pd.DataFrame,
    samples: Mapping[str, np.ndarray],
    prompts: Sequence[str],
    about: Mapping[str, str],
    judge: Judge | None = None,
) -> Path:
    """Write report.html into the folder and return its path; the same input gives the same bytes.

    samples: uint8 (k, 3, H, W) by cell, the same k prompts and seeds in each. about: settings, versions, "command" to
    repeat the run and, if wanted, "title". judge: made from the comparisons of the cells; without one, cells are told
    apart by their own intervals.
    """
    html = render(results, samples, prompts, about, judge)
    return atomic.replace(Path(folder) / "report.html", lambda part: part.write_bytes(html.encode()))


def render(
    results: pd.DataFrame,
    samples: Mapping[str, np.ndarray],
    prompts: Sequence[str],
    about: Mapping[str, str],
    judge: Judge | None = None,
) -> str:
    """The page as text."""
    frame, judge = conform(results), judge or Judge()
    sample_grid.check(samples, prompts)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    style, script = _style(), (TEMPLATES / "report.js").read_text(encoding="utf-8")
    policy = "; ".join([
        "default-src 'none'", "img-src data:", f"style-src {_hash(style)}", f"script-src {_hash(script)}",
        "base-uri 'none'", "form-action 'none'",
    ])  # fmt: skip
    found, (figures, undrawn) = answers(frame, judge), _figures(frame[frame["sampler"] != GIVEN], judge)
    return environment.get_template("report.html").render(
        policy=policy, style=Markup(style), script=Markup(script), title=about.get("title", "Sampler comparison"),
        answers=found, several_models=len(found) > 1, facts=_facts(frame), grids=_grids(frame, samples, found),
        prompts=prompts, figures=figures, undrawn=undrawn, table=_table(frame, judge), problems=_problems(frame),
        words=_words(frame), settings=_settings(frame, about), command=about.get("command", ""), cards=_cards(frame),
        csv=_csv(frame, judge),
    )  # fmt: skip


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _style() -> str:
    """The style sheet, with the figures' colours replaced on dark screens."""
    swap = "".join(f'[stroke="{a}"]{{stroke:{b}}}[fill="{a}"]{{fill:{b}}}' for a, b in COLOURS.items())
    ink = f'svg [stroke="{INK}"]{{stroke:var(--ink)}}svg [fill="{INK}"]{{fill:var(--ink)}}'
    dark = f"@media screen and (prefers-color-scheme: dark) {{{swap}}}"
    return (TEMPLATES / "report.css").read_text(encoding="utf-8") + ink + dark


def _facts(frame: pd.DataFrame) -> list[str]:
    """The size of the sweep, in a few words each."""
    every = cells(frame)
    good = every[every["status"] == "ok"]
    facts = [count(len(every), "cell")]
    if sizes := sorted(set(good["images"].dropna().astype(int))):
        facts.append(" or ".join(short(size) for size in sizes) + " images per cell")
    facts += [count(len({*every[c]} - {GIVEN}), c) for c in ("model", "sampler")]
    facts += [", ".join(sorted(set(good[c]) - {""})) for c in ("device", "dtype")]
    for status in ("failed", "refused"):
        if n := int((every["status"] == status).sum()):
            facts.append(f"{n} {status}")
    return [fact for fact in facts if fact]


def _grids(frame: pd.DataFrame, samples: Mapping[str, np.ndarray], found: list[Any]) -> dict[str, Any]:
    metric, several = quality(frame), len(found) > 1
    groups = []
    for answer in found:
        of_model = frame[frame["model"] == answer.model]
        views = sample_grid.views(of_model, samples, answer.cell, metric)
        groups += [(answer.model if several else "", view) for view in views]
    rows, left = sample_grid.every_cell(frame, samples, metric)
    shown = sum(len(view.rows) for _, view in groups)
    picks = {answer.cell for answer in found}
    return {"views": groups, "every": rows if len(rows) > shown or left else [], "left_out": left, "picks": picks}


def _figures(frame: pd.DataFrame, judge: Judge) -> tuple[list[dict[str, Any]], list[str]]:
    """The figures, those that are folded last, and the metrics that are left to the table."""
    first, other, legend = quality(frame), adherence(frame), _legend(frame)
    out: list[dict[str, Any]] = []
    worth = frame.loc[frame["value"].notna(), "cell"].nunique() > 1  # one point is no picture, and the table has it

    def add(key: str, heading: str, caption: str, panels: list[Panel], **kind: bool) -> None:
        if panels and worth:
            out.append(_figure(key, heading, caption, panels, legend, **kind))

    if first:
        way = {True: "Up", False: "Down"}.get(bool(direction(frame, first)))
        caption = f"{way} and to the left is better. {CAPTIONS['nfe']}"
        add("nfe", f"{title(first)} against cost", caption, quality_by_nfe(frame, first, legend=False))
    add("tradeoff", "What guidance trades", CAPTIONS["tradeoff"], tradeoff(frame, legend=False))
    if first:
        add(
            "heat", f"{title(first)} by steps and guidance", CAPTIONS["heat"], heat_map(frame, first, judge), named=True
        )
    spent = sum(len(figure["panels"]) for figure in out)
    undrawn = []
    for i, metric in enumerate(sorted((m for m in metrics(frame) if m != first), key=lambda m: m != other)):
        rows = measured(frame, metric)
        spent += rows.drop_duplicates(["model", "guidance"]).shape[0]
        if spent > PANELS:
            undrawn.append(metric)
            continue
        panels = quality_by_nfe(frame, metric, legend=False) if len(rows) else []
        folded = metric != other
        heading = f"{title(metric)} against cost"
        add(f"more{i}", heading, f"{metric}: {better(frame, metric)}.", panels, folded=folded)
    return sorted(out, key=lambda figure: figure["folded"]), undrawn


CAPTIONS = {
    "nfe": "Bands and bars are 95 % intervals. The cost axis is logarithmic; every call of the network counts, "
    "so guidance that needs a second prediction doubles the cost of a step.",
    "tradeoff": "Each line follows one sampler along the guidance scale, which is written at its points, or at "
    "those of one line where they are many. Crosses are 95 % intervals. Each panel has its own axes.",
    "heat": "Lighter is better. Framed squares are those the data cannot tell from the best of their model.",
}


def _figure(
    key: str, heading: str, caption: str, panels: list[Panel], legend: list[tuple[str, str]], *,
    named: bool = False, folded: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """What the template needs; ``named`` panels say in their heading which line they are, so they need no legend."""
    drawn = [(p.title, Markup(svg(p.figure, f"{key}-{i}", f"{heading}: {p.title}"))) for i, p in enumerate(panels)]
    widest = max((panel.figure.get_figwidth() for panel in panels), default=0.0)
    shape = "wide" if widest > 4.5 else "few" if len(panels) < 3 and key != "heat" else ""
    swatches = [(Markup(text.replace("swatch-", f"{key}-swatch-")), label) for text, label in legend]
    return {
        "heading": heading, "caption": caption, "panels": drawn, "folded": folded, "shape": shape,
        "legend": [] if named or len(legend) < 2 else swatches,
    }  # fmt: skip


def _legend(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """A swatch and a name for every line with a cell that came out well."""
    out = []
    drawn = {line_of(row) for _, row in cells(frame[frame["status"] == "ok"]).iterrows()}
    for i, look in enumerate(look for line, look in looks(frame).items() if line in drawn):
        with axes((0.42, 0.16)) as ax:
            ax.plot([0, 1, 2], [0, 0, 0], color=look.colour, linestyle=look.dashes, clip_on=False)
            ax.plot([1], [0], color=look.colour, marker=look.marker, clip_on=False)
            ax.set_axis_off()
            out.append((svg(panel("", ax).figure, f"swatch-{i}", ""), look.label))
    return out


def _table(frame: pd.DataFrame, judge: Judge) -> dict[str, Any]:
    table, names = wide(frame, judge), metrics(frame)
    columns = varying(table)
    rows = []
    for _, row in table.iterrows():
        choices = [(guidance_text(row) if c == "guidance" else text_of(row[c]), _exact(row[c])) for c in columns]
        values = [
            {
                "text": number(row[m], row[f"{m} low"], row[f"{m} high"]),
                "interval": interval(row[m], row[f"{m} low"], row[f"{m} high"]),
                "value": _exact(row[m]), "low": _exact(row[f"{m} low"]), "high": _exact(row[f"{m} high"]),
                "best": bool(row[f"{m} best"]),
            }
            for m in names
        ]  # fmt: skip
        rows.append({"cell": row["cell"], "choices": choices, "values": values})
    heads = [{"name": short_name(m, names), "full": m, "better": better(frame, m)} for m in names]
    named = [(c, not pd.api.types.is_object_dtype(table[c])) for c in columns]
    return {"columns": named, "metrics": heads, "rows": rows, "same": constant(table)}


def _exact(value: object) -> str:
    """A number in full, so that the page can be read back; text has none."""
    return "" if isinstance(value, str) else repr(math.nan if pd.isna(value) else float(value))  # type: ignore


def _problems(frame: pd.DataFrame) -> list[dict[str, str]]:
    """The cells that failed or were refused, with their reasons."""
    every = cells(frame)
    return [
        {**row[["cell", "status", "reason"]], "setting": f"{row['model']}: {setting(row)}"}
        for _, row in every[every["status"] != "ok"].iterrows()
    ]


def _words(frame: pd.DataFrame) -> list[tuple[str, str]]:
    return [(metric, sentence(frame, metric)) for metric in metrics(frame)]


def _settings(frame: pd.DataFrame, about: Mapping[str, str]) -> list[tuple[str, str]]:
    """What the caller says about the run, then what the frame itself records."""
    said = [(key, str(value)) for key, value in about.items() if key not in ("title", "command")]
    recorded = ("prompts", "seed", "device", "dtype", "sigmabench", "torch", "diffusers", "git")
    names = {"prompts": "prompts (hash)", "seed": "first seed"}
    for column in recorded:
        values = ", ".join(str(value) for value in dict.fromkeys(frame[column].dropna()) if str(value))
        if values and column not in about:
            said.append((names.get(column, column), values))
    good = cells(frame[frame["status"] == "ok"])
    spent = float((good["seconds"] * good["images"].astype(float)).sum())
    if spent:
        took = f"{short(round(spent / 60, 1))} minutes" if spent >= 120 else f"{spent:.1f} s"
        said.append(("time spent generating", took))
    return said


def _cards(frame: pd.DataFrame) -> list[tuple[str, str, int]]:
    """Per metric: the first card, indented, and how many other cards there are."""
    out = []
    for metric in metrics(frame):
        found = [card for card in dict.fromkeys(frame.loc[frame["metric"] == metric, "card"]) if card]
        if found:
            try:
                text = json.dumps(json.loads(found[0]), indent=2, ensure_ascii=False)
            except ValueError:
                text = found[0]
            out.append((metric, text, len(found) - 1))
    return out


def _csv(frame: pd.DataFrame, judge: Judge) -> str:
    """The wide table as a data URI, so that the numbers travel with the page."""
    text = wide(frame, judge).to_csv(index=False, lineterminator="\n")
    return f"data:text/csv;charset=utf-8;base64,{base64.b64encode(text.encode()).decode()}"
