"""plugins/README.md does what it says: its package installs, and every command on the page runs."""

import csv
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import sigmabench

ROOT = Path(sigmabench.__file__).parent
PAGE = (ROOT / "plugins" / "README.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"`([\w./]+)`\n\n```(?:toml|python)\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """Runs a line of the page in a folder that holds ``my-plugins``; installs go to a folder of their own."""
    folder = tmp_path_factory.mktemp("page")
    for name, text in FILES.items():
        path = folder / "my-plugins" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "my-plugins" / "my_plugins" / "__init__.py").touch()
    python = shlex.quote(sys.executable)
    site = folder / "site"
    programs = {
        "pip": f"{python} -m pip --quiet --disable-pip-version-check",
        "sigmabench": f"{python} -m sigmabench",
        "pytest": f"{python} -m pytest -p no:cacheprovider -o addopts=--import-mode=importlib",
    }
    install = f" --no-deps --no-build-isolation --target {shlex.quote(str(site))}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *sys.path]), "OMP_NUM_THREADS": "1"}

    def run(line):
        program, rest = line.split(" ", 1)
        line = f"{programs[program]} {rest}" + (install if program == "pip" else "")
        done = subprocess.run(line, shell=True, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    run.folder = folder
    return run


def test_the_page_is_literally_true(shell):
    said = {line: shell(line) for line in COMMANDS}
    assert "my_sampler" in said["sigmabench list sampler"]
    assert "pass check_order" in said["sigmabench check my_sampler"]
    assert "pass check_inverse" in said["sigmabench check my_schedule"]
    assert "pass check_decreasing" in said["sigmabench check my_spacing"]
    assert "pass check_scale_one" in said["sigmabench check my_guidance"]
    assert re.search(r"\d\d passed", said["pytest -q my-plugins"])
    with (shell.folder / "runs" / "orders" / "orders.csv").open() as file:
        orders = {(row["name"], row["process"]): float(row["order"]) for row in csv.DictReader(file)}
    assert orders["my_sampler", "flow"] == pytest.approx(2, abs=0.1)
    assert orders["my_sampler(points=1)", "VE"] == pytest.approx(1, abs=0.1)
    with (shell.folder / "runs" / "all" / "results.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["sampler"], row["spacing"], row["method"]) == ("my_sampler", "my_spacing", "my_guidance")
    assert (row["status"], float(row["nfe"])) == ("ok", 10)
    assert float(row["value"]) == pytest.approx(0, abs=0.02)  # grey: red and green are the same
    page = (shell.folder / "runs" / "catalogue" / "guidance.md").read_text(encoding="utf-8")
    assert "## my_guidance" in page
    assert "- From my_guidance 1.0." in page


def test_the_page_has_a_file_and_a_hook_for_every_kind_of_plugin():
    from sigmabench.plugins.hookspecs import HOOKS

    hooks = set(re.findall(r"def (register_\w+)", PAGE))
    assert hooks == set(HOOKS.values())
    assert {f"my_plugins/{kind}.py" for kind in HOOKS} <= set(FILES)
