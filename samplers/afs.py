"""The analytical first step: where almost all is noise, what a network would answer is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .derived import derived, inner
from .multistep import DPMpp2M
from .protocols import Sampler
from .settings import setting, settings

if TYPE_CHECKING:
    from torch import Tensor

    from .path import Path
    from .protocols import Noise, Run


@settings
class AFS:
    """Any sampler without its first evaluation: the answer is that of data with mean 0 and variance 1.

    x0 = alpha / (alpha^2 + sigma^2) x,    so 0 at alpha = 0

    One evaluation less, for an error of the first step's size: first order, whatever the sampler inside, unless it
    gives its first slope no weight as the midpoint rule does. A path of one step is left as it is. The papers'
    eps = x / sqrt(alpha^2 + sigma^2) is the same up to (alpha/sigma)^2. Dockhorn et al. 2022, arXiv:2210.05475; Zhou et
    al. 2023, arXiv:2312.00094.
    """

    sampler: Sampler = setting(DPMpp2M(), kind="sampler", help="the method that takes the steps")
    order, stochastic, evaluations, needs = 1, inner("stochastic"), inner("evaluations"), inner("needs")
    evaluations_from_noise = inner("evaluations_from_noise", 1)

    @derived
    def start_evaluations(self) -> int:
        return getattr(self.sampler, "start_evaluations", 0) - 1

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        run = self.sampler(x, path, noise)
        request = run.send(None)  # type: ignore[arg-type]
        if len(path) > 1:
            x, s = request
            x0 = x * (s.alpha / s.norm**2)
            request = run.send((x, x0, *(x0 for _ in self.sampler.needs)))
        while True:
            try:
                request = run.send((yield request))
            except StopIteration as stop:
                return stop.value
