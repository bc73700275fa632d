"""What a run's folder says it is to be: the checked sweep and its cells, and the images that its workers go for."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from .cells import Cell, Planned
from .errors import UsageError
from .statistics import clusters
from .store import write_atomic
from .sweep import Sweep

SWEEP, PLAN, GOAL = "sweep.yaml", "plan.json", "goal.json"


@dataclasses.dataclass(frozen=True)
class Plan:
    """A sweep checked against its models and metrics."""

    sweep: Sweep
    prompts: list[str]
    cells: list[Planned]

    @property
    def runnable(self) -> list[Planned]:
        return [planned for planned in self.cells if not planned.refused]

    def clusters(self, images: int) -> np.ndarray | None:
        """The prompt of each image, where intervals are to hold for prompts like these; None for just these."""
        return clusters(self.prompts, images) if self.sweep.intervals == "prompts" else None


class Goal(NamedTuple):
    """Cells, by key, and the number of images that each of them is to have."""

    cells: frozenset[str]
    images: int


def save_plan(folder: Path, plan: Plan) -> None:
    """Write the checked sweep and its cells, so that a report needs no model."""
    sweep = {**plan.sweep.model_dump(), "prompts": plan.prompts}
    write_atomic(folder / SWEEP, yaml.safe_dump(sweep, sort_keys=False, allow_unicode=True).encode())
    cells = [dataclasses.asdict(planned) for planned in plan.cells]
    write_atomic(folder / PLAN, json.dumps(cells, indent=1).encode())


def load_plan(folder: Path) -> Plan:
    """
    Raises:
        UsageError: if the folder holds no readable run.
    """
    try:
        sweep = Sweep(**yaml.safe_load((folder / SWEEP).read_text(encoding="utf-8")))
        rows = json.loads((folder / PLAN).read_text(encoding="utf-8"))
        cells = [Planned(_cell(row["cell"]), row["backend"], row["refused"]) for row in rows]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise UsageError(
            f"{folder} holds no readable run ({error}); `sigmabench sweep --out {folder}` makes one"
        ) from error
    return Plan(sweep, sweep.prompts, cells)


def save_goal(folder: Path, cells: Sequence[Planned], images: int) -> None:
    """Write down what is to be made, so that others can join."""
    goal = {"images": images, "cells": [planned.cell.key for planned in cells]}
    write_atomic(folder / GOAL, json.dumps(goal).encode())


def load_goal(folder: Path) -> Goal:
    """
    Raises:
        UsageError: if nobody has begun a run in the folder.
    """
    try:
        fields = json.loads((folder / GOAL).read_text(encoding="utf-8"))
        return Goal(frozenset(fields["cells"]), fields["images"])
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"{folder} holds no run to join ({error}); `sigmabench sweep` starts one") from error


def _cell(fields: dict[str, Any]) -> Cell:
    lists: dict[str, Any] = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    return Cell(**{**fields, **lists})
