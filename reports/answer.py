"""The answer in words: which setting to use, what more evaluations buy, and where the data cannot tell.

Everything is said from paired comparisons (see ``compare``). The setting named first is the cheapest one that no other
setting is measurably better than; the lowest number alone never wins.
"""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from .compare import GROUP, Best, best_of, images_needed, unbeaten, with_intervals
from .comparisons import Judge
from .lines import guidances, setting, steps_text
from .metric_words import adherence, quality, short_name
from .numbers import count, probability, short, with_interval
from .results import GIVEN, RUN, direction, measured, metrics

BUDGETS = 6
FRONT = 8  # settings that fit in a sentence


class Rung(NamedTuple):
    """The best setting under a condition, such as "up to 10" evaluations."""

    condition: str
    setting: str
    value: str
    nfe: str
    clear: bool
    verdict: str


class Answer(NamedTuple):
    """What the results say about one model."""

    model: str
    lead: str
    notes: list[str]
    budgets: list[Rung]
    scales: list[Rung]
    cell: str | None
    """The cell the lead recommends."""


def answers(results: pd.DataFrame, judge: Judge | None = None, metric: str | None = None) -> list[Answer]:
    """One answer per model, about this metric (by default the frame's quality metric)."""
    metric, judge = metric or quality(results), judge or Judge()
    models = list(dict.fromkeys(results["model"]))
    if metric is None or direction(results, metric) is None:
        lead = "No metric here says which images are better, so there is no best setting."
        return [Answer(model, lead, [], [], [], None) for model in models]
    name, higher = short_name(metric, metrics(results)), bool(direction(results, metric))
    return [_answer(results[results["model"] == model], metric, name, higher, judge) for model in models]


def _answer(results: pd.DataFrame, metric: str, name: str, higher: bool, judge: Judge) -> Answer:
    model = results["model"].iloc[0]
    rows, remarks = comparable(measured(results, metric))
    judged = with_intervals(rows)
    if rows.empty:
        return Answer(model, f"No cell has a value of {name}: there is nothing to compare.", [], [], [], None)
    if judged.empty:
        lead = f"None of the values of {name} has an interval, so the data cannot tell which setting is best."
        return Answer(model, lead, remarks, [], [], None)
    if len(judged) < len(rows):
        remarks.append(f"{count(len(rows) - len(judged), 'setting')} without an interval cannot be ranked.")
    if (judged["sampler"] == GIVEN).all():
        return _of_given_images(judged.iloc[0], name)
    words = Words(name, higher, judged, judge)
    lead, pick, notes = words.lead()
    notes = [*notes, *words.within_half(pick), *_along_scale(results, pick, metric, name, judge), *remarks]
    return Answer(model, lead, notes, words.budgets(), words.scales(), pick["cell"])


def _of_given_images(row: pd.Series, name: str) -> Answer:
    lead = f"Images from a folder: {name} {with_interval(row['value'], row['low'], row['high'])}."
    note = (
        "Nothing is known of how they were made: sampler, steps, guidance, seeds, evaluations and time are blank. They"
        " are paired with those of other models by prompt, not by noise."
    )
    return Answer(row["model"], lead, [note], [], [], row["cell"])


