"""Comparisons of a run: the same as paired statistics of its observations, in files, words and further images."""

import json
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sigmabench import reports
from sigmabench.eval import compare as comparing
from sigmabench.eval.cells import Cell
from sigmabench.eval.comparable import Measurement, refusal
from sigmabench.eval.comparisons import Costs, compared, look, standing
from sigmabench.eval.errors import UsageError
from sigmabench.eval.metrics.estimate import mean
from sigmabench.eval.metrics.frechet import FrechetDistance
from sigmabench.eval.plans import load_plan
from sigmabench.eval.publish import publish
from sigmabench.eval.results import evaluate
from sigmabench.eval.runner import Runner
from sigmabench.eval.selection import select
from sigmabench.eval.statistics import Joint
from sigmabench.eval.store import Store
from sigmabench.eval.sweep import Sweep
from sigmabench.eval.until import undecided
from sigmabench.reports.comparisons import Judge, conform_comparisons

FIELDS = {
    "models": ["gaussian_mixture(size=8)"],
    "samplers": ["euler", "heun"],
    "steps": [3, 6],
    "prompts": ["a cat", "a dog"],
    "images": 30,
    "metrics": ["luminance", "fd"],
    "batch_size": 10,
}


def made(folder, **changes):
    runner = Runner(Sweep(**{**FIELDS, **changes}), folder)
    runner.run(lambda images, cell: None)
    return runner


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    made(folder)
    return folder


def test_the_comparisons_of_a_run_are_paired_and_complete(run):
    plan, store = load_plan(run), Store(run)
    results, comparisons, _ = evaluate(plan, store)
    cells = [planned.cell for planned in plan.cells]
    assert comparisons.groupby("metric").size().to_dict() == {"luminance": 6, "fd": 6}
    luma = {c.key: np.concatenate([o["luma/rec601"][:, 0] for o in store.observations(c, 30)]) for c in cells}
    for row in comparisons[comparisons["metric"] == "luminance"].itertuples():
        x, y = luma[row.a].astype(float), luma[row.b].astype(float)
        assert row.images == 30
        assert row.difference == pytest.approx(x.mean() - y.mean(), rel=1e-4, abs=1e-9)
        assert row.se == pytest.approx((x - y).std(ddof=1) / np.sqrt(30), rel=1e-4)
        assert row.gain == pytest.approx((x.var() + y.var()) / (x - y).var(), rel=1e-3)
        assert row.low < row.difference < row.high
    standings = results[results["metric"] == "fd"]
    assert standings["p_best"].sum() == pytest.approx(1)
    assert (standings["rank_low"] <= standings["rank_high"]).all()
    assert results.loc[results["metric"] == "luminance", "p_best"].isna().all()
    assert standings["seconds_se"].gt(0).all()


def test_results_say_which_cells_may_be_on_the_front():
    joint = Joint(
        ("cheap", "dear", "poor"), np.array([5.0, 1.0, 9.0]), np.random.default_rng(0).normal(0, 1, (400, 3)), 400
    )
    costs = {"cheap": Costs(5, 1.0, 0.1), "dear": Costs(10, 2.0, 0.1), "poor": Costs(20, 2.0, np.nan)}
    found = standing([look(joint)], False, costs)
    assert [found[cell]["p_front_nfe"] for cell in joint.cells] == [1, 1, 0]
    assert np.isnan(found["cheap"]["p_front_seconds"])
    assert [(found[cell]["rank_low"], found[cell]["rank_high"]) for cell in joint.cells] == [(2, 2), (1, 1), (3, 3)]


def test_a_later_look_replaces_the_pairs_that_it_has_and_spends_less():
    rng = np.random.default_rng(1)
    first = look(Joint(("a", "b", "c"), np.array([0.0, 0.01, 5.0]), rng.normal(0, 1, (50, 3)), 50), sequential=True)
    assert first.unbeaten(False) == ["a", "b"]
    second = look(Joint(("a", "b"), np.array([0.0, 1.0]), rng.normal(0, 1, (100, 2)), 100), 1, sequential=True)
    frame = compared("m", [first, second]).set_index(["a", "b"])
    assert (first.level, second.level) == (0.975, 0.9875)
    assert frame["images"].to_dict() == {("a", "c"): 50, ("b", "c"): 50, ("a", "b"): 100}
    found = standing([first, second], False, dict.fromkeys("abc", Costs(1, 1, 1)))
    assert found["a"]["p_best"] > 0.99
    assert found["c"]["p_best"] == 0


