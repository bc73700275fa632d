"""Guidance by a judge: towards images that a classifier, or an image-text model, takes for what the prompt says."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..level import Level
from ..perturbation import Branch, Judged, Perturbed
from ..protocols import Guidance
from ..settings import setting, settings
from .cfg import CFG
from .further import then

if TYPE_CHECKING:
    from torch import Tensor

    from ..protocols import Combine, Further, Predictions

SEEN = setting("cond", choices=("cond", "uncond"), help="whose x0 is judged")


@settings
class ClassifierGuidance:
    """guidance + scale sigma^2 / alpha grad_x log p(class | x0), of the prompt's class by a classifier that sees x0.

    In eps it is - scale sigma grad_x log p, and the gradient goes through the network. Dhariwal and Nichol train their
    classifier on noisy images; this one sees the x0 that the network predicts. At alpha = 0, where x says nothing of
    the image, it is left out. The metric class_agreement asks the same judge, so it says nothing of these images.
    Dhariwal, Nichol 2021, arXiv:2105.05233, Algorithm 2; of x0: Bansal et al. 2023, arXiv:2302.07121.
    """

    scale: float = setting(1.0, low=0.0, high=1000.0, help="0 is none")
    guidance: Guidance = setting(CFG(1.0), kind="guidance", help="what it is added to; cfg(0) has no prompt")
    of: str = SEEN
    aliases: ClassVar[tuple[str, ...]] = ("classifier_guidance", "cond_fn")

    def branches(self, level: Level) -> tuple[Branch, ...]:
        return _branches(self.guidance, level, self.scale, _judged(self.of, "class"))

    def start(self) -> Combine:
        return _towards(self.guidance, self.scale, _judged(self.of, "class"))


@settings
class CLIPGuidance:
    """guidance + scale sigma^2 / alpha grad_x s cos(image, text), by an image-text model that sees x0; s its own scale.

    s cos is log p(text | image) up to what the image alone decides. The metric clip_score by the embedded model is the
    same judge, so it says nothing of these images. Otherwise as ``classifier``.
    Nichol et al. 2021 (GLIDE), arXiv:2112.10741, section 2.3; of x0: https://github.com/crowsonkb/v-diffusion-pytorch.
    """

    scale: float = setting(1.0, low=0.0, high=1000.0, help="0 is none")
    guidance: Guidance = setting(CFG(1.0), kind="guidance", help="what it is added to; cfg(0) has no prompt")
    of: str = SEEN
    aliases: ClassVar[tuple[str, ...]] = ("clip_guidance", "clip_guided")

    def branches(self, level: Level) -> tuple[Branch, ...]:
        return _branches(self.guidance, level, self.scale, _judged(self.of, "clip"))

    def start(self) -> Combine:
        return _towards(self.guidance, self.scale, _judged(self.of, "clip"))


def _judged(of: str, by: str) -> Perturbed:
    return Perturbed(of, Judged(by), against="cond")


def _branches(guidance: Guidance, level: Level, scale: float, judged: Perturbed) -> tuple[Branch, ...]:
    """The judged prediction takes the place of the plain one, which it has."""
    base = guidance.branches(level)
    if not (scale and level.alpha):
        return base
    return tuple(dict.fromkeys(judged if branch == judged.base else branch for branch in (*base, judged)))


def _towards(guidance: Guidance, scale: float, judged: Perturbed) -> Combine:
    combine = guidance.start()

    def towards(x: Tensor, level: Level, predictions: Predictions) -> Tensor | Further:
        if not (scale and level.alpha):
            return combine(x, level, predictions)
        x0, gradient = predictions[judged].chunk(2, 1)
        combined = combine(x, level, {**predictions, judged.base: x0})
        return then(combined, lambda guided: guided + scale * level.sigma**2 / level.alpha * gradient)

    return towards
