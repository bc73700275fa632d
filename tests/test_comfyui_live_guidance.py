"""Guidance in a real ComfyUI: as guider, as patch of a model, around and beside what the host and other packs do.

Runs against the checkout that COMFYUI_DIR names, with the Python that COMFYUI_PYTHON names.
"""

import json
import subprocess

import numpy as np
import pytest
from live_comfyui import NEEDS_HOST, ROOT, Graph, HostError, kind_of_model, ours_in, relative

pytestmark = NEEDS_HOST


REFUSED = {
    "sag": "MMDiT is no U-Net",
    "nag": "MMDiT is no U-Net",
    "pladis": "MMDiT is no U-Net",
    "freeu": "MMDiT is no U-Net",
    "swg": "MMDiT is no U-Net",
    "s_cfg": "MMDiT is no U-Net",
}
"""What a flow model of the SD3 kind cannot serve, with what is said."""


UNLIKE_CFG = {"fresca": {"low": 0.5}, "mimic": {"measure": "std"}}
"""Settings by which a method differs from CFG on our models."""


def guided(graph, live, kind, **settings):
    """The same method as a guider and as a patch on the model with the scale as the host's cfg."""
    conds = {"positive": ["positive", 0], "negative": ["negative", 0], "empty": ["empty", 0], "middle": ["middle", 0]}
    conds["other"] = conds["middle"]
    graph.add("empty", "CLIPTextEncode", text="", clip=["loader", 1])
    graph.add("middle", "CLIPTextEncode", text="a fox", clip=["loader", 1])
    scale = settings["scale"]
    given = {"model": graph.model, **conds, "guidance": graph.cfg(scale), "weak": weak(graph), **settings}
    guider, patch = (ours_in(graph, live, f"{family}_{kind}", **given) for family in ("Guider", "Model"))
    two = {name: conds[name] for name in ("positive", "negative")}
    return guider, graph.add("by_patch", "CFGGuider", model=patch, **two, cfg=scale)


def weak(graph):
    """The weaker twin of the model, sampled in the same way."""
    file = graph["loader"]["inputs"]["ckpt_name"].replace(".", "_weak.")
    model = graph.add("weak_loader", "CheckpointLoaderSimple", ckpt_name=file)
    if "zsnr" in graph:
        return graph.add("weak_zsnr", "ModelSamplingDiscrete", **{**graph["zsnr"]["inputs"], "model": model})
    return model


def names_of(ours, kind):
    return [name.removeprefix(f"Sigmabench{kind}_") for name in ours if name.startswith(f"Sigmabench{kind}_")]


@pytest.mark.parametrize("kind", ["vp", "zsnr", "flow"])
def test_every_guidance_is_the_same_as_guider_and_as_patch_and_not_plain_cfg(live, ours, kind):
    graph = kind_of_model(kind, size=32)
    sigmas = graph.add("sigmas", "SigmabenchSigmas_trailing", model=graph.model, steps=3, denoise=1.0)
    graph.sample("plain", sigmas=sigmas, guider=graph.cfg(6.0))
    names = [name for name in names_of(ours, "Guider") if kind != "flow" or name not in REFUSED]
    for name in names:
        part = kind_of_model(kind, size=32)
        guider, patch = guided(part, live, name, scale=6.0, **UNLIKE_CFG.get(name, {}))
        graph.update({f"{name}_{key}": value for key, value in renamed(part, name).items()})
        graph.sample(f"{name}_as_guider", sigmas=sigmas, guider=[f"{name}_{guider[0]}", 0])
        graph.sample(f"{name}_as_patch", sigmas=sigmas, guider=[f"{name}_{patch[0]}", 0])
    found = live.run(graph)
    for name in names:
        assert relative(found[f"{name}_as_guider"], found[f"{name}_as_patch"]) < 1e-6, name
        assert np.isfinite(found[f"{name}_as_guider"]).all(), name
        if name not in ("cfg", "negative_prompt"):  # the negative conditioning is the host's own
            assert relative(found[f"{name}_as_guider"], found["plain"]) > 1e-4, name


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_transformer_cannot_serve_is_refused_by_name(live, name):
    graph = Graph("flow", size=32)
    given = {"guidance": graph.cfg(3.0), "model": graph.model, "positive": ["positive", 0], "negative": ["negative", 0]}
    graph.sample("end", guider=ours_in(graph, live, f"Guider_{name}", **given))
    with pytest.raises(HostError, match=rf"(?i)({name}\(CFG\)|SemanticCFG): {REFUSED[name]}"):
        live.run(graph)


