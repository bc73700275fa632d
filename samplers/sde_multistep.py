"""DPM++ 3M on the reverse-time SDE: x0 as a parabola in log-SNR through the last three predictions."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from .bridge import bridge
from .reverse_sde import moments, reverse_std
from .settings import setting, settings

if TYPE_CHECKING:
    from torch import Tensor

    from .path import Path
    from .protocols import Noise, Run


@settings
class DPMpp3MSDE:
    """DPM-Solver++(3M) SDE: two-step memory, noise scaled by eta.

    x_t = bridge(x, x0; u) + alpha_t (w_1 h x0' + w_2 h^2 x0''/2) + s_noise * u * z,    w_k = moments of (1 + eta) h

    with x0' and x0'' the derivatives in log(alpha/sigma) of the parabola. It is k-diffusion's ``sample_dpmpp_3m_sde``
    (Crowson 2022) after Lu et al. 2022, arXiv:2211.01095, with the curvature that makes it exact for parabolas; there
    and in all copies it is half as large, and here with ``compat``. The distribution is second order. With eta = 0 the
    formula is third order, the run a little less as its first two steps know less.
    """

    eta: float = setting(1.0, low=0.0, help="amount of noise; 0 is the ODE, 1 the reverse SDE")
    s_noise: float = setting(1.0, low=0.0, help="scale of the added noise; other than 1 changes the distribution")
    compat: bool = setting(False, help="half the curvature, as in k-diffusion")
    order, stochastic, evaluations, needs = 2, True, 1, ()
    aliases = ("sample_dpmpp_3m_sde", "dpmpp_3m_sde_gpu")

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        history: list[tuple[Tensor, float]] = []  # (x0, log(alpha/sigma)), newest first
        for s, t in path:
            x, x0 = yield x, s
            u = reverse_std(s, t, self.eta)
            x = bridge(x, x0, s, t, u)
            if history and t.sigma:
                places = tuple(at for _, at in history)
                slopes = _slopes(s.half_logsnr, t.half_logsnr, places, self.eta, 0.5 if self.compat else 1.0)
                for known, slope in zip((x0, *(earlier for earlier, _ in history)), slopes, strict=True):
                    x.add_(known, alpha=t.alpha * slope)
            if u:
                x = x.add_(noise(s, t), alpha=u * self.s_noise)
            if s.alpha:
                history = [(x0, s.half_logsnr), *history[:1]]
        return x


@lru_cache(maxsize=2**12)
def _slopes(here: float, there: float, places: tuple[float, ...], eta: float, curvature: float) -> list[float]:
    """What x0 at ``here`` and at the places before count in w_1 h x0' + w_2 h^2 x0''/2; kept for the next batch."""
    h = there - here
    _, linear, square = moments((1 + eta) * h, 3)
    h_1 = here - places[0]
    if len(places) == 1:
        return [h * linear / h_1, -h * linear / h_1]
    h_2, reach = places[0] - places[1], here - places[1]
    second = (1 / (h_1 * reach), -(1 / h_1 + 1 / h_2) / reach, 1 / (h_2 * reach))  # of x0''/2
    first = (1 / h_1 + second[0] * h_1, -1 / h_1 + second[1] * h_1, second[2] * h_1)
    return [h * linear * a + h * h * square * curvature * b for a, b in zip(first, second, strict=True)]
