"""What is seen comes to the host beside the sampling: nothing is read before it has come, and nobody waits for more.

The device that is always behind does nothing until it is waited for; what was fetched from it is nonsense until then.
"""

from contextlib import contextmanager
from functools import partial

import numpy as np
import pytest
import torch
from waits import Waits

from sigmabench.eval import making, readback
from sigmabench.eval.cells import plan, samples
from sigmabench.eval.claims import Claims
from sigmabench.eval.making import Maker, Outcome
from sigmabench.eval.metrics.pixels import PixelObserver
from sigmabench.eval.readback import Fetched, SameStream, SecondStream, beside
from sigmabench.eval.references import Solution, of_all
from sigmabench.eval.runner import Runner
from sigmabench.eval.store import Store
from sigmabench.eval.sweep import Sweep
from sigmabench.plugins.registry import build
from sigmabench.samplers import RungeKutta

FIELDS = {
    "models": ["gaussian_mixture(size=8)"], "samplers": ["euler", "runge_kutta"], "steps": [3], "scales": [1],
    "prompts": ["a cat", "a dog"], "images": 18, "batch_size": 5, "shard_size": 6,
    "metrics": ["luminance", "trajectory_error(sampler=heun, spacing=trailing, steps=9)"],
}  # fmt: skip


class Behind:
    """A device that has come to an event only after somebody waited for it, or for a later one."""

    def __init__(self, device=""):
        self.queue, self.asked, self.reached, self.waits, self.held, self.most = [], 0, 0, 0, 0, 0

    @contextmanager
    def looking(self, *at):
        yield

    def fetch(self, seen):
        self.asked += 1
        copies = {name: self.nonsense(rows) for name, rows in seen.items()}
        self.queue.append((copies, seen))
        return Fetched(copies, Event(self, self.asked))

    def nonsense(self, rows):
        shape = np.asarray(rows).shape
        return np.full(shape, np.nan if np.asarray(rows).dtype.kind == "f" else 0, np.asarray(rows).dtype)

    def arrive(self, number):
        while self.reached < number:
            copies, seen = self.queue.pop(0)
            for name, rows in seen.items():
                copies[name][...] = np.asarray(rows)
            self.reached += 1


class Event:
    def __init__(self, device, number):
        self.device, self.number = device, number

    def query(self):
        return self.number <= self.device.reached

    def synchronize(self):
        self.device.waits += not self.query()
        self.device.arrive(self.number)


@pytest.fixture
def behind(monkeypatch):
    devices = []

    def make(device):
        devices.append(Behind())
        return devices[-1]

    monkeypatch.setattr(making, "beside", make)
    return devices


def run(folder, progress=lambda images, cell: None, **changes):
    runner = Runner(Sweep(**{**FIELDS, **changes}), folder)
    return runner, runner.run(progress)


def stored(runner, folder):
    return [
        {name: rows.tolist() for name, rows in shard.items()}
        for planned in runner.plan.runnable
        for shard in Store(folder).observations(planned.cell, FIELDS["images"])
    ]


def test_a_device_that_is_behind_gives_the_same_and_is_waited_for_once_a_shard(tmp_path, behind, monkeypatch):
    late, outcome = run(tmp_path / "late", save_images=True)
    assert (outcome.made, outcome.failed) == (36, {})
    references, cells = behind
    assert (references.waits, references.asked) == (3, 6)
    assert (cells.waits, cells.asked) == (6, 12)  # 3 shards of 2 cells, each of two batches
    monkeypatch.undo()
    once, _ = run(tmp_path / "once", save_images=True)
    assert stored(late, tmp_path / "late") == stored(once, tmp_path / "once")
    pictures = [sorted(path.glob("cells/*/images/*.png")) for path in (tmp_path / "late", tmp_path / "once")]
    assert len(pictures[0]) == 36 + 18  # of the reference too
    assert [path.read_bytes() for path in pictures[0]] == [path.read_bytes() for path in pictures[1]]


