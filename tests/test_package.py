"""The package as installed, cloned and read: imports in one direction, cheap, under any name."""

import ast
import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import sigmabench

ROOT = Path(sigmabench.__file__).resolve().parent
SOURCES = sorted(p for folder in ("samplers", "plugins", "eval", "reports") for p in (ROOT / folder).rglob("*.py"))
ALLOWED = {
    "samplers": {"samplers"},
    "plugins": {"plugins", "samplers"},
    "eval": {"eval", "plugins", "samplers", "reports"},
    "reports": {"reports"},
}


def imports(path):
    """(top folder or package, full dotted name) of everything a file imports."""
    package = ("sigmabench", *path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            names = [node.module] if node.module else [alias.name for alias in node.names]
            yield from (".".join((*base, name)) for name in names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path):
    folder = path.relative_to(ROOT).parts[0]
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "sigmabench" or parts[1:] in ([], ["__version__"]):
            continue
        if path.relative_to(ROOT).as_posix() == "plugins/builtin.py":
            continue  # the one file that names concrete classes
        assert parts[1] in ALLOWED[folder], f"{folder} must not import {name}"
        assert parts[1:] != ["plugins", "builtin"] or path.name == "registry.py"


CORE = [path for path in SOURCES if path.relative_to(ROOT).parts[0] == "samplers"]


@pytest.mark.parametrize("path", CORE, ids=lambda p: p.name)
def test_samplers_need_torch_and_the_standard_library_alone(path):
    foreign = {name.split(".")[0] for name in imports(path)} - sys.stdlib_module_names - {"sigmabench", "torch"}
    assert foreign <= {"typing_extensions", "pytest"}, foreign  # for type checkers, and in the kit when pytest runs it


def test_no_file_imports_the_package_by_name():
    """ComfyUI loads a clone under a name made from its path, where only relative imports work."""
    for path in SOURCES:
        assert not any(
            isinstance(node, (ast.Import, ast.ImportFrom)) and getattr(node, "level", 0) == 0
            and (getattr(node, "module", None) or node.names[0].name).split(".")[0] == "sigmabench"
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        ), path  # fmt: skip


def test_a_clone_loads_under_a_path_derived_name_without_torch():
    program = (
        "import importlib.util, sys\n"
        f"name, root = 'a_clone', {str(ROOT)!r}\n"
        "make = importlib.util.spec_from_file_location\n"
        "spec = make(name, root + '/__init__.py', submodule_search_locations=[root])\n"
        "module = importlib.util.module_from_spec(spec); sys.modules[name] = module; spec.loader.exec_module(module)\n"
        "assert module.NODE_CLASS_MAPPINGS is not None and 'torch' not in sys.modules\n"
        "sampler = module.build('sampler', 'dpmpp_2m_sde(eta=0.5)')\n"
        "assert type(sampler).__module__ == name + '.samplers.sde' and 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd="/")


def test_a_wheel_holds_every_source_file_weight_and_template(tmp_path):
    if importlib.util.find_spec("setuptools") is None:
        pytest.skip("setuptools is not installed: pip install setuptools")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    source = tmp_path / "source"
    tracked = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("not a git checkout, so what belongs to the package is unknown")
    for name in tracked.stdout.splitlines():
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    subprocess.run([*pip, str(tmp_path), str(source)], check=True)
    packed = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())
    wanted = {
        f"sigmabench/{name}"
        for name in tracked.stdout.splitlines()
        if name.split("/")[0] in ("samplers", "plugins", "eval", "reports")
        and (name.endswith((".py", "eval/demo.yaml")) or "/weights/" in name or "/templates/" in name)
    }
    assert wanted <= packed, sorted(wanted - packed)


def test_requirements_for_comfyui_never_touch_the_hosts_torch():
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and not line.startswith("#")]
    names = {line.split(">")[0].split("=")[0].strip() for line in lines}
    assert not names & {"torch", "torchvision", "torchaudio", "numpy"}
