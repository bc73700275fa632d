"""The kit is right about wrong samplers: each of these is broken in one way and must fail the check made for it."""

import dataclasses
import itertools
import math
from typing import ClassVar

import pytest
import torch

from sigmabench.samplers import Euler, EulerAncestral, Heun
from sigmabench.samplers.bridge import bridge
from sigmabench.samplers.conformance import accuracy, contract
from sigmabench.samplers.conformance.trial import label
from sigmabench.samplers.testing import checks


class Declared:
    """Class attributes of a plain first-order sampler."""

    order: ClassVar[int] = 1
    stochastic: ClassVar[bool] = False
    evaluations: ClassVar[int] = 1
    needs: ClassVar[tuple[str, ...]] = ()


@dataclasses.dataclass(frozen=True)
class WrongCoefficient(Declared):
    def __call__(self, x, path, noise):
        for s, t in path:
            x, x0 = yield x, s
            keep = t.sigma / s.sigma
            x = keep * x + (t.alpha - keep * s.alpha) * x0 * (0.98 if t.sigma else 1)
        return x


@dataclasses.dataclass(frozen=True)
class EqualStepsOnly(Declared):
    """DPM++ 2M that forgets h / h_last: second order on equal steps."""

    order: ClassVar[int] = 2

    def __call__(self, x, path, noise):
        last = None
        for s, t in path:
            x, x0 = yield x, s
            d = x0 + (x0 - last) / 2 if last is not None and t.sigma else x0
            x, last = bridge(x, d, s, t), x0
        return x


@dataclasses.dataclass(frozen=True)
class ClaimsTooMuch(Declared):
    order: ClassVar[int] = 2

    def __call__(self, x, path, noise):
        return (yield from Euler()(x, path, noise))


@dataclasses.dataclass(frozen=True)
class ClaimsTooLittle(Declared):
    evaluations: ClassVar[int] = 2

    def __call__(self, x, path, noise):
        return (yield from Heun()(x, path, noise))


@dataclasses.dataclass(frozen=True)
class WrongEvaluations(Declared):
    order: ClassVar[int] = 2

    def __call__(self, x, path, noise):
        return (yield from Heun()(x, path, noise))


@dataclasses.dataclass(frozen=True)
class StateOnTheObject(Declared):
    order: ClassVar[int] = 2
    history: list = dataclasses.field(default_factory=list)

    def __call__(self, x, path, noise):
        self.history.clear()
        for s, t in path:
            x, x0 = yield x, s
            h, d = t.half_logsnr - s.half_logsnr, x0
            if self.history and t.sigma:
                x0_last, h_last = self.history[-1]
                d = x0 + (x0 - x0_last) * (h / (2 * h_last))
            self.history.append((x0, h))
            x = bridge(x, d, s, t)
        return x


@dataclasses.dataclass(frozen=True)
class StateNeverReset(Declared):
    history: list = dataclasses.field(default_factory=list)

    def __call__(self, x, path, noise):
        for s, t in path:
            x, x0 = yield x, s
            self.history.append(x0)
            momentum = 1e-3 * (self.history[-1] - self.history[max(-2, -len(self.history))]) if t.sigma else 0
            x = bridge(x, x0, s, t) + momentum
        return x


@dataclasses.dataclass(frozen=True)
class IgnoresTheHost(Declared):
    def __call__(self, x, path, noise):
        for s, t in path:
            _, x0 = yield x, s
            x = bridge(x, x0, s, t)
        return x


@dataclasses.dataclass(frozen=True)
class VarianceExplodingNoise(Declared):
    """k-diffusion's ancestral step on any process: down along the slope, up by noise, without the change of scale."""

    stochastic: ClassVar[bool] = True

    def __call__(self, x, path, noise):
        for s, t in path:
            x, x0 = yield x, s
            up = t.sigma * math.sqrt(max(0.0, 1 - (t.sigma / s.sigma) ** 2))
            down = math.sqrt(t.sigma**2 - up**2)
            x = x + (x - x0) / s.sigma * (down - s.sigma) + noise(s, t) * up
        return x


@dataclasses.dataclass(frozen=True)
class SigmaEulerOnAnyScale(Declared):
    """(x - x0) / sigma is the slope for VE and flow, not for a variance preserving process."""

    def __call__(self, x, path, noise):
        for s, t in path:
            x, x0 = yield x, s
            x = x + (x - x0) / s.sigma * (t.sigma - s.sigma)
        return x


@dataclasses.dataclass(frozen=True)
class NoiseTwiceTooStrong(Declared):
    stochastic: ClassVar[bool] = True

    def __call__(self, x, path, noise):
        return (yield from EulerAncestral(s_noise=2.0)(x, path, noise))