def test_several_looks_together_keep_their_promise():
    """Of cells that are the same law, how often does any look separate any two?"""
    rng, wrong = np.random.default_rng(2), 0
    for _ in range(300):
        rows = rng.standard_normal((200, 2))
        looks = [
            look(Joint.of({str(i): mean(rows[:n, i], {}) for i in range(2)}), k, sequential=True)
            for k, n in enumerate((50, 100, 200))
        ]
        wrong += any(one.found.separated.any() for one in looks)
    assert wrong / 300 <= 0.065


def cell(**changes):
    fields = {
        "sampler": "euler",
        "schedule": "model",
        "spacing": "trailing",
        "steps": 5,
        "guidance": "cfg(scale=3)",
        "prompts": "p",
        "seed": 0,
    }
    return Cell("m", **{**fields, **changes}, dtype="float32")


@pytest.mark.parametrize(
    ("changes", "card", "n", "reason"),
    [
        ({}, {}, 9, "number of images differ, 10 and 9"),
        ({"seed": 3}, {}, 10, "first seed differ, 0 and 3"),
        ({"prompts": "q"}, {}, 10, "prompts differ, p and q"),
        ({}, {"extractor": "b"}, 10, "extractor differ, a and b"),
        ({}, {"reference": "b"}, 10, "reference differ, a and b"),
        ({}, {"warning": "b"}, 10, ""),
    ],
)
def test_only_numbers_of_the_same_metric_and_images_compare(changes, card, n, reason):
    base = {"extractor": "a", "reference": "a"}
    one = Measurement(cell(sampler="heun"), "fd", mean(np.arange(10.0), base))
    other = Measurement(cell(**changes), "fd", mean(np.arange(float(n)), {**base, **card}))
    assert reason in refusal(one, other)
    assert bool(reason) == bool(refusal(one, other))


# Reports


def test_the_report_tells_apart_what_only_pairing_can(run):
    plan, store = load_plan(run), Store(run)
    results, comparisons, _ = evaluate(plan, store)
    results = reports.results.conform(results)
    rows = results[results["metric"] == "fd"].sort_values("value")
    a, b = rows.iloc[0], rows.iloc[1]
    assert a["high"] > b["low"]  # their own intervals overlap
    found = comparisons[(comparisons["metric"] == "fd")].set_index(["a", "b"])
    sign = 1 if (a["cell"], b["cell"]) in found.index else -1
    pair = found.loc[(a["cell"], b["cell"]) if sign == 1 else (b["cell"], a["cell"])]
    judge = Judge(comparisons)
    assert judge.better(a, b, higher=False) == (pair["low"] > 0 or pair["high"] < 0)
    assert not Judge().better(a, b, higher=False)
    seen = judge.pair(a, b)
    assert (seen.difference, seen.low, seen.high) == pytest.approx(
        (sign * pair["difference"], *sorted((sign * pair["low"], sign * pair["high"])))
    )
    assert judge.pair(b, a).difference == -seen.difference


def test_files_of_comparisons_come_back_and_damaged_ones_are_named(run, tmp_path):
    publish(load_plan(run), run)
    _, comparisons, _ = evaluate(load_plan(run), Store(run))
    back = reports.read_comparisons(run)
    pd.testing.assert_frame_equal(back, conform_comparisons(comparisons), check_exact=True)
    results = reports.read_results(run / "results.csv")
    assert results["p_best"].dtype == np.float64
    with pytest.raises(FileNotFoundError, match="no comparisons at"):
        reports.read_comparisons(tmp_path)
    (tmp_path / "comparisons.parquet").write_bytes(b"torn")
    with pytest.raises(ValueError, match=r"cannot read .*comparisons\.parquet"):
        reports.read_comparisons(tmp_path)
    with pytest.raises(ValueError, match="compared twice"):
        conform_comparisons(pd.concat([back, back]))
    with pytest.raises(ValueError, match="lack the columns gain"):
        conform_comparisons(back.drop(columns="gain"))


