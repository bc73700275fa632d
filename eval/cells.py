"""Cells: one setting of everything that decides an image, named by a hash of its content."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import warnings
from collections import Counter
from itertools import product

from ..plugins.registry import build, entries_in
from ..reports.results import GIVEN
from ..samplers.path import Path as LevelPath
from ..samplers.perturbation import Branch, Perturbed, conditions_of
from .branches import answering, named, needed
from .prompts import prompts_hash
from .protocols import Distilled, Drawing, Given, Model, Partial, Sample, Starting
from .sweep import MODEL_SCHEDULE, Sweep

EPOCH = 1  # raise it when a change of code changes images of the same settings
OPTIONAL = ("negative", "others", "texts", "noise")
"""Fields of a cell that are part of its key only if they say something."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """Settings in their text form; equal cells make equal images, index by index."""

    model: str
    """Identity of the loaded model with its weights' hash."""
    sampler: str
    schedule: str
    spacing: str
    steps: int
    guidance: str
    prompts: str
    """Hash of the prompt list."""
    seed: int
    dtype: str
    plugins: tuple[str, ...] = ()
    """name==version of every plugin that is not built in."""
    negative: str = ""
    """The negative prompt, if the guidance uses one."""
    others: tuple[str, ...] = ()
    """Identities of further models that the guidance uses."""
    texts: tuple[str, ...] = ()
    """name=text of further conditions that the guidance uses."""
    noise: str = ""
    """"brownian" if the steps' noise is; empty for independent draws and for samplers that use none."""

    @property
    def given(self) -> bool:
        """Whether its images were there already, so that its other settings say nothing."""
        return self.sampler == GIVEN

    @property
    def key(self) -> str:
        """Sixteen hex digits that name the cell, stable across machines."""
        fields = {name: value for name, value in dataclasses.asdict(self).items() if value or name not in OPTIONAL}
        content = json.dumps({"epoch": EPOCH, **fields}, sort_keys=True)
        return hashlib.blake2b(content.encode(), digest_size=8).hexdigest()


@dataclasses.dataclass(frozen=True)
class Planned:
    """A cell of a sweep, with the reason why it cannot be run, if there is one."""

    cell: Cell
    backend: str
    refused: str = ""


def plan(sweep: Sweep, backend: str, model: Model, prompts: list[str]) -> list[Planned]:
    """All cells of a sweep on one model, in the order of the sweep's fields; of given images there is one."""
    if isinstance(model, Given):
        return [Planned(Cell(model.id, GIVEN, "", "", 0, "none", prompts_hash(prompts), sweep.seed, ""), backend)]
    cells = []
    for (sampler, schedule, spacing), steps, guidance in product(sweep.combinations(), sweep.steps, sweep.guided()):
        cell = Cell(
            model.id, sampler, schedule, spacing, steps, guidance, prompts_hash(prompts), sweep.seed, sweep.dtype,
            _foreign(sampler=sampler, schedule=schedule, spacing=spacing, guidance=guidance),
            noise=_noise(sweep, model, sampler),
        )  # fmt: skip
        cells.append(_planned(cell, backend, model, sweep, prompts))
    return cells


def branches(cell: Cell, model: Model) -> list[Branch]:
    """All predictions that the cell's guidance asks for.

    Raises:
        ValueError: as ``levels`` does.
    """
    if isinstance(model, Drawing):
        model.check(cell)
        return []
    return needed(build("guidance", cell.guidance), levels(cell, model))


def levels(cell: Cell, model: Model) -> LevelPath:
    """The path of noise levels that the cell walks on this model.

    Raises:
        ValueError: if spacing, schedule and model do not go together, with the reason.
    """
    schedule = model.schedule if cell.schedule == MODEL_SCHEDULE else build("schedule", cell.schedule)
    path = LevelPath(build("spacing", cell.spacing)(schedule, cell.steps))
    _check_sampler(cell)
    if isinstance(model, Partial):
        path = model.part(path)
    if isinstance(model, Starting):
        path = _last(path, model.strength)
    first, last = path.levels[0], model.schedule.level(1.0)
    if model.prediction == "eps" and not first.alpha:
        raise ValueError(
            "an eps prediction says nothing about the image at alpha = 0, where this path starts; "
            "use a model that predicts v, x0 or flow, or a schedule that ends above zero SNR"
        )
    if first.ve_sigma > last.ve_sigma * (1 + 1e-6):
        raise ValueError(
            f"the path starts at sigma/alpha = {first.ve_sigma:.4g}, noisier than the {last.ve_sigma:.4g} "
            "that the model was trained up to; use the model's own schedule or set sigma_max of the spacing"
        )
    return path


