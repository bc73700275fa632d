"""Sweeps in a real ComfyUI: in its graph, and over its API.

Runs against the checkout that COMFYUI_DIR names, with the Python that COMFYUI_PYTHON names.
"""

import dataclasses
import json

import numpy as np
import pytest
from live_comfyui import NEEDS_HOST, Graph, HostError, listen, ours_in
from PIL import Image
from safetensors.numpy import load_file

from sigmabench.eval.runner import Runner
from sigmabench.eval.sweep import Sweep
from sigmabench.plugins.registry import build

pytestmark = NEEDS_HOST


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


INSIDE = [
    "pag(guidance=cfg(2.5))", "freeu(by='channels', guidance=cfg(2.5))", "swg(guidance=cfg(2.5))", "s_cfg(scale=2.5)",
    "cads(clean=0.1, guidance=cfg(2.5))", "icg(guidance=cfg(2.5))", "tsg(guidance=cfg(2.5))",
]  # fmt: skip


@pytest.mark.parametrize(("model", "guidance"), [("vp", "cfg"), ("flow", "cfg"), *(("wide", one) for one in INSIDE)])
def test_images_of_a_sweep_are_those_of_sampling_in_the_graph(live, model, guidance):
    """Seed, noise, model, guidance and decoding agree: the best setting's outputs make the very images of its cell."""
    folder = f"sigmabench/one_{model}_{INSIDE.index(guidance) if guidance in INSIDE else guidance}"
    scales = "2.5" if guidance == "cfg" else ""
    one = {"samplers": "dpmpp_2m", "steps": "4", "scales": scales, "guidance": guidance, "positive": ["positive", 0]}
    graph = sweep_graph(live, model, **one, folder=folder)
    del graph["Sweep"]["inputs"]["prompts"]
    noise = graph.add("ours_noise", "SigmabenchNoise", noise_seed=0)
    guider = guider_of(graph, live, guidance, ["Sweep", 6])
    end = graph.sample("latents", ["Sweep", 4], ["Sweep", 5], guider, noise)
    decoded = graph.add("decoded", "VAEDecode", samples=end, vae=["loader", 2])
    graph.add("images", "SaveImage", images=decoded, filename_prefix="again")
    found = live.run(graph)["images"]["images"]
    sampled = np.stack([np.asarray(Image.open(live.base / "output" / image["filename"])) for image in found])
    (shard,) = (live.base / "output" / folder).glob("cells/*/*.safetensors")
    swept = load_file(shard)["preview"].transpose(0, 2, 3, 1)
    assert np.abs(sampled.astype(int) - swept.astype(int)).max() <= 2


def guider_of(graph, live, guidance, scale):
    """The node of a method with the settings of a sweep, around ComfyUI's guider or of its own."""
    method = build("guidance", guidance)
    conds = {"model": graph.model, "positive": ["positive", 0], "negative": ["negative", 0]}
    plain = graph.add("again", "CFGGuider", **conds, cfg=scale)
    name = guidance.partition("(")[0]
    if name == "cfg":
        return plain
    own = {field.name: getattr(method, field.name) for field in dataclasses.fields(method)}
    return ours_in(graph, live, f"Guider_{name}", **{**conds, **own, "guidance": plain, "scale": own.get("scale")})


def test_a_sweep_says_what_a_transformer_cannot_serve_and_runs_the_rest(live):
    graph = sweep_graph(live, guidance="freeu, cfg", steps="2", folder="sigmabench/refused")
    graph.add("best", "PreviewAny", source=["Sweep", 1])
    found = live.run(graph)
    assert "Not run: freeu" in found["best"]["text"][0]
    assert "MMDiT is no U-Net" in found["best"]["text"][0]
    assert "| cfg" in found["table"]["text"][0]
    graph = sweep_graph(live, guidance="freeu", folder="sigmabench/refused")
    with pytest.raises(HostError, match=r"no cell of this sweep can be run.* MMDiT is no U-Net"):
        live.run(graph)


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