def test_a_shard_is_published_while_the_next_is_made(tmp_path, behind, monkeypatch):
    put, seen = Store.put, []

    def published(self, cell, start, *rest):
        seen.append(("published", start))
        return put(self, cell, start, *rest)

    monkeypatch.setattr(Store, "put", published)
    metrics = ["luminance"]
    run(tmp_path, progress=lambda images, cell: seen.append(images), samplers=["euler"], metrics=metrics)
    batches = [5, 1, 5, 1, ("published", 0), 5, 1, ("published", 6), ("published", 12)]
    assert [one for one in seen if one] == batches


def test_an_interrupt_loses_nothing_that_is_complete(tmp_path, behind):
    heard = []

    def interrupt(images, cell):
        heard.append(images)
        if heard.count(5) == 2:  # in the second shard
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, progress=interrupt, samplers=["euler"], metrics=["luminance"])
    assert [path.name for path in tmp_path.glob("cells/*/0*")] == ["0000000-0000006.safetensors"]
    assert not list((tmp_path / "claims").iterdir())


def third_batch_diverges(self, x, path, noise):
    third_batch_diverges.calls += 1
    x, x0 = yield x, path.levels[0]
    if third_batch_diverges.calls == 3:
        x0[1] = float("nan")
    return x0


def test_images_that_are_not_finite_end_their_cell_and_keep_what_was_before(tmp_path, behind, monkeypatch):
    third_batch_diverges.calls = 0
    monkeypatch.setattr(RungeKutta, "__call__", third_batch_diverges)
    _, outcome = run(tmp_path, metrics=["luminance"])
    assert set(outcome.failed.values()) == {"FloatingPointError: 1 of 5 images are not finite: runge_kutta diverged"}
    assert outcome.made == 18 + 6
    (failed,) = outcome.failed
    assert [path.name for path in (tmp_path / "cells" / failed).glob("0*")] == ["0000000-0000006.safetensors"]
    assert (tmp_path / "cells" / failed / "failed.json").exists()
    assert not list((tmp_path / "claims").iterdir())


def test_an_error_in_a_later_shard_waits_for_the_ones_before(tmp_path, behind, monkeypatch):
    call, calls = RungeKutta.__call__, []

    def third(self, x, path, noise):
        calls.append(1)
        if len(calls) == 3:
            raise ZeroDivisionError("out of luck")
        return (yield from call(self, x, path, noise))

    monkeypatch.setattr(RungeKutta, "__call__", third)
    _, outcome = run(tmp_path, samplers=["runge_kutta"], metrics=["luminance"])
    assert set(outcome.failed.values()) == {"ZeroDivisionError: out of luck"}
    assert outcome.made == 6


def test_a_device_that_breaks_down_fails_the_cells_that_asked(tmp_path, behind, monkeypatch):
    def broken(self):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(Event, "query", broken)
    monkeypatch.setattr(Event, "synchronize", broken)
    _, outcome = run(tmp_path, metrics=["luminance"])
    reason = "RuntimeError: CUDA error: an illegal memory access was encountered"
    assert (outcome.made, list(outcome.failed.values())) == (0, [reason, reason])
    assert not list((tmp_path / "claims").iterdir())


def test_an_observer_that_sees_no_number_names_the_image_when_it_has_come(tmp_path, behind, monkeypatch):
    look = PixelObserver.__call__

    def blind(self, images, prompts):
        rows = look(self, images, prompts)
        rows[-1] = torch.nan
        return rows

    monkeypatch.setattr(PixelObserver, "__call__", blind)
    _, outcome = run(tmp_path, metrics=["luminance"])
    assert set(outcome.failed.values()) == {
        "FloatingPointError: luma/rec601 of 1 of 5 images is not finite, the first is 4"
    }


