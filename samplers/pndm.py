"""Pseudo numerical methods: Adams-Bashforth on eps, with the coefficients of equal steps or those of the path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .derived import derived
from .form import NOISE
from .linear_multistep import exact, multistep
from .runge_kutta_tableaux import METHODS
from .settings import setting, settings

if TYPE_CHECKING:
    from torch import Tensor

    from .path import Path
    from .protocols import Noise, Run


@settings
class IPNDM:
    """Improved pseudo numerical method: Adams-Bashforth through four points without a Runge-Kutta start.

    compat=True takes the published coefficients, (55, -59, 37, -9) / 24 and those of fewer points at first, which are
    right for equal steps of k = sigma/alpha only: first order on any other path. compat=False integrates over the
    path's own steps and is ``lms``.

    Liu et al. 2022, arXiv:2202.09778; Zhang, Chen 2022, arXiv:2204.13902.
    """

    compat: bool = setting(False, help="coefficients of equal steps, as published and in other programs; order 1")
    stochastic, evaluations, needs = False, 1, ()
    aliases = ("IPNDMScheduler",)

    @derived
    def order(self) -> int:
        return 1 if self.compat else 2

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        return (yield from multistep(x, path, NOISE, 4, weights=equal_steps if self.compat else exact))


@settings
class PNDM:
    """Pseudo numerical method: ``ipndm`` with a first step of Heun's method, or three of Runge-Kutta's.

    start="heun" is PLMS of latent diffusion and diffusers (``skip_prk_steps=True``), one evaluation more than
    there are steps; "runge_kutta" takes rk4 for three steps, nine more, with stages half way in sigma/alpha.
    compat=True takes the published coefficients, right for equal steps alone; compat=False those of the path's own
    steps, and the order is 3 or 4. Liu et al. 2022, arXiv:2202.09778.
    """

    start: str = setting("heun", choices=("heun", "runge_kutta"), help="method of the first step, or of three")
    compat: bool = setting(False, help="coefficients of equal steps, as published and in other programs; order 1")
    stochastic, evaluations, needs = False, 1, ()
    aliases = ("plms", "PNDMScheduler")

    @derived
    def order(self) -> int:
        return 1 if self.compat else 3 if self.start == "heun" else 4

    @derived
    def start_evaluations(self) -> int:
        return 1 if self.start == "heun" else 9

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        method, least = (METHODS["heun2"], 2) if self.start == "heun" else (METHODS["rk4"], 4)
        weights = equal_steps if self.compat else exact
        return (yield from multistep(x, path, NOISE, 4, method.tableau, weights, least))


def equal_steps(nodes: Sequence[float], z: float) -> list[float]:
    """Adams-Bashforth weights as if all steps were equal."""
    return exact([-float(i) for i in range(len(nodes))], 0.0)
