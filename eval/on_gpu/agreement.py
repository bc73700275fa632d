"""What the device gives beside what the CPU gives: noise, guidance, networks, pipelines, jobs in company, what is seen.

Samplers on closed forms in float64 are the benchmarks' part ``agreement``. Here the networks are real, TF32 is off
unless a check says so, and a difference is the largest one of an element over the largest element.
"""

from __future__ import annotations

import copy
import dataclasses
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...plugins.registry import BUILTIN, build, catalogue
from ...samplers.brownian import BrownianNoise
from ...samplers.level import Level
from ...samplers.noise import SeededNoise
from ..cells import Cell
from ..engine import generate
from ..jobs import Job
from ..protocols import Model, Sample
from .looks import apart, looks
from .stages import Found, Task

PROMPTS, STEPS, SEED = ("a photo of a cat", "a bright photo of a ship"), 4, 7
FURTHER = ("middle", "other")
"""Conditions that some guidance methods need beside the prompt."""
SETTINGS = {"autoguidance": "autoguidance(weak=embedded)"}
COMPANY = ("euler", "dpmpp_2m", "heun", "dpmpp_2m_sde", "euler_ancestral")
PIPELINES = {
    "stable_diffusion": ("DDIMScheduler", "SD15"), "stable_diffusion_xl": ("EulerDiscreteScheduler", "BETAS"),
    "stable_diffusion_3": ("FlowMatchEulerDiscreteScheduler", ""), "flux": ("FlowMatchEulerDiscreteScheduler", ""),
    "pixart": ("DPMSolverMultistepScheduler", "BETAS"),
}  # fmt: skip
"""Of the tests' small pipelines: a scheduler and the name of its settings there."""
TESTS = Path(__file__).resolve().parents[2] / "tests"

NOISE, DOUBLE, SINGLE, TF32, HALF, IMAGES = 1e-5, 1e-10, 1e-3, 2e-2, 0.1, 5e-3
"""Tolerances: of noise; of a network in float64, float32, float32 with TF32, bfloat16; of images after some steps.

diffusers embeds times in float32 whatever the numbers of the network: frequencies times 999, and their sine. Two
exponentials that differ in the last place make phases that differ by 6e-5, so in float64 both networks are given one
embedding. On the CPU, phases that far apart and other kernels moved images by 2e-5, those of guidance ``clip`` by 2e-3.
"""


@dataclasses.dataclass(frozen=True)
class Check:
    """One comparison."""

    what: str
    difference: float
    tolerance: float
    error: str = ""

    @property
    def met(self) -> bool:
        return not self.error and self.difference <= self.tolerance


def agreement(task: Task) -> Found:
    """Every check, the quick ones first; one that fails is a line and no end.

    Raises:
        AssertionError: at the end, if a difference was too large.
    """
    checks: list[Check] = []
    with full_precision():
        for check in _checks(task):
            checks.append(check)
            yield {"checks": [{**dataclasses.asdict(one), "met": one.met} for one in checks]}
    if bad := [check.what for check in checks if not check.met]:
        raise AssertionError(f"{len(bad)} of {len(checks)} do not agree: {', '.join(bad)}")


