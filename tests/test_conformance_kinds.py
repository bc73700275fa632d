"""The kit for schedules, spacings and guidance: ours pass, each deliberately broken one fails the check made for it."""

import dataclasses
import math
import sys

import pytest
import torch

from sigmabench.eval import cli
from sigmabench.plugins.registry import catalogue
from sigmabench.samplers import Level
from sigmabench.samplers.conformance.trial import label
from sigmabench.samplers.level import CLEAN, PURE_NOISE, variance_preserving
from sigmabench.samplers.testing import CHECKS, check_guidance, check_schedule, check_spacing, checks, parametrize

KINDS = ("schedule", "spacing", "guidance")
MEANT = {
    "guidance": {
        "CFGZeroStar": {"check_equal_predictions": "the first velocities are 0, whatever is predicted"},
        "Composable": {"check_scale_one": "at scale 1 the other conditions remain"},
        "DynamicThreshold": {"check_equal_predictions": "it clips what is outside of [-1, 1]"},
        "EpsScaling": {"check_equal_predictions": "it scales eps"},
        "Momentum": {"check_equal_predictions": "it leads away from what was predicted at the level before"},
        "SAG": {"check_equal_predictions": "it asks about a blurred image, where the answer is another"},
    }
}


def built_in(kind):
    return [entry.cls() for entry in catalogue(kind).values() if entry.plugin == "builtin"]


@parametrize(built_in("schedule"), kind="schedule")
def test_a_built_in_schedule_passes(check):
    check()


@parametrize(built_in("spacing"), kind="spacing")
def test_a_built_in_spacing_passes(check):
    check()


@parametrize(built_in("guidance"), MEANT["guidance"], kind="guidance")
def test_a_built_in_guidance_passes(check):
    check()


@dataclasses.dataclass(frozen=True)
class Good:
    """sigma/alpha = t / (1 - t), variance preserving, exact."""

    timesteps = 1000

    def level(self, t):
        return variance_preserving(t / (1 - t) if t < 1 else math.inf) if t else CLEAN

    def time(self, level):
        return level.sigma / (level.alpha + level.sigma)

    def project(self, level):
        return variance_preserving(level.ve_sigma)


class GridOfFloats(Good):
    timesteps = 1000.0


class Tensors(Good):
    def level(self, t):
        return Level(torch.tensor(1 - t), torch.tensor(t))


class StartsNoisy(Good):
    def level(self, t):
        return super().level(max(t, 1e-4))


class GrowsThenStops(Good):
    def level(self, t):
        return super().level(min(t, 0.5))


class TimeOfSigma(Good):
    """Right for its own levels, wrong for the same levels in another scale."""

    def time(self, level):
        return level.sigma / (math.sqrt(max(1 - level.sigma**2, 0.0)) + level.sigma)


class TimeIsRounded(Good):
    def time(self, level):
        return round(super().time(level) * 1000) / 1000


class ProjectForgets(Good):
    def project(self, level):
        return level


class ProjectMoves(Good):
    """Right for its own levels in two scales, and for no others."""

    def project(self, level):
        return variance_preserving(level.sigma) if level.alpha == 2 else super().project(level)


class AlmostPureNoise(Good):
    def level(self, t):
        return super().level(t) if t < 1 else Level(0.0, 2.0)


def steps_of(schedule, steps):
    return [schedule.level(1 - i / steps) for i in range(steps)] + [CLEAN]


@dataclasses.dataclass(frozen=True)
class OneTooFew:
    def __call__(self, schedule, steps):
        return steps_of(schedule, steps)[1:] if steps > 1 else steps_of(schedule, steps)


@dataclasses.dataclass(frozen=True)
class NeedsTwo:
    def __call__(self, schedule, steps):
        return [schedule.level(1 - i / (steps - 1)) for i in range(steps)] + [CLEAN]


@dataclasses.dataclass(frozen=True)
class NeverOneStep:
    def __call__(self, schedule, steps):
        if steps == 1:
            raise ValueError("two steps at least are needed")
        return steps_of(schedule, steps)


@dataclasses.dataclass(frozen=True)
class SaysNothing:
    def __call__(self, schedule, steps):
        if steps == 37:
            raise ValueError
        return steps_of(schedule, steps)


