"""``--workers``: the same run by many processes, on this machine, on a Ray cluster or through Slurm.

    4, local(count=4)                                   processes on this machine, a GPU each where there are GPUs
    ray(count=8)                                        tasks of a Ray cluster: pip install 'sigmabench[ray]'
    slurm(count=8, partition=gpu, minutes=240)          jobs of a Slurm cluster: pip install 'sigmabench[slurm]'

A launcher starts workers and looks after nothing else. What is done, claimed or failed stands in the run's folder,
which all machines must see under the same path. A worker that dies loses the shard it was making; another one makes it.
"""

from __future__ import annotations

import atexit
import importlib
import os
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from ..plugins.expression import parse
from ..samplers.settings import setting, settings
from .cells import Planned
from .errors import UsageError
from .making import Outcome, Progress
from .plans import load_plan
from .runner import Runner
from .store import write_atomic
from .watch import Watch

POLL = 1.0  # seconds between two looks at a run that others make
LOGS = "workers"  # folder of the run in which workers leave the errors that ended them

Running = Callable[[], int]
"""How many of the workers that were started still run."""


class Launcher(Protocol):
    """Settings of one way to start workers."""

    @property
    def count(self) -> int:
        """How many are started."""
        ...

    def start(self, folder: Path, device: str) -> Running:
        """Start ``count`` workers that each ``join`` the run in the folder."""
        ...


@settings
class Local:
    """Processes on this machine."""

    count: int = setting(2, low=1, high=1024, help="processes; each takes its share of the cores and one GPU in turn")

    def start(self, folder: Path, device: str) -> Running:
        workers = [
            subprocess.Popen([sys.executable, "-m", "sigmabench", "join", str(folder)], env=environment)
            for environment in self._environments(device)
        ]
        for worker in workers:
            atexit.register(worker.terminate)  # none goes on without the command that started it
        return lambda: sum(worker.poll() is None for worker in workers)

    def _environments(self, device: str) -> Iterator[dict[str, str]]:
        """The variables of each worker: an equal share of the cores, the GPUs in turn."""
        threads = max(1, (os.cpu_count() or 1) // self.count)
        shown = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        gpus = [gpu for gpu in shown if gpu] or [str(i) for i in range(torch.cuda.device_count())]
        for i in range(self.count):
            gpu = {"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)]} if device == "cuda" else {}
            yield {**os.environ, "OMP_NUM_THREADS": str(threads), **gpu}


@settings
class Ray:
    """Tasks of a Ray cluster, or of one started on this machine. Moritz et al. 2018, arXiv:1712.05889."""

    count: int = setting(2, low=1, high=100_000, help="tasks")
    cpus: float = setting(1.0, low=0.0, high=1024.0, help="cores a task asks for")
    address: str = setting("", help="of the cluster; empty: that of the environment, or a new one here")

    def start(self, folder: Path, device: str) -> Running:
        ray = _require("ray")
        here = self.address or os.environ.get("RAY_ADDRESS")
        ray.init(address=here, ignore_reinit_error=True, **({} if here else {"include_dashboard": False}))
        gpus = 1 if device == "cuda" else 0
        task = ray.remote(num_cpus=self.cpus, num_gpus=gpus, max_retries=3)(join)
        waiting = [task.remote(str(folder)) for _ in range(self.count)]
        return lambda: len(ray.wait(waiting, num_returns=len(waiting), timeout=0)[1])


@settings
class Slurm:
    """Jobs of a Slurm cluster, one GPU each where the sweep uses GPUs. https://github.com/facebookincubator/submitit."""

    count: int = setting(2, low=1, high=1000, help="jobs")
    partition: str = setting("", help="empty: the cluster's default")
    minutes: int = setting(240, low=1, high=100_000, help="after which a job ends; another run goes on from there")
    cluster: str = setting("slurm", choices=("slurm", "local"), help="local: processes here, to try it out")

    def start(self, folder: Path, device: str) -> Running:
        submitit = _require("submitit", extra="slurm")
        executor = submitit.AutoExecutor(folder=folder / "slurm", cluster=self.cluster)
        options = {"slurm_partition": self.partition} if self.partition else {}
        gpus = {"gpus_per_node": 1} if device == "cuda" else {}
        executor.update_parameters(name="sigmabench", timeout_min=self.minutes, **gpus, **options)
        jobs = [executor.submit(join, str(folder)) for _ in range(self.count)]
        return lambda: sum(not job.done() for job in jobs)


LAUNCHERS: dict[str, type[Any]] = {"local": Local, "ray": Ray, "slurm": Slurm}


def launcher(text: str) -> Launcher:
    """
    Raises:
        UsageError: for anything but a number of processes or one of ``LAUNCHERS`` with its settings.
    """
    try:
        call = parse(f"local({text})" if text.strip().isdigit() else text)
        if call.name not in LAUNCHERS:
            raise ValueError(f"unknown launcher {call.name!r}; legal are a number, {', '.join(LAUNCHERS)}")
        named = {name: getattr(value, "name", value) for name, value in call.named.items()}
        return LAUNCHERS[call.name](*call.positional, **named)
    except (ValueError, TypeError) as error:
        raise UsageError(f"--workers {text}: {error}") from error


def run_with(workers: Launcher, runner: Runner, cells: Sequence[Planned], images: int, progress: Progress) -> Outcome:
    """``runner.extend`` by workers: returns when the last of them has ended."""
    store = runner.begin(cells, images)
    outcome = Outcome(kept=runner.kept(store, cells, images, progress))
    watch = Watch(store, cells, images)
    running = workers.start(runner.folder.resolve(), runner.device)
    while running():
        time.sleep(POLL)
        watch.look(progress)
    watch.look(progress, closely=True)
    counts = {planned.cell.key: runner.have(store, planned.cell, images) for planned in cells}
    outcome.made = sum(counts.values()) - outcome.kept
    for planned in cells:
        if counts[planned.cell.key] < images:
            unknown = f"the workers ended before it was done; what ended them is in {runner.folder / LOGS}"
            outcome.failed[planned.cell.key] = store.failure(planned.cell) or unknown
    return outcome


def join(folder: str) -> None:
    """Help with the run in a folder until nothing is left to do: what a worker does, on any machine."""
    root = Path(folder)
    try:
        Runner(load_plan(root).sweep, root).join(lambda images, cell: None)
    except Exception:
        log = root / LOGS / f"{socket.gethostname()}-{os.getpid()}.txt"
        write_atomic(log, traceback.format_exc().encode())
        raise


def _require(module: str, extra: str = "") -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        remedy = f"pip install 'sigmabench[{extra or module}]'"
        raise UsageError(f"--workers {extra or module} needs the package {module}: {remedy}") from error
