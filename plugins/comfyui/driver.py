"""A sampler at work inside ComfyUI: its requests answered by the host's model, its steps reported to the host."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...samplers.brownian import BrownianNoise
from ...samplers.level import Level
from ...samplers.path import Path, ends
from ...samplers.protocols import Sampler
from ...samplers.run import lockstep, start
from ...samplers.sums import cast
from .process import Process, process_of

ROWS = "sigmabench_rows"
"""Among the model options: whether each image of the batch is a run by itself, at levels of its own."""
NEEDS = "sigmabench_needs"
"""Among the model options: what the sampler needs beside x0, whether or not the guidance does."""
SUPPLIED = {"uncond": "uncond_denoised", "cond": "cond_denoised"}
"""What a sampler may need beside x0, and what ComfyUI calls it."""


class SamplerFunction:
    """A sampler as the function that ComfyUI's KSAMPLER calls. ``poll`` raises when the user has cancelled."""

    def __init__(self, name: str, sampler: Sampler, poll: Callable[[], None]) -> None:
        unknown = set(sampler.needs) - set(SUPPLIED)
        if unknown:
            raise ValueError(f"{name} needs predictions of {', '.join(sorted(unknown))}, which ComfyUI does not give")
        self.__name__, self.sampler, self._poll = f"sample_{name}", sampler, poll

    def __call__(
        self, model: Any, x: Tensor, sigmas: Tensor, extra_args: Mapping[str, Any] | None = None,
        callback: Callable[[dict[str, Any]], None] | None = None, disable: bool | None = None,
    ) -> Tensor:  # fmt: skip
        """x at the last of the sigmas, from x at the first."""
        if not len(x):
            return x
        extra_args = dict(extra_args or {})
        process = process_of(model.inner_model.inner_model.model_sampling)
        upwards, seeds = getattr(self.sampler, "upwards", False), image_seeds(extra_args.get("seed"), len(x))
        path = path_of(process, sigmas.tolist(), upwards)
        first, last = ends(self.sampler, path)
        each = 1 if self.sampler.evaluations is None else len(x)  # steps that follow from the image: a run for each
        if self.sampler.evaluations is None:
            extra_args["model_options"] = {**extra_args.get("model_options", {}), ROWS: True}
        steps = Steps(path, process, upwards, callback or (lambda report: None))
        host = Host(model, process, extra_args, self.sampler.needs, steps, self._poll)
        begin = (x / process.gain(first)).split(each)
        noises = (BrownianNoise(seeds[i : i + each], x.shape[1:], x.device) for i in range(0, len(x), each))
        runs = [start(self.sampler, part, path, noise) for part, noise in zip(begin, noises, strict=True)]
        results = lockstep([numbered(i, run) for i, run in enumerate(runs)], host)
        steps.finish()
        return joined(results) * process.gain(last)


def joined(parts: list[Tensor]) -> Tensor:
    """The parts as one batch; a single one is not copied."""
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def numbered(i: int, run: Generator[Any, Any, Tensor]) -> Generator[Any, Any, Tensor]:
    """The run, its requests with its number."""
    reply = None
    while True:
        try:
            request = run.send(reply)
        except StopIteration as stop:
            return stop.value
        reply = yield i, *request


