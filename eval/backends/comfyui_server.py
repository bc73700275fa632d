"""A ComfyUI server as a model that draws by itself: settings in, images out."""

from __future__ import annotations

import hashlib
import io
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ...plugins.registry import build, find
from ...samplers.schedules import ScaledLinear
from ..protocols import Condition, Sample
from .comfyui_workflow import Workflow

if TYPE_CHECKING:
    from ...samplers.level import Level
    from ..cells import Cell
    from .comfyui import ComfyUI

POLL = 0.05  # seconds between two looks whether an image is there
OURS = "sigmabench_"


class ServerModel:
    """Draws whole images; it cannot be asked for a prediction.

    Raises:
        FileNotFoundError, ValueError: for a workflow or a server that cannot be used.
    """

    def __init__(self, settings: ComfyUI) -> None:
        slots = {name: getattr(settings, name) for name in ("sampler", "scheduler", "steps", "cfg", "seed", "prompt")}
        self.settings, self.workflow = settings, Workflow(settings.workflow, slots)
        content = json.dumps(self.workflow.graph, sort_keys=True).encode()
        self.id = f"comfyui/{hashlib.blake2b(content, digest_size=4).hexdigest()}"
        self.names = {slot: self._choices(slot) for slot in ("sampler", "scheduler")}
        self.schedule, self.prediction, self.shape, self.network = ScaledLinear(), "v", (3,), torch.nn.Identity()

    def check(self, cell: Cell) -> None:
        """
        Raises:
            ValueError: for settings of a cell that the server cannot be told.
        """
        self._values(cell, Sample(0, 0, ""))

    def draw(self, cell: Cell, samples: Sequence[Sample]) -> Tensor:
        """Images of these samples, uint8 (B, 3, H, W)."""
        return torch.stack([self._image(self.workflow.filled(self._values(cell, sample))) for sample in samples])

    def encode(self, prompts: Sequence[str]) -> Condition:
        raise NotImplementedError("a ComfyUI server draws whole images")

    def denoise(self, x: Tensor, levels: Sequence[Level], condition: Condition) -> Tensor:
        raise NotImplementedError("a ComfyUI server draws whole images")

    def decode(self, x: Tensor) -> Tensor:
        """They are images already."""
        return x

    def _values(self, cell: Cell, sample: Sample) -> dict[str, Any]:
        guidance = build("guidance", cell.guidance)
        if cell.guidance.partition("(")[0] != "cfg" or cell.schedule != "model":
            raise ValueError(
                f"{cell.guidance} on schedule {cell.schedule}: a ComfyUI server is told a cfg scale alone; use cfg"
            )
        names = {"sampler": self._named("sampler", cell.sampler), "scheduler": self._named("spacing", cell.spacing)}
        return {**names, "steps": cell.steps, "cfg": guidance.scale, "seed": sample.seed, "prompt": sample.prompt}

    def _named(self, kind: str, text: str) -> str:
        """The server's name: ours where it has our nodes, else its own for the same method."""
        known, entry = self.names["sampler" if kind == "sampler" else "scheduler"], find(kind, text.partition("(")[0])
        aliases = [alias.removeprefix("sample_") for alias in entry.aliases]
        found = next((name for name in (OURS + entry.name, entry.name, *aliases) if name in known), None)
        if found is None or "(" in text:
            raise ValueError(
                f"{kind} {text}: the server's list has no such name (a list knows no settings); "
                f"it has {', '.join(known)}"
            )
        return found

    def _choices(self, slot: str) -> list[str]:
        kind, field = self.workflow.kind(slot)
        spec = json.loads(self._get(f"/object_info/{kind}"))[kind]["input"]["required"][field]
        return spec[0] if isinstance(spec[0], list) else spec[1]["options"]

    def _image(self, graph: dict[str, Any]) -> Tensor:
        prompt = json.loads(self._get("/prompt", {"prompt": graph}))["prompt_id"]
        deadline = time.monotonic() + self.settings.timeout
        while not (history := json.loads(self._get(f"/history/{prompt}"))):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.settings.url} took more than {self.settings.timeout:g} s for an image")
            time.sleep(POLL)
        outputs = history[prompt]["outputs"].values()
        found = next((image for output in outputs for image in output.get("images", [])), None)
        if found is None:
            messages = dict(history[prompt]["status"]["messages"])
            said = messages.get("execution_error", {}).get("exception_message", "the workflow saves no image")
            raise ValueError(f"{self.settings.url} made no image: {said.strip()}")
        from PIL import Image

        query = urllib.parse.urlencode({key: found[key] for key in ("filename", "subfolder", "type")})
        pixels = np.asarray(Image.open(io.BytesIO(self._get(f"/view?{query}"))).convert("RGB"))
        return torch.from_numpy(pixels.copy()).permute(2, 0, 1)

    def _get(self, path: str, data: Any = None) -> bytes:
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(
            self.settings.url.rstrip("/") + path, body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return reply.read()
        except urllib.error.HTTPError as error:
            raise ValueError(f"{self.settings.url} refused the workflow: {error.read().decode()[:500]}") from error
        except OSError as error:
            raise ValueError(
                f"url = {self.settings.url!r}: no ComfyUI answers there ({error}); start it first"
            ) from error
