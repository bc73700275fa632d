"""Guidance of several conditions, with memory, with a second range, and by agreement: each against its own formula."""

import itertools
import math

import numpy as np
import pytest
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg
from scipy.ndimage import gaussian_filter

from sigmabench.plugins.registry import build, catalogue, describe
from sigmabench.samplers import Euler, Level
from sigmabench.samplers.guidance import (
    CFG,
    SMCCFG,
    Characteristic,
    Composable,
    DualCFG,
    DynamicCFG,
    FrameCFG,
    Interval,
    Mimic,
    Momentum,
    RescaledCFG,
    Sharpen,
    Tonemap,
)
from sigmabench.samplers.guidance.further import asks_again
from sigmabench.samplers.guidance.space import from_space, to_space
from sigmabench.samplers.level import CLEAN, PURE_NOISE, variance_preserving
from sigmabench.samplers.problems import Mixture
from sigmabench.samplers.run import guide, lockstep, start

LEVELS = {"VE": Level(1.0, 3.0), "VP": Level(0.6, 0.8), "flow": Level(0.3, 0.7)}
VP = LEVELS["VP"]
FALLING = [Level(0.1 + 0.2 * i, 0.9 - 0.2 * i) for i in range(4)]
at_each_level = pytest.mark.parametrize("level", LEVELS.values(), ids=LEVELS)


def images(count, shape=(3, 4, 6, 7)):
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(count)]


def answer(guidance, level, **predictions):
    return guidance.start()(torch.zeros_like(predictions["cond"]), level, predictions)


# Several conditions


def test_composed_conditions_add_their_differences_and_may_be_negated():
    c, u, style, rain = images(4)
    ours = answer(Composable(4.0, "style:0.5, rain:-1"), VP, cond=c, uncond=u, style=style, rain=rain)
    torch.testing.assert_close(ours, u + 4 * ((c - u) + 0.5 * (style - u) - (rain - u)), rtol=1e-12, atol=1e-12)


def test_composing_gaussians_is_their_product():
    """Scores of N(m_i, s^2) with weights w_i, and of N(m_u, s^2) with 1 - sum w_i: a Gaussian of the weighted mean."""
    means = {"cond": 0.5, "uncond": -0.2, "other": 0.1}
    x = images(1)[0]
    found = {name: Mixture(means=(mean,), stds=(0.3,))(x, VP) for name, mean in means.items()}
    composed = Composable(1.0, "other:0.4").start()(x, VP, found)
    product = Mixture(means=(0.5 + 0.4 * 0.1 - 0.4 * -0.2,), stds=(0.3,))
    torch.testing.assert_close(composed, product(x, VP), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("guidance", "branches"),
    [
        (Composable(), ("cond", "other", "uncond")),
        (Composable(1.0, "a:0, b"), ("cond", "b", "uncond")),
        (Composable(1.0, "a:1, b:-1"), ("cond", "a", "b")),
        (Composable(2.0, "a:-0.5"), ("cond", "a")),
        (DualCFG(3.0, 2.0, nested=True), ("cond", "middle", "uncond")),
        (DualCFG(1.0, 2.0, nested=True), ("cond", "uncond")),
        (DualCFG(3.0, 1.0, nested=True), ("cond", "middle")),
    ],
    ids=repr,
)
def test_conditions_that_cancel_are_not_evaluated(guidance, branches):
    assert guidance.branches(VP) == branches
    parts = dict(zip(branches, images(len(branches)), strict=True))
    assert answer(guidance, VP, **parts).isfinite().all()


@pytest.mark.parametrize("others", ["", "a b", "cond", "a, a", "a:much", "A"])
def test_names_that_cannot_be_conditions_are_refused(others):
    with pytest.raises(ValueError, match="others = "):
        Composable(others=others).branches(VP)


def test_nested_dual_guidance_is_one_guidance_inside_the_other():
    c, m, u = images(3)
    inner = m + 3.0 * (c - m)
    ours = answer(DualCFG(3.0, 2.0, nested=True), VP, cond=c, middle=m, uncond=u)
    torch.testing.assert_close(ours, u + 2.0 * (inner - u), rtol=1e-12, atol=1e-12)


# Memory


@pytest.mark.parametrize("space", ["flow", "eps", "x0"])
def test_momentum_is_algorithm_1(space):
    run, average = Momentum(0.7, 0.6, CFG(3.0), space).start(), None
    for level in FALLING:
        x, c, u = images(3)
        c, u = c * (1 + level.sigma), u * level.alpha
        v = to_space(space, u + 3.0 * (c - u), x, level)
        average = v if average is None else average
        expected = v + 0.7 * (v - average)
        average = 0.4 * v + 0.6 * average
        ours = run(x, level, {"cond": c, "uncond": u})
        torch.testing.assert_close(to_space(space, ours, x, level), expected, rtol=1e-10, atol=1e-10)


