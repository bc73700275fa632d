"""A guidance method on a ComfyUI model: what it needs is evaluated, and what it makes of that is the prediction.

It hangs on hooks that any guider calls, so areas, masks, ControlNets and other packs' patches work as ever.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from ...samplers.guidance import CFG
from ...samplers.guidance.further import asks_again
from ...samplers.level import PURE_NOISE, Level, variance_preserving
from ...samplers.protocols import Combine, Guidance
from .process import Process, process_of

KEY = "sigmabench"
INPUTS = {"cond": "positive", "uncond": "negative", "middle": "middle", "other": "other"}
"""Names of the conditionings by branch; a method that tells the negative from the empty prompt has other ones."""
THREE = {"cond": "positive", "negative": "negative", "uncond": "empty"}
PROBES = (PURE_NOISE, *(variance_preserving(10.0 ** (k / 2)) for k in range(8, -7, -1)))

Hook = Callable[[dict[str, Any]], Any]


def branches(guidance: Guidance) -> set[Any]:
    """Every prediction that the method needs anywhere."""
    return {name for level in PROBES for name in guidance.branches(level)}


def inputs(guidance: Guidance) -> dict[str, str] | None:
    """Branch to conditioning input, or None for a method that needs more: another network, or answers at other x."""
    needed = branches(guidance)
    names = THREE if "negative" in needed else INPUTS
    if not needed <= set(names) or asks_again(guidance, PROBES):
        return None
    return {branch: name for branch, name in names.items() if branch in needed or name in ("positive", "negative")}


def inner(guidance: Any) -> str | None:
    """The name of the field that holds another guidance."""
    return next((f.name for f in dataclasses.fields(guidance) if f.metadata.get("kind") == "guidance"), None)


def with_scale(guidance: Any, scale: float) -> Any:
    """The method with this scale, or the one within it that has a scale."""
    if hasattr(guidance, "scale"):
        return dataclasses.replace(guidance, scale=scale)
    name = inner(guidance)
    return dataclasses.replace(guidance, **{name: with_scale(getattr(guidance, name), scale)}) if name else guidance


def guidance_on(model: Any) -> Guidance:
    """The method that a MODEL carries; plain CFG without one."""
    patch = model.model_options.get("sampler_cfg_function")
    return patch.guidance if isinstance(patch, Patch) else CFG()


def patched(model: Any, guidance: Guidance, extra: Mapping[str, Any] | None = None) -> Any:
    """A clone of a MODEL with the method in place of the one it carries; its scale is the guider's cfg.

    Args:
        extra: conditionings by branch beside the positive and the negative one.
    """
    from . import host

    clone = model.clone()
    earlier, evaluate = (clone.model_options.get(f"sampler_{name}_function") for name in ("cfg", "calc_cond_batch"))
    if isinstance(earlier, Patch):
        extra, evaluate = {**earlier.extra, **(extra or {})}, earlier.previous
        clone.remove_wrappers_with_key(host.OUTER_SAMPLE, KEY)
    patch = Patch(guidance, extra or {}, evaluate, host)
    clone.set_model_sampler_cfg_function(patch, disable_cfg1_optimization=True)
    clone.set_model_sampler_calc_cond_batch_function(patch.evaluate)
    clone.add_wrapper_with_key(host.OUTER_SAMPLE, KEY, patch.fresh)
    return clone


class Patch:
    """The three hooks of a method: before a run, for the predictions, for their combination."""

    def __init__(self, guidance: Guidance, extra: Mapping[str, Any], previous: Hook | None, host: Any) -> None:
        self.guidance, self.extra, self.previous, self.host = guidance, extra, previous, host
        self.second = "negative" if "negative" in branches(guidance) else "uncond"
        if missing := branches(guidance) - {"cond", self.second, *extra}:
            raise ValueError(
                f"{_name(guidance)} needs {' and '.join(map(str, sorted(missing, key=str)))}, which this node cannot "
                f"give; it has {', '.join(('cond', self.second, *extra))}"
            )
        self._guider: Any = None
        self._process: Process | None = None
        self._run: tuple[float, Combine] | None = None
        self._others: dict[str, Tensor] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Patch:
        """The hooks of a cloned model stay together: what one of them notes is of the run at work alone."""
        return self

    def fresh(self, executor: Any, *args: Any, **kwargs: Any) -> Any:
        """Around a whole run: no history from the run before, further conditionings prepared like the guider's own."""
        self._guider, self._process, self._run = executor.class_obj, None, None
        for branch, conditioning in self.extra.items():
            self._guider.conds[_key(branch)] = self.host.convert_cond(conditioning)
        try:
            return executor(*args, **kwargs)
        finally:
            self._guider, self._others = None, {}

    def evaluate(self, args: dict[str, Any]) -> list[Tensor]:
        """The predictions of the positive and the negative conditioning, where the method needs them here."""
        conds = args["conds"]
        needed = self._needed(args)
        if self.second not in needed:
            conds[1] = None  # in the host's own list, so that every later hook sees that there is none
        elif conds[1] is None:
            raise ValueError(
                f"{_name(self.guidance)} needs a negative conditioning: use a guider with one, as CFGGuider"
            )
        others = [branch for branch in self.extra if branch in needed]
        more = [self._guider.conds[_key(branch)] for branch in others]
        call = (args["input"], args["sigma"], args["model_options"])
        if self.previous is None:
            first, second, *found = self.host.calc_cond_batch(args["model"], [*conds[:2], *more], *call)
        else:
            first, second = self.previous(args)
            found = self.host.calc_cond_batch(args["model"], more, *call) if more else []
        self._others = dict(zip(others, found, strict=True))
        return [first, second]

    def __call__(self, args: dict[str, Any]) -> Tensor:
        """The combination, as ComfyUI wants it: x minus the guided prediction."""
        x, level, scale = args["input"], self._level(args), float(args["cond_scale"])
        if self._run is None or self._run[0] != scale:
            self._run = scale, with_scale(self.guidance, scale).start()
        found = {"cond": args["cond_denoised"], self.second: args["uncond_denoised"], **self._others}
        assert self._process is not None
        return x - self._run[1](x / self._process.gain(level), level, found)

    def _needed(self, args: dict[str, Any]) -> tuple[str, ...]:
        scale = getattr(self._guider, "cfg", None)
        guidance = self.guidance if scale is None else with_scale(self.guidance, float(scale))
        return guidance.branches(self._level(args))

    def _level(self, args: dict[str, Any]) -> Level:
        if self._process is None:
            self._process = process_of(args["model"].model_sampling)
        return self._process.level(float(args["sigma"].flatten()[0]))


def _key(branch: str) -> str:
    return f"{KEY}_{branch}"


def _name(guidance: Guidance) -> str:
    return type(guidance).__name__
