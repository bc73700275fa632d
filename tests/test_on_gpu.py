"""The run on a GPU, on a CPU: budgets, failures, packing, what is carried, what is brought back."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from sigmabench.eval.benchmarks import PARTS, table
from sigmabench.eval.benchmarks.row import Row
from sigmabench.eval.benchmarks.timing import Spread
from sigmabench.eval.embedded.data import Images
from sigmabench.eval.embedded.generator import load_generator
from sigmabench.eval.embedded.training import Trainer
from sigmabench.eval.on_gpu import __main__ as command
from sigmabench.eval.on_gpu import agreement, bundle, collect, learning, packing, stages, summary, sweep
from sigmabench.eval.on_gpu import train as training
from sigmabench.eval.on_gpu.looks import looks
from sigmabench.eval.results import evaluate
from sigmabench.eval.runner import Runner
from sigmabench.eval.store import Store
from sigmabench.eval.sweep import load_sweep

ROOT = Path(command.__file__).resolve().parents[2]
SMALL = {**sweep.SMALL, "steps": [1, 2], "images": 10, "metrics": ["luminance"], "device": "cpu"}


def stage(name, most=60.0, **options):
    return stages.Stage(name, f"on_gpu_stages:{name}", most, **options)


def task(folder, seconds=60.0, **changes):
    return stages.Task(folder, "cpu", seconds, **{"options": {"what": "this"}, **changes})


def gone(pid):
    """Whether a process has ended; one that nobody waits for has too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