@dataclasses.dataclass(frozen=True)
class HiddenNoise(Declared):
    def __call__(self, x, path, noise):
        return (yield from EulerAncestral()(x, path, noise))


@dataclasses.dataclass(frozen=True)
class OwnNoise(Declared):
    stochastic: ClassVar[bool] = True

    def __call__(self, x, path, noise):
        return (yield from EulerAncestral()(x, path, lambda s, t: torch.randn_like(x)))


@dataclasses.dataclass(frozen=True)
class NoiseOfAnyInterval(Declared):
    """Right in distribution, but no two step counts see the same noise."""

    stochastic: ClassVar[bool] = True

    def __call__(self, x, path, noise):
        s, t = path.levels[0], path.levels[-1]
        return (yield from EulerAncestral()(x, path, lambda *_: noise(s, t)))


@dataclasses.dataclass(frozen=True)
class SinglePrecision(Declared):
    def __call__(self, x, path, noise):
        for s, t in path:
            x, x0 = yield x, s
            x = bridge(x, x0, s, t).float()
        return x


@dataclasses.dataclass(frozen=True)
class RoundsInside(Declared):
    def __call__(self, x, path, noise):
        for s, t in path:
            x, x0 = yield x, s
            x = bridge(x.float(), x0.float(), s, t).to(x.dtype)
        return x


@dataclasses.dataclass(frozen=True)
class NaNAtPureNoise(Declared):
    """The exponential form with log(alpha / sigma) = -inf: inf times zero."""

    def __call__(self, x, path, noise):
        for s, t in path:
            x, x0 = yield x, s
            e = math.exp(s.half_logsnr - t.half_logsnr)
            scaled = x / s.alpha if s.alpha else x * math.inf
            x = t.alpha * (e * t.sigma * 0 + scaled * (t.ve_sigma / s.ve_sigma) + (1 - e) * x0)
        return x


@dataclasses.dataclass(frozen=True)
class ExtrapolatesToClean(Declared):
    """History in the last step, where the step in log-SNR is infinite; it keeps the last finite ratio."""

    order: ClassVar[int] = 2

    def __call__(self, x, path, noise):
        last = None
        for s, t in path:
            x, x0 = yield x, s
            h, d = t.half_logsnr - s.half_logsnr, x0
            if last:
                x0_last, h_last = last
                d = x0 + (x0 - x0_last) * (h / (2 * h_last) if t.sigma else 0.5)
            x, last = bridge(x, d, s, t), (x0, h)
        return x


@dataclasses.dataclass(frozen=True)
class ReturnsX0(Declared):
    def __call__(self, x, path, noise):
        for s, t in path:
            x, x0 = yield x, s
            x = bridge(x, x0, s, t)
        return x0


@dataclasses.dataclass(frozen=True)
class CouplesTheBatch(Declared):
    def __call__(self, x, path, noise):
        for s, t in path:
            x, x0 = yield x, s
            x = bridge(x, x0, s, t)
            x = x + 0.01 * (t.sigma > 0) * (s.sigma - t.sigma) ** 2 * x.mean()
        return x


@dataclasses.dataclass(frozen=True)
class HoldsNoGrad(Declared):
    def __call__(self, x, path, noise):
        with torch.no_grad():
            return (yield from Euler()(x, path, noise))


@dataclasses.dataclass(frozen=True)
class ImagesOnly(Declared):
    """A statistic over the last dimension, where it should be over none or the whole image."""

    def __call__(self, x, path, noise):
        for s, t in path:
            x, x0 = yield x, s
            x = bridge(x, x0, s, t)
            if x.ndim > 1:
                x = x + (s.sigma - t.sigma) ** 2 * x.mean(-1, keepdim=True) * (t.sigma > 0)
        return x


@dataclasses.dataclass(frozen=True)
class DeafToTolerance(Declared):
    """Steps of its own, as error control would choose them, but always the same."""

    rtol: float = 0.1
    atol: float = 0.1
    evaluations: ClassVar[None] = None

    def __call__(self, x, path, noise):
        for s, t in path:
            x, x0 = yield x, s
            x = bridge(x, x0, s, t)
        return x


@dataclasses.dataclass(frozen=True)
class InPlace(Declared):
    def __call__(self, x, path, noise):
        for s, t in path:
            x, x0 = yield x, s
            keep = t.sigma / s.sigma
            x.mul_(keep).add_(x0, alpha=t.alpha - keep * s.alpha)
        return x


@dataclasses.dataclass(frozen=True)
class LooksAtTheEnd(Declared):
    def __call__(self, x, path, noise):
        for s, t in path:
            x, x0 = yield x, s
            x = bridge(x, x0, s, t)
        if not t.sigma:
            x, x0 = yield x, t
        return x


@dataclasses.dataclass(frozen=True)
class NeedsAList(Declared):
    needs: ClassVar[list[str]] = ["uncond"]

    def __call__(self, x, path, noise):
        return (yield from Euler()(x, path, noise))


