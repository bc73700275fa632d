"""What is measured: every registered sampler with its main variants, and other programs' solvers, in one form."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from torch import Tensor

from ...plugins.expression import Call, format_call, parse
from ...plugins.registry import Entry, build, catalogue, describe, find
from ...samplers.conformance.convergence import SCALES, OneHot, Solve, jagged_path, normal_quantiles
from ...samplers.conformance.trial import walk
from ...samplers.path import Path
from ...samplers.problems import BIMODAL
from ...samplers.protocols import Denoiser, Noise, Sampler
from ...samplers.run import sample
from ..errors import UsageError

OURS = "sigmabench"


@dataclasses.dataclass(frozen=True)
class Method:
    """A solver with what it declares.

    Attributes:
        source: the program it comes from, with its version.
        name: the text that builds it, or the other program's name for it.
        solve: takes x from a path's first level to its last; None for a solver that cannot be had here.
        stochastic: whether it asks for noise; then its distribution is measured, otherwise its trajectory.
        processes: those it can walk.
        declared: its order; None if it says none.
        evaluations: a step; None if it says none or chooses them itself.
        counterpart: of a peer, the text of our sampler that is the same method.
        floor: errors below it are rounding, of another program's float32 for example.
        note: what a reader must know, such as why it cannot be had.
        peer: whether it is another program's.
        upwards: whether it goes from clean to noisy.
    """

    source: str
    name: str
    solve: Solve | None
    stochastic: bool = False
    processes: tuple[str, ...] = tuple(SCALES)
    declared: int | None = None
    evaluations: int | None = None
    counterpart: str = ""
    floor: float = 1e-10
    note: str = ""
    peer: bool = False
    upwards: bool = False


def methods(names: Iterable[str] = ()) -> list[Method]:
    """The samplers that the texts name, a bare name with its variants; without texts, all that are registered.

    Raises:
        UsageError: for a text that builds no sampler.
    """
    texts = [text for name in names or catalogue("sampler") for text in _texts(name)]
    return [_method(text) for text in dict.fromkeys(texts)]


def variants(entry: Entry) -> Iterator[str]:
    """The default, then each setting that has few legal values changed on its own, eta to 0 and 1."""
    yield entry.name
    for field in dataclasses.fields(entry.cls):
        yield from (format_call(Call(entry.name, (), {field.name: value})) for value in _others(field))


def _others(field: dataclasses.Field[Any]) -> list[Any]:
    low, high, choices = (field.metadata.get(key) for key in ("low", "high", "choices"))
    if choices:
        values: Iterable[Any] = choices
    elif isinstance(field.default, bool):
        values = (False, True)
    elif isinstance(field.default, int) and low is not None and high is not None and high - low < 4:
        values = range(int(low), int(high) + 1)
    else:
        values = (0.0, 1.0) if field.name == "eta" else ()
    return [value for value in values if value != field.default]


def _texts(text: str) -> Iterator[str]:
    try:
        call = parse(text)
        sampler = build("sampler", text)
    except (ValueError, TypeError) as error:
        raise UsageError(str(error)) from error
    entry = find("sampler", call.name)
    if call == Call(entry.name):
        yield from variants(entry)
    else:
        yield describe("sampler", sampler)


def _method(text: str) -> Method:
    sampler: Sampler = build("sampler", text)
    entry = find("sampler", parse(text).name)
    source = OURS if entry.plugin == "builtin" else f"{entry.plugin} {entry.version}".strip()
    controlled = sampler.evaluations is None and hasattr(sampler, "rtol")
    return Method(
        source,
        text,
        partial(_with_tolerance if controlled else walk, sampler),
        _draws(sampler),
        declared=sampler.order,
        evaluations=sampler.evaluations,
        note=f"rtol = atol = steps^-{sampler.order}" if controlled else "",
        upwards=getattr(sampler, "upwards", False),
    )


def _with_tolerance(sampler: Any, denoiser: Denoiser, x: Tensor, path: Path, noise: Noise) -> Tensor:
    """A sampler with error control takes its tolerance from the number of steps, as its steps are its own."""
    tolerance = len(path) ** -float(sampler.order)
    return sample(dataclasses.replace(sampler, rtol=tolerance, atol=tolerance), denoiser, x, path, noise)


def _draws(sampler: Sampler) -> bool:
    """Whether it asks for noise with these settings; ``stochastic`` says that with some settings it does."""
    draws, path = OneHot(rows=4), jagged_path("VP", 6)
    if sampler.stochastic:
        walk(sampler, BIMODAL, normal_quantiles(4).unsqueeze(1), path, draws)
    return draws.count > 0
