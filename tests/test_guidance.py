"""Guidance: the identities that any combination of predictions must satisfy."""

import pytest
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

from sigmabench.samplers import Level
from sigmabench.samplers.guidance import CFG, RescaledCFG
from sigmabench.samplers.level import PURE_NOISE, variance_preserving

LEVELS = {"VE": Level(1.0, 3.0), "VP": Level(0.6, 0.8), "flow": Level(0.3, 0.7), "pure noise": PURE_NOISE}
ALL = [CFG(), CFG(scale=0.0), RescaledCFG(), RescaledCFG(space="x0"), RescaledCFG(scale=3.0, rescale=1.0)]
SHAPES = [(4, 8), (4, 5, 3), (4, 3, 6, 6), (4, 2, 3, 4, 5)]

at_each_level = pytest.mark.parametrize("level", LEVELS.values(), ids=LEVELS)
each = pytest.mark.parametrize("guidance", ALL, ids=repr)


def predictions(shape=(4, 3, 6, 6), level=LEVELS["VP"]):
    generator = torch.Generator().manual_seed(5)
    cond, uncond, eps = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(3))
    return cond * level.alpha + eps * level.sigma, {"cond": cond + 0.3, "uncond": 0.8 * uncond}


def std(x):
    return x.flatten(1).std(1)


@at_each_level
@pytest.mark.parametrize("guidance", [CFG(1.0), RescaledCFG(scale=1.0), RescaledCFG(scale=1.0, space="x0")], ids=repr)
def test_scale_one_is_the_conditional_prediction_and_asks_for_nothing_else(guidance, level):
    x, parts = predictions(level=level)
    assert guidance.branches(level) == ("cond",)
    assert torch.equal(guidance.start()(x, level, {"cond": parts["cond"]}), parts["cond"])


@each
def test_other_scales_ask_for_both_branches(guidance):
    assert guidance.branches(LEVELS["VP"]) == ("cond", "uncond")


def test_scale_zero_is_the_unconditional_prediction():
    x, parts = predictions()
    assert torch.equal(CFG(scale=0.0).start()(x, LEVELS["VP"], parts), parts["uncond"])


@each
@at_each_level
def test_equal_predictions_are_left_as_they_are(guidance, level):
    x, parts = predictions(level=level)
    parts["uncond"] = parts["cond"]
    assert torch.allclose(guidance.start()(x, level, parts), parts["cond"], rtol=1e-12, atol=1e-13)


@each
@at_each_level
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_an_image_does_not_depend_on_its_batch_in_any_number_of_dimensions(guidance, level, shape):
    x, parts = predictions(shape, level)
    together = guidance.start()(x, level, parts)
    assert together.shape == shape
    for i in range(len(x)):
        alone = guidance.start()(x[i : i + 1], level, {name: part[i : i + 1] for name, part in parts.items()})
        assert torch.allclose(together[i : i + 1], alone, rtol=1e-13, atol=1e-14)


@each
@at_each_level
def test_the_shape_of_an_image_does_not_matter_to_its_values(guidance, level):
    x, parts = predictions((4, 60), level)
    flat = guidance.start()(x, level, parts)
    for shape in ((4, 3, 20), (4, 3, 4, 5), (4, 1, 5, 3, 2, 2)):
        shaped = guidance.start()(x.view(shape), level, {name: part.view(shape) for name, part in parts.items()})
        assert torch.allclose(shaped.flatten(1), flat, rtol=1e-13, atol=1e-14)


@at_each_level
@pytest.mark.parametrize("space", ["v", "x0"])
def test_no_rescaling_is_plain_guidance(level, space):
    x, parts = predictions(level=level)
    plain = CFG(scale=4.0).start()(x, level, parts)
    rescaled = RescaledCFG(scale=4.0, rescale=0.0, space=space).start()(x, level, parts)
    assert torch.allclose(rescaled, plain, rtol=1e-12, atol=1e-13)


