"""Noise by interval: unit normal, one path for each image whatever the steps, fresh where intervals overlap."""

import math
from itertools import pairwise, product

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sigmabench.plugins.registry import build
from sigmabench.samplers.brownian import BrownianNoise
from sigmabench.samplers.counted import AT_ONCE, CountedNormals
from sigmabench.samplers.level import CLEAN, PURE_NOISE, Level, variance_preserving
from sigmabench.samplers.levy import END, FINENESS, LEAF
from sigmabench.samplers.noise import SeededNoise
from sigmabench.samplers.path import Path
from sigmabench.samplers.problems import BIMODAL
from sigmabench.samplers.run import alone, sample
from sigmabench.samplers.schedules import Flow, Linear

SHAPE = (3, 64, 64)


def on_grid(place):
    """A level that is a place of the clock, so that weights are exact."""
    return variance_preserving(math.exp(-(place - END // 2) / FINENESS / 2))


def composed(parts, levels):
    taus = [(level.alpha / level.sigma) ** 2 for level in levels]
    total = sum(z * math.sqrt(b - a) for z, (a, b) in zip(parts, pairwise(taus), strict=True))
    return total / math.sqrt(taus[-1] - taus[0])


def test_noise_of_steps_composes_to_that_of_the_step_over_all():
    levels = [on_grid(place) for place in (50_000, 1_500_000, 1_800_000, 1_800_001, 2_000_000, 3_000_000)]
    fine, coarse = BrownianNoise([5, 6], SHAPE), BrownianNoise([5, 6], SHAPE)
    parts = [fine(s, t) for s, t in pairwise(levels)]
    whole = coarse(levels[0], levels[-1])
    torch.testing.assert_close(composed(parts, levels), whole, rtol=0, atol=2e-5)


def test_levels_beside_the_grid_compose_but_for_its_fineness():
    levels = [Level(1.0, sigma) for sigma in (14.3, 6.1, 2.2, 0.7)]
    fine, coarse = BrownianNoise([5], SHAPE), BrownianNoise([5], SHAPE)
    parts = [fine(s, t) for s, t in pairwise(levels)]
    difference = composed(parts, levels) - coarse(levels[0], levels[-1])
    assert difference.std() < 2 / FINENESS


def test_any_process_walks_the_same_path_from_pure_noise_to_clean():
    noises = []
    for schedule in (Linear(), Flow()):
        levels = [PURE_NOISE, *(schedule.project(Level(1.0, sigma)) for sigma in (9.0, 3.0, 1.0)), CLEAN]
        noise = BrownianNoise([1, 2], (8,))
        noises.append([noise(s, t) for s, t in Path(levels)])
    for one, other in zip(*noises, strict=True):
        assert torch.equal(one, other)


def test_a_part_asked_for_alone_is_what_it_is_within_a_run():
    levels = [Level(1.0, sigma) for sigma in (80.0, 10.0, 2.0, 0.5, 0.02)]
    run, later = BrownianNoise([3], (5,)), BrownianNoise([3], (5,))
    within = [run(s, t) for s, t in Path(levels)]
    continued = [later(s, t) for s, t in Path(levels[2:])]
    for one, other in zip(within[2:], continued, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


def test_an_image_has_its_noise_alone_and_in_any_batch():
    levels = [PURE_NOISE, variance_preserving(2.0), variance_preserving(0.1)]
    batch, alone = BrownianNoise([9, 2**32 - 1, 4], (3, 5)), BrownianNoise([2**32 - 1], (3, 5))
    for s, t in Path(levels):
        assert torch.equal(batch(s, t)[1:2], alone(s, t))
    assert torch.equal(batch.initial(), SeededNoise([9, 2**32 - 1, 4], (3, 5)).initial())


def test_noise_is_normal_and_steps_images_paths_and_neighbours_are_independent():
    noise = BrownianNoise(range(8), SHAPE, dtype=torch.float64)
    s, t, u = Level(1.0, 3.0), Level(1.0, 2.9), Level(1.0, 0.3)
    rows = torch.cat([noise(s, t), noise(t, u), noise(s, t), noise(t, u)]).flatten(1)  # two steps, on two paths
    count = rows.shape[1]
    assert rows.mean(1).abs().max() < 4.5 / math.sqrt(count)
    assert (rows.var(1) - 1).abs().max() < 4.5 * math.sqrt(2 / count)
    assert (rows.pow(4).mean(1) - 3).abs().max() < 4.5 * math.sqrt(96 / count)
    assert (rows @ rows.T / count).fill_diagonal_(0).abs().max() < 5 / math.sqrt(count)
    for lag in (1, 2, 64, count // 4, count // 2):
        assert (rows[:, lag:] * rows[:, :-lag]).mean(1).abs().max() < 5 / math.sqrt(count - lag)


def test_all_numbers_together_follow_the_normal_distribution():
    z = torch.cat([*CountedNormals(range(16), 0, 4096, "cpu")(range(1, 17))]).flatten()  # four million
    bins = torch.special.ndtr(z.double()).mul(1000).long().clamp(max=999).bincount(minlength=1000)
    chi_squared = ((bins - len(z) / 1000) ** 2 / (len(z) / 1000)).sum().item()
    assert abs(chi_squared - 999) < 5 * math.sqrt(2 * 999)
    assert 4.6 < z.abs().max() < 5.8


def pcg4d(*words):
    """Of Jarzynski and Olano 2020, as printed, on Python's integers."""
    x, y, z, w = ((word * 1664525 + 1013904223) % 2**32 for word in words)
    for last in (False, True):
        x = (x + y * w) % 2**32
        y = (y + z * x) % 2**32
        z = (z + x * y) % 2**32
        w = (w + y * z) % 2**32
        if not last:
            x, y, z, w = (word ^ ((word - (word >> 31 << 32)) >> 16) % 2**32 for word in (x, y, z, w))
    return x, y, z, w


def test_numbers_are_those_of_the_printed_hash():
    """The shift keeps the sign, as that of int32 does."""
    seeds, places = (0, 7, 2**32 - 1), (1, 4096, 2**22)
    for path in (0, 3):
        found = list(CountedNormals(seeds, path, 5, "cpu")(places))
        for (i, seed), (j, place), number in product(enumerate(seeds), enumerate(places), range(5)):
            a, b, c, d = (word - (word >> 31 << 32) for word in pcg4d(number, seed, place, path))
            radii = [math.sqrt(-2 * math.log((word // 256) / 2**24 + 0.5 + 2.0**-24)) for word in (a, b)]
            angles = [word * 2 * math.pi / 2**32 for word in (c, d)]
            cosines = [r * math.cos(angle) for r, angle in zip(radii, angles, strict=True)]
            sines = [r * math.sin(angle) for r, angle in zip(radii, angles, strict=True)]
            expected = torch.tensor(cosines + sines)
            torch.testing.assert_close(found[j][:, i, number], expected, rtol=0, atol=2e-5)


@pytest.fixture
def calls(monkeypatch):
    """How many places each call of the generator is for."""
    made, original = [], CountedNormals._hash

    def watched(self, places):
        made.append(len(places))
        return original(self, places)

    monkeypatch.setattr(CountedNormals, "_hash", watched)
    return made


def spaced(steps):
    return [Level(1.0, 80.0 * (0.02 / 80.0) ** (i / steps)) for i in range(steps + 1)]


@pytest.mark.parametrize("steps", [10, 200, 1000])
@pytest.mark.parametrize("shape", [(3, 32, 32), (3, 5), (1, 40_000)])
def test_foreseen_noise_is_the_same_and_nothing_is_drawn_in_vain(calls, steps, shape):
    levels = spaced(steps)[: steps + 1 if steps < 200 else 100]
    noises = BrownianNoise([1, 2], shape), BrownianNoise([1, 2], shape)
    noises[1].foresee(levels)
    for s, t in Path(levels):
        assert torch.equal(*(noise(s, t) for noise in noises))
    path = noises[1]._paths[0][0]
    assert not path._drawn
    assert sum(calls) % 2 == 0  # each place once by each of them


@pytest.mark.parametrize("seeds", [[1], [1, 2, 3], []])
def test_large_images_are_made_in_strips_and_are_the_same(monkeypatch, seeds):
    levels, whole = spaced(6), BrownianNoise(seeds, (3, 15))
    expected = [whole(s, t) for s, t in Path(levels)]
    assert len(whole._paths[0]) == 1
    monkeypatch.setitem(AT_ONCE, "cpu", 24)
    parts = BrownianNoise(seeds, (3, 15))
    for (s, t), noise in zip(Path(levels), expected, strict=True):
        assert torch.equal(parts(s, t), noise)
    assert len(parts._paths[0]) == {1: 2, 3: 6, 0: 1}[len(seeds)]


@pytest.mark.parametrize("sampler", ["dpmpp_sde", "seeds_3", "euler_ancestral", "sa_solver", "euler_maruyama"])
def test_a_run_is_the_same_whatever_was_foreseen(sampler):
    method, x = build("sampler", sampler), SeededNoise([1, 2], (4,)).initial() * 80
    for foreseen in (spaced(10), spaced(7), spaced(30)[5:9]):
        noise = BrownianNoise([1, 2], (4,))
        noise.foresee(foreseen)
        blind = BrownianNoise([1, 2], (4,))
        runs = (method(x, Path(spaced(10)), source) for source in (noise, blind))
        assert torch.equal(*(alone(run, BIMODAL) for run in runs))


def test_a_sampler_foresees_its_run_and_few_calls_make_its_noise(calls):
    levels, x = spaced(10), SeededNoise([1], (3, 32, 32)).initial() * 80
    method, blind = build("sampler", "euler_ancestral"), BrownianNoise([1], (3, 32, 32))
    alone(method(x, Path(levels), blind), BIMODAL)
    assert len(calls) == 11  # one for each step, and one for where the first begins
    arrays = sum(calls)
    calls.clear()
    sample(method, BIMODAL, x, levels, BrownianNoise([1], (3, 32, 32)))
    assert len(calls) <= 4
    assert sum(calls) == arrays


def test_a_path_keeps_few_numbers_however_many_steps():
    """At most one known point for each halving, and what one call makes."""
    noise, levels = BrownianNoise([1], (3, 8)), spaced(1000)
    noise.foresee(levels)
    for s, t in Path(levels):
        noise(s, t)
        ((path,),) = noise._paths
        assert len(path.ahead) <= math.log2(END / LEAF) + 1
        assert len(path._drawn) <= path.normals.at_once


class Operations(TorchDispatchMode):
    """Counts operations that are kernels on a GPU."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        moves = not function.is_view and "empty" not in str(function)
        self.count += moves and isinstance(out, torch.Tensor) and out.device.type == "meta"
        return out


@pytest.mark.parametrize(("steps", "most"), [(10, 23), (50, 13), (1000, 5)])
def test_kernels_of_a_step_are_few_on_a_gpu(steps, most):
    """At the size of SDXL's latents: two for each known point, and those of a few calls of the generator."""
    levels, noise = spaced(steps), BrownianNoise([1], (4, 128, 128), "meta")
    noise.foresee(levels)
    with Operations() as operations:
        for s, t in Path(levels):
            noise(s, t)
    assert operations.count <= most * steps


@pytest.mark.parametrize("ask", [(1, 1, 2), (1, 0, 1), (2, 1, 2)])
def test_a_request_that_overlaps_an_earlier_one_has_noise_of_its_own(ask):
    levels = [Level(1.0, sigma) for sigma in (8.0, 4.0, 2.0)]
    noise, (skip, i, j) = BrownianNoise([1], (40_000,)), ask
    first = [noise(s, t) for s, t in Path(levels)][-skip:]
    again = noise(levels[i], levels[j])
    for one in first:
        assert abs((one * again).mean()) < 4 / math.sqrt(40_000)


def test_levels_closer_than_the_grid_still_have_independent_unit_noise():
    levels = [Level(1.0, 1.0 - i * 1e-6) for i in range(6)]
    noise = BrownianNoise([1], (40_000,))
    rows = torch.cat([noise(s, t) for s, t in Path(levels)])
    assert (rows @ rows.T / 40_000 - torch.eye(5)).abs().max() < 0.03


def test_noise_where_there_is_no_clock_left_is_finite_and_unit():
    noise = BrownianNoise([1], (40_000,))
    for s, t in ((PURE_NOISE, Level(1e-20, 1.0)), (Level(1.0, 1e-20), Level(1.0, 1e-21)), (Level(1.0, 1e-21), CLEAN)):
        assert abs(noise(s, t).std() - 1) < 0.03


def test_seeds_outside_their_range_are_refused():
    with pytest.raises(ValueError, match=r"seed -1 is outside 0 <= seed < 2\^32"):
        BrownianNoise([-1], (1,))
    assert BrownianNoise([], (4,))(PURE_NOISE, CLEAN).shape == (0, 4)


@pytest.mark.parametrize("sampler", ["dpmpp_2m_sde", "dpmpp_sde", "seeds_2", "seeds_3", "euler_ancestral"])
def test_twenty_steps_follow_the_path_of_ten(sampler):
    """Half the steps are the same image with a larger error; with draws in order it is another image."""
    method, seeds = build("sampler", sampler), range(64)
    levels = {n: [Level(1.0, 8.0 * (0.05 / 8.0) ** (i / n)) for i in range(n + 1)] for n in (20, 40)}
    x = SeededNoise(seeds, (4,), dtype=torch.float64).initial() * levels[20][0].norm
    for source, related in ((BrownianNoise, True), (SeededNoise, False)):
        few, many = (
            sample(method, BIMODAL, x, levels[n], source(seeds, (4,), dtype=torch.float64)).flatten() for n in (20, 40)
        )
        correlation = torch.corrcoef(torch.stack([few, many]))[0, 1]
        assert correlation > 0.97 if related else correlation < 0.8, correlation
