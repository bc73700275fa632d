"""Guidance by changed networks, weaker models and second texts, in sweeps: exact, and as cheap as it says."""

import dataclasses
import math
import shutil

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionSAGPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor2_0
from safetensors.torch import load_file, save_file
from word_states import WordStates

from sigmabench.eval.backends.changed import perturbed
from sigmabench.eval.backends.embedded import Embedded
from sigmabench.eval.backends.embedded_model import EmbeddedModel
from sigmabench.eval.backends.mixture import GaussianMixture
from sigmabench.eval.branches import cost as evaluations
from sigmabench.eval.branches import networks
from sigmabench.eval.cells import Cell, branches, levels, plan, samples
from sigmabench.eval.embedded.generator import SCHEDULERS, UNET, Generator, folder_of
from sigmabench.eval.engine import counted, generate
from sigmabench.eval.errors import UsageError
from sigmabench.eval.jobs import Job
from sigmabench.eval.plans import load_plan
from sigmabench.eval.runner import Runner
from sigmabench.eval.sweep import Sweep
from sigmabench.plugins.prediction import Prediction
from sigmabench.plugins.registry import build, catalogue, describe
from sigmabench.samplers import Euler, Level
from sigmabench.samplers.guidance import CFG, PAG, SAG, SLG, Autoguidance, Characteristic, Interval, NegativePrompt
from sigmabench.samplers.noise import SeededNoise
from sigmabench.samplers.perturbation import IdentityAttention, Perturbed, SkippedLayers, WeakModel
from sigmabench.samplers.run import guide, lockstep, start
from sigmabench.samplers.schedules import Flow, Linear, ScaledLinear
from sigmabench.samplers.spacings import Trailing

PROMPTS = ["a cat", "a dark dog", "a ship"]
TEXTS = {"middle": "a photo of a cat", "other": "a very dark ship"}
NAMES = tuple(catalogue("guidance"))
WITHOUT_WORDS = "clip"
"""Needs an image-text model, which this one has words in place of: see test_guidance_inside.py."""
ALWAYS_ASKED = "perp_neg"
"""At scale 1 uncond cancels only up to rounding, and is evaluated."""


def each(but):
    return pytest.mark.parametrize("name", [name for name in NAMES if name != but])


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    small = {**UNET, "block_out_channels": (16, 32), "time_embedding_dim": 32}
    small |= {"down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D")}
    small |= {"up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D")}
    unet = UNet2DConditionModel(**small).eval().requires_grad_(False)
    return EmbeddedModel(Generator(unet, SCHEDULERS["v"], "1a2b3c4d", "x"), WordStates(), "v")


@pytest.fixture(scope="module")
def plain(model):
    """Its images without guidance."""
    return images(model, "cfg(1)")[0]


def planned(model, guidance, count=3, **settings):
    settings = {"steps": [4], "samplers": ["euler"], "texts": TEXTS, **settings}
    sweep = Sweep(images=count, prompts=PROMPTS, guidance=[guidance], **settings)
    (cell,) = plan(sweep, "m", model, PROMPTS)
    return cell, samples(sweep, PROMPTS, 0, count)


def images(model, guidance, **settings):
    cell, todo = planned(model, guidance, **settings)
    assert not cell.refused, cell.refused
    with counted(*networks(model, branches(cell.cell, model))) as rows:
        (x,) = generate(model, [Job(cell.cell, todo)])
    return x, sum(rows) / len(todo)


def questions(guidance, level):
    """What guidance asks for at a level, with what it asks after that."""
    further = isinstance(guidance, SAG) and guidance.branches(level) != guidance.guidance.branches(level)
    if isinstance(guidance, Characteristic) and level.alpha:
        further = 2 * guidance.iterations
    return evaluations(guidance.branches(level)) + further


ADDED = ("pag", "sag", "seg", "slg", "tpg", "pladis", "tsg", "swg", "classifier", "clip")
MORE = {
    "perp_neg": {"negative_scale": 0.0},
    "composable": {"others": "other:0"},
    "momentum": {"weight": 0.0},
    "cads": {"noise": 0.0},
    "freeu": dict.fromkeys(("b1", "b2", "s1", "s2"), 1.0),
}
"""What else makes a method none at all."""


