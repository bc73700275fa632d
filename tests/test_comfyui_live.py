"""Our nodes in a real ComfyUI: equal to the host's where both have a method, right where only we do.

Runs against the checkout that COMFYUI_DIR names, with the Python that COMFYUI_PYTHON names.
"""

import json
import os
import sys
import time

import numpy as np
import pytest
from live_comfyui import ROOT, Graph, HostError, Live, listen, queued, relative
from PIL import Image
from safetensors.numpy import load_file

from sigmabench.eval.runner import Runner
from sigmabench.eval.sweep import Sweep

pytestmark = pytest.mark.skipif(
    not os.environ.get("COMFYUI_DIR"),
    reason="COMFYUI_DIR is not set: name a ComfyUI checkout (and COMFYUI_PYTHON) to test the nodes in the real host",
)
VP_AND_FLOW = ("vp", "flow")


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    server = Live(
        os.environ["COMFYUI_DIR"], os.environ.get("COMFYUI_PYTHON", sys.executable), tmp_path_factory.mktemp("comfyui")
    )
    server.make_checkpoints()
    with server:
        yield server


@pytest.fixture(scope="module")
def ours(live):
    """What the server knows of our nodes, by id."""
    return {name: info for name, info in live.get("/object_info").items() if name.startswith("Sigmabench")}


def ours_in(graph, live, kind, **given):
    """One of our nodes, its other widgets at their defaults."""
    info = live.get(f"/object_info/Sigmabench{kind}")[f"Sigmabench{kind}"]
    inputs = {name: spec for group in info["input"].values() for name, spec in group.items()}
    required = {name: default(inputs[name]) for name in info["input"]["required"] if name not in given}
    return graph.add(kind, f"Sigmabench{kind}", **required, **{k: v for k, v in given.items() if k in inputs})


def default(spec):
    """The value of a widget that nobody touched."""
    options = spec[1] if len(spec) > 1 else {}
    return options["default"] if "default" in options else choices(spec)[0]


def zero_snr(graph, prediction="v_prediction"):
    graph.model = graph.add("zsnr", "ModelSamplingDiscrete", model=graph.model, sampling=prediction, zsnr=True)
    return graph


def kind_of_model(kind, **more):
    graph = Graph("flow" if kind == "flow" else "vp", **more)
    if kind == "zsnr":
        return zero_snr(graph)
    if kind in ("v_prediction", "x0"):
        graph.model = graph.add("kind", "ModelSamplingDiscrete", model=graph.model, sampling=kind, zsnr=False)
    return graph


# --- one definition, two implementations


TWINS = {
    "euler": "euler", "heun": "heun", "lms": "lms", "dpm_2": "dpm_2", "dpmpp_2m": "dpmpp_2m", "res_multistep": "res_2m",
    "gradient_estimation": "gradient_estimation", "euler_cfg_pp": "cfg_pp",
}  # fmt: skip
FLOW_TWINS = {
    "euler": ("euler", {}), "euler_cfg_pp": ("cfg_pp", {}), "lms": ("lms", {"quantity": "flow"}),
    "heun": ("runge_kutta", {"method": "heun2", "quantity": "flow"}),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["vp", "v_prediction", "x0", "flow"])
def test_samplers_that_the_host_has_too_are_the_same(live, kind):
    graph = kind_of_model(kind, size=32)
    twins = FLOW_TWINS if kind == "flow" else {theirs: (ours, {}) for theirs, ours in TWINS.items()}
    for theirs, (name, settings) in twins.items():
        graph.sample(f"ours_{theirs}", ours_in(graph, live, f"Sampler_{name}", **settings), guider=graph.cfg(1.5))
        host = graph.add(f"theirs_{theirs}", "KSamplerSelect", sampler_name=theirs)
        graph.sample(theirs, host, guider=graph.cfg(1.5))
    found = live.run(graph)
    for theirs in twins:
        assert relative(found[f"ours_{theirs}"], found[theirs]) < 2e-5, theirs


