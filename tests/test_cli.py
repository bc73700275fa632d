"""The command line: answers, exit codes, and errors that name the thing and the remedy."""

import contextlib
import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import types

import pytest

import sigmabench
from sigmabench.eval import cli
from sigmabench.eval.cli.app import GROUPS
from sigmabench.eval.cli.groups import HEADING, PLUGINS, READ, RUN


@pytest.fixture(autouse=True)
def signals_as_before():
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["sigmabench", *arguments])
    code = 0
    try:
        cli.main()
    except SystemExit as end:
        code = end.code or 0
    out, err = capsys.readouterr()
    return code, out, err


SMALL = (
    "sweep", "--model", "gaussian_mixture(size=8)", "--steps", "2", "--scale", "1", "--images", "4", "--metric",
    "luminance",
)  # fmt: skip


def test_a_sweep_of_options_alone_writes_its_report_and_says_where(monkeypatch, capsys, tmp_path):
    code, out, _ = run(monkeypatch, capsys, *SMALL, "--sampler", "euler", "--out", str(tmp_path / "r"))
    assert code == 0
    assert f"Report: {tmp_path / 'r' / 'report.html'}" in out
    assert "4 images made, 0 were there; 0 cells failed, 0 refused" in out


def test_compare_answers_in_a_sentence(monkeypatch, capsys, tmp_path):
    folder = str(tmp_path / "r")
    run(monkeypatch, capsys, *SMALL, "--sampler", "euler", "--sampler", "heun", "--out", folder)
    code, out, _ = run(monkeypatch, capsys, "compare", "euler", "heun", folder, "--metric", "luminance")
    assert code == 0
    assert out.count("\n") == 1
    assert "luminance is" in out
    code, _, err = run(monkeypatch, capsys, "compare", "euler", "heum", folder)
    assert (code, "means no cell" in err) == (2, True)
    code, _, err = run(monkeypatch, capsys, "compare", "euler", "heun", folder)
    assert (code, "name one with --metric" in err) == (2, True)


def test_until_separated_says_how_many_go_on_and_keeps_its_budget(monkeypatch, capsys, tmp_path):
    arguments = [*SMALL, "--sampler", "euler", "--sampler", "heun", "--metric", "fd", "--out", str(tmp_path / "r")]
    code, _, err = run(monkeypatch, capsys, *arguments, "--until", "separated", "--budget", "10")
    assert code == 0
    assert "cells may be the best: on to 8 images each" in err
    code, _, err = run(monkeypatch, capsys, *SMALL, "--until", "separated", "--budget", "10")
    assert (code, "needs a metric that says which images are better" in err) == (2, True)


def test_report_computes_the_same_tables_again_from_the_store(monkeypatch, capsys, tmp_path):
    run(monkeypatch, capsys, *SMALL, "--out", str(tmp_path / "r"))
    table = (tmp_path / "r" / "results.csv").read_bytes()
    (tmp_path / "r" / "results.csv").unlink()
    code, _, _ = run(monkeypatch, capsys, "report", str(tmp_path / "r"))
    assert code == 0
    assert (tmp_path / "r" / "results.csv").read_bytes() == table


