"""A workflow in ComfyUI's API format, its slots found or named."""

import json

import pytest

from sigmabench.eval.backends.comfyui_workflow import Workflow
from sigmabench.plugins.registry import build

SLOTS = dict.fromkeys(("sampler", "scheduler", "steps", "cfg", "seed", "prompt"), "")
GRAPH = {
    "3": {"class_type": "KSampler", "inputs": {"seed": 1, "steps": 20, "cfg": 8, "sampler_name": "euler",
          "scheduler": "normal", "positive": ["9", 0], "negative": ["7", 0]}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "x", "clip": ["4", 1]}, "_meta": {"title": "Prompt"}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "bad", "clip": ["4", 1]}},
    "9": {"class_type": "ConditioningSetTimestepRange", "inputs": {"conditioning": ["6", 0], "start": 0.0}},
}  # fmt: skip


def workflow(tmp_path, graph=GRAPH, **slots):
    (tmp_path / "w.json").write_text(json.dumps(graph))
    return Workflow(str(tmp_path / "w.json"), {**SLOTS, **slots})


def test_slots_of_the_only_ksampler_and_the_text_behind_it_are_found(tmp_path):
    values = {"sampler": "heun", "scheduler": "karras", "steps": 5, "cfg": 2.0, "seed": 9, "prompt": "a cat"}
    graph = workflow(tmp_path).filled(values)
    filled = {"sampler_name": "heun", "scheduler": "karras", "steps": 5, "cfg": 2.0, "seed": 9}
    assert {name: graph["3"]["inputs"][name] for name in filled} == filled
    assert (graph["6"]["inputs"]["text"], graph["7"]["inputs"]["text"]) == ("a cat", "bad")
    assert GRAPH["3"]["inputs"]["steps"] == 20


def test_slots_are_named_by_number_or_title(tmp_path):
    assert workflow(tmp_path, prompt="7.text").places["prompt"] == ("7", "text")
    assert workflow(tmp_path, prompt="Prompt.text").places["prompt"] == ("6", "text")


@pytest.mark.parametrize(
    ("graph", "slots", "message"),
    [
        (GRAPH, {"steps": "3.stps"}, "steps = '3.stps': no such input of one node; the workflow has 3.seed, 3.steps"),
        ({**GRAPH, "5": GRAPH["3"]}, {}, "the workflow has 2 KSampler nodes; say which input"),
        ({"nodes": []}, {}, "not in API format; save it in ComfyUI"),
    ],
)
def test_what_is_no_slot_is_said(tmp_path, graph, slots, message):
    with pytest.raises(ValueError, match=message):
        workflow(tmp_path, graph, **slots)


def test_a_server_that_is_not_there_is_named(tmp_path):
    workflow(tmp_path)
    backend = build("backend", f"comfyui(workflow={str(tmp_path / 'w.json')!r}, url='http://127.0.0.1:9')")
    with pytest.raises(ValueError, match=r"no ComfyUI answers there .* start it first"):
        backend.load()
    with pytest.raises(FileNotFoundError, match="no such file; save one in ComfyUI"):
        build("backend", "comfyui(workflow='nowhere.json')").load()
