"""What a sweep costs: every evaluation counted before it is made, and nothing counted that is there already."""

import json

import pytest

from sigmabench.eval.cells import samples
from sigmabench.eval.costs.counting import count
from sigmabench.eval.costs.estimate import estimate
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
    assert [cell["evaluations"] for cell in row["cells"]] == [64]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1.25, "1.2 s"), (45, "45 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (1e6, "12 days"), (1e9, "11,574 days")],
)
def test_spans(seconds, text):
    assert span(seconds) == text
