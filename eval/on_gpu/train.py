"""The stage that trains: it starts the training in a session of its own or finds it there, and brings the newest."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import time
from pathlib import Path

from . import __name__ as package
from .learning import LOCK, snapshot
from .stages import Found, Task, read

FOLDER, LOG = "train", "log.txt"
LOOK, MARGIN = 2.0, 12.0
"""Seconds between two looks, and those at the end in which the newest weights are written."""


def train(task: Task) -> Found:
    """Until the training has ended or the time is over; the training itself goes on after this stage.

    Raises:
        RuntimeError: with the training's own error.
    """
    folder, end = task.folder / FOLDER, time.monotonic() + task.seconds - min(MARGIN, task.seconds / 4)
    folder.mkdir(parents=True, exist_ok=True)
    kinds = task.options["kinds"]
    if not learning(folder) and not all("verdict" in read(folder, f"{kind}-scores") for kind in kinds):
        (folder / "error.json").unlink(missing_ok=True)
        yield {"pid": start(task, folder)}
    while learning(folder) and time.monotonic() < end:
        yield {"state": "at work", "last": last(folder)}
        time.sleep(LOOK)
    if error := read(folder, "error").get("error"):
        raise RuntimeError(f"the training ended: {error}")
    for kind in kinds:
        if not read(folder, kind).get("finished"):
            yield {f"{kind}_step": snapshot(folder, kind)}
    verdicts = {kind: read(folder, f"{kind}-scores").get("verdict", "not yet scored") for kind in kinds}
    state = "still at work: call again to go on" if learning(folder) else "ended"
    yield {"state": state, "last": last(folder), "verdicts": verdicts}


def start(task: Task, folder: Path) -> int:
    """In a session of its own, so that it outlives this call where the machine does.

    Raises:
        ValueError: without data.
    """
    if task.data is None or not (task.data / "cifar10_train.parquet").exists():
        raise ValueError(f"--data {task.data} is no folder with cifar10_train.parquet; training needs one")
    command = [sys.executable, "-u", "-m", f"{package}.learning", str(folder), "--data", str(task.data)]
    command += ["--minutes", str(task.options["train_minutes"]), "--kinds", *task.options["kinds"]]
    command += ["--device", task.device, *(["--small"] if task.small else [])]
    with open(folder / LOG, "a", encoding="utf-8") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    while process.poll() is None and not learning(folder):
        time.sleep(0.1)  # until it holds the lock, so that nobody takes it for ended
    return process.pid


def learning(folder: Path) -> bool:
    """Whether a training holds the folder."""
    try:
        with open(folder / LOCK, "w", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def last(folder: Path) -> str:
    """The last line of its log."""
    path = folder / LOG
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    return lines[-1] if lines else ""
