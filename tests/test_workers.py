"""Many workers on one folder: the numbers of one, whatever kills them."""

import importlib.util
import os
import sys

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from sigmabench.eval.errors import UsageError
from sigmabench.eval.plans import load_plan
from sigmabench.eval.results import results
from sigmabench.eval.runner import Runner
from sigmabench.eval.store import Store
from sigmabench.eval.sweep import Sweep
from sigmabench.eval.watch import Watch
from sigmabench.eval.workers import Local, Ray, Slurm, launcher, run_with

FIELDS = {
    "models": ["gaussian_mixture(size=8)"],
    "samplers": ["euler", "dpmpp_2m_sde"],
    "steps": [3],
    "scales": [1, 2],
    "prompts": ["a cat", "a dog"],
    "images": 520,  # three shards a cell
    "metrics": ["luminance", "contrast"],
    "batch_size": 130,
}


def quiet(images, cell):
    pass


def run(workers, folder, progress=quiet):
    runner = Runner(Sweep(**FIELDS), folder)
    return run_with(workers, runner, runner.plan.runnable, runner.sweep.images, progress)


def arrays(folder):
    """Every observation of every shard, by file and name."""
    shards = {path.relative_to(folder): load_file(path) for path in sorted(folder.glob("cells/*/0*.safetensors"))}
    return {(str(path), name): array for path, found in shards.items() for name, array in found.items()}


def assert_same(one, other):
    assert one.keys() == other.keys()
    assert len(one) > 0
    for key, array in one.items():
        assert array.tobytes() == other[key].tobytes(), key


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    Runner(Sweep(**FIELDS), folder).run(quiet)
    return arrays(folder)


@pytest.fixture
def environment(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.mark.usefixtures("environment")
def test_two_processes_make_what_one_makes_to_the_byte(tmp_path, alone):
    seen = []
    outcome = run(Local(2), tmp_path, lambda images, cell: seen.append(images))
    assert (outcome.made, outcome.kept, outcome.failed) == (4 * 520, 0, {})
    assert sum(seen) == 4 * 520
    assert_same(arrays(tmp_path), alone)
    again = run(Local(1), tmp_path)
    assert (again.made, again.kept) == (0, 4 * 520)


@pytest.mark.usefixtures("environment")
def test_a_ray_cluster_makes_what_one_process_makes_to_the_byte(tmp_path, alone):
    if importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed: pip install 'sigmabench[ray]'")
    import ray

    try:
        outcome = run(Ray(2), tmp_path)
    finally:
        ray.shutdown()
    assert (outcome.made, outcome.failed) == (4 * 520, {})
    assert_same(arrays(tmp_path), alone)


@pytest.mark.usefixtures("environment")
def test_slurms_launcher_makes_what_one_process_makes_to_the_byte(tmp_path, alone):
    if importlib.util.find_spec("submitit") is None:
        pytest.skip("submitit is not installed: pip install 'sigmabench[slurm]'")
    outcome = run(Slurm(2, cluster="local"), tmp_path)
    assert (outcome.made, outcome.failed) == (4 * 520, {})
    assert_same(arrays(tmp_path), alone)


@pytest.mark.usefixtures("environment")
def test_a_cell_that_fails_in_a_worker_is_recorded_and_not_tried_by_the_next(tmp_path):
    fields = {**FIELDS, "samplers": ["euler", "lms(points=4)"], "images": 300}
    runner = Runner(Sweep(**fields), tmp_path)
    store = runner.begin(runner.plan.runnable, runner.sweep.images)
    broken = [planned.cell for planned in runner.plan.runnable if planned.cell.sampler != "euler"]
    for cell in broken:
        store.fail(cell, "RuntimeError: out of luck")
    outcome = Runner(load_plan(tmp_path).sweep, tmp_path).join(quiet)
    assert set(outcome.failed.values()) == {"RuntimeError: out of luck"}
    assert outcome.made == 2 * 300
    frame = results(load_plan(tmp_path), Store(tmp_path))
    assert set(frame[frame.status == "failed"].sampler) == {broken[0].sampler}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", Local(3)),
        ("local(count=5)", Local(5)),
        ("ray(count=8, cpus=2)", Ray(8, 2)),
        ("slurm(4, partition=gpu, minutes=60)", Slurm(4, "gpu", 60)),
    ],
)
def test_a_launcher_is_written_like_a_plugin(text, expected):
    assert launcher(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [("0", "1 <= count <= 1024"), ("lsf", "legal are a number, local, ray, slurm"), ("ray(gpu=1)", "gpu")],
)
def test_a_wrong_launcher_is_refused_with_the_legal_ones(text, message):
    with pytest.raises(UsageError, match=message):
        launcher(text)


def test_a_watch_hears_of_each_shard_once_and_reads_none(tmp_path, monkeypatch):
    runner = Runner(Sweep(**FIELDS), tmp_path)
    cells = runner.plan.runnable
    store = runner.begin(cells, 520)
    runner.extend(cells, 250, quiet)
    watch, heard = Watch(store, cells, 520), []
    monkeypatch.setattr("sigmabench.eval.store._intact", None)  # whatever opens a shard fails
    watch.look(lambda images, cell: heard.append(images))
    assert heard == []
    monkeypatch.undo()
    runner.extend(cells[:1], 520, quiet)
    damaged = store.shards(cells[1].cell)[0].path
    damaged.write_bytes(damaged.read_bytes())  # written anew
    monkeypatch.setattr("sigmabench.eval.store._intact", None)
    watch.look(lambda images, cell: heard.append((cell, images)), closely=True)
    assert sorted(heard, key=str) == sorted([(cells[0].cell, 250), (cells[0].cell, 20), (cells[1].cell, 250)], key=str)
    watch.look(lambda images, cell: heard.append((cell, images)), closely=True)
    assert len(heard) == 3


def test_results_do_not_depend_on_who_made_which_shard(tmp_path, alone):
    folder = tmp_path / "run"
    for images in (100, 400, 520):
        Runner(Sweep(**{**FIELDS, "images": images}), folder).run(quiet)
    frame = results(load_plan(folder), Store(folder)).set_index(["cell", "metric"])["value"]
    luma = {}
    for (path, name), array in alone.items():
        if name == "luma/rec601":
            luma.setdefault(path.split(os.sep)[1], []).append(array[:, 0])
    expected = pd.Series({(cell, "luminance"): np.concatenate(parts).mean() for cell, parts in luma.items()})
    np.testing.assert_allclose(frame[expected.index], expected, rtol=1e-6)
