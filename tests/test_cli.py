"""The command line: answers, exit codes, and errors that name the thing and the remedy."""

import json
import signal
import sys

import pytest

from sigmabench.eval import cli


@pytest.fixture(autouse=True)
def signals_as_before():
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["sigmabench", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    out, err = capsys.readouterr()
    return end.value.code or 0, out, err


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