def test_the_dropdowns_list_every_sampler_and_spacing_and_give_the_same_as_the_nodes(live, ours):
    info = live.get("/object_info/KSampler")["KSampler"]["input"]["required"]
    for field, family in (("sampler_name", "SigmabenchSampler_"), ("scheduler", "SigmabenchSigmas_")):
        shown = [name for name in choices(info[field]) if name.startswith("sigmabench_")]
        assert len(shown) == len(set(shown))  # though the pack is there twice
        assert {family + name.removeprefix("sigmabench_") for name in shown} == {
            n for n in ours if n.startswith(family)
        }
    graph = Graph("flow", batch=2)
    sigmas = graph.add("sigmas", "SigmabenchSigmas_trailing", model=graph.model, steps=4, denoise=1.0)
    graph.sample("node", ours_in(graph, live, "Sampler_dpmpp_2m"), sigmas)
    graph.add("plain", "KSampler", model=graph.model, seed=3, steps=4, cfg=3.0, sampler_name="sigmabench_dpmpp_2m",
              scheduler="sigmabench_trailing", positive=["positive", 0], negative=["negative", 0],
              latent_image=["latent", 0], denoise=1.0)  # fmt: skip
    graph.add("dropdown", "SaveLatent", samples=["plain", 0], filename_prefix="x")
    found = live.run(graph)
    assert np.array_equal(found["node"], found["dropdown"])


def choices(spec):
    return spec[0] if isinstance(spec[0], list) else spec[1]["options"]


# --- every node runs


@pytest.mark.parametrize("kind", ["vp", "zsnr", "flow"])
def test_every_sampler_runs_and_draws_something_of_its_own_size(live, ours, kind):
    graph = kind_of_model(kind, size=32)
    sigmas = graph.add("sigmas", "SigmabenchSigmas_trailing", model=graph.model, steps=3, denoise=1.0)
    names = [name.removeprefix("SigmabenchSampler_") for name in ours if name.startswith("SigmabenchSampler_")]
    for name in names:
        made = ours_in(graph, live, f"Sampler_{name}")
        graph.sample(name, made, sigmas, graph.cfg(1.0))
    graph.sample("theirs", sigmas=sigmas, guider=graph.cfg(1.0))
    found = live.run(graph)
    size = np.abs(found["theirs"]).mean()
    for name in names:
        assert np.isfinite(found[name]).all(), name
        assert 0.2 * size < np.abs(found[name]).mean() < 5 * size, name


# --- guidance


def guided(graph, live, kind, **settings):
    """The same method as a guider and as a patch on the model with the scale as the host's cfg."""
    conds = {"positive": ["positive", 0], "negative": ["negative", 0], "empty": ["empty", 0], "middle": ["middle", 0]}
    graph.add("empty", "CLIPTextEncode", text="", clip=["loader", 1])
    graph.add("middle", "CLIPTextEncode", text="a fox", clip=["loader", 1])
    scale = settings["scale"]
    given = {"model": graph.model, **conds, "guidance": graph.cfg(scale), **settings}
    guider, patch = (ours_in(graph, live, f"{family}_{kind}", **given) for family in ("Guider", "Model"))
    two = {name: conds[name] for name in ("positive", "negative")}
    return guider, graph.add("by_patch", "CFGGuider", model=patch, **two, cfg=scale)


@pytest.mark.parametrize("kind", ["vp", "zsnr", "flow"])
def test_every_guidance_is_the_same_as_guider_and_as_patch_and_not_plain_cfg(live, ours, kind):
    graph = kind_of_model(kind, size=32)
    sigmas = graph.add("sigmas", "SigmabenchSigmas_trailing", model=graph.model, steps=3, denoise=1.0)
    graph.sample("plain", sigmas=sigmas, guider=graph.cfg(6.0))
    names = [name.removeprefix("SigmabenchGuider_") for name in ours if name.startswith("SigmabenchGuider_")]
    for name in names:
        part = kind_of_model(kind, size=32)
        guider, patch = guided(part, live, name, scale=6.0, **({"low": 0.5} if name == "fresca" else {}))
        graph.update({f"{name}_{key}": value for key, value in renamed(part, name).items()})
        graph.sample(f"{name}_as_guider", sigmas=sigmas, guider=[f"{name}_{guider[0]}", 0])
        graph.sample(f"{name}_as_patch", sigmas=sigmas, guider=[f"{name}_{patch[0]}", 0])
    found = live.run(graph)
    for name in names:
        assert relative(found[f"{name}_as_guider"], found[f"{name}_as_patch"]) < 1e-6, name
        assert np.isfinite(found[f"{name}_as_guider"]).all(), name
        if name not in ("cfg", "negative_prompt"):  # the negative conditioning is the host's own
            assert relative(found[f"{name}_as_guider"], found["plain"]) > 1e-4, name


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


