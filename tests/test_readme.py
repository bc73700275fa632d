"""The README does what it says: its sweep file is legal, its plugin installs, passes the kit and sweeps."""

import re
from pathlib import Path

import pandas as pd
import pytest
from page_lines import run_lines, write_files

import sigmabench

README = (Path(sigmabench.__file__).parent / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_sweep_file_has_the_cells_it_promises(tmp_path):
    from sigmabench.eval.sweep import load_sweep

    (tmp_path / "first.yaml").write_text(blocks("yaml")[0])
    sweep = load_sweep(tmp_path / "first.yaml")
    assert len(sweep.samplers) * len(sweep.spacings) * len(sweep.steps) * len(sweep.guided()) == 24


def test_the_numbers_of_plugins_are_those_of_the_registry():
    from sigmabench.plugins.registry import catalogue

    words = {"sampler": "samplers", "schedule": "schedules", "spacing": "spacings", "guidance": "guidance"}
    for kind, word in words.items():
        built_in = [entry for entry in catalogue(kind).values() if entry.plugin == "builtin"]
        assert f"{len(built_in)} {word}" in README


def test_the_pipeline_example_is_legal(tmp_path):
    from sigmabench.eval.sweep import load_sweep

    (tmp_path / "prompts.txt").write_text("a cat\n")
    (tmp_path / "s.yaml").write_text(blocks("yaml")[1])
    assert load_sweep(tmp_path / "s.yaml").models == ["diffusers(path='stable-diffusion-v1-5/stable-diffusion-v1-5')"]


def test_the_python_example_runs_and_finds_the_exact_answer():
    from sigmabench.samplers.problems import Mixture

    names = {"denoiser": Mixture(means=(0.3,), stds=(1e-3,))}
    exec(blocks("python")[1], names)
    assert (names["x"] - 0.3).abs().max() < 0.01


def test_the_diffusers_example_gives_an_image(monkeypatch):
    import diffusers
    from tiny_pipelines import SD15, stable_diffusion

    pipe, counted = stable_diffusion(diffusers.DDIMScheduler(**SD15, steps_offset=1)), []
    pipe.set_progress_bar_config(disable=True)
    pipe.unet.register_forward_hook(lambda *_: counted.append(1))
    monkeypatch.setattr(diffusers.StableDiffusionPipeline, "from_pretrained", lambda name: pipe)
    names = {}
    exec(next(block for block in blocks("python") if "sigmabench.scheduler(" in block), names)
    assert names["image"].size == (16, 16)
    assert len(counted) == 2 * 10 - 1


def test_the_plugin_is_under_thirty_lines_installs_passes_the_kit_and_sweeps(tmp_path):
    toml, module = blocks("toml")[0], blocks("python")[0]
    assert len([line for line in (toml + module).splitlines() if line.strip()]) < 32
    assert len([line for line in module.splitlines() if line.strip()]) < 30
    write_files(tmp_path / "midpoint-sampler", {"pyproject.toml": toml, "midpoint_sampler.py": module})
    sweep = "sigmabench sweep --model gaussian_mixture(size=8) --sampler midpoint --sampler euler --steps 4 --scale 1"
    lines = ["sigmabench check midpoint", f"{sweep} --images 6 --metric luminance --out run"]
    run_lines(tmp_path, "./midpoint-sampler", lines)
    table = pd.read_parquet(tmp_path / "run" / "results.parquet").set_index("sampler")
    assert table.nfe.to_dict() == {"midpoint": pytest.approx(7), "euler": pytest.approx(4)}
