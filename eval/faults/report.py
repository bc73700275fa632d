"""reports/peers: faults.csv, flow_noise.csv and a page that shows them, with what res4lyf.csv has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .comfyui_noise import PAIRS, STEPS, ours, theirs
from .hosts import MissingPeerError, version
from .registry import FAULTS
from .table import COLUMNS, Row, markdown, read, update

PAGE = """\
# Faults of the peers, measured

Each row is something that another program gets wrong and Sigmabench gets right, with one number for both on a problem
whose exact answer is known. `python -m sigmabench.eval.faults NAME` measures a row on your machine with the versions
installed there, and `python -m sigmabench.eval.faults --write reports/peers` makes this page. `tests/peers` holds both
sides to it: a repair upstream turns its test red. ComfyUI needs `COMFYUI_DIR` (see CONTRIBUTING.md); where two versions
are named, the numbers are the newer one's and the fault is in both. Everything as data: [faults.csv](faults.csv),
[flow_noise.csv](flow_noise.csv). Faults of diffusers' guiders that take a network to show are in
[tests/test_guidance_faults.py](../../tests/test_guidance_faults.py).

{faults}
## Samplers with noise on a flow model, beside ComfyUI {version}

Mean and deviation of the images after {steps} equal steps, for data of mean 0.6 and deviation 0.5: exact moments, no
Monte Carlo. First-order methods are some percent off at any finite number of steps; what is off in the mean is wrong.

| ComfyUI | its mean | its deviation | ours | our mean | our deviation |
| --- | ---: | ---: | --- | ---: | ---: |
{flow}

{tableaux}
"""
TABLEAUX = """\
## Tableaux of RES4LYF {commit}

{missed} of {count} single-step tableaux miss the order of their family (up to 4 is asked for; free parameters at their
defaults). Its file of coefficients is evaluated from a checkout, `python -m sigmabench.eval.faults.res4lyf CHECKOUT`,
and none of it is kept here. All of them: [res4lyf.csv](res4lyf.csv).

| tableau | order | measured |
| --- | ---: | ---: |
{lines}"""
FLOW_COLUMNS = ("sampler", "version", "their_mean", "their_deviation", "ours", "our_mean", "our_deviation")


def write(folder: Path, rows: Sequence[Row]) -> None:
    """Rows measured now, beside those of other versions that are in the folder's CSV."""
    folder.mkdir(parents=True, exist_ok=True)
    faults = update(folder / "faults.csv", rows, COLUMNS, list(FAULTS))
    flow = update(folder / "flow_noise.csv", flow_rows(), FLOW_COLUMNS, [pair.title for pair in PAIRS])
    newest = {row["sampler"]: row for row in flow}
    lines = (" | ".join(value for name, value in row.items() if name != "version") for row in newest.values())
    page = PAGE.format(
        faults=markdown(faults),
        flow="\n".join(f"| {line} |" for line in lines),
        version=" and ".join(dict.fromkeys(row["version"] for row in flow)),
        steps=STEPS,
        tableaux=tableaux(read(folder / "res4lyf.csv")),
    )
    (folder / "README.md").write_text(page.rstrip() + "\n", encoding="utf-8")


def tableaux(rows: Sequence[Row]) -> str:
    """Those that miss their order, of what ``eval.faults.res4lyf`` left."""
    missed = [row for row in rows if row["reached"] == "no"]
    lines = "\n".join(f"| {row['tableau']} | {row['order']} | {row['measured']} |" for row in missed)
    commit = rows[0]["commit"] if rows else ""
    return TABLEAUX.format(commit=commit, missed=len(missed), count=len(rows), lines=lines) if rows else ""


def flow_rows() -> list[Row]:
    """One for each of ComfyUI's samplers; none where it is missing."""
    try:
        found = version("ComfyUI")
    except MissingPeerError:
        return []
    rows: list[Row] = []
    for pair in PAIRS:
        moments = [f"{value:.3f}" for value in (*theirs(pair), *ours(pair))]
        values = (pair.title, found, *moments[:2], pair.plugin, *moments[2:])
        rows.append(dict(zip(FLOW_COLUMNS, values, strict=True)))
    return rows
