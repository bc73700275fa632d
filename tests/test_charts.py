"""Charts: every mark is a number of the frame, the front is the front, and figures need no network."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from result_frames import CLIP, FD, LIGHT, broken, frame, row, sweep

from sigmabench.reports import charts
from sigmabench.reports.charts import theme
from sigmabench.reports.charts.spec import spec
from sigmabench.reports.numbers import DASH
from sigmabench.reports.results import measured

vl_convert = pytest.importorskip("vl_convert")


def marks(chart, kind):
    """The items of all marks of a kind that a chart draws, as Vega lays them out."""
    found = []

    def walk(node):
        if isinstance(node, dict):
            if node.get("marktype") == kind and node.get("role") == "mark":
                found.extend(item for item in node["items"])
            for child in node.values():
                walk(child)
        elif isinstance(node, list):
            for child in node:
                walk(child)

    walk(vl_convert.vegalite_to_scenegraph(chart.to_dict()))
    return found


def texts(chart):
    return [item["text"] for item in marks(chart, "text")]


@pytest.fixture(scope="module")
def small():
    return sweep(samplers=["dpmpp_2m", "heun"], steps=(5, 20), scales=(1.0, 3.0))


def front(results, metric, cost):
    """Cells that none of at most their cost beats, by brute force."""
    rows = measured(results, metric)
    return {
        f"{a.sampler} {a.steps} · cfg {a.scale:g}" for a in rows.itertuples()
        if not any(getattr(b, cost) <= getattr(a, cost) and b.value < a.value for b in rows.itertuples())
    }  # fmt: skip


@pytest.mark.parametrize("cost", ["nfe", "seconds"])
def test_the_front_names_exactly_the_cells_that_nothing_cheaper_beats(cost):
    results = sweep()
    drawn = texts(charts.quality(results, FD, cost))
    assert set(drawn) == front(results, FD, cost)
    assert len(drawn) < results["cell"].nunique() / 4


def test_the_front_of_a_metric_that_should_be_high_is_its_upper_edge():
    results = frame(
        row(CLIP, 60.0, steps=5), row(CLIP, 70.0, steps=10), row(CLIP, 65.0, steps=20), row(CLIP, 50.0, 0.5, steps=7)
    )
    assert set(texts(charts.quality(results, CLIP))) == {"euler 5 · cfg 3", "euler 10 · cfg 3"}


def test_every_cell_is_a_point_with_its_interval(small):
    chart = charts.quality(small, FD)
    rows = measured(small, FD)
    assert len(marks(chart, "symbol")) == len(marks(chart, "rule")) == len(rows)
    assert {item["fill"] for item in marks(chart, "symbol")} == set(theme.colours(["dpmpp_2m", "heun"]))
    heights = sorted((item["y"] for item in marks(chart, "symbol")), reverse=True)
    assert heights == sorted(heights, reverse=True)
    assert len(set(heights)) == rows["value"].nunique()


def test_points_on_the_front_are_as_large_as_that_is_probable():
    likely, unlikely = row(FD, 10.0, steps=5), row(FD, 20.0, steps=10)
    results = frame(
        {**likely, "p_front_nfe": 1.0, "p_front_seconds": 1.0}, {**unlikely, "p_front_nfe": 0.0, "p_front_seconds": 0.0}
    )
    assert sorted(item["size"] for item in marks(charts.quality(results), "symbol")) == [34, 190]


def test_the_trade_off_runs_along_the_scale_and_names_it():
    results = sweep(samplers=["heun"], steps=(5,), scales=(6.0, 1.0, 3.0))
    chart = charts.tradeoff(results)
    assert [text for text in texts(chart) if text in "136"] == ["6", "1", "3"]
    (line,) = {tuple(round(item["x"], 3) for item in marks(chart, "line"))}
    assert list(line) == sorted(line)  # adherence rises with the scale
    assert charts.tradeoff(results, CLIP) is None


def test_many_numbers_of_steps_are_drawn_as_few_medium_and_many():
    results = sweep(samplers=["heun"], steps=(5, 8, 12, 20, 30))
    assert len(marks(charts.tradeoff(results), "symbol")) == 3 * 3


def test_the_heat_map_writes_every_number_and_frames_the_unbeaten():
    results = frame(
        row(FD, 10.0, steps=5), row(FD, 10.2, steps=5, scale=1.0), row(FD, 90.0, steps=20),
        broken("failed", "boom", steps=20, scale=1.0),
    )  # fmt: skip
    chart = charts.heat(results)
    assert sorted(texts(chart)) == ["10.00", "10.20", "90.00", "failed"]
    rects = marks(chart, "rect")
    assert sum(item.get("fill", "transparent") != "transparent" for item in rects) == 3
    assert sum(item.get("strokeOpacity") == 1 for item in rects) == 2


def test_the_ranking_is_in_order_with_ranks_and_chances():
    standing = {"rank_low": 1.0, "rank_high": 2.0, "p_best": 0.731}
    results = frame(
        {**row(FD, 12.0, steps=10), **standing, "p_best": 0.269}, {**row(FD, 11.0, steps=20), **standing},
        {**row(FD, 40.0, steps=5), "rank_low": 3.0, "rank_high": 3.0, "p_best": 0.0},
    )  # fmt: skip
    chart = charts.ranking(results)
    assert [text for text in texts(chart) if text not in ("Rank", "Chance to be best")] == [
        f"1{DASH}2", f"1{DASH}2", "3", "0.27", "0.73", "< 0.01",
    ]  # fmt: skip
    across = [item["x"] for item in sorted(marks(chart, "symbol"), key=lambda item: item["y"])]
    assert across == sorted(across)
    assert len(marks(charts.ranking(results, most=2), "symbol")) == 2
    assert charts.ranking(frame(row(LIGHT, 0.5))) is None


def test_a_sampler_looks_the_same_in_every_chart_and_unlike_any_other():
    names = [f"sampler_{i:02}" for i in range(19)]
    assert len(set(zip(theme.colours(names), theme.shapes(names), strict=True))) == 19
    results = sweep(samplers=names, steps=(5,), scales=(3.0,))
    wanted = set(zip(theme.colours(names), theme.shapes(names), strict=True))
    for chart in (charts.quality(results), charts.tradeoff(results), charts.ranking(results)):
        drawn = {(item["fill"], item["shape"]) for item in marks(chart, "symbol")}
        assert drawn == wanted


def test_the_specification_for_a_page_holds_no_numbers_of_the_frame(small):
    for chart in (charts.quality(small), charts.tradeoff(small), charts.heat(small), charts.ranking(small)):
        bare = spec(chart)
        assert bare["data"] == {"name": "rows"}
        assert len(json.dumps(bare)) < 9000
        assert not {"config", "$schema", "datasets"} & bare.keys()


def test_unknown_costs_metrics_and_files_are_refused_with_the_legal_ones(small, tmp_path):
    with pytest.raises(ValueError, match="cost = 'dollars' is not nfe or seconds"):
        charts.quality(small, cost="dollars")
    with pytest.raises(ValueError, match="no metric of these results is ranked"):
        charts.quality(frame(row(LIGHT, 0.5)))
    with pytest.raises(ValueError, match=r"ends in \.gif; figures are \.svg, \.png, \.pdf"):
        charts.save(charts.quality(small), tmp_path / "x.gif")


def test_figures_for_papers_are_written_whole(small, tmp_path):
    chart = charts.quality(small)
    heads = {".svg": b"<svg", ".png": b"\x89PNG", ".pdf": b"%PDF"}
    for suffix, head in heads.items():
        assert charts.save(chart, tmp_path / f"quality{suffix}").read_bytes().startswith(head)
    assert len(list(tmp_path.iterdir())) == 3


def test_missing_and_infinite_numbers_are_left_out_not_drawn_at_zero():
    nothing = dict.fromkeys(("value", "low", "high", "se"), math.nan)
    results = frame({**row(FD, 9.0), **nothing}, row(FD, math.inf, steps=3), row(FD, 8.0, steps=5))
    for chart in (charts.quality(results), charts.heat(results), charts.ranking(results)):
        assert (
            len(
                marks(chart, "symbol")
                + [item for item in marks(chart, "rect") if item.get("fill", "transparent") != "transparent"]
            )
            == 1
        )


def test_the_figure_of_comfyuis_report_node_is_the_reports_chart(small, tmp_path):
    from PIL import Image

    from sigmabench.eval.comfyui.pictures import figure

    drawn = Image.open(charts.save(charts.quality(small, FD), tmp_path / "chart.png")).convert("RGB")
    assert np.array_equal((figure(small)[0] * 255).round().byte().numpy(), np.asarray(drawn))
    said = figure(small.assign(value=math.nan))[0]
    assert said.shape[0] < 60  # a line of text: that no metric has a value
    assert said.min() < 0.3