def test_a_failed_cell_ends_with_code_one_and_its_reason(monkeypatch, capsys, tmp_path):
    from sigmabench.samplers import Euler

    def broken(self, x, path, noise):
        yield x, path.levels[0]
        raise RuntimeError("out of luck")

    monkeypatch.setattr(Euler, "__call__", broken)
    code, out, err = run(
        monkeypatch, capsys, *SMALL, "--sampler", "euler", "--sampler", "heun", "--out", str(tmp_path / "r")
    )
    assert code == 1
    assert "1 cells failed" in out
    assert "RuntimeError: out of luck" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweep", "nowhere.yaml"], "cannot read the sweep file nowhere.yaml"),
        ([*SMALL, "--sampler", "eulr"], "did you mean 'euler'"),
        ([*SMALL, "--prompts", "nowhere.txt"], "cannot read nowhere.txt"),
        (["report", "nowhere"], "holds no readable run"),
        (["list", "samplers"], "kinds: sampler, schedule"),
        (["check", "eulr"], "did you mean 'euler'"),
        (["check", "euler(1)"], "euler takes 0 settings, got 1"),
    ],
)
def test_bad_input_ends_with_code_two_and_one_message(monkeypatch, capsys, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(monkeypatch, capsys, *arguments)
    assert code == 2
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_list_as_json_has_every_sampler_with_its_order_and_source(monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, "list", "sampler", "--json")
    rows = {row["name"]: row for row in json.loads(out)["sampler"]}
    assert code == 0
    assert (rows["heun"]["order"], rows["heun"]["evaluations"]) == (2, 2)
    assert rows["dpmpp_2m_sde"]["settings"]["eta"] == {
        "default": 1.0, "legal": "0 <= eta", "help": "amount of noise; 0 is the ODE, 1 the reverse SDE",
    }  # fmt: skip
    assert all(row["reference"].startswith(("arXiv:", "doi:", "http")) for row in rows.values())


def test_check_prints_each_check_and_fails_with_the_sampler(monkeypatch, capsys):
    from sigmabench.samplers import Euler

    code, out, _ = run(monkeypatch, capsys, "check", "euler")
    assert code == 0
    assert "pass check_order" in out
    monkeypatch.setattr(Euler, "order", 2)
    code, out, _ = run(monkeypatch, capsys, "check", "euler")
    assert code == 1
    assert "FAIL check_order" in out


def test_names_of_other_programs_are_listed_and_swept(monkeypatch, capsys, tmp_path):
    code, out, _ = run(monkeypatch, capsys, "list", "names", "--json")
    rows = {(row["host"], row["name"]): row for row in json.loads(out)}
    assert code == 0
    assert rows["AUTOMATIC1111, Forge", "DPM++ 2M"]["spacing"] == "karras"
    assert rows["diffusers", "SCMScheduler"]["reason"].startswith("SCMScheduler has no counterpart here")
    code, out, _ = run(monkeypatch, capsys, *SMALL, "--pair", "DPM2 a Karras", "--out", str(tmp_path / "r"))
    assert code == 0
    assert "DPM2 a Karras: dpm_2_ancestral, karras. The web UI makes one more level" in out
    assert "4 images made" in out
    code, _, err = run(monkeypatch, capsys, *SMALL, "--pair", "DPM2 b", "--out", str(tmp_path / "s"))
    assert (code, "after 'DPM2' comes a schedule, not 'b'" in err) == (2, True)
    assert not (tmp_path / "s").exists()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished run of two cells, made by the command."""
    folder = tmp_path_factory.mktemp("run") / "r"
    options = ("--metric", "trajectory_error", "--sampler", "euler", "--sampler", "heun", "--out", str(folder))
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as said:
        patch.setattr(sys, "argv", ["sigmabench", *SMALL, *options, "--json"])
        with pytest.raises(SystemExit) as end:
            cli.main()
    assert not end.value.code
    return folder, json.loads(said.getvalue())


def test_a_sweep_answers_scripts_in_one_document(folder):
    root, said = folder
    assert (said["folder"], said["made"], said["kept"], said["failed"]) == (str(root), 8, 0, {})
    assert said["cells"] == {"ok": 2}
    cells = {planned["cell"]["sampler"]: planned for planned in json.loads((root / "plan.json").read_text())}
    assert set(cells) == {"euler", "heun"}
    assert said["answers"][0]["cell"] in {path.name for path in (root / "cells").iterdir()}
    assert "trajectory_error" in said["answers"][0]["answer"]


def test_resume_goes_on_with_what_the_folder_says(monkeypatch, capsys, folder, tmp_path):
    shutil.copytree(folder[0], tmp_path / "copy")
    shards = sorted((tmp_path / "copy" / "cells").glob("*/*.safetensors"))
    before = {path: path.read_bytes() for path in shards}
    lost = next(path for path in shards if len(json.loads((path.parent / "cell.json").read_text())["plugins"]) == 0)
    lost.unlink()
    code, out, _ = run(monkeypatch, capsys, "resume", str(tmp_path / "copy"))
    assert code == 0
    assert "4 images made" in out
    assert lost.exists()
    assert all(path.read_bytes() == content for path, content in before.items() if path != lost)
    code, _, err = run(monkeypatch, capsys, "resume", str(tmp_path / "nowhere"))
    assert (code, "holds no readable run" in err) == (2, True)


def test_a_sweep_without_out_has_a_folder_of_the_name_of_its_file(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("models: gaussian_mixture(size=8)\nscales: 1\nmetrics: luminance\n")
    code, out, _ = run(monkeypatch, capsys, "sweep", "mine.yaml", "--steps", "2", "--images", "2")
    assert code == 0
    assert "Report: runs/mine/report.html" in out


def test_an_interrupted_sweep_ends_with_130_and_says_how_to_go_on(monkeypatch, capsys, tmp_path):
    from sigmabench.samplers import Euler

    def interrupted(self, x, path, noise):
        yield x, path.levels[0]
        raise KeyboardInterrupt

    monkeypatch.setattr(Euler, "__call__", interrupted)
    code, _, err = run(monkeypatch, capsys, *SMALL, "--sampler", "euler", "--out", str(tmp_path / "r"))
    assert code == 130
    assert f"`sigmabench resume {tmp_path / 'r'}` goes on from there" in err


def test_compare_and_report_answer_scripts(monkeypatch, capsys, folder):
    root = str(folder[0])
    code, out, _ = run(monkeypatch, capsys, "compare", "euler", "heun", root, "--metric", "luminance", "--json")
    found = json.loads(out)
    assert (code, len(found)) == (0, 1)
    assert found[0]["difference"] == pytest.approx(found[0]["values"][0] - found[0]["values"][1])
    assert found[0]["low"] <= found[0]["difference"] <= found[0]["high"]
    assert found[0]["differ"] == (found[0]["low"] > 0 or found[0]["high"] < 0)
    code, out, _ = run(monkeypatch, capsys, "report", root, "--json")
    said = json.loads(out)
    assert (code, said["report"]) == (0, f"{root}/report.html")
    assert said["answers"] == folder[1]["answers"]


def test_one_report_of_several_runs(monkeypatch, capsys, folder, tmp_path):
    shutil.copytree(folder[0], tmp_path / "other")
    runs = [str(folder[0]), str(tmp_path / "other")]
    code, out, _ = run(monkeypatch, capsys, "report", *runs, "--out", str(tmp_path / "both"))
    assert code == 0
    assert (tmp_path / "both" / "report.html").exists()
    code, out, _ = run(monkeypatch, capsys, "export", str(tmp_path / "both"), "--metric", "luminance")
    assert code == 0
    assert out.count("| r |") == out.count("| other |") == 2
    code, _, err = run(monkeypatch, capsys, "report", *runs)
    assert (code, "add --out" in err) == (2, True)
    code, _, err = run(monkeypatch, capsys, "report", *runs, str(tmp_path), "--out", str(tmp_path / "x"))
    assert (code, "no results" in err) == (2, True)


def test_export_prints_or_writes(monkeypatch, capsys, folder, tmp_path):
    root = str(folder[0])
    code, out, _ = run(monkeypatch, capsys, "export", root, "--format", "latex")
    assert (code, out.splitlines()[0]) == (0, r"\begin{table}")
    code, out, _ = run(monkeypatch, capsys, "export", root, "--out", str(tmp_path / "t.md"))
    assert (code, out.strip()) == (0, str(tmp_path / "t.md"))
    code, _, err = run(monkeypatch, capsys, "export", root, "--format", "docx")
    assert (code, "what can be printed is md, latex, csv" in err) == (2, True)


COMMANDS = {
    command.name or command.callback.__name__: command for group in GROUPS for command in group.registered_commands
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_a_heading_and_examples(monkeypatch, capsys, name):
    command = COMMANDS[name]
    assert command.rich_help_panel in (RUN, READ, PLUGINS)
    _, heading, *lines = command.epilog.splitlines()
    assert heading == HEADING
    assert any(line.strip().startswith(f"sigmabench {name}") for line in lines)
    monkeypatch.setenv("COLUMNS", "100")
    code, out, _ = run(monkeypatch, capsys, name, "--help")
    assert code == 0
    assert "Examples:" in out
    first = command.callback.__doc__.splitlines()[0]
    assert first.endswith(".")
    assert len(first) <= 75  # a line in the list of commands


def test_help_names_the_exit_codes_and_every_command(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "120")
    code, out, _ = run(monkeypatch, capsys, "--help")
    assert code == 0
    assert "Exit codes: 0 done, 1 some cells failed, 2 bad input" in out
    assert "130 interrupted" in " ".join(out.split())
    assert all(f" {name} " in out for name in COMMANDS)
    code, out, _ = run(monkeypatch, capsys, "--version")
    assert (code, out.strip()) == (0, f"sigmabench {sigmabench.__version__}")


def test_a_mistyped_command_or_option_ends_with_code_two(monkeypatch, capsys):
    code, _, err = run(monkeypatch, capsys, "swep")
    assert (code, "Did you mean 'sweep'" in err) == (2, True)
    code, _, err = run(monkeypatch, capsys, "sweep", "--samplr", "euler")
    assert (code, "--sampler" in err) == (2, True)


def test_shells_complete_names_of_plugins_with_what_they_are(monkeypatch, capsys):
    monkeypatch.setenv("_SIGMABENCH_COMPLETE", "complete_zsh")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "sigmabench sweep --sampler dpmpp_2m")
    _, out, _ = run(monkeypatch, capsys)
    assert '"dpmpp_2m"' in out
    assert '"dpmpp_2m_sde"' in out
    assert '"euler"' not in out
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "sigmabench list sch")
    assert "schedule" in run(monkeypatch, capsys)[1]


def test_help_and_list_import_nothing_heavy():
    """The first list makes the catalogue's data, the second reads it."""
    program = (
        "import sys; from sigmabench.eval.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'diffusers', 'pandas', 'numpy', 'pydantic', 'pluggy', 'rich'}\n"
        "print(heavy & {*sys.modules}, file=sys.stderr)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for arguments in (["--help"], ["list"]):
        for _ in range(2 if arguments[0] == "list" else 1):
            command = [sys.executable, "-c", program, *arguments]
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.stderr.strip() == "set()", arguments


def test_a_reader_of_the_list_may_stop_reading():
    command = f"{shlex.quote(sys.executable)} -m sigmabench list | head -n 1"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_kept_catalogue_is_made_again_when_anything_it_came_from_changes(monkeypatch, tmp_path):
    from sigmabench.eval import catalogue_data, describing

    made = []
    monkeypatch.setenv("SIGMABENCH_CACHE", str(tmp_path / "cache"))
    source = tmp_path / "strange" / "plugin.py"
    source.parent.mkdir()
    source.write_text("one = 1")
    monkeypatch.setitem(sys.modules, "strange.plugin", types.SimpleNamespace(__file__=str(source)))
    rows = {"sampler": [{"name": "strange", "module": "strange.plugin"}]}
    monkeypatch.setattr(describing, "describe_all", lambda: made.append(1) or rows)

    def count():
        assert catalogue_data.catalogue_data() == rows
        return len(made)

    assert [count(), count()] == [1, 1]
    source.write_text("two = 22")
    assert [count(), count()] == [2, 2]
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))
    site.mkdir()
    assert [count(), count()] == [3, 3]  # another import path is another catalogue
    (site / "new-1.0.dist-info").mkdir()
    assert [count(), count()] == [4, 4]
    (site / "new-1.0.dist-info").rename(site / "new-1.1.dist-info")
    assert [count(), count()] == [5, 5]
    next((tmp_path / "cache").glob("catalogue-*.json")).write_text("{")
    assert catalogue_data.catalogue_data() == rows
    monkeypatch.setenv("SIGMABENCH_CACHE", "/proc/nowhere")
    assert catalogue_data.catalogue_data() == rows