# stages


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Records of all kinds of stages, in one run of ten seconds."""
    folder, told = tmp_path_factory.mktemp("ran"), []
    order = [stage("good"), stage("failing"), stage("killed"), stage("endless", 1.0), stage("silent", 1.0)]
    began = time.monotonic()
    records = stages.run(order, task(folder, 10.0), "forkserver", lambda name, record: told.append(name))
    return folder, records, told, time.monotonic() - began


def test_a_stage_leaves_what_it_found_and_the_others_go_on(ran):
    folder, records, told, _ = ran
    assert told == ["good", "failing", "killed", "endless", "silent"]
    assert [records[name]["status"] for name in told] == ["done", "failed", "failed", "stopped", "stopped"]
    assert records["good"]["told"] == "this"
    assert 8 < records["good"]["second"] <= 10  # no more than is left
    assert all(records[name]["first"] == 1 for name in told[:4])
    assert all(json.loads((folder / f"{name}.json").read_text()) == records[name] for name in told)


def test_a_failure_brings_its_traceback_and_a_death_its_last_words(ran):
    _, records, _, _ = ran
    assert "ValueError: half way" in records["failing"]["error"]
    assert "on_gpu_stages.py" in records["failing"]["error"]
    assert "ended with -6: the device fell off the bus" in records["killed"]["error"]
    assert records["silent"]["error"] == "stopped after 1 s; what it had found is kept"


def test_what_overruns_is_stopped_with_all_that_it_started(ran):
    _, records, _, seconds = ran
    assert seconds < 10
    assert records["endless"]["seconds"] < 3
    deadline = time.monotonic() + 2
    while not gone(records["endless"]["child"]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert gone(records["endless"]["child"])


def test_time_is_kept_for_what_comes_later_and_a_stage_without_time_is_skipped(tmp_path):
    order = [stage("good", 100.0), stage("failing", 100.0, kept=8.0)]
    records = stages.run(order, task(tmp_path, 12.0), "forkserver")
    assert records["good"]["status"] == "skipped"  # 4 s are not enough to begin
    assert records["failing"]["status"] == "failed"
    assert stages.read(tmp_path, "good")["error"] == "no time was left"


# what is planned


def planned(*words):
    return command.plan(command.arguments(["out", *words]))


def test_all_parts_of_the_benchmarks_are_measured_and_the_sweep_has_its_time():
    found = {one.name: one for one in planned()}
    assert {name.removeprefix("rows-") for name in found if name.startswith("rows-")} == {*PARTS}
    assert list(found)[:2] == ["facts", "agreement"]
    assert list(found)[-2:] == ["sweep", "sweep-tables"]
    assert found["sweep"].kept == command.SWEEP
    assert "train" not in found


def test_every_planned_stage_can_be_imported():
    for one in planned("--train-minutes", "5", "--data", "."):
        module, _, function = one.call.partition(":")
        assert callable(getattr(sys.modules.get(module) or __import__(module, fromlist=["_"]), function))


def test_training_takes_what_is_left_and_asks_for_its_data(capsys):
    found = planned("--train-minutes", "20", "--data", ".")
    assert found[-1].name == "train"
    assert {one.name: one.most for one in found}["sweep"] == command.SWEEP
    assert [one.name for one in planned("--stages", "train", "--train-minutes", "9", "--data", ".")] == ["train"]
    with pytest.raises(SystemExit):
        command.arguments(["out", "--stages", "train"])
    assert "training needs --train-minutes and --data" in capsys.readouterr().err


# packing


def test_groups_are_packed_in_order_of_worth_within_the_limits(tmp_path):
    work, out = tmp_path / "work", tmp_path / "out"
    noise = np.random.default_rng(0)
    for name, size in (("small.json", 2_000), ("big/a.bin", 25_000), ("big/b.bin", 8_000), ("last.bin", 30_000)):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_bytes(noise.bytes(size))
    out.mkdir()
    groups = [packing.Group(*given) for given in (("a", ("*.json",)), ("b", ("big/*",)), ("c", ("last.bin",)))]
    left = packing.pack(work, out, groups, packing.Limits(files=4, each=15_000, together=60_000))
    assert sorted(path.name for path in out.iterdir()) == [
        "a.tar.gz", "b.tar.gz.0", "b.tar.gz.1", "b.tar.gz.2"
    ]  # fmt: skip
    assert max(path.stat().st_size for path in out.iterdir()) <= 15_000
    assert left == ["c: 0.0 MiB in 3 files do not fit"]
    assert packing.unpack(out, tmp_path / "back") == ["a", "b"]
    for name in ("small.json", "big/a.bin", "big/b.bin"):
        assert (tmp_path / "back" / name).read_bytes() == (work / name).read_bytes()


def test_only_what_has_changed_is_packed_again(tmp_path):
    work, out = tmp_path / "work", tmp_path / "out"
    work.mkdir()
    out.mkdir()
    groups = [packing.Group("a", ("a",)), packing.Group("b", ("b",))]
    for name in "ab":
        (work / name).write_text(name)
    packing.pack(work, out, groups, packing.Limits())
    first = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    os.utime(work / "b", ns=(time.time_ns() + 10**9, time.time_ns() + 10**9))
    packing.pack(work, out, groups, packing.Limits())
    again = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert again["a.tar.gz"] == first["a.tar.gz"]
    assert again["b.tar.gz"] > first["b.tar.gz"]


# agreement


def test_a_device_that_is_wrong_is_told_from_one_that_rounds(monkeypatch):
    own = torch.tensor([1.0, -4.0, 2.0])
    assert agreement.apart(own, own) == 0
    assert agreement.apart(own, own + torch.tensor([0.0, 0.0, 0.02])) == pytest.approx(0.005)
    met = [agreement.Check("a", difference, 1e-3).met for difference in (1e-3, 2e-3, float("nan"))]
    assert met == [True, False, False]
    assert "ZeroDivisionError" in agreement._tried("a", 1.0, lambda: 1 / 0).error


def test_networks_and_noise_agree_with_themselves(monkeypatch):
    found = {what: (tolerance, difference()) for what, tolerance, difference in (
        *agreement._noises("cpu"), *agreement._networks("cpu")
    )}  # fmt: skip
    assert all(difference <= tolerance for tolerance, difference in found.values())
    assert found["embedded network, float64"][1] == 0
    assert 0 < found["embedded network, float32"][1] < 1e-6 < found["embedded network, bfloat16"][1]


def test_images_are_seen_as_by_themselves():
    compared = list(looks("cpu", 6))
    assert len(compared) == 13
    assert all(difference() <= tolerance for _, tolerance, difference in compared)


# the sweep


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A run's folder as the stages of the sweep leave it, cut off after ten of its images."""
    work = tmp_path_factory.mktemp("swept")
    runner = Runner(load_sweep(sweep.FILE, {**SMALL, "images": 20}), work / sweep.FOLDER)
    seconds = sweep._made(runner, 10)
    assert seconds > 0
    (record,) = list(sweep.tables(task(work)))[-1:]
    assert record["pairs"] > 0
    return work, runner


