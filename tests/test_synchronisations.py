"""No step waits for the device: whole runs on the meta device, which has shapes and no numbers.

What reads a tensor's value there (item, an if, nonzero, a copy to the host) is an error, so a run that ends has read
nothing, in its first step neither. What is copied to the device without ``non_blocking`` is counted: such a copy waits
for all that was asked of the device before.
"""

import pytest
import torch
from test_conformance_registered import SAMPLERS
from test_diffusers_scheduler import SERVED
from waits import Waits

from sigmabench.eval.backends.embedded_model import STATES
from sigmabench.eval.cells import Cell, samples
from sigmabench.eval.engine import produce
from sigmabench.eval.jobs import Job
from sigmabench.eval.sweep import Sweep
from sigmabench.plugins.diffusers.joining import scheduler
from sigmabench.plugins.registry import BUILTIN, build, catalogue
from sigmabench.samplers.brownian import BrownianNoise
from sigmabench.samplers.conformance.convergence import jagged_path, pure_noise_path
from sigmabench.samplers.level import CLEAN
from sigmabench.samplers.moved import moved
from sigmabench.samplers.path import Path
from sigmabench.samplers.perturbation import AttendedRegions, Judged, Perturbed, WatchedAttention
from sigmabench.samplers.run import guide, lockstep, start

SHAPE = (3, 8, 8)
MORE = {WatchedAttention: 1, AttendedRegions: 2, Judged: SHAPE[0]}
"""Channels that the answer of a changed network has beside x0."""
WORDS = ["a photo of a cat", "a photo of a ship"]
GUIDANCE = [name for name, entry in catalogue("guidance").items() if entry.plugin == BUILTIN]


def prediction(x, branch):
    more = MORE.get(type(branch.change), 0) if isinstance(branch, Perturbed) else 0
    return x.new_empty(len(x), SHAPE[0] + more, *SHAPE[1:])


def run(sampler, guidance, path):
    """To the end, every branch answered by what costs nothing; returns how many copies were waited for."""
    x = torch.empty((1, *SHAPE), device="meta")
    noise = BrownianNoise([1], SHAPE, "meta")

    def answer(requests):
        return [(x, {branch: prediction(x, branch) for branch in branches}) for x, _, branches in requests]

    with Waits() as waits:
        lockstep([guide(start(sampler, x, path, noise), guidance, sampler.needs)], answer)
    return waits.count


PATHS = (Path([*jagged_path("VP", 6).levels, CLEAN]), pure_noise_path("flow", 5))


@pytest.mark.parametrize("name", SAMPLERS)
def test_no_sampler_without_error_control_waits_for_the_device(name):
    sampler = SAMPLERS[name]
    for path in PATHS:
        if sampler.evaluations is None:
            with pytest.raises((RuntimeError, NotImplementedError)):
                run(sampler, build("guidance", "cfg(3)"), path)
        else:
            assert run(sampler, build("guidance", "cfg(3)"), path) == 0


@pytest.mark.parametrize("name", SERVED)
def test_no_step_in_a_pipeline_waits_for_the_device(name):
    """From a place that was set; else the first step reads the time it is given, and is the only one that does."""
    made = scheduler(name, spacing="trailing", schedule="scaled_linear", prediction_type="epsilon")
    made.set_timesteps(6, device="meta")
    made.set_begin_index(0)
    x = torch.empty((2, *SHAPE), dtype=torch.float16, device="meta")
    with Waits() as waits:
        for t in made.timesteps:
            x = made.step(torch.empty_like(made.scale_model_input(x, t)), t, x, return_dict=False)[0]
    assert waits.count == 0


def test_the_first_step_in_a_pipeline_reads_its_time_alone():
    made = scheduler("heun", spacing="trailing", schedule="scaled_linear", prediction_type="epsilon")
    made.set_timesteps(3, device="meta")
    with pytest.raises((RuntimeError, NotImplementedError)):
        made.step(torch.empty((1, *SHAPE), device="meta"), made.timesteps[0], torch.empty((1, *SHAPE), device="meta"))


@pytest.mark.parametrize("name", GUIDANCE)
def test_no_guidance_waits_for_the_device(name):
    for sampler in ("euler", "dpmpp_2m_sde"):
        assert run(build("sampler", sampler), build("guidance", name), PATHS[0]) == 0


