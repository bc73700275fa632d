"""Guidance methods: identities that all must satisfy, their papers' formulas, and diffusers' guiders."""

import dataclasses
import math

import pytest
import torch
from diffusers import DDIMScheduler
from diffusers.guiders import (
    AdaptiveProjectedGuidance,
    AdaptiveProjectedMixGuidance,
    ClassifierFreeZeroStarGuidance,
    MagnitudeAwareGuidance,
)
from diffusers.guiders.adaptive_projected_guidance import MomentumBuffer, normalized_guidance
from diffusers.guiders.magnitude_aware_guidance import mambo_guidance
from diffusers.guiders.tangential_classifier_free_guidance import normalized_guidance as tangential
from hypothesis import given
from hypothesis import strategies as st

from sigmabench.eval.backends.mixture import GaussianMixture
from sigmabench.eval.cells import plan, samples
from sigmabench.eval.engine import counted, generate
from sigmabench.eval.jobs import Job
from sigmabench.eval.sweep import Sweep
from sigmabench.plugins.registry import build, catalogue
from sigmabench.samplers import Level
from sigmabench.samplers.guidance import (
    APG,
    CFG,
    FDG,
    TCFG,
    APGMix,
    CFGNorm,
    CFGZeroStar,
    DualCFG,
    DynamicCFG,
    DynamicThreshold,
    EpsScaling,
    FreSca,
    Interval,
    MagnitudeAware,
    Mahiro,
    PerpNeg,
)
from sigmabench.samplers.guidance.space import SPACES, from_space, to_space
from sigmabench.samplers.level import PURE_NOISE
from sigmabench.samplers.perturbation import AttendedRegions, Judged, Perturbed, WatchedAttention
from sigmabench.samplers.schedules import Flow

NAMES = tuple(catalogue("guidance"))
LEVELS = {"VE": Level(1.0, 3.0), "VP": Level(0.6, 0.8), "flow": Level(0.3, 0.7), "pure noise": PURE_NOISE}
PERTURBED = [
    b for name in NAMES for b in build("guidance", name).branches(LEVELS["VP"]) if isinstance(b, Perturbed)
]  # fmt: skip
REGIONS = [branch for branch in PERTURBED if isinstance(branch.change, AttendedRegions)]
JUDGED = [branch for branch in PERTURBED if isinstance(branch.change, Judged)]
WATCHED = [branch for branch in PERTURBED if isinstance(branch.change, WatchedAttention)]
SHAPES = [(4, 8, 9), (4, 3, 6, 6), (4, 2, 3, 4, 5)]
NONE = {
    "apg_mix": {"scale_first": 1.0},
    "fdg": {"scale_low": 1.0},
    "fresca": {"high": 1.0},
    "dual_cfg": {"scale_middle": 1.0},
    "perp_neg": {"negative_scale": 0.0},
    "composable": {"others": "other:0"},
    "frame_cfg": {"scale_first": 1.0},
    "momentum": {"weight": 0.0, "guidance": CFG(1.0)},
    "mimic": {"guidance": CFG(1.0), "like": CFG(1.0)},
    "eps_scaling": {"factor": 1.0, "guidance": CFG(1.0)},
    "interval": {"guidance": CFG(1.0)},
    "dynamic_threshold": {"guidance": CFG(1.0)},
    "negative_prompt": {"guidance": CFG(1.0)},
    "cads": {"noise": 0.0, "guidance": CFG(1.0)},
    "icg": {"guidance": CFG(1.0)},
    "freeu": {**dict.fromkeys(("b1", "b2", "s1", "s2"), 1.0), "guidance": CFG(1.0)},
    **{
        name: {"scale": 0.0, "guidance": CFG(1.0)}
        for name in ("pag", "sag", "seg", "slg", "tpg", "pladis", "tsg", "swg", "classifier", "clip")
    },
}
"""What beside scale = 1 makes a method none at all."""
REFUSED = {
    "dual_cfg": "needs a text for middle; give the sweep one, such as texts: {middle: ",
    "composable": "needs a text for other; give the sweep one, such as texts: {other: ",
    "perp_neg": "needs a negative prompt; give the sweep one",
    "negative_prompt": "needs a negative prompt; give the sweep one",
    "autoguidance": "autoguidance has no weaker model; name one",
    **dict.fromkeys(("pag", "sag", "seg", "slg", "tpg", "nag", "pladis"), "is a formula without layers"),
    **dict.fromkeys(("tsg", "swg", "freeu", "s_cfg", "classifier", "clip"), "is a formula without layers"),
}
"""What a sweep of the closed-form model says of methods that it cannot have."""

