"""UniPC: a multistep predictor whose step is corrected, without an evaluation of its own, by the next prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .bridge import bridge
from .derived import derived
from .linear_multistep import interpolate
from .phi import moment, phi
from .settings import setting, settings
from .sums import weighted

if TYPE_CHECKING:
    from torch import Tensor

    from .path import Path
    from .protocols import Noise, Run

VARIANTS = {"uni_pc": {"points": 3, "variant": "bh1"}, "uni_pc_bh2": {"points": 3}}


@settings
class UniPC:
    """Unified predictor-corrector on x0 in log-SNR: order points + 1 for one evaluation a step, up to 3.

    predictor    x_t = bridge(x_s, d),    d the mean over [s, t] of the polynomial through the last ``points`` x0
    corrector    x_t += (alpha_t - alpha_s sigma_t/sigma_s) (d' - d),    d' with the x0 predicted at t as one more point

    The last step is not corrected. As published, a slope through two points has the weight B(h) / 2 in place of the
    exact one, with B(h) = h ("bh1") or e^h - 1 ("bh2"); weights of more points are exact, so that the variants of
    points = 3 differ in the first steps alone. The corrector moves the x that the host hands back: its edits stay.
    Zhao et al. 2023, arXiv:2302.04867, Algorithms 1 and 2.
    """

    points: int = setting(2, low=1, high=3, help="predictions used by the predictor, the paper's order")
    variant: str = setting("bh2", choices=("bh1", "bh2"), help="weight of a slope through two points")
    stochastic, evaluations, needs = False, 1, ()
    aliases = ("UniPCMultistepScheduler",)
    variants = VARIANTS

    @derived
    def order(self) -> int:
        return min(self.points + 1, 3)

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        history: list[tuple[float, Tensor]] = []  # half log-SNR and x0, the newest first
        last = predicted = None
        for s, t in path:
            x, x0 = yield x, s
            here = s.half_logsnr
            if last is not None and predicted is not None:
                there = history[0][0]
                corrected = self._mean([(here, x0), *history], there, here - there)
                x = x.add(corrected - predicted, alpha=s.alpha - last.alpha * s.sigma / last.sigma)
            if not (s.alpha and t.sigma):
                x = bridge(x, x0, s, t)
                continue
            history = [(here, x0), *history[: self.points - 1]]
            last, predicted = s, self._mean(history, here, t.half_logsnr - here)
            x = bridge(x, predicted, s, t)
        return x

    def _mean(self, known: Sequence[tuple[float, Tensor]], start: float, h: float) -> Tensor:
        """The mean over the step from start to start + h of the polynomial through the known (half log-SNR, x0)."""
        moments = [moment(i, -h) for i in range(len(known))]
        if len(known) == 2:
            moments[1] = 0.5 if self.variant == "bh2" else 0.5 / phi(1, -h)
        return weighted([x0 for _, x0 in known], interpolate([(place - start) / h for place, _ in known], moments))
