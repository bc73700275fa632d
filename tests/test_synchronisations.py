"""No step waits for the device: whole runs on the meta device, which has shapes and no numbers.

What reads a tensor's value there (item, an if, nonzero, a copy to the host) is an error, so a run that ends has read
nothing, in its first step neither. What is copied to the device without ``non_blocking`` is counted: such a copy waits
for all that was asked of the device before.
"""

import pytest
import torch
from test_conformance_registered import SAMPLERS
from torch.utils._python_dispatch import TorchDispatchMode

from sigmabench.plugins.registry import BUILTIN, build, catalogue
from sigmabench.samplers.brownian import BrownianNoise
from sigmabench.samplers.conformance.convergence import jagged_path, pure_noise_path
from sigmabench.samplers.level import CLEAN
from sigmabench.samplers.path import Path
from sigmabench.samplers.perturbation import AttendedRegions, Judged, Perturbed, WatchedAttention
from sigmabench.samplers.run import guide, lockstep, start

SHAPE = (3, 8, 8)
MORE = {WatchedAttention: 1, AttendedRegions: 2, Judged: SHAPE[0]}
"""Channels that the answer of a changed network has beside x0."""
GUIDANCE = [name for name, entry in catalogue("guidance").items() if entry.plugin == BUILTIN]


class Waits(TorchDispatchMode):
    """Counts copies to the device that wait for it."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function is torch.ops.aten._to_copy.default:
            there = torch.device(kwargs.get("device") or args[0].device)
            self.count += args[0].device.type == "cpu" and there.type == "meta" and not kwargs.get("non_blocking")
        if function is torch.ops.aten.copy_.default:
            self.count += args[1].device.type == "cpu" and args[0].device.type == "meta" and len(args) < 3
        return function(*args, **kwargs)


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


@pytest.mark.parametrize("name", GUIDANCE)
def test_no_guidance_waits_for_the_device(name):
    for sampler in ("euler", "dpmpp_2m_sde"):
        assert run(build("sampler", sampler), build("guidance", name), PATHS[0]) == 0


@pytest.mark.parametrize(
    "read", [float, bool, torch.Tensor.tolist, torch.Tensor.cpu, torch.nonzero, torch.Tensor.numpy]
)
def test_a_read_is_not_overlooked(read):
    with pytest.raises((RuntimeError, NotImplementedError, TypeError)):
        read(torch.empty(1, device="meta"))


def test_a_copy_that_waits_is_counted():
    with Waits() as waits:
        torch.zeros(3).to("meta", non_blocking=True)
        assert waits.count == 0
        torch.zeros(3).to("meta")
    assert waits.count == 1
