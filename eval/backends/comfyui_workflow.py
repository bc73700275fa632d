"""A workflow in ComfyUI's API format and the slots in it."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

KSAMPLER = {"sampler": "sampler_name", "scheduler": "scheduler", "steps": "steps", "cfg": "cfg", "seed": "seed"}


class Workflow:
    """The graph of a file, and the places of its slots.

    Args:
        slots: NODE.INPUT by slot; empty ones are looked for.

    Raises:
        FileNotFoundError, ValueError: naming the file or the slot and what is in the workflow.
    """

    def __init__(self, path: str, slots: Mapping[str, str]) -> None:
        self.graph = _read(path)
        self.places = {name: self._place(name, slot) for name, slot in slots.items()}

    def filled(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The graph with these values in its slots."""
        graph = copy.deepcopy(self.graph)
        for name, value in values.items():
            node, field = self.places[name]
            graph[node]["inputs"][field] = value
        return graph

    def kind(self, slot: str) -> tuple[str, str]:
        """The class of the slot's node, and its input."""
        node, field = self.places[slot]
        return self.graph[node]["class_type"], field

    def _place(self, name: str, slot: str) -> tuple[str, str]:
        if not slot:
            return self._found(name)
        node, _, field = slot.rpartition(".")
        titles = {key: part.get("_meta", {}).get("title") for key, part in self.graph.items()}
        named = [key for key, title in titles.items() if node in (key, title)]
        if len(named) != 1 or field not in self.graph[named[0]]["inputs"]:
            known = ", ".join(f"{key}.{field}" for key, part in self.graph.items() for field in part["inputs"])
            raise ValueError(f"{name} = {slot!r}: no such input of one node; the workflow has {known}")
        return named[0], field

    def _found(self, name: str) -> tuple[str, str]:
        samplers = [key for key, part in self.graph.items() if part["class_type"] in ("KSampler", "KSamplerAdvanced")]
        if len(samplers) != 1:
            raise ValueError(
                f"{name}: the workflow has {len(samplers)} KSampler nodes; say which input, as in {name}='3.x'"
            )
        node = samplers[0]
        if name != "prompt":
            field = "noise_seed" if name == "seed" and "noise_seed" in self.graph[node]["inputs"] else KSAMPLER[name]
            return node, field
        while "text" not in self.graph[node]["inputs"]:
            inputs = self.graph[node]["inputs"]
            link = inputs.get("positive") or inputs.get("conditioning")
            if not isinstance(link, list):
                raise ValueError(
                    "prompt: no text behind the KSampler's positive conditioning; say which, as prompt='6.text'"
                )
            node = str(link[0])
        return node, "text"


def _read(path: str) -> dict[str, Any]:
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"workflow = {path!r}: no such file; save one in ComfyUI with Workflow > Export (API)")
    graph = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(graph, dict) or not all(
        isinstance(part, dict) and "class_type" in part for part in graph.values()
    ):
        raise ValueError(f"workflow = {path!r}: not in API format; save it in ComfyUI with Workflow > Export (API)")
    return graph
