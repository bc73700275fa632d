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