at_each_level = pytest.mark.parametrize("level", LEVELS.values(), ids=LEVELS)
each = pytest.mark.parametrize("name", NAMES)


def predictions(shape=(4, 3, 6, 6), level=LEVELS["VP"], dtype=torch.float64):
    """Images within -1 and 1, where thresholds do nothing, for every branch that any guidance asks for."""
    generator = torch.Generator().manual_seed(5)
    names = dict.fromkeys(("cond", "uncond", "negative", "middle", "other", *PERTURBED))
    parts = {name: torch.rand(shape, generator=generator, dtype=dtype) * 0.2 - 0.05 for name in names}
    parts["cond"] = parts["cond"] + 0.1
    for branch in WATCHED:
        parts[branch] = torch.cat([parts[branch.base], 1 + parts[branch][:, :1]], 1)
    for branch in REGIONS:
        labels = torch.randint(0, 3, parts["cond"][:, :1].shape, generator=generator).to(dtype)
        parts[branch] = torch.cat([parts[branch.base], labels, (labels > 0).to(dtype)], 1)
    for branch in JUDGED:  # a gradient in x: smaller where the scale of x is larger
        parts[branch] = torch.cat([parts[branch.base], parts[branch] / level.norm], 1)
    return parts["cond"] * level.alpha + torch.randn(shape, generator=generator, dtype=dtype) * level.sigma, parts


def without_any(name):
    settings = {field.name for field in dataclasses.fields(catalogue("guidance")[name].cls)}
    return catalogue("guidance")[name].cls(**{**({"scale": 1.0} if "scale" in settings else {}), **NONE.get(name, {})})


def combined(combine, x, level, parts, known=None):
    """x0 of one evaluation; further questions are answered by a network that finds the same noise at any x."""
    answer, reply = combine(x, level, parts if known is None else known), None
    while not isinstance(answer, torch.Tensor):
        try:
            other, _, branches = answer.send(reply)
        except StopIteration as stop:
            return stop.value
        reply = other, {branch: parts[branch] + (other - x) / level.alpha for branch in branches}
    return answer


def settled(guidance, x, level, parts):
    """The second evaluation of a run: some methods do nothing but zero at the first."""
    combine = guidance.start()
    combined(combine, x, level, parts)
    return combined(combine, x, level, parts)


def equal(parts):
    """All predictions as cond; what is watched is as it was, and judges ask for nothing."""
    judged = {branch: torch.cat([parts["cond"], torch.zeros_like(parts["cond"])], 1) for branch in JUDGED}
    regions = {branch: torch.cat([parts["cond"], parts[branch][:, -2:]], 1) for branch in REGIONS}
    others = {
        branch: torch.cat([parts["cond"], part[:, -1:]], 1) if branch in WATCHED else parts["cond"]
        for branch, part in parts.items()
    }
    return others | judged | regions


def close(a, b, tolerance=1e-12):
    return torch.allclose(a, b, rtol=tolerance, atol=tolerance)


@each
@at_each_level
def test_none_is_the_conditional_prediction_and_asks_for_nothing_else(name, level):
    guidance, (x, parts) = without_any(name), predictions(level=level)
    if name != "perp_neg":  # at scale 1 its uncond cancels only up to rounding
        assert guidance.branches(level) == ("cond",)
        parts = {"cond": parts["cond"]}
    assert close(guidance.start()(x, level, parts), parts["cond"])


@each
@at_each_level
def test_equal_predictions_are_left_as_they_are(name, level):
    guidance, (x, parts) = build("guidance", name), predictions(level=level)
    if name == "eps_scaling":
        guidance = EpsScaling(factor=1.0)
    assert close(settled(guidance, x, level, equal(parts)), parts["cond"])


