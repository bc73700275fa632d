"""A guidance method on a ComfyUI model: what it needs is evaluated, and what it makes of that is the prediction.

It hangs on hooks that any guider calls, so areas, masks, ControlNets and other packs' patches work as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...samplers.guidance import CFG
from ...samplers.level import Level
from ...samplers.perturbation import Branch, Perturbed, conditions_of
from ...samplers.protocols import Combine, Guidance
from ...samplers.run import lockstep
from . import changed
from .conditionings import branches, name_of, weak_models, with_scale
from .driver import NEEDS, ROWS, image_seeds, numbered
from .process import Process, process_of
from .theirs import Theirs, theirs_in

KEY = "sigmabench"
SEED = 7
"""Place of the seed among the arguments of a run."""

Hook = Callable[[dict[str, Any]], Any]


def guidance_on(model: Any) -> Guidance:
    """The method that a MODEL carries, be it another pack's; plain CFG without one."""
    patch = model.model_options.get("sampler_cfg_function")
    if isinstance(patch, Patch):
        return patch.guidance
    return CFG() if patch is None else Theirs(patch)


def extra_on(model: Any) -> dict[str, Any]:
    """The conditionings that the method of a MODEL has beside the positive and the negative one."""
    patch = model.model_options.get("sampler_cfg_function")
    return dict(patch.extra) if isinstance(patch, Patch) else {}


def patched(model: Any, guidance: Guidance, extra: Mapping[str, Any] | None = None) -> Any:
    """A clone of a MODEL with the method in place of the one it carries; its scale is the guider's cfg.

    Args:
        extra: conditionings by branch beside the positive and the negative one.
    """
    from . import host

    clone = model.clone()
    earlier, evaluate = (clone.model_options.get(f"sampler_{name}_function") for name in ("cfg", "calc_cond_batch"))
    if isinstance(earlier, Patch):
        evaluate = earlier.previous
        clone.remove_wrappers_with_key(host.OUTER_SAMPLE, KEY)
    patch = Patch(guidance, {**extra_on(model), **(extra or {})}, evaluate, host)
    clone.set_model_sampler_cfg_function(patch, disable_cfg1_optimization=True)
    clone.set_model_sampler_calc_cond_batch_function(patch.evaluate)
    clone.add_wrapper_with_key(host.OUTER_SAMPLE, KEY, patch.fresh)
    clone.set_additional_models(KEY, [weak for weak in weak_models(guidance) if weak is not None])
    return clone


