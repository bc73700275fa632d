"""A model that also says how its x0 would have to change to be more what a judge takes for the text."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from ...samplers.level import Level
from ...samplers.moved import moved
from ...samplers.perturbation import Judged
from ..metrics.agreement import requested_class
from ..protocols import AGAINST, Condition

TARGET = "judged"
"""The name, in a condition, of what the judge looks for; in that of the text that is led to."""

Denoise = Callable[[Tensor, Sequence[Level], Condition], Tensor]
Encode = Callable[[Sequence[str]], Condition]
Targets = Callable[[Sequence[str]], Tensor]
Score = Callable[[Tensor, Tensor], Tensor]


def judged(model: Any, change: Judged) -> tuple[Denoise, Encode, Targets]:
    """How it denoises and encodes, and what the judge looks for by prompts, a ValueError for those it cannot know.

    Raises:
        ValueError: for a model whose images cannot be differentiated.
    """
    if not hasattr(model, "pixels"):
        raise ValueError(f"{change} needs images that can be differentiated, as those of the embedded model")
    targets, score = _classifier(model) if change.by == "class" else _image_text(model)

    def encode(prompts: Sequence[str]) -> Condition:
        return {**model.encode(prompts), TARGET: targets(prompts)}

    def denoise(x: Tensor, levels: Sequence[Level], condition: Condition) -> Tensor:
        own = {name: rows for name, rows in condition.items() if name != TARGET and not name.startswith(AGAINST)}
        with torch.enable_grad():
            y = x.detach().requires_grad_()
            x0 = model.denoise(y, levels, own)
            log_p = score(model.pixels(x0), condition[AGAINST + TARGET])
            (gradient,) = torch.autograd.grad(log_p.sum(), y)
        return torch.cat([x0.detach(), gradient], 1)

    return denoise, encode, targets


def _classifier(model: Any) -> tuple[Targets, Score]:
    """log p(class | image) by the embedded judge."""
    judge = _judge(str(model.device))

    def targets(prompts: Sequence[str]) -> Tensor:
        return moved(torch.tensor([requested_class(prompt) if prompt else -1 for prompt in prompts]), model.device)

    def score(pixels: Tensor, target: Tensor) -> Tensor:
        return log_softmax(judge(pixels), 1).gather(1, target[:, None])

    return targets, score


@lru_cache(maxsize=2)
def _judge(device: str) -> nn.Module:
    from ..embedded.judge import load_judge

    return copy.deepcopy(load_judge()).to(device)


def _image_text(model: Any) -> tuple[Targets, Score]:
    """The logit of an image and its text by the embedded image-text model: log p up to what the image alone decides."""
    from ..embedded.imagetext import resized

    tower = model.text.clip

    def score(pixels: Tensor, target: Tensor) -> Tensor:
        images = tower.encode_image(resized(pixels), normalize=True)
        return tower.logit_scale.exp() * (images * target).sum(1)

    return model.text.embed_texts, score
