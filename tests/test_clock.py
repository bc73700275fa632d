"""Time of work on a device: shares of spans add up, and nothing waits for the device before they are wanted."""

import time

import pytest
import torch

from sigmabench.eval import clock
from sigmabench.eval.backends.mixture import GaussianMixture
from sigmabench.eval.cells import Cell, samples
from sigmabench.eval.clock import Seconds, Span
from sigmabench.eval.engine import produce
from sigmabench.eval.jobs import Job
from sigmabench.eval.sweep import Sweep


class DeviceEvent:
    """An event of a device that is always behind: it comes to one when it is waited for, 20 ms after the last."""

    waited, came = 0, 0.0

    def record(self):
        DeviceEvent.came += 20.0
        self.at = DeviceEvent.came
        self.reached = False

    def synchronize(self):
        DeviceEvent.waited += 1
        self.reached = True

    def elapsed_time(self, later):
        if not later.reached:
            raise RuntimeError("the device has not come to this event")
        return later.at - self.at


@pytest.fixture
def behind(monkeypatch):
    monkeypatch.setitem(clock.EVENTS, "cpu", DeviceEvent)
    monkeypatch.setattr(DeviceEvent, "waited", 0)


def test_a_span_of_the_host_is_its_clock():
    span = Span("cpu")
    time.sleep(0.02)
    span.end()
    time.sleep(0.05)
    assert 0.02 <= span.seconds < 0.05


def test_shares_of_spans_add_up(behind):
    first, second = Span("cpu").end(), Span("cpu").end()
    one, other = Seconds(), Seconds()
    one.add(first)
    one.add(second, 0.25)
    other.add(second, 0.75)
    other.extend(one)
    assert float(one) == pytest.approx(0.020 + 0.005)
    assert float(other) == pytest.approx(0.015 + 0.025)
    assert float(Seconds()) == 0.0


def test_the_device_is_waited_for_when_the_seconds_are_wanted_and_once_a_span(behind):
    model = GaussianMixture(size=4).load()
    cell = Cell("mixture", "heun", "model", "trailing", 5, "cfg(scale=3)", "0", 0, "float32")
    drawn = samples(Sweep(images=3, prompts=["a cat"]), ["a cat"], 0, 3)
    jobs = [Job(cell, drawn), Job(cell, drawn)]
    ended = list(produce(model, jobs, rows=6))
    assert DeviceEvent.waited == 0
    seconds = [float(done.seconds) for done in ended]
    spans = DeviceEvent.waited
    assert seconds[0] == seconds[1]  # half of what they shared, and the start in full for each
    rounds = 2 * 5 - 1
    assert spans == 2 + rounds - 1  # both branches of the start, then a call a round
    assert seconds[0] == pytest.approx(0.020 * (2 + (rounds - 1) / 2))
    assert [float(done.seconds) for done in ended] == seconds
    assert DeviceEvent.waited == spans


def test_images_that_are_not_finite_are_found_when_they_are_read():
    model = GaussianMixture(size=4).load()
    denoise = model.denoise
    model.denoise = lambda x, levels, condition: denoise(x, levels, condition).index_fill(
        0, torch.tensor([1]), float("nan")
    )
    cell = Cell("mixture", "euler", "model", "trailing", 3, "cfg(scale=1)", "0", 0, "float32")
    (done,) = produce(model, [Job(cell, samples(Sweep(images=3, prompts=["a cat"]), ["a cat"], 0, 3))])
    assert done.error is None
    assert done.finite.tolist() == [True, False, True]
    assert str(done.failure()) == "1 of 3 images are not finite: euler diverged"
