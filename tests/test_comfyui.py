"""The ComfyUI adapter without ComfyUI: its contracts as a small host keeps them."""

import copy
import dataclasses
import math
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from sigmabench.plugins.comfyui import conditionings, dit, dropdowns, guidance, layers, nodes, widgets
from sigmabench.plugins.comfyui.driver import SamplerFunction, image_seeds, path_of
from sigmabench.plugins.comfyui.help_pages import page
from sigmabench.plugins.comfyui.noise import ImageNoise
from sigmabench.plugins.comfyui.process import Process, process_of
from sigmabench.plugins.comfyui.sampling_nodes import MODEL_SCHEDULE
from sigmabench.plugins.comfyui.schedule import Until, schedule_of, walk
from sigmabench.plugins.comfyui.work import Work
from sigmabench.plugins.registry import build, catalogue
from sigmabench.samplers.brownian import BrownianNoise
from sigmabench.samplers.level import PURE_NOISE, Level
from sigmabench.samplers.perturbation import BlurredQueries, IdentityAttention, WatchedAttention
from sigmabench.samplers.problems import Mixture
from sigmabench.samplers.run import sample

PROBLEM = Mixture((1.0, 2.0), (-0.7, 0.4), (0.3, 0.2))
TOP = 4518.7637
FOLDER = Path(nodes.__file__).parent


class Sampling:
    """ComfyUI's model_sampling: of Stable Diffusion, with zero SNR, or a flow."""

    def __init__(self, kind, prediction="v", shift=3.0):
        self.kind, self.prediction, self.zsnr = kind, prediction, kind == "zsnr"
        t = torch.arange(1, 1001) / 1000
        betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
        root = (1 - betas).cumprod(0).sqrt()
        if self.zsnr:
            root = (root - root[-1]) * root[0] / (root[0] - root[-1])
            root[-1] = 4.8973451890853435e-08**0.5
        self.sigmas = shift * t / (1 + (shift - 1) * t) if kind == "flow" else ((1 / root**2 - 1) ** 0.5).float()
        self.sigma_max = self.sigmas[-1]

    def noise_scaling(self, sigma, noise, latent, max_denoise):
        return sigma * noise + (1 - sigma) * latent if self.kind == "flow" else noise * sigma + latent

    def calculate_denoised(self, sigma, output, x):
        if self.prediction == "eps":
            return x - output * sigma
        return x / (sigma**2 + 1) - output * sigma / (sigma**2 + 1) ** 0.5


class Host:
    """What KSAMPLER hands to a sampler function: ``inner_model`` twice down is the model, and a call gives x0."""

    def __init__(self, kind="vp", **more):
        self.sampling = Sampling(kind, **more)
        self.inner_model = SimpleNamespace(inner_model=SimpleNamespace(model_sampling=self.sampling))
        self.calls = []

    def __call__(self, x, sigma, model_options=None, seed=None, **_):
        assert sigma.shape == (len(x),)
        self.calls.append(float(sigma[0]))
        levels = [Level(1 - s, s) if self.sampling.kind == "flow" else Level(1.0, s) for s in sigma.tolist()]
        x0 = predicted = PROBLEM(x.double(), levels).to(x.dtype)
        for hook in (model_options or {}).get("sampler_post_cfg_function", []):
            x0 = hook({"denoised": x0, "uncond": [1], "cond_denoised": x0, "uncond_denoised": predicted / 2})
        return x0


def function(name, poll=lambda: None):
    return SamplerFunction(name, build("sampler", name), poll)