def test_momentum_of_a_straight_flow_is_none():
    """Where the velocity is constant along the way there is nothing to extrapolate: one image, rectified flow."""
    target, noise = images(2)
    path = [Level(i / 5, 1 - i / 5) for i in range(6)]
    run = guide(start(Euler(), noise, path), Momentum(5.0, guidance=CFG(1.0)))
    (end,) = lockstep([run], lambda asked: [(x, {"cond": target}) for x, _, _ in asked])
    torch.testing.assert_close(end, target)


def test_sliding_mode_control_is_its_recursion_element_by_element():
    guidance = SMCCFG(4.0, slope=3.0, gain=0.2)
    run, last = guidance.start(), None
    for level in FALLING:
        x, c, u = images(3, (2, 3, 2, 2))
        c, u = c * level.sigma, u * level.alpha
        vc, vu = (to_space("flow", part, x, level) for part in (c, u))
        expected, now = torch.empty_like(vc), torch.empty_like(vc)
        for place in itertools.product(*map(range, vc.shape)):
            e = (vc[place] - vu[place]).item()
            before = e if last is None else last[place].item()
            surface = (e - before) + 3.0 * before
            now[place] = e - 0.2 * np.sign(surface)
            expected[place] = vu[place] + 4.0 * now[place]
        last = now
        ours = to_space("flow", run(x, level, {"cond": c, "uncond": u}), x, level)
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)


def test_sliding_mode_control_without_gain_is_plain_guidance():
    x, c, u = images(3)
    ours = SMCCFG(4.0, gain=0.0).start()(x, VP, {"cond": c, "uncond": u})
    torch.testing.assert_close(ours, u + 4 * (c - u), rtol=1e-12, atol=1e-12)


# Agreement


def tilted(c, u, scale):
    """The Gaussian p_c^scale p_u^(1 - scale) of two Gaussians (mean, std)."""
    precision = scale / c[1] ** 2 + (1 - scale) / u[1] ** 2
    return (scale * c[0] / c[1] ** 2 + (1 - scale) * u[0] / u[1] ** 2) / precision, precision**-0.5


def characteristic(guidance, x, level, problems):
    """The guided x0, and how often the network was asked."""
    run = guide(start(Euler(), x, [level, CLEAN]), guidance)
    asked = 0

    def evaluate(requests):
        nonlocal asked
        ((y, at, names),) = requests
        asked += len(names)
        return [(y, {name: problems[name](y, at) for name in names})]

    return lockstep([run], evaluate)[0], asked


@at_each_level
@pytest.mark.parametrize("scale", [0.5, 2.0, 5.0])
def test_characteristic_guidance_of_gaussians_is_the_denoiser_of_the_tilted_gaussian(level, scale):
    """CFG is not: its combination of noised scores is no noised score. Of Gaussians the correction is exact."""
    c, u = (0.4, 0.3), (-0.1, 0.5)
    problems = {"cond": Mixture(means=c[:1], stds=c[1:]), "uncond": Mixture(means=u[:1], stds=u[1:])}
    x = images(1)[0] * level.norm
    mean, std = tilted(c, u, scale)
    exact = Mixture(means=(mean,), stds=(std,))(x, level)
    ours, asked = characteristic(Characteristic(scale, 2, "image"), x, level, problems)
    plain, _ = characteristic(CFG(scale), x, level, problems)
    assert asked == 2 + 2 * 2
    torch.testing.assert_close(ours, exact, rtol=1e-9, atol=1e-9)
    assert (plain - exact).abs().max() > 1e-3