class Patch:
    """The three hooks of a method: before a run, for the predictions, for their combination."""

    def __init__(self, guidance: Guidance, extra: Mapping[str, Any], previous: Hook | None, host: Any) -> None:
        self.guidance, self.extra, self.previous, self.host = guidance, extra, previous, host
        conditions = conditions_of(branches(guidance))
        self.second = "negative" if "negative" in conditions else "uncond"
        if missing := conditions - {"cond", self.second, *extra}:
            raise ValueError(
                f"{name_of(guidance)} needs {' and '.join(sorted(missing))}, which this node cannot give; it has "
                f"{', '.join(('cond', self.second, *extra))}"
            )
        self._theirs = theirs_in(guidance)
        self._guider: Any = None
        self._seed: Any = None
        self._process: Process | None = None
        self._run: tuple[float, list[Combine]] | None = None
        self._conds: dict[str, Any] = {}
        self._found: dict[Branch, Tensor] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Patch:
        """The hooks of a cloned model stay together: what one of them notes is of the run at work alone."""
        return self

    def fresh(self, executor: Any, *args: Any, **kwargs: Any) -> Any:
        """Around a whole run: no history from the run before, further conditionings prepared like the guider's own."""
        self._guider, self._process, self._run = executor.class_obj, None, None
        self._seed = kwargs["seed"] if "seed" in kwargs else args[SEED]
        for branch, conditioning in self.extra.items():
            if _key(branch) not in self._guider.conds:
                self._guider.conds[_key(branch)] = self._converted(branch, conditioning)
        try:
            return executor(*args, **kwargs)
        finally:
            self._guider, self._conds, self._found = None, {}, {}
            for method in self._theirs:
                method.call.clear()

    def evaluate(self, args: dict[str, Any]) -> list[Tensor]:
        """The predictions of the positive and the negative conditioning, where the method needs them here."""
        conds, levels = args["conds"], self._levels(args["sigma"], args["model"])
        self._note(*conds[:2])
        needed = self._needed(levels)
        if NEEDS in args["model_options"] and _standing_for(self.second, needed) is None:
            needed.append(self.second)
        own = [_standing_for(condition, needed) for condition in ("cond", self.second)]
        if own[1] is None:
            conds[1] = None  # in the host's own list, so that every later hook sees that there is none
        wanted = list(dict.fromkeys((own[0] or "cond", *needed)))
        self._found = found = self._predict(wanted, args["input"], levels, args)
        return [_image(found[own[0] or "cond"], args), _image(found[own[1]], args) if own[1] else _nothing(args)]

    def __call__(self, args: dict[str, Any]) -> Tensor:
        """The combination, as ComfyUI wants it: x minus the guided prediction."""
        x, levels = args["input"], self._levels(args["sigma"], args["model"])
        rows = 1 if args["model_options"].get(ROWS) else len(x)
        needed, found = self._needed(levels), self._found or self._late(args, levels)
        for condition, name in self._places():
            own = _standing_for(condition, needed)
            if own is not None and (self._found or own == condition):  # another pack may have changed it meanwhile
                more = found[own][:, args[name].shape[1] :]
                found[own] = torch.cat([args[name], more], 1) if more.shape[1] else args[name]
        self._found = {}
        for method in self._theirs:
            method.call.update(args, gain=self._gain)
        parts = range(0, len(x), rows)
        combined = [
            combine(
                x[i : i + rows] / self._gain(levels[i]),
                levels[i],
                {branch: x0[i : i + rows] for branch, x0 in found.items()},
            )
            for i, combine in zip(parts, self._combine(float(args["cond_scale"]), len(parts)), strict=True)
        ]
        at = {i: (x[i : i + rows], levels[i]) for i in parts}

        def answer(requests: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
            at.update({i * rows: (own * self._gain(level), level) for i, own, level, _ in requests})
            where = [level for _, level in at.values() for _ in range(rows)]
            asked = list(dict.fromkeys(branch for *_, several in requests for branch in several))
            answers = self._predict(asked, torch.cat([own for own, _ in at.values()]), where, args)
            return [
                (own, {branch: answers[branch][i * rows : (i + 1) * rows] for branch in several})
                for i, own, _, several in requests
            ]

        return x - torch.cat(lockstep([numbered(i, _finished(image)) for i, image in enumerate(combined)], answer))

    def _late(self, args: dict[str, Any], levels: list[Level]) -> dict[Branch, Tensor]:
        """The predictions, where another pack has taken the place of ``evaluate`` and made the plain ones."""
        self._note(args["input_cond"], args["input_uncond"])
        needed = self._needed(levels)
        found: dict[Branch, Tensor] = {condition: args[name] for condition, name in self._places()}
        return found | self._predict([b for b in needed if b not in found], args["input"], levels, args)

    def _note(self, cond: Any, second: Any) -> None:
        """The conditionings, prepared by ComfyUI."""
        extra = {branch: self._guider.conds[_key(branch)] for branch in self.extra}
        self._conds = {"cond": cond, self.second: second, **extra}

    def _places(self) -> tuple[tuple[str, str], ...]:
        """The two conditionings of every guider, and what ComfyUI calls the predictions under them."""
        return ("cond", "cond_denoised"), (self.second, "uncond_denoised")

    def _predict(
        self, asked: Sequence[Branch], x: Tensor, levels: list[Level], args: dict[str, Any]
    ) -> dict[Branch, Tensor]:
        """x0 by branch, one call for all that the same network predicts."""
        assert self._process is not None
        sigma = x.new_tensor([self._process.sigma(level) for level in levels])
        call, seeds = (x, sigma, args["model_options"]), image_seeds(self._seed, len(x))
        found: dict[Branch, Tensor] = {}
        for change in dict.fromkeys(_change(branch) for branch in asked):
            group = [branch for branch in asked if _change(branch) == change]
            names = [branch.base if isinstance(branch, Perturbed) else branch for branch in group]
            self._check(names)
            if change is None:
                predictions = self._plain(names, call, args)
            else:
                against = next((self._conds[b.against] for b in group if isinstance(b, Perturbed) and b.against), None)
                conds = [self._conds[name] for name in names]
                try:
                    predictions = changed.predict(self.host, args["model"], change, conds, call, levels, against, seeds)
                except ValueError as error:
                    raise ValueError(f"{name_of(self.guidance)}: {error}") from None
            found.update(zip(group, predictions, strict=True))
        return found

    def _plain(self, names: list[str], call: tuple[Any, ...], args: dict[str, Any]) -> list[Tensor]:
        """Predictions of the network as it is, those of a guider's own conditionings by another pack's function."""
        if self.previous is None:
            return self.host.calc_cond_batch(args["model"], [self._conds[name] for name in names], *call)
        own = ["cond", self.second]
        pair = [self._conds[name] if name in names else None for name in own]
        found = dict(zip(own, self.previous({**args, "conds": pair, "input": call[0], "sigma": call[1]}), strict=True))
        rest = [name for name in names if name not in own]
        if rest:
            more = self.host.calc_cond_batch(args["model"], [self._conds[name] for name in rest], *call)
            found.update(zip(rest, more, strict=True))
        return [found[name] for name in names]

    def _combine(self, scale: float, parts: int) -> list[Combine]:
        if self._run is None or self._run[0] != scale or len(self._run[1]) != parts:
            guidance = with_scale(self.guidance, scale)
            self._run = scale, [guidance.start() for _ in range(parts)]
        return self._run[1]

    def _needed(self, levels: Sequence[Level]) -> list[Branch]:
        scale = getattr(self._guider, "cfg", None)
        guidance = self.guidance if scale is None else with_scale(self.guidance, float(scale))
        return list(dict.fromkeys(branch for level in dict.fromkeys(levels) for branch in guidance.branches(level)))

    def _levels(self, sigma: Tensor, model: Any) -> list[Level]:
        if self._process is None:
            self._process = process_of(model.model_sampling)
        return [self._process.level(one) for one in sigma.flatten().tolist()]

    def _gain(self, level: Level) -> float:
        assert self._process is not None
        return self._process.gain(level)

    def _check(self, names: Sequence[str]) -> None:
        missing = [name for name in names if self._conds.get(name) is None]
        if missing:
            raise ValueError(
                f"{name_of(self.guidance)} needs a negative conditioning: use a guider with one, as CFGGuider"
            )

    def _converted(self, branch: str, conditioning: Any) -> Any:
        if any("hooks" in options for _, options in conditioning):
            raise ValueError(
                f"{branch}: a conditioning with hooks cannot be given to a model patch; use the guider of the same name"
            )
        return self.host.convert_cond(conditioning)


def _standing_for(condition: str, needed: Sequence[Branch]) -> Branch | None:
    """The prediction that other packs see as that of this conditioning: the plain one, or else a changed one."""
    if condition in needed:
        return condition
    return next((b for b in needed if isinstance(b, Perturbed) and b.base == condition), None)


def _change(branch: Branch) -> Any:
    return branch.change if isinstance(branch, Perturbed) else None


def _image(prediction: Tensor, args: dict[str, Any]) -> Tensor:
    """Without the channels that tell more."""
    return prediction[:, : args["input"].shape[1]]


def _nothing(args: dict[str, Any]) -> Tensor:
    return torch.zeros_like(args["input"])


def _finished(combined: Any) -> Generator[Any, Any, Tensor]:
    return (yield from combined) if isinstance(combined, Generator) else combined


def _key(branch: str) -> str:
    return f"{KEY}_{branch}"
