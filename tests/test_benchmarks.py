"""The benchmarks' own arithmetic: goals, ratios, pages, and that every peer's loop runs."""

import json

import pytest
import torch

from sigmabench.eval.benchmarks import __main__ as command
from sigmabench.eval.benchmarks import comfyui, operations, overhead, table
from sigmabench.eval.benchmarks.hosts import hosted
from sigmabench.eval.benchmarks.peers import loops
from sigmabench.eval.benchmarks.row import Row, compared
from sigmabench.eval.benchmarks.timing import Spread, in_turns, ratios, ready
from sigmabench.eval.benchmarks.traffic import Traffic
from sigmabench.eval.peers import comfyui as host

LOOPS = list(loops())
HOSTED = list(hosted())


def test_a_goal_is_about_the_median_in_its_direction():
    assert Row("a", "b", Spread(0.2, 0.1, 0.9), 0.25).met
    assert not Row("a", "b", Spread(0.3, 0.1, 0.9), 0.25).met
    assert Row("a", "b", Spread(0.96, 0.9, 1.0), 0.95, at_most=False).met
    assert not Row("a", "b", Spread(0.94, 0.9, 1.0), 0.95, at_most=False).met


def test_a_number_without_a_goal_is_not_judged():
    row = Row("a", "b", Spread(0.2, 0.1, 0.9), None)
    assert row.met is None
    versions = {"torch": "", "diffusers": "", "python": "", "git": ""}
    about = {"part": "p", "device": "cpu", "hardware": "", "cores": 1, "threads": 1, "clock": "", "versions": versions}
    page = table.page([{**about, "rows": [row.record(), Row("c", "", Spread(1, 1, 1), 2.0).record()]}])
    assert "p, cpu: 1 of 1 goals met" in page
    assert "| a | b |  |  | 0.2 (0.1 to 0.9) |  |  |" in page


def test_a_ratio_is_taken_round_by_round():
    assert ratios([1.0, 2.0, 3.0, 8.0], [2.0, 4.0, 6.0, 8.0]) == Spread(0.5, 0.5, 0.625)
    row = compared("what", "peer", [1e-6, 1e-6], [4e-6, 4e-6], 0.25, ("us", 1e6))
    assert (row.ours, row.theirs, row.met) == ("1 us", "4 us", True)


def test_contestants_take_turns_and_the_first_round_does_not_count():
    order = []
    times = in_turns({name: ready(lambda name=name: order.append(name)) for name in "ab"}, 3, "cpu")
    assert order == ["a", "b"] * 4
    assert [len(values) for values in times.values()] == [3, 3]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("loop", LOOPS, ids=[loop.title for loop in LOOPS])
def test_every_peer_and_its_counterpart_run_over_the_null_model(loop):
    x = torch.ones(1, 3, 8, 8)
    loop.prepare(x, 6)()
    assert overhead.ours(loop, x, 6)().shape == x.shape


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("loop", LOOPS, ids=[loop.title for loop in LOOPS])
def test_no_method_of_ours_makes_more_operations_on_images_than_its_peer_or_moves_more_of_them(loop):
    ours, theirs = operations.of_samplers(loop, torch.ones(2, 3, 4, 4), 10)
    assert ours.operations <= theirs.operations
    assert ours.images <= theirs.images


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", HOSTED, ids=[method.title for method in HOSTED])
def test_no_scheduler_of_ours_makes_more_operations_on_images_than_diffusers(method):
    ours, theirs = operations.of_schedulers(method, torch.ones(2, 4, 4, 4), 10)
    assert ours.operations <= theirs.operations


def test_traffic_counts_what_operations_read_and_write_but_no_views_and_nothing_small():
    x, y = torch.ones(2, 3), torch.ones(2, 3)
    with Traffic(x.numel()) as counted:
        (x * 0.5).add_(y, alpha=0.5)
    assert (counted.operations, counted.images) == (2, 2 + 3)
    with Traffic(x.numel()) as counted:
        x.view(3, 2).t()
        torch.empty_like(x)
        torch.ones(1) * 2
    assert (counted.operations, counted.images) == (0, 0)
    with Traffic(x.numel()) as counted:
        torch.cat([x, y])
    assert (counted.operations, counted.images) == (1, 4)


def test_an_unknown_part_is_refused_with_the_known_ones(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["benchmarks", "overhed"])
    with pytest.raises(SystemExit):
        command.main()
    assert f"no part overhed; parts: {', '.join(command.PARTS)}" in capsys.readouterr().err


def test_the_page_is_that_of_the_numbers_beside_it():
    parts = [json.loads(file.read_text()) for file in sorted(table.FOLDER.glob("*.json"))]
    assert (table.FOLDER / "README.md").read_text() == table.page(parts)
    assert {part["part"] for part in parts} <= set(command.PARTS)


def test_without_a_checkout_of_comfyui_its_part_has_no_rows_and_says_why(monkeypatch, capsys):
    monkeypatch.delenv("COMFYUI_DIR", raising=False)
    host.comfyui.cache_clear()
    assert not list(comfyui.rows("cpu"))
    assert "skipped" in (said := capsys.readouterr().err)
    assert "COMFYUI_DIR" in said
