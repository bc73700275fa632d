"""Sweeps of the embedded model to be timed, and its network and observers with nothing around them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ..cells import samples
from ..engine import produce
from ..jobs import Job
from ..results import results
from ..runner import Runner
from ..store import Store
from ..sweep import load_sweep

PROMPTS = ["a photo of a cat", "a photo of a ship", "a photo of a frog", "a photo of a truck"]


class Swept:
    """A prepared sweep that can be run again and again; with guidance, so that a step costs two rows an image."""

    def __init__(
        self, samplers: Sequence[str], steps: int, images: int, batch: int, device: str, **further: Any
    ) -> None:
        fields = {
            "samplers": list(samplers), "steps": steps, "guidance": "cfg(3)", "images": images, "batch_size": batch,
            "device": device, "prompts": PROMPTS, "metrics": ["fd", "clip_score"], **further,
        }  # fmt: skip
        self.sweep = load_sweep(None, fields)
        self.runner = Runner(self.sweep, Path(tempfile.gettempdir(), "sigmabench-not-written"))
        prepared = self.runner.prepared
        self.model: Any = prepared.load(self.sweep.models[0])
        self.cells, self.observers = [planned.cell for planned in prepared.plan.runnable], prepared.observers
        self.batch, self.device = batch, device

    def run(self) -> None:
        """All of it, observations and files included."""
        with tempfile.TemporaryDirectory() as folder:
            self._run(Path(folder))

    def numbers(self) -> pd.DataFrame:
        """All of it, and every cell's numbers with their intervals, comparisons and standings."""
        with tempfile.TemporaryDirectory() as folder:
            self._run(Path(folder))
            return results(self.runner.plan, Store(Path(folder)))

    def _run(self, folder: Path) -> None:
        if failed := self.runner.elsewhere(folder).run(lambda images, cell: None).failed:
            raise RuntimeError(f"nothing was measured: {failed}")

    def sample(self) -> int:
        """The engine alone; returns how many rows the network was asked for, shared ones counted once for each cell."""
        rows = 1 if self.device == "cpu" else 2 * self.batch
        starts = range(0, self.sweep.images, self.batch)
        drawn = [samples(self.sweep, PROMPTS, i, min(i + self.batch, self.sweep.images)) for i in starts]
        jobs = (Job(cell, part) for part in drawn for cell in self.cells)
        return sum(done.evaluations for done in produce(self.model, jobs, self.device, rows))

    def forward(self, rows: int) -> Callable[[], object]:
        """One call of the network, ready to go."""
        x = torch.randn(rows, *self.model.shape, device=self.device).contiguous(memory_format=torch.channels_last)
        times = torch.full((rows,), 500.0, device=self.device)
        states = self.model.encode([PROMPTS[i % len(PROMPTS)] for i in range(rows)])["encoder_hidden_states"]

        @torch.no_grad()
        def run() -> object:
            return self.model.network(x, times, encoder_hidden_states=states, return_dict=False)

        return run

    def observe(self, images: int) -> Callable[[], object]:
        """Every observer on so many images."""
        pixels = torch.randint(0, 256, (images, 3, 32, 32), dtype=torch.uint8, device=self.device)
        prompts = [PROMPTS[i % len(PROMPTS)] for i in range(images)]
        return lambda: [observer(pixels, prompts) for observer in self.observers]