def comparable(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The largest group with one number of images and one set of prompts, and a remark on the others."""
    groups = [group for _, group in rows.groupby(GROUP, sort=False, dropna=False)]
    if len(groups) < 2:
        return rows, []
    largest = max(groups, key=len)
    left = count(len(rows) - len(largest), "cell")
    return largest, [f"{left} with another number of images or other prompts cannot be compared with these."]


class Words(NamedTuple):
    """Sentences about the rows of one metric, all with intervals and comparable."""

    name: str
    higher: bool
    rows: pd.DataFrame
    judge: Judge

    def lead(self) -> tuple[str, pd.Series, list[str]]:
        """The first sentence, the cell it recommends, and what must be said with it."""
        found, others = self._best(self.rows), len(self.rows) - 1
        if found is None:
            raise ValueError("there is nothing to say without a row that has an interval")
        best = found.row
        if not others:
            return f"There is only one setting to judge: {self._full(best, whole=True)}.", best, []
        if found.clear:
            lead = f"{self._at(best)} is best: {self._value(best)}. It is {self._clear_of(others)}."
            return lead, best, [self._more(best), *self._chances()]
        pick = self._cheapest(best)
        same, extreme = pick["cell"] == best["cell"], "highest" if self.higher else "lowest"
        if len(found.ties) == others:
            lead = (
                f"The data cannot tell the {len(self.rows)} settings apart: none has measurably worse {self.name} than "
                f"{self._full(best, whole=True)}, which has the {extreme} value."
            )
            notes = [] if same else [f"The cheapest is {self._full(pick)}."]
        elif same:
            value = with_interval(best["value"], best["low"], best["high"])
            lead = f"{self._at(best)} has the {extreme} {self.name}, {value}."
            notes = [f"The data cannot tell it from {self._some(found.ties)}."]
        else:
            lead = f"{self._at(pick)} is as good as this sweep can measure: {self._value(pick)}."
            notes = [f"The {extreme} value belongs to {self._full(best)}; the data cannot tell them apart."]
        rival = found.ties.iloc[0] if same else best
        if needed := images_needed(pick, rival, self.judge):
            notes.append(f"If {self._short(rival)} really differs, about {short(needed)} images per cell would show.")
        return lead, pick, [self._more(pick), *notes, *self._chances()]

    def _cheapest(self, best: pd.Series) -> pd.Series:
        top = unbeaten(self.rows, self.higher, self.judge)
        cheap = self._best(top[top["nfe"] == top["nfe"].min()])
        return cheap.row if cheap else best

    def _more(self, pick: pd.Series) -> str:
        """What evaluations beyond the pick's buy. No other row is measurably better than the pick."""
        if pick["nfe"] < self.rows["nfe"].max():
            return f"More than {_evaluations(pick)} an image buy nothing measurable here."
        cheaper = self.rows[self.rows["nfe"] < pick["nfe"]]
        if len(cheaper) and all(self.judge.better(pick, row, self.higher) for _, row in cheaper.iterrows()):
            return f"Everything cheaper is measurably worse, and {short(pick['nfe'])} is the most tried: more may help."
        return f"It uses as many network evaluations an image as were tried, {short(pick['nfe'])}."

    def _chances(self) -> list[str]:
        """How sure the ranking and the Pareto front are, where the results say it."""
        notes = []
        if self._known("p_best"):
            likely, order = self.rows.iloc[int(self.rows["p_best"].argmax())], float(self.rows["p_order"].min())
            chance = f"The best setting is {self._short(likely)} with probability {probability(likely['p_best'])}"
            notes.append(f"{chance}; the whole ranking holds with probability {probability(order)}.")
        if self._known("p_front_nfe"):
            front = self.rows[self.rows["p_front_nfe"] >= 0.5].sort_values("nfe")
            named = [f"{self._short(row)} ({short(row['nfe'])})" for _, row in front.iterrows()]
            if 1 < len(named) <= FRONT:
                notes.append(f"More likely than not on the front of quality against evaluations: {', '.join(named)}.")
        return notes

    def _known(self, column: str) -> bool:
        return column in self.rows and bool(self.rows[column].notna().all())

    def within_half(self, pick: pd.Series) -> list[str]:
        """What half the evaluations of the pick would give."""
        budget = self.rows.loc[self.rows["nfe"] <= pick["nfe"] / 2, "nfe"].max()
        found = self._best(self.rows[self.rows["nfe"] <= budget])
        if found is None:
            return []
        text = f"Within {short(budget)} evaluations {self._short(found.row)} does best, {self._value(found.row)}"
        return [text + ("." if found.clear else f"; the data cannot tell it from {self._some(found.ties)}.")]

    def budgets(self) -> list[Rung]:
        """The best within each number of network evaluations, at most six of those that occur, evenly picked."""
        found = sorted(self.rows["nfe"].dropna().unique())
        if len(found) > BUDGETS:
            found = [found[round(i * (len(found) - 1) / (BUDGETS - 1))] for i in range(BUDGETS)]
        return [self._rung(f"up to {short(most)}", self.rows[self.rows["nfe"] <= most], ()) for most in found]

    def scales(self) -> list[Rung]:
        """The best with each guidance setting, whatever it costs."""
        found = guidances(self.rows).items()
        return [self._rung(brief, self.rows[self.rows["guidance"] == text], ("guidance",)) for text, brief in found]

    def _rung(self, condition: str, rows: pd.DataFrame, skip: tuple[str, ...]) -> Rung:
        found = self._best(rows)
        if found is None:
            raise ValueError("a rung needs at least one row with an interval")
        row, others = found.row, len(rows) - 1
        if not others:
            verdict = "the only one"
        elif found.clear:
            verdict = self._clear_of(others)
        else:
            verdict = f"cannot tell from {self._some(found.ties, skip)}"
        value = with_interval(row["value"], row["low"], row["high"])
        return Rung(condition, self._short(row, skip), value, short(row["nfe"]), found.clear and others > 0, verdict)

    def _best(self, rows: pd.DataFrame) -> Best | None:
        return best_of(rows, self.higher, self.judge)

    def _clear_of(self, others: int) -> str:
        return f"measurably better than {_all_others(others)}"

    def _short(self, row: pd.Series, skip: tuple[str, ...] = ()) -> str:
        return setting(row, among=self.rows, skip=skip)

    def _at(self, row: pd.Series) -> str:
        return f"At {_evaluations(row)} {setting(row)}"

    def _full(self, row: pd.Series, *, whole: bool = False) -> str:
        name = setting(row) if whole else self._short(row)
        return f"{name} ({_evaluations(row)}; {self._value(row)})"

    def _value(self, row: pd.Series) -> str:
        return f"{self.name} {with_interval(row['value'], row['low'], row['high'])}"

    def _some(self, ties: pd.DataFrame, skip: tuple[str, ...] = ()) -> str:
        """The first tie by name, and how many more there are."""
        more = len(ties) - 1
        return self._short(ties.iloc[0], skip) + (f" and {count(more, 'other')}" if more else "")


def _along_scale(results: pd.DataFrame, pick: pd.Series, metric: str, name: str, judge: Judge) -> list[str]:
    """What raising the guidance scale does to adherence and quality, all else as in the pick."""
    other = adherence(results)
    if other is None or other == metric:
        return []
    same = pd.Series(True, index=results.index)
    run = [RUN] if RUN in results else []
    for column in ("sampler", "spacing", "schedule", "steps", "method", *GROUP, *run):
        same &= results[column] == pick[column]
    rows = with_intervals(results[same & (results["status"] == "ok") & results["scale"].notna()])
    both = set(rows.loc[rows["metric"] == metric, "cell"]) & set(rows.loc[rows["metric"] == other, "cell"])
    ends = rows[rows["cell"].isin(both)].sort_values("scale", kind="stable")
    first, last = (ends[ends["scale"] == scale] for scale in (ends["scale"].min(), ends["scale"].max()))
    if ends["scale"].nunique() < 2:
        return []
    said = [
        _moves(first[first["metric"] == m].iloc[0], last[last["metric"] == m].iloc[0], word, results, judge)
        for m, word in ((other, short_name(other, metrics(results))), (metric, name))
    ]
    scales = f"from {short(ends['scale'].min())} to {short(ends['scale'].max())}"
    where = f"{pick['sampler']} at {steps_text(pick['steps'])}"
    return [f"Raising the guidance scale of {where} {scales} {said[0]} and {said[1]}."]


def _moves(a: pd.Series, b: pd.Series, name: str, results: pd.DataFrame, judge: Judge) -> str:
    first, last = (with_interval(row["value"], row["low"], row["high"]) for row in (a, b))
    text, higher = f"{name} from {first} to {last}", bool(direction(results, a["metric"]))
    if judge.better(b, a, higher):
        return "improves " + text
    return "worsens " + text if judge.better(a, b, higher) else "does not measurably change " + text


def _all_others(n: int) -> str:
    return "the only other" if n == 1 else f"all {n} others"


def _evaluations(row: pd.Series) -> str:
    """ "10 network evaluations"."""
    if pd.isna(row["nfe"]):
        return "an unknown number of network evaluations"
    return f"{short(row['nfe'])} network evaluation" + ("" if row["nfe"] == 1 else "s")
