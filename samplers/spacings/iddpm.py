"""Equal strides of the time of another schedule."""

from __future__ import annotations

from ..level import Level
from ..protocols import NoiseSchedule
from ..schedules.beta import Cosine
from ..settings import setting, settings
from .spread import ends, spread


@settings
class IDDPM:
    """The time of another schedule linear from sigma_max to sigma_min, then clean; improved DDPM's cosine by default.

    Karras et al. 2022, arXiv:2206.00364, table 1, whose u_j are the levels of ``cosine`` (C1 = 0.001 caps the betas at
    0.999, C2 = 0.008 is its s); theirs are rounded to its table. The ends are those of ``karras``, which is this with
    ``schedule=edm``; ``exponential`` is it with ``ve``, ``vp`` with ``vp_sde``, ``kl_optimal`` with ``trigflow``.
    """

    schedule: NoiseSchedule = setting(Cosine(), kind="schedule", help="whose time is cut in equal parts")
    sigma_min: float | None = setting(None, low=1e-6, help="last noisy sigma/alpha; default: cleanest trained level")
    sigma_max: float | None = setting(None, low=1e-6, help="first finite sigma/alpha; default: the noisiest level")

    def __call__(self, schedule: NoiseSchedule, steps: int) -> list[Level]:
        _, high = ends(schedule, self.sigma_min, self.sigma_max)
        last = self.schedule.level(1.0)
        if high * last.alpha > last.sigma * (1 + 1e-9):
            raise ValueError(
                f"sigma_max = {high:.4g} lies beyond the {last.ve_sigma:.4g} of the schedule whose time is asked for; "
                "give a lower sigma_max, or use karras or trailing"
            )
        return spread(schedule, steps, self.sigma_min, self.sigma_max, self._curve)

    def _curve(self, high: float, low: float, position: float) -> float:
        start, end = (self.schedule.time(Level(1.0, sigma)) for sigma in (high, low))
        return self.schedule.level(start + position * (end - start)).ve_sigma
