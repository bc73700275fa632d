"""Self-attention guidance: away from an image whose most watched parts are blurred."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, ClassVar

from ..level import Level
from ..perturbation import Branch, Perturbed, WatchedAttention
from ..protocols import Guidance
from ..settings import setting, settings
from .blur import blurred
from .cfg import CFG

if TYPE_CHECKING:
    from torch import Tensor

    from ..protocols import Combine, Further, Predictions


@settings
class SAG:
    """guidance + scale (eps - eps'), eps' predicted where x0 is blurred in what its own attention watches.

    x0, and with it eps, is that of uncond where the guidance has it, else of cond. x' = x + alpha (blurred - x0) keeps
    the noise, so that in x0 the term is scale (blurred - x0'); x0' costs one evaluation more. At alpha = 0, where eps
    says nothing of the image, it is left out.
    Hong et al. 2023, arXiv:2210.00939, eq. 25.
    """

    scale: float = setting(0.75, low=0.0, high=1000.0, help="0 is none")
    guidance: Guidance = setting(CFG(), kind="guidance", help="what it is added to")
    sigma: float = setting(
        1.0, low=0.0, high=100.0, help="of the blur, in elements of x; it ends at 4 sigma; 0 is none"
    )
    threshold: float = setting(1.0, low=0.0, high=1000.0, help="attention a part must receive; 1 is the average")
    layer: str = setting("mid.0.0", help="whose self-attention is watched")
    aliases: ClassVar[tuple[str, ...]] = ("SelfAttentionGuidance",)

    def branches(self, level: Level) -> tuple[Branch, ...]:
        base = self.guidance.branches(level)
        if not self._active(level):
            return base
        own = self._own(base)
        return tuple(dict.fromkeys(self._watched(own) if branch == own else branch for branch in (*base, own)))

    def start(self) -> Combine:
        combine = self.guidance.start()

        def guided(x: Tensor, level: Level, predictions: Predictions) -> Tensor | Further:
            if not self._active(level):
                return combine(x, level, predictions)
            own = self._own(self.guidance.branches(level))
            answer = predictions[self._watched(own)]
            x0, received = answer[:, :-1], answer[:, -1:]
            combined = combine(x, level, {**predictions, own: x0})
            return self._further(combined, own, x0, received > self.threshold, x, level)

        return guided

    def _further(
        self, combined: Tensor | Further, own: str, x0: Tensor, watched: Tensor, x: Tensor, level: Level
    ) -> Further:
        base = (yield from combined) if isinstance(combined, Generator) else combined
        softened = blurred(x0, self.sigma).where(watched, x0)
        _, predictions = yield x + level.alpha * (softened - x0), level, (own,)
        return base + self.scale * (softened - predictions[own])

    def _active(self, level: Level) -> bool:
        return bool(self.scale and self.sigma and level.alpha)

    def _watched(self, own: str) -> Perturbed:
        return Perturbed(own, WatchedAttention(self.layer))

    @staticmethod
    def _own(base: tuple[Branch, ...]) -> str:
        return next((name for name in ("uncond", "negative") if name in base), "cond")
