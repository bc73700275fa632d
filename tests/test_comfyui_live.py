"""Our nodes in a real ComfyUI: equal to the host's where both have a method, right where only we do.

Runs against the checkout that COMFYUI_DIR names, with the Python that COMFYUI_PYTHON names.
"""

import json
import time

import numpy as np
import pytest
from live_comfyui import (
    NEEDS_HOST,
    ROOT,
    Graph,
    HostError,
    choices,
    kind_of_model,
    listen,
    ours_in,
    queued,
    relative,
    zero_snr,
)  # fmt: skip

from sigmabench.plugins.registry import catalogue

pytestmark = NEEDS_HOST

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


# --- every node runs


@pytest.mark.parametrize("kind", ["vp", "zsnr", "flow"])
def test_every_sampler_runs_and_draws_something_of_its_own_size(live, ours, kind):
    graph = kind_of_model(kind, size=32)
    sigmas = graph.add("sigmas", "SigmabenchSigmas_trailing", model=graph.model, steps=3, denoise=1.0)
    names = [name.removeprefix("SigmabenchSampler_") for name in ours if name.startswith("SigmabenchSampler_")]
    names = [name for name in names if not getattr(catalogue("sampler")[name].cls, "upwards", False)]
    for name in names:
        made = ours_in(graph, live, f"Sampler_{name}")
        graph.sample(name, made, sigmas, graph.cfg(1.0))
    graph.sample("theirs", sigmas=sigmas, guider=graph.cfg(1.0))
    found = live.run(graph)
    size = np.abs(found["theirs"]).mean()
    for name in names:
        assert np.isfinite(found[name]).all(), name
        assert 0.2 * size < np.abs(found[name]).mean() < 5 * size, name


# --- the host's ways of sampling


@pytest.mark.parametrize("kind", ["vp", "zsnr", "flow"])
def test_a_sampler_that_goes_upwards_brings_an_image_to_noise_that_leads_back_to_it(live, kind):
    graph = kind_of_model(kind, size=32)
    image = graph.sample("image", guider=graph.cfg(1.0))
    part = {"model": graph.model, "denoise": 1.0, "sigma_min": 0.03, "sigma_max": -1.0, "rho": 7.0}
    if kind != "vp":
        part["sigma_max"] = 5.0
    graph.add("down_whole", "SigmabenchSigmas_karras", steps=12, **part)
    if kind != "vp":
        graph.add("split", "SplitSigmas", sigmas=["down_whole", 0], step=1)
    down = ["down_whole", 0] if kind == "vp" else ["split", 1]
    none, up = graph.add("none", "DisableNoise"), graph.add("up", "FlipSigmas", sigmas=down)
    sampler = ours_in(graph, live, "Sampler_euler")
    noised = graph.sample("noised", ours_in(graph, live, "Sampler_inverse"), up, graph.cfg(1.0), none, image)
    graph.sample("back", sampler, down, graph.cfg(1.0), none, noised)
    found = live.run(graph)
    assert relative(found["noised"], found["image"]) > 0.1
    assert relative(found["back"], found["image"]) < 0.2


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


def test_a_single_sigma_of_a_flow_is_refused_where_the_host_would_divide_by_zero(live):
    graph = Graph("flow")
    graph.add("split", "SplitSigmas", sigmas=graph.sigmas(), step=0)
    graph.sample("end", ours_in(graph, live, "Sampler_euler"), ["split", 0])
    with pytest.raises(HostError, match="sigmas: 1 given, at least 2 are needed"):
        live.run(graph)


def test_no_sigmas_are_no_change(live):
    graph = Graph("flow")
    start = graph.sample("start")
    none = graph.add("none", "SigmabenchSigmas_trailing", model=graph.model, steps=4, denoise=0.0)
    graph.sample("end", ours_in(graph, live, "Sampler_euler"), none, latent=start)
    found = live.run(graph)
    assert np.array_equal(found["end"], found["start"])


@pytest.mark.parametrize("kind", ["zsnr", "flow"])
def test_spacings_of_sigma_in_the_list_of_ksampler_start_at_pure_noise(live, kind):
    graph = kind_of_model(kind, size=32)
    conds = {"positive": ["positive", 0], "negative": ["negative", 0]}
    for name in ("karras", "leading"):
        graph.add(name, "KSampler", model=graph.model, seed=3, steps=5, cfg=3.0, sampler_name="sigmabench_dpmpp_2m",
                  scheduler=f"sigmabench_{name}", latent_image=["latent", 0], denoise=1.0, **conds)  # fmt: skip
    graph.add("end", "SaveLatent", samples=["karras", 0], filename_prefix="x")
    whole = {"rho": 7.0, "sigma_min": -1.0, "sigma_max": 80.0, "denoise": 1.0}
    sigmas = graph.add("sigmas", "SigmabenchSigmas_karras", model=graph.model, steps=5, **whole)
    graph.sample("by_nodes", ours_in(graph, live, "Sampler_dpmpp_2m"), sigmas)
    found = live.run(graph)
    assert np.array_equal(found["end"], found["by_nodes"])
    graph["end"]["inputs"]["samples"] = ["leading", 0]
    with pytest.raises(HostError, match=r"KSampler: scheduler sigmabench_leading: .* use trailing or linspace"):
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