@each
@at_each_level
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_an_image_does_not_depend_on_its_batch(name, level, shape):
    guidance, (x, parts) = build("guidance", name), predictions(shape, level)
    together = settled(guidance, x, level, parts)
    assert together.shape == shape
    assert together.isfinite().all()
    for i in range(len(x)):
        one = {branch: part[i : i + 1] for branch, part in parts.items()}
        assert close(together[i : i + 1], settled(guidance, x[i : i + 1], level, one), 1e-11)


@each
def test_the_scale_of_x_does_not_matter_beyond_its_level(name):
    guidance, level = build("guidance", name), LEVELS["VP"]
    x, parts = predictions(level=level)
    other = Level(level.alpha * 7, level.sigma * 7)
    scaled = {b: torch.cat([p.chunk(2, 1)[0], p.chunk(2, 1)[1] / 7], 1) if b in JUDGED else p for b, p in parts.items()}
    assert close(settled(guidance, x, level, parts), settled(guidance, 7 * x, other, scaled), 1e-11)


@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_and_inputs_are_left_alone(name, dtype):
    guidance, (x, parts) = build("guidance", name), predictions(dtype=dtype)
    before = [tensor.clone() for tensor in (x, *parts.values())]
    assert settled(guidance, x, LEVELS["VP"], parts).dtype == dtype
    assert all(torch.equal(a, b) for a, b in zip(before, (x, *parts.values()), strict=True))


@each
@at_each_level
def test_predictions_of_nothing_give_no_nan(name, level):
    x, parts = predictions(level=level)
    zero = {branch: torch.zeros_like(part) for branch, part in parts.items()}
    assert settled(build("guidance", name), x, level, zero).isfinite().all()
    assert settled(build("guidance", name), torch.zeros_like(x), level, zero).isfinite().all()


@each
def test_runs_start_afresh(name):
    guidance, (x, parts) = build("guidance", name), predictions()
    first = combined(guidance.start(), x, LEVELS["VP"], parts)
    settled(guidance, x, LEVELS["VP"], parts)
    assert torch.equal(combined(guidance.start(), x, LEVELS["VP"], parts), first)


@each
@at_each_level
def test_only_the_branches_asked_for_are_used(name, level):
    guidance, (x, parts) = build("guidance", name), predictions(level=level)
    asked = {branch: parts[branch] for branch in guidance.branches(level)}
    alone = combined(guidance.start(), x, level, parts, asked)
    assert torch.equal(alone, combined(guidance.start(), x, level, parts))


PLAIN = [
    APG(scale=4.0, eta=1.0, threshold=0.0, momentum=0.0),
    *(APG(scale=4.0, eta=1.0, threshold=0.0, momentum=0.0, space=space) for space in SPACES),
    FDG(scale=4.0, scale_low=4.0),
    FreSca(scale=4.0, high=1.0),
    MagnitudeAware(scale=4.0, alpha=0.0),
    CFGNorm(scale=4.0, limit=100.0),
    PerpNeg(scale=4.0, negative_scale=0.0),
    DualCFG(scale=4.0, scale_middle=4.0),
    DynamicCFG(scale=4.0, scale_noisy=4.0),
    Interval(CFG(4.0), 0.0, math.inf),
    DynamicThreshold(CFG(4.0), 1.0),
    EpsScaling(CFG(4.0), 1.0),
]


@at_each_level
@pytest.mark.parametrize("guidance", PLAIN, ids=repr)
def test_neutral_settings_are_plain_guidance(guidance, level):
    x, parts = predictions(level=level)
    parts = {branch: 0.1 * part for branch, part in parts.items()}
    assert close(settled(guidance, x, level, parts), CFG(4.0).start()(x, level, parts), 1e-11)


@at_each_level
@pytest.mark.parametrize("space", SPACES)
def test_spaces_are_undone_exactly_and_are_what_they_say(space, level):
    x, parts = predictions(level=level)
    x0 = parts["cond"]
    there = to_space(space, x0, x, level)
    assert close(from_space(space, there, x, level), x0)
    eps = (x - level.alpha * x0) / level.sigma
    a, s = level.alpha / level.norm, level.sigma / level.norm
    by_hand = {"x0": x0, "eps": eps if level.alpha else -x0, "v": a * eps - s * x0, "flow": eps - x0}
    assert close(there, by_hand[space])


