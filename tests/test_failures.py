"""Whatever goes wrong in one cell is written down there, the others go on, and the exit code and the report say so."""

import errno
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
import typer
import yaml

from sigmabench.eval.backends.mixture_model import MixtureModel
from sigmabench.eval.cli.sweeping import run_sweep
from sigmabench.eval.errors import UsageError
from sigmabench.eval.metrics.pixels import Contrast, PixelObserver
from sigmabench.eval.store import Store
from sigmabench.eval.sweep import Sweep
from sigmabench.samplers import RungeKutta

FIELDS = {
    "models": ["gaussian_mixture(size=8)"], "samplers": ["euler", "runge_kutta"], "steps": [3], "scales": [1],
    "prompts": ["a cat", "a dog"], "images": 12, "batch_size": 5, "shard_size": 6, "metrics": ["luminance", "contrast"],
}  # fmt: skip
WHEN = 2  # calls of the sampler that go well


def sweep(folder):
    """Its exit code, and the published table."""
    with pytest.raises(typer.Exit) as end:
        run_sweep(Sweep(**FIELDS), folder)
    return end.value.exit_code, pd.read_parquet(folder / "results.parquet")


def third_time(fault):
    """A sampler that has the fault from its third batch on, when a shard is published already."""
    call, calls = RungeKutta.__call__, []

    def run(self, x, path, noise):
        calls.append(1)
        if len(calls) > WHEN:
            return (yield from fault(x, path))
        return (yield from call(self, x, path, noise))

    return run


def diverges(x, path):
    x, x0 = yield x, path.levels[0]
    x0[1] = float("nan")
    return x0


def needs_too_much(x, path):
    yield x, path.levels[0]
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 80.00 GiB")


def raises(x, path):
    yield x, path.levels[0]
    raise ZeroDivisionError("out of luck")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (diverges, r"FloatingPointError: 1 of \d images are not finite: runge_kutta diverged"),
        (needs_too_much, r"OutOfMemoryError: CUDA out of memory\. Tried to allocate 80\.00 GiB"),
        (raises, r"ZeroDivisionError: out of luck"),
    ],
)
def test_a_fault_of_one_cell_is_its_own(tmp_path, monkeypatch, capsys, fault, reason):
    with monkeypatch.context() as patch:
        patch.setattr(RungeKutta, "__call__", third_time(fault))
        code, table = sweep(tmp_path)
    assert code == 1
    said = capsys.readouterr()
    assert "1 cells failed" in said.out
    assert re.search(rf"failed [0-9a-f]{{16}}: {reason}", said.err)
    failed = table[table.status == "failed"]
    assert set(failed.sampler) == {"runge_kutta"}
    assert failed.images.item() == 6  # its first shard is kept
    assert re.fullmatch(reason, failed.reason.item())
    good = table[table.sampler == "euler"]
    assert (good.status == "ok").all()
    assert good.value.notna().all()
    assert re.search(reason.split("(")[0][:30], (tmp_path / "report.html").read_text())
    code, table = sweep(tmp_path)
    assert (code, set(table.status)) == (0, {"ok"})  # the next run makes what is missing


def test_a_host_out_of_memory_is_an_error_of_the_cells_that_asked(tmp_path, monkeypatch):
    def full(self, x, levels, condition):
        raise MemoryError

    monkeypatch.setattr(MixtureModel, "denoise", full)
    code, table = sweep(tmp_path)
    assert code == 1
    assert set(table.status) == {"failed"}
    assert table.reason.str.startswith("MemoryError").all()


def test_an_observer_that_sees_no_number_names_the_image(tmp_path, monkeypatch):
    look = PixelObserver.__call__

    def blind(self, images, prompts):
        rows = look(self, images, prompts)
        rows[-1] = np.nan
        return rows

    monkeypatch.setattr(PixelObserver, "__call__", blind)
    code, table = sweep(tmp_path)
    assert code == 1
    assert set(table.reason) == {"FloatingPointError: luma/rec601 of 1 of 5 images is not finite, the first is 4"}


def test_a_metric_that_raises_leaves_the_others_their_numbers(tmp_path, monkeypatch, capsys):
    def raising(self, shards):
        raise TypeError("no such thing")

    monkeypatch.setattr(Contrast, "evaluate", raising)
    code, table = sweep(tmp_path)
    assert code == 1
    assert "contrast: TypeError: no such thing" in capsys.readouterr().err
    assert set(zip(table.metric, table.status, strict=True)) == {("luminance", "ok"), ("contrast", "failed")}


def test_a_full_disk_is_the_reason_of_the_cells_that_it_stops_even_if_it_cannot_be_written_down(tmp_path, monkeypatch):
    put = Store.put

    def full(self, cell, *args):
        if cell.sampler != "euler":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return put(self, cell, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "put", full)
        patch.setattr(Store, "fail", full)
        code, table = sweep(tmp_path)
    assert code == 1
    assert set(zip(table.sampler, table.status, strict=True)) == {("euler", "ok"), ("runge_kutta", "failed")}
    code, table = sweep(tmp_path)
    assert (code, set(table.status)) == (0, {"ok"})


def test_a_report_that_finds_no_room_is_said_and_written_later(tmp_path, monkeypatch, capsys):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("sigmabench.reports.atomic.tempfile.mkstemp", full)
        with pytest.raises(UsageError, match=r"cannot write into .* No space left on device; choose another --out"):
            run_sweep(Sweep(**FIELDS), tmp_path)
    monkeypatch.setattr("sigmabench.eval.cli.sweeping.publish", full)
    with pytest.raises(typer.Exit) as end:
        run_sweep(Sweep(**FIELDS), tmp_path)
    assert end.value.exit_code == 1
    assert "The report cannot be written: [Errno 28] No space left on device" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits of file sizes are POSIX")
def test_a_file_system_that_takes_no_more_leaves_whole_files_only(tmp_path):
    """A real refusal: no file may be larger than 30 kB, and the shards of one cell are."""
    fields = {**FIELDS, "images": 40, "shard_size": 40, "samplers": ["euler"], "save_images": False}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump({**fields, "models": "gaussian_mixture(size=64)"}))
    limited = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "from sigmabench.eval.runner import Runner; from sigmabench.eval.sweep import load_sweep; import pathlib;"
        "runner = Runner(load_sweep(pathlib.Path(sys.argv[1])), pathlib.Path(sys.argv[2]));"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000));"
        "print(runner.run(lambda images, cell: None).failed)"
    )
    folder = tmp_path / "run"
    ended = subprocess.run(
        [sys.executable, "-c", limited, str(tmp_path / "sweep.yaml"), str(folder)], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}, check=True,
    )  # fmt: skip
    assert "File too large" in ended.stdout
    (cell,) = (folder / "cells").iterdir()
    assert {path.name for path in cell.iterdir()} == {"cell.json", "failed.json"}
    assert "File too large" in (cell / "failed.json").read_text()