def start(kind, sigma, batch=2):
    noise = torch.randn(batch, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return noise * (sigma if kind == "flow" else math.hypot(1, sigma)), noise


# --- levels


@pytest.mark.parametrize("kind", ["vp", "zsnr", "flow"])
def test_a_sigma_is_a_level_and_back(kind):
    process = process_of(Sampling(kind))
    for sigma in (0.0, 0.03, 0.7, 1.0, *((14.6, 700.0) if kind != "flow" else ())):
        level = process.level(sigma)
        assert process.sigma(level) == pytest.approx(sigma, abs=1e-15)
        assert process.gain(level) == pytest.approx(1.0, abs=1e-15)
        assert process.sigma(Level(level.alpha * 3, level.sigma * 3)) == pytest.approx(sigma, abs=1e-15)
    if kind == "zsnr":
        assert process.level(TOP) == PURE_NOISE
        assert process.sigma(PURE_NOISE) == process.top
        assert process.gain(PURE_NOISE) == pytest.approx(math.hypot(1, TOP), rel=1e-6)


def test_the_noise_scale_of_a_flow_is_part_of_its_levels():
    class Scaled(Sampling):
        def noise_scaling(self, sigma, noise, latent, max_denoise):
            return sigma * 2.5 * noise + (1 - sigma) * latent

    process = process_of(Scaled("flow"))
    assert process.level(0.25) == Level(0.75, 0.625)
    assert process.sigma(Level(0.75, 0.625)) == pytest.approx(0.25)


def test_zero_snr_with_an_eps_prediction_is_refused_before_it_makes_noise():
    with pytest.raises(ValueError, match="set sampling to v_prediction"):
        process_of(Sampling("zsnr", prediction="eps"))


# --- samplers


@pytest.mark.parametrize("kind", ["vp", "flow"])
@pytest.mark.parametrize("name", ["euler", "heun", "dpmpp_2m", "dpmpp_2m_sde", "res_3s"])
def test_the_host_gets_what_the_sampler_gives_anywhere(kind, name):
    host = Host(kind)
    sigmas = torch.tensor(
        [1.0, 0.8, 0.5, 0.2, 0.0] if kind == "flow" else [14.0, 5.0, 1.5, 0.4, 0.0], dtype=torch.float64
    )
    x, _ = start(kind, float(sigmas[0]))
    made = function(name)(host, x, sigmas, extra_args={"seed": 7})
    path = [process_of(host.sampling).level(float(sigma)) for sigma in sigmas]
    expected = sample(build("sampler", name), PROBLEM, x, path, BrownianNoise([7, 8], x.shape[1:], dtype=torch.float64))
    assert torch.allclose(made, expected, rtol=1e-12, atol=1e-12)


def test_zero_snr_starts_at_pure_noise_exactly():
    """The trace of noise that the host's large sigma leaves in x0 is taken out."""

    class Velocity(Host):
        def __call__(self, x, sigma, **_):
            return self.sampling.calculate_denoised(sigma.view(-1, 1, 1, 1), torch.full_like(x, 0.5), x)

    host, seen = Velocity("zsnr"), []
    x, noise = start("zsnr", float(host.sampling.sigma_max))
    end = function("euler")(host, x, torch.tensor([TOP, 2.0]), callback=lambda report: seen.append(report["denoised"]))
    assert torch.allclose(seen[0], torch.full_like(x, -0.5), atol=1e-6)
    assert torch.allclose(end, 2.0 * noise - 0.5, atol=1e-5)


@pytest.mark.parametrize("name", ["euler", "heun", "dpm_2", "restart", "churn", "dpmpp_3m_sde", "res_5s"])
def test_each_step_is_reported_once_with_the_prediction_of_its_own_level(name):
    sigmas, reports, host = torch.tensor([14.0, 5.0, 1.5, 0.4, 0.0], dtype=torch.float64), [], Host()
    x, _ = start("vp", 14.0)
    function(name)(host, x, sigmas, extra_args={"seed": 0}, callback=reports.append)
    assert [report["i"] for report in reports] == [0, 1, 2, 3]
    if name != "churn":
        assert [report["sigma"] for report in reports] == sigmas[:-1].tolist()
        for report in reports:
            expected = PROBLEM(report["x"], [Level(1.0, report["sigma"])] * len(x))
            assert torch.allclose(report["denoised"], expected, atol=1e-12)


def test_a_sampler_that_steps_as_its_image_needs_is_run_for_each_with_the_whole_batch_at_every_call():
    class Whole(Host):
        def __call__(self, x, sigma, **more):
            assert len(x) == 3
            return super().__call__(x, sigma, **more)

    sigmas, (x, _) = torch.tensor([14.0, 1.0, 0.0], dtype=torch.float64), start("vp", 14.0, batch=3)
    x[1] *= 0.1
    alone = sample(build("sampler", "dpm_adaptive"), PROBLEM, x[1:2], [Level(1.0, s) for s in sigmas.tolist()])
    made = function("dpm_adaptive")(Whole(), x, sigmas, extra_args={"seed": 0})
    assert torch.allclose(made[1:2], alone, rtol=1e-12, atol=1e-12)


def test_cancelling_is_noticed_before_the_next_evaluation():
    host = Host()

    def poll():
        if len(host.calls) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        function("res_5s", poll)(
            host, start("vp", 14.0)[0], torch.tensor([14.0, 5.0, 1.0, 0.0]), extra_args={"seed": 0}
        )
    assert len(host.calls) == 2


@pytest.mark.parametrize("name", list(catalogue("sampler")))
def test_the_hosts_random_numbers_are_left_alone(name):
    x, _ = start("vp", 14.0, batch=1)
    torch.manual_seed(1)
    before, sigmas = torch.get_rng_state(), torch.tensor([14.0, 5.0, 1.0, 0.0])
    upwards = getattr(catalogue("sampler")[name].cls, "upwards", False)
    function(name)(Host(), x, sigmas.flip(0) if upwards else sigmas, extra_args={"seed": 2**63})
    assert torch.equal(before, torch.get_rng_state())


def test_an_image_is_the_same_alone_and_in_a_batch():
    x, _ = start("vp", 14.0, batch=3)
    sigmas = torch.tensor([14.0, 5.0, 1.0, 0.0])
    batch = function("euler_ancestral")(Host(), x, sigmas, extra_args={"seed": 5})
    alone = function("euler_ancestral")(Host(), x[2:], sigmas, extra_args={"seed": 7})
    assert torch.equal(batch[2:], alone)


@pytest.mark.parametrize("shape", [(2, 4, 3, 8, 8), (2, 1, 77)], ids=["video", "packed"])
def test_latents_of_any_shape(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    sigmas = torch.tensor([1.0, 0.6, 0.3, 0.0])
    made = function("seeds_2")(Host("flow"), x, sigmas, extra_args={"seed": 1})
    flat = function("seeds_2")(Host("flow"), x.reshape(2, -1), sigmas, extra_args={"seed": 1})
    assert torch.allclose(made.reshape(2, -1), flat, atol=1e-6)


def test_cfg_pp_hears_the_unconditional_prediction_and_other_hooks_are_kept():
    options = {"sampler_post_cfg_function": [lambda args: args["denoised"] + 1]}
    x, _ = start("vp", 5.0)  # the host's x0 for uncond is half of that for cond
    end = function("cfg_pp")(Host(), x, torch.tensor([5.0, 2.0]), extra_args={"seed": 0, "model_options": options})
    x0 = PROBLEM(x, [Level(1.0, 5.0)] * 2)
    assert torch.allclose(end, x0 + 1 + 2.0 * (x - x0 * 0.5) / 5.0, rtol=1e-12)
    assert len(options["sampler_post_cfg_function"]) == 1
    with pytest.raises(ValueError, match="negative conditioning"):
        Refusing().run()


class Refusing(Host):
    def __call__(self, x, sigma, model_options=None, **_):
        return model_options["sampler_post_cfg_function"][0]({"denoised": x, "uncond": None})

    def run(self):
        function("cfg_pp")(self, start("vp", 5.0)[0], torch.tensor([5.0, 2.0]))


@pytest.mark.parametrize(
    ("kind", "sigmas", "message"),
    [
        ("vp", [], "sigmas: 0 given, at least 2"),
        ("flow", [1.0], "sigmas: 1 given, at least 2"),
        ("vp", [1.0, 2.0], "sigmas: number 1 is 2 after 1; they must fall"),
        ("vp", [2.0, 2.0, 0.0], "ask for fewer steps"),
        ("vp", [float("nan"), 0.0], "sigmas: number 0 is nan"),
        ("flow", [3.0, 0.0], "at most 1 for this flow model"),
    ],
)
def test_sigmas_that_are_no_path_are_refused_in_the_hosts_words(kind, sigmas, message):
    with pytest.raises(ValueError, match=message):
        path_of(process_of(Sampling(kind)), sigmas)


@pytest.mark.parametrize("kind", ["vp", "flow"])
def test_rising_sigmas_are_for_samplers_that_unsample(kind):
    """FlipSigmas before the node, as for ComfyUI's own euler."""
    sigmas, reports = torch.tensor([0.0, 0.1, 0.3, 0.6, 0.9], dtype=torch.float64), []
    x = torch.linspace(-1, 1, 16, dtype=torch.float64).view(1, 1, 4, 4)
    end = function("inverse")(Host(kind), x, sigmas, callback=lambda report: reports.append(report["i"]))
    levels = [Level(1 - sigma if kind == "flow" else 1.0, sigma) for sigma in sigmas.flip(0).tolist()]
    assert torch.allclose(end, sample(build("sampler", "inverse"), PROBLEM, x, levels), rtol=1e-12, atol=1e-12)
    assert reports == [1, 2, 3]  # where the first step ends and the others begin
    with pytest.raises(ValueError, match=r"they must rise .* put FlipSigmas before it"):
        function("inverse")(Host(kind), x, sigmas.flip(0))
    with pytest.raises(ValueError, match="to unsample use inverse"):
        function("heun")(Host(kind), x, sigmas)
    if kind == "flow":
        with pytest.raises(ValueError, match="end a little below 1"):
            function("inverse")(Host(kind), x, torch.tensor([0.0, 0.5, 1.0]))


def test_a_batch_of_zero_is_nothing_to_do():
    x = torch.zeros(0, 4, 8, 8)
    assert function("heun")(Host(), x, torch.tensor([5.0, 0.0])) is x


# --- noise


def test_noise_for_each_image_follows_seed_plus_index():
    latent = {"samples": torch.zeros(3, 4, 2, 2)}
    made = ImageNoise(11)
    batch = made.generate_noise(latent)
    assert torch.equal(batch[2:], ImageNoise(13).generate_noise({"samples": torch.zeros(1, 4, 2, 2)}))
    assert image_seeds(made.seed, 3) == [11, 12, 13] == image_seeds(11, 3)
    picked = ImageNoise(11)
    assert torch.equal(
        picked.generate_noise({**latent, "samples": torch.zeros(1, 4, 2, 2), "batch_index": [2]}), batch[2:]
    )
    assert image_seeds(picked.seed, 1) == [13]
    with pytest.raises(ValueError, match="made for 3 images, but 2 are sampled"):
        image_seeds(made.seed, 2)


# --- schedules and spacings


def test_a_flows_table_is_recognised_as_its_formula():
    schedule = schedule_of(Sampling("flow", shift=3.0))
    assert schedule.shift == pytest.approx(3.0, rel=1e-6)
    assert schedule.level(1.0) == PURE_NOISE


def test_the_models_own_zero_snr_table_is_the_rescaled_schedule():
    schedule, exact = schedule_of(Sampling("zsnr")), build("schedule", "zero_terminal_snr(schedule=scaled_linear)")
    for t in (1.0, 0.9995, 0.999, 0.7, 0.5, 0.1, 0.001, 0.0005):
        ours, theirs = schedule.level(t), exact.level(t)
        assert ours.alpha / ours.norm == pytest.approx(theirs.alpha / theirs.norm, rel=2e-4, abs=1e-6), t
        assert schedule.time(ours) == pytest.approx(t, rel=1e-6), t


@pytest.mark.parametrize(("kind", "first"), [("vp", 14.614641), ("zsnr", TOP), ("flow", 1.0)])
def test_sigmas_go_from_the_models_noisiest_level_to_zero(kind, first):
    sampling = Sampling(kind)
    sigmas = walk(build("spacing", "trailing"), schedule_of(sampling), process_of(sampling), 5, 1.0)
    assert sigmas.dtype == torch.float32
    assert len(sigmas) == 6
    assert sigmas[0].item() == pytest.approx(first, rel=1e-6)
    assert sigmas[-1] == 0
    part = walk(build("spacing", "trailing"), schedule_of(sampling), process_of(sampling), 5, 0.5)
    longer = walk(build("spacing", "trailing"), schedule_of(sampling), process_of(sampling), 10, 1.0)
    assert torch.equal(part, longer[-6:])


@pytest.mark.parametrize("kind", ["zsnr", "flow"])
def test_a_list_knows_no_settings_yet_spacings_of_sigma_start_at_pure_noise(kind):
    sampling, usual = Sampling(kind), build("spacing", "karras(sigma_max=80)")
    sigmas = dropdowns.Scheduler("karras")(sampling, 6)
    assert torch.equal(sigmas, walk(usual, schedule_of(sampling), process_of(sampling), 6, 1.0))
    assert process_of(sampling).level(float(sigmas[0])) == PURE_NOISE
    assert process_of(sampling).level(float(sigmas[1])).ve_sigma == pytest.approx(80, rel=1e-4)
    with pytest.raises(ValueError, match=r"scheduler sigmabench_leading: .*; use trailing or linspace"):
        dropdowns.Scheduler("leading")(sampling, 6)


@pytest.mark.parametrize("name", list(catalogue("schedule")))
def test_another_schedule_is_walked_from_the_models_noisiest_level(name):
    other, top = build("schedule", name), Level(1.0, 14.6)
    schedule = Until(other, top)
    highest = min(14.6, other.level(1.0).ve_sigma)
    assert schedule.level(1.0).ve_sigma == pytest.approx(highest, rel=1e-6)
    assert schedule.time(schedule.level(0.4)) == pytest.approx(0.4, rel=1e-6)


# --- guidance


def hooks(text, cfg=3.0, **more):
    """A patch's hooks, with a host that predicts known numbers, and what it was asked for."""
    patch, asked = guidance.Patch(build("guidance", text), {}, None, None), []
    patch._guider = SimpleNamespace(cfg=cfg, conds={})
    patch.previous = lambda args: asked.append(list(args["conds"])) or [torch.tensor([[2.0]]), torch.tensor([[1.0]])]
    model = SimpleNamespace(model_sampling=Sampling("vp"))
    shared = {"model": model, "input": torch.tensor([[1.5]]), "model_options": {}, **more}

    def guided(sigma, uncond="neg"):
        args = {**shared, "sigma": torch.tensor([sigma]), "conds": ["pos", uncond]}
        out = patch.evaluate(args)
        pair = {"cond_denoised": out[0].view(1, 1), "uncond_denoised": out[1].view(1, 1), "cond_scale": cfg}
        return float(args["input"] - patch({**args, **pair})), args["conds"]

    return guided, asked


def test_a_patch_combines_with_the_scale_of_the_guider():
    guided, asked = hooks("cfg")
    assert guided(5.0) == (pytest.approx(1 + 3 * (2 - 1)), ["pos", "neg"])
    assert asked == [["pos", "neg"]]


def test_what_a_method_does_not_need_is_not_evaluated():
    guided, asked = hooks("interval(sigma_lo=1, sigma_hi=6)")
    assert guided(5.0) == (pytest.approx(4.0), ["pos", "neg"])
    assert guided(0.5) == (pytest.approx(2.0), ["pos", None])
    assert asked == [["pos", "neg"], ["pos", None]]
    guided, asked = hooks("rescaled_cfg", cfg=1.0)
    assert guided(5.0) == (pytest.approx(2.0), ["pos", None])


def test_the_hooks_of_a_cloned_model_stay_together():
    patch = guidance.Patch(build("guidance", "cfg"), {}, None, copy)
    options = copy.deepcopy({"sampler_cfg_function": patch, "sampler_calc_cond_batch_function": patch.evaluate})
    assert options["sampler_cfg_function"] is options["sampler_calc_cond_batch_function"].__self__ is patch


def test_guidance_without_a_negative_conditioning_says_so():
    with pytest.raises(ValueError, match="CFG needs a negative conditioning"):
        hooks("cfg")[0](5.0, uncond=None)


def test_a_scale_reaches_the_method_within():
    scaled = conditionings.with_scale(build("guidance", "interval(guidance=rescaled_cfg(scale=2))"), 6.0)
    assert scaled.guidance.scale == 6.0
    assert conditionings.inputs(build("guidance", "perp_neg")) == {
        "cond": "positive",
        "negative": "negative",
        "uncond": "empty",
    }
    assert conditionings.inputs(build("guidance", "dual_cfg"))["middle"] == "middle"


def test_a_method_whose_branches_are_no_conditionings_gets_no_node():
    other = SimpleNamespace(branches=lambda level: ("cond", "uncond", "perturbed"))
    assert conditionings.inputs(other) is None


def test_methods_without_a_node_are_named_in_the_readme():
    without = [name for name, entry in catalogue("guidance").items() if conditionings.inputs(entry.cls()) is None]
    (named,) = re.findall(r"have no node,.*?\n\n", (FOLDER / "README.md").read_text(), re.DOTALL)
    assert sorted(re.findall(r"`(\w+)`", named)) == sorted(without)


def test_further_conditions_have_inputs_and_others_are_refused_by_name():
    assert conditionings.inputs(build("guidance", "composable"))["other"] == "other"
    with pytest.raises(ValueError, match="Composable needs style, which this node cannot give; it has cond, uncond, o"):
        guidance.Patch(build("guidance", "composable(others=style)"), {"other": None}, None, copy)


# --- inside networks


def module(name, **parts):
    """A network or a part of one, of a class with this name, as ComfyUI has them."""
    made = type(name, (nn.Module,), {})()
    for key, part in parts.items():
        setattr(made, key, nn.ModuleList(part) if isinstance(part, list) else part)
    return made


def test_layers_of_a_unet_have_the_names_of_diffusers():
    def attention(depth):
        return module("SpatialTransformer", transformer_blocks=[nn.Identity() for _ in range(depth)])

    conv, down, up = nn.Identity(), module("Downsample"), module("Upsample")
    stages = [[conv], [conv], [conv], [down], [conv, attention(2)], [conv, attention(2)], [down], [conv, attention(10)]]
    ways = [[conv, attention(10)], [conv, attention(10), up], [conv, attention(2)], [conv, attention(2), up], [conv]]
    network = module(
        "UNetModel",
        input_blocks=[nn.ModuleList(part) for part in stages],
        middle_block=nn.ModuleList([conv, attention(10), conv]),
        output_blocks=[nn.ModuleList(part) for part in ways],
    )
    found = {layer.name: layer for layer in layers.layers_of(network)}
    assert list(dict.fromkeys(name.rpartition(".")[0] for name in found)) == [
        "down.1.0", "down.1.1", "down.2.0", "mid.0", "up.0.0", "up.0.1", "up.1.0", "up.1.1"
    ]  # fmt: skip
    assert found["down.1.1.0"].place == ("input", 5, 0)
    assert found["mid.0.9"].place == ("middle", 0, 9)
    assert all(network.get_submodule(layer.path) for layer in found.values())


@pytest.mark.parametrize("joined", [True, False], ids=["heads apart", "heads side by side"])
def test_in_a_transformer_the_image_sees_itself_and_the_text(joined):
    """Whatever form ComfyUI's attention is called in; of cross-attention nothing is changed."""
    text, image, heads = 3, 4, 2
    q, k, v = torch.randn(3, 2, heads, text + image, 5, generator=torch.Generator().manual_seed(2)).unbind()
    work = Work(module("MMDiT"), IdentityAttention(), [], (2, 4, 4, 4), [Level(1.0, 1.0)])
    override = dit.SelfAttention(work, layers.Layer("0", ("double_block", 0), ""), image)
    flat = lambda t: t.transpose(1, 2).flatten(2)  # noqa: E731
    given = (q, k, v) if joined else (flat(q), flat(k), v.transpose(1, 2))  # ComfyUI's SD3 flattens two of three
    found = override(None, *given, heads, skip_reshape=joined)
    weights = (q @ k.mT / 5**0.5).exp()
    weights[:, :, text:, text:] *= torch.eye(image)
    assert torch.allclose(found, flat(weights / weights.sum(-1, keepdim=True) @ v), atol=1e-6)
    other = dit.SelfAttention(work, layers.Layer("0", ("double_block", 0), ""), image)
    assert other(lambda *args, **kwargs: "as ever", q, k[:, :, :3], v[:, :, :3], heads, skip_reshape=True) == "as ever"


def test_what_cannot_be_changed_is_refused_with_what_can():
    with pytest.raises(ValueError, match=r"in the self-attention of Lumina .* MMDiT, Flux, .* use slg"):
        dit.check(module("Lumina", blocks=[]), IdentityAttention(), 4)
    with pytest.raises(ValueError, match="MMDiT is no U-Net"):
        dit.check(module("MMDiT"), WatchedAttention(), 4)
    with pytest.raises(ValueError, match="3-dimensional latents are blurred by their mean alone"):
        dit.check(module("WanModel"), BlurredQueries(sigma=1.0), 5)
    with pytest.raises(ValueError, match="Decoder has no transformer blocks"):
        layers.layers_of(module("Decoder"))


# --- nodes


def all_nodes():
    return nodes.mappings()


def test_every_plugin_is_a_node():
    classes, titles = all_nodes()
    kinds = {"sampler": "Sampler", "spacing": "Sigmas", "schedule": "Schedule", "guidance": "Guider"}
    for kind, family in kinds.items():
        for name, entry in catalogue(kind).items():
            if kind != "guidance" or conditionings.inputs(entry.cls()) is not None:
                assert f"Sigmabench{family}_{name}" in classes
    assert set(classes) == set(titles)


@pytest.mark.parametrize("name", sorted(nodes.mappings()[0]))
def test_widgets_at_their_defaults_are_the_plugins_defaults(name):
    cls = nodes.mappings()[0][name]
    entry = getattr(cls, "ENTRY", None)
    if entry is None:
        return
    inputs = cls.INPUT_TYPES()
    widgets_of = {k: v for k, v in inputs["required"].items() if isinstance(v[0], list) or "default" in v[1]}
    given = {k: v[1].get("default", v[0][0]) for k, v in widgets_of.items()}
    given = {k: v for k, v in given.items() if v != MODEL_SCHEDULE}
    made = entry.cls(**widgets.settings_of(entry.cls, given))
    assert made == entry.cls()
    for field in dataclasses.fields(entry.cls):
        spec = inputs["required"].get(field.name)
        if spec and "min" in spec[1]:
            assert spec[1]["min"] <= spec[1]["default"] <= spec[1]["max"]


def test_help_pages_have_every_input_and_the_reference():
    classes, titles = all_nodes()
    for name, cls in classes.items():
        text = page(cls, titles[name])
        assert all(f"- **{field}** (" in text for group in cls.INPUT_TYPES().values() for field in group), name
        assert "| ---" not in text, name  # cut off where ComfyUI shows it
    assert "[arXiv:2206.00364](https://arxiv.org/abs/2206.00364)" in page(classes["SigmabenchSampler_heun"], "heun")
    freeu = page(classes["SigmabenchGuider_freeu"], "freeu")
    assert "- **s1** (FLOAT, 0 to 10, default `0.9`): " in freeu
    assert "- **by** (one of `stages`, `channels`, default `stages`): " in freeu
    karras = page(classes["SigmabenchSigmas_karras"], "karras")
    assert "- **sigma_max** (FLOAT, at least -1, default `-1`): first finite sigma/alpha" in karras


def test_values_that_stand_for_nothing_and_lists_of_numbers():
    karras = catalogue("spacing")["karras"].cls
    assert widgets.settings_of(karras, {"rho": 5.0, "sigma_min": -1.0, "sigma_max": 80.0}) == {
        "rho": 5.0, "sigma_min": None, "sigma_max": 80.0,
    }  # fmt: skip
    betas = catalogue("schedule")["trained_betas"].cls
    assert widgets.settings_of(betas, {"values": "0.1, 0.2"}) == {"values": (0.1, 0.2)}
    rows = catalogue("sampler")["analytic_dpm"].cls
    assert widgets.settings_of(rows, {"statistics": "(0, 1, 2, 3), (4, 5, 6, 7)"})["statistics"][1] == (4, 5, 6, 7)
    with pytest.raises(ValueError, match="values = 'a, b': write numbers"):
        widgets.settings_of(betas, {"values": "a, b"})


def test_as_a_library_it_never_imports_the_host():
    program = "import sys, sigmabench; assert sigmabench.NODE_CLASS_MAPPINGS == {}; assert 'comfy' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_process_is_the_default_for_stable_diffusion():
    assert process_of(Sampling("vp")) == Process()