@pytest.mark.parametrize("space", ["eps", "v", "flow"])
@pytest.mark.parametrize("guidance", [TCFG(4.0), CFGZeroStar(4.0, 0)], ids=repr)
def test_parallel_predictions_need_no_projection(guidance, space):
    x, parts = predictions()
    level, guidance = LEVELS["VP"], dataclasses.replace(guidance, space=space)
    cond = to_space(space, parts["cond"], x, level)
    parts["uncond"] = from_space(space, 0.7 * cond, x, level)
    plain = CFG(4.0).start()(x, level, parts)
    if isinstance(guidance, CFGZeroStar):  # s makes them equal
        plain = parts["cond"]
    assert close(settled(guidance, x, level, parts), plain, 1e-11)


def apg_by_hand(cond, differences, scale, eta, threshold, momentum):
    average = torch.zeros_like(cond)
    for difference in differences:
        average = difference + momentum * average
    result = torch.empty_like(cond)
    for i, (d, c) in enumerate(zip(average, cond, strict=True)):
        d = d * min(1.0, threshold / d.norm().item())
        unit = c / c.norm()
        along = (d * unit).sum() * unit
        result[i] = c + (scale - 1) * (d - along + eta * along)
    return result


@pytest.mark.parametrize(("eta", "threshold", "momentum"), [(0.0, 0.5, -0.5), (0.3, 15.0, -0.75), (1.0, 0.1, 0.0)])
def test_apg_is_algorithm_1_and_diffusers_original_formulation(eta, threshold, momentum):
    x, parts = predictions()
    second = {**parts, "uncond": parts["middle"]}
    run, buffer = APG(6.0, eta, threshold, momentum).start(), MomentumBuffer(momentum)
    for pair, seen in ((parts, [parts]), (second, [parts, second])):
        ours = run(x, LEVELS["VP"], pair)
        differences = [p["cond"] - p["uncond"] for p in seen]
        assert close(ours, apg_by_hand(pair["cond"], differences, 6.0, eta, threshold, momentum), 1e-11)
        theirs = normalized_guidance(pair["cond"], pair["uncond"], 5.0, buffer, eta, threshold, True)
        assert close(ours, theirs, 1e-11)


def test_apg_mix_is_diffusers_original_formulation_on_flow_velocities():
    level, (x, parts) = LEVELS["flow"], predictions()
    theirs = AdaptiveProjectedMixGuidance(
        2.5, adaptive_projected_guidance_scale=8.0, adaptive_projected_guidance_start_step=1, eta=0.2,
        adaptive_projected_guidance_rescale=1.5, use_original_formulation=True,
    )  # fmt: skip
    theirs.momentum_buffer = MomentumBuffer(-0.5)  # made where a pipeline prepares its inputs
    run = APGMix(9.0, 3.5, first=2, eta=0.2, threshold=1.5).start()  # their scales are 1 less
    for step in range(4):
        parts["uncond"] = (1 + 0.3 * step) * parts["uncond"]
        velocity = {name: to_space("flow", parts[name], x, level) for name in ("cond", "uncond")}
        theirs.set_state(step=step, num_inference_steps=10, timestep=torch.tensor(0))
        expected = theirs.forward(velocity["cond"], velocity["uncond"]).pred
        assert close(to_space("flow", run(x, level, parts), x, level), expected, 1e-10)


@at_each_level
def test_cfg_zero_star_is_diffusers_on_flow_velocities_and_starts_with_zero(level):
    theirs = ClassifierFreeZeroStarGuidance(guidance_scale=5.0, zero_init_steps=2)
    run, (x, parts) = CFGZeroStar(5.0, 2).start(), predictions(level=level)
    velocity = {name: to_space("flow", parts[name], x, level) for name in ("cond", "uncond")}
    for step in range(4):
        theirs.set_state(step=step, num_inference_steps=10, timestep=torch.tensor(0))
        expected = theirs.forward(velocity["cond"], velocity["uncond"]).pred
        ours = to_space("flow", run(x, level, parts), x, level)
        assert close(ours, expected, 1e-6)  # its scale is float32
        assert (step < 2) == close(ours, torch.zeros_like(ours))


