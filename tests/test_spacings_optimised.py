"""Spacings found by dynamic programming: what brute force finds, better than fixed ones on closed-form models."""

import itertools
import math

import numpy as np
import pytest
import torch

from sigmabench.samplers import Level, bridge
from sigmabench.samplers.conformance.convergence import normal_quantiles
from sigmabench.samplers.euler import Euler
from sigmabench.samplers.level import CLEAN, PURE_NOISE, variance_preserving
from sigmabench.samplers.problems import BIMODAL, GAUSSIAN, Mixture
from sigmabench.samplers.run import sample
from sigmabench.samplers.schedules import EDM, Flow, ScaledLinear, ZeroTerminalSNR
from sigmabench.samplers.spacings import Exponential, Karras, KLOptimal, Linspace, Tabulated, Trailing
from sigmabench.samplers.spacings.equidistribute import equidistribute
from sigmabench.samplers.spacings.optimise import euler_errors, gits, optimal_steps, reference, table
from sigmabench.samplers.testing import label

SPIKED = Mixture(weights=(0.5, 0.3, 0.2), means=(-1.0, 0.2, 1.2), stds=(0.1, 0.15, 0.1))
SCHEDULES = [ScaledLinear(), EDM(), Flow(shift=3.0), ZeroTerminalSNR()]


def within(spacing, schedule):
    return spacing() if schedule.level(1.0).alpha else spacing(sigma_max=80.0)


def walked(problem, schedule, steps=60):
    start = problem.flow(normal_quantiles(32), PURE_NOISE, schedule.level(1.0))
    return reference(problem, start, within(Exponential, schedule)(schedule, steps))


def error(problem, schedule, levels):
    top = schedule.level(1.0)
    x = problem.flow(normal_quantiles(50), PURE_NOISE, top)  # not the quantiles that the levels were found on
    return (sample(Euler(), problem, x, levels) - problem.flow(x, top, CLEAN)).square().mean().sqrt().item()


@pytest.mark.parametrize("problem", [BIMODAL, SPIKED], ids=["overlapping", "spiked"])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=label)
@pytest.mark.parametrize("steps", [4, 6])
def test_found_levels_beat_every_fixed_spacing_of_as_many_steps(problem, schedule, steps):
    teacher = walked(problem, schedule)
    fixed = [Trailing(), Linspace(), KLOptimal(), within(Karras, schedule), within(Exponential, schedule)]
    least = min(error(problem, schedule, spacing(schedule, steps)) for spacing in fixed)
    for found in (gits(teacher, steps), optimal_steps(problem, teacher, steps)):
        assert len(found) == steps + 1
        assert error(problem, schedule, found) < 0.95 * least
        tabulated = Tabulated(table(found))(schedule, steps)
        assert error(problem, schedule, tabulated) == pytest.approx(error(problem, schedule, found), rel=1e-9)


def test_found_levels_beat_karras_and_trailing_by_a_third():
    teacher, schedule = walked(BIMODAL, EDM()), EDM()
    for steps in (4, 6, 10):
        found = error(BIMODAL, schedule, gits(teacher, steps))
        assert found < 0.67 * min(
            error(BIMODAL, schedule, spacing(schedule, steps)) for spacing in (Karras(), Trailing())
        )


def local_error(teacher, i, j):
    end = bridge(teacher.states[i], teacher.x0[i], teacher.levels[i], teacher.levels[j])
    return ((end - teacher.states[j]).square().mean().sqrt() / teacher.levels[j].alpha).item()


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 9])
def test_gits_has_the_least_sum_of_all_choices(steps):
    teacher = walked(SPIKED, Flow(), steps=9)
    choices = [(0, *inner, 9) for inner in itertools.combinations(range(1, 9), steps - 1)]
    sums = {choice: sum(local_error(teacher, *pair) for pair in itertools.pairwise(choice)) for choice in choices}
    best = min(sums, key=sums.__getitem__)
    assert gits(teacher, steps) == [teacher.levels[i] for i in best]


@pytest.mark.parametrize("steps", [1, 2, 9])
def test_optimal_steps_has_the_least_error_of_all_choices_where_nothing_is_greedy(steps):
    """With two steps the choice of the one level between is exhaustive; with as many as there are it is all of them."""
    teacher = walked(SPIKED, Flow(), steps=9)
    choices = [(0, *inner, 9) for inner in itertools.combinations(range(1, 9), steps - 1)]

    def distance(choice):
        end = sample(Euler(), SPIKED, teacher.states[0], [teacher.levels[i] for i in choice])
        return (end - teacher.states[-1]).square().mean().item()

    best = min(choices, key=distance)
    assert optimal_steps(SPIKED, teacher, steps) == [teacher.levels[i] for i in best]