@pytest.mark.parametrize(
    ("kind", "ours", "settings", "theirs", "given"),
    [
        ("vp", "pag", {"scale": 2.5}, "PerturbedAttentionGuidance", {"scale": 2.5}),
        ("zsnr", "pag", {"scale": 2.5}, "PerturbedAttentionGuidance", {"scale": 2.5}),
        ("vp", "sag", {"scale": 0.7, "sigma": 1.0}, "SelfAttentionGuidance", {"scale": 0.7, "blur_sigma": 1.0}),
        ("flow", "slg", {"scale": 2.0, "layers": "1"}, "SkipLayerGuidanceSD3", {"scale": 2.0, "layers": "1"}),
        ("video", "slg", {"scale": 2.0, "layers": "1"}, "SkipLayerGuidanceDiT", {"scale": 2.0, "double_layers": "1"}),
    ],
)  # fmt: skip
def test_guidance_inside_the_network_that_the_host_has_too_is_the_same(live, kind, ours, settings, theirs, given):
    graph = kind_of_model(kind, batch=2)
    if theirs.startswith("Skip"):
        given = {**given, "start_percent": 0.0, "end_percent": 1.0}
        given |= {"single_layers": "", "rescaling_scale": 0.0} if theirs.endswith("DiT") else {}
    graph.add("patch", theirs, model=graph.model, **given)
    conds = {"positive": ["positive", 0], "negative": ["negative", 0]}
    theirs_guider = graph.add("theirs_guider", "CFGGuider", model=["patch", 0], **conds, cfg=4.0)
    sigmas = graph.sigmas("simple", 5)
    graph.sample("theirs", sigmas=sigmas, guider=theirs_guider)
    graph.sample("plain", sigmas=sigmas, guider=graph.cfg(4.0))
    graph.sample(
        "ours", sigmas=sigmas, guider=ours_in(graph, live, f"Guider_{ours}", guidance=graph.cfg(4.0), **settings)
    )
    found = live.run(graph)
    assert relative(found["ours"], found["theirs"]) < (2e-3 if kind == "zsnr" else 1e-4)
    assert relative(found["ours"], found["plain"]) > 1e-2


@pytest.mark.parametrize("kind", ["vp", "flow", "video"])
def test_a_layer_that_there_is_not_is_refused_with_those_that_there_are(live, kind):
    graph = Graph(kind, size=32)
    graph.sample("end", guider=ours_in(graph, live, "Guider_pag", guidance=graph.cfg(3.0), layers="mid.5"))
    listed = "down.0.0.0, mid.0.0, up.0.0.0" if kind == "vp" else "0, 1"
    with pytest.raises(HostError, match=f"layers: no layer 'mid.5'; there are {listed}"):
        live.run(graph)


def renamed(graph, prefix):
    """The nodes with every link prefixed; shared loaders are cached by the host, being equal."""

    def link(value):
        return [f"{prefix}_{value[0]}", value[1]] if isinstance(value, list) and len(value) == 2 else value

    return {
        name: {**part, "inputs": {key: link(value) for key, value in part["inputs"].items()}}
        for name, part in graph.items()
    }


@pytest.mark.parametrize("kind", ["vp", "flow"])
def test_plain_cfg_equals_the_hosts(live, kind):
    graph = Graph(kind, batch=2)
    graph.add(
        "ours_guider",
        "SigmabenchGuider_cfg",
        model=graph.model,
        positive=["positive", 0],
        negative=["negative", 0],
        scale=4.0,
    )
    graph.sample("ours", guider=["ours_guider", 0])
    graph.sample("theirs", guider=graph.cfg(4.0))
    graph.add(
        "rescaled",
        "SigmabenchGuider_rescaled_cfg",
        model=graph.model,
        positive=["positive", 0],
        negative=["negative", 0],
        scale=4.0,
        rescale=0.6,
        space="v",
    )
    graph.sample("rescaled_ours", guider=["rescaled", 0])
    graph.add("rescale_patch", "RescaleCFG", model=graph.model, multiplier=0.6)
    graph.model = ["rescale_patch", 0]
    graph.add(
        "their_guider", "CFGGuider", model=graph.model, positive=["positive", 0], negative=["negative", 0], cfg=4.0
    )
    graph.sample("rescaled_theirs", guider=["their_guider", 0])
    found = live.run(graph)
    assert relative(found["ours"], found["theirs"]) < 1e-5
    difference = relative(found["rescaled_ours"], found["rescaled_theirs"])
    assert difference < 1e-4 if kind == "vp" else difference > 1e-4  # the host takes flows for VP models


