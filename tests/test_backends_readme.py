"""The page on models: its example is legal, and the tests that it names are there."""

import re
from pathlib import Path

import sigmabench
from sigmabench.eval.sweep import load_sweep
from sigmabench.plugins.registry import build

ROOT = Path(sigmabench.__file__).parent
PAGE = (ROOT / "eval" / "backends" / "README.md").read_text(encoding="utf-8")


def test_the_example_is_legal(tmp_path):
    (tmp_path / "sweep.yaml").write_text(re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0])
    scales = [build("backend", text).lora_scale for text in load_sweep(tmp_path / "sweep.yaml").models]
    assert scales == [1.0, 0.5, 1.0, 1.0]


def test_every_row_names_tests_that_are_there():
    rows = [line for line in PAGE.split("## Which noise")[0].splitlines() if line.startswith("| ")][1:]
    there = {name for file in (ROOT / "tests").glob("*.py") for name in re.findall(r"def (test_\w+)", file.read_text())}
    for row in rows:
        named = re.findall(r"test_\w+", row)
        assert named, row
        assert {*named} <= there, row