def neutral(name):
    cls = catalogue("guidance")[name].cls
    fields = {field.name for field in dataclasses.fields(cls)}
    off = 0.0 if name in ADDED else 1.0
    inner = {field: CFG(1.0) for field in ("guidance", "like") if field in fields}
    other = {
        "fdg": "scale_low",
        "fresca": "high",
        "dual_cfg": "scale_middle",
        "eps_scaling": "factor",
        "apg_mix": "scale_first",
        "frame_cfg": "scale_first",
    }.get(name)
    more = {other: 1.0} if other else MORE.get(name, {})
    return cls(**({"scale": off} if "scale" in fields else {}), **inner, **more)


@each(but=WITHOUT_WORDS)
def test_every_guidance_runs_on_a_network_and_costs_what_it_asks_for(model, plain, name):
    text = "autoguidance(weak=gaussian_mixture)" if name == "autoguidance" else name
    cell, _ = planned(model, text, negative="a dark dog")
    if name == "autoguidance":
        assert cell.refused
        return
    x, cost = images(model, text, negative="a dark dog")
    assert x.isfinite().all()
    asked = sum(questions(build("guidance", text), level) for level, _ in levels(cell.cell, model))
    assert cost == asked
    changed = (x - plain).abs().max() > 1e-4
    assert changed or name == "frame_cfg"  # an image is the first frame, which has no guidance


@each(but=ALWAYS_ASKED)
def test_every_guidance_at_its_neutral_scale_is_none_and_costs_nothing(model, plain, name):
    x, cost = images(model, describe("guidance", neutral(name)), negative="a dark dog")
    assert torch.equal(x, plain) or name in ("eps_scaling", "dynamic_threshold", "mimic")
    assert cost == 4


CHANGED = ["pag", "seg(sigma=0.7)", "slg(layers='down.1')", "tpg", "sag", "nag", "pladis", "negative_prompt(sag)"]
CHANGED += ["cads(noise=1)", "icg", "tsg", "swg", "freeu", "classifier", "s_cfg"]


@pytest.mark.parametrize("text", CHANGED)
def test_an_image_is_the_same_in_any_batch_and_company(model, text):
    cell, todo = planned(model, text, negative="a ship")
    other, more = planned(model, "pag(guidance=cfg(2), layers=mid)", steps=[3])
    together, _ = generate(model, [Job(cell.cell, todo), Job(other.cell, more)])
    near = 1e-2 if text == "classifier" else 1e-4  # as the engine says: a judge's gradient is as rough as its network
    for i, sample in enumerate(todo):
        (alone,) = generate(model, [Job(cell.cell, [sample])])
        torch.testing.assert_close(together[i : i + 1], alone, atol=near, rtol=near)


def test_equal_changes_are_one_branch_and_one_call_wherever_they_are_asked_for(model):
    nested = "pag(1, guidance=pag(2, guidance=cfg(3)))"
    x, cost = images(model, nested)
    assert cost == 4 * 3
    torch.testing.assert_close(x, images(model, "pag(3, guidance=cfg(3))")[0], atol=1e-5, rtol=1e-5)
    jobs = [
        Job(*(lambda p: (p[0].cell, p[1]))(planned(model, t))) for t in ("pag(guidance=cfg(3))", "pag(2)", "cfg(1)")
    ]
    with counted(model.network) as calls:
        generate(model, jobs)
    assert calls == [3, 3, 3] + [3 * (2 + 2 + 1), 3 * 2] * 3  # what they ask first is computed once for all


def test_the_prediction_is_base_plus_scale_times_the_difference(model):
    level, x = Level(0.6, 0.8), torch.randn(3, *model.shape)
    condition = {"cond": model.encode(PROMPTS), "uncond": model.encode([""] * 3)}
    c, u = (model.denoise(x, [level] * 3, condition[name]) for name in ("cond", "uncond"))
    worse = model.perturbed(SkippedLayers("mid")).denoise(x, [level] * 3, condition["cond"])
    guidance = SLG(2.5, CFG(4.0), "mid")
    known = {"cond": c, "uncond": u, Perturbed("cond", SkippedLayers("mid")): worse}
    assert set(guidance.branches(level)) == set(known)
    torch.testing.assert_close(guidance.start()(x, level, known), u + 4 * (c - u) + 2.5 * (c - worse))


