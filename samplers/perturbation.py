"""Predictions of a changed network: what is changed is described here, and done by whoever holds the network.

A guidance names such a prediction by its description: ``Perturbed("cond", IdentityAttention())`` stands among its
``branches`` beside ``"uncond"``. Equal descriptions are one branch, however deep the guidance is nested.

Layers are written as in ``"mid"``, ``"down.1, up.0.2"`` (U-Nets) or ``"7, 8, 9"``, ``"single.3"`` (transformers): a
name stands for all layers that begin with it, and "" for the model's default.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any


@dataclasses.dataclass(frozen=True)
class IdentityAttention:
    """Self-attention where every part of the image looks at itself alone (and at the text, where text takes part)."""

    layers: str = ""


@dataclasses.dataclass(frozen=True)
class BlurredQueries:
    """Self-attention whose queries are blurred over the image: by a Gaussian, in tokens, or None for their mean."""

    layers: str = ""
    sigma: float | None = None


@dataclasses.dataclass(frozen=True)
class SkippedLayers:
    """Transformer blocks that pass their input on."""

    layers: str = ""


@dataclasses.dataclass(frozen=True)
class ShuffledTokens:
    """Transformer blocks that get the parts of the image in a random order, another one for each block and level."""

    layers: str = ""


@dataclasses.dataclass(frozen=True)
class SparseCrossAttention:
    """Cross-attention dense + scale * (sparse - dense), sparse by alpha-entmax, in all layers."""

    scale: float = 2.0
    alpha: float = 1.5


@dataclasses.dataclass(frozen=True)
class NormalizedAttention:
    """Cross-attention led away from that of a second text, in all layers; see ``guidance.NAG``."""

    scale: float = 5.0
    tau: float = 2.5
    alpha: float = 0.25


@dataclasses.dataclass(frozen=True)
class WatchedAttention:
    """Nothing is changed; the answer has one channel more: what each part of the image receives from all others.

    The mean over heads of the self-attention of one layer, summed over its queries, at the size of x; 1 on average.
    """

    layer: str = "mid.0.0"


@dataclasses.dataclass(frozen=True)
class WeakModel:
    """Another model of the same kind, as the settings of its backend."""

    backend: Any = None


@dataclasses.dataclass(frozen=True)
class ScaledSkips:
    """A U-Net whose first two stages up, or widest ones, weigh their inputs anew; see ``guidance.FreeU``."""

    b1: float = 1.1
    b2: float = 1.2
    s1: float = 0.9
    s2: float = 0.2
    structure: bool = False
    by_channels: bool = False


@dataclasses.dataclass(frozen=True)
class NoisyTime:
    """A network that is told the time with noise of each image's own; see ``guidance.TSG``."""

    noise: float = 1.0
    power: float = 1.0


@dataclasses.dataclass(frozen=True)
class NoisyCondition:
    """A condition with noise of each image's own, less and less along the path; see ``guidance.CADS``."""

    clean: float = 0.6
    gone: float = 0.9
    noise: float = 0.25
    mixing: float = 1.0


@dataclasses.dataclass(frozen=True)
class IndependentCondition:
    """Noise of each image's own, with mean and deviation of its condition, in place of that; see ``guidance.ICG``."""


@dataclasses.dataclass(frozen=True)
class Windows:
    """The mean of what the network predicts for overlapping parts of x, each of that share of its height and width."""

    size: float = 0.75
    count: int = 2
    """Along each dimension, from edge to edge."""

    @property
    def evaluations(self) -> int:
        """Of each image, on parts of it."""
        return self.count**2


@dataclasses.dataclass(frozen=True)
class Judged:
    """Nothing is changed; the answer has as many channels more: the gradient in x of log p(text | x0).

    By a classifier ("class") or an image-text model ("clip") that sees the predicted x0.
    """

    by: str = "class"


LayerChange = IdentityAttention | BlurredQueries | SkippedLayers | ShuffledTokens
AttentionChange = SparseCrossAttention | NormalizedAttention
NetworkChange = LayerChange | AttentionChange | WatchedAttention


@dataclasses.dataclass(frozen=True)
class AttendedRegions:
    """Nothing is changed; the answer has two channels more: the word that each part of the image attends to most, by
    its place in the text, and 1 where that is any but the first; see ``guidance.SemanticCFG``.
    """

    layers: str = ""


SeededChange = NoisyTime | NoisyCondition | IndependentCondition
"""Changes with noise, which belongs to the image and the noise level."""
OtherChange = ScaledSkips | SeededChange | Windows | Judged | AttendedRegions
Change = NetworkChange | WeakModel | OtherChange


@dataclasses.dataclass(frozen=True)
class Perturbed:
    """A branch: what the changed network predicts under the condition of ``base``."""

    base: str
    change: Change
    against: str = ""
    """The branch whose condition the change leads away from, if it needs one."""

    def __str__(self) -> str:
        return f"{self.base} by {self.change}"


Branch = str | Perturbed
"""The name of a prediction: a condition such as "uncond", or a description of what else is different."""


def renamed(branch: Branch, old: str, new: str) -> Branch:
    """The branch with another condition in place of ``old``."""
    if isinstance(branch, str):
        return new if branch == old else branch
    base, against = (new if name == old else name for name in (branch.base, branch.against))
    return dataclasses.replace(branch, base=base, against=against)


def conditions_of(branches: Iterable[Branch]) -> set[str]:
    """The names of the conditions that these branches need."""
    pairs = ((b.base, b.against) if isinstance(b, Perturbed) else (b,) for b in branches)
    return {name for pair in pairs for name in pair if name}
