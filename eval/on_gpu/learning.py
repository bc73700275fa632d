"""Training the embedded generators within given minutes: a program of its own session, which a later call finds again.

    python -m sigmabench.eval.on_gpu.learning FOLDER --data DATA --minutes 20 --kinds v eps

The recipe is ``embedded.train_generator``'s, with larger batches and a schedule laid out for the time: samples/s are
measured first. The learning rate is 1e-3 at a batch of 512, as in Karras et al. 2022 (arXiv:2206.00364, CIFAR-10), and
grows with the square root of the batch. The first kind has 60 % of the time, and the next begins from its averaged
weights. Run again after whatever ended it, it goes on from its checkpoint with the schedule that it had.
"""

from __future__ import annotations

import argparse
import dataclasses
import fcntl
import math
import os
import signal
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..embedded.data import Images, read_images
from ..embedded.evaluate import generator_scores, held_out, worse
from ..embedded.generator import NAMES, load_generator, read_generator
from ..embedded.imagetext import load_imagetext
from ..embedded.train_generator import Loss, attention, export, fresh_unet, loss_of, optimizer_of
from ..embedded.training import Trainer, hold_then_cool
from .stages import read, write

BATCHES, SMALL_BATCHES = (1024, 2048), (16, 32)
FIRST = 0.6
"""The share of the first of two kinds."""
REFERENCE_BATCH, REFERENCE_RATE = 512, 1e-3
DECAY, COOL, CLIP, SEED = 0.999, 0.4, 1.0, 3
TRIAL, WARM_UP = 4.0, 5
"""Seconds, and steps before them, of measuring a rate."""
PAYS = 1.25
"""How much faster a batch of twice the size has to be to be worth half the steps."""
MARGIN = 0.92
"""Of the time left, what the steps may take by the rate measured."""
COMPILE, WORTH_COMPILING = 150, 400.0
"""Seconds that compiling may take, and those of training below which it is not tried."""
SCORED, SMALL_SCORED = 2000, 20
LOCK, LOOKS = "lock", 40


@dataclasses.dataclass(frozen=True)
class Schedule:
    """What the measured rate allows."""

    batch: int
    steps: int
    compiled: bool
    samples_per_s: float

    @property
    def learning_rate(self) -> float:
        return REFERENCE_RATE * math.sqrt(self.batch / REFERENCE_BATCH)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder with cifar10_train.parquet")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--kinds", nargs="+", choices=NAMES, default=["v"])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--small", action="store_true", help="few images and small batches")
    args = parser.parse_args(argv)
    args.folder.mkdir(parents=True, exist_ok=True)
    with alone(args.folder):
        try:
            learn(args.folder, args.data, args.minutes * 60, args.kinds, args.device, args.small)
        except BaseException:
            write(args.folder, "error", {"error": traceback.format_exc()})
            raise


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """
    Raises:
        BlockingIOError: if another process learns in the folder.
    """
    with open(folder / LOCK, "w", encoding="utf-8") as file:
        for patience in reversed(range(LOOKS)):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:  # perhaps somebody only looks whether it is held
                if not patience:
                    raise
                time.sleep(0.05)
        yield


def learn(folder: Path, data: Path, seconds: float, kinds: Sequence[str], device: str, small: bool) -> None:
    """Every kind in its share of the time, exported and scored beside the committed weights."""
    train = read_images(data / "cifar10_train.parquet", limit=200 if small else None).to(device)
    start = None
    for number, kind in enumerate(kinds):
        share = 1.0 if len(kinds) == 1 else FIRST if number == 0 else (1 - FIRST) / (len(kinds) - 1)
        finished = read(folder, kind).get("finished")
        if not finished:
            train_kind(folder, kind, train, share * seconds, device, small, start)
            judge(folder, kind, device, small)
        start = folder / f"{kind}.pt"


def train_kind(
    folder: Path, kind: str, train: Images, seconds: float, device: str, small: bool, start: Path | None
) -> None:
    """To the end of the schedule, which is laid out when it begins and kept in ``<kind>.json``."""
    began = time.monotonic()
    torch.manual_seed(SEED)
    unet = fresh_unet(device, start)
    first = {name: value.clone() for name, value in unet.state_dict().items()}
    text = load_imagetext(device)
    record = read(folder, kind)
    with attention(device):
        if "schedule" in record:
            schedule = Schedule(**record["schedule"])
            network: Any = torch.compile(unet) if schedule.compiled else unet
        else:
            schedule, network, rates = _laid_out(unet, kind, train, text, began + seconds, small)
            unet.load_state_dict(first)
            record = {"schedule": dataclasses.asdict(schedule), "rates": rates, "hardware": _hardware(device)}
            write(folder, kind, record)
        trainer = _trainer(unet, schedule, len(train.labels), folder / f"{kind}.pt").resume()
        trainer.run(loss_of(network, train, text, kind))
    export(trainer.average.values, kind, folder / f"generator-{kind}")
    made = {"samples": trainer.samples, "epochs": trainer.samples / len(train.labels), "finished": True}
    write(folder, kind, {**record, **made})


