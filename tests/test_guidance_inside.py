"""Guidance by other inputs, other skip connections, parts of x and judges: what the network sees and what comes out."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from scipy.ndimage import convolve1d
from word_states import WordStates

from sigmabench.eval.backends.changed import perturbed
from sigmabench.eval.backends.embedded import Embedded
from sigmabench.eval.backends.embedded_model import EmbeddedModel
from sigmabench.eval.backends.mixture import GaussianMixture
from sigmabench.eval.backends.skips import weighed_blocks
from sigmabench.eval.branches import condition, texts_of
from sigmabench.eval.cells import plan, samples
from sigmabench.eval.costs.counting import count
from sigmabench.eval.embedded.captions import CLASSES, caption
from sigmabench.eval.embedded.generator import SCHEDULERS, UNET, Generator
from sigmabench.eval.embedded.judge import load_judge
from sigmabench.eval.engine import counted, generate, produce
from sigmabench.eval.jobs import Job
from sigmabench.eval.protocols import SEEDS
from sigmabench.eval.sweep import Sweep
from sigmabench.plugins.registry import build
from sigmabench.samplers import Level
from sigmabench.samplers.guidance import (
    CADS,
    CFG,
    ICG,
    PAG,
    SWG,
    TSG,
    ClassifierGuidance,
    CLIPGuidance,
    FreeU,
    SemanticCFG,
)
from sigmabench.samplers.level import PURE_NOISE
from sigmabench.samplers.perturbation import (
    AttendedRegions,
    IndependentCondition,
    Judged,
    NoisyCondition,
    NoisyTime,
    Perturbed,
    ScaledSkips,
    Windows,
)
from sigmabench.samplers.windows import starts

PROMPTS = ["a cat", "a dark dog", "a ship"]
LEVELS = [Level(0.8, 0.6), Level(0.3, 0.954), Level(0.8, 0.6)]
VP = Level(0.6, 0.8)
FREEU = {"b1": 1.3, "b2": 0.8, "s1": 0.7, "s2": 0.4}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    small = {**UNET, "block_out_channels": (16, 32, 32), "time_embedding_dim": 64, "norm_num_groups": 8}
    small |= {"up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D")}
    unet = UNet2DConditionModel(**small).eval().requires_grad_(False)
    return EmbeddedModel(Generator(unet, SCHEDULERS["v"], "1a2b3c4d", "x"), WordStates(), "v")


@pytest.fixture(scope="module")
def embedded():
    try:
        return Embedded().load()
    except FileNotFoundError as error:
        pytest.skip(str(error))


def x_of(model, count=3):
    return torch.randn(count, *model.shape, generator=torch.Generator().manual_seed(1))


def told(model, change, levels=LEVELS, seeds=(5, 6, 7)):
    """x0 by a change that draws noise."""
    texts = texts_of(PROMPTS[: len(levels)], "", ())
    own = condition(model, Perturbed("cond", change), texts, seeds)
    return model.perturbed(change).denoise(x_of(model, len(levels)), levels, own)


class Seen:
    """What a module is given and answers, in order."""

    def __init__(self, module):
        self.calls = []
        self.hook = module.register_forward_hook(lambda _, a, k, out: self.calls.append((a, k, out)), with_kwargs=True)

    def __enter__(self):
        return self.calls

    def __exit__(self, *error):
        self.hook.remove()


# FreeU


def test_freeu_is_diffusers_and_leaves_the_network_as_it_was(model):
    x, own, unet = x_of(model), model.encode(PROMPTS), model.network
    plain = model.denoise(x, LEVELS, own)
    ours = perturbed(model, ScaledSkips(**FREEU)).denoise(x, LEVELS, own)
    unet.enable_freeu(**FREEU)
    theirs = model.denoise(x, LEVELS, own)
    unet.disable_freeu()
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert (ours - plain).abs().max() > 1e-2
    assert torch.equal(model.denoise(x, LEVELS, own), plain)


def test_freeu_by_structure_weighs_where_much_is_seen(model):
    """The first residual block up is given the same in both; what it makes of that is computed here by numpy."""
    stage = model.network.up_blocks[0].resnets[0]
    x, own = x_of(model), model.encode(PROMPTS)
    with Seen(stage) as calls:
        model.denoise(x, LEVELS, own)
    given = calls[0][0][0].numpy()
    below, skip = given[:, :32], given[:, 32:]
    mean = below.mean(1, keepdims=True)
    low, high = mean.min((2, 3), keepdims=True), mean.max((2, 3), keepdims=True)
    strong = below[:, :16] * ((1.3 - 1) * (mean - low) / (high - low) + 1)
    spectrum = np.fft.fftshift(np.fft.fft2(skip), axes=(-2, -1))
    middle = spectrum.shape[-1] // 2
    spectrum[..., middle - 1 : middle + 1, middle - 1 : middle + 1] *= 0.7
    weak = np.fft.ifft2(np.fft.ifftshift(spectrum, axes=(-2, -1))).real
    expected = np.concatenate([strong, below[:, 16:], weak], 1)
    seen = []
    usual = stage.norm1.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    perturbed(model, ScaledSkips(**FREEU, structure=True)).denoise(x, LEVELS, own)
    usual.remove()
    torch.testing.assert_close(seen[0], torch.from_numpy(expected).float(), rtol=1e-4, atol=1e-5)


def test_freeu_by_channels_tells_the_blocks_of_stable_diffusion_as_the_authors():
    """Three blocks in each stage up, of 1280, 1280, 640 and 320 channels; what comes from below decides."""
    blocks = [SimpleNamespace(resnets=[SimpleNamespace(out_channels=c)] * 3) for c in (1280, 1280, 640, 320)]
    unet = SimpleNamespace(mid_block=blocks[0], up_blocks=blocks, down_blocks=blocks[::-1])
    for by_channels, first, second in ((False, 3, 3), (True, 7, 3)):
        given = list(weighed_blocks(unet, ScaledSkips(2.0, 3.0, by_channels=by_channels)))
        assert [b for *_, b, _ in given] == [2.0] * first + [3.0] * second


def test_freeu_replaces_every_plain_prediction_and_its_second_version_has_its_own_settings():
    change = ScaledSkips(1.1, 1.2, 0.9, 0.2, False)
    assert FreeU().branches(VP) == (Perturbed("cond", change), Perturbed("uncond", change))
    assert build("guidance", "FreeU_V2") == FreeU(1.3, 1.4, 0.9, 0.2, "structure")


def test_networks_without_stages_up_have_no_freeu():
    other = dataclasses.make_dataclass("Model", ["id", "network"])("m", torch.nn.Linear(1, 1))
    with pytest.raises(ValueError, match="needs a U-Net with at least two stages up, not Linear"):
        perturbed(other, ScaledSkips())


# Noise in the time


def test_time_step_guidance_adds_noise_to_the_embedding_of_the_time(model):
    embedding = model.network.time_embedding
    with Seen(embedding) as calls:
        model.denoise(x_of(model), LEVELS, model.encode(PROMPTS))
        told(model, NoisyTime(3.0, 2.0))
        told(model, NoisyTime(3.0, 2.0))
        told(model, NoisyTime(1.5, 2.0))
    plain, noisy, again, half = (out for _, _, out in calls)
    noise = noisy - plain
    assert torch.equal(noisy, again)
    torch.testing.assert_close(half - plain, noise / 2, rtol=1e-4, atol=1e-5)
    for row, level in zip(noise, LEVELS, strict=True):
        unit = row / (3.0 * model.schedule.time(level) ** 2)
        assert abs(unit.mean()) < 0.4
        assert unit.std() == pytest.approx(1, abs=0.3)
    assert not torch.allclose(noise[0], noise[2])  # the same level, another image


def test_time_step_guidance_leads_away_from_it():
    worse = Perturbed("cond", NoisyTime(0.5, 1.0))
    guidance = TSG(2.0, CFG(1.0), 0.5)
    assert guidance.branches(VP) == ("cond", worse)
    c, w = torch.ones(1, 3), torch.full((1, 3), 0.25)
    torch.testing.assert_close(guidance.start()(c, VP, {"cond": c, worse: w}), c + 2 * (c - w))


# Noise in the condition


def states_seen(model, change, levels=LEVELS, seeds=(5, 6, 7)):
    with Seen(model.network) as calls:
        told(model, change, levels, seeds)
    return calls[0][1]["encoder_hidden_states"]


def test_condition_annealing_is_its_formula_at_every_time(model):
    plain = model.encode(PROMPTS)["encoder_hidden_states"]
    levels = [model.schedule.level(t) for t in (0.5, 0.75, 0.95)]
    seen = states_seen(model, NoisyCondition(0.6, 0.9, 0.5, 0.0), levels)
    assert torch.equal(seen[0], plain[0])
    for row, own, gamma in zip(seen[1:], plain[1:], (0.5, 0.0), strict=True):
        noise = (row - gamma**0.5 * own) / (0.5 * (1 - gamma) ** 0.5)
        assert noise.mean() == pytest.approx(0, abs=0.15)
        assert noise.std() == pytest.approx(1, abs=0.1)
    rescaled = states_seen(model, NoisyCondition(0.6, 0.9, 0.5, 1.0), levels)
    for row, own, raw in zip(rescaled[1:], plain[1:], seen[1:], strict=True):
        torch.testing.assert_close(row, (raw - raw.mean()) / raw.std() * own.std() + own.mean(), rtol=1e-4, atol=1e-5)


def test_noise_in_a_condition_belongs_to_the_image_and_the_level(model):
    change = NoisyCondition(0.0, 0.1, 1.0, 0.0)
    alone = states_seen(model, change, LEVELS[1:2], [6])
    together = states_seen(model, change)
    own = model.encode(PROMPTS[:2])["encoder_hidden_states"]
    torch.testing.assert_close(alone[0] - 0 * own[0], together[1])  # gamma is 0: all is noise, of seed 6
    other = states_seen(model, change, [Level(0.31, 0.951)], [6])
    assert not torch.allclose(other[0], alone[0])


def test_an_independent_condition_has_the_moments_of_the_real_one_and_nothing_else(model):
    plain = model.encode(PROMPTS)["encoder_hidden_states"]
    seen = states_seen(model, IndependentCondition())
    unit = (seen - plain.mean((1, 2), keepdim=True)) / plain.std((1, 2), keepdim=True)
    assert unit.mean().abs() < 0.1
    assert unit.std() == pytest.approx(1, abs=0.1)
    correlation = torch.corrcoef(torch.stack([seen.flatten(), plain.flatten()]))[0, 1]
    assert correlation.abs() < 0.1


def test_independent_condition_guidance_has_it_in_place_of_uncond():
    other = Perturbed("cond", IndependentCondition())
    guidance = ICG(CFG(3.0))
    assert guidance.branches(VP) == ("cond", other)
    c, u = torch.ones(1, 3), torch.full((1, 3), 0.25)
    torch.testing.assert_close(guidance.start()(c, VP, {"cond": c, other: u}), u + 3 * (c - u))


def test_annealing_changes_cond_alone_and_none_is_none():
    change = NoisyCondition(0.6, 0.9, 0.25, 1.0)
    assert CADS(guidance=CFG(3.0)).branches(VP) == (Perturbed("cond", change), "uncond")
    assert CADS(0.0).branches(VP) == ("cond", "uncond")
    assert len(CADS(guidance=PAG(guidance=CFG(3.0))).branches(VP)) == 3


def test_numbers_of_classes_can_have_no_noise():
    class OfClasses:
        id, encode = "m", staticmethod(lambda prompts: {"class_labels": torch.zeros(len(prompts), dtype=torch.long)})

    with pytest.raises(ValueError, match=r"NoisyCondition\(.*\) needs a condition with encoder_.* which m has not"):
        perturbed(OfClasses(), NoisyCondition())


def test_a_closed_form_takes_noisy_conditions_too():
    model = GaussianMixture(size=4).load()
    own = {**model.encode(PROMPTS), SEEDS: torch.tensor([1, 2, 3])}
    x = torch.randn(3, 3, 4, 4)
    noisy = model.perturbed(NoisyCondition(0.0, 0.1)).denoise(x, LEVELS, own)
    assert not torch.allclose(noisy, model.denoise(x, LEVELS, model.encode(PROMPTS)))


# Regions


def weights_of(module, queries, keys):
    """softmax(q k) by numpy, averaged over heads."""
    q, k = (layer(states).numpy() for layer, states in ((module.to_q, queries), (module.to_k, keys)))
    q, k = (part.reshape(*part.shape[:2], module.heads, -1).transpose(0, 2, 1, 3) for part in (q, k))
    scores = q @ k.transpose(0, 1, 3, 2) / q.shape[-1] ** 0.5
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    return (scores / scores.sum(-1, keepdims=True)).mean(1)


def test_regions_are_those_of_the_words_that_the_network_attends_to(model):
    """Attention computed anew from what its layers were given."""
    block = model.network.mid_block.attentions[0].transformer_blocks[0]
    x, own = x_of(model), model.encode(PROMPTS)
    with Seen(block.attn1) as first, Seen(block.attn2) as second:
        plain = model.denoise(x, LEVELS, own)
    given = [calls[0][0][0] for calls in (first, second)]
    spread = weights_of(block.attn1, given[0], given[0])
    words = weights_of(block.attn2, given[1], own["encoder_hidden_states"])
    powers = [np.linalg.matrix_power(spread, k) for k in (1, 2, 3, 4)]
    maps = (sum(powers) / 4 @ words).transpose(0, 2, 1).reshape(3, -1, 4, 4)
    kernel = np.exp(-(np.array([-1, 0, 1]) ** 2) / (2 * 0.5**2))
    kernel /= kernel.sum()
    for axis in (2, 3):
        maps = convolve1d(maps, kernel, axis, mode="mirror")
    even = maps / maps.mean((2, 3), keepdims=True)
    text = maps[:, 1:].sum(1)
    seen = text / text.mean((1, 2), keepdims=True) > even[:, 0]
    answer = perturbed(model, AttendedRegions()).denoise(x, LEVELS, own)
    torch.testing.assert_close(answer[:, :-2], plain)
    for found, expected in ((answer[:, -2], even.argmax(1)), (answer[:, -1], seen)):
        assert np.array_equal(found.numpy()[:, ::4, ::4], expected)
        assert np.array_equal(found.numpy(), np.kron(expected, np.ones((4, 4))))


def test_semantic_guidance_is_as_strong_in_every_region_as_in_what_is_seen():
    c, u = torch.randn(2, 2, 3, 6, 6, dtype=torch.float64)
    c[:, :, :3] = u[:, :, :3] + 0.4 * (c - u)[:, :, :3]
    regions, seen = torch.zeros(2, 1, 6, 6, dtype=torch.float64), torch.zeros(2, 1, 6, 6, dtype=torch.float64)
    regions[:, :, :3], regions[1, :, 4:, :2], seen[:, :, 2:] = 4.0, 7.0, 1.0
    branch = Perturbed("cond", AttendedRegions())
    known = {branch: torch.cat([c, regions, seen], 1), "uncond": u}
    guidance = SemanticCFG(6.0, 0.5, 4.0)
    assert guidance.branches(VP) == (branch, "uncond")
    rate = np.empty((2, 6, 6))
    for i in range(2):
        size = (c - u)[i].norm(dim=0).numpy()
        seen_mean = size[seen[i, 0].numpy() > 0].mean()
        for place in np.ndindex(6, 6):
            own = regions[i, 0].numpy() == regions[i, 0, place[0], place[1]].item()
            rate[i][place] = np.clip(seen_mean / size[own].mean(), 0.5, min(4.0, 15 / 6))
    assert rate.max() > 1.5
    kernel = np.exp(-(np.array([-1, 0, 1]) ** 2) / (2 * 0.5**2))
    for axis in (1, 2):
        rate = convolve1d(rate, kernel / kernel.sum(), axis, mode="mirror")
    expected = u + 6 * torch.from_numpy(rate)[:, None] * (c - u)
    torch.testing.assert_close(guidance.start()(c, VP, known), expected, rtol=1e-10, atol=1e-10)
    even = SemanticCFG(6.0, 1.0, 1.0).start()(c, VP, known)
    torch.testing.assert_close(even, u + 6 * (c - u))


# Parts of x


def test_windows_are_averaged_where_they_overlap(model):
    x, own = x_of(model), model.encode(PROMPTS)
    ours = perturbed(model, Windows(0.75, 2)).denoise(x, LEVELS, own)
    total, times = torch.zeros_like(x), torch.zeros_like(x)
    for i in (0, 4):
        for j in (0, 4):
            total[..., i : i + 12, j : j + 12] += model.denoise(x[..., i : i + 12, j : j + 12], LEVELS, own)
            times[..., i : i + 12, j : j + 12] += 1
    torch.testing.assert_close(ours, total / times, rtol=1e-4, atol=1e-5)
    assert starts(16, 8, 3) == [0, 4, 8]
    assert starts(16, 16, 1) == [0]


def test_one_window_of_all_is_no_guidance(model):
    x, own = x_of(model), model.encode(PROMPTS)
    whole = perturbed(model, Windows(1.0, 1)).denoise(x, LEVELS, own)
    torch.testing.assert_close(whole, model.denoise(x, LEVELS, own), rtol=1e-5, atol=1e-6)
    assert SWG(2.0, CFG(1.0), windows=3).branches(VP)[1].change.evaluations == 9


@pytest.mark.parametrize("text", ["swg(windows=3)", "sag", "s_cfg", "classifier", "characteristic", "cads", "tsg"])
def test_what_it_costs_is_known_without_the_network(model, text):
    sweep = Sweep(images=1, prompts=PROMPTS, guidance=[text], steps=[4], samplers=["heun"])
    (planned,) = plan(sweep, "m", model, PROMPTS)
    with counted(model.network) as rows:
        (done,) = produce(model, [Job(planned.cell, samples(sweep, PROMPTS, 0, 1))])
    assert sum(rows) == done.evaluations == count(planned.cell, model).evaluations


# Judges


@pytest.mark.parametrize("by", ["class", "clip"])
def test_a_judge_answers_with_the_gradient_through_the_network(embedded, by):
    """Against a difference quotient along the gradient and along another direction."""
    prompts = [caption("ship"), caption("cat")]
    branch = Perturbed("cond", Judged(by), against="cond")
    own = condition(embedded, branch, texts_of(prompts, "", ()), [0, 1])
    judge, levels = embedded.perturbed(branch.change), [Level(0.8, 0.6)] * 2
    x = x_of(embedded, 2) * 0.7
    plain, gradient = judge.denoise(x, levels, own).chunk(2, 1)
    torch.testing.assert_close(plain, embedded.denoise(x, levels, embedded.encode(prompts)))
    labels = torch.tensor([CLASSES.index("ship"), CLASSES.index("cat")])
    texts = embedded.text.embed_texts(prompts)

    def score(y):
        images = embedded.pixels(embedded.denoise(y, levels, embedded.encode(prompts)))
        if by == "class":
            return load_judge()(images).double().log_softmax(1)[torch.arange(2), labels]
        small = torch.nn.functional.interpolate(images / 255, (64, 64), mode="bicubic", antialias=True).clamp(0, 1)
        found = embedded.text.clip.encode_image(small * 2 - 1, normalize=True)
        return embedded.text.clip.logit_scale.exp() * (found * texts).sum(1).double()

    other = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    for direction in (gradient, gradient + gradient.norm() / other.norm() * other):
        step = 0.03 * direction / direction.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        with torch.no_grad():
            quotient = (score(x + step) - score(x - step)) / 2
        torch.testing.assert_close((gradient * step).flatten(1).sum(1).double(), quotient, rtol=0.1, atol=2e-3)


@pytest.mark.parametrize("cls", [ClassifierGuidance, CLIPGuidance])
def test_judged_guidance_is_minus_scale_sigma_gradient_in_eps(cls):
    x, c, u, gradient = torch.randn(4, 2, 3, 4, 4, dtype=torch.float64)
    for of in ("cond", "uncond"):
        guidance = cls(1.7, CFG(3.0), of)
        judged = next(branch for branch in guidance.branches(VP) if isinstance(branch, Perturbed))
        assert (judged.base, judged.against) == (of, "cond")
        assert len(guidance.branches(VP)) == 2
        known = {"cond": c, "uncond": u, judged: torch.cat([c if of == "cond" else u, gradient], 1)}
        known = {branch: known[branch] for branch in guidance.branches(VP)}
        ours = guidance.start()(x, VP, known)
        eps, plain = ((x - VP.alpha * x0) / VP.sigma for x0 in (ours, u + 3.0 * (c - u)))
        torch.testing.assert_close(eps, plain - 1.7 * VP.sigma * gradient)
        assert guidance.branches(PURE_NOISE) == ("cond", "uncond")


def agreement(model, guidance):
    """The judge's mean log probability of the class that was asked for."""
    prompts = [caption(name) for name in CLASSES[::2]]
    sweep = Sweep(images=5, prompts=prompts, guidance=[guidance], steps=[6], samplers=["euler"])
    (cell,) = plan(sweep, "m", model, prompts)
    (x,) = generate(model, [Job(cell.cell, samples(sweep, prompts, 0, 5))])
    labels = torch.arange(0, 10, 2)
    return load_judge()(model.decode(x)).log_softmax(1)[torch.arange(5), labels].mean().item()


def test_a_classifier_leads_to_what_it_is_asked_for_even_without_a_prompt(embedded):
    plain = agreement(embedded, "cfg(0)")
    assert agreement(embedded, "classifier(4, guidance=cfg(0), of=uncond)") > plain + 1.0


def test_judges_refuse_prompts_and_models_that_they_cannot_judge(model, embedded):
    def refused(model, guidance, prompt):
        (cell,) = plan(Sweep(images=2, prompts=[prompt], guidance=[guidance], steps=[3]), "m", model, [prompt])
        return cell.refused

    assert "names two classes" in refused(embedded, "classifier", "a photo of a cat and a dog")
    assert refused(embedded, "classifier", "a photo of a cat") == ""
    assert "is a formula" in refused(GaussianMixture(size=4).load(), "classifier", "a cat")
    other = dataclasses.make_dataclass("Model", ["id", "network"])("m", torch.nn.Linear(1, 1))
    with pytest.raises(ValueError, match="needs images that can be differentiated"):
        perturbed(other, Judged())