def test_optimal_steps_is_never_far_from_the_best_choice():
    teacher = walked(SPIKED, EDM(), steps=10)
    choices = [(0, *inner, 10) for inner in itertools.combinations(range(1, 10), 3)]
    errors = [error(SPIKED, EDM(), [teacher.levels[i] for i in choice]) for choice in choices]
    assert error(SPIKED, EDM(), optimal_steps(SPIKED, teacher, 4)) < 1.15 * min(errors)


def test_the_same_problem_gives_the_same_levels_in_every_process_and_every_time():
    ve = [Level(1.0, sigma) for sigma in np.geomspace(80, 0.01, 30)] + [CLEAN]
    tables = []
    for levels in (ve, [variance_preserving(level.sigma) for level in ve], [Flow().project(level) for level in ve]):
        start = BIMODAL.flow(normal_quantiles(32), PURE_NOISE, levels[0])
        teacher = reference(BIMODAL, start, levels)
        tables.append((table(gits(teacher, 5)), table(optimal_steps(BIMODAL, teacher, 5))))
    for other in tables[1:]:
        assert other == (pytest.approx(tables[0][0], rel=1e-12), pytest.approx(tables[0][1], rel=1e-12))


def test_the_reference_is_the_samplers_own_walk():
    from sigmabench.samplers import Heun

    levels = Karras()(EDM(), 12)
    x = BIMODAL.flow(normal_quantiles(16), PURE_NOISE, levels[0])
    teacher = reference(BIMODAL, x, levels)
    assert torch.equal(teacher.states[-1], sample(Heun(), BIMODAL, x, levels))
    assert len(teacher.states) == len(teacher.x0) + 1 == 13
    euler = reference(BIMODAL, x, levels, Euler())
    assert max(euler_errors(euler)) == 0.0


def test_evaluations_of_optimal_steps_are_what_its_documentation_says():
    calls = []

    def counted(x, level):
        calls.append(level)
        return BIMODAL(x, level)

    teacher = walked(BIMODAL, EDM(), steps=12)
    optimal_steps(counted, teacher, 4)
    assert len(calls) <= 3 * 12


@pytest.mark.parametrize("steps", [0, 10])
def test_more_steps_than_the_reference_has_are_refused(steps):
    teacher = walked(GAUSSIAN, EDM(), steps=9)
    for find in (lambda: gits(teacher, steps), lambda: optimal_steps(GAUSSIAN, teacher, steps)):
        with pytest.raises(ValueError, match=f"steps = {steps}: must be 1 to 9"):
            find()


def test_equal_parts_of_a_constant_monitor_of_equal_log_sigmas_are_exponential():
    fine = [Level(1.0, sigma) for sigma in np.geomspace(80, 0.01, 41)]
    found = [level.ve_sigma for level in equidistribute(fine, [1.0] * 40, 10)]
    assert found == pytest.approx(np.geomspace(80, 0.01, 11), rel=1e-9)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=label)
def test_levels_of_equal_parts_have_equal_sums_and_stay_in_their_process(schedule):
    teacher = walked(BIMODAL, schedule)
    monitor = [math.sqrt(e) for e in euler_errors(teacher)]
    found = equidistribute(teacher.levels, monitor, 7)
    logs = [-level.half_logsnr for level in teacher.levels[1:-1]]
    sums = np.cumsum(monitor)[:-1]
    parts = [np.interp(level.half_logsnr, [-log for log in logs], sums) for level in found[1:-1]]
    assert parts == pytest.approx(sum(monitor) * np.arange(1, 7) / 7, rel=1e-6)
    if isinstance(schedule, Flow):
        assert [level.alpha + level.sigma for level in found] == pytest.approx([1.0] * 8, rel=1e-12)


def test_equal_parts_of_the_roots_of_eulers_errors_beat_karras():
    teacher = walked(BIMODAL, EDM())
    for steps in (4, 6, 10):
        found = equidistribute(teacher.levels, [math.sqrt(e) for e in euler_errors(teacher)], steps)
        assert error(BIMODAL, EDM(), found) < 0.67 * error(BIMODAL, EDM(), Karras()(EDM(), steps))


def test_a_monitor_with_a_stretch_of_zeros_puts_no_level_inside_it():
    fine = [Level(1.0, float(sigma)) for sigma in (16, 8, 4, 2, 1)]
    found = [level.ve_sigma for level in equidistribute(fine, [1.0, 0.0, 0.0, 1.0], 4)]
    assert found == pytest.approx([16, 8 * math.sqrt(2), 2, math.sqrt(2), 1], rel=1e-12)


@pytest.mark.parametrize("monitor", [[1.0], [1.0, -1.0], [0.0, 0.0], [1.0, math.nan], [1.0, math.inf]])
def test_a_monitor_that_is_none_is_refused(monitor):
    with pytest.raises(ValueError, match="monitor must be 2 numbers >= 0, not all 0"):
        equidistribute([Level(1.0, 4.0), Level(1.0, 2.0), CLEAN], monitor, 2)
