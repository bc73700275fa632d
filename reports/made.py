"""How a run was made: its size in a few words, its settings and versions, its metrics and what went wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pandas as pd

from .lines import setting
from .metric_words import sentence
from .numbers import count, short
from .results import GIVEN, RUN, cells, metrics

RECORDED = ("prompts", "seed", "device", "dtype", "sigmabench", "torch", "diffusers", "git")
NAMES = {"prompts": "prompts (hash)", "seed": "first seed"}


def facts(frame: pd.DataFrame) -> list[str]:
    """The size of the sweep, in a few words each."""
    every = cells(frame)
    good = every[every["status"] == "ok"]
    said = [count(every[RUN].nunique(), "run")] if RUN in every else []
    said.append(count(len(every), "cell"))
    if sizes := sorted(set(good["images"].dropna().astype(int))):
        said.append(" or ".join(short(size) for size in sizes) + " images per cell")
    said += [count(len({*every[column]} - {GIVEN}), column) for column in ("model", "sampler")]
    said += [", ".join(sorted(set(good[column]) - {""})) for column in ("device", "dtype")]
    for status in ("failed", "refused"):
        if n := int((every["status"] == status).sum()):
            said.append(f"{n} {status}")
    return [fact for fact in said if fact]


def problems(frame: pd.DataFrame) -> list[dict[str, str]]:
    """The cells that failed or were refused, with their reasons."""
    every = cells(frame)
    return [
        {**row[["cell", "status", "reason"]], "setting": f"{row['model']}: {setting(row)}"}
        for _, row in every[every["status"] != "ok"].iterrows()
    ]


def words(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """What each metric is."""
    return [(metric, sentence(frame, metric)) for metric in metrics(frame)]


def made(frame: pd.DataFrame, about: Mapping[str, str]) -> list[tuple[str, str]]:
    """What the caller says about the run, then what the frame itself records."""
    hidden, empty = ("title", "command"), ("", "{}", "[]")
    said = [(key, str(value)) for key, value in about.items() if key not in hidden and str(value) not in empty]
    for column in RECORDED:
        values = ", ".join(str(value) for value in dict.fromkeys(frame[column].dropna()) if str(value))
        if values and column not in about:
            said.append((NAMES.get(column, column), values))
    good = cells(frame[frame["status"] == "ok"])
    spent = float((good["seconds"] * good["images"].astype(float)).sum())
    if spent:
        said.append(("time spent generating", _duration(spent)))
    return said


def _duration(seconds: float) -> str:
    return f"{short(round(seconds / 60, 1))} minutes" if seconds >= 120 else f"{seconds:.1f} s"


def cards(frame: pd.DataFrame) -> list[tuple[str, str, int]]:
    """Per metric: the first card, indented, and how many other cards there are."""
    out = []
    for metric in metrics(frame):
        found = [card for card in dict.fromkeys(frame.loc[frame["metric"] == metric, "card"]) if card]
        if found:
            out.append((metric, _indented(found[0]), len(found) - 1))
    return out


def _indented(card: str) -> str:
    try:
        return json.dumps(json.loads(card), indent=2, ensure_ascii=False)
    except ValueError:
        return card
