"""The exploration page: its curves, steps and walks are the plugins' own, and its sliders work in a real browser."""

import itertools
import math

import numpy as np
import pytest
import torch
from browser import chromium, opened

from sigmabench.eval.cells import plan
from sigmabench.eval.engine import generate
from sigmabench.eval.errors import UsageError
from sigmabench.eval.explore.curves import COUNTS, curves, schedules, spacings, taken
from sigmabench.eval.explore.exploration import explore
from sigmabench.eval.explore.walks import noised, walk
from sigmabench.eval.jobs import Job
from sigmabench.eval.protocols import Sample
from sigmabench.eval.results import previews
from sigmabench.eval.runner import Runner
from sigmabench.eval.store import Store
from sigmabench.eval.sweep import Sweep
from sigmabench.plugins.registry import build
from sigmabench.reports.exploration import render, strip, write_exploration
from sigmabench.samplers.level import Level

FIELDS = {
    "models": ["gaussian_mixture(size=6)"], "samplers": ["euler", "heun", "euler_ancestral"], "spacings": ["karras"],
    "steps": [4], "guidance": ["cfg(2)"], "scales": [1, 2], "device": "cpu", "prompts": ["<b>", "b"],
}  # fmt: skip
SAMPLE = Sample(0, 0, "<b>")


@pytest.fixture(scope="module")
def mixture():
    model = build("backend", FIELDS["models"][0]).load("cpu", "float32")
    return model, [each.cell for each in plan(Sweep(**FIELDS), FIELDS["models"][0], model, FIELDS["prompts"])]


def test_curves_are_the_schedules_in_closed_form():
    found = curves(schedules())
    flow = [logsnr for t, logsnr in found["flow"] if 0 < t < 1]
    expected = [2 * math.log((1 - t) / t) for t, _ in found["flow"] if 0 < t < 1]
    assert flow == pytest.approx(expected, abs=6e-4)
    assert found["flow"][0] == (0, None)
    assert found["flow"][-1] == (1, None)
    abar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
    assert found["linear"][100][1] == pytest.approx(float((abar / (1 - abar)).log()[499]), abs=1e-3)


def test_steps_are_the_spacings_levels_or_the_reason_for_none():
    found = taken(schedules(), spacings("karras(sigma_max=80)"))
    schedule = build("schedule", "scaled_linear")
    for name, count in itertools.product(("karras", "trailing", "kl_optimal"), COUNTS):
        levels = build("spacing", name)(schedule, count)
        points = found["scaled_linear"][name][count]
        assert [t for t, _ in points] == pytest.approx([schedule.time(level) for level in levels], abs=1e-4)
        assert points[-1][1] is None or points[-1][1] == pytest.approx(2 * levels[-1].half_logsnr, abs=1e-3)
    assert "give sigma_max" in found["flow"]["karras"][10]
    assert len(found["flow"]["karras(sigma_max=80)"][10]) == 11


def test_a_watched_walk_is_the_engines(mixture):
    model, cells = mixture
    cells = cells[::2]  # at the first of two scales
    watched = walk(model, cells, SAMPLE, "cpu")
    for cell, seen in zip(cells, watched, strict=True):
        (expected,) = generate(model, [Job(cell, [SAMPLE])])
        assert torch.equal(seen.x, expected)
    assert [len(seen.frames) for seen in watched] == [4, 7, 4]
    euler = watched[0].frames
    for s, t in itertools.pairwise(euler):
        slope = (s.x - s.level.alpha * s.x0) / s.level.sigma  # Euler: both predictions stay along the step
        assert torch.allclose(t.x, t.level.alpha * s.x0 + t.level.sigma * slope, atol=1e-5)
    assert torch.allclose(watched[0].x, euler[-1].x0, atol=1e-6)


def test_the_forward_process_mixes_one_noise():
    x0, noise = torch.randn(2, 1, 3, 4, 4, dtype=torch.float64).unbind()
    clean, mixed, pure = noised(x0, noise, [Level(1, 0), Level(0.6, 0.8), Level(0, 1)])
    assert torch.equal(clean, x0)
    assert torch.equal(pure, noise)
    assert torch.allclose(mixed, 0.6 * x0 + 0.8 * noise)


