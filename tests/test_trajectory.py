"""Trajectory error: known orders, one reference for all cells, and a reason where there is none."""

import dataclasses
import re

import numpy as np
import pytest

from sigmabench.eval.metrics import TrajectoryError
from sigmabench.eval.metrics.trajectory import MARK, PathObserver
from sigmabench.eval.results import evaluate
from sigmabench.eval.runner import Runner
from sigmabench.eval.store import Store
from sigmabench.eval.sweep import Sweep

METRIC = "trajectory_error(sampler=runge_kutta, spacing=trailing, steps=150)"
FIELDS = {
    "models": ["gaussian_mixture(size=4)"],
    "samplers": ["heun"],
    "steps": [10],
    "prompts": ["a cat", "a dog"],
    "images": 6,
    "metrics": [METRIC],
    "batch_size": 4,
}


def run(folder, **changes):
    runner = Runner(Sweep(**{**FIELDS, **changes}), folder)
    outcome = runner.run(lambda images, cell: None)
    assert outcome.failed == {}
    return runner, outcome


def rows(runner, folder):
    return evaluate(runner.plan, Store(folder)).results


def test_the_error_falls_with_the_order_of_the_sampler(tmp_path):
    spacing = "karras(sigma_max=10)"
    metric = f"trajectory_error(sampler=runge_kutta, spacing='{spacing}', steps=400)"
    runner, _ = run(tmp_path, samplers=["euler", "heun"], steps=[20, 80], spacings=[spacing], metrics=[metric])
    found = rows(runner, tmp_path).set_index(["sampler", "steps"])["value"]
    for sampler, order in (("euler", 1), ("heun", 2)):
        slope = np.log(found[sampler, 20] / found[sampler, 80]) / np.log(4)
        assert slope == pytest.approx(order, abs=0.35), sampler
    assert (found["heun"] < found["euler"]).all()


def test_a_cell_of_the_references_settings_has_no_error(tmp_path):
    runner, _ = run(tmp_path, samplers=["runge_kutta"], steps=[150])
    (row,) = rows(runner, tmp_path).to_dict("records")
    assert row["value"] == 0
    assert row["nfe"] == 2 * (149 * 4 + 1)  # its own: those of the reference are not counted


def test_the_reference_is_made_once_and_extended(tmp_path):
    runner, _ = run(tmp_path, samplers=["heun", "euler"], steps=[5, 10], scales=[1, 2])
    store = Store(tmp_path)
    references = {p.cell.guidance: runner.observers[0].reference(p.cell) for p in runner.plan.cells}
    assert len({reference.key for reference in references.values()}) == 2  # one for each guidance
    first = {r.key: [(s.start, s.stop, s.path.read_bytes()) for s in store.shards(r)] for r in references.values()}
    assert all([(start, stop) for start, stop, _ in shards] == [(0, 6)] for shards in first.values())
    _, again = run(tmp_path, samplers=["heun", "euler"], steps=[5, 10], scales=[1, 2])
    assert again.made == 0
    run(tmp_path, samplers=["heun", "dpmpp_2m"], steps=[5, 10], scales=[1, 2], images=9)
    for reference in references.values():
        assert [(s.start, s.stop) for s in store.shards(reference)] == [(0, 6), (6, 9)]
        assert store.shards(reference)[0].path.read_bytes() == first[reference.key][0][2]


def test_the_error_does_not_depend_on_the_batch_or_on_how_it_grew(tmp_path):
    whole, _ = run(tmp_path / "whole", images=9, batch_size=9)
    run(tmp_path / "grown", images=4)
    grown, _ = run(tmp_path / "grown", images=9)
    a, b = (rows(r, tmp_path / name)["value"].item() for r, name in ((whole, "whole"), (grown, "grown")))
    assert a == pytest.approx(b, rel=1e-5)


def test_samplers_that_solve_another_problem_are_refused_with_the_reason(tmp_path):
    runner, _ = run(
        tmp_path, samplers=["heun", "euler_ancestral", "cfg_pp(sampler=dpmpp_2m)"], metrics=[METRIC, "luminance"]
    )
    found = rows(runner, tmp_path)
    trajectory = found[found["metric"] == METRIC].set_index("sampler")
    assert trajectory.loc["heun", "status"] == "ok"
    for sampler in ("euler_ancestral", "cfg_pp(sampler=dpmpp_2m)"):
        assert re.search("the sampler is stochastic or has another limit", trajectory.loc[sampler, "reason"])
    assert (found.loc[found["metric"] == "luminance", "status"] == "ok").all()


def test_a_reference_that_fails_is_the_reason_of_its_cells(tmp_path, monkeypatch):
    from sigmabench.samplers import RungeKutta

    def broken(self, x, path, noise):
        yield x, path.levels[0]
        raise RuntimeError("out of luck")

    monkeypatch.setattr(RungeKutta, "__call__", broken)
    runner = Runner(Sweep(**{**FIELDS, "samplers": ["heun", "euler_ancestral"]}), tmp_path)
    outcome = runner.run(lambda images, cell: None)
    (reason,) = outcome.failed.values()
    assert reason == "the reference of its trajectory error failed: RuntimeError: out of luck"
    monkeypatch.undo()
    assert runner.run(lambda images, cell: None).failed == {}


def test_what_cannot_be_a_reference_is_refused_before_work():
    with pytest.raises(ValueError, match="cannot be a reference: it is stochastic"):
        TrajectoryError(sampler="euler_ancestral").observers("cpu")
    with pytest.raises(ValueError, match="unknown sampler"):
        TrajectoryError(sampler="nonsense").observers("cpu")
    with pytest.raises(ValueError, match="run the sweep again with this metric"):
        TrajectoryError().evaluate([{}])


def test_a_reference_belongs_to_the_model_the_guidance_and_the_noise_not_to_the_cell(tmp_path):
    runner = Runner(Sweep(**{**FIELDS, "samplers": ["heun", "euler"], "steps": [5, 10]}), tmp_path)
    observer = PathObserver("dpmpp_3m", "trailing", 50)
    cells = [planned.cell for planned in runner.plan.cells]
    assert len({observer.reference(cell) for cell in cells}) == 1
    reference = observer.reference(cells[0])
    assert (reference.sampler, reference.steps, reference.plugins) == ("dpmpp_3m", 50, (MARK,))
    assert observer.reference(dataclasses.replace(cells[0], seed=1)) != reference
    assert observer.reference(dataclasses.replace(cells[0], guidance="cfg(scale=9)")) != reference
    assert PathObserver("dpmpp_3m", "trailing", 51).name != observer.name


def test_paired_errors_separate_solvers_with_a_few_images(tmp_path):
    runner, _ = run(tmp_path, samplers=["dpmpp_2m", "euler"], images=12)
    _, comparisons, _ = evaluate(runner.plan, Store(tmp_path))
    (row,) = comparisons.to_dict("records")
    assert row["low"] * row["high"] > 0
