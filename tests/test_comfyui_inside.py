"""Changes that ComfyUI has no patches for, on small hosts, against the formulas."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from sigmabench.plugins.comfyui import otherwise, regions, skips, told
from sigmabench.samplers.attended_regions import words
from sigmabench.samplers.level import Level
from sigmabench.samplers.own_noise import own_noise
from sigmabench.samplers.perturbation import (
    AttendedRegions,
    IndependentCondition,
    NoisyCondition,
    NoisyTime,
    ScaledSkips,
    Windows,
)

LEVELS = [Level(1.0, 2.0), Level(1.0, 2.0)]
SEEDS = [5, 6]


class Cond:
    """ComfyUI's holder of a condition."""

    def __init__(self, cond):
        self.cond = cond

    def process_cond(self, batch_size, area):
        return Cond(self.cond.repeat(batch_size // len(self.cond), *[1] * (self.cond.ndim - 1)))


class UNet(nn.Module):
    def __init__(self, model_channels=4):
        super().__init__()
        self.model_channels = model_channels
        self.input_blocks, self.middle_block = nn.ModuleList(), None
        upsample = type("Upsample", (nn.Module,), {})
        self.output_blocks = nn.ModuleList([nn.ModuleList(), nn.ModuleList([upsample()]), nn.ModuleList()])
        self.time_embed = nn.Linear(1, 3)


def test_windows_are_averaged_where_they_overlap():
    """Of a network that answers with the sum over what it sees, two windows of six in eight along each dimension."""
    host = SimpleNamespace(
        calc_cond_batch=lambda model, conds, x, sigma, options: [x * 0 + x.sum((2, 3), keepdim=True)]
    )
    model = SimpleNamespace(diffusion_model=UNet())
    x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    call = (x, torch.ones(2), {})
    (found,) = otherwise.predict(host, model, Windows(0.75, 2), [[{"model_conds": {}}]], call, LEVELS, SEEDS)
    total, times = np.zeros(x.shape), np.zeros((8, 8))
    for i in (0, 2):
        for j in (0, 2):
            total[:, :, i : i + 6, j : j + 6] += x[:, :, i : i + 6, j : j + 6].sum((2, 3), keepdim=True).numpy()
            times[i : i + 6, j : j + 6] += 1
    np.testing.assert_allclose(found.numpy(), total / times)
    with pytest.raises(ValueError, match="a conditioning with mask belongs to places of the whole image"):
        otherwise.predict(host, model, Windows(), [[{"model_conds": {}, "mask": x}]], call, LEVELS, SEEDS)


def test_a_condition_is_noise_with_its_mean_and_deviation_for_each_image():
    states, summary = torch.randn(1, 5, 4), torch.randn(1, 6)
    vector = torch.cat([summary, torch.ones(1, 3)], 1)
    part = {"model_conds": {"c_crossattn": Cond(states), "y": Cond(vector)}, "pooled_output": summary}
    (found,) = told.noisy([part], IndependentCondition(), SEEDS, LEVELS, [0.5, 0.5])
    for name, role, given in (("c_crossattn", "states", states), ("y", "summary", summary)):
        noise = own_noise(SEEDS, LEVELS, role, given.shape[1:])
        expected = given.numpy().mean() + given.numpy().std(ddof=1) * noise.numpy()
        rows = found["model_conds"][name].cond[..., : given.shape[-1]]
        np.testing.assert_allclose(rows.numpy(), expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(found["model_conds"]["y"].cond[:, 6:], torch.ones(2, 3))  # sizes stay
    assert torch.equal(part["model_conds"]["c_crossattn"].cond, states)


def test_a_condition_is_kept_as_far_as_the_time_says():
    states = torch.randn(1, 5, 4)
    part, change = {"model_conds": {"c_crossattn": Cond(states)}}, NoisyCondition(0.2, 0.6, 0.25, mixing=0.0)
    (found,) = told.noisy([part], change, SEEDS, LEVELS, [0.1, 0.5])
    noise, rows = own_noise(SEEDS, LEVELS, "states", (5, 4)), found["model_conds"]["c_crossattn"].cond
    assert torch.equal(rows[:1], states)
    torch.testing.assert_close(rows[1], 0.25**0.5 * states[0] + 0.25 * 0.75**0.5 * noise[1])
    with pytest.raises(ValueError, match="c_crossattn or y is needed, the text, not c_concat alone"):
        told.noisy([{"model_conds": {"c_concat": Cond(states)}}], change, SEEDS, LEVELS, [0.1, 0.5])


def test_the_time_is_told_with_noise_once_and_no_longer():
    network, times = UNet(), [0.5, 0.5]
    model = SimpleNamespace(diffusion_model=network)
    options = told.timed({}, network, NoisyTime(3.0, 2.0), SEEDS, LEVELS, times)
    ((wrapper,),) = options["wrappers"]["apply_model"].values()
    given, x = torch.ones(4, 1), torch.zeros(4, 1, 2, 2)  # two conditionings of two images

    class Executor:
        class_obj = model

        def __call__(self, *args):
            return network.time_embed(given)

    plain, found = network.time_embed(given), wrapper(Executor(), x)
    noise = 3.0 * 0.5**2 * own_noise(SEEDS, LEVELS, "time", (3,))
    torch.testing.assert_close(found - plain, torch.cat([noise, noise]))
    assert torch.equal(network.time_embed(given), plain)
    with pytest.raises(ValueError, match="Linear has no time_embed or"):
        told.timed({}, nn.Linear(1, 1), NoisyTime(), SEEDS, LEVELS, times)


def test_skips_are_weighed_by_stage_or_by_channels():
    below, skip = torch.ones(1, 16, 4, 4), torch.ones(1, 8, 4, 4)
    weight = {}
    for by_channels in (False, True):
        made = skips.options({}, UNet(), ScaledSkips(2.0, 3.0, 0.5, 0.25, by_channels=by_channels))
        (patch,) = made["patches"]["output_block_patch"]
        found = [patch(below, skip, {"block": ("output", i)}) for i in range(3)]
        weight[by_channels] = [(float(h[0, 0, 0, 0]), float(h[0, 8, 0, 0]), float(s.mean())) for h, s in found]
    first, second = (2.0, 1.0, 0.5), (3.0, 1.0, 0.25)
    assert weight[False] == [pytest.approx(w) for w in (first, first, second)]
    assert weight[True] == [pytest.approx(first)] * 3  # all have four times the network's channels


def test_regions_are_those_of_the_weights_that_were_watched():
    block = SimpleNamespace(attn2=1, disable_self_attn=False)
    network = UNet()
    network.get_submodule = lambda path: block
    part = type("Transformer", (nn.Module,), {})()
    part.transformer_blocks = nn.ModuleList([nn.Identity()])
    network.middle_block = nn.ModuleList([part])
    seen = regions.Regions(network, AttendedRegions(), (1, 1, 4, 4))
    patches, weights = seen.options({})["patches_replace"], {}
    for kind, tokens in (("attn1", 16), ("attn2", 5)):
        q, k, v = (torch.randn(1, n, 6) for n in (16, tokens, tokens))
        extra = {"original_shape": [1, 1, 4, 4], "n_heads": 2}
        answer = patches[kind]["middle", 0, 0](q, k, v, extra)
        heads = [np.exp(q[0, :, h : h + 3].numpy() @ k[0, :, h : h + 3].numpy().T / 3**0.5) for h in (0, 3)]
        heads = [part / part.sum(-1, keepdims=True) for part in heads]
        usual = np.concatenate([part @ v[0, :, h : h + 3].numpy() for part, h in zip(heads, (0, 3), strict=True)], 1)
        np.testing.assert_allclose(answer[0].numpy(), usual, rtol=1e-4, atol=1e-5)
        weights[kind] = torch.from_numpy(np.mean(heads, 0))[None]
    expected = words(weights["attn1"], weights["attn2"], (1, 1, 4, 4))
    torch.testing.assert_close(seen._words("mid.0.0"), expected, rtol=1e-4, atol=1e-6)
    assert seen.beside(torch.zeros(1, 1, 4, 4)).shape == (1, 3, 4, 4)
