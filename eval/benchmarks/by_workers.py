"""The same cells by one process and by two workers: a worker's start, and the work apart from it.

On a CPU a worker has its share of the cores; one core's work is compared, so that two workers are two cores.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..runner import Runner
from ..sweep import Sweep
from ..workers import Local, run_with
from .row import Row
from .start import of_children
from .timing import spread, timed

SAME = 1.1


class Taken(NamedTuple):
    """Of some processes: seconds of the clock, and of their CPUs together."""

    clock: float
    cpu: float


def by_workers(fields: Mapping[str, Any]) -> Iterator[Row]:
    """
    Args:
        fields: of the sweep.
    """
    runner = Runner(Sweep(**fields), Path())
    with tempfile.TemporaryDirectory() as folder:
        alone = timed(lambda: _run(runner.elsewhere(Path(folder))), runner.device)
    with tempfile.TemporaryDirectory() as folder:
        both, start = (_two(runner.elsewhere(Path(folder))) for _ in range(2))  # the second finds nothing left to do
    said = f"start {start.clock:.1f} s, then {both.clock - start.clock:.1f} s"
    what = "two workers' speed, as a multiple of one process that is ready"
    yield Row(what, "by the clock, the start apart", spread([alone / (both.clock - start.clock)]), None, ours=said,
              theirs=f"{alone:.1f} s", at_most=False)  # fmt: skip
    if runner.device == "cpu":
        work = both.cpu - start.cpu
        what = "two workers' work in all, beside that of one process"
        yield Row(what, "CPU seconds, the start apart", spread([work / alone]), SAME, ours=f"{work:.1f} s",
                  theirs=f"{alone:.1f} s")  # fmt: skip


def _run(runner: Runner) -> None:
    if failed := runner.run(lambda images, cell: None).failed:
        raise RuntimeError(f"nothing was measured: {failed}")


def _two(runner: Runner) -> Taken:
    clock, cpu = time.perf_counter(), of_children()
    run_with(Local(2), runner, runner.plan.runnable, runner.sweep.images, lambda images, cell: None)
    return Taken(time.perf_counter() - clock, of_children() - cpu)