def test_no_unconditional_pass_at_cfg_1_or_where_a_method_needs_none(live):
    """Counted by time would be a guess; a negative that cannot be evaluated shows whether it is."""
    graph = Graph("flow")
    broken = graph.add("broken", "ConditioningSetTimestepRange", conditioning=["negative", 0], start=0.9, end=0.9)
    graph.sample("plain", guider=graph.cfg(1.0))
    given = {"model": graph.model, "positive": ["positive", 0], "negative": broken, "scale": 1.0}
    for name in ("cfg", "rescaled_cfg", "tcfg"):
        graph.sample(name, guider=ours_in(graph, live, f"Guider_{name}", **given))
    found = live.run(graph)
    assert all(relative(found[name], found["plain"]) < 1e-6 for name in ("cfg", "rescaled_cfg", "tcfg"))


def test_an_interval_is_the_hosts_cfg_inside_and_none_outside(live):
    graph = Graph("vp")
    graph.add("interval", "SigmabenchGuider_interval", guidance=graph.cfg(5.0), sigma_lo=1.0, sigma_hi=1e6)
    graph.sample("ours", guider=["interval", 0])
    first, second = graph.add("split", "SplitSigmas", sigmas=graph.sigmas(), step=2)[0], "split"
    start = graph.sample("start", sigmas=[first, 0], guider=graph.cfg(5.0))
    none = graph.add("none", "DisableNoise")
    graph.sample("theirs", sigmas=[second, 1], guider=graph.cfg(1.0), noise=none, latent=start)
    found = live.run(graph)
    assert relative(found["ours"], found["theirs"]) < 1e-5


def test_perp_neg_equals_the_hosts(live):
    graph = Graph("vp")
    graph.add("empty", "CLIPTextEncode", text="", clip=["loader", 1])
    conds = {"positive": ["positive", 0], "negative": ["negative", 0]}
    graph.add(
        "ours_guider",
        "SigmabenchGuider_perp_neg",
        model=graph.model,
        **conds,
        empty=["empty", 0],
        scale=5.0,
        negative_scale=0.7,
    )
    graph.add(
        "their_guider",
        "PerpNegGuider",
        model=graph.model,
        **conds,
        empty_conditioning=["empty", 0],
        cfg=5.0,
        neg_scale=0.7,
    )
    graph.sample("ours", guider=["ours_guider", 0])
    graph.sample("theirs", guider=["their_guider", 0])
    found = live.run(graph)
    assert relative(found["ours"], found["theirs"]) < 1e-4


def conditioned(graph, how):
    """The positive conditioning with something more to it than a text."""
    other = graph.add("other", "CLIPTextEncode", text="a ship", clip=["loader", 1])
    if how == "area":
        size = {"width": 64, "height": 96, "x": 32, "y": 0, "strength": 1.0}
        other = graph.add("area", "ConditioningSetArea", conditioning=other, **size)
    elif how == "mask":
        graph.add("solid", "SolidMask", value=0.8, width=96, height=48)
        mask = {"mask": ["solid", 0], "strength": 0.9, "set_cond_area": "default"}
        other = graph.add("masked", "ConditioningSetMask", conditioning=other, **mask)
    elif how == "timesteps":
        other = graph.add("timed", "ConditioningSetTimestepRange", conditioning=other, start=0.0, end=0.5)
    elif how == "hook":
        graph.add("hook", "CreateHookLora", lora_name="lora.safetensors", strength_model=1.0, strength_clip=0.0)
        given = {"cond_NEW": other, "strength": 1.0, "set_cond_area": "default", "hooks": ["hook", 0]}
        return graph.add("hooked", "ConditioningSetProperties", **given)
    return graph.add("both", "ConditioningCombine", conditioning_1=["positive", 0], conditioning_2=other)


