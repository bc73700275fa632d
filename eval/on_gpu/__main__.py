"""``python -m sigmabench.eval.on_gpu OUT [--minutes 9] [--stages STAGE ...]``; see the package."""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from .. import benchmarks
from . import packing, stages, summary
from .stages import Record, Stage, Task

STAGES = ("facts", "agreement", "rows", "sweep", "train")
PARTS = {
    "agreement": 60, "efficiency": 70, "overhead": 60, "cells": 45, "noise": 25, "images": 20, "execution": 90,
    "prediction": 60, "growth": 60, "script": 60, "frechet": 40, "start": 30, "memory": 60,
}  # fmt: skip
"""Of the benchmarks, those of most worth first, and the seconds that each may take; others come after them."""
OTHERS, SMALL_PART = 45.0, 12.0
SWEEP, TABLES, PACKING = 120.0, 60.0, 10.0
"""Seconds kept for the sweep, for its tables, and for the last packing."""
SUMMARY = "summary.md"
GROUPS = (
    packing.Group("results", ("*.json", "*.log", "benchmarks/*", "train/*.json", "train/*.txt", "train/*.png")),
    packing.Group("weights", ("train/generator-*/**/*",)),
    packing.Group("tables", ("report/results.*", "report/comp*", "report/*.npz", "report/*.json", "report/*.yaml")),
    packing.Group("images", ("report/images.parquet",)),
    packing.Group("checkpoint-eps", ("train/eps.pt",)),
    packing.Group("checkpoint-v", ("train/v.pt",)),
)
SMALL_STAGES = ("facts", "rows-agreement", "rows-noise", "rows-overhead")


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    end = time.monotonic() + 60 * args.minutes - PACKING
    records: dict[str, Record] = {}

    def after(name: str, record: Record) -> None:
        records[name] = record
        try:
            print(summary.line(name, record), flush=True)
            finish(args.work, args.out, records)
        except Exception:  # a full disk, say: the next stages are worth more than this
            traceback.print_exc()

    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # else to ask for a GPU spoils it for forked processes
    method = "forkserver"
    multiprocessing.get_context(method).set_forkserver_preload([f"{__package__}.warm"])
    for stage in (stage for stage in plan(args) if stage.name == "facts"):
        after(stage.name, record := stages.alone(stage, task(args, min(stage.most, 30 * args.minutes)), method))
        if record["status"] != stages.DONE and args.device != "cpu":  # perhaps the device wants no forked process
            after(stage.name, record := stages.alone(stage, task(args, stage.most), "spawn"))
            method = "spawn" if record["status"] == stages.DONE else method
    others = [stage for stage in plan(args) if stage.name != "facts"]
    stages.run(others, task(args, end - time.monotonic()), method, after)
    left = finish(args.work, args.out, records)
    print(f"\n{(args.out / SUMMARY).read_text(encoding='utf-8')}")
    print("".join(f"left out: {line}\n" for line in left), end="")
    return int(any(record["status"] == stages.FAILED for record in records.values()))


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sigmabench.eval.on_gpu")
    parser.add_argument("out", type=Path, help="folder for what comes back: a summary and a few archives")
    parser.add_argument("--minutes", type=float, default=9.0, help="that all of it takes at most")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=None, help="default: all; train only if asked")
    parser.add_argument("--parts", nargs="+", choices=parts(), default=parts(), help="of the benchmarks; default: all")
    parser.add_argument("--train-minutes", type=float, default=0.0, help="of training, over as many calls as it takes")
    parser.add_argument("--kinds", nargs="+", choices=("v", "eps"), default=["v"], help="generators to train, in order")
    parser.add_argument("--data", type=Path, help="folder with cifar10_train.parquet, for training")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir(), "sigmabench-on-gpu"),
                        help="folder for all files; a later call goes on with what lies there")  # fmt: skip
    parser.add_argument("--small", action="store_true", help="a little of everything, to see that it works")
    args = parser.parse_args(argv)
    args.stages = args.stages or [*STAGES[:4], *(["train"] if args.train_minutes else [])]
    if "train" in args.stages and (not args.train_minutes or args.data is None):
        parser.error("training needs --train-minutes and --data")
    args.out, args.work, args.data = (path and path.resolve() for path in (args.out, args.work, args.data))
    return args


def task(args: argparse.Namespace, seconds: float) -> Task:
    options = {"train_minutes": args.train_minutes, "kinds": args.kinds}
    return Task(args.work, args.device, seconds, args.small, args.data, options)


def plan(args: argparse.Namespace) -> list[Stage]:
    """The stages of a call, those of most worth first."""
    here, asked = __package__, args.stages
    hour = 3600.0
    found = [Stage("facts", f"{here}.facts:facts", 90), Stage("agreement", f"{here}.agreement:agreement", 100)]
    for part in args.parts:
        seconds = SMALL_PART if args.small else PARTS.get(part, OTHERS)
        found.append(Stage(f"rows-{part}", f"{here}.rows:rows", seconds, options={"part": part}))
    kept = (10.0, 5.0) if args.small else (SWEEP, TABLES)
    found.append(Stage("sweep", f"{here}.sweep:sweep", hour, kept[0]))
    found.append(Stage("sweep-tables", f"{here}.sweep:tables", 2 * TABLES, kept[1]))
    found.append(Stage("train", f"{here}.train:train", hour))
    chosen = [stage for stage in found if stage.name.partition("-")[0] in asked]
    if args.small:
        chosen = [stage for stage in chosen if not stage.name.startswith("rows") or stage.name in SMALL_STAGES]
    if args.train_minutes and "sweep" in asked:
        chosen = [_shorter(stage) for stage in chosen]
    return chosen


def _shorter(stage: Stage) -> Stage:
    """A sweep before a training has only what is kept for it."""
    return dataclasses.replace(stage, most=stage.kept) if stage.name == "sweep" else stage


def parts() -> list[str]:
    """Of the benchmarks, in this module's order."""
    known = benchmarks.PARTS
    return [*(part for part in PARTS if part in known), *(part for part in known if part not in PARTS)]


def finish(work: Path, out: Path, records: dict[str, Record]) -> list[str]:
    """Write the summary and pack; what a call has found so far is in ``out`` whenever it is cut off."""
    path = out / SUMMARY
    path.write_text(summary.page(records), encoding="utf-8")
    return packing.pack(work, out, GROUPS, packing.Limits(), [path])


if __name__ == "__main__":
    sys.exit(main())