def judge(folder: Path, kind: str, device: str, small: bool) -> None:
    """``<kind>-scores.json``: the new weights beside the committed ones, same noise, and whether they are better."""
    n, text, scores = SMALL_SCORED if small else SCORED, load_imagetext(device), {}
    generators = {
        "new": read_generator(folder / f"generator-{kind}", kind, device), "committed": load_generator(kind, device)
    }  # fmt: skip
    for name, generator in generators.items():
        grid = folder / f"grid-{kind}-{name}.png"
        scores[name] = generator_scores(generator, text, held_out(), n, grid, batch=50 if small else 500)
    reasons = worse(scores["new"], scores["committed"])
    verdict = f"better than the committed weights: {'no' if reasons else 'yes'}"
    write(folder, f"{kind}-scores", {"verdict": verdict, "better": not reasons, "reasons": reasons, **scores})


def snapshot(folder: Path, kind: str) -> int:
    """Export the averaged weights of an unfinished training's newest checkpoint; returns its step, 0 without one."""
    checkpoint = folder / f"{kind}.pt"
    if not checkpoint.exists():
        return 0
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    export(state["average"], kind, folder / f"generator-{kind}")
    return int(state["step"])


def _trainer(unet: nn.Module, schedule: Schedule, rows: int, checkpoint: Path) -> Trainer:
    batch = min(schedule.batch, rows)
    trainer = Trainer(
        unet, optimizer_of(unet, schedule.learning_rate), rows=rows, batch=batch, epochs=1.0, checkpoint=checkpoint,
        schedule=partial(hold_then_cool, warm=min(400, 1 + schedule.steps // 4), cool=COOL), seed=SEED, decay=DECAY,
        clip=CLIP, save_every=30.0,
    )  # fmt: skip
    trainer.total = schedule.steps
    return trainer


def _laid_out(
    unet: nn.Module, kind: str, train: Images, text: Any, end: float, small: bool
) -> tuple[Schedule, nn.Module, list[dict[str, Any]]]:
    """The schedule of the fastest way, after trying each for some seconds; it spoils the weights."""
    rates: list[dict[str, Any]] = []
    eager = loss_of(unet, train, text, kind)
    for batch in SMALL_BATCHES if small else BATCHES:
        rates.append(_tried(unet, eager, len(train.labels), batch, False))
    found = [rate for rate in rates if "samples_per_s" in rate]
    if not found:
        raise RuntimeError(f"no batch could be trained: {rates}")
    best = found[0]
    for rate in found[1:]:
        best = rate if rate["samples_per_s"] > PAYS * best["samples_per_s"] else best
    network = unet
    if train.pixels.is_cuda and end - time.monotonic() > WORTH_COMPILING:
        compiled: Any = torch.compile(unet)
        with _alarm(COMPILE):
            rates.append(_tried(unet, loss_of(compiled, train, text, kind), len(train.labels), best["batch"], True))
        if rates[-1].get("samples_per_s", 0) > best["samples_per_s"]:
            best, network = rates[-1], compiled
    steps = max(2, int(MARGIN * (end - time.monotonic()) * best["samples_per_s"] / best["batch"]))
    return Schedule(best["batch"], steps, best["compiled"], best["samples_per_s"]), network, rates


def _tried(unet: nn.Module, loss: Loss, rows: int, batch: int, compiled: bool) -> dict[str, Any]:
    """Samples a second and memory, or what went wrong."""
    rate: dict[str, Any] = {"batch": min(batch, rows), "compiled": compiled}
    trainer = _trainer(unet, Schedule(batch, 10**6, compiled, 0.0), rows, Path(os.devnull))
    try:
        unet.train()
        began = time.monotonic()
        for _ in range(WARM_UP):
            trainer.one_step(loss)
        rate["loss"] = trainer.one_step(loss).item()  # waits
        rate["seconds_to_start"] = round(time.monotonic() - began, 1)
        began, first = time.monotonic(), trainer.step
        while time.monotonic() - began < TRIAL:
            for _ in range(WARM_UP):
                value = trainer.one_step(loss)
            value.item()
        rate["samples_per_s"] = round((trainer.step - first) * rate["batch"] / (time.monotonic() - began), 1)
        if trainer.device.type == "cuda":
            rate["memory_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 1)
    except Exception as error:  # out of memory, a compiler that is missing or late: the others are tried
        rate["error"] = f"{type(error).__name__}: {error}"[:1000]
    return rate


@contextmanager
def _alarm(seconds: int) -> Iterator[None]:
    """What takes longer inside ends with a TimeoutError."""

    def ring(*_: object) -> None:
        raise TimeoutError(f"took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _hardware(device: str) -> str:
    from ..provenance import device_name

    return device_name(device)


if __name__ == "__main__":
    main()