def test_cfg_zero_star_makes_the_rest_across_uncond():
    x, parts = predictions()
    level = LEVELS["flow"]
    u, c = (to_space("flow", parts[name], x, level).flatten(1) for name in ("uncond", "cond"))
    s = torch.einsum("bi,bi->b", u, c) / torch.einsum("bi,bi->b", u, u)
    expected = s[:, None] * u + 5.0 * (c - s[:, None] * u)
    assert close(to_space("flow", settled(CFGZeroStar(5.0), x, level, parts), x, level).flatten(1), expected, 1e-10)


@pytest.mark.parametrize("space", SPACES)
def test_tcfg_is_the_singular_value_decomposition(space):
    x, parts = predictions()
    level = LEVELS["VP"]
    c, u = (to_space(space, parts[name], x, level) for name in ("cond", "uncond"))
    expected = torch.empty_like(c)
    for i in range(len(c)):
        first = torch.linalg.svd(torch.stack([c[i].flatten(), u[i].flatten()]), full_matrices=False).Vh[0]
        kept = ((u[i].flatten() @ first) * first).view_as(u[i])
        expected[i] = kept + 3.0 * (c[i] - kept)
    ours = to_space(space, TCFG(3.0, space).start()(x, level, parts), x, level)
    assert close(ours, expected, 1e-10)
    assert close(ours, tangential(c, u, 3.0), 1e-5)  # theirs is float32


def test_fdg_is_a_laplacian_pyramid_of_two_levels_with_a_scale_each():
    x, parts = predictions((2, 3, 8, 8))
    row = torch.tensor([1.0, 4, 6, 4, 1], dtype=torch.float64) / 16

    def blur(image):
        padded = torch.nn.functional.pad(image, (2, 2, 2, 2), mode="reflect")
        down = sum(row[k] * padded[..., k : k + image.shape[-2], :] for k in range(5))
        return sum(row[k] * down[..., k : k + image.shape[-1]] for k in range(5))

    def halved(image):
        return (image[..., ::2, ::2] + image[..., 1::2, ::2] + image[..., ::2, 1::2] + image[..., 1::2, 1::2]) / 4

    def doubled(image):
        return blur(torch.nn.functional.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False))

    def pyramid(image):
        return image - doubled(halved(blur(image))), halved(blur(image))

    levels = zip(pyramid(parts["uncond"]), pyramid(parts["cond"]), (10, 5), strict=True)
    fine, coarse = (u + w * (c - u) for u, c, w in levels)
    assert close(FDG().start()(x, LEVELS["VP"], parts), fine + doubled(coarse), 1e-11)


def test_fresca_splits_waves_at_the_cutoff():
    h = w = 16
    columns = torch.arange(w, dtype=torch.float64)
    wave = lambda k: torch.cos(2 * math.pi * k * columns / w).expand(2, 1, h, w)  # noqa: E731
    parts = {"uncond": torch.zeros(2, 1, h, w, dtype=torch.float64), "cond": wave(2) + wave(5)}
    x = torch.zeros_like(parts["cond"])
    ours = FreSca(3.0, low=0.5, high=2.0, cutoff=4).start()(x, LEVELS["VP"], parts)
    assert close(ours, 3.0 * (0.5 * wave(2) + 2.0 * wave(5)), 1e-12)


@pytest.mark.parametrize("guidance", [FDG(), FreSca()], ids=repr)
def test_what_has_no_two_dimensions_has_no_frequencies(guidance):
    x, parts = predictions((4, 60))
    with pytest.raises(ValueError, match=r"images of shape \(60,\) have no frequencies"):
        guidance.start()(x, LEVELS["VP"], parts)


