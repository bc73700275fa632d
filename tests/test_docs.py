"""Every command and snippet of the pages runs, in order, on a model of closed form and four images.

What cannot run here is named below with its reason, and counted: a command of a page runs, or stands in NOT_RUN.
"""

import re
import shlex
import sys
import threading
from pathlib import Path

import pytest

import sigmabench
from sigmabench.eval import cli
from sigmabench.eval.cli.app import GROUPS

ROOT = Path(sigmabench.__file__).parent
PAGES = (
    "README.md", "eval/README.md", "eval/cluster.md", "eval/statistics/README.md", "plugins/comfyui/README.md",
    "plugins/diffusers/README.md", "reports/README.md", "samplers/README.md",
)  # fmt: skip
ELSEWHERE = {
    "plugins/README.md": "tests/test_adding_a_plugin.py",
    "eval/backends/README.md": "tests/test_backends_readme.py",
    "eval/costs/README.md": "tests/test_costs.py",
    "CONTRIBUTING.md": "for developers; make test and make lint are what CI runs",
}
NOT_RUN = {
    "make ": "installs into a fresh environment, which CI does before it runs this",
    "pip install": "needs a package registry; tests/test_readme.py installs the plugin of the page without one",
    "ssh ": "reaches another machine",
    "sigmabench check midpoint": "tests/test_readme.py runs it where the page's plugin is installed",
    "sigmabench orders midpoint": "tests/test_readme.py checks the plugin; measuring takes longer",
    "sigmabench sweep --sampler midpoint": "tests/test_readme.py runs it where the page's plugin is installed",
    "sigmabench sweep --guidance 'pag": "needs a network with attention; tests/test_perturbed_sweeps.py runs one",
    "sigmabench optimise --model MODEL": "MODEL is the reader's own; tests/test_optimising.py runs one",
    "sigmabench explore": "tests/test_explore.py runs it",
    "sigmabench plan": "tests/test_costs.py runs it; calibration takes seconds",
    "sigmabench demo": "make demo of CI runs it",
    "sigmabench docs": "tests/test_catalogue_pages.py makes the pages",
    "sigmabench orders": "tests/test_orders.py runs it",
    "sigmabench optimise": "tests/test_optimising.py runs it",
    "sigmabench sweep --model 'comfyui(": "needs a running ComfyUI; tests/test_comfyui_live.py has one",
}
"""Beginnings or parts of commands that are not run here, and why."""
SERVED = "sigmabench serve"
SMALLER = (
    (r"^( *)models: .*", r"\1models: gaussian_mixture(size=8)"),
    (r"^( *)images: \d+", r"\1images: 4"),
    (r"--images \d+", "--images 4"),
    (r"--budget \d+", "--budget 8"),
    (r"^steps: \[5, 10, 20\]", "steps: [5, 10]"),
)
TINY = "gaussian_mixture(size=8)"


def smaller(text):
    """The same on four images."""
    for pattern, instead in SMALLER:
        text = re.sub(pattern, instead, text, flags=re.MULTILINE)
    return text


def parts(text):
    """(kind, content, name): fenced blocks, and indented commands; a file has the name that the page gives it."""
    pattern = re.compile(r"```(\w+)\n(.*?)```|((?:^    (?:sigmabench|make|pip) [^\n]*\n)+)", re.DOTALL | re.MULTILINE)
    for found in pattern.finditer(text):
        before = text[: found.start()].rstrip().splitlines()[-1:] or [""]
        name = re.search(r"`([\w./-]+\.(?:yaml|txt|py|toml))`", before[0])
        yield (found[1] or "sh", found[2] or found[3], name[1] if name else "")


def commands(block):
    joined = re.sub(r"\\\n\s*", " ", block)
    lines = [shlex.join(shlex.split(line, comments=True)) for line in joined.splitlines()]
    return [line for line in lines if line]


def reason(command):
    plain = command.replace("'", "").replace('"', "")
    known = ((mark, why) for mark, why in NOT_RUN.items() if plain.startswith(mark.replace("'", "")) or mark in plain)
    return next(known, None)


