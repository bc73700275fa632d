"""Stages, each in a process of its own: what overruns is stopped, what fails is recorded, and the others go on.

A stage is a function that yields what it has found, bit by bit; each bit is on the disk before the next is looked for.
So a run that is cut off, or a device that no longer answers one process, costs what was being measured and no more.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from ...reports.atomic import replace

LEAST = 5.0
"""Seconds below which a stage is not begun."""
DONE, FAILED, RUNNING, SKIPPED, STOPPED = "done", "failed", "running", "skipped", "stopped"
LINES = 40  # of a failed stage's output that its record keeps


@dataclasses.dataclass(frozen=True)
class Stage:
    """One thing to find out."""

    name: str
    call: str
    """module:function, which takes a task and yields what it finds."""
    most: float
    """Seconds after which it is stopped."""
    kept: float = 0.0
    """Seconds that the stages before it leave for it."""
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Task:
    """What a stage is told."""

    folder: Path
    """Where it writes; all stages share it."""
    device: str
    seconds: float
    """After which it is stopped."""
    small: bool = False
    """Whether to do a little of everything, to see that it works."""
    data: Path | None = None
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


Found = Iterator[Mapping[str, Any]]
Record = dict[str, Any]


def run(
    stages: Sequence[Stage], task: Task, method: str, after: Callable[[str, Record], object] = lambda name, record: None
) -> dict[str, Record]:
    """All stages within ``task.seconds``, in order; ``<name>.json`` holds each one's record.

    Args:
        method: how processes are started, as in ``multiprocessing.get_context``.
        after: told of each stage as it ends.
    """
    end, records = time.monotonic() + task.seconds, {}
    for number, stage in enumerate(stages):
        kept = sum(later.kept for later in stages[number + 1 :])
        seconds = min(stage.most, end - time.monotonic() - kept)
        if seconds < min(LEAST, stage.most):
            records[stage.name] = write(task.folder, stage.name, {"status": SKIPPED, "error": "no time was left"})
        else:
            own = dataclasses.replace(task, seconds=seconds, options={**task.options, **stage.options})
            records[stage.name] = alone(stage, own, method)
        after(stage.name, records[stage.name])
    return records


def alone(stage: Stage, task: Task, method: str) -> Record:
    """Run it in its own process and say how it ended."""
    task.folder.mkdir(parents=True, exist_ok=True)
    write(task.folder, stage.name, {"status": RUNNING})
    process: Any = multiprocessing.get_context(method).Process(target=_work, args=(stage, task))  # type: ignore[attr-defined]
    began = time.monotonic()
    process.start()
    try:
        process.join(task.seconds)
        overran = process.is_alive()
    finally:
        _end(process)
    record = read(task.folder, stage.name)
    if record["status"] == RUNNING:
        seconds = f"{task.seconds:.0f} s"
        record |= (
            {"status": STOPPED, "error": f"stopped after {seconds}; what it had found is kept"}
            if overran
            else {"status": FAILED, "error": f"its process ended with {process.exitcode}: {_last(task, stage)}"}
        )
    return write(task.folder, stage.name, {**record, "seconds": round(time.monotonic() - began, 1)})


def read(folder: Path, name: str) -> Record:
    """A stage's record; empty if it has none."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def write(folder: Path, name: str, record: Record) -> Record:
    text = json.dumps(record, indent=1, default=str)
    replace(folder / f"{name}.json", lambda part: part.write_text(text + "\n", encoding="utf-8"))
    return record


def _work(stage: Stage, task: Task) -> None:
    """In the stage's process: a session of its own, its output in a file, its findings on the disk as they come."""
    os.setsid()
    with open(task.folder / f"{stage.name}.log", "w", encoding="utf-8") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    record: Record = {"status": RUNNING}
    try:
        module, _, function = stage.call.partition(":")
        for found in getattr(importlib.import_module(module), function)(task):
            write(task.folder, stage.name, record := {**record, **found})
        record["status"] = DONE
    except BaseException:
        record |= {"status": FAILED, "error": traceback.format_exc()}
    write(task.folder, stage.name, record)
    os._exit(0)  # no wait for threads, or for a device that hangs


def _end(process: BaseProcess) -> None:
    """The process and all that it has started in its session."""
    if process.is_alive():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid or 0, signal.SIGKILL)
        process.kill()
    process.join()


def _last(task: Task, stage: Stage) -> str:
    path = task.folder / f"{stage.name}.log"
    return "\n".join(path.read_text(errors="replace").splitlines()[-LINES:]) if path.exists() else ""
