"""DPM-Solver-fast: as many evaluations as the path has steps, in single steps of order 3 over three of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .bridge import bridge
from .derived import derived
from .dpm_solver import second_order
from .exponential_tableaux import third_order
from .form import DATA, NOISE_LOG_SNR
from .level import Level, between
from .settings import setting, settings
from .tableau import Tableau, step

if TYPE_CHECKING:
    from torch import Tensor

    from .path import Path
    from .protocols import Noise, Run

FORMS = {"eps": NOISE_LOG_SNR, "x0": DATA}


@settings
class DPMFast:
    """DPM-Solver-fast: third-order steps over three steps of the path at a time, whose inner levels are the stages.

    One evaluation a step of the path. Two steps left over are one of DPM-Solver-2, four are two; a step from alpha = 0
    and one to sigma = 0 are Euler's. Where the stages are not at 1/3 and 2/3 in log-SNR, DPM-Solver-3 is of second
    order, and the weights are those of Hochbruck and Ostermann. ``quantity`` chooses eps (DPM-Solver) or x0 (++).

    compat=True ignores the path between its first and last finite level, as k-diffusion's ``sample_dpm_fast`` does:
    steps of equal size in log-SNR, the last one of order 1 or 2, which leaves second order.
    Lu et al. 2022, arXiv:2206.00927, section 3.4; arXiv:2211.01095 for x0; doi:10.1137/040611434 for the weights.
    """

    quantity: str = setting("eps", choices=tuple(FORMS), help="what is held smooth in log-SNR")
    compat: bool = setting(False, help="levels and orders of k-diffusion, whatever the path")
    stochastic, evaluations, needs = False, 1, ()
    aliases = ("sample_dpm_fast",)

    @derived
    def order(self) -> int:
        return 2 if self.compat else 3

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        form = FORMS[self.quantity]
        for s, *stages, t in self._groups(path):
            x, x0 = yield x, s
            if stages:
                begin, end = s.half_logsnr, t.half_logsnr
                tableau = _tableau([(level.half_logsnr - begin) / (end - begin) for level in stages])
                x = yield from step(x, x0, s, t, form, tableau, stages)
            else:
                x = bridge(x, x0, s, t)
        return x

    def _groups(self, path: Path) -> Iterator[tuple[Level, ...]]:
        """The levels of each step: its start, its stages, its end."""
        levels = path.levels
        finite = tuple(level for level in levels if level.alpha and level.sigma)
        if not levels[0].alpha:
            yield levels[:2]
        yield from _equal(finite) if self.compat and len(finite) > 1 else _given(finite)
        if levels[-2].alpha and not levels[-1].sigma:
            yield levels[-2:]


def _given(levels: tuple[Level, ...]) -> Iterator[tuple[Level, ...]]:
    at, left = 0, len(levels) - 1
    while left > 0:
        order = min(3 if left != 4 else 2, left)
        yield levels[at : at + order + 1]
        at, left = at + order, left - order


def _equal(levels: tuple[Level, ...]) -> Iterator[tuple[Level, ...]]:
    """k-diffusion's steps for as many evaluations, between the first level and the last."""
    s, t, n = levels[0], levels[-1], len(levels) - 1
    orders = [3] * (n // 3 - 1) + [2, 1] if n % 3 == 0 else [3] * (n // 3) + [n % 3]

    def at(share: float) -> Level:
        inside = between(s, t, s.half_logsnr + share * (t.half_logsnr - s.half_logsnr))
        return s if share == 0 else t if share == 1 else inside

    for i, order in enumerate(orders):
        yield tuple(at((i + j / order) / len(orders)) for j in range(order + 1))


def _tableau(shares: list[float]) -> Tableau:
    return second_order(shares[0]) if len(shares) == 1 else third_order(shares[0], shares[1])
