"""Whole sweeps: resumed after any end, failures recorded, numbers the same again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sigmabench.eval.errors import UsageError
from sigmabench.eval.plans import load_plan
from sigmabench.eval.publish import publish
from sigmabench.eval.results import results
from sigmabench.eval.runner import Runner
from sigmabench.eval.store import Store
from sigmabench.eval.sweep import Sweep

FIELDS = {
    "models": ["gaussian_mixture(size=8)"],
    "samplers": ["euler", "dpmpp_2m_sde"],
    "steps": [3, 5],
    "scales": [1, 2],
    "prompts": ["a cat", "a dog"],
    "images": 12,
    "metrics": ["luminance", "contrast"],
    "batch_size": 5,
}


def quiet(images, cell):
    pass


def run(folder, **changes):
    runner = Runner(Sweep(**{**FIELDS, **changes}), folder)
    return runner, runner.run(quiet)


def numbers(folder):
    plan = load_plan(folder)
    frame = results(plan, Store(folder))
    return frame.set_index(["cell", "metric"])[["value", "se", "nfe", "images"]]


def test_a_second_run_makes_nothing_and_says_the_same(tmp_path):
    _, first = run(tmp_path)
    before = numbers(tmp_path)
    _, second = run(tmp_path)
    assert (first.made, first.kept) == (96, 0)
    assert (second.made, second.kept) == (0, 96)
    pd.testing.assert_frame_equal(numbers(tmp_path), before)


def test_an_extended_sweep_makes_only_what_is_new_and_agrees_with_one_made_at_once(tmp_path):
    run(tmp_path / "grown", images=7, steps=[3])
    _, grown = run(tmp_path / "grown")
    run(tmp_path / "whole")
    assert (grown.made, grown.kept) == (96 - 4 * 7, 4 * 7)
    pd.testing.assert_frame_equal(numbers(tmp_path / "grown"), numbers(tmp_path / "whole"), rtol=1e-6)


def test_batch_size_changes_no_number(tmp_path):
    run(tmp_path / "five")
    run(tmp_path / "twelve", batch_size=12)
    pd.testing.assert_frame_equal(numbers(tmp_path / "five"), numbers(tmp_path / "twelve"), rtol=1e-6)


def test_evaluations_are_those_the_network_saw(tmp_path):
    run(tmp_path)
    frame = results(load_plan(tmp_path), Store(tmp_path))
    assert (frame.nfe == frame.steps * frame.scale).all()


def test_a_failing_cell_is_recorded_and_the_rest_go_on(tmp_path, monkeypatch):
    from sigmabench.samplers.sde import DPMpp2MSDE

    def broken(self, x, path, noise):
        yield x, path.levels[0]
        raise RuntimeError("out of luck")

    with monkeypatch.context() as patch:
        patch.setattr(DPMpp2MSDE, "__call__", broken)
        _, outcome = run(tmp_path)
    assert set(outcome.failed.values()) == {"RuntimeError: out of luck"}
    frame = results(load_plan(tmp_path), Store(tmp_path))
    assert set(zip(frame.sampler, frame.status, strict=True)) == {("euler", "ok"), ("dpmpp_2m_sde", "failed")}
    assert frame.reason[frame.status == "failed"].unique().tolist() == ["RuntimeError: out of luck"]
    _, again = run(tmp_path)
    assert (again.failed, again.made) == ({}, 48)


def test_a_damaged_shard_is_made_again_with_the_same_numbers(tmp_path):
    run(tmp_path)
    before = numbers(tmp_path)
    shard = next(tmp_path.glob("cells/*/0*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-7])
    _, outcome = run(tmp_path)
    assert outcome.made == 12
    pd.testing.assert_frame_equal(numbers(tmp_path), before)


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty"])
def test_a_report_leaves_a_damaged_shard_out_and_says_so(tmp_path, damage):
    run(tmp_path)
    shard = next(tmp_path.glob("cells/*/0*.safetensors"))
    data = bytearray(shard.read_bytes())
    data[-3] ^= 1
    shard.write_bytes({"truncate": bytes(data[:-7]), "flip": bytes(data), "empty": b""}[damage])
    publish(load_plan(tmp_path), tmp_path)
    frame = results(load_plan(tmp_path), Store(tmp_path)).set_index("cell")
    (reason,) = set(frame.reason[frame.status == "failed"])
    assert set(frame.index[frame.status == "failed"]) == {shard.parent.name}
    assert reason == f"shard {shard.name} is damaged and left out; 0 of 12 images are there; run the sweep again"
    assert frame.value[frame.status == "ok"].notna().all()


def test_the_scale_of_wrapped_guidance_is_in_the_table(tmp_path):
    run(tmp_path, guidance=["interval(sigma_lo=0.1)"], scales=[1, 3], samplers=["euler"], steps=[3])
    frame = results(load_plan(tmp_path), Store(tmp_path))
    assert set(zip(frame.guidance, frame.scale, strict=True)) == {
        ("interval(guidance=cfg(scale=1), sigma_lo=0.1)", 1.0), ("interval(guidance=cfg(scale=3), sigma_lo=0.1)", 3.0),
    }  # fmt: skip


def test_impossible_cells_are_in_the_table_with_their_reason(tmp_path):
    run(tmp_path, schedules=["model", "cosine"])
    frame = results(load_plan(tmp_path), Store(tmp_path))
    refused = frame[frame.schedule == "cosine"]
    assert set(refused.status) == {"refused"}
    assert refused.reason.str.contains("noisier than").all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedules": ["cosine"]}, "no cell of this sweep can be run"),
        ({"prompts": [], "models": ["gaussian_mixture", "embedded"]}, "prompts are missing"),
        ({"images": 1}, "needs at least 2 images, images = 1"),
        ({"models": ["diffusers(path='/nowhere/at/all')"]}, "/nowhere/at/all"),
        ({"dtype": "float16", "device": "cpu"}, "float16"),
    ],
)
def test_bad_input_is_found_before_anything_is_written(tmp_path, changes, message):
    with pytest.raises(UsageError, match=message):
        Runner(Sweep(**{**FIELDS, **changes}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_published_tables_and_page_hold_the_numbers(tmp_path):
    runner, _ = run(tmp_path)
    page = publish(runner.plan, tmp_path)
    table = pd.read_parquet(tmp_path / "results.parquet")
    assert len(table) == 16
    assert "euler" in page.read_text()
    row = table[(table.sampler == "euler") & (table.steps == 3) & (table.scale == 1) & (table.metric == "luminance")]
    arrays = [o["luma/rec601"][:, 0] for o in Store(tmp_path).observations(runner.plan.cells[0].cell, 12)]
    assert row.value.item() == pytest.approx(np.concatenate(arrays).mean(), rel=1e-6)


def test_every_image_has_a_row_whose_mean_is_the_cells_number(tmp_path):
    runner, _ = run(tmp_path)
    publish(runner.plan, tmp_path)
    images, table = pd.read_parquet(tmp_path / "images.parquet"), pd.read_parquet(tmp_path / "results.parquet")
    assert len(images) == 8 * 12
    assert (images.seed == images["index"]).all()
    assert images[images["index"] == 3].prompt.unique().tolist() == ["a dog"]
    means = images.groupby("cell")[["luminance", "contrast"]].mean().stack()
    expected = table.set_index(["cell", "metric"]).value
    np.testing.assert_allclose(means[expected.index], expected, rtol=1e-6)
    cell = runner.plan.cells[0].cell
    arrays = [o["luma/rec601"][:, 0] for o in Store(tmp_path).observations(cell, 12)]
    np.testing.assert_allclose(images[images.cell == cell.key].luminance, np.concatenate(arrays), rtol=1e-5)


def command(folder, sweep_file):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    arguments = [sys.executable, "-m", "sigmabench", "sweep", str(sweep_file), "--out", str(folder)]
    return subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_sweep_goes_on_and_ends_with_the_same_numbers(tmp_path, end):
    fields = {**FIELDS, "models": ["gaussian_mixture(size=48)"], "images": 16, "steps": [6, 9]}
    sweep_file = tmp_path / "sweep.yaml"
    sweep_file.write_text(json.dumps(fields))
    killed = command(tmp_path / "killed", sweep_file)
    deadline = time.monotonic() + 120
    while not list(Path(tmp_path / "killed").glob("cells/*/0*.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.02)
    killed.send_signal(end)
    _, errors = killed.communicate(timeout=60)
    made = len(list((tmp_path / "killed").glob("cells/*/0*.safetensors")))
    assert 1 <= made < 8, "the signal came too late to interrupt anything"
    if end != signal.SIGKILL:
        assert killed.returncode == 130
        assert "goes on from there" in errors
    _, resumed = run(tmp_path / "killed", **fields)
    _, whole = run(tmp_path / "whole", **fields)
    assert resumed.kept == 16 * made
    assert whole.made == 16 * 8
    pd.testing.assert_frame_equal(numbers(tmp_path / "killed"), numbers(tmp_path / "whole"))