def test_an_interval_limits_what_is_changed_and_may_leave_the_rest_as_it_is(model):
    inside = Interval(SLG(guidance=CFG(5.0)), 0.5, 2.0, outside=CFG(5.0))
    path = levels(planned(model, "cfg(5)", steps=[8])[0].cell, model)
    within = sum(0.5 < level.ve_sigma <= 2.0 for level, _ in path)
    x, cost = images(model, describe("guidance", inside), steps=[8])
    assert 0 < within < 8
    assert cost == 2 * 8 + within
    assert not torch.equal(x, images(model, "cfg(5)", steps=[8])[0])
    assert describe("guidance", Interval()) == "interval"


def test_what_is_needed_between_the_levels_of_a_path_is_planned_too(model):
    path = levels(planned(model, "cfg", steps=[6])[0].cell, model).levels
    a, b = path[2].ve_sigma, path[3].ve_sigma
    middle = f"sigma_lo={0.95 * math.sqrt(a * b)}, sigma_hi={1.05 * math.sqrt(a * b)}"
    narrow = f"interval(negative_prompt(guidance=pag(guidance=cfg(2))), {middle})"
    cell, _ = planned(model, narrow, steps=[6], samplers=["dpm_2"], negative="a ship")
    assert cell.cell.negative == "a ship"
    assert len(branches(cell.cell, model)) == 3
    x, cost = images(model, narrow, steps=[6], samplers=["dpm_2"], negative="a ship")
    plain, least = images(model, "cfg(1)", steps=[6], samplers=["dpm_2"])
    assert cost == least + 2
    assert not torch.equal(x, plain)


@pytest.mark.parametrize("text", CHANGED)
def test_lower_precision_stays_close(model, text):
    coarse = EmbeddedModel.__new__(EmbeddedModel)
    coarse.__dict__ |= {**model.__dict__, "dtype": torch.bfloat16}
    (a, _), (b, _) = (images(m, text, negative="a ship", steps=[2]) for m in (model, coarse))
    assert 0 < (a - b).abs().mean() < 0.12 * a.abs().mean()  # guidance enlarges the rounding


def test_layers_are_checked_when_the_sweep_is_planned(tmp_path, model):
    refused = planned(model, "interval(pag(layers='down.7'))")[0].refused
    assert refused == "no layer 'down.7'; there are down.1.0.0, mid.0.0, up.0.0.0, up.0.1.0"
    fields = {"models": ["gaussian_mixture(size=8)"], "guidance": ["pag"], "prompts": PROMPTS, "metrics": ["luminance"]}
    with pytest.raises(UsageError, match="is a formula without layers"):
        Runner(Sweep(**fields), tmp_path)


def test_a_model_without_layers_to_change_says_so():
    class Plain:
        id = "plain"

    from sigmabench.eval.branches import answering

    with pytest.raises(ValueError, match="plain has no layers that can be changed, and cond by IdentityAttention"):
        answering(Plain(), Perturbed("cond", IdentityAttention()))


# Self-attention guidance against diffusers' pipeline


def watched_unet():
    torch.manual_seed(5)
    unet = UNet2DConditionModel(
        sample_size=16, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, cross_attention_dim=16,
        attention_head_dim=2, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    ).eval().requires_grad_(False)  # fmt: skip
    for parameter in unet.mid_block.attentions[0].parameters():
        parameter.mul_(2.0)  # attention far from even
    return unet


class Stable:
    """A U-Net that predicts eps, as a model."""

    id, shape, encode, decode, schedule, prediction = "stable", (4, 16, 16), None, None, ScaledLinear(), "eps"

    def __init__(self, unet):
        self.network, self.predict = unet, Prediction("eps", ScaledLinear())

    def denoise(self, x, levels, condition):
        network = lambda own, times: self.network(own, times, return_dict=False, **condition)[0]  # noqa: E731
        return self.predict.denoise(network, x, levels)