def test_areas_masks_and_other_packs_patches_keep_working(live):
    """A conditioning area and a pre-CFG and a post-CFG patch of the host have the same effect around our CFG."""
    graph = Graph("vp", size=96)
    area = graph.add(
        "area", "ConditioningSetArea", conditioning=["positive", 0], width=64, height=96, x=32, y=0, strength=1.0
    )
    both = graph.add("both", "ConditioningCombine", conditioning_1=["negative", 0], conditioning_2=area)
    tcfg = graph.add("tcfg", "TCFG", model=graph.model)
    norm = graph.add("norm", "CFGNorm", model=tcfg, strength=0.8)
    conds = {"positive": both, "negative": ["negative", 0]}
    graph.add("theirs_guider", "CFGGuider", model=norm, **conds, cfg=4.0)
    graph.add("ours_guider", "SigmabenchGuider_cfg", model=norm, **conds, scale=4.0)
    graph.sample("theirs", guider=["theirs_guider", 0])
    graph.sample("ours", guider=["ours_guider", 0])
    graph.sample("plain", guider=graph.cfg(4.0))
    found = live.run(graph)
    assert relative(found["ours"], found["theirs"]) < 1e-5
    assert relative(found["ours"], found["plain"]) > 1e-3


# --- the host's ways of sampling


@pytest.mark.parametrize("kind", ["vp", "flow"])
def test_what_a_mask_keeps_is_kept(live, kind):
    graph = kind_of_model(kind)
    graph.add("pixels", "EmptyImage", width=64, height=64, batch_size=1, color=0x336699)
    graph.add("source", "VAEEncode", pixels=["pixels", 0], vae=["loader", 2])
    graph.add("half", "SolidMask", value=1.0, width=32, height=64)
    graph.add("whole", "SolidMask", value=0.0, width=64, height=64)
    graph.add("mask", "MaskComposite", destination=["whole", 0], source=["half", 0], x=32, y=0, operation="add")
    masked = graph.add("masked", "SetLatentNoiseMask", samples=["source", 0], mask=["mask", 0])
    graph.add("kept", "SaveLatent", samples=["source", 0], filename_prefix="x")
    names = ("euler", "heun", "dpmpp_2m", "euler_ancestral", "cfg_pp", "res_2m")
    for name in names:
        graph.sample(name, ours_in(graph, live, f"Sampler_{name}"), latent=masked)
    graph.sample("theirs", latent=masked)
    found = live.run(graph)
    for name in names:
        assert np.abs(found[name][..., :4] - found["kept"][..., :4]).max() < 1e-4, name
        assert relative(found[name][..., 4:], found["kept"][..., 4:]) > 0.05, name
    assert relative(found["euler"], found["theirs"]) < 1e-5


@pytest.mark.parametrize("kind", ["vp", "flow"])
def test_image_to_image_and_split_schedules(live, kind):
    graph = kind_of_model(kind)
    graph.add("pixels", "EmptyImage", width=64, height=64, batch_size=1, color=0x336699)
    source = graph.add("source", "VAEEncode", pixels=["pixels", 0], vae=["loader", 2])
    part = graph.add("part", "SigmabenchSigmas_linspace", model=graph.model, steps=3, denoise=0.5)
    graph.sample("ours", ours_in(graph, live, "Sampler_euler"), part, latent=source)
    graph.sample("theirs", sigmas=part, latent=source)
    whole = graph.add("whole", "SigmabenchSigmas_linspace", model=graph.model, steps=6, denoise=1.0)
    graph.add("split", "SplitSigmas", sigmas=whole, step=2)
    start = graph.sample("start", ours_in(graph, live, "Sampler_euler"), ["split", 0])
    graph.sample(
        "in_two",
        ours_in(graph, live, "Sampler_euler"),
        ["split", 1],
        noise=graph.add("none", "DisableNoise"),
        latent=start,
    )
    graph.sample("in_one", ours_in(graph, live, "Sampler_euler"), whole)
    found = live.run(graph)
    assert relative(found["ours"], found["theirs"]) < 1e-5
    assert relative(found["in_two"], found["in_one"]) < 1e-4


def test_each_image_of_a_batch_can_be_made_alone(live):
    batch, alone = Graph("flow", batch=3), Graph("flow", batch=1)
    for graph, seed in ((batch, 40), (alone, 42)):
        noise = graph.add("ours_noise", "SigmabenchNoise", noise_seed=seed)
        graph.sample("image", ours_in(graph, live, "Sampler_euler_ancestral"), noise=noise)
    found, single = live.run(batch)["image"], live.run(alone)["image"]
    assert relative(found[2:], single) < 1e-4
    assert relative(found[1:2], single) > 0.1


