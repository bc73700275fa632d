"""DPM++ 3M on the reverse-time SDE: x0 as a parabola in log-SNR through the last three predictions."""

from __future__ import annotations

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
                h = t.half_logsnr - s.half_logsnr
                _, linear, square = moments((1 + self.eta) * h, 3)
                (x0_1, at_1), h_1 = history[0], s.half_logsnr - history[0][1]
                slope = (x0 - x0_1) / h_1
                if len(history) > 1:
                    x0_2, at_2 = history[1]
                    second = (slope - (x0_1 - x0_2) / (at_1 - at_2)) / (s.half_logsnr - at_2)
                    slope = slope + second * h_1
                    x = x.add_(second, alpha=t.alpha * h * h * square * (0.5 if self.compat else 1.0))
                x = x.add_(slope, alpha=t.alpha * h * linear)
            if u:
                x = x.add_(noise(s, t), alpha=u * self.s_noise)
            if s.alpha:
                history = [(x0, s.half_logsnr), *history[:1]]
        return x