class Host:
    """Answers rounds of requests with one call of the model on the whole batch: masks and texts belong to all of it.

    It evaluates the model at the level of x alone, for inpainting mixes x with noise of that very level. A run that has
    come to its end takes part with its last x.
    """

    def __init__(
        self, model: Any, process: Process, extra_args: Mapping[str, Any], needs: tuple[str, ...], steps: Steps,
        poll: Callable[[], None],
    ) -> None:  # fmt: skip
        self.model, self.process, self.needs, self.steps, self.poll = model, process, needs, steps, poll
        self.extra_args = dict(extra_args)
        self._at: dict[int, tuple[Tensor, Level]] = {}
        self._seen: dict[str, Tensor] = {}
        if needs:
            self.extra_args["model_options"] = self._watched(extra_args.get("model_options") or {})

    def __call__(self, requests: Sequence[tuple[int, Tensor, Level]]) -> list[tuple[Tensor, ...]]:
        """``(run, x, level)`` to ``(x, x0, *what the sampler needs)``."""
        self.poll()
        noisiest = max((level for _, _, level in requests), key=lambda level: level.ve_sigma)
        self.steps.arrive(noisiest)
        for i, x, level in requests:
            gain = self.process.gain(level)
            self._at[i] = x if abs(gain - 1) < 1e-12 else x * gain, level
        scaled = joined([x for x, _ in self._at.values()])
        sigmas = joined([x.new_full(x.shape[:1], self.process.sigma(level)) for x, level in self._at.values()])
        x0 = self.model(scaled, sigmas, **self.extra_args)
        predictions = [self._exact(prediction) for prediction in (x0, *(self._seen[name] for name in self.needs))]
        self.steps.answered(scaled, noisiest, joined(predictions[0]))
        return [(x, *[cast(parts[i], x.dtype) for parts in predictions]) for i, x, _ in requests]

    def _exact(self, prediction: Tensor) -> list[Tensor]:
        """Of each run its own part."""
        parts = [prediction] if len(self._at) == 1 else prediction.split([len(x) for x, _ in self._at.values()])
        return [self.process.exact(part, *at) for part, at in zip(parts, self._at.values(), strict=True)]

    def _watched(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The model options with a last function that notes the branches' predictions."""

        def note(args: dict[str, Any]) -> Tensor:
            if args.get("uncond") is None:
                raise ValueError(
                    f"this sampler needs {' and '.join(self.needs)}: use a guider with a negative conditioning, "
                    "such as CFGGuider"
                )
            self._seen = {name: args[SUPPLIED[name]] for name in self.needs}
            return args["denoised"]

        others = list(options.get("sampler_post_cfg_function", []))
        more = {NEEDS: self.needs, "disable_cfg1_optimization": True}
        return {**options, "sampler_post_cfg_function": [*others, note], **more}


class Steps:
    """Reports each step of the path once, with the prediction that was made at its very level."""

    def __init__(self, path: Path, process: Process, upwards: bool, callback: Callable[[dict[str, Any]], None]) -> None:
        self.levels, self.process, self.callback = path.levels[:-1], process, callback
        self.upwards = upwards
        if upwards:
            self.levels = path.levels[:0:-1]
        self.step = 0
        self._report: dict[str, Any] | None = None

    def arrive(self, level: Level) -> None:
        """A request at this level: the step before it is over once the level lies behind that step's."""
        reached = self.step
        while reached + 1 < len(self.levels) and not self._before(level, self.levels[reached + 1]):
            reached += 1
        if reached > self.step:
            self.finish()
            self.step = reached

    def _before(self, one: Level, other: Level) -> bool:
        return other.noisier_than(one) if self.upwards else one.noisier_than(other)

    def answered(self, x: Tensor, level: Level, x0: Tensor) -> None:
        """Its answer, kept for the report if it belongs to the start of the step or is the first one within."""
        if self._report is None or level == self.levels[self.step]:
            sigma = self.process.sigma(level)
            self._report = {"i": self.step, "x": x, "denoised": x0, "sigma": sigma, "sigma_hat": sigma}

    def finish(self) -> None:
        """Report the step at work."""
        if self._report is not None:
            self.callback(self._report)
            self._report = None


def path_of(process: Process, sigmas: Sequence[float], upwards: bool = False) -> Path:
    """The path of SIGMAS that fall, or that rise for a sampler that goes upwards.

    Raises:
        ValueError: for SIGMAS that are no such path, in ComfyUI's words.
    """
    if len(sigmas) < 2:
        raise ValueError(f"sigmas: {len(sigmas)} given, at least 2 are needed, the start and the end of one step")
    for i, sigma in enumerate(sigmas):
        if not 0 <= sigma < float("inf") or (process.flow and sigma > 1):
            most = "1 for this flow model" if process.flow else "infinity"
            raise ValueError(f"sigmas: number {i} is {sigma:g}; they must be at least 0 and at most {most}")
        if i and (sigma <= sigmas[i - 1] if upwards else sigma >= sigmas[i - 1]):
            other = "this sampler unsamples: put FlipSigmas before it" if upwards else "to unsample use inverse"
            raise ValueError(
                f"sigmas: number {i} is {sigma:g} after {sigmas[i - 1]:g}; they must {'rise' if upwards else 'fall'} "
                f"from one to the next; {other}, and for repeated ones ask for fewer steps"
            )
    if upwards and process.flow and sigmas[-1] == 1:
        raise ValueError("sigmas: ComfyUI divides a flow's result by 1 - sigma, 0 at the last; end a little below 1")
    return Path(process.level(sigma) for sigma in (reversed(sigmas) if upwards else sigmas))


def image_seeds(seed: Any, count: int) -> list[int]:
    """One seed for each image: those of a noise node that has them, else seed, seed + 1, ..."""
    seeds = getattr(seed, "of_images", None) or [int(seed or 0) + i for i in range(count)]
    if len(seeds) != count:
        raise ValueError(f"noise: made for {len(seeds)} images, but {count} are sampled; use the same latent for both")
    return [one % 2**32 for one in seeds]