def page_stub(folder, *_):
    (folder / "report.html").write_text("")
    return folder / "report.html"


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    """Runs a command of sigmabench in a folder of its own, in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("webbrowser.open", lambda address: None)
    monkeypatch.setattr("sigmabench.reports.page.write_report", page_stub)  # drawn in tests/test_reports.py
    monkeypatch.setattr("sigmabench.reports.contact_sheet.write_contact_sheet", lambda *_: None)
    (tmp_path / "prompts.txt").write_text("a photo of a ship\n")

    def run(command):
        words = shlex.split(smaller(command))[1:]
        if "--workers" in words:  # processes, Ray and Slurm start in tests/test_workers.py; here one worker does it
            at = words.index("--workers")
            del words[at : at + 2]
        if words[:1] == ["sweep"] and "--model" not in words and not any(w.endswith(".yaml") for w in words):
            words += ["--model", TINY, *([] if "--images" in words else ["--images", "4"])]
        monkeypatch.setattr(sys, "argv", ["sigmabench", *words])
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        captured = capsys.readouterr()
        assert code == 0, f"{command}: {captured.err or captured.out}"

    return run


def write(folder, name, content):
    text = smaller(content)
    (folder / name).write_text(text if "models:" in text else f"models: {TINY}\n{text}", encoding="utf-8")


def served(command, monkeypatch):
    """The page answers once, then the server is told to end."""
    from sigmabench.eval.serving import server

    answered = threading.Event()
    listen = server.listen

    def once(live, port):
        listening = listen(live, 0)
        listening.serve_forever = lambda: (answered.set(), None)[1]
        return listening

    monkeypatch.setattr(server, "listen", once)
    return answered


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_and_snippets_of_a_page_run(page, shell, tmp_path, monkeypatch):
    names, text = {"__name__": "page"}, (ROOT / page).read_text(encoding="utf-8")
    if page == "README.md":
        from sigmabench.samplers.problems import Mixture

        names["denoiser"] = Mixture(means=(0.3,), stds=(0.1,))
    for kind, content, name in parts(text):
        if kind == "yaml":
            write(tmp_path, name or "page.yaml", content)
            if not name:
                shell("sigmabench sweep page.yaml --out runs/page --metric luminance --device cpu --dtype float32")
        elif kind == "python" and not name:
            run_python(content, names, monkeypatch)
        elif kind == "sh":
            for command in commands(content):
                if command.startswith(SERVED):
                    answered = served(command, monkeypatch)
                    shell(command)
                    assert answered.is_set()
                elif reason(command) is None:
                    shell(command)
                    shrink(command, tmp_path)


def shrink(command, folder):
    """What ``init`` has written becomes a sweep of four images, as the page's own files do."""
    if command.startswith("sigmabench init"):
        path = folder / command.split()[-1]
        path.write_text(smaller(path.read_text(encoding="utf-8")), encoding="utf-8")


def run_python(content, names, monkeypatch):
    if "StableDiffusionPipeline" in content:
        import diffusers
        from tiny_pipelines import SD15, stable_diffusion

        pipe = stable_diffusion(diffusers.DDIMScheduler(**SD15, steps_offset=1))
        pipe.set_progress_bar_config(disable=True)
        monkeypatch.setattr(diffusers.StableDiffusionPipeline, "from_pretrained", lambda name: pipe)
    exec(content, names)


def test_every_page_with_commands_is_run_here_or_named():
    found = [path.relative_to(ROOT) for path in ROOT.rglob("*.md")]
    pages = {path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts)}
    written = {page for page in pages if page.startswith("reports/") and page != "reports/README.md"}
    other = {"CHANGELOG.md", *(page for page in pages if page.endswith("MODEL_CARD.md"))}
    assert pages - written - other <= {*PAGES, *ELSEWHERE}


def test_what_is_not_run_is_few_and_has_a_reason_that_is_true():
    said = [(page, c) for page in PAGES for kind, text, _ in parts((ROOT / page).read_text("utf-8")) if kind == "sh"
            for c in commands(text)]  # fmt: skip
    left_out = [(page, command) for page, command in said if reason(command)]
    assert len(said) - len(left_out) >= 30
    assert len(left_out) <= 25, left_out
    for why in NOT_RUN.values():
        for file in re.findall(r"tests/\w+\.py", why):
            assert (ROOT / file).exists(), why


EXAMPLES = [
    line.strip()
    for group in GROUPS
    for command in group.registered_commands
    for line in command.epilog.splitlines()
    if line.startswith("  sigmabench")
]


def test_the_examples_of_every_commands_help_run(shell, tmp_path, monkeypatch):
    """In an order in which each finds what it reads."""
    first = {"init": 0, "sweep": 1, "resume": 2}
    shell("sigmabench sweep --sampler euler --sampler dpmpp_2m --steps 10 --scale 1 --scale 3 --out runs/first")
    shell("sigmabench sweep --sampler heun --sampler dpmpp_2m --steps 10 --scale 3 --out runs/second")
    for command in sorted(EXAMPLES, key=lambda command: first.get(command.split()[1], 3)):
        if command.startswith(SERVED):
            answered = served(command, monkeypatch)
            shell(command)
            assert answered.is_set()
        elif reason(command) is None:
            if command.startswith("sigmabench compare 'dpmpp_2m"):
                command = command.replace("steps=10", "steps=10 scale=3")
            if command.startswith("sigmabench init"):
                (tmp_path / command.split()[-1]).unlink(missing_ok=True)
                (tmp_path / "sweep.yaml").unlink(missing_ok=True)
            shell(command)
            shrink(command if command.endswith(".yaml") else f"{command} sweep.yaml", tmp_path)


def test_links_of_the_pages_lead_somewhere():
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if "://" not in target:
                assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"