@pytest.mark.parametrize("how", ["area", "mask", "timesteps", "hook"])
def test_areas_masks_timesteps_and_hooks_of_conditionings_work_as_in_the_hosts_guider(live, how):
    """Of plain CFG and of a method that asks for predictions of a changed network."""
    graph = Graph("vp", size=96)
    conds = {"positive": conditioned(graph, how), "negative": ["negative", 0]}
    graph.add("pag", "PerturbedAttentionGuidance", model=graph.model, scale=2.0)
    graph.sample("theirs", guider=graph.add("theirs_guider", "CFGGuider", model=graph.model, **conds, cfg=4.0))
    graph.sample("their_pag", guider=graph.add("their_pag_guider", "CFGGuider", model=["pag", 0], **conds, cfg=4.0))
    graph.sample("ours", guider=ours_in(graph, live, "Guider_cfg", model=graph.model, **conds, scale=4.0))
    pag = ours_in(graph, live, "Guider_pag", guidance=["theirs_guider", 0], scale=2.0)
    graph.sample("our_pag", guider=pag)
    graph.sample("plain", guider=graph.cfg(4.0))
    found = live.run(graph)
    assert relative(found["ours"], found["theirs"]) < 1e-5
    assert relative(found["our_pag"], found["their_pag"]) < 1e-4
    assert relative(found["ours"], found["plain"]) > 1e-3


def test_a_hook_works_on_a_third_conditioning_too(live):
    graph = Graph("vp", size=32)
    hooked = conditioned(graph, "hook")
    plain = graph.add("plain_middle", "CLIPTextEncode", text="a ship", clip=["loader", 1])
    conds = {"model": graph.model, "positive": ["positive", 0], "negative": ["negative", 0], "scale": 5.0}
    for name, middle in (("hooked", hooked), ("plain", plain)):
        guider = ours_in(graph, live, "Guider_dual_cfg", middle=middle, **conds)
        graph[f"{name}_guider"] = graph.pop(guider[0])
        graph.sample(f"{name}_end", guider=[f"{name}_guider", 0])
    found = live.run(graph)
    assert relative(found["hooked_end"], found["plain_end"]) > 1e-3
    patch = ours_in(graph, live, "Model_dual_cfg", model=graph.model, middle=hooked)
    graph.model = patch
    graph.sample("by_patch", guider=graph.cfg(2.0))
    with pytest.raises(HostError, match="middle: a conditioning with hooks cannot be given to a model patch; use the"):
        live.run(graph)


@pytest.mark.parametrize("hook", ["wrapper", "calc", "pre", "post", "attn2", "cfg"])
def test_what_other_packs_hang_on_a_model_keeps_working(live, hook):
    """Our samplers, CFG and a method around it beside every hook there is, and both orders of patches."""
    graph = Graph("vp", size=32)
    plain, conds = graph.model, {"positive": ["positive", 0], "negative": ["negative", 0]}
    hooked = graph.add("hooked", "Neighbour", model=plain, hook=hook)
    graph.sample("theirs", guider=graph.add("theirs_guider", "CFGGuider", model=hooked, **conds, cfg=4.0))
    graph.sample("sampler", ours_in(graph, live, "Sampler_euler"), guider=["theirs_guider", 0])
    graph.sample("plain", guider=graph.cfg(4.0))
    graph.add("their_pag", "PerturbedAttentionGuidance", model=hooked, scale=2.0)
    graph.sample("their_pag_end", guider=graph.add("pagged", "CFGGuider", model=["their_pag", 0], **conds, cfg=4.0))
    graph.sample("around", guider=ours_in(graph, live, "Guider_pag", guidance=["theirs_guider", 0], scale=2.0))
    for name, model in (("ours_after", hooked), ("ours_before", plain)):
        patch = ours_in(graph, live, "Model_pag", model=model, scale=2.0)
        graph[f"{name}_patch"] = graph.pop(patch[0])
        model = [f"{name}_patch", 0]
        if name == "ours_before":
            model = graph.add("hooked_after", "Neighbour", model=model, hook=hook)
        graph.sample(name, guider=graph.add(f"{name}_guider", "CFGGuider", model=model, **conds, cfg=4.0))
    found = live.run(graph)
    assert relative(found["theirs"], found["plain"]) > 1e-3
    assert relative(found["sampler"], found["theirs"]) < 1e-5
    if (
        hook == "post"
    ):  # what comes after the host's PAG sees CFG, what comes after ours sees its result: both are right
        assert relative(found["around"], found["their_pag_end"]) < 0.1
    elif hook != "calc":  # the host's PAG asks calc_cond_batch itself
        assert relative(found["around"], found["their_pag_end"]) < 1e-4
    assert relative(found["ours_after"], found["around"]) < 1e-6
    if hook in ("wrapper", "pre", "post", "attn2"):  # the others have one place, which the last one takes
        assert relative(found["ours_before"], found["around"]) < 1e-6