@pytest.mark.parametrize("over", ["image", "channels"])
def test_cfg_norm_is_never_longer_than_the_conditional_prediction(over):
    x, parts = predictions()
    ours = CFGNorm(9.0, over=over).start()(x, LEVELS["VP"], parts)
    plain = CFG(9.0).start()(x, LEVELS["VP"], parts)
    dims = (1, 2, 3) if over == "image" else (1,)
    norm = lambda a: torch.linalg.vector_norm(a, dim=dims, keepdim=True)  # noqa: E731
    assert (norm(ours) <= norm(parts["cond"]) * (1 + 1e-12)).all()
    assert close(ours, plain * torch.minimum(torch.ones(1).double(), norm(parts["cond"]) / norm(plain)))


@at_each_level
def test_magnitude_aware_is_diffusers_mambo_on_flow_velocities(level):
    x, parts = predictions((4, 9, 16), level)  # images as tokens, which theirs can do
    velocity = {name: to_space("flow", parts[name], x, level) for name in ("cond", "uncond")}
    expected = mambo_guidance(velocity["cond"], velocity["uncond"], 10.0, 8.0)
    ours = MagnitudeAware().start()(x, level, parts)
    assert close(to_space("flow", ours, x, level), expected, 1e-10)
    assert MagnitudeAwareGuidance().guidance_scale == MagnitudeAware().scale


def test_magnitude_aware_weakens_the_difference_by_its_relative_length():
    x, parts = predictions()
    ours = MagnitudeAware(6.0, alpha=2.0, space="x0").start()(x, LEVELS["VP"], parts)
    for i in range(4):
        c, u = parts["cond"][i], parts["uncond"][i]
        w = 1 + 5.0 * math.exp(-2.0 * torch.linalg.vector_norm(c - u).item() / torch.linalg.vector_norm(u).item())
        assert close(ours[i], u + w * (c - u), 1e-11)


def test_mahiro_is_its_formula_image_by_image():
    x, parts = predictions()
    ours = Mahiro(6.0).start()(x, LEVELS["VP"], parts)
    root = lambda a: torch.sign(a) * torch.sqrt(torch.abs(a))  # noqa: E731
    for i in range(4):
        c, u = parts["cond"][i], parts["uncond"][i]
        leaned, guided = 6.0 * c, u + 6.0 * (c - u)
        s = torch.cosine_similarity(root(6.0 * u), root((leaned + guided) / 2), dim=0).mean()
        scale = 2 * (s + 1)
        assert close(ours[i], (scale * guided + (4 - scale) * leaned) / 4, 1e-10)


def test_perp_neg_takes_nothing_away_along_the_prompt():
    x, parts = predictions()
    u, c, n = parts["uncond"], parts["cond"], parts["negative"]
    ours = PerpNeg(5.0, 0.8).start()(x, LEVELS["VP"], parts)
    for i in range(4):
        p, q = (c[i] - u[i]).flatten(), (n[i] - u[i]).flatten()
        across = q - (q @ p) / (p @ p) * p
        assert close((ours[i] - u[i]).flatten(), 5.0 * (p - 0.8 * across), 1e-11)
    parts["negative"] = parts["cond"]
    assert close(PerpNeg(5.0).start()(x, LEVELS["VP"], parts), CFG(5.0).start()(x, LEVELS["VP"], parts), 1e-11)


@pytest.mark.parametrize(
    ("guidance", "branches"),
    [
        (DualCFG(), ("cond", "middle", "uncond")),
        (DualCFG(7.5, 1.0), ("cond", "middle")),
        (DualCFG(3.0, 3.0), ("cond", "uncond")),
        (DualCFG(1.0, 1.0), ("cond",)),
    ],
)
def test_dual_cfg_is_equation_3_and_evaluates_only_what_counts(guidance, branches):
    x, parts = predictions()
    u, m, c = parts["uncond"], parts["middle"], parts["cond"]
    assert guidance.branches(LEVELS["VP"]) == branches
    expected = u + guidance.scale_middle * (m - u) + guidance.scale * (c - m)
    asked = {name: parts[name] for name in branches}
    assert close(guidance.start()(x, LEVELS["VP"], asked), expected)


