"""The report: one HTML file that opens from a disk, makes no request, and puts the answer before the evidence.

What can be read without scripts is written here; what is chosen, drawn and compared is done by the scripts of
``templates`` on the data of ``page_data``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
import pandas as pd
from markupsafe import Markup

from . import atomic, made
from .answer import answers
from .comparisons import Judge
from .numbers_table import csv_uri, numbers_table
from .page_data import page_data
from .results import conform
from .self_contained import json_data, library, policy
from .sprites import check, sprites

if TYPE_CHECKING:
    import numpy as np

TEMPLATES = Path(__file__).parent / "templates"
STYLES = ("page.css", "controls.css", "samples.css", "print.css")
SCRIPTS = (
    "data.js",
    "state.js",
    "theme.js",
    "filters.js",
    "charts.js",
    "table.js",
    "tiles.js",
    "samples.js",
    "compare.js",
)
"""In the order in which they build upon each other."""
PICTURES = "data: file: 'self'"
"""Embedded ones, and those beside the page, on a disk or where it is served from."""


def write_report(
    folder: Path | str,
    results: pd.DataFrame,
    samples: Mapping[str, np.ndarray],
    prompts: Sequence[str],
    about: Mapping[str, str],
    judge: Judge | None = None,
    pictures: Mapping[str, str] | None = None,
) -> Path:
    """Write report.html into the folder and return its path; the same input gives the same bytes.

    samples: uint8 (k, 3, H, W) by cell, the same k prompts and seeds in each. about: settings, versions, "command" to
    repeat the run and, if wanted, "title". judge: made from the comparisons of the cells; without one, cells are told
    apart by their own intervals. pictures: by cell, a folder relative to this one where its images are in full size,
    named 0000000.png and so on; the page loads them when a reader looks closely, if they are still there.
    """
    html = render(results, samples, prompts, about, judge, pictures)
    return atomic.replace(Path(folder) / "report.html", lambda part: part.write_bytes(html.encode()))


def render(
    results: pd.DataFrame,
    samples: Mapping[str, np.ndarray],
    prompts: Sequence[str],
    about: Mapping[str, str],
    judge: Judge | None = None,
    pictures: Mapping[str, str] | None = None,
) -> str:
    """The page as text."""
    frame, judge = conform(results), judge or Judge()
    check(samples, prompts)
    found, shown = answers(frame, judge), sprites(samples)
    data = page_data(frame, judge, found, shown, prompts, pictures or {})
    style = "\n".join(_template(name) for name in STYLES)
    scripts = [library(), *(_template(name) for name in SCRIPTS)]
    template = _environment().get_template("report.html")
    return template.render(
        policy=policy(*scripts, style=style, pictures=PICTURES), style=Markup(style), scripts=[*map(Markup, scripts)],
        data=json_data(data), title=about.get("title", "Sampler comparison"), facts=made.facts(frame), answers=found,
        several_models=len(found) > 1, sprites=shown, prompts=prompts, exact=data["exact"],
        table=numbers_table(frame, judge), csv=csv_uri(frame, judge), problems=made.problems(frame),
        words=made.words(frame), settings=made.made(frame, about), command=about.get("command", ""),
        cards=made.cards(frame),
    )  # fmt: skip


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip


def _template(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")
