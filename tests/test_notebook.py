"""The example notebook runs from its first cell to its last, and what it shows is what it would show now."""

import os
import sys
from pathlib import Path

import nbclient
import nbformat

import sigmabench

PATH = Path(sigmabench.__file__).parent / "reports" / "examples" / "first_sweep.ipynb"


def test_the_example_notebook_runs(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    kept = nbformat.read(PATH, as_version=4)
    made = nbformat.read(PATH, as_version=4)
    nbclient.NotebookClient(made, timeout=120, kernel_name="python3").execute()
    shown = [output for cell in made.cells if cell.cell_type == "code" for output in cell.outputs]
    html = [output.data["text/html"] for output in shown if "text/html" in output.get("data", {})]
    assert len(html) == 3
    assert "<strong>" in html[0]
    assert "trajectory_error" in html[0]
    assert any("quality.svg" in output.get("data", {}).get("text/plain", "") for output in shown)
    assert [cell.source for cell in kept.cells] == [cell.source for cell in made.cells]
    assert all(cell.outputs for cell in kept.cells if cell.cell_type == "code" and "publish" not in cell.source), (
        "keep the notebook with what it shows: jupyter nbconvert --to notebook --inplace --execute"
    )
