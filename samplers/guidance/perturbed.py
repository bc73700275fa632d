"""Guidance away from a worse prediction of the same condition: by a network with a part of it broken, or a weak one.

All add scale (cond - worse) to another guidance. That is linear in a difference, so the same in x0, eps, v and flow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ..level import Level
from ..perturbation import (
    BlurredQueries,
    Branch,
    Change,
    IdentityAttention,
    Perturbed,
    ShuffledTokens,
    SkippedLayers,
    WeakModel,
    Windows,
)
from ..protocols import Guidance
from ..settings import setting, settings
from .cfg import CFG
from .further import then

if TYPE_CHECKING:
    from torch import Tensor

    from ..protocols import Combine, Further, Predictions

LAYERS = "such as 'down.1, up.0' (default mid), of transformers '7, 8, 9' (default those from 7/24 to 9/24 of the way)"
DOWN = LAYERS.replace("mid", "the last stage down")


@settings
class PAG:
    """guidance + scale (cond - worse), worse by self-attention where every part of the image sees itself alone.

    Perturbed-attention guidance. Ahn et al. 2024, arXiv:2403.17377.
    """

    scale: float = setting(3.0, low=0.0, high=1000.0, help="0 is none")
    guidance: Guidance = setting(CFG(), kind="guidance", help="what it is added to")
    layers: str = setting("", help=LAYERS)
    aliases: ClassVar[tuple[str, ...]] = ("PerturbedAttentionGuidance",)

    def branches(self, level: Level) -> tuple[Branch, ...]:
        return away_branches(self.guidance, level, self.scale, IdentityAttention(self.layers))

    def start(self) -> Combine:
        return away(self.guidance, self.scale, IdentityAttention(self.layers))


@settings
class SEG:
    """guidance + scale (cond - worse), worse by self-attention with queries blurred over the image.

    Smoothed energy guidance. Hong 2024, arXiv:2408.00760.
    """

    scale: float = setting(3.0, low=0.0, high=1000.0, help="0 is none")
    guidance: Guidance = setting(CFG(), kind="guidance", help="what it is added to")
    sigma: float | None = setting(
        None,
        low=0.0,
        high=1e4,
        help="of the blur, in tokens; 0 is none; default: without end, all queries are their mean",
    )
    layers: str = setting("", help=LAYERS)
    aliases: ClassVar[tuple[str, ...]] = ("SmoothedEnergyGuidance",)

    def branches(self, level: Level) -> tuple[Branch, ...]:
        return away_branches(self.guidance, level, self._scale, BlurredQueries(self.layers, self.sigma))

    def start(self) -> Combine:
        return away(self.guidance, self._scale, BlurredQueries(self.layers, self.sigma))

    @property
    def _scale(self) -> float:
        return 0.0 if self.sigma == 0 else self.scale


@settings
class SLG:
    """guidance + scale (cond - worse), worse by a network without some of its transformer blocks.

    Skip-layer guidance, of Stable Diffusion 3.5: https://github.com/Stability-AI/sd3.5. For videos the same is known as
    spatiotemporal skip guidance, Hyung et al. 2024, arXiv:2411.18664.
    """

    scale: float = setting(3.0, low=0.0, high=1000.0, help="0 is none")
    guidance: Guidance = setting(CFG(), kind="guidance", help="what it is added to")
    layers: str = setting("", help=LAYERS)
    aliases: ClassVar[tuple[str, ...]] = ("SkipLayerGuidance", "SkipLayerGuidanceDiT", "SkipLayerGuidanceSD3", "stg")

    def branches(self, level: Level) -> tuple[Branch, ...]:
        return away_branches(self.guidance, level, self.scale, SkippedLayers(self.layers))

    def start(self) -> Combine:
        return away(self.guidance, self.scale, SkippedLayers(self.layers))


@settings
class TPG:
    """guidance + scale (cond - worse), worse by blocks that get the parts of the image in a random order.

    Token perturbation guidance; orders are drawn for each block and noise level, the same for all images.
    Rajabi et al. 2025, arXiv:2506.10036.
    """

    scale: float = setting(3.0, low=0.0, high=1000.0, help="0 is none")
    guidance: Guidance = setting(CFG(), kind="guidance", help="what it is added to")
    layers: str = setting("", help=DOWN)
    aliases: ClassVar[tuple[str, ...]] = ("TokenPerturbationGuidance",)

    def branches(self, level: Level) -> tuple[Branch, ...]:
        return away_branches(self.guidance, level, self.scale, ShuffledTokens(self.layers))

    def start(self) -> Combine:
        return away(self.guidance, self.scale, ShuffledTokens(self.layers))


@settings
class SWG:
    """guidance + scale (cond - worse), worse the mean of what the network predicts for overlapping parts of x.

    Sliding window guidance: away from an image whose parts do not know of each other. Each image costs windows^2
    evaluations more, of parts. For U-Nets, which take x of any size. Kaiser et al. 2024, arXiv:2411.10257.
    """

    scale: float = setting(5.0, low=0.0, high=1000.0, help="0 is none")
    guidance: Guidance = setting(CFG(), kind="guidance", help="what it is added to")
    size: float = setting(0.75, low=0.05, high=1.0, help="of a part, as a share of height and width")
    windows: int = setting(2, low=1, high=16, help="along each dimension, spread from edge to edge")
    aliases: ClassVar[tuple[str, ...]] = ("SlidingWindowGuidance", "SlidingWindowGuidanceAdvanced")

    def branches(self, level: Level) -> tuple[Branch, ...]:
        return away_branches(self.guidance, level, self.scale, Windows(self.size, self.windows))

    def start(self) -> Combine:
        return away(self.guidance, self.scale, Windows(self.size, self.windows))


@settings
class Autoguidance:
    """guidance + (scale - 1) (cond - worse), worse by a weaker model: smaller, or less trained.

    Without other guidance it is worse + scale (cond - worse). Karras et al. 2024, arXiv:2406.02507.
    """

    scale: float = setting(2.0, low=0.0, high=1000.0, help="1 is none")
    weak: Any = setting(None, kind="backend", help="the weaker model, such as embedded(path='folder')")
    guidance: Guidance = setting(CFG(1.0), kind="guidance", help="what it is added to")
    aliases: ClassVar[tuple[str, ...]] = ("AutoGuidance",)

    def branches(self, level: Level) -> tuple[Branch, ...]:
        return away_branches(self.guidance, level, self.scale - 1, WeakModel(self.weak))

    def start(self) -> Combine:
        return away(self.guidance, self.scale - 1, WeakModel(self.weak))


def away_branches(guidance: Guidance, level: Level, weight: float, change: Change) -> tuple[Branch, ...]:
    """Those of a guidance and of the worse prediction, where that has a weight."""
    base = guidance.branches(level)
    return tuple(dict.fromkeys((*base, "cond", Perturbed("cond", change)))) if weight else base


def away(guidance: Guidance, weight: float, change: Change) -> Combine:
    """guidance + weight (cond - worse)."""
    combine, worse = guidance.start(), Perturbed("cond", change)

    def guided(x: Tensor, level: Level, predictions: Predictions) -> Tensor | Further:
        combined = combine(x, level, predictions)
        if not weight:
            return combined
        return then(combined, lambda x0: x0 + weight * (predictions["cond"] - predictions[worse]))

    return guided