# --- zero terminal SNR


def test_zero_terminal_snr_from_end_to_end(live):
    graph = Graph("vp", batch=2)
    conds = {"positive": ["positive", 0], "negative": ["negative", 0]}
    graph.add("all", "SigmabenchZeroSNR", model=graph.model, **conds, steps=5, scale=5.0, rescale=0.7)
    graph.sample("node", ours_in(graph, live, "Sampler_euler"), ["all", 2], ["all", 1])
    graph.add(
        "plain",
        "KSampler",
        model=["all", 0],
        seed=3,
        steps=5,
        cfg=5.0,
        sampler_name="sigmabench_euler",
        scheduler="sigmabench_trailing",
        latent_image=["latent", 0],
        denoise=1.0,
        **conds,
    )
    graph.add("by_ksampler", "SaveLatent", samples=["plain", 0], filename_prefix="x")
    zero_snr(graph)
    graph.add("patch", "RescaleCFG", model=graph.model, multiplier=0.7)
    sigmas = graph.add("trailing", "SigmabenchSigmas_trailing", model=graph.model, steps=5, denoise=1.0)
    graph.add("their_guider", "CFGGuider", model=["patch", 0], **conds, cfg=5.0)
    graph.sample("theirs", sigmas=sigmas, guider=["their_guider", 0])
    found = live.run(graph)
    assert np.array_equal(found["node"], found["by_ksampler"])
    # the host starts at sigma 4518.8 in place of pure noise, which leaves 1 / 4518.8 of the noise in x0
    assert relative(found["node"], found["theirs"]) < 1e-3


# --- progress, cancelling, errors


@pytest.mark.parametrize("name", ["euler", "heun", "exponential_runge_kutta", "restart"])
def test_progress_and_previews_come_once_a_step(live, name):
    graph = Graph("vp", size=32)
    graph.sample("end", ours_in(graph, live, f"Sampler_{name}"), graph.sigmas(steps=5))
    events = listen(live, graph)
    progress = [data for kind, data in events if kind == "progress" and data["node"] == "run_end"]
    assert progress[-1]["value"] == progress[-1]["max"] == 5
    values = [data["value"] for data in progress]
    assert values == sorted(set(values))  # newer hosts leave some out, none comes twice
    assert any(kind == "preview" for kind, _ in events)


def test_cancelling_stops_within_a_step(live):
    graph = Graph("vp")
    graph.sample("end", ours_in(graph, live, "Sampler_heun"), graph.sigmas(steps=400))
    times = {}

    def interrupt(event):
        if event["type"] == "progress" and "asked" not in times:
            times["asked"] = time.monotonic()
            live.post("/interrupt", {})

    events = listen(live, graph, interrupt)
    assert events[-1][0] == "execution_interrupted"
    assert events[-1][1]["node_id"] == "run_end"
    assert time.monotonic() - times["asked"] < 5  # the rest would take a minute


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda g, live: {"sigmas": g.add("rising", "FlipSigmas", sigmas=g.sigmas())},
            "sigmas: number 1 .* they must fall",
        ),
        (lambda g, live: {"sigmas": one_sigma(g)}, "sigmas: 1 given, at least 2 are needed"),
        (
            lambda g, live: {
                "sampler": ours_in(g, live, "Sampler_cfg_pp"),
                "guider": g.add("basic", "BasicGuider", model=g.model, conditioning=["positive", 0]),
            },
            "negative conditioning",
        ),
        (
            lambda g, live: {"sampler": ours_in(g, live, "Sampler_restart", sampler=["host_sampler", 0])},
            "sampler: sample_euler is not a Sigmabench sampler",
        ),
        (
            lambda g, live: {
                "sigmas": g.add(
                    "k",
                    "SigmabenchSigmas_karras",
                    model=g.model,
                    steps=4,
                    denoise=1.0,
                    rho=7.0,
                    sigma_min=20.0,
                    sigma_max=1.0,
                )
            },
            "sigma_min = 20 must be below sigma_max = 1",
        ),
        (lambda g, live: {"guider": zero_snr(g, "eps").cfg(), "sigmas": g.sigmas()}, "set sampling to v_prediction"),
    ],
    ids=["rising", "one", "no negative", "a stranger's sampler", "ends", "eps at zero SNR"],
)
def test_bad_input_is_said_in_the_hosts_error_dialog(live, spoil, message):
    graph = Graph("vp")
    graph.sample("end", **{"sampler": ours_in(graph, live, "Sampler_euler"), **spoil(graph, live)})
    with pytest.raises(HostError, match=message):
        live.run(graph)