def test_tables_are_those_of_the_images_that_all_cells_have(swept):
    work, runner = swept
    plan = sweep.load_plan(work / sweep.TABLES)
    assert plan.sweep.images == 10
    expected = evaluate(plan, Store(work / sweep.FOLDER)).results
    found = collect.read_results(work / sweep.TABLES)
    assert found["value"].tolist() == expected["value"].tolist()
    assert set(found["status"]) == {"ok"}
    assert sweep._evaluations(runner) == 10 * sum(2 * cell.cell.steps for cell in runner.plan.runnable)


def test_the_sweep_says_that_there_was_no_time_for_more(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "SMALL", {**SMALL, "images": 40})
    monkeypatch.setattr(sweep, "_made", lambda runner, images: 5.0)
    monkeypatch.setattr(sweep, "_network", lambda task: {1: lambda: None})
    with pytest.raises(TimeoutError, match=r"a batch of 4 cells took 5.0 s, and .* are left"):
        list(sweep.sweep(task(tmp_path, 6.0, small=True)))


def test_the_committed_sweep_is_one_of_24_cells():
    found = load_sweep(sweep.FILE)
    assert len(found.combinations()) * len(found.steps) * len(found.guided()) == 24
    assert found.batch_size == found.shard_size  # what is stopped loses no finished batch


# what comes back


def test_what_came_back_goes_into_the_reports(swept, tmp_path, monkeypatch):
    work, _ = swept
    row = Row("a row", "a peer", Spread(0.1, 0.1, 0.1), 0.25)
    file = table.write("noise", "cpu", [row], work / "benchmarks")
    facts = {"status": "done", "hardware": "a device", "versions": {"torch": "2.11"}}
    stages.write(work, "facts", facts)
    stages.write(work, "rows-noise", {"status": "done", "rows": [row.record()], "file": f"benchmarks/{file.name}"})
    record = {"cells": 4, "images": 10, "images_per_s": 20.0, "efficiency": 0.91, "network_rows_per_s": 500.0}
    stages.write(work, "sweep", {"status": "done", **record})
    out = tmp_path / "out"
    out.mkdir()
    assert command.finish(work, out, {"facts": facts}) == []
    reports = tmp_path / "reports"
    monkeypatch.setattr("sys.argv", ["collect", str(out), "--name", "device", "--reports", str(reports)])
    collect.main()
    assert (reports / "benchmarks" / "noise-cpu.json").read_bytes() == file.read_bytes()
    assert "## noise, cpu: 1 of 1 goals met" in (reports / "benchmarks" / "README.md").read_text()
    text = (reports / "device" / "README.md").read_text()
    assert "A sweep on a device" in text
    assert "\n\n## The call\n" in text
    assert "**0.910**" in text
    page = (reports / "device" / "report.html").read_text()
    assert "device: 4 settings, 10 images each" in page
    assert sorted(path.name for path in (reports / "device").iterdir()) == sorted([*collect.KEPT, "README.md"])


def test_a_summary_names_every_row_and_every_error(ran):
    row = Row("a row", "a peer", Spread(0.3, 0.1, 0.4), 0.25).record()
    page = summary.page({**ran[1], "rows-noise": {"status": "done", "rows": [row]}})
    assert "| a row | a peer | 0.3 | at most 0.25 | **no** |" in page
    assert "ValueError: half way" in page
    assert summary.line("failing", ran[1]["failing"]).endswith("ValueError: half way")


