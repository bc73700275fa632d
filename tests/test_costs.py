"""What a sweep costs: every evaluation counted before it is made, and nothing counted that is there already."""

import itertools
import json
import time

import pytest
import torch
from typer.testing import CliRunner

from sigmabench.eval.cells import samples
from sigmabench.eval.cli.app import app
from sigmabench.eval.costs.beside import Still, beside
from sigmabench.eval.costs.counting import count
from sigmabench.eval.costs.estimate import Estimate, estimate
from sigmabench.eval.costs.measuring import MOST, PATIENCE, Spread, repeated
from sigmabench.eval.costs.rounds import rounds
from sigmabench.eval.costs.sharing import Shared
from sigmabench.eval.costs.words import as_json, span, words
from sigmabench.eval.engine import counted as calls_of
from sigmabench.eval.engine import generate
from sigmabench.eval.jobs import Job
from sigmabench.eval.runner import Runner
from sigmabench.eval.sweep import Sweep

FIELDS = {
    "models": ["gaussian_mixture(size=6)"], "samplers": ["euler"], "spacings": ["karras"], "steps": [4],
    "guidance": ["cfg(2)"], "device": "cpu", "prompts": ["a", "b"], "images": 8, "batch_size": 4,
    "metrics": ["luminance"],
}  # fmt: skip


@pytest.fixture(autouse=True)
def few_repeats(monkeypatch):
    monkeypatch.setattr("sigmabench.eval.costs.beside.LOOKS", 2)
    monkeypatch.setattr("sigmabench.eval.costs.beside.REPORTS", 1)


def runner(folder, **changes):
    return Runner(Sweep(**{**FIELDS, **changes}), folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"samplers": ["euler", "heun", "dpmpp_sde", "restart(euler)", "cfg_pp(dpmpp_2m)", "afs(heun)", "runge_kutta"]},
        {"guidance": ["cfg(1)", "interval(cfg(3), sigma_lo=0.5, sigma_hi=5)", "fdg(3)", "negative_prompt(cfg(3))"],
         "negative": "dark"},
        {"spacings": ["trailing"], "models": ["gaussian_mixture(size=6, schedule=flow, prediction=flow)"]},
    ],
)  # fmt: skip
def test_evaluations_are_counted_before_they_are_made(tmp_path, changes):
    made = runner(tmp_path, **changes)
    model = made.prepared.load(made.sweep.models[0])
    one = samples(made.sweep, made.plan.prompts, 0, 1)
    for planned in made.plan.runnable:
        with calls_of(model.network) as rows:
            generate(model, [Job(planned.cell, one)])
        assert count(planned.cell, model).evaluations == sum(rows), planned.cell


def test_first_requests_that_cells_share_are_paid_for_once(tmp_path):
    """The network's rows of a whole sweep are those of the estimate: all counted, less what is shared."""
    made = runner(tmp_path, samplers=["euler", "heun", "dpmpp_2m"], steps=[3, 5], scales=[1, 3])
    model = made.prepared.load(made.sweep.models[0])
    with calls_of(model.network) as rows:
        made.run(lambda images, cell: None)
    shared, expected = Shared(made.sweep.images, made.sweep.batch_size), 0
    for planned in made.plan.runnable:
        asked = count(planned.cell, model)
        expected += asked.evaluations - len(asked.first[1]) + len(shared.pays(asked))
    assert sum(rows) == made.sweep.images * expected


def test_what_a_folder_has_is_not_counted(tmp_path):
    small = runner(tmp_path / "run", samplers=["euler", "heun"])
    small.run(lambda images, cell: None)
    grown = runner(tmp_path / "run", samplers=["euler", "heun", "dpmpp_2m"], images=12)
    found = {cost.cell.sampler: cost for cost in estimate(grown, tmp_path / "run").cells}
    assert {name: cost.images for name, cost in found.items()} == {"euler": 4, "heun": 4, "dpmpp_2m": 12}
    assert {name: cost.evaluations for name, cost in found.items()} == {"euler": 32, "heun": 56, "dpmpp_2m": 96}
    assert not estimate(small, tmp_path / "run").network.median