def one_sigma(graph):
    graph.add("split", "SplitSigmas", sigmas=graph.sigmas(), step=4)
    return ["split", 1]


# --- the pack in the host


def test_every_node_has_a_help_page_and_none_failed_to_load(live, ours):
    assert "IMPORT FAILED" not in live.log.read_text()
    shown = {path.stem for path in (ROOT / "example_workflows").glob("*.json")}
    assert set(live.get("/workflow_templates")["sigmabench"]) == shown
    assert "neighbour" in choices(live.get("/object_info/KSampler")["KSampler"]["input"]["required"]["sampler_name"])
    for name in ours:
        for pack in ("sigmabench", "installed"):
            assert live.get(f"/extensions/{pack}/docs/{name}.md").startswith("# "), name


# --- sweeps in the graph


def sweep_graph(live, model="flow", **given):
    graph = Graph(model, size=32, batch=4)
    graph.add("prompts", "SigmabenchPrompts", clip=["loader", 1], text="a cat\na ship")
    widgets = {
        "samplers": "euler, heun", "steps": "2, 3", "scales": "1, 3", "images": 4, "folder": f"sigmabench/{model}",
        "metrics": "diversity, contrast",
        "positive": ["prompts", 0], "prompts": ["prompts", 1], "negative": ["negative", 0], "model": graph.model,
        "vae": ["loader", 2], "latent_image": ["latent", 0], **given,
    }  # fmt: skip
    ours_in(graph, live, "Sweep", **widgets)
    graph.add("grid", "SaveImage", images=["Sweep", 0], filename_prefix="grid")
    graph.add("table", "PreviewAny", source=["Sweep", 2])
    return graph


def test_a_sweep_in_the_graph_is_measured_reported_and_resumed(live):
    graph = sweep_graph(live)
    ours_in(graph, live, "Report", folder=["Sweep", 3])
    table = live.run(graph)["table"]["text"][0]
    assert table.count("\n| heun ") + table.count("\n| euler ") == 8
    folder = live.base / "output" / "sigmabench" / "flow"
    assert "<table" in (folder / "report.html").read_text()
    shards = {path: path.stat().st_mtime_ns for path in folder.glob("cells/*/*.safetensors")}
    assert len(shards) == 8
    graph["Sweep"]["inputs"]["steps"] = "2, 3, 4"
    live.run(graph)
    now = {path: path.stat().st_mtime_ns for path in folder.glob("cells/*/*.safetensors")}
    assert len(now) == 12
    assert all(now[path] == when for path, when in shards.items())  # kept, not made again


def test_the_best_setting_is_the_one_nearest_to_the_solution(live):
    graph = sweep_graph(live, metrics="trajectory_error(steps=30)", folder="sigmabench/best", scales="2", steps="2, 12")
    graph.add("best", "PreviewAny", source=["Sweep", 1])
    words = live.run(graph)["best"]["text"][0]
    assert "12 steps" in words.partition(" has ")[0], words


@pytest.mark.parametrize("model", ["vp", "flow"])
def test_images_of_a_sweep_are_those_of_sampling_in_the_graph(live, model):
    """Seed, noise, model, guidance and decoding agree: the best setting's outputs make the very images of its cell."""
    one = {"samplers": "dpmpp_2m", "steps": "4", "scales": "2.5", "positive": ["positive", 0], "prompts": None}
    graph = sweep_graph(live, model, **one, folder=f"sigmabench/one_{model}")
    del graph["Sweep"]["inputs"]["prompts"]
    noise = graph.add("ours_noise", "SigmabenchNoise", noise_seed=0)
    guider = graph.add("again", "CFGGuider", model=graph.model, positive=["positive", 0], negative=["negative", 0],
                       cfg=["Sweep", 6])  # fmt: skip
    end = graph.sample("latents", ["Sweep", 4], ["Sweep", 5], guider, noise)
    decoded = graph.add("decoded", "VAEDecode", samples=end, vae=["loader", 2])
    graph.add("images", "SaveImage", images=decoded, filename_prefix="again")
    found = live.run(graph)["images"]["images"]
    sampled = np.stack([np.asarray(Image.open(live.base / "output" / image["filename"])) for image in found])
    (shard,) = (live.base / "output" / "sigmabench" / f"one_{model}").glob("cells/*/*.safetensors")
    swept = load_file(shard)["preview"].transpose(0, 2, 3, 1)
    assert np.abs(sampled.astype(int) - swept.astype(int)).max() <= 2


