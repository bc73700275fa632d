"""How long the command takes before it does anything: the CPU time of whole processes."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial

from .row import Row, compared

ROUNDS, GOAL = 5, 0.05
IMPORTS = ("-c", "import torch, diffusers")
COMMANDS = {"sigmabench --help": ("-m", "sigmabench", "--help"), "sigmabench list": ("-m", "sigmabench", "list")}


def rows(device: str) -> Iterator[Row]:
    runs: dict[str, Callable[[], float]] = {what: partial(of_process, *given) for what, given in COMMANDS.items()}
    runs["theirs"] = partial(of_process, *IMPORTS)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(ROUNDS + 1):
        for name, run in runs.items():
            seconds = run()
            if number:  # the first finds no compiled files, and no catalogue kept
                times[name].append(seconds)
    for what in COMMANDS:
        yield compared(what, "import torch, diffusers", times[what], times["theirs"], GOAL, ("ms", 1e3))


def of_process(*arguments: str) -> float:
    """CPU seconds of a Python of its own with these arguments."""
    before = of_children()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return of_children() - before


def of_children() -> float:
    """CPU seconds of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