@at_each_level
def test_characteristic_guidance_makes_the_means_of_channels_agree(level):
    """Of mixtures, by more iterations: then x0 is what both predict at their own points, in the mean."""
    problems = {
        "cond": Mixture(means=(0.6, 0.1), stds=(0.2, 0.3), weights=(0.5, 0.5)),
        "uncond": Mixture(means=(-0.5, 0.4), stds=(0.3, 0.2), weights=(0.5, 0.5)),
    }
    x = images(1)[0] * level.norm
    seen = {}

    def evaluate(requests):
        ((y, at, names),) = requests
        seen.update({name: problems[name](y, at) for name in names})
        return [(y, {name: seen[name] for name in names})]

    run = guide(start(Euler(), x, [level, CLEAN]), Characteristic(3.0, 12))
    (ours,) = lockstep([run], evaluate)
    torch.testing.assert_close(ours.mean((2, 3)), seen["cond"].mean((2, 3)), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(seen["uncond"].mean((2, 3)), seen["cond"].mean((2, 3)), rtol=1e-4, atol=1e-4)


def test_characteristic_guidance_without_iterations_and_at_pure_noise_is_plain():
    x, c, u = images(3)
    for guidance, level in ((Characteristic(4.0, 0), VP), (Characteristic(4.0), PURE_NOISE)):
        ours = guidance.start()(x, level, {"cond": c, "uncond": u})
        torch.testing.assert_close(ours, u + 4 * (c - u), rtol=1e-12, atol=1e-12)


def test_who_asks_again_is_known_before_a_run():
    assert asks_again(Characteristic(), [PURE_NOISE, VP])
    assert asks_again(Interval(Characteristic()), [VP])
    assert not asks_again(Characteristic(), [PURE_NOISE])
    plain = [entry.cls() for entry in catalogue("guidance").values() if entry.plugin == "builtin"]
    plain = [one for one in plain if all(isinstance(branch, str) for branch in one.branches(VP))]
    assert [type(one) for one in plain if asks_again(one, [VP])] == [Characteristic]


# A second range


def mimicked(g, h, quantile, measure, over, around):
    """Of one channel, or of one image."""
    if over == "image" and g.ndim == 2:
        raise AssertionError("an image has channels")
    mean, off, other = g.mean(), g - g.mean(), h - h.mean()
    if measure == "std":
        own, wanted = off.std(), other.std()
    else:
        own, wanted = np.quantile(np.abs(off), quantile), np.abs(other).max()
    if around == "zero":
        return g * wanted / own
    if measure == "max":
        own = max(own, wanted)
        off = np.clip(off, -own, own)
    return mean + off * wanted / own


@pytest.mark.parametrize("quantile", [1.0, 0.9])
@pytest.mark.parametrize("measure", ["max", "std"])
@pytest.mark.parametrize("over", ["channels", "image"])
@pytest.mark.parametrize("around", ["mean", "zero"])
def test_mimic_gives_one_guidance_the_range_of_another(quantile, measure, over, around):
    c, u = images(2)
    guidance = Mimic(CFG(12.0), CFG(4.0), quantile, measure, over, around, 0.8)
    g, h = ((u + w * (c - u)).numpy() for w in (12.0, 4.0))
    expected = np.empty_like(g)
    for i in range(len(g)):
        for k in range(g.shape[1]) if over == "channels" else [slice(None)]:
            expected[i, k] = mimicked(g[i, k], h[i, k], quantile, measure, over, around)
    ours = answer(guidance, VP, cond=c, uncond=u)
    torch.testing.assert_close(ours, torch.from_numpy(0.8 * expected + 0.2 * g), rtol=1e-10, atol=1e-10)


def test_mimicking_oneself_changes_nothing_and_modes_are_those_of_dynamic_cfg():
    c, u = images(2)
    torch.testing.assert_close(answer(Mimic(CFG(5.0), CFG(5.0)), VP, cond=c, uncond=u), u + 5 * (c - u))
    text = "mimic(dynamic_cfg(12, 3, shape=quarter_cosine), like=cfg(4))"
    assert describe("guidance", build("guidance", text)) == "mimic(guidance=dynamic_cfg(scale=12, scale_noisy=3, " + (
        "shape=quarter_cosine), like=cfg(scale=4))"
    )


# A treated difference


def test_tonemap_is_reinhards_operator_on_the_difference():
    c, u = images(2)
    d, expected = (c - u).numpy(), np.empty(c.shape)
    for i, image in enumerate(d):
        size = np.sqrt((image**2).sum(0))
        top = 0.5 * (size.mean() + 5 * size.std(ddof=1))
        expected[i] = image / size * top * (size / top) / (size / top + 1)
    ours = answer(Tonemap(3.0, 0.5), VP, cond=c, uncond=u)
    torch.testing.assert_close(ours, u + 3 * torch.from_numpy(expected), rtol=1e-10, atol=1e-10)


def test_sharpening_is_an_unsharp_mask_of_directions():
    c, u = images(2, (2, 3, 12, 11))
    d = (c - u).numpy()
    size = np.sqrt((d**2).sum(1, keepdims=True))
    direction = d / size
    soft = gaussian_filter(direction, (0, 0, 0.8, 0.8), mode="mirror", truncate=4.0)
    radius = math.ceil(4 * 0.8)
    assert radius == int(4 * 0.8 + 0.5) + 1  # one element more than scipy's, of weight exp(-12.5)
    expected = size * (direction + 10 * 0.2 * (direction - soft))
    ours = answer(Sharpen(3.0, 0.2, 0.8), VP, cond=c, uncond=u)
    torch.testing.assert_close(ours, u + 3 * torch.from_numpy(expected), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(answer(Sharpen(3.0, 0.0), VP, cond=c, uncond=u), u + 3 * (c - u))


# Scales that change


def scale_at(guidance, level):
    zero, one = torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.float64)
    return guidance.start()(one, level, {"cond": one, "uncond": zero.double()}).item()


MODES = {
    "linear": lambda p: p,
    "quarter_cosine": lambda p: 1 - math.cos(p * math.pi / 2),
    "half_cosine": lambda p: 1 - math.cos(p),
    "triangle": lambda p: 2 * p if p < 0.5 else 2 - 2 * p,
    "trapezoid": lambda p: min(1.0, p / 0.1, (1 - p) / 0.1),
}


@pytest.mark.parametrize("shape", MODES)
@pytest.mark.parametrize("p", [0.02, 0.3, 0.5, 0.71, 0.97])
def test_scales_follow_their_curves(shape, p):
    level = Level(math.sin(p * math.pi / 2), math.cos(p * math.pi / 2))
    assert scale_at(DynamicCFG(9.0, 2.0, shape), level) == pytest.approx(2 + 7 * MODES[shape](p))
    assert scale_at(DynamicCFG(9.0, 2.0, shape, power=3.0), level) == pytest.approx(2 + 7 * MODES[shape](p**3))
    repeated = MODES[shape](2.5 * p % 1)
    assert scale_at(DynamicCFG(9.0, 2.0, shape, repeats=2.5), level) == pytest.approx(2 + 7 * repeated)


@pytest.mark.parametrize("p", [0.1, 0.4, 0.8])
def test_repeated_cosines_are_smooth(p):
    level = Level(math.sin(p * math.pi / 2), math.cos(p * math.pi / 2))
    expected = 0.5 - 0.5 * math.cos(2 * math.pi * 1.5 * p)
    assert scale_at(DynamicCFG(1.0, 0.0, "cosine", repeats=3.0), level) == pytest.approx(expected)


def test_frames_have_their_own_scales():
    c, u = images(2, (2, 3, 5, 4, 4))
    for shape, curve in (("linear", [0, 0.25, 0.5, 0.75, 1]), ("triangle", [0, 0.5, 1, 0.5, 0])):
        ours = answer(FrameCFG(3.0, 1.5, shape), VP, cond=c, uncond=u)
        for i, g in enumerate(curve):
            w = 1.5 + 1.5 * g
            torch.testing.assert_close(ours[:, :, i], u[:, :, i] + w * (c - u)[:, :, i])
    assert build("guidance", "VideoTriangleCFGGuidance(3)") == FrameCFG(3.0, shape="triangle")


# Names


def test_a_minimum_sigma_for_uncond_is_an_interval_without_an_upper_end():
    guidance = build("guidance", "ngms(cfg(4), sigma_lo=0.5)")
    assert guidance == Interval(CFG(4.0), 0.5, math.inf)
    assert guidance.branches(PURE_NOISE) == guidance.branches(variance_preserving(0.51)) == ("cond", "uncond")
    assert guidance.branches(variance_preserving(0.5)) == ("cond",)
    text = describe("guidance", guidance)
    assert text == "interval(guidance=cfg(scale=4), sigma_lo=0.5, sigma_hi=inf)"
    assert build("guidance", text) == guidance


@pytest.mark.parametrize("space", ["eps", "flow"])
@at_each_level
def test_rescaling_in_the_space_of_the_network_is_diffusers(space, level):
    x, c, u = images(3)
    c, u = 0.4 * c, 0.4 * u
    theirs = [to_space(space, part, x, level) for part in (c, u)]
    guided = rescale_noise_cfg(theirs[1] + 6 * (theirs[0] - theirs[1]), theirs[0], guidance_rescale=0.7)
    ours = RescaledCFG(6.0, 0.7, space).start()(x, level, {"cond": c, "uncond": u})
    torch.testing.assert_close(ours, from_space(space, guided, x, level), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "name",
    ["cfg_rescale", "mambo_g", "renorm_cfg", "momentum_guidance", "clip_guidance", "stg", "s_min_uncond", "FreeU"],
)
def test_names_of_the_literature_are_found(name):
    assert build("guidance", name)
