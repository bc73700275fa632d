"""Our nodes in a real ComfyUI: equal to the host's where both have a method, right where only we do.

Runs against the checkout that COMFYUI_DIR names, with the Python that COMFYUI_PYTHON names.
"""

import os
import sys

import numpy as np
import pytest
from live_comfyui import Graph, Live, relative

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


def sampler(graph, name, **settings):
    return graph.add(f"sampler_{name}", f"SigmabenchSampler_{name}", **settings)


def defaults(info, **connected):
    """Every required widget at its default, sockets as given."""
    given = {}
    for name, spec in info["input"]["required"].items():
        options = spec[1] if len(spec) > 1 else {}
        if name in connected:
            given[name] = connected[name]
        elif "default" in options:
            given[name] = options["default"]
        else:
            given[name] = spec[0][0] if isinstance(spec[0], list) else options["options"][0]
    return given


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


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind in ("vp", "v_prediction", "x0") for name in ("euler", "heun", "dpmpp_2m")]
    + [("flow", "euler")],
)
def test_samplers_that_the_host_has_too_are_the_same(live, kind, name):
    graph = kind_of_model(kind, batch=2)
    graph.sample("ours", sampler(graph, name))
    graph.sample("theirs", graph.add("theirs_sampler", "KSamplerSelect", sampler_name=name))
    found = live.run(graph)
    assert relative(found["ours"], found["theirs"]) < 2e-5


def test_the_dropdowns_list_every_sampler_and_spacing_and_give_the_same_as_the_nodes(live, ours):
    info = live.get("/object_info/KSampler")["KSampler"]["input"]["required"]
    for field, family in (("sampler_name", "SigmabenchSampler_"), ("scheduler", "SigmabenchSigmas_")):
        shown = [name for name in choices(info[field]) if name.startswith("sigmabench_")]
        assert len(shown) == len(set(shown))
        assert {family + name.removeprefix("sigmabench_") for name in shown} == {
            n for n in ours if n.startswith(family)
        }
    graph = Graph("flow", batch=2)
    sigmas = graph.add("sigmas", "SigmabenchSigmas_trailing", model=graph.model, steps=4, denoise=1.0)
    graph.sample("node", sampler(graph, "dpmpp_2m"), sigmas)
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
        made = graph.add(f"sampler_{name}", f"SigmabenchSampler_{name}", **defaults(ours[f"SigmabenchSampler_{name}"]))
        graph.sample(name, made, sigmas, graph.cfg(1.0))
    graph.sample("theirs", sigmas=sigmas, guider=graph.cfg(1.0))
    found = live.run(graph)
    size = np.abs(found["theirs"]).mean()
    for name in names:
        assert np.isfinite(found[name]).all(), name
        assert 0.2 * size < np.abs(found[name]).mean() < 5 * size, name


# --- guidance


def guided(graph, live, kind, **settings):
    """The same method as a guider and as a patch on the model with KSampler's cfg."""
    scale = settings.get("scale", 5.0)
    info = {
        name: live.get(f"/object_info/Sigmabench{name}_{kind}")[f"Sigmabench{name}_{kind}"]
        for name in ("Guider", "Model")
    }
    conds = {"positive": ["positive", 0], "negative": ["negative", 0], "empty": ["empty", 0], "middle": ["middle", 0]}
    graph.add("empty", "CLIPTextEncode", text="", clip=["loader", 1])
    graph.add("middle", "CLIPTextEncode", text="a fox", clip=["loader", 1])
    given = {"model": graph.model, **conds, "guidance": graph.cfg(scale), **settings}
    guider = graph.add(
        "guider",
        f"SigmabenchGuider_{kind}",
        **{**defaults(info["Guider"], **given), **settings_in(info["Guider"], settings)},
    )
    patch = graph.add(
        "patch",
        f"SigmabenchModel_{kind}",
        **{**defaults(info["Model"], **given), **settings_in(info["Model"], settings)},
    )
    by_patch = graph.add(
        "by_patch", "CFGGuider", model=patch, positive=conds["positive"], negative=conds["negative"], cfg=scale
    )
    return guider, by_patch


def settings_in(info, settings):
    return {name: value for name, value in settings.items() if name in info["input"]["required"]}


@pytest.mark.parametrize("kind", ["vp", "zsnr", "flow"])
def test_every_guidance_is_the_same_as_guider_and_as_patch_and_not_plain_cfg(live, ours, kind):
    graph = kind_of_model(kind, size=32)
    sigmas = graph.add("sigmas", "SigmabenchSigmas_trailing", model=graph.model, steps=3, denoise=1.0)
    graph.sample("plain", sigmas=sigmas, guider=graph.cfg(6.0))
    names = [name.removeprefix("SigmabenchGuider_") for name in ours if name.startswith("SigmabenchGuider_")]
    for name in names:
        part = kind_of_model(kind, size=32)
        guider, patch = guided(part, live, name, scale=6.0)
        graph.update({f"{name}_{key}": value for key, value in renamed(part, name).items()})
        graph.sample(f"{name}_as_guider", sigmas=sigmas, guider=[f"{name}_{guider[0]}", 0])
        graph.sample(f"{name}_as_patch", sigmas=sigmas, guider=[f"{name}_{patch[0]}", 0])
    found = live.run(graph)
    for name in names:
        assert relative(found[f"{name}_as_guider"], found[f"{name}_as_patch"]) < 1e-6, name
        assert np.isfinite(found[f"{name}_as_guider"]).all(), name
        if name != "cfg":
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