# what is carried


def test_the_bundle_has_all_that_running_needs_and_no_results(tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "download", lambda folder, python: (folder / "a.whl").write_bytes(b"wheel"))
    data = tmp_path / "data"
    data.mkdir()
    (data / bundle.TABLE).write_bytes(b"table")
    folder = tmp_path / "bundle"
    size = bundle.bundle(folder, data)
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"run.sh", "wheels/a.whl", f"data/{bundle.TABLE}", "sigmabench/tests/tiny_pipelines.py"} <= names
    assert "sigmabench/eval/embedded/weights/generator-v/unet/diffusion_pytorch_model.safetensors" in names
    assert "sigmabench/reports/templates/report.html" in names
    assert not [name for name in names if name.startswith(("sigmabench/reports/demo", "sigmabench/tests/test_"))]
    assert 20e6 < size < bundle.LIMIT
    code = (
        "import sigmabench.eval.on_gpu.__main__ as m, sys; print(m.__file__, 'torch' in sys.modules)\n"
        "from sigmabench.reports.self_contained import library; print(len(library()) > 500_000)"
    )
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{folder / 'stand-in'}"}
    done = subprocess.run([sys.executable, "-c", code], cwd="/", env=environment, capture_output=True, text=True)
    assert done.stdout.split() == [str(folder / "sigmabench/eval/on_gpu/__main__.py"), "False", "True"]
    monkeypatch.setattr(bundle, "LIMIT", 10**6)
    with pytest.raises(ValueError, match="the limit is 1; leave out --data"):
        bundle.bundle(folder, data)
    with pytest.raises(ValueError, match="exists and is no bundle"):
        bundle.bundle(data)


@pytest.mark.parametrize("beside", [False, True])
def test_the_call_finds_the_package_in_or_above_its_folder(tmp_path, beside):
    folder = tmp_path / "checkout" / "build" / "on-gpu"
    package = tmp_path / "checkout" if beside else folder / "sigmabench"
    (package / "eval" / "on_gpu").mkdir(parents=True)
    (folder / "wheels").mkdir(parents=True)
    (folder / "run.sh").write_text(bundle.RUN.format(revision="abc"))
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$PYTHONPATH" "$SIGMABENCH_REVISION" "$@"\n')
    python.chmod(0o755)
    environment = {**os.environ, "PYTHON": str(python), "TMPDIR": str(tmp_path)}
    command_line = ["sh", str(folder / "run.sh"), "OUT", "--minutes", "9"]
    done = subprocess.run(command_line, env=environment, capture_output=True, text=True, check=True, cwd="/")
    site = tmp_path / "sigmabench-site-abc"
    called = done.stdout.splitlines()[-1].split()
    assert called == [
        f"{site}/wheels:{folder}/stand-in:{site}/package",
        "abc",
        "-m",
        "sigmabench.eval.on_gpu",
        "OUT",
        "--minutes",
        "9",
    ]
    assert (site / "package" / "sigmabench").resolve() == package


def test_every_package_that_running_imports_is_known_to_be_needed():
    foreign = set()
    for path in {*(ROOT / "eval" / "on_gpu").glob("*.py")} - {Path(bundle.__file__), Path(collect.__file__)}:
        foreign |= set(re.findall(r"^\s*(?:from|import) ([a-z_]+)", path.read_text(), re.MULTILINE))
    from sigmabench.eval.on_gpu.facts import NEEDED

    assert foreign - sys.stdlib_module_names - {"tiny_pipelines"} <= {*NEEDED}


# training


