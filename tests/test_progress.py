"""What a running sweep says: images, rate, time left by the work that is left, and the best cell so far."""

import dataclasses
import io

import pytest
from rich.console import Console

from sigmabench.eval import progress
from sigmabench.eval.leading import PAUSE, SHARE, Leader
from sigmabench.eval.progress import EVERY, WINDOW, Meter
from sigmabench.eval.results import results
from sigmabench.eval.runner import Runner
from sigmabench.eval.store import Store
from sigmabench.eval.sweep import Sweep


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished run of cells with 2 and 4 steps, euler once and heun, which takes two evaluations a step, once."""
    folder = tmp_path_factory.mktemp("progress")
    sweep = Sweep(
        models="gaussian_mixture(size=8)", samplers=["euler", "heun"], steps=[2, 4], scales=1, images=6,
        metrics=["class_agreement", "luminance"],
    )  # fmt: skip
    runner = Runner(sweep, folder)
    runner.run(lambda images, cell: None)
    return runner.plan, Store(folder)


def cell(plan, sampler, steps):
    return next(p.cell for p in plan.runnable if (p.cell.sampler, p.cell.steps) == (sampler, steps))


def test_the_rate_is_of_images_and_the_time_left_of_evaluations(made):
    plan, clock = made[0], Clock()
    meter = Meter(plan.runnable, 6, {}, clock)
    assert (meter.total, meter.rate, meter.left) == (24, 0, None)
    clock.now += 3
    meter.add(6, cell(plan, "euler", 2))
    assert (meter.done, meter.rate) == (6, 2)
    assert meter.left == pytest.approx(3 * (4 + 4 + 8) / 2)  # euler 4 steps, heun 2 and 4, against euler 2
    assert meter.text() == "2 images/s, 0:00:03 so far, about 0:00:24 left"


def test_what_was_there_counts_as_done_and_not_for_the_rate(made):
    plan, clock = made[0], Clock()
    first, second = cell(plan, "euler", 2), cell(plan, "euler", 4)
    meter = Meter(plan.runnable, 6, {first.key: 6, second.key: 2}, clock)
    meter.add(6, first)
    meter.add(2, second)
    assert (meter.done, meter.rate, meter.left) == (8, 0, None)
    clock.now += 2
    meter.add(4, second)
    assert (meter.done, meter.rate) == (12, 2)


def test_the_rate_is_that_of_the_last_two_minutes(made):
    plan, clock = made[0], Clock()
    meter = Meter(plan.runnable, 600, {}, clock)
    for _ in range(30):
        clock.now += 10
        meter.add(1, cell(plan, "euler", 2))
    for _ in range(30):
        clock.now += WINDOW / 10
        meter.add(12, cell(plan, "euler", 2))
    assert meter.rate == pytest.approx(1.0)


def test_the_best_cell_is_the_one_with_the_best_number_on_equal_images(made):
    plan, store = made
    clock = Clock()
    leader = Leader(plan, store, clock)
    assert leader.look() == ""  # not before a pause
    clock.now += PAUSE
    frame = results(plan, store)
    rows = frame[frame.metric == "class_agreement"]
    best = rows.loc[rows.value.idxmax()]
    text = leader.look()
    assert text.startswith(f"{best.sampler} {best.spacing} steps={best.steps} ")
    assert text.endswith(f"class_agreement {best.value:.4g} (of 4 cells with 6 images)")


def test_looking_takes_a_hundredth_of_the_time_at_most(made, monkeypatch):
    clock, looks = Clock(), []
    leader = Leader(*made, clock)

    def slow(planned):
        looks.append(clock.now)
        clock.now += 2.0

    monkeypatch.setattr(leader, "_measure", slow)
    began = clock.now
    while clock.now < began + 10_000:
        clock.now += 0.5
        leader.look()
    assert 40 <= len(looks) <= SHARE * 10_000 / 2.0 + 1


def test_without_a_metric_that_ranks_there_is_no_best_cell(made):
    plan = dataclasses.replace(made[0], sweep=made[0].sweep.model_copy(update={"metrics": ["luminance"]}))
    clock = Clock()
    leader = Leader(plan, made[1], clock)
    clock.now += 100
    assert leader.look() == ""


def test_a_log_gets_a_line_a_minute(made, monkeypatch):
    plan, clock, out = made[0], Clock(), io.StringIO()
    monkeypatch.setattr(progress, "Console", lambda stderr: Console(file=out, width=200))
    monkeypatch.setattr(Meter.__init__, "__defaults__", (clock,))
    with progress.bar(plan.runnable, 60, {}, lambda: "euler") as advance:
        for _ in range(24):
            clock.now += EVERY / 8
            advance(1, plan.runnable[0].cell)
    assert out.getvalue().splitlines() == [
        f"{done} of 240 images, 0.133 images/s, 0:0{done // 8}:00 so far, about {left} left; best so far euler"
        for done, left in [(8, "1:06:30"), (16, "1:05:30"), (24, "1:04:30")]
    ]


def test_a_terminal_shows_the_cell_at_work_and_the_best(made, monkeypatch):
    plan, out = made[0], io.StringIO()
    monkeypatch.setattr(progress, "Console", lambda stderr: Console(file=out, force_terminal=True, width=120))
    with progress.bar(plan.runnable, 6, {}, lambda: "heun [fd 3]") as advance:
        advance(3, plan.runnable[0].cell)
    assert "3/24 images" in out.getvalue()
    assert "now   euler trailing steps=2 cfg" in out.getvalue()
    assert "best  heun [fd 3]" in out.getvalue()