def test_an_observer_may_answer_an_array(tmp_path, behind, monkeypatch):
    look = PixelObserver.__call__
    monkeypatch.setattr(PixelObserver, "__call__", lambda self, *given: look(self, *given).numpy())
    _, outcome = run(tmp_path, metrics=["luminance"])
    assert (outcome.made, outcome.failed) == (36, {})


# an exact count: a whole sweep on the meta device


class Numberless(Behind):
    """Fetches shapes; what comes of them is ones."""

    def nonsense(self, rows):
        return np.ones(rows.shape, torch.empty(0, dtype=rows.dtype).numpy().dtype) if torch.is_tensor(rows) else rows

    def arrive(self, number):
        self.reached = max(self.reached, number)


def test_a_shard_from_noise_to_observations_touches_the_host_once(tmp_path):
    """Of all the default embedded metrics. What is not so: docs in eval/README.md, "What waits for a GPU"."""
    prompts = ["a photo of a cat", "a photo of a dog"]
    metrics = [
        "fd", "clip_score", "class_agreement", "diversity", "luminance", "sharpness", "colourfulness",
        "trajectory_error(steps=1)",
    ]  # fmt: skip
    sweep = Sweep(
        models=["embedded"], samplers=["euler"], steps=[2], scales=[3], prompts=prompts, images=12,
        batch_size=3, shard_size=6, metrics=metrics, save_images=True,
    )  # fmt: skip
    model = build("backend", "embedded").load("meta")
    seers = {one.name: one for metric in metrics for one in build("metric", metric).observers("meta")}
    store, cells = Store(tmp_path), plan(sweep, "embedded", model, prompts)
    draw = partial(samples, sweep, prompts)
    observers = list(seers.values())
    references = of_all(cells, observers)
    with Claims(tmp_path / "claims") as claims:
        for made, lookers in ((references, [Solution()]), (cells, observers)):
            maker, outcome = Maker(sweep, model, lookers, "meta", store, claims), Outcome()
            maker.beside = device = Numberless()
            todo = [(cell, start, start + 6) for cell in made for start in (0, 6)]
            with Waits() as waits:
                maker.make(todo, draw, outcome, lambda *_: None)
            assert (outcome.failed, outcome.made) == ({}, 6 * len(todo))
            assert waits.count == 0
            assert (device.waits, device.asked) == (len(todo), 2 * len(todo))  # once a shard, of two batches each


# the second stream itself


def test_a_second_stream_is_for_cuda_alone():
    assert all(isinstance(beside(device), SameStream) for device in ("cpu", "mps", "meta"))


class Log(list):
    """Stands for torch.cuda: what was asked of it, in order."""

    class _Stream:
        def __init__(self, log, name):
            self.log, self.name, self.device = log, name, None

        def wait_stream(self, other):
            self.log.append(f"{self.name} waits for {other.name}")

        def record_event(self):
            self.log.append(f"event on {self.name}")
            return "event"

    @contextmanager
    def entered(self, stream):
        self.append(f"enter {stream.name}")
        yield
        self.append("leave")


class OnDevice:
    is_cuda = True

    def __init__(self, log):
        self.log = log

    def record_stream(self, stream):
        self.log.append(f"kept for {stream.name}")


def test_looking_waits_for_the_sampling_and_keeps_its_memory(monkeypatch):
    log = Log()
    main, second = Log._Stream(log, "first"), Log._Stream(log, "second")
    monkeypatch.setattr(readback.torch.cuda, "Stream", lambda device: second)
    monkeypatch.setattr(readback.torch.cuda, "current_stream", lambda device: main)
    monkeypatch.setattr(readback.torch.cuda, "stream", log.entered)
    device = SecondStream("cuda")
    with device.looking(OnDevice(log), torch.zeros(1)):
        log.append("look")
    fetched = device.fetch({"rows": np.ones(2)})
    assert log == [
        "second waits for first", "kept for second", "enter second", "look", "leave",
        "enter second", "event on second", "leave",
    ]  # fmt: skip
    assert fetched._event == "event"
