"""What came back from a GPU, into ``reports``: benchmark parts, the sweep's report, and new weights if they are better.

python -m sigmabench.eval.on_gpu.collect OUT --name h200
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ...reports.export import read_comparisons, read_results
from ..benchmarks import table
from ..embedded.generator import NAMES, folder_of
from ..loading import IMAGES, Frames
from ..plans import load_plan
from ..publish import write
from .agreement import IMAGES as NEAR
from .packing import unpack
from .stages import DONE, Record, read
from .summary import page

REPORTS = Path(__file__).resolve().parents[2] / "reports"
KEPT = ("report.html", "results.csv", "samples.png", "sweep.yaml")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m sigmabench.eval.on_gpu.collect")
    parser.add_argument("out", type=Path, help="folder of the archives that came back")
    parser.add_argument("--name", required=True, help="of the folder in reports, such as h200")
    parser.add_argument("--reports", type=Path, default=REPORTS)
    parser.add_argument("--weights", action="store_true", help="put better weights in the place of the committed ones")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as work:
        unpack(args.out, Path(work))
        for line in collect(Path(work), args.reports, args.name):
            print(line)
        for line in weights(Path(work), replace=args.weights):
            print(line)


def collect(work: Path, reports: Path, name: str) -> list[str]:
    """Benchmarks and the sweep's report; returns what was written."""
    ended = sorted(work.glob("*.json"), key=lambda path: path.stat().st_mtime)
    records = {path.stem: read(work, path.stem) for path in ended}
    written = [_part(work / record["file"], reports) for record in records.values() if record.get("file")]
    if written:
        table.write_page(reports / "benchmarks")
    if (work / "report" / "results.parquet").exists():
        folder = report(work / "report", reports / name, records)
        written.append(f"{folder}: {', '.join(KEPT)}, README.md")
    return written


def _part(file: Path, reports: Path) -> str:
    (reports / "benchmarks").mkdir(parents=True, exist_ok=True)
    return str(shutil.copy(file, reports / "benchmarks" / file.name))


def report(tables: Path, folder: Path, records: Mapping[str, Record]) -> Path:
    """The page, made here of the tables made there."""
    plan, about = load_plan(tables), json.loads((tables / "about.json").read_text(encoding="utf-8"))
    with np.load(tables / "previews.npz") as file:
        shown = {cell: file[cell] for cell in file.files}
    images = pd.read_parquet(tables / IMAGES) if (tables / IMAGES).exists() else pd.DataFrame()
    about["title"] = f"{folder.name}: {len(plan.cells)} settings, {plan.sweep.images:,} images each"
    write(tables, Frames(read_results(tables), read_comparisons(tables), images), shown, plan, about, {})
    folder.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        shutil.copy(tables / name, folder / name)
    (folder / "README.md").write_text(readme(records), encoding="utf-8")
    return folder


def readme(records: Mapping[str, Record]) -> str:
    """What was measured in that call, with what did not end well."""
    facts, sweep = records.get("facts", {}), records.get("sweep", {})
    made = facts.get("versions", {})
    lines = [
        f"# A sweep on {facts.get('hardware', 'a device')}", "",
        f"[The report](report.html) of {sweep.get('cells', '?')} settings, [results.csv](results.csv), "
        "[the first images](samples.png), [the sweep](sweep.yaml). Written by `sigmabench.eval.on_gpu`; "
        "[how](../../CONTRIBUTING.md#measuring-on-a-gpu).", "",
    ]  # fmt: skip
    if sweep.get("status") == DONE:
        lines += [
            f"{sweep['images']:,} images of each, {sweep['images_per_s']:.0f} images a second, metrics included. "
            f"Harness efficiency of this very run: **{sweep['efficiency']:.3f}** (evaluations of its images at "
            f"{sweep['network_rows_per_s']:.0f} rows a second, the network's best, over its time).", "",
        ]  # fmt: skip
    lines += [
        f"torch {made.get('torch', '?')}, diffusers {made.get('diffusers', '?')}, Python {made.get('python', '?')}, "
        f"git {made.get('git', '?')}. Images of the device and of the CPU differ by at most {NEAR:g} of the largest "
        "element where the line below says that they agree.", "",
    ]  # fmt: skip
    return "\n".join([*lines, ""]) + page(records).replace("# On a GPU", "## The call", 1)


def weights(work: Path, *, replace: bool) -> list[str]:
    """The verdict on each generator that was trained, and what is left to do by hand."""
    lines = []
    for kind in NAMES:
        scores, new = read(work / "train", f"{kind}-scores"), work / "train" / f"generator-{kind}"
        if not scores:
            continue
        lines.append(f"{kind}: {scores['verdict']}. {'; '.join(scores['reasons'])}")
        if scores["better"] and replace:
            shutil.copytree(new, folder_of(kind), dirs_exist_ok=True)
            lines.append(f"{folder_of(kind)} is replaced: now `evaluate`, MODEL_CARD.md and the demo's report")
    return lines


if __name__ == "__main__":
    main()
