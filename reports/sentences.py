"""Sentences about the cells of one metric: the best, what ties with it, and the best within each limit."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from .compare import Best, best_of, images_needed, unbeaten
from .comparisons import Judge
from .lines import guidances, setting
from .numbers import count, probability, short, with_interval

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


def _all_others(n: int) -> str:
    return "the only other" if n == 1 else f"all {n} others"


def _evaluations(row: pd.Series) -> str:
    """ "10 network evaluations"."""
    if pd.isna(row["nfe"]):
        return "an unknown number of network evaluations"
    return f"{short(row['nfe'])} network evaluation" + ("" if row["nfe"] == 1 else "s")