@at_each_level
def test_full_rescaling_in_x0_keeps_the_deviation_of_the_conditional_image(level):
    x, parts = predictions(level=level)
    guided = RescaledCFG(scale=4.0, rescale=1.0, space="x0").start()(x, level, parts)
    assert torch.allclose(std(guided), std(parts["cond"]), rtol=1e-12)
    assert not torch.allclose(std(CFG(scale=4.0).start()(x, level, parts)), std(parts["cond"]), rtol=0.5)


@at_each_level
def test_full_rescaling_in_v_keeps_the_deviation_of_the_conditional_velocity(level):
    """v = (a x - x0) / s in variance preserving scale, so std(v) is std(a x - x0) up to s."""
    x, parts = predictions(level=level)
    guided = RescaledCFG(scale=4.0, rescale=1.0, space="v").start()(x, level, parts)
    center = x * level.alpha / level.norm**2
    assert torch.allclose(std(center - guided), std(center - parts["cond"]), rtol=1e-12)


@pytest.mark.parametrize("ve_sigma", [0.2, 1.0, 14.6, float("inf")])
@pytest.mark.parametrize("rescale", [0.3, 0.7, 1.0])
def test_rescaling_in_v_is_diffusers_rescale_noise_cfg_on_a_v_model(ve_sigma, rescale):
    level = variance_preserving(ve_sigma)
    x, parts = predictions(level=level)
    # v = alpha eps - sigma x0 = (alpha x - x0) / sigma where alpha^2 + sigma^2 = 1
    v = {name: (level.alpha * x - x0) / level.sigma for name, x0 in parts.items()}
    v_guided = rescale_noise_cfg(v["uncond"] + 7.5 * (v["cond"] - v["uncond"]), v["cond"], guidance_rescale=rescale)
    guided = RescaledCFG(scale=7.5, rescale=rescale, space="v").start()(x, level, parts)
    assert torch.allclose(guided, level.alpha * x - level.sigma * v_guided, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("norm", [1.0, 0.5, 15.0])
def test_the_result_depends_on_the_scale_of_x_only_through_its_level(norm):
    """The same image on a VP level and on any rescaling of it."""
    x, parts = predictions()
    level = LEVELS["VP"]
    scaled = Level(level.alpha * norm, level.sigma * norm)
    for guidance in ALL:
        one, other = guidance.start()(x, level, parts), guidance.start()(x * norm, scaled, parts)
        assert torch.allclose(one, other, rtol=1e-12, atol=1e-13)


@at_each_level
def test_plain_guidance_is_the_same_in_x0_and_eps(level):
    x, parts = predictions(level=level)
    guided = CFG(scale=5.0).start()(x, level, parts)
    eps = {name: (x - level.alpha * x0) / level.sigma for name, x0 in parts.items()}
    eps_guided = eps["uncond"] + 5.0 * (eps["cond"] - eps["uncond"])
    assert torch.allclose((x - level.alpha * guided) / level.sigma, eps_guided, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("space", ["v", "x0"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("cond", "uncond"), [(0.5, 0.0), (0.1, 1 / 30), (0.7, -0.3)])
def test_predictions_without_any_contrast_have_nothing_to_rescale(space, dtype, cond, uncond):
    """At alpha = 0 the exact x0 is one constant, the mean of the data; rounding is no contrast."""
    flat = {
        "cond": torch.full((2, 3, 7, 7), cond, dtype=dtype),
        "uncond": torch.full((2, 3, 7, 7), uncond, dtype=dtype),
    }
    x = torch.linspace(-2, 2, 294, dtype=dtype).view(2, 3, 7, 7)
    guided = RescaledCFG(scale=4.0, space=space).start()(x, PURE_NOISE, flat)
    assert torch.allclose(guided, CFG(scale=4.0).start()(x, PURE_NOISE, flat), rtol=1e-5)


@each
def test_predictions_are_not_changed_in_place(guidance):
    x, parts = predictions()
    before = [tensor.clone() for tensor in (x, *parts.values())]
    guidance.start()(x, LEVELS["VP"], parts)
    assert all(torch.equal(a, b) for a, b in zip(before, (x, *parts.values()), strict=True))