def test_the_page_says_how_sure_the_ranking_is(run):
    html = publish(load_plan(run), run).read_text()
    assert "with probability" in html
    assert "the whole ranking holds" in html


# Words that mean a cell


CELLS = [cell(sampler=s, steps=n) for s in ("euler", "dpmpp_2m", "dpmpp_2m(final_order_one=True)") for n in (5, 10)]


@pytest.mark.parametrize(
    ("text", "index"),
    [("dpmpp_2m steps=10", 3), ("steps=5 dpmpp_2m(final_order_one=True) trailing", 4), ("sampler=euler steps=5", 0),
     ("euler scale=3 steps=10 cfg", 1), (CELLS[2].key, 2), (CELLS[5].key[:8], 5)],
)  # fmt: skip
def test_words_mean_one_cell(text, index):
    assert select(text, CELLS) is CELLS[index]


@pytest.mark.parametrize(
    ("text", "message"),
    [("dpmpp_2m", r"means several cells.*\n.*dpmpp_2m trailing steps=5 .*\n.*steps=10"), ("heun", "means no cell"),
     ("euler nfe=3", "no field 'nfe'; fields: sampler"), ("euler steps=x", "steps must be a number")],
)  # fmt: skip
def test_words_that_mean_no_cell_or_several_are_refused_with_a_list(text, message):
    with pytest.raises(UsageError, match=message):
        select(text, CELLS)


# Sentences


def measurements(x, y):
    return (Measurement(cell(), "fd", mean(np.asarray(v, dtype=float), {})) for v in (x, y))


def said(x, y, higher=False):
    from sigmabench.eval.statistics import simultaneous

    one, other = measurements(x, y)
    found = simultaneous(Joint.of({"a": one.value, "b": other.value}))
    return comparing.sentence("A", "B", "fd", one, other, found, higher)


def test_a_clear_difference_is_said_with_its_interval_and_gain():
    x = np.random.default_rng(3).standard_normal(100)
    y = x + 0.5 + 0.1 * np.random.default_rng(4).standard_normal(100)
    interval = stats.ttest_rel(x, y).confidence_interval(0.95)
    text = said(x, y)
    assert text.startswith("A is better than B: fd is ")
    assert f"[{interval.low:+.3f}, {interval.high:+.3f}]" in text
    assert "over 100 common images (p < 0.0001; without pairing it would take" in text
    assert said(x, y, higher=True).startswith("A is worse than B: fd")
    assert said(x, y, higher=None).startswith("A has less fd than B: fd")


def test_what_the_data_cannot_tell_is_said_with_the_images_that_would():
    rng = np.random.default_rng(5)
    x = rng.standard_normal(100)
    y = x + rng.standard_normal(100) - 0.1
    text = said(x, y)
    assert text.startswith("The data cannot tell A from B: fd is ")
    d, se = (x - y).mean(), (x - y).std(ddof=1) / 10
    needed = 100 * ((stats.t.ppf(0.975, 99) + 0.8416) * se / d) ** 2
    number = int(text.split("about ")[1].split(" images")[0].replace(",", ""))
    assert needed <= number <= 1.11 * needed
    assert said(x, x).startswith("A and B are the same: fd is")


def test_compare_speaks_of_cells_of_a_run(run):
    ((text, _),) = comparing.compare("euler steps=3", "heun steps=6", run, ["luminance"])
    assert "luminance" in text
    assert "30 common images of 2 prompts" in text
    ((text, _),) = comparing.compare("euler steps=3", "heun steps=6", run, [])
    assert " fd " in text
    with pytest.raises(UsageError, match="several cells"):
        comparing.compare("euler", "heun", run, [])