def test_an_interval_saves_evaluations_outside_and_is_closed_above():
    guidance = Interval(CFG(4.0), sigma_lo=0.3, sigma_hi=5.0)
    for sigma, inside in ((0.3, False), (0.31, True), (5.0, True), (5.01, False)):
        level = Level(1.0, sigma)
        x, parts = predictions(level=level)
        assert guidance.branches(level) == (("cond", "uncond") if inside else ("cond",))
        expected = CFG(4.0).start()(x, level, parts) if inside else parts["cond"]
        assert torch.equal(guidance.start()(x, level, parts), expected)
    assert guidance.branches(PURE_NOISE) == ("cond",)


def test_an_interval_is_built_from_text_with_any_guidance_inside():
    assert build("guidance", "interval(apg(3), sigma_hi=2)") == Interval(APG(3.0), sigma_hi=2.0)


@given(ve_sigma=st.floats(1e-3, 1e3), shape=st.sampled_from(["linear", "cosine"]))
def test_dynamic_cfg_lies_between_its_scales_and_grows_towards_clean(ve_sigma, shape):
    guidance = DynamicCFG(8.0, 2.0, shape)
    zero, one = torch.zeros(1, 2), torch.ones(1, 2)

    def scale(level):
        return guidance.start()(one, level, {"cond": one, "uncond": zero})[0, 0].item()

    progress = 1 - 2 / math.pi * math.atan(ve_sigma)
    expected = progress if shape == "linear" else (1 - math.cos(math.pi * progress)) / 2
    assert scale(Level(1.0, ve_sigma)) == pytest.approx(2 + 6 * expected, rel=1e-5)
    assert scale(PURE_NOISE) == 2.0


def test_dynamic_threshold_is_diffusers():
    _, parts = predictions((4, 3, 16, 16))
    parts["cond"] = 8 * parts["cond"]
    for highest in (1.0, 1.7, 99.0):
        theirs = DDIMScheduler(thresholding=True, dynamic_thresholding_ratio=0.9, sample_max_value=highest)
        ours = DynamicThreshold(CFG(3.0), 0.9, highest).start()(parts["cond"], LEVELS["VP"], parts)
        expected = theirs._threshold_sample(CFG(3.0).start()(parts["cond"], LEVELS["VP"], parts))
        assert close(ours, expected)
        assert ours.abs().max() <= 1.0


@pytest.mark.parametrize("level", [LEVELS["VE"], LEVELS["VP"], LEVELS["flow"]])
def test_eps_scaling_divides_eps(level):
    x, parts = predictions(level=level)
    plain, scaled = (g.start()(x, level, parts) for g in (CFG(), EpsScaling(factor=1.02)))
    assert close(to_space("eps", scaled, x, level), to_space("eps", plain, x, level) / 1.02, 1e-11)


@pytest.mark.parametrize("guider", [AdaptiveProjectedGuidance, MagnitudeAwareGuidance, ClassifierFreeZeroStarGuidance])
def test_names_of_diffusers_find_their_guidance(guider):
    assert build("guidance", guider.__name__)


def planned(guidance, **settings):
    model = GaussianMixture(size=4, schedule=Flow(), prediction="flow").load()
    prompts = ["a photo of a cat", "a photo of a ship"]
    sweep = Sweep(images=2, prompts=prompts, steps=[6], samplers=["euler"], guidance=[guidance], **settings)
    (cell,) = plan(sweep, "m", model, prompts)
    return model, cell, samples(sweep, prompts, 0, 2)


@each
def test_a_sweep_runs_any_guidance_or_says_which_prediction_it_lacks(name):
    model, cell, images = planned(name)
    if name in REFUSED:
        assert REFUSED[name] in cell.refused
        return
    assert not cell.refused
    (x,) = generate(model, [Job(cell.cell, images)])
    assert x.isfinite().all()


def test_an_interval_saves_evaluations_of_the_network():
    model, cell, images = planned("interval(cfg(3), sigma_lo=0.5, sigma_hi=2)")
    with counted(model.network) as rows:
        generate(model, [Job(cell.cell, images)])
    inside = sum(0.5 < Flow().level(1 - i / 6).ve_sigma <= 2 for i in range(6))
    assert sum(rows) == 2 * (6 + inside)
    assert 0 < inside < 6