def test_a_sweep_is_cancelled_within_an_evaluation_and_goes_on_from_there(live):
    graph, made = sweep_graph(live, steps="30, 31", folder="sigmabench/cancelled"), []

    def interrupt(event):
        if event["type"] == "progress" and event["data"]["node"] == "Sweep" and event["data"]["value"] == 4:
            made.append(event)
            live.post("/interrupt", {})

    assert listen(live, graph, interrupt)[-1][0] == "execution_interrupted"
    folder = live.base / "output" / "sigmabench" / "cancelled"
    assert made
    assert len(list(folder.glob("cells/*/*.safetensors"))) == 1
    assert not list(folder.glob("cells/*/failed.json"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"samplers": "eulr"}, "samplers.* unknown sampler 'eulr'; did you mean 'euler'"),
        ({"steps": "many"}, "steps = 'many': write numbers"),
        ({"folder": "../elsewhere"}, "must be a folder inside ComfyUI's output folder"),
        ({"images": 2}, "metric diversity needs at least 3 images"),
    ],
)
def test_a_sweep_names_the_widget_that_is_wrong(live, given, message):
    with pytest.raises(HostError, match=message):
        live.run(sweep_graph(live, **given))


# --- example workflows


@pytest.mark.parametrize("path", sorted((ROOT / "example_workflows").glob("*.json")), ids=lambda path: path.stem)
def test_example_workflows_run(live, path):
    graph = queued(live, json.loads(path.read_text()))
    small = {"ckpt_name": "vp.ckpt", "width": 64, "height": 64, "images": 3, "folder": f"sigmabench/{path.stem}"}
    small["metrics"] = "diversity"
    for part in graph.values():
        for name, value in part["inputs"].items():
            if name == "steps":
                part["inputs"]["steps"] = 3 if isinstance(value, int) else "3"
            elif name in small and not isinstance(value, list):
                part["inputs"][name] = small[name]
    found = live.run(graph)
    assert all(image["filename"].endswith(".png") for output in found.values() for image in output.get("images", []))
    assert any(output.get("images") for output in found.values())


# --- the harness drives a server


def test_the_harness_compares_settings_on_a_server(live, tmp_path):
    """Any workflow with a KSampler: its images are those that the server makes when it is asked by hand."""
    graph = Graph("flow", size=64)
    graph.add("ksampler", "KSampler", model=graph.model, seed=0, steps=9, cfg=1.0, sampler_name="euler",
              scheduler="simple", positive=["positive", 0], negative=["negative", 0], latent_image=["latent", 0],
              denoise=1.0)  # fmt: skip
    graph.add("decoded", "VAEDecode", samples=["ksampler", 0], vae=["loader", 2])
    graph.add("images", "SaveImage", images=["decoded", 0], filename_prefix="by_hand")
    (tmp_path / "workflow.json").write_text(json.dumps(graph))
    model = f"comfyui(workflow={str(tmp_path / 'workflow.json')!r}, url='http://127.0.0.1:{live.port}')"
    sweep = Sweep(
        models=[model], samplers=["euler", "heun"], spacings=["simple"], steps=[3],
        guidance=["cfg"], scales=[3.0], prompts=["a cat", "a ship"], images=3, seed=7, metrics=["diversity"],
        batch_size=2,
    )  # fmt: skip
    runner = Runner(sweep, tmp_path / "run")
    assert runner.run(lambda images, cell: None).failed == {}
    graph["positive"]["inputs"]["text"] = "a ship"
    graph["ksampler"]["inputs"] |= {"seed": 8, "steps": 3, "cfg": 3.0, "sampler_name": "sigmabench_heun",
                                    "scheduler": "sigmabench_simple"}  # fmt: skip
    (image,) = live.run(graph)["images"]["images"]
    by_hand = np.asarray(Image.open(live.base / "output" / image["filename"])).transpose(2, 0, 1)
    plan = {planned.cell.sampler: planned.cell.key for planned in runner.plan.runnable}
    (shard,) = (tmp_path / "run" / "cells" / plan["heun"]).glob("*.safetensors")
    assert np.array_equal(load_file(shard)["preview"][1], by_hand)
    other = Runner(sweep.model_copy(update={"samplers": ["euler", "euler_ancestral(eta=0.5)"]}), tmp_path / "other")
    assert "(a list knows no settings)" in next(p.refused for p in other.plan.cells if p.refused)
