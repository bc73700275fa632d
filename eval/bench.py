"""``make bench``: what a step costs beside the network, here and in the peers, in one process.

The network answers at once, so the time is the sampler's own. Every contestant runs the same number of steps on the
same tensor, in turns, and the median over the rounds is kept: ratios hold on a busy machine, absolute times do not.
"""

from __future__ import annotations

import copy
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from ..plugins.registry import build
from ..samplers.run import sample
from .provenance import device_name, versions

STEPS, ROUNDS = 50, 30
METHODS = {
    "euler": "EulerDiscreteScheduler",
    "heun": "HeunDiscreteScheduler",
    "dpmpp_2m": "DPMSolverMultistepScheduler",
}
Prepare = Callable[[], Callable[[], object]]
"""Makes a fresh run, ready to go; the making is not timed."""


def main() -> None:
    """Measure, print the table and write it to reports/benchmarks/overhead-cpu.json."""
    torch.set_num_threads(1)
    rows = {method: measure(method) for method in METHODS}
    table = Table(
        "sampler", "sigmabench", "diffusers", "ratio", title=f"microseconds a step, median of {ROUNDS} rounds"
    )
    for method, row in rows.items():
        ratio = row["sigmabench"] / row["diffusers"]
        table.add_row(method, f"{row['sigmabench']:.1f}", f"{row['diffusers']:.1f}", f"{ratio:.2f}")
    Console().print(table)
    folder = Path(__file__).resolve().parent.parent / "reports" / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    about = {"steps": STEPS, "rounds": ROUNDS, "device": device_name("cpu"), "threads": 1, **versions()}
    (folder / "overhead-cpu.json").write_text(json.dumps({"microseconds_per_step": rows, **about}, indent=1) + "\n")


def measure(method: str) -> dict[str, float]:
    """Median microseconds a step of each contestant."""
    contestants = {"sigmabench": ours(method), "diffusers": diffusers(method)}
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, prepare in contestants.items():
            run = prepare()
            began = time.perf_counter()
            run()
            times[name].append((time.perf_counter() - began) / STEPS * 1e6)
    return {name: statistics.median(values) for name, values in times.items()}


def ours(method: str) -> Prepare:
    """Through the public API; the null model returns its input."""
    sampler = build("sampler", method)
    levels = build("spacing", "karras")(build("schedule", "scaled_linear"), STEPS)
    x = torch.randn(1, 3, 32, 32)

    def denoiser(x: torch.Tensor, level: object) -> torch.Tensor:
        return x

    return lambda: lambda: sample(sampler, denoiser, x, levels)


def diffusers(method: str) -> Prepare:
    """The scheduler's own loop, over timesteps that are set already."""
    import diffusers as library

    scheduler = getattr(library, METHODS[method])(beta_start=0.00085, beta_end=0.012, use_karras_sigmas=True)
    scheduler.set_timesteps(STEPS)
    start = torch.randn(1, 3, 32, 32)

    def prepare() -> Callable[[], object]:
        fresh = copy.deepcopy(scheduler)

        def run() -> torch.Tensor:
            x = start
            for t in fresh.timesteps:
                x = fresh.step(fresh.scale_model_input(x, t), t, x, return_dict=False)[0]
            return x

        return run

    return prepare


if __name__ == "__main__":
    main()