def test_a_method_outside_an_interval_is_that_of_another_guider(live):
    graph = Graph("vp", size=32)
    conds = {"model": graph.model, "positive": ["positive", 0], "negative": ["negative", 0]}
    inside, outside = graph.cfg(6.0), ours_in(graph, live, "Guider_rescaled_cfg", **conds, scale=2.0)
    interval = {"guidance": inside, "outside": outside, "sigma_lo": 1.0, "sigma_hi": 1e6}
    graph.sample("ours", guider=ours_in(graph, live, "Guider_interval", **interval))
    graph.add("split", "SplitSigmas", sigmas=graph.sigmas(), step=2)
    start = graph.sample("start", sigmas=["split", 0], guider=inside)
    none = graph.add("none", "DisableNoise")
    graph.sample("in_two", sigmas=["split", 1], guider=outside, noise=none, latent=start)
    found = live.run(graph)
    assert relative(found["ours"], found["in_two"]) < 1e-5
    other = graph.add(
        "other", "CFGGuider", model=graph.model, positive=["negative", 0], negative=["negative", 0], cfg=2.0
    )
    graph["Guider_interval"]["inputs"]["outside"] = other
    with pytest.raises(HostError, match="outside: its conditionings are not those of guidance; connect the same ones"):
        live.run(graph)


def test_a_sampler_that_needs_the_unconditional_prediction_gets_it_where_guidance_does_not(live):
    """Outside of an interval of CFG++ it is evaluated for the sampler alone, so that both are one equation."""
    graph = Graph("vp", size=32)
    interval = {"guidance": graph.cfg(1.0), "sigma_lo": 0.0, "sigma_hi": 0.0}
    guider = ours_in(graph, live, "Guider_interval", **interval)
    graph.sample("ours", ours_in(graph, live, "Sampler_cfg_pp"), guider=guider)
    graph.sample("theirs", ours_in(graph, live, "Sampler_cfg_pp"), guider=graph.cfg(1.0))
    found = live.run(graph)
    assert relative(found["ours"], found["theirs"]) < 1e-6


def test_images_with_steps_of_their_own_are_guided_at_their_own_levels(live):
    """An adaptive sampler and an interval: in a batch as alone."""
    found = []
    for batch, seed in ((3, 40), (1, 42)):
        graph = Graph("vp", size=32, batch=batch)
        noise = graph.add("ours_noise", "SigmabenchNoise", noise_seed=seed)
        interval = {"guidance": graph.cfg(5.0), "sigma_lo": 0.5, "sigma_hi": 3.0}
        guider = ours_in(graph, live, "Guider_interval", **interval)
        guider = ours_in(graph, live, "Guider_sag", guidance=guider, sigma=0.5)
        graph.sample("end", ours_in(graph, live, "Sampler_dpm_adaptive"), graph.sigmas("simple"), guider, noise)
        found.append(live.run(graph)["end"])
    assert relative(found[0][2:], found[1]) < 1e-3
    assert relative(found[0][1:2], found[1]) > 0.1


def test_a_weaker_model_must_be_another_one_of_the_same_kind(live):
    for weak, message in (
        ("flow.ckpt", "weak: SD3 is not of the kind of BaseModel"),
        ("vp.ckpt", "the guided model itse"),
    ):
        graph = Graph("vp", size=32)
        graph.add("weak", "CheckpointLoaderSimple", ckpt_name=weak)
        guider = ours_in(graph, live, "Guider_autoguidance", guidance=graph.cfg(3.0), weak=["weak", 0])
        graph.sample("end", guider=guider)
        with pytest.raises(HostError, match=message):
            live.run(graph)


def test_blocks_of_one_and_of_two_streams_are_changed_in_networks_too_large_for_a_checkpoint(live):
    """Flux and LTX in the host's own classes; in those of LTX there are no blocks of a single stream."""
    command = [live.python, str(ROOT / "tests" / "live_networks.py"), str(live.comfyui)]
    answer = subprocess.run(command, check=True, env=live.environment, capture_output=True, text=True).stdout
    found = json.loads(answer.splitlines()[-1])
    assert all(1e-4 < change < 1 for change in found["Flux"].values())
    for change, effect in found["LTXVModel"].items():
        if "single" in change:
            assert effect.endswith("there are 0, 1")
        elif "sigma=1.0" in change:
            assert "blurred by their mean alone" in effect
        else:
            assert 1e-4 < effect < 1, change