def _check_sampler(cell: Cell) -> None:
    sampler = build("sampler", cell.sampler)
    if getattr(sampler, "upwards", False):
        raise ValueError(f"{cell.sampler} takes an image up to its noise, but a sweep begins with noise; use sample()")
    if "variance" in sampler.needs:
        raise ValueError(f"{cell.sampler} needs a predicted variance, but a sweep asks for x0 alone; use ddpm")


def _last(path: LevelPath, strength: float) -> LevelPath:
    """The last int(steps * strength) steps, as image to image walks them."""
    if strength == 1:
        return path
    steps = int(len(path) * strength)
    if not steps:
        raise ValueError(f"strength = {strength} of {len(path)} steps is less than one step; use more of either")
    return LevelPath(path.levels[-steps - 1 :])


def samples(sweep: Sweep, prompts: list[str], start: int, stop: int) -> list[Sample]:
    """Images start ... stop - 1 of the sweep: prompt and seed depend on the index alone."""
    count, times, turns = len(prompts), Counter(prompts), _turns(prompts)
    return [
        Sample(i, sweep.seed + i, prompt, i // count * times[prompt] + turns[i % count])
        for i in range(start, stop)
        for prompt in (prompts[i % count],)
    ]


def _turns(prompts: list[str]) -> list[int]:
    """How often each prompt was in the list before."""
    seen: Counter[str] = Counter()
    found = []
    for prompt in prompts:
        found.append(seen[prompt])
        seen[prompt] += 1
    return found


def _planned(cell: Cell, backend: str, model: Model, sweep: Sweep, prompts: list[str]) -> Planned:
    """The cell with all that its guidance needs, or the reason why it cannot have it."""
    try:
        asked = branches(cell, model)
        _check_conditions(cell, asked, sweep)
        changed = [answering(model, branch) for branch in asked if isinstance(branch, Perturbed)]
        for one in changed:
            if check := getattr(one, "check_prompts", None):
                check(prompts)
    except ValueError as error:
        return Planned(cell, backend, str(error))
    if isinstance(model, Distilled) and (beyond := model.beyond(cell)):
        warnings.warn(beyond, stacklevel=2)
    others = {one.id for one in changed} - {model.id}
    used = conditions_of(asked)
    negative = sweep.negative if "negative" in used else ""
    texts = tuple(named({name: text for name, text in sorted(sweep.texts.items()) if name in used}))
    return Planned(dataclasses.replace(cell, negative=negative, others=tuple(sorted(others)), texts=texts), backend)


def _noise(sweep: Sweep, model: Model, sampler: str) -> str:
    ours = sweep.noise == "brownian" and not isinstance(model, Drawing)
    return sweep.noise if ours and build("sampler", sampler).stochastic else ""


def _check_conditions(cell: Cell, asked: list[Branch], sweep: Sweep) -> None:
    conditions = conditions_of(asked)
    missing = sorted(conditions - {"cond", "uncond", "negative", *sweep.texts})
    if missing:
        raise ValueError(
            f"{cell.guidance} needs a text for {' and '.join(missing)}; give the sweep one, such as texts: "
            f"{{{', '.join(f'{name}: a photo' for name in missing)}}}"
        )
    if "negative" in conditions and not sweep.negative:
        raise ValueError(f"{cell.guidance} needs a negative prompt; give the sweep one, such as negative: blurry")


def _foreign(**texts: str) -> tuple[str, ...]:
    named = ((kind, text) for kind, text in texts.items() if (kind, text) != ("schedule", MODEL_SCHEDULE))
    entries = (entry for kind, text in named for entry in entries_in(kind, text))
    return tuple(f"{entry.plugin}=={entry.version}" for entry in entries if entry.version)
