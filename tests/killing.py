"""Workers killed at random moments, again and again: what is lost, what is made twice, and what is left in the end.

    python tests/killing.py --cells 40 --images 250 --kills 200     # 10,000 shards; some minutes

Each image is a shard of its own. Workers are forked from a process that has imported everything, so that a new one is
at work after some milliseconds; from there on they are what ``sigmabench join`` starts, and SIGKILL ends them anywhere.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import signal
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from safetensors import safe_open
from safetensors.numpy import load_file

from sigmabench.eval.claims import Claims
from sigmabench.eval.runner import Runner
from sigmabench.eval.store import Store
from sigmabench.eval.sweep import Sweep
from sigmabench.eval.workers import join

BEGUN, ENDED = "begun.log", "ended.log"
CLOCKED = ("seconds", "batches")  # metadata that no two runs have in common


class Toll(NamedTuple):
    """What the kills have cost."""

    kills: int
    shards: int
    lost: int
    """Finished shards that vanished or changed afterwards."""
    repeated: int
    """Shards that were begun again after they had been finished."""
    begun_again: int
    """Shards that a kill hit in the making, so that another worker made them."""
    seconds: float


def sweep(cells: int, images: int, size: int = 8) -> Sweep:
    """So many cells, whose images are a shard each."""
    return Sweep(
        models=[f"gaussian_mixture(size={size})"], samplers=["euler"], steps=[3],
        scales=[1 + i / 10 for i in range(cells)], prompts=["a cat", "a dog"], images=images, metrics=["luminance"],
        shard_size=1, batch_size=1, device="cpu",
    )  # fmt: skip


def endure(folder: Path, run: Sweep, kills: int, workers: int = 3, seed: int = 0) -> Toll:
    """Run a sweep by workers of which one is killed, a moment later, each time a random number of shards is there."""
    context, draw = multiprocessing.get_context("forkserver"), random.Random(seed)
    context.set_forkserver_preload(["killing", "killing_warm"])
    runner = Runner(run, folder)
    cells = runner.plan.runnable
    runner.begin(cells, run.images)
    marks = sorted(draw.sample(range(len(cells) * run.images * 9 // 10), kills))
    began, lost, states = time.monotonic(), 0, dict[str, int]()
    alive = [_start(context, folder) for _ in range(workers)]
    while any(worker.is_alive() for worker in alive):
        now = _published(folder)
        lost += sum(now.get(name) != state for name, state in states.items())
        states = now
        time.sleep(draw.uniform(0, 0.02))
        if marks and len(states) >= marks[0]:
            marks.pop(0)
            victim = draw.randrange(workers)
            alive[victim].kill()
            alive[victim].join()
            assert alive[victim].exitcode == -signal.SIGKILL, "it had ended by itself"
            alive[victim] = _start(context, folder)
    assert all(worker.exitcode == 0 for worker in alive), "a worker failed; see the folder workers"
    begun, ended = (_lines(folder / log) for log in (BEGUN, ENDED))
    return Toll(
        kills - len(marks), len(_published(folder)), lost, len(ended) - len(set(ended)), len(begun) - len(ended),
        round(time.monotonic() - began, 1),
    )  # fmt: skip


def content(folder: Path) -> dict[str, object]:
    """Everything that a run has left in its cells but the time it took: names, bytes of every array, metadata."""
    found: dict[str, object] = {}
    for path in sorted(folder.glob("cells/*/[!.]*")):
        name = str(path.relative_to(folder))
        if path.suffix != ".safetensors":
            found[name] = path.read_bytes()
            continue
        with safe_open(path, "numpy") as file:
            found[name] = {key: value for key, value in file.metadata().items() if key not in CLOCKED}
        found |= {f"{name}/{key}": array.tobytes() for key, array in load_file(path).items()}
    return found


def _start(context: multiprocessing.context.BaseContext, folder: Path) -> multiprocessing.Process:
    worker = context.Process(target=_work, args=(folder,))
    worker.start()
    return worker


def _work(folder: Path) -> None:
    """What ``sigmabench join`` does, with a note of each shard when it is claimed and when it is published."""
    take, put, release = Claims.take, Store.put, Claims.release
    claimed: set[str] = set()

    def taking(self: Claims, name: str) -> bool:
        if held := take(self, name):
            claimed.add(name)
            _note(folder / BEGUN, name)
        return held

    def putting(self: Store, cell, start, observations, metadata) -> None:
        put(self, cell, start, observations, metadata)
        name = f"{cell.key}-{start:07d}-{start + 1:07d}"
        claimed.discard(name)
        _note(folder / ENDED, name)

    def releasing(self: Claims, name: str) -> None:
        if name in claimed:  # found published: nothing was made
            claimed.discard(name)
            _note(folder / ENDED, f"{name} by another at {time.monotonic_ns()}")
        release(self, name)

    Claims.take, Store.put, Claims.release = taking, putting, releasing
    join(str(folder))


def _note(log: Path, line: str) -> None:
    """A line in one write, whole whatever comes."""
    handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{line}\n".encode())
    os.close(handle)


def _lines(log: Path) -> list[str]:
    return log.read_text().splitlines()


def _published(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.glob("cells/*/0*.safetensors")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=40)
    parser.add_argument("--images", type=int, default=250, help="shards a cell")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--workers", type=int, default=3)
    options = parser.parse_args()
    run = sweep(options.cells, options.images)
    with tempfile.TemporaryDirectory() as folder:
        killed, alone = Path(folder, "killed"), Path(folder, "alone")
        toll = endure(killed, run, options.kills, options.workers)
        Runner(run, alone).run(lambda images, cell: None)
        print(json.dumps({**toll._asdict(), "equal": content(killed) == content(alone)}))


if __name__ == "__main__":
    main()