def test_frames_lie_in_the_strip_where_the_page_looks_for_them():
    import base64
    import io

    from PIL import Image

    frames = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 6), np.uint8)
    packed = strip(frames)
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(packed["uri"].partition(",")[2]))))
    columns = packed["columns"]
    for i, frame in enumerate(frames):
        top, left = i // columns * 4, i % columns * 6
        assert np.array_equal(sheet[top : top + 4, left : left + 6].transpose(2, 0, 1), frame)


def test_what_cannot_be_walked_is_said():
    found = explore(Sweep(**{**FIELDS, "spacings": ["karras", "ltxv"]}))
    assert [walk["label"] for walk in found["walks"]] == ["euler", "heun", "euler_ancestral"]
    assert {one["setting"] for one in found["refused"]} >= {"euler, ltxv, cfg(scale=2)"}
    assert [(end["method"], end["scale"]) for end in found["scales"]] == [("cfg", 1), ("cfg", 2)]
    with pytest.raises(UsageError, match="nothing can be walked: ltxv spacing is for schedules that end at alpha = 0"):
        explore(Sweep(**{**FIELDS, "spacings": ["ltxv"]}))


def test_an_unconditional_model_is_walked_as_it_is_swept_and_a_prompt_is_refused(tmp_path):
    import diffusers
    from tiny_pipelines import pixel_unet

    diffusers.DDPMPipeline(pixel_unet(), diffusers.DDPMScheduler()).save_pretrained(tmp_path / "model")
    model = f"diffusers(path={str(tmp_path / 'model')!r})"
    fields = {**FIELDS, "models": [model], "samplers": ["ddim", "euler"], "guidance": ["cfg(1)"], "prompts": []}
    found = explore(Sweep(**fields))
    assert found["prompt"] == ""
    runner = Runner(Sweep(**fields, images=2, metrics=["luminance"]), tmp_path / "run")
    runner.run(lambda images, cell: None)
    swept = previews(runner.plan, Store(tmp_path / "run"))
    for planned, seen in zip(runner.plan.runnable[::2], found["walks"], strict=True):  # the first of two scales
        difference = seen["x"][-1].astype(int) - swept[planned.cell.key][0]
        assert abs(difference).max() <= 1  # of 255, walked in another batch
    assert "“" not in render({**found, "command": ""}).partition("<section")[0]
    with pytest.raises(UsageError, match=r"unconditional.*not 'a cat'; leave prompts out"):
        explore(Sweep(**{**fields, "prompts": ["a cat"]}))


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    found = explore(Sweep(**{**FIELDS, "spacings": ["karras", "exponential"]}))
    hostile = {**found, "prompt": "</script><script>alert(1)</script>", "command": "sigmabench explore"}
    return write_exploration(tmp_path_factory.mktemp("page") / "explore.html", hostile)


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


def test_its_sliders_and_choices_move_what_they_name(page_file, browser):
    with opened(page_file, browser=browser, viewport={"width": 1100, "height": 900}) as page:
        assert "</script><script>alert(1)</script>" in page.inner_text("header")
        page.wait_for_selector("#distances svg")
        place = "document.querySelector('#walks .frame').style.backgroundPosition"
        before = page.evaluate(place)
        page.focus("#walk-at")
        page.keyboard.press("Home")
        assert page.inner_text("#walk-said") == "0 %"
        assert page.evaluate(place) == "0% 0%" != before
        page.keyboard.press("End")
        assert page.get_attribute("#walks .frame", "aria-label") == "x of euler, karras, the end"


def test_a_refusal_is_shown_with_its_reason(page_file, browser):
    with opened(page_file, browser=browser) as page:
        page.wait_for_selector("#spacings svg")
        page.select_option("#schedule", "flow")
        page.select_option("#spacing", "karras")
        assert "give sigma_max" in page.inner_text("#refused")
        page.select_option("#schedule", "cosine")
        assert page.inner_text("#refused") == ""
        marks = "document.querySelectorAll('#alpha-bar .mark-symbol path').length"
        page.locator("#steps").fill("0")
        page.wait_for_function(f"{marks} == 3")
        assert page.inner_text("#steps-said") == "2 steps"


def test_it_fits_a_phone(page_file, browser):
    with opened(page_file, browser=browser, viewport={"width": 380, "height": 800}, color_scheme="dark") as page:
        page.wait_for_selector("#distances svg")
        assert page.evaluate("document.documentElement.scrollWidth") <= 380