def test_solutions_that_metrics_compare_with_are_counted(tmp_path):
    found = estimate(runner(tmp_path, metrics=["trajectory_error"]), tmp_path / "none")
    assert len(found.cells) == 2
    assert max(cost.evaluations for cost in found.cells) > 10 * min(cost.evaluations for cost in found.cells)
    assert not (tmp_path / "none").exists()


def test_words_and_numbers_agree(tmp_path):
    found = estimate(runner(tmp_path, until="separated", budget=16), tmp_path)
    said = list(words(found, workers=2))
    assert said[0] == "1 cell, 8 images to make, 64 evaluations of the network."
    assert said[-1].startswith("Up to ")
    row = json.loads(as_json(found, workers=2))
    assert row["seconds"] == pytest.approx((row["network"] + row["beside"]) / 2 + row["report"])
    assert row["seconds_low"] < row["seconds"] < row["seconds_high"]
    assert [cell["evaluations"] for cell in row["cells"]] == [64]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1.25, "1.2 s"), (45, "45 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (1e6, "12 days"), (1e9, "11,574 days")],
)
def test_spans(seconds, text):
    assert span(seconds) == text


def test_a_round_is_timed_where_the_cells_come_to_it(tmp_path):
    """Every kind of request has its own time: alone, in a pair, and of a guidance that begins late on the way."""
    made = runner(tmp_path, guidance=["cfg(2)", "interval(cfg(3), sigma_lo=0.5, sigma_hi=5)"], steps=[6])
    model = made.prepared.load(made.sweep.models[0])
    cells = [planned.cell for planned in made.plan.runnable]
    counts = {cell.key: count(cell, model) for cell in cells}
    found = rounds(made, model, cells, counts, 4, time.process_time)
    assert set(found) == {("cond", "uncond"), ("cond",), ("uncond",)}
    assert all(0 <= low <= median <= high for median, low, high in found.values())


def test_what_is_beside_predictions_is_measured_without_any(tmp_path):
    made = runner(tmp_path, samplers=["euler", "heun"])
    model = made.prepared.load(made.sweep.models[0])
    cells = made.plan.runnable
    seconds = itertools.count().__next__  # every measurement takes one second
    with calls_of(model.network) as rows:
        found = beside(made, Still(model, torch.zeros(4, *model.shape)), cells, 4, seconds)
    assert rows == []
    image, page, cell = 1 / 8, 1.0, 0.0  # of two cells of four images; the page of one is as long as that of both
    assert found == tuple(Spread(value, value, value) for value in (image, page, cell))


def test_a_second_measurement_is_added_until_their_spread_is_known():
    assert repeated([9.0, 1.0, 1.0, 1.0, 5.0]) == Spread(1.0, 1.0, 1.0)  # the first finds what is done once
    assert len({repeated(iter([9.0, *range(1, n + 1)])) for n in (MOST, MOST + 1, MOST + 5)}) == 1
    assert repeated([9.0, 2 * PATIENCE, 1.0]) == Spread(2 * PATIENCE, 2 * PATIENCE, 2 * PATIENCE)
    assert repeated([9.0]) == Spread(9.0, 9.0, 9.0)
    with pytest.raises(ValueError, match="nothing was measured"):
        repeated([])


def test_an_interval_is_that_of_the_measurements_and_a_tenth():
    found = Estimate([], 0, Spread(10, 9, 12), Spread(2, 2, 2), Spread(1, 1, 2), "cpu", 1.0, start=3.0)
    assert found.seconds() == pytest.approx((16, 15 * 0.9, 19 * 1.1))
    assert found.seconds(workers=2) == pytest.approx((13, 12.5 * 0.9, 15 * 1.1))
    assert "16 s (14 s to 21 s) on one cpu: the start 3.0 s, predictions 10 s" in " ".join(words(found, workers=1))


def test_the_command_says_it_with_the_start_of_a_process(tmp_path):
    file = tmp_path / "first.yaml"
    file.write_text(json.dumps(FIELDS))
    done = CliRunner().invoke(app, ["plan", str(file), "--out", str(tmp_path / "none"), "--workers", "2", "--json"])
    told = json.loads(done.stdout)
    assert [cell["evaluations"] for cell in told["cells"]] == [64]
    assert 0 < 2 * told["start"] < told["seconds"]
    assert told["seconds_low"] < told["seconds"] < told["seconds_high"]
    assert not (tmp_path / "none").exists()
