"""CFG++ for any sampler: the image from the guided prediction, the noise from the unconditional one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .derived import derived, inner
from .euler import Euler
from .protocols import Sampler
from .settings import setting, settings

if TYPE_CHECKING:
    from torch import Tensor

    from .path import Path
    from .protocols import Noise, Run

INSIDE = {
    f"{name}_cfg_pp": {"sampler": name}
    for name in (
        "euler_ancestral", "dpmpp_2m", "dpmpp_2s_ancestral", "res_multistep", "res_multistep_ancestral",
        "gradient_estimation",
    )
}  # fmt: skip


@settings
class CFGpp:
    """Guided x0 with unconditional noise: x_t = alpha_t x0 + sigma_t eps_uncond (for ``euler``, which is DDIM).

    The sampler inside is handed x + alpha_s (x0 - x0_uncond) for x, in which the noise beside the guided x0 is
    (x - alpha_s x0_uncond) / sigma_s = eps_uncond. So any sampler takes part: single-step methods at each stage that
    uses its x, ancestral ones with fresh noise, multistep ones with a history of guided predictions.

    Chung et al. 2024, arXiv:2406.08070, Algorithm 2. Its weight lambda in [0, 1] is the scale of ``cfg``,
    u + lambda (c - u): use scales of 0.2 to 2, not of 7. Each step moves x towards the condition by an amount of its
    own, so guidance grows with the number of steps; without guidance it is the sampler inside, with its order.
    """

    sampler: Sampler = setting(Euler(), kind="sampler", help="the method that takes the steps")
    order, stochastic, evaluations = inner("order"), inner("stochastic"), inner("evaluations")
    start_evaluations, evaluations_from_noise = inner("start_evaluations", 0), inner("evaluations_from_noise", 1)
    aliases = ("sample_euler_cfg_pp", "euler_cfg_pp")
    variants = INSIDE

    @derived
    def needs(self) -> tuple[str, ...]:
        return ("uncond", *self.sampler.needs)

    def __call__(self, x: Tensor, path: Path, noise: Noise) -> Run:
        run = self.sampler(x, path, noise)
        reply = None
        while True:
            try:
                x, s = run.send(reply)  # type: ignore[arg-type]
            except StopIteration as stop:
                return stop.value
            x, x0, uncond, *others = yield x, s
            reply = (x + (x0 - uncond) * s.alpha, x0, *others)