def engine_waits(model, guidance):
    """Copies that are waited for in whole runs of the engine, several cells side by side."""
    cells = [
        Cell("tiny", sampler, "model", "trailing", 2, text, "0", 0, "float32", noise=noise)
        for sampler, text, noise in (("dpmpp_2m_sde", "cfg(3)", "brownian"), ("euler", guidance, ""))
    ]
    drawn = samples(Sweep(images=2, prompts=WORDS), WORDS, 0, 2)
    with Waits() as waits:
        done = list(produce(model, [Job(cell, drawn) for cell in cells], "meta", rows=4))
        assert len(done) == len(cells)
    for one in done:
        if one.error:
            raise one.error
        assert (one.x.device.type, one.finite.device.type) == ("meta", "meta")
    return waits.count


@pytest.fixture(scope="module")
def embedded():
    """The embedded model, its prompts encoded, then without numbers."""
    model = build("backend", "embedded").load()
    rows = {prompt: model.encode([prompt])[STATES].to("meta") for prompt in ("", *WORDS)}
    model._states, model.device = rows.__getitem__, torch.device("meta")
    model.network.to("meta")
    return model


@pytest.mark.parametrize("name", ["cfg(1)", "interval", "pag", "cads", "swg", "tsg", "freeu"])
def test_no_run_of_the_engine_waits_for_the_device(embedded, name):
    assert engine_waits(embedded, name) == 0


@pytest.fixture(scope="module")
def pipeline(saved):
    """A pipeline's U-Net, its prompts encoded, then without numbers."""
    diffusers = pytest.importorskip("diffusers")
    from tiny_pipelines import SD15, stable_diffusion

    model = build("backend", f"diffusers({saved(stable_diffusion, diffusers.DDIMScheduler(**SD15))!r})").load()
    model.encode(WORDS)
    kept = model.replay._encoded
    model.replay._encoded = {prompt: {k: v.to("meta") for k, v in row.items()} for prompt, row in kept.items()}
    model.network.to("meta")
    return model


@pytest.mark.parametrize("name", ["cfg(1)", "seg", "slg", "tpg", "sag", "nag", "pladis", "s_cfg"])
def test_no_run_of_a_pipelines_network_waits_for_the_device(pipeline, name):
    assert engine_waits(pipeline, name) == 0


def test_a_wait_in_a_call_of_the_network_is_not_overlooked(embedded, monkeypatch):
    usual = embedded.network.forward
    monkeypatch.setitem(
        embedded.network.__dict__, "forward",
        lambda x, times, **rest: usual(x * torch.ones(len(x), device="meta").new_tensor(1.0), times, **rest),
    )  # fmt: skip
    assert engine_waits(embedded, "cfg(1)") > 0
    monkeypatch.setitem(
        embedded.network.__dict__, "forward", lambda x, times, **rest: usual(x * times.max().item(), times, **rest)
    )
    with pytest.raises(RuntimeError, match="meta"):
        engine_waits(embedded, "cfg(1)")


@pytest.mark.parametrize(
    "read", [float, bool, torch.Tensor.tolist, torch.Tensor.cpu, torch.nonzero, torch.Tensor.numpy]
)
def test_a_read_is_not_overlooked(read):
    with pytest.raises((RuntimeError, NotImplementedError, TypeError)):
        read(torch.empty(1, device="meta"))


class Ordinary:
    """A tensor of the host that says how it was copied."""

    pinned = False

    def pin_memory(self):
        other = Ordinary()
        other.pinned = True
        return other

    def to(self, **how):
        return self.pinned, how


@pytest.mark.parametrize(("device", "pinned"), [("cuda", True), (torch.device("cuda", 1), True), ("cpu", False)])
def test_what_goes_to_a_gpu_goes_there_from_page_locked_memory(device, pinned):
    assert moved(Ordinary(), device) == (pinned, {"device": device, "dtype": None, "non_blocking": True})
    values = torch.tensor([1.0, 2.0])
    assert moved(values, "cpu") is values


def test_a_copy_that_waits_is_counted():
    with Waits() as waits:
        torch.zeros(3).to("meta", non_blocking=True)
        assert waits.count == 0
        torch.zeros(3).to("meta")
    assert waits.count == 1
    for copy in (
        lambda x: torch.tensor([1.0], device="meta"),
        lambda x: x.new_tensor([1.0]),
        lambda x: x.copy_(torch.zeros(3)),
        lambda x: x[torch.tensor([0, 2])],
        lambda x: x[[0, 2]],
    ):
        with Waits() as waits:
            copy(torch.empty(3, device="meta"))
        assert waits.count == 1, copy
