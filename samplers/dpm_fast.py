"""DPM-Solver-fast: as many evaluations as the path has steps, in single steps of order 3 over three of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from .derived import derived
from .dpm_solver import second_order
from .exponential_tableaux import third_order
from .form import DATA, NOISE_LOG_SNR, Form
from .level import Level, between
from .settings import setting, settings
from .tableau import EULER, Plan, Tableau, planned, step

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
        for s, plan in _plans(FORMS[self.quantity], self.compat, path.levels):
            x, x0 = yield x, s
            x = yield from step(x, x0, plan)
        return x


@lru_cache(maxsize=2**8)
def _plans(form: Form, compat: bool, levels: tuple[Level, ...]) -> list[tuple[Level, Plan]]:
    """Where each step begins, and what it does; kept, because the images of the next batch take the same steps."""
    steps = [(group[0], group[1:-1], group[-1]) for group in _groups(compat, levels)]
    return [(s, planned(form, _tableau(s, t, stages), s, t, stages)) for s, stages, t in steps]


def _groups(compat: bool, levels: tuple[Level, ...]) -> Iterator[tuple[Level, ...]]:
    """The levels of each step: its start, its stages, its end."""
    finite = tuple(level for level in levels if level.alpha and level.sigma)
    if not levels[0].alpha:
        yield levels[:2]
    yield from _equal(finite) if compat and len(finite) > 1 else _given(finite)
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


def _tableau(s: Level, t: Level, stages: tuple[Level, ...]) -> Tableau:
    """The method whose stages stand there; Euler's where there are none."""
    begin, h = s.half_logsnr, t.half_logsnr - s.half_logsnr
    places = [(level.half_logsnr - begin) / h for level in stages]
    if not places:
        return EULER
    return second_order(*places) if len(places) == 1 else third_order(*places)
