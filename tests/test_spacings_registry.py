"""What every registered spacing promises on every registered schedule; a new one is included by being registered."""

import math

import pytest

from sigmabench.plugins.registry import build, catalogue
from sigmabench.samplers import Path
from sigmabench.samplers.level import CLEAN, PURE_NOISE
from sigmabench.samplers.testing import label

TEXTS = (*catalogue("schedule"), "flow(shift=3)", "zero_terminal_snr(linear)", "edm_discrete(cosine)")
SCHEDULES = [build("schedule", text) for text in TEXTS]
COUNTS = [*range(1, 13), 30, 60, 97, 139, 333, 1000]

WANT_SIGMA_MAX = {"karras", "exponential", "polyexponential", "vp", "iddpm", "karras_exponential"}
"""Refuse alpha = 0 until they are told the first finite sigma."""
START_BELOW = {"leading", "ddim_uniform"}
"""Their first level is not the schedule's: refuse alpha = 0."""
FOR_FLOW = {"ltxv", "flux2"}
"""Refuse all but schedules that end at alpha = 0."""


def accepted(name, schedule):
    """The text of a spacing that this schedule takes, or none."""
    noise, grid = schedule.level(1.0) == PURE_NOISE, schedule.timesteps
    if (name in START_BELOW and (noise or grid < 1000)) or (name in FOR_FLOW and not noise):
        return None
    if name == "ays":
        return name if 14.5 < schedule.level(1.0).ve_sigma < 14.75 else None
    if name == "tabulated":
        high = 20.0 if noise else schedule.level(1.0).ve_sigma
        return f"tabulated(sigmas=({high!r}, {0.4 * high!r}, {0.1 * high!r}, {0.03 * high!r}))"
    settings = {"sd_turbo": "(grid=1000)", "simple": "(grid=1000)"}
    return name + ("(sigma_max=80)" if name in WANT_SIGMA_MAX and noise else settings.get(name, ""))


CASES = [(name, schedule) for name in catalogue("spacing") for schedule in SCHEDULES]
TAKEN = [(accepted(name, schedule), schedule) for name, schedule in CASES if accepted(name, schedule)]
REFUSED = [(name, schedule) for name, schedule in CASES if accepted(name, schedule) != name]


@pytest.mark.parametrize(("text", "schedule"), TAKEN, ids=label)
def test_any_number_of_steps_gives_as_many_from_the_first_level_to_clean(text, schedule):
    spacing, top = build("spacing", text), schedule.level(1.0)
    for steps in COUNTS[:-1] if text == "ddim_uniform" else COUNTS:
        levels = spacing(schedule, steps)
        assert len(Path(levels)) == steps
        assert levels[-1] == CLEAN
        assert levels[0] == pytest.approx(top, rel=1e-14) or text in START_BELOW
        if steps <= 12:
            assert all(level == pytest.approx(schedule.project(level), rel=1e-12, abs=1e-15) for level in levels)
        assert top.alpha or (levels[0] == PURE_NOISE and levels[1].alpha > 0)


@pytest.mark.parametrize(("name", "schedule"), REFUSED, ids=label)
def test_what_does_not_fit_is_refused_with_a_remedy(name, schedule):
    if name in {"sd_turbo", "simple", "tabulated"}:
        return  # their settings were changed for the number of steps, or the range, alone
    with pytest.raises(ValueError, match=r"use |give sigma_max"):
        build("spacing", name)(schedule, 20)


@pytest.mark.parametrize("name", catalogue("spacing"))
@pytest.mark.parametrize("steps", [0, -1])
def test_less_than_one_step_is_refused(name, steps):
    schedule = build("schedule", "flow" if name in FOR_FLOW else "scaled_linear")
    with pytest.raises(ValueError, match="step"):
        Path(build("spacing", name)(schedule, steps))


@pytest.mark.parametrize("schedule", SCHEDULES, ids=label)
def test_a_schedule_ends_at_pure_noise_exactly_or_well_before(schedule):
    last = schedule.level(1.0)
    assert last == PURE_NOISE or last.alpha > 1e-6 * last.sigma
    assert math.isfinite(schedule.level(0.999).ve_sigma)