@dataclasses.dataclass(frozen=True)
class Rounded:
    def __call__(self, schedule, steps):
        return [schedule.level(math.ceil((1 - i / steps) * 8) / 8) for i in range(steps)] + [CLEAN]


@dataclasses.dataclass(frozen=True)
class ExplodingScale:
    def __call__(self, schedule, steps):
        first = min(schedule.level(1.0).ve_sigma, 80.0)
        return [Level(1.0, first * (1 - i / steps)) for i in range(steps + 1)]


@dataclasses.dataclass(frozen=True)
class StopsShort:
    def __call__(self, schedule, steps):
        return [schedule.level(1 - i / (steps + 1)) for i in range(steps + 1)]


@dataclasses.dataclass(frozen=True)
class Jitter:
    def __call__(self, schedule, steps):
        levels = steps_of(schedule, steps)
        middle = schedule.level(0.01 * torch.rand(1).item() / steps + 0.5 / steps)
        return [*levels[:-2], middle, CLEAN] if steps > 1 else levels


@dataclasses.dataclass(frozen=True)
class Plain:
    """uncond + scale (cond - uncond)."""

    scale: float = 5.0

    def branches(self, level):
        return ("cond", "uncond")

    def start(self):
        return self.combine

    def combine(self, x, level, predictions):
        return predictions["uncond"].lerp(predictions["cond"], self.scale)


class BranchesInAList(Plain):
    def branches(self, level):
        return ["cond", "uncond"]


class TakesWhatItDidNotAskFor(Plain):
    def branches(self, level):
        return ("cond",) if level.ve_sigma > 10 else ("cond", "uncond")


class NaNAtPureNoise(Plain):
    def combine(self, x, level, predictions):
        eps = (x - level.sigma * predictions["cond"]) / torch.tensor(level.alpha, dtype=x.dtype)
        return predictions["cond"] + 0 * eps


class NormOfTheBatch(Plain):
    def combine(self, x, level, predictions):
        guided = super().combine(x, level, predictions)
        return guided * predictions["cond"].norm() / guided.norm()


class HistoryOnTheClass(Plain):
    seen = []  # noqa: RUF012

    def combine(self, x, level, predictions):
        self.seen.append(predictions["cond"].mean())
        return super().combine(x, level, predictions) + 0.1 * (self.seen[-1] - self.seen[0]) + 0.01 * len(self.seen)


class InPlace(Plain):
    def combine(self, x, level, predictions):
        return predictions["uncond"].lerp_(predictions["cond"], self.scale)


class WeightsAddToTwo(Plain):
    def combine(self, x, level, predictions):
        return super().combine(x, level, predictions) + predictions["cond"]


class OtherConvention(Plain):
    """cond + scale (cond - uncond)."""

    def combine(self, x, level, predictions):
        return predictions["uncond"].lerp(predictions["cond"], 1 + self.scale)


