"""plugins/README.md does what it says: its package installs, and every command on the page runs."""

import csv
import re
from pathlib import Path

import pytest
from page_lines import run_lines, write_files

import sigmabench

ROOT = Path(sigmabench.__file__).parent
PAGE = (ROOT / "plugins" / "README.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"`([\w./]+)`\n\n```(?:toml|python)\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


def test_the_page_is_literally_true(tmp_path):
    write_files(tmp_path / "my-plugins", {**FILES, "my_plugins/__init__.py": ""})
    install, *lines = COMMANDS
    assert install == "pip install ./my-plugins"
    said = run_lines(tmp_path, "./my-plugins", lines)
    assert "my_sampler" in said["sigmabench list sampler"]
    assert "pass check_order" in said["sigmabench check my_sampler"]
    assert "pass check_inverse" in said["sigmabench check my_schedule"]
    assert "pass check_decreasing" in said["sigmabench check my_spacing"]
    assert "pass check_scale_one" in said["sigmabench check my_guidance"]
    assert re.search(r"\d\d passed", said["pytest -q my-plugins"])
    with (tmp_path / "runs" / "orders" / "orders.csv").open() as file:
        orders = {(row["name"], row["process"]): float(row["order"]) for row in csv.DictReader(file)}
    assert orders["my_sampler", "flow"] == pytest.approx(2, abs=0.1)
    assert orders["my_sampler(points=1)", "VE"] == pytest.approx(1, abs=0.1)
    with (tmp_path / "runs" / "all" / "results.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["sampler"], row["spacing"], row["method"]) == ("my_sampler", "my_spacing", "my_guidance")
    assert (row["status"], float(row["nfe"])) == ("ok", 10)
    assert float(row["value"]) == pytest.approx(0, abs=0.02)  # grey: red and green are the same
    page = (tmp_path / "runs" / "catalogue" / "guidance.md").read_text(encoding="utf-8")
    assert "## my_guidance" in page
    assert "- From my_guidance 1.0." in page


def test_the_page_has_a_file_and_a_hook_for_every_kind_of_plugin():
    from sigmabench.plugins.hookspecs import HOOKS

    hooks = set(re.findall(r"def (register_\w+)", PAGE))
    assert hooks == set(HOOKS.values())
    assert {f"my_plugins/{kind}.py" for kind in HOOKS} <= set(FILES)