@contextmanager
def full_precision() -> Iterator[None]:
    """While it lasts, float32 on a GPU is float32 in convolutions too."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def _checks(task: Task) -> Iterator[Check]:
    seen = looks(task.device, 12 if task.small else 48)
    for what, tolerance, difference in (*_noises(task.device), *_networks(task.device), *seen):
        yield _tried(what, tolerance, difference)
    yield from _companies(task)
    for name in list(PIPELINES)[: 1 if task.small else None]:
        yield _tried(f"images of a small {name}", IMAGES, partial(_pipeline, name, task.device))
    names = [name for name, entry in catalogue("guidance").items() if entry.plugin == BUILTIN]
    for name in names[:: 12 if task.small else 1]:
        yield _tried(f"images of the embedded model with {name}", IMAGES, partial(_guided, name, task.device))


def _tried(what: str, tolerance: float, difference: Callable[[], float]) -> Check:
    try:
        return Check(what, difference(), tolerance)
    except Exception:
        return Check(what, float("nan"), tolerance, traceback.format_exc(limit=-3))


Compared = tuple[str, float, Callable[[], float]]


def _noises(device: str) -> Iterator[Compared]:
    steps = list(pairwise(Level(1.0, sigma) for sigma in (14.0, 5.0, 1.0, 0.2)))
    for source, tolerance in ((SeededNoise, 0.0), (BrownianNoise, NOISE)):

        def difference(source: Any = source) -> float:
            own, there = (source([1, 2, 3], (3, 16, 16), place) for place in ("cpu", device))
            found = [apart(own.initial(), there.initial())]
            return max(*found, *(apart(own(s, t), there(s, t)) for s, t in steps))

        yield f"{source.__name__}, start and steps", tolerance, difference


def _networks(device: str) -> Iterator[Compared]:
    from ..embedded.generator import load_generator
    from ..embedded.imagetext import load_imagetext

    x = torch.randn(3, 12, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    times = torch.tensor([999.0, 500.0, 10.0], dtype=torch.float64)
    states = load_imagetext().encode_tokens([*PROMPTS, ""]).double()
    embedded = load_generator("v").unet.time_proj(times)

    @torch.no_grad()
    def answer(dtype: torch.dtype, place: str, half: bool = False) -> Tensor:
        unet = copy.deepcopy(load_generator("v").unet).to(place, dtype)
        if dtype == torch.float64:
            unet.time_proj.forward = lambda _: embedded.to(place)
        own, t, condition = (value.to(place, dtype) for value in (x, times, states))
        with torch.autocast(torch.device(place).type, torch.bfloat16, enabled=half):
            found = unet(own, t, encoder_hidden_states=condition).sample
        return found.cpu().double()

    exact = lru_cache(maxsize=1)(partial(answer, torch.float64, "cpu"))
    yield "embedded network, float64", DOUBLE, lambda: apart(exact(), answer(torch.float64, device))
    yield "embedded network, float32", SINGLE, lambda: apart(exact(), answer(torch.float32, device))

    def fast() -> float:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        try:
            return apart(exact(), answer(torch.float32, device))
        finally:
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False

    yield "embedded network, float32 with TF32", TF32, fast
    yield "embedded network, bfloat16", HALF, lambda: apart(exact(), answer(torch.float32, device, half=True))


def _companies(task: Task) -> Iterator[Check]:
    """Images on the device of jobs together, against each alone there and on the CPU."""
    models = {place: _embedded(place) for place in dict.fromkeys(("cpu", task.device))}
    jobs = [_job(models[task.device], sampler, "cfg(scale=3)", steps) for sampler in COMPANY for steps in (3, 5)]
    jobs = jobs[:: 3 if task.small else 1]
    try:
        together = generate(models[task.device], jobs, task.device)
    except Exception:
        yield Check("jobs together", float("nan"), IMAGES, traceback.format_exc(limit=-3))
        return
    for job, x in zip(jobs, together, strict=True):
        name = f"{job.cell.sampler}, {job.cell.steps} steps"
        for place, model in models.items():
            what = f"in company, beside alone on {'the CPU' if place == 'cpu' else 'the device'}"
            yield _tried(f"{name}: {what}", IMAGES, partial(_beside, x, model, job, place))


def _beside(x: Tensor, model: Model, job: Job, place: str) -> float:
    return apart(generate(model, [job], place)[0], x)


def _pipeline(name: str, device: str) -> float:
    """Ours, from the tests' pipeline as it is saved."""
    import diffusers

    from ..backends.diffusers_pipeline import Diffusers

    if str(TESTS) not in sys.path:
        sys.path.append(str(TESTS))
    import tiny_pipelines

    scheduler, settings = PIPELINES[name]
    made = getattr(diffusers, scheduler)(**(getattr(tiny_pipelines, settings) if settings else {}))
    with tempfile.TemporaryDirectory() as folder:
        getattr(tiny_pipelines, name)(made).save_pretrained(folder)
        return _both(lambda place: Diffusers(folder).load(place), "cfg(scale=3)", device, ("a cat", "two dogs"))


def _guided(guidance: str, device: str) -> float:
    return _both(_embedded, SETTINGS.get(guidance, guidance), device, PROMPTS)


def _both(load: Callable[[str], Model], guidance: str, device: str, prompts: Sequence[str]) -> float:
    found = []
    for place in ("cpu", device):
        model = load(place)
        found.append(generate(model, [_job(model, "euler", guidance, STEPS, prompts)], place)[0])
    return apart(*found)


def _embedded(place: str) -> Model:
    return build("backend", "embedded").load(place, "float32")


def _job(model: Model, sampler: str, guidance: str, steps: int, prompts: Sequence[str] = PROMPTS) -> Job:
    settings = (model.id, sampler, "model", "trailing", steps, guidance, "", SEED, "float32")
    cell = Cell(*settings, negative=prompts[0], texts=tuple(f"{name}={prompts[1]}" for name in FURTHER))
    return Job(cell, [Sample(i, SEED + i, prompt) for i, prompt in enumerate(prompts)])