def test_intervals_over_prompts_are_of_the_means_of_prompts(tmp_path):
    prompts = ["a cat", "a dog", "a ship"]
    runner = made(tmp_path, prompts=prompts, intervals="prompts", metrics=["luminance"], steps=[3])
    results, comparisons, images = evaluate(runner.plan, Store(tmp_path))
    first = images[images.cell == results.cell[0]]
    of_prompts = first.groupby("prompt").luminance.mean()
    row = results.iloc[0]
    assert row.se == pytest.approx(of_prompts.std() / np.sqrt(3), rel=1e-4)
    assert (row.high - row.value) / row.se == pytest.approx(stats.t.ppf(0.975, 2))
    assert '"prompt, 3 of them"' in row.card
    two = images.pivot_table(index="prompt", columns="cell", values="luminance")[list(comparisons.loc[0, ["a", "b"]])]
    theirs = stats.ttest_rel(two.iloc[:, 0], two.iloc[:, 1])
    assert comparisons.p[0] == pytest.approx(theirs.pvalue, rel=1e-3)
    assert comparisons["images"][0] == 30
    ((text, _),) = comparing.compare("euler steps=3", "heun steps=3", tmp_path, ["luminance"])
    assert "over 30 common images of 3 prompts, for prompts like these" in text
    with pytest.raises(UsageError, match="intervals = 'prompts' needs images of two prompts or more"):
        made(tmp_path / "one", prompts=["a cat"], intervals="prompts")


def test_two_runs_are_compared_cell_by_cell_over_their_common_images(run, tmp_path):
    made(tmp_path, images=20, steps=[3, 9])
    first, *rest = (one.sentence for one in comparing.compare(str(run), str(tmp_path), run, ["luminance"]))
    assert first.startswith("Of 2 cells that")
    assert "0 differ measurably in luminance, 2 are the same image by image" in first
    assert not rest
    other = tmp_path / "other"
    made(other, seed=100)
    with pytest.raises(UsageError, match="their first seed differ, 0 and 100"):
        list(comparing.compare(str(run), str(other), run, ["luminance"]))
    ((text, _),) = comparing.compare("heun steps=3", f"{tmp_path}:euler steps=9", run, ["luminance"])
    assert "20 common images" in text


# Until separated


def test_only_cells_that_may_be_best_get_more_images_until_they_separate(monkeypatch, tmp_path):
    fields = {"metrics": ["fd"], "until": "separated", "budget": 100, "images": 32, "steps": [2, 10]}
    runner = made(tmp_path, **fields)
    seen, values, original = [], [], FrechetDistance.evaluate
    monkeypatch.setattr(
        FrechetDistance, "evaluate", lambda metric, shards: values.append(shards) or original(metric, shards)
    )
    for images, cells in undecided(runner.plan, Store(tmp_path)):
        outcome = runner.extend(cells, images, lambda images, cell: None)
        assert outcome.made == sum(images - (seen[-1][0] if seen else 32) for _ in cells)
        seen.append((images, {planned.cell.key for planned in cells}))
    assert [images for images, _ in seen] == [64, 100][: len(seen)]
    assert all(later <= earlier for (_, earlier), (_, later) in pairwise(seen))
    assert seen[0][1] < {planned.cell.key for planned in runner.plan.cells}
    assert len(values) == len({(shards.shards[0].path, shards.images) for shards in values})  # each value once
    results, comparisons, _ = evaluate(load_plan(tmp_path), Store(tmp_path))
    assert (results["images"] == 32).all()  # values stay comparable
    assert comparisons["images"].max() == seen[-1][0]
    again = Runner(Sweep(**{**FIELDS, **fields}), tmp_path)
    outcomes = [again.run(lambda *_: None)]
    outcomes += [again.extend(cells, n, lambda *_: None) for n, cells in undecided(again.plan, Store(tmp_path))]
    assert sum(outcome.made for outcome in outcomes) == 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"until": "separated"}, "needs a budget of more than images = 30"), ({"budget": 99}, "a budget needs until"),
     ({"until": "separated", "budget": 30}, "needs a budget of more than")],
)  # fmt: skip
def test_a_budget_and_its_use_go_together(fields, message):
    with pytest.raises(ValueError, match=message):
        Sweep(**{**FIELDS, **fields})


def test_metadata_of_a_shard_hold_the_seconds_of_its_batches(run):
    store, plan = Store(run), load_plan(run)
    (metadata,) = store.observations(plan.cells[0].cell, 30).metadata()
    batches = json.loads(metadata["batches"])
    assert [n for n, _ in batches] == [10, 10, 10]
    assert sum(s for _, s in batches) == pytest.approx(float(metadata["seconds"]), rel=0.2, abs=0.01)
