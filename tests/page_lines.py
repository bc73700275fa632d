"""Command lines of a page, run as its reader would: a package is installed, then a fresh Python knows it.

The lines after the installation share one process, since each of their own would import torch again and say no more.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

PYTEST = ("-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib")


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def run_lines(folder: Path, package: str, lines: Sequence[str]) -> dict[str, str]:
    """Install the package of this folder beside what is there, run the lines in the folder, give what each printed."""
    site = folder / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    _run([*pip, "--no-build-isolation", "--target", str(site), package], folder, "", dict(os.environ))
    path = os.pathsep.join([str(site), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return json.loads(_run([sys.executable, __file__], folder, json.dumps(lines), environment))


def _run(command: Sequence[str], folder: Path, given: str, environment: Mapping[str, str]) -> str:
    done = subprocess.run(command, cwd=folder, env=environment, input=given, capture_output=True, text=True)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def _line(line: str) -> str:
    """What it prints.

    Raises:
        SystemExit: if it fails, with what it printed.
    """
    program, *words = shlex.split(line)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        status = {"sigmabench": _sigmabench, "pytest": _pytest}[program](words)
    if status:
        sys.exit(f"{line}\n{said.getvalue()}")
    return said.getvalue()


def _sigmabench(words: Sequence[str]) -> object:
    from sigmabench.eval import cli

    sys.argv = ["sigmabench", *words]
    try:
        cli.main()
    except SystemExit as end:
        return end.code
    return 0


def _pytest(words: Sequence[str]) -> object:
    import pytest

    return pytest.main([*PYTEST, *words])


if __name__ == "__main__":
    del sys.path[0]  # the folder of this file, which no reader of a page has
    print(json.dumps({line: _line(line) for line in json.load(sys.stdin)}))