@dataclasses.dataclass(frozen=True)
class FirstStepOnly(Declared):
    def __call__(self, x, path, noise):
        levels = path.levels
        x, x0 = yield x, levels[0]
        x = bridge(x, x0, levels[0], levels[1])
        for s, t in itertools.pairwise(levels[1:]):
            x, x0 = yield x, s
            x = bridge(x, x0, s, t)
        return x * (1 if len(levels) > 2 else 0.5)


BROKEN = [
    (
        WrongCoefficient(),
        "check_order",
        r"converges with order -?0\.\d+ on a VE path, declares 1 .* coefficient is wrong",
    ),
    (
        EqualStepsOnly(),
        "check_order",
        r"converges with order 0\.\d+ on a VE path, declares 2 .* only right for equal steps",
    ),
    (ClaimsTooMuch(), "check_order", r"converges with order (1\.0|0\.9)\d on a VE path, declares 2"),
    (ClaimsTooLittle(), "check_order", r"converges with order 2\.0\d, declares 1; declare order = 2"),
    (WrongEvaluations(), "check_evaluations", r"6 steps between finite levels took 12 evaluations, expected 6"),
    (StateOnTheObject(), "check_fresh_state", r"two runs of one object change each other's results"),
    (StateNeverReset(), "check_fresh_state", r"the same call twice gives two results; state is kept on the object"),
    (IgnoresTheHost(), "check_host_edits", r"edited at its first evaluation differs by .* `x, x0 = yield x, s`"),
    (VarianceExplodingNoise(), "check_moments", r"weak order -?0\.\d+ on a VP path, declares 1 .* the noise added"),
    (
        VarianceExplodingNoise(),
        "check_scales_agree",
        r"VE and VP paths of the same sigma/alpha differ by .* one process",
    ),
    (SigmaEulerOnAnyScale(), "check_scales_agree", r"VE and VP paths of the same sigma/alpha differ"),
    (NoiseTwiceTooStrong(), "check_moments", r"weak order -?0\.\d+ on a VE path"),
    (HiddenNoise(), "check_declarations", r"asked for noise 4 times in 4 steps, but declares stochastic = False"),
    (OwnNoise(), "check_batch_invariance", r"image 0 of a batch of 4 differs .* noise is drawn elsewhere"),
    (NoiseOfAnyInterval(), "check_noise_path", r"one path of noise differ by .* noise\(s, t\) must be asked for"),
    (SinglePrecision(), "check_dtype", r"a start in torch.float64 runs in .*float32.*, expected torch.float64"),
    (RoundsInside(), "check_dtype", r"a float64 state was rounded to float32 on the way"),
    (RoundsInside(), "check_scales_agree", r"loses float64 precision"),
    (
        NaNAtPureNoise(),
        "check_pure_noise_start",
        r"order nan, expected 1 at least, .* from alpha = 0; .* one-evaluation",
    ),
    (ExtrapolatesToClean(), "check_clean_end", r"to sigma = 0 ends .* away from the last x0; .* history has no weight"),
    (ReturnsX0(), "check_split_path", r"ends at sigma/alpha = 2 returns something 1.8 away .* not x0"),
    (CouplesTheBatch(), "check_batch_invariance", r"image 0 of a batch of 4 differs .* over the batch"),
    (HoldsNoGrad(), "check_grad_mode", r"grad mode turned from True to False in the host; no context manager"),
    (ImagesOnly(), "check_shapes", r"x of shape \(8, 3\) ends .* away from the same numbers in one flat batch"),
    (DeafToTolerance(), "check_error_control", r"evaluations on a VE path; the estimate does not follow the error"),
    (InPlace(), "check_leaves_tensors_alone", r"was changed in place"),
    (LooksAtTheEnd(), "check_evaluations", r"6 steps to sigma = 0 took 7 evaluations, expected 6"),
    (NeedsAList(), "check_declarations", r"needs is \['uncond'\], must be a class attribute of type tuple"),
    (FirstStepOnly(), "check_one_step_path", r"one step from \(0.0, 1.0\) to clean is .* away from x0"),
]


@pytest.mark.parametrize(("sampler", "check", "message"), BROKEN, ids=[f"{label(s)}-{c}" for s, c, _ in BROKEN])
def test_a_broken_sampler_fails_the_check_made_for_it(sampler, check, message):
    with pytest.raises(AssertionError, match=f"^{type(sampler).__name__}.*: .*{message}"):
        dict(checks(sampler))[check](sampler)


def test_every_check_is_failed_by_some_broken_sampler():
    everything = {check.__name__ for check in (*accuracy.CHECKS, *contract.CHECKS)}
    assert everything == {check for _, check, _ in BROKEN}
