"""Methods that reuse earlier predictions: two orders for the price of one evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .bridge import shares
from .settings import settings
from .sums import pair

if TYPE_CHECKING:
    from torch import Tensor

    from .path import Path
    from .protocols import Noise, Run


@settings
class DPMpp2M:
    """DPM-Solver++(2M): x0 extrapolated linearly in log-SNR from the last two predictions.

    d = x0 + h / (2 h_last) * (x0 - x0_last),    x_t = bridge(x, d),    h = step in log(alpha/sigma)

    First order on the first step, after a start at alpha = 0 (h_last is infinite, so the history has no weight) and on
    a last step to sigma = 0. Lu et al. 2022, arXiv:2211.01095, Algorithm 2.
    """

    order, stochastic, evaluations, needs = 2, False, 1, ()
    aliases = ("sample_dpmpp_2m", "DPMSolverMultistepScheduler")

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        last = None
        for s, t in path:
            x, x0 = yield x, s
            h, (keep, share), slope = t.half_logsnr - s.half_logsnr, shares(s, t), 0.0
            if last and t.sigma:
                slope = 0.5 * h / last[1]
            x = pair(x, x0, keep, share * (1 + slope))
            if last and slope:
                x.add_(last[0], alpha=-share * slope)
            last = (x0, h)
        return x
