"""Predictions of a ComfyUI model that is told its condition, or the time, with noise of each image's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from torch import Tensor, nn

from ...samplers.level import Level
from ...samplers.noisy_condition import STATES, SUMMARY, with_noise
from ...samplers.own_noise import own_noise
from ...samplers.perturbation import IndependentCondition, NoisyCondition, NoisyTime
from ..replaced import forward_replaced
from .schedule import schedule_of
from .work import Options, around

TEXT, POOLED = "c_crossattn", "y"
"""ComfyUI's names for the states of the text, and for a vector that begins with its summary."""
DRAWN_FOR = {TEXT: STATES, POOLED: SUMMARY}
TIMES = ("time_embed", "t_embedder", "time_in", "time_embedding", "timestep_embedder")
"""Last parts of the names of what embeds the time."""

Times = Sequence[float]
Change = NoisyCondition | IndependentCondition


def times_of(model: Any, levels: Sequence[Level]) -> list[float]:
    """The model's times from 0 to 1."""
    schedule = schedule_of(model.model_sampling)
    return [schedule.time(level) for level in levels]


def noisy(
    cond: Any, change: Change, seeds: Sequence[int], levels: Sequence[Level], times: Times
) -> list[dict[str, Any]]:
    """A conditioning, prepared by ComfyUI, with noise in its text.

    Raises:
        ValueError: if there is no text in it.
    """
    return [{**part, "model_conds": _noisy(part, change, seeds, levels, times)} for part in cond]


def _noisy(
    part: dict[str, Any], change: Change, seeds: Sequence[int], levels: Sequence[Level], times: Times
) -> dict[str, Any]:
    given = dict(part["model_conds"])
    widths = {TEXT: None, POOLED: _width(part)}
    names = [name for name, width in widths.items() if name in given and width != 0]
    if not names:
        raise ValueError(f"a conditioning with {TEXT} or {POOLED} is needed, the text, not {', '.join(given)} alone")
    for name in names:
        rows = given[name].process_cond(batch_size=len(levels), area=None).cond.clone()
        text = rows[..., : widths[name]]
        noise = own_noise(seeds, levels, DRAWN_FOR[name], text.shape[1:]).to(text)
        rows[..., : widths[name]] = with_noise(text, noise, times, change)
        given[name] = type(given[name])(rows)
    return given


def _width(part: dict[str, Any]) -> int:
    """How much of the vector is the summary of the text; sizes and the like come after it."""
    pooled, given = part.get("pooled_output"), part["model_conds"].get(POOLED)
    if pooled is None or given is None or given.cond.ndim != pooled.ndim or given.cond.shape[-1] < pooled.shape[-1]:
        return 0
    width = int(pooled.shape[-1])
    return width if pooled.to(given.cond).allclose(given.cond[..., :width]) else 0


def timed(
    given: Options, network: nn.Module, change: NoisyTime, seeds: Sequence[int], levels: Sequence[Level], times: Times
) -> Options:
    """The transformer options by which the network is told the time with noise.

    Raises:
        ValueError: for a network without a known embedding of the time; when called, for one of another shape.
    """
    names = list(_embeddings(network))
    if not names:
        raise ValueError(f"{type(network).__name__} has no {' or '.join(TIMES)}, which embeds the time")
    scales = [change.noise * time**change.power for time in times]

    served: set[str] = set()

    def noisy_times(executor: Any, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        with ExitStack() as stack:
            for name in names:
                module = executor.class_obj.diffusion_model.get_submodule(name)
                told = partial(_told, module.forward, name, len(x), scales, (seeds, levels), served.add)
                stack.enter_context(forward_replaced(module, told))
            found = executor(x, *args, **kwargs)
        if not served:
            raise ValueError(f"{type(network).__name__} does not let its {', '.join(names)} be changed")
        return found

    return around(given, noisy_times, "apply_model")  # not every network lets its own calls be wrapped


def _embeddings(network: nn.Module) -> Iterator[str]:
    """The outermost ones."""
    found: list[str] = []
    for name, _ in network.named_modules():
        if name.rsplit(".", 1)[-1] in TIMES and not any(name.startswith(f"{outer}.") for outer in found):
            found.append(name)
            yield name


def _told(
    usual: Callable[..., Any], name: str, rows: int, scales: Sequence[float],
    own: tuple[Sequence[int], Sequence[Level]], serve: Callable[[str], None], *args: Any, **kwargs: Any,
) -> Tensor:  # fmt: skip
    """Rows are those of one conditioning after the other, each perhaps with a time for each part."""
    told = usual(*args, **kwargs)
    serve(name)
    if not isinstance(told, Tensor) or len(told) % rows or rows % len(scales):
        raise ValueError(f"{name} of this network embeds more than one time for each image, which can have no noise")
    noise = own_noise(*own, "time", told.shape[1:]).to(told)
    noise = noise * told.new_tensor(scales).view(-1, *[1] * (told.ndim - 1))
    return told + noise.repeat(rows // len(scales), *[1] * (told.ndim - 1)).repeat_interleave(len(told) // rows, 0)
