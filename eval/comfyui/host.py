"""What the sweep takes from ComfyUI. Only this file imports it, and only nodes at work import this file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.samplers
import comfy.utils
import folder_paths
import torch
from torch import Tensor

from ...plugins.comfyui import changed, host
from ...samplers.level import Level
from ...samplers.perturbation import Change

Interrupted = comfy.model_management.InterruptProcessingException


class Cancelled(BaseException):
    """The user's wish to stop, which no handler of failed cells may take for a failure."""


class Evaluation(comfy.samplers.Sampler):
    """In place of a sampler: one prediction, of x as it is, by the network or by one that is changed."""

    def __init__(self, change: Change | None, level: Level, seeds: Sequence[int]) -> None:
        self.change, self.level, self.seeds = change, level, seeds

    def sample(
        self, model_wrap: Any, sigmas: Tensor, extra_args: Any, callback: Any, noise: Tensor, *args: Any, **kwargs: Any
    ) -> Tensor:
        sigma = sigmas[:1].expand(len(noise)).to(noise)
        model, conds, call = model_wrap.inner_model, model_wrap.conds, (noise, sigma, extra_args["model_options"])
        if self.change is None:
            (self.x0,) = comfy.samplers.calc_cond_batch(model, [conds["positive"]], *call)
        else:
            levels, own = [self.level] * len(noise), [conds["positive"]]
            against = conds.get("negative")
            (self.x0,) = changed.predict(host, model, self.change, own, call, levels, against, self.seeds)
        return self.x0[:, : noise.shape[1]]


def predict(
    model: Any, x: Tensor, sigma: float, level: Level, conditioning: Any, change: Change | None, against: Any,
    seeds: Sequence[int],
) -> Tensor:  # fmt: skip
    """x0 by the host's own way: loading, areas, ControlNets and hooks are as in any sampling."""
    evaluation, guider = Evaluation(change, level, seeds), comfy.samplers.CFGGuider(model)
    guider.inner_set_conds({"positive": conditioning, **({} if against is None else {"negative": against})})
    try:
        comfy.model_management.throw_exception_if_processing_interrupted()
        guider.sample(x, torch.zeros_like(x), evaluation, torch.tensor([sigma, 0.0]), disable_pbar=True, seed=0)
    except Interrupted as wish:
        raise Cancelled from wish
    return evaluation.x0


def progress(total: int) -> Callable[[int], None]:
    """ComfyUI's progress bar for so many images."""
    return comfy.utils.ProgressBar(total).update


def results_folder(name: str) -> Path:
    """A folder below ComfyUI's output folder.

    Raises:
        ValueError: for a name that leads out of it.
    """
    output = Path(folder_paths.get_output_directory()).resolve()
    folder = (output / name).resolve()
    if folder == output or output not in folder.parents:
        raise ValueError(
            f"folder = {name!r}: must be a folder inside ComfyUI's output folder, such as sigmabench/first"
        )
    return folder
