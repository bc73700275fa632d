"""One folder that brings this package and the wheels it lacks to a machine with PyTorch and no package index.

    python -m sigmabench.eval.on_gpu.bundle FOLDER --data DATA
    sh FOLDER/run.sh OUT --minutes 9                                there

``--beside`` leaves the package out, for a folder inside a checkout that travels with it.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..provenance import versions

ROOT = Path(__file__).resolve().parents[2]
WHEELS = (
    "diffusers", "clean-fid", "open_clip_torch", "ftfy", "wcwidth", "pydantic", "pydantic_core", "annotated-types",
    "typing-inspection", "typing_extensions", "altair", "jsonschema", "jsonschema-specifications", "referencing",
    "rpds-py", "k-diffusion", "torchsde", "trampoline", "torchdiffeq",
)  # fmt: skip
"""In the versions of this environment: what such a machine lacks, and no more; peers' rows need the last four."""
FURTHER = ("importlib_metadata==8.7.0",)
"""The last that needs nothing new."""
PYTHON, PLATFORMS = "3.12", ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
FOLDERS, FILES = ("samplers", "plugins", "eval", "reports"), ("tests/tiny_pipelines.py",)
SHOWN = ("benchmarks", "catalogue", "demo", "embedded", "examples", "orders", "peers", "validity")
"""Folders of ``reports`` that hold results and no code."""
TABLE = "cifar10_train.parquet"
LIMIT = 64 * 2**20

RUN = """\
#!/bin/sh
# Put what is missing beside this machine's packages, once, and run: sh run.sh OUT --minutes 9
set -e
here=$(cd "$(dirname "$0")" && pwd)
package=$here/sigmabench
while [ ! -d "$package/eval/on_gpu" ]; do  # or a checkout around this folder
    [ "$package" != / ] || {{ echo "no package in or above $here" >&2; exit 1; }}
    package=$(dirname "$package")
done
site=${{TMPDIR:-/tmp}}/sigmabench-site-{revision}
if [ ! -e "$site/complete" ]; then
    mkdir -p "$site/package"
    ln -sfn "$package" "$site/package/sigmabench"
    ${{PYTHON:-python3}} -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade \\
        --disable-pip-version-check --target "$site/wheels" "$here"/wheels/*.whl
    touch "$site/complete"
fi
[ ! -d "$here/data" ] || set -- "$@" --data "$here/data"
export PYTHONPATH=$site/wheels:$here/stand-in:$site/package PYTHONUNBUFFERED=1
export SIGMABENCH_REVISION={revision} HF_HUB_OFFLINE=1
exec ${{PYTHON:-python3}} -m sigmabench.eval.on_gpu "$@"
"""


STAND_IN = """\
from pathlib import Path


def javascript_bundle() -> str:
    return Path(__file__).with_name("library.js").read_text(encoding="utf-8")
"""


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m sigmabench.eval.on_gpu.bundle")
    parser.add_argument("folder", type=Path, help="to make; what was in it is removed")
    parser.add_argument("--data", type=Path, help=f"folder with {TABLE}, which only training needs")
    parser.add_argument("--beside", action="store_true", help="without the package: the folder lies in a checkout")
    parser.add_argument("--python", default=PYTHON, help="version of the machine's Python")
    args = parser.parse_args(argv)
    size = bundle(args.folder, args.data, beside=args.beside, python=args.python)
    print(f"{args.folder}: {size / 2**20:.1f} MiB; there: sh {args.folder.name}/run.sh OUT --minutes 9")


def bundle(folder: Path, data: Path | None = None, *, beside: bool = False, python: str = PYTHON) -> int:
    """Make it; returns its size in bytes.

    Raises:
        ValueError: if it is larger than 64 MiB, or the folder is not one that was made here.
    """
    if folder.exists() and not (folder / "run.sh").exists():
        raise ValueError(f"{folder} exists and is no bundle; name a new folder")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "wheels").mkdir(parents=True)
    if not beside:
        for name in carried():
            _copy(ROOT / name, folder / "sigmabench" / name)
    _stand_in(folder / "stand-in")
    if data is not None:
        _copy(data / TABLE, folder / "data" / TABLE)
    download(folder / "wheels", python)
    (folder / "run.sh").write_text(RUN.format(revision=versions()["git"] or "unknown"), encoding="utf-8")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > LIMIT:
        raise ValueError(f"{folder} is {size / 2**20:.1f} MiB, the limit is {LIMIT / 2**20:.0f}; leave out --data")
    return size


def carried() -> list[str]:
    """Files of the checkout that running needs."""
    tracked = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=True)
    return [name for name in tracked.stdout.splitlines() if name in FILES or _running(Path(name))]


def _running(path: Path) -> bool:
    top, *below = path.parts
    if not below:
        return path.suffix in (".py", ".toml", ".typed")
    return top in FOLDERS and not (top == "reports" and below[0] in SHOWN) and path.suffix != ".md"


def _stand_in(folder: Path) -> None:
    """For vl-convert, whose wheel is too large: pages need one constant text of it."""
    import vl_convert

    folder.mkdir()
    script: Any = vl_convert.javascript_bundle  # its stub demands an argument that it does not need
    (folder / "library.js").write_text(script(), encoding="utf-8")
    (folder / "vl_convert.py").write_text(STAND_IN, encoding="utf-8")


def download(folder: Path, python: str) -> None:
    """From the package index that pip is configured for."""
    pins = [f"{name}=={importlib.metadata.version(name)}" for name in WHEELS]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest"]
    target = ["--python-version", python, "--implementation", "cp"]
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    subprocess.run([*command, str(folder), *target, *platforms, *pins, *FURTHER], check=True)


def _copy(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, to)


if __name__ == "__main__":
    main()