@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_self_attention_guidance_is_diffusers_pipeline(scale):
    unet = watched_unet()
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    scheduler = DDIMScheduler(**betas, clip_sample=False, timestep_spacing="trailing", set_alpha_to_one=True)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",), up_block_types=("UpDecoderBlock2D",), block_out_channels=(8,),
        norm_num_groups=4,
    )  # fmt: skip
    pipe = StableDiffusionSAGPipeline(vae, None, None, unet, scheduler, None, None, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    states, noise = torch.randn(2, 5, 16), torch.randn(2, 4, 16, 16)
    empty = torch.zeros_like(states)
    expected = pipe(
        prompt_embeds=states, negative_prompt_embeds=empty, latents=noise, guidance_scale=scale, sag_scale=0.8,
        num_inference_steps=5, output_type="latent", height=16, width=16,
    ).images  # fmt: skip
    unet.set_attn_processor(AttnProcessor2_0())
    model = Stable(unet)
    conditions = {"cond": {"encoder_hidden_states": states}, "uncond": {"encoder_hidden_states": empty}}

    def evaluate(requests):
        ((x, level, wanted),) = requests
        found = {}
        for branch in wanted:
            who = perturbed(model, branch.change) if isinstance(branch, Perturbed) else model
            found[branch] = who.denoise(x, [level] * 2, conditions[getattr(branch, "base", branch)])
        return [(x, found)]

    path = Trailing()(ScaledLinear(), 5)
    ours, plain = (
        lockstep([guide(start(Euler(), noise, path), guidance)], evaluate)[0]
        for guidance in (SAG(0.8, CFG(scale), sigma=1.0), CFG(scale))
    )
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)
    assert (ours - plain).abs().max() > 0.05


# Autoguidance with a model that is really weaker

STRONG = GaussianMixture(components=1, std=0.2, contrast=0.0, size=4, schedule=Flow(), prediction="flow")
WEAK = dataclasses.replace(STRONG, std=0.5)


def test_autoguidance_of_gaussians_ends_at_the_exact_solution():
    """In x / alpha, d log x / d sigma = w sigma / (s^2 + sigma^2) + (1 - w) sigma / (r^2 + sigma^2), r of the weak."""
    model, w = STRONG.load(), 1.7
    cell, todo = planned(model, describe("guidance", Autoguidance(w, WEAK)), steps=[400], samplers=["heun"])
    (x,) = generate(model, [Job(cell.cell, todo)])
    path = levels(cell.cell, model)
    first = path.levels[1]  # from pure noise one step of x0, which is 0 for both
    noise = SeededNoise([s.seed for s in todo], model.shape).initial()
    at_first = noise * first.sigma / first.alpha
    shrunk = math.prod(
        (spread**2 / (spread**2 + first.ve_sigma**2)) ** (weight / 2)
        for spread, weight in ((STRONG.std, w), (WEAK.std, 1 - w))
    )
    torch.testing.assert_close(x, at_first * shrunk, atol=2e-4, rtol=2e-3)


def test_autoguidance_is_the_weak_prediction_plus_scale_times_the_difference():
    strong, weak = GaussianMixture(size=4).load(), GaussianMixture(size=4, std=0.4).load()
    assert strong.perturbed(WeakModel(weak.settings)).id == weak.id
    level, x = Level(0.6, 0.8), torch.randn(2, 3, 4, 4, dtype=torch.float64)
    condition = strong.encode(PROMPTS[:2])
    c, worse = (m.denoise(x, [level] * 2, condition) for m in (strong, weak))
    known = {"cond": c, Perturbed("cond", WeakModel(weak.settings)): worse}
    guided = Autoguidance(3.0, weak.settings).start()(x, level, known)
    torch.testing.assert_close(guided, worse + 3.0 * (c - worse))


def test_a_weaker_model_is_counted_named_in_the_cell_and_must_be_of_the_same_kind():
    model = STRONG.load()
    cell, _ = planned(model, describe("guidance", Autoguidance(2.0, WEAK)))
    assert cell.cell.others == (WEAK.load().id,)
    assert images(model, cell.cell.guidance)[1] == 2 * 4
    for change, message in (({"size": 8}, "has shape"), ({"schedule": Flow(3.0)}, "has schedule")):
        other = describe("guidance", Autoguidance(2.0, dataclasses.replace(WEAK, **change)))
        assert message in planned(model, other)[0].refused
    assert "has prediction v, but" in planned(model, f"autoguidance(weak={describe('backend', v_of(WEAK))})")[0].refused
    assert "weaker model cannot be loaded" in planned(model, "autoguidance(weak=embedded(path='/nowhere'))")[0].refused


def v_of(settings):
    return dataclasses.replace(settings, prediction="v")


