"""The last step of a run: results to tables and page."""

from __future__ import annotations

from pathlib import Path

from .plans import Plan
from .results import evaluate, previews
from .store import Store


def publish(plan: Plan, folder: Path, out: Path | None = None) -> Path:
    """Write the tables, samples.png and report.html of a run into its folder, or another one; returns the page."""
    from ..reports.atomic import replace
    from ..reports.comparisons import Judge
    from ..reports.contact_sheet import write_contact_sheet
    from ..reports.export import write_comparisons, write_results
    from ..reports.page import write_report

    store, out = Store(folder), out or folder
    (frame, comparisons, images), shown = evaluate(plan, store), previews(plan, store)
    write_results(out, frame)
    write_comparisons(out, comparisons)
    replace(out / "images.parquet", lambda part: images.to_parquet(part, index=False))
    write_contact_sheet(out, frame, shown)
    count = max((len(images) for images in shown.values()), default=0)
    prompts = [plan.prompts[i % len(plan.prompts)] for i in range(count)]
    return write_report(out, frame, shown, prompts, _about(plan, folder), Judge(comparisons))


def _about(plan: Plan, folder: Path) -> dict[str, str]:
    from .provenance import versions

    fields = {name: _text(value) for name, value in plan.sweep.model_dump().items() if name != "prompts"}
    prompts = f"{len(plan.prompts)}, the first is {plan.prompts[0]!r}"
    command = f"sigmabench sweep {folder.name}/sweep.yaml --out NEW_FOLDER"
    return {"title": f"Sweep {folder.name}", "command": command, **fields, "prompts": prompts, **versions()}


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
