"""Another guidance on other predictions: of a changed network, or of another text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from ..level import Level
from ..perturbation import Branch, NormalizedAttention, Perturbed, ScaledSkips, SparseCrossAttention, renamed
from ..protocols import Guidance
from ..settings import setting, settings
from .cfg import CFG
from .further import asking

if TYPE_CHECKING:
    from torch import Tensor

    from ..protocols import Combine, Further, Predictions


@settings
class NegativePrompt:
    """Another guidance with the negative prompt in place of the empty one.

    As in ComfyUI and diffusers, where uncond is what the negative prompt gives: https://github.com/huggingface/diffusers
    A sampler that itself needs uncond, such as ``cfg_pp``, is still given that of the empty prompt.
    """

    guidance: Guidance = setting(CFG(), kind="guidance", help="what is led away from the negative prompt")

    def branches(self, level: Level) -> tuple[Branch, ...]:
        return substituted_branches(self.guidance, level, _negative)

    def start(self) -> Combine:
        return substituted(self.guidance, _negative)


@settings
class NAG:
    """Another guidance whose cond has cross-attention z led away from that of uncond, z', in every layer.

    g = scale z - (scale - 1) z', cut to tau |z|, and alpha g + (1 - alpha) z in place of z; |.| sums over the features
    of a part of the image. Normalized attention guidance, for few-step models; no further evaluation.
    Chen et al. 2025, arXiv:2505.21179.
    """

    scale: float = setting(5.0, low=1.0, high=1000.0, help="1 is none")
    tau: float = setting(2.5, low=0.0, high=1000.0, help="longest g, in lengths of z")
    alpha: float = setting(0.25, low=0.0, high=1.0, help="share of g; 0 is none")
    guidance: Guidance = setting(CFG(1.0), kind="guidance", help="what uses this cond")
    aliases: ClassVar[tuple[str, ...]] = ("NAGuidance", "NAGCFGGuider")

    def branches(self, level: Level) -> tuple[Branch, ...]:
        return substituted_branches(self.guidance, level, self._other)

    def start(self) -> Combine:
        return substituted(self.guidance, self._other)

    def _other(self, branch: Branch) -> Branch:
        if branch != "cond" or self.scale == 1 or not self.alpha:
            return branch
        return Perturbed("cond", NormalizedAttention(self.scale, self.tau, self.alpha), against="uncond")


@settings
class PLADIS:
    """Another guidance by a network whose cross-attention is dense + scale (sparse - dense), sparse by alpha-entmax.

    No further evaluation. Kim, Sim 2025, arXiv:2503.07677; entmax: Peters et al. 2019, arXiv:1905.05702.
    """

    scale: float = setting(2.0, low=0.0, high=1000.0, help="0 is none, 1 is sparse attention")
    alpha: float = setting(1.5, choices=(1.5, 2.0), help="2 is sparser: sparsemax")
    guidance: Guidance = setting(CFG(), kind="guidance", help="what uses these predictions")
    aliases: ClassVar[tuple[str, ...]] = ("Pladis",)

    def branches(self, level: Level) -> tuple[Branch, ...]:
        return substituted_branches(self.guidance, level, self._other)

    def start(self) -> Combine:
        return substituted(self.guidance, self._other)

    def _other(self, branch: Branch) -> Branch:
        if not isinstance(branch, str) or not self.scale:
            return branch
        return Perturbed(branch, SparseCrossAttention(self.scale, self.alpha))


@settings
class FreeU:
    """Another guidance by a U-Net whose stages up weigh their inputs anew: no training, no further evaluation.

    In the first stage up b1 weighs half of the channels from below and s1 the lowest frequencies of the skip
    connections, in the second b2 and s2. "structure" weighs from 1 to b by the mean over all channels at each place,
    from its least to its largest. The first two "stages" are counted as in diffusers; by "channels", as in the authors'
    code and ComfyUI, the first is where four times the channels of the network's widest level come from below and the
    second where two times do: of Stable Diffusion 1.5 stages 1, 2 and a block, then the rest of 3 and a block.
    Si et al. 2023, arXiv:2309.11497.
    """

    b1: float = setting(1.1, low=0.0, high=10.0, help="of the first stage's backbone; 1 is none")
    b2: float = setting(1.2, low=0.0, high=10.0, help="of the second stage's backbone; 1 is none")
    s1: float = setting(0.9, low=0.0, high=10.0, help="of the first stage's skip connections; 1 is none")
    s2: float = setting(0.2, low=0.0, high=10.0, help="of the second stage's skip connections; 1 is none")
    backbone: str = setting("constant", choices=("constant", "structure"), help="b everywhere, or by structure")
    guidance: Guidance = setting(CFG(), kind="guidance", help="what uses these predictions")
    by: str = setting("stages", choices=("stages", "channels"), help="how the two are told; ComfyUI: channels")
    aliases: ClassVar[tuple[str, ...]] = ("FreeU", "enable_freeu")
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "FreeU_V2": {"b1": 1.3, "b2": 1.4, "backbone": "structure"},
    }

    def branches(self, level: Level) -> tuple[Branch, ...]:
        return substituted_branches(self.guidance, level, self._other)

    def start(self) -> Combine:
        return substituted(self.guidance, self._other)

    def _other(self, branch: Branch) -> Branch:
        if not isinstance(branch, str) or self.b1 == self.b2 == self.s1 == self.s2 == 1:
            return branch
        how = self.backbone == "structure", self.by == "channels"
        return Perturbed(branch, ScaledSkips(self.b1, self.b2, self.s1, self.s2, *how))


def _negative(branch: Branch) -> Branch:
    return renamed(branch, "uncond", "negative")


def substituted_branches(guidance: Guidance, level: Level, other: Callable[[Branch], Branch]) -> tuple[Branch, ...]:
    """What a guidance needs, with ``other`` predictions in place of its own."""
    return tuple(dict.fromkeys(map(other, guidance.branches(level))))


def substituted(guidance: Guidance, other: Callable[[Branch], Branch]) -> Combine:
    """A run of the guidance on them."""
    combine = guidance.start()

    def combined(x: Tensor, level: Level, predictions: Predictions) -> Tensor | Further:
        known = {branch: predictions[other(branch)] for branch in guidance.branches(level)}
        return asking(combine(x, level, known), other)

    return combined