@pytest.fixture
def table_of(monkeypatch):
    """Made-up images in place of a parquet file, and a rate that is not measured."""
    pixels = torch.randint(0, 256, (40, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    images = Images(pixels, torch.arange(40) % 10)
    schedule = learning.Schedule(10, 6, False, 100.0)
    monkeypatch.setattr(learning, "_laid_out", lambda unet, *_: (schedule, unet, []))
    return images


def test_training_that_is_interrupted_ends_with_the_weights_of_one_that_is_not(table_of, tmp_path, monkeypatch):
    def train(folder, steps):
        class Cut(Trainer):
            def run(self, loss):
                super().run(loss, until=steps)
                if self.step < self.total:
                    raise KeyboardInterrupt

        monkeypatch.setattr(learning, "Trainer", Cut)
        folder.mkdir(exist_ok=True)
        learning.train_kind(folder, "v", table_of, 60.0, "cpu", True, None)

    train(tmp_path / "whole", 6)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", 2)
    assert learning.snapshot(tmp_path / "cut", "v") == 2  # what a call brings back that ends before the training
    monkeypatch.setattr(learning, "_laid_out", None)  # the schedule is the one that it had
    train(tmp_path / "cut", 6)
    name = "generator-v/unet/diffusion_pytorch_model.safetensors"
    assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()
    record = stages.read(tmp_path / "cut", "v")
    assert (record["samples"], record["epochs"], record["finished"]) == (60, 1.5, True)


def test_rates_are_measured_and_the_schedule_fills_the_time(monkeypatch, tmp_path):
    def tried(unet, loss, rows, batch, compiled):
        return {"batch": batch, "compiled": compiled, "samples_per_s": rates[batch]}

    monkeypatch.setattr(learning, "_tried", tried)
    table = Images(torch.zeros(40, 3, 32, 32, dtype=torch.uint8), torch.arange(40) % 10)
    unet = load_generator("v").unet
    for rates, batch in (({1024: 1000.0, 2048: 1200.0}, 1024), ({1024: 1000.0, 2048: 1300.0}, 2048)):
        end = time.monotonic() + 100.0
        found, _, _ = learning._laid_out(unet, "v", table, learning.load_imagetext(), end, False)
        assert found.batch == batch
        assert found.steps == pytest.approx(learning.MARGIN * 100 * rates[batch] / batch, rel=0.05)
        assert found.learning_rate == pytest.approx(1e-3 * (batch / 512) ** 0.5)


def test_a_batch_that_does_not_fit_is_named_and_others_are_tried(monkeypatch):
    def loss(rows, rng):
        raise MemoryError("out of memory")

    unet = torch.nn.Linear(1, 1)
    rate = learning._tried(unet, loss, 40, 20, False)
    assert rate["error"] == "MemoryError: out of memory"


def test_a_training_is_found_while_it_holds_its_folder(tmp_path):
    assert not training.learning(tmp_path)
    with learning.alone(tmp_path):
        assert training.learning(tmp_path)
    assert not training.learning(tmp_path)


def test_a_training_without_its_data_says_so(tmp_path):
    with pytest.raises(ValueError, match=r"no folder with cifar10_train\.parquet"):
        list(training.train(task(tmp_path, options={"kinds": ["v"], "train_minutes": 1.0}, data=tmp_path)))


def test_the_verdict_is_told_and_only_better_weights_replace_the_committed(tmp_path, monkeypatch):
    monkeypatch.setattr(collect, "folder_of", lambda kind: tmp_path / "weights" / kind)
    for kind, better in (("v", True), ("eps", False)):
        (tmp_path / "train" / f"generator-{kind}").mkdir(parents=True)
        (tmp_path / "train" / f"generator-{kind}" / "file").write_text(kind)
        reasons = [] if better else ["Frechet distance"]
        scores = {"verdict": f"better than the committed weights: {better}", "better": better, "reasons": reasons}
        stages.write(tmp_path / "train", f"{kind}-scores", scores)
    lines = collect.weights(tmp_path, replace=True)
    assert (tmp_path / "weights" / "v" / "file").read_text() == "v"
    assert not (tmp_path / "weights" / "eps").exists()
    assert [line for line in lines if line.startswith("eps")] == [
        "eps: better than the committed weights: False. Frechet distance"
    ]