BROKEN = [
    ("schedule", GridOfFloats(), "check_timesteps", r"timesteps is 1000\.0, must be an int from 1"),
    ("schedule", Tensors(), "check_levels", r"level\(0\) is .*tensor.*finite Python floats.*float\(\)"),
    ("schedule", StartsNoisy(), "check_levels", r"level\(0\) is .*, must be clean: sigma = 0"),
    ("schedule", GrowsThenStops(), "check_noise_grows", r"does not grow from t = 0\.5 \(1\) to t = 0\.51"),
    ("schedule", TimeIsRounded(), "check_inverse", r"time\(level\(.*\)\) is .* away .* must invert level"),
    ("schedule", TimeOfSigma(), "check_inverse", r"time of 3 \* level\(.*\) .* sigma/alpha alone"),
    ("schedule", ProjectForgets(), "check_project", r"project\(3 \* level\(.*\)\) is .* in its own scale"),
    ("schedule", ProjectMoves(), "check_project", r"project\(\(2\.0, 0\.6\)\) is .* another sigma/alpha"),
    ("schedule", AlmostPureNoise(), "check_pure_noise", r"level\(1\) is \(0\.0, 2\.0\); pure noise is \(0\.0, 1\.0\)"),
    ("spacing", OneTooFew(), "check_count", r"2 steps on ScaledLinear gave 2 levels, expected 3"),
    ("spacing", NeedsTwo(), "check_refusals", r"1 steps on .* raised ZeroDivisionError.*refuse with a ValueError"),
    ("spacing", NeverOneStep(), "check_refusals", r"refuses 1 step on every schedule"),
    ("spacing", SaysNothing(), "check_refusals", r"37 steps .* without a reason"),
    ("spacing", Rounded(), "check_decreasing", r"10 steps on ScaledLinear: step \d goes from .* does not reduce"),
    ("spacing", ExplodingScale(), "check_scale", r"level 0 of 1 steps on ScaledLinear is \(1\.0, 14\.6.*project"),
    ("spacing", StopsShort(), "check_clean_end", r"1 steps on ScaledLinear end at .*, expected \(1\.0, 0\.0\)"),
    ("spacing", Jitter(), "check_repeats", r"2 steps on ScaledLinear gave two different answers"),
    ("guidance", BranchesInAList(), "check_branches", r"branches\(.*\) is \['cond', 'uncond'\], must be a tuple"),
    ("guidance", TakesWhatItDidNotAskFor(), "check_uses_its_branches", r"used prediction 'uncond' at \(0\.0, 1\.0\)"),
    ("guidance", NaNAtPureNoise(), "check_uses_its_branches", r"not finite at \(0\.0, 1\.0\).*ordinary levels"),
    ("guidance", NormOfTheBatch(), "check_images_apart", r"image 0 alone differs by .* each image"),
    ("guidance", HistoryOnTheClass(), "check_fresh_state", r"a second run differs from the first"),
    ("guidance", InPlace(), "check_leaves_tensors_alone", r"uncond was changed in place"),
    ("guidance", WeightsAddToTwo(), "check_equal_predictions", r"weights must add to 1"),
    ("guidance", OtherConvention(), "check_scale_one", r"with scale = 1 it answers .* so that 1 is none"),
]


@pytest.mark.parametrize(
    ("kind", "plugin", "check", "message"), BROKEN, ids=[f"{type(p).__name__}-{c}" for _, p, c, _ in BROKEN]
)
def test_a_broken_plugin_fails_the_check_made_for_it(kind, plugin, check, message):
    with pytest.raises(AssertionError, match=f"^{type(plugin).__name__}.*: .*{message}"):
        dict(checks(plugin, kind))[check](plugin)


def test_every_check_is_failed_by_some_broken_plugin():
    everything = {(kind, check.__name__) for kind in KINDS for check in CHECKS[kind]}
    assert everything == {(kind, check) for kind, _, check, _ in BROKEN}


def test_the_good_ones_the_broken_are_made_from_pass():
    check_schedule(Good())
    check_guidance(Plain())
    assert Good().level(1.0) == PURE_NOISE


def test_all_failures_are_listed_with_the_names_of_their_checks():
    with pytest.raises(AssertionError) as caught:
        check_spacing(OneTooFew())
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == ["check_count"]
    with pytest.raises(AssertionError, match="check_count: passed, but was expected to fail: because"):
        check_spacing(StopsShort(), {"check_count": "because", "check_clean_end": "it is a part of a path"})
    with pytest.raises(ValueError, match="names 'check_order', which is none of check_timesteps"):
        check_schedule(Good(), {"check_order": "of samplers"})


def test_labels_are_those_of_samplers():
    assert label(Plain(scale=2.0)) == "Plain(scale=2.0)"


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["sigmabench", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    out, err = capsys.readouterr()
    return end.value.code or 0, out, err


def test_the_command_finds_the_kind_and_asks_where_several_have_the_name(monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, "check", "karras(rho=5)")
    assert (code, "pass check_decreasing" in out) == (0, True)
    code, _, err = run(monkeypatch, capsys, "check", "laplace")
    assert (code, "is a schedule and a spacing; add --kind schedule or --kind spacing" in err) == (2, True)
    code, out, _ = run(monkeypatch, capsys, "check", "laplace", "--kind", "schedule")
    assert (code, "pass check_inverse" in out) == (0, True)
    code, _, err = run(monkeypatch, capsys, "check", "fd")
    assert (code, "'fd' is a metric, which has no checks; those that have: sampler" in err) == (2, True)
    code, _, err = run(monkeypatch, capsys, "check", "fd", "--kind", "metric")
    assert (code, "kind 'metric' has no checks; those that have: sampler, schedule, spacing" in err) == (2, True)