def test_autoguidance_by_the_embedded_network_with_noisy_weights(tmp_path):
    try:
        model = Embedded().load()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    folder = shutil.copytree(folder_of("v"), tmp_path / "weak")
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.manual_seed(0)
    weights = {k: v + 0.02 * v.float().std().nan_to_num() * torch.randn(v.shape) for k, v in load_file(file).items()}
    save_file({k: v.float() for k, v in weights.items()}, file, {"format": "pt"})
    text = describe("guidance", Autoguidance(2.0, Embedded(path=str(folder))))
    cell, _ = planned(model, text)
    assert cell.cell.others[0].startswith("embedded/v-")
    assert cell.cell.others[0] != model.id
    x, cost = images(model, text)
    assert cost == 2 * 4
    assert 0.01 < (x - images(model, "cfg(1)")[0]).abs().mean() < 1.0
    same = describe("guidance", Autoguidance(2.0, Embedded()))
    torch.testing.assert_close(images(model, same)[0], images(model, "cfg(1)")[0], atol=1e-5, rtol=1e-5)


# A negative prompt


def test_keys_of_cells_that_use_neither_texts_nor_models_are_those_of_before():
    cell = Cell("m", "euler", "model", "trailing", 10, "cfg", "0", 0, "float32")
    assert cell.key == "68f0a595598ae6dc"
    assert dataclasses.replace(cell, negative="blurry").key != cell.key
    assert dataclasses.replace(cell, others=("m2",)).key != cell.key


def test_a_negative_prompt_is_part_of_the_cells_that_use_it_alone(model):
    sweep = Sweep(images=2, prompts=PROMPTS, guidance=["cfg", "negative_prompt", "perp_neg"], negative="a ship")
    assert [p.cell.negative for p in plan(sweep, "m", model, PROMPTS)] == ["", "a ship", "a ship"]
    assert "needs a negative prompt" in planned(model, "negative_prompt")[0].refused
    assert planned(model, "negative_prompt(cfg(1))")[0].refused == ""


def test_a_negative_prompt_stands_in_place_of_the_empty_one(model):
    x, cost = images(model, "negative_prompt(cfg(3))", negative="a ship")
    assert cost == 8
    cell, todo = planned(model, "cfg(3)")

    class Negative(EmbeddedModel):
        def __init__(self):
            self.__dict__ |= model.__dict__

        def encode(self, prompts):
            return model.encode([prompt or "a ship" for prompt in prompts])

    (expected,) = generate(Negative(), [Job(cell.cell, todo)])
    torch.testing.assert_close(x, expected)


def test_a_negative_prompt_reaches_every_branch_of_what_it_is_around():
    level = Level(0.6, 0.8)
    for guidance in (SAG(), build("guidance", "nag(guidance=cfg(3))"), PAG(guidance=SAG(guidance=CFG(2.0)))):
        asked = NegativePrompt(guidance).branches(level)
        assert not any("uncond" in (getattr(b, "base", b), getattr(b, "against", "")) for b in asked)
        assert len(asked) == len(guidance.branches(level))


def test_a_sweep_with_a_negative_prompt_is_written_and_read_again(tmp_path):
    fields = {
        "models": ["gaussian_mixture(size=8)"], "guidance": ["cfg(2)", "negative_prompt(cfg(2))", "perp_neg(2)"],
        "steps": [3], "prompts": PROMPTS, "negative": "a ship", "images": 4, "metrics": ["luminance"],
    }  # fmt: skip
    runner = Runner(Sweep(**fields), tmp_path)
    assert runner.run(lambda *_: None).failed == {}
    assert [p.cell.negative for p in load_plan(tmp_path).cells] == ["", "a ship", "a ship"]
    assert load_plan(tmp_path).cells == runner.plan.cells


def test_an_unknown_word_in_a_negative_prompt_is_refused_before_loading():
    try:
        Embedded().load()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    with pytest.raises(UsageError, match="submarine"):
        Runner(Sweep(guidance=["negative_prompt"], negative="a submarine"), None)


def test_eps_models_and_pure_noise_have_no_self_attention_guidance_term():
    guidance = SAG(guidance=CFG(2.0))
    assert guidance.branches(Level(0.0, 1.0)) == ("cond", "uncond")
    assert len(guidance.branches(Linear().level(1.0))) == 2
    assert any(isinstance(branch, Perturbed) for branch in guidance.branches(Linear().level(1.0)))
