"""The report in a real browser: filters, pointer, samples by keyboard; nothing goes wrong, nothing leaves the file."""

from __future__ import annotations

import json
import re
from functools import partial

import numpy as np
import pandas as pd
import pytest
from browser import chromium, opened
from result_frames import CLIP, DIRECTIONS, FD, SAMPLERS, frame, images, row, sweep

from sigmabench import reports
from sigmabench.eval.cli import main
from sigmabench.reports.charts import chart_rows

PROMPTS = ("a cat", "a dog", "a horse")
EVIL = "</script><script>window.stolen = 1</script><img src=x onerror=window.stolen=2>"


@pytest.fixture(scope="module")
def view():
    """Opens a page, all in one browser."""
    with chromium() as browser:
        yield partial(opened, browser=browser)


@pytest.fixture(scope="module")
def small_file(tmp_path_factory):
    """Five samplers, four numbers of steps, three scales; the recommended is known."""
    results = sweep()
    folder = tmp_path_factory.mktemp("small")
    return reports.write_report(folder, results, images(results), PROMPTS, {"title": "Small", "command": "x"}), results


def drawn(page, figure):
    """Scroll to a chart and wait until it is there."""
    page.locator(f"#{figure}").scroll_into_view_if_needed()
    page.wait_for_selector(f"#{figure} .plot svg")
    return page.locator(f"#{figure} .plot .role-mark.mark-symbol path")


def fragment(page):
    return page.evaluate("location.hash")


def test_filters_act_on_charts_table_and_samples_together(view, small_file):
    path, _ = small_file
    with view(path) as page:
        points = drawn(page, "quality")
        assert points.count() == 5 * 4 * 3
        page.locator("summary", has_text="Sampler").click()
        page.locator("#facets label", has_text="heun").click()
        page.wait_for_function("document.querySelectorAll('#quality .role-mark.mark-symbol path').length === 12")
        assert page.inner_text("#filters output") == "12 of 60 cells"
        assert page.locator("table.numbers tbody tr:visible").count() == 12
        assert page.locator(".grid tbody th > span").all_inner_texts() == ["heun"]
        assert fragment(page) == "#sampler=heun"
        page.fill("#words", "20 steps")
        page.wait_for_function("document.querySelectorAll('#quality .role-mark.mark-symbol path').length === 3")
        page.click("#reset")
        page.wait_for_function("document.querySelectorAll('#quality .role-mark.mark-symbol path').length === 60")
        assert fragment(page) == ""


def test_a_view_is_shared_by_its_address(view, small_file):
    path, _ = small_file
    with view(path, "#sampler=heun&sampler=ddim&steps=20&by=luminance&cost=seconds&theme=dark") as page:
        assert drawn(page, "quality").count() == 2 * 3
        assert page.inner_text("#quality h2") == "Luminance against cost"
        assert "seconds per image" in page.text_content("#quality svg")
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        assert page.input_value("#metric") == "luminance"
        page.locator("#ranking").scroll_into_view_if_needed()
        assert page.inner_text("#ranking .empty") == "Nothing to draw with these filters and this metric."


def test_what_the_scripts_draw_is_what_figures_are_drawn_from(view, small_file):
    path, results = small_file
    with view(path) as page:
        for metric in (FD, CLIP):
            rows = page.evaluate("(metric) => report.cells.map((cell) => rowOf(metric, cell))", metric)
            assert rows == json.loads(json.dumps(chart_rows(results, metric)))


def test_the_pointer_reads_a_setting_and_its_numbers(view, small_file):
    path, results = small_file
    with view(path) as page:
        points = drawn(page, "quality")
        points.first.hover(force=True)
        page.wait_for_selector("#pointer:visible")
        said = page.inner_text("#pointer")
        found = re.search(r"(\w+), (\d+) steps, cfg (\d)", said)
        cell = results[
            (results["sampler"] == found[1]) & (results["steps"] == int(found[2])) & (results["scale"] == int(found[3]))
        ]
        assert f"{cell['nfe'].iloc[0]:g}" in said
        assert f"{cell.loc[cell['metric'] == FD, 'value'].iloc[0]:.1f}"[:3] in said
        points.first.click(force=True)
        page.wait_for_selector("dialog[open]")


def test_the_pointer_tells_the_chance_to_be_best_not_to_be_on_the_front(view, tmp_path):
    standing = {"rank_low": 1.0, "rank_high": 2.0, "p_best": 0.25, "p_order": 0.2, "p_front_nfe": 0.75}
    results = frame(*({**row(FD, value, steps=int(value)), **standing} for value in (8.0, 9.0)))
    path = reports.write_report(tmp_path, results, {}, (), {})
    with view(path) as page:
        drawn(page, "quality").first.hover(force=True)
        page.wait_for_selector("#pointer:visible")
        assert page.inner_text("#pointer").split("Chance to be best")[1].strip() == "0.25"


def test_samples_are_walked_and_compared_by_keyboard_alone(view, small_file):
    path, results = small_file
    pick = reports.answers(results)[0].cell
    with view(path) as page:
        first = page.locator(".tile").first
        first.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowDown")
        assert page.evaluate("document.activeElement.dataset.image") == "1"
        page.keyboard.press("Enter")
        page.wait_for_selector("dialog[open]")
        assert page.inner_text("dialog .prompt") == "a dog"
        assert page.inner_text("dialog .place") == "Image 2 of 3, seed 1"
        assert f"ref={pick}" in fragment(page) or f"cell={pick}" in fragment(page)
        page.keyboard.press("ArrowRight")
        assert page.inner_text("dialog .prompt") == "a horse"
        before = page.inner_text(".sides [data-side=cell] .name")
        page.keyboard.press("ArrowDown")
        assert page.inner_text(".sides [data-side=cell] .name") != before
        page.keyboard.press("d")
        page.keyboard.press("d")
        assert page.get_attribute("dialog", "data-mode") == "difference"
        assert page.evaluate("getComputedStyle(document.querySelector('.stage')).filter") == "brightness(4)"
        page.keyboard.press("Escape")
        page.wait_for_selector("dialog", state="hidden")
        assert page.evaluate("document.activeElement.className") == "tile"


def test_the_difference_view_shows_the_amplified_absolute_difference(view, tmp_path):
    a, b = row(FD, 9.0, sampler="a"), row(FD, 8.0, sampler="b")
    shades = {a["cell"]: (10, 60, 100), b["cell"]: (20, 50, 100)}
    samples = {
        cell: np.tile(np.array(rgb, np.uint8)[None, :, None, None], (1, 1, 8, 8)) for cell, rgb in shades.items()
    }
    path = reports.write_report(tmp_path, frame(a, b), samples, ["x"], {})
    with view(path, f"#cell={a['cell']}&ref={b['cell']}&mode=difference&gain=5") as page:
        page.wait_for_selector("dialog[open]")
        page.wait_for_timeout(300)
        shot = page.locator(".stage").screenshot()
    from io import BytesIO

    from PIL import Image

    picture = Image.open(BytesIO(shot)).convert("RGB")
    assert picture.getpixel((picture.width // 2, picture.height // 2)) == (50, 50, 0)


def test_sliders_choose_what_the_grid_holds_fixed(view, small_file):
    path, _ = small_file
    with view(path, "#rows=steps") as page:
        assert page.locator(".grid tbody th > span").all_inner_texts() == ["5 steps", "8 steps", "12 steps", "20 steps"]
        slider = page.get_by_label("Guidance").locator("visible=true").first
        slider.focus()
        page.keyboard.press("Home")
        assert "cfg 1" in page.locator(".tile").first.get_attribute("aria-label")
        page.locator(".held select").select_option("unipc")
        assert page.locator(".tile").first.get_attribute("aria-label").startswith("unipc, 5 steps, cfg 1")


def test_the_table_sorts_and_the_sorting_is_shared(view, small_file):
    path, results = small_file
    with view(path) as page:
        page.get_by_role("button", name="fd", exact=True).click()
        shown = page.locator("table.numbers tbody tr").first.get_attribute("data-cell")
        best = results[results["metric"] == FD].sort_values("value")["cell"].iloc[0]
        assert shown == best
        assert "sort=fd" in fragment(page)


def test_hostile_names_and_prompts_stay_text(view, tmp_path):
    results = frame(row(FD, 9.0, sampler=EVIL), row(FD, 8.0, steps=5, sampler=EVIL), row(FD, 7.0, sampler="heun"))
    path = reports.write_report(tmp_path, results, images(results, 1), (EVIL,), {"title": EVIL, "command": EVIL})
    with view(path) as page:
        drawn(page, "quality").first.hover(force=True)
        page.locator(".tile").first.click()
        page.wait_for_selector("dialog[open]")
        assert page.inner_text("dialog .prompt") == EVIL
        assert page.evaluate("window.stolen") is None


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(view, small_file, width):
    path, _ = small_file
    with view(path, viewport={"width": width, "height": 800}) as page:
        for figure in ("quality", "ranking", "tradeoff", "heat"):
            drawn(page, figure)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_full_size_images_are_loaded_from_the_runs_folder_where_they_are(view, tmp_path):
    from PIL import Image

    a, b = row(FD, 9.0, sampler="a"), row(FD, 8.0, sampler="b")
    results = frame(a, b)
    (tmp_path / "cells/a/images").mkdir(parents=True)
    Image.new("RGB", (300, 300), (1, 2, 3)).save(tmp_path / "cells/a/images/0000000.png")
    pictures = {a["cell"]: "cells/a/images"}
    path = reports.write_report(tmp_path, results, images(results, 1), ["x"], {}, pictures=pictures)
    with view(path, f"#cell={a['cell']}&ref={b['cell']}") as page:
        page.wait_for_function("document.querySelector('canvas[data-side=cell]').width === 300")
        assert page.evaluate("document.querySelector('canvas[data-side=ref]').width") == 8


def large(count=500):
    """A frame of many cells with every column that a run of the harness writes, and samples of 32 pixels."""
    spacings = ("trailing", "karras", "exponential", "beta", "uniform_logsnr")
    rows, rng = [], np.random.default_rng(0)
    for sampler in SAMPLERS:
        for spacing in spacings:
            for steps in (5, 10, 20, 40):
                for scale in (1.0, 2.0, 3.0, 5.0, 8.0):
                    base = 8 + SAMPLERS[sampler] / steps + (scale - 3) ** 2 / 4 + rng.normal(0, 0.3)
                    standing = {
                        "rank_low": 1.0,
                        "rank_high": 40.0,
                        "p_best": 0.002,
                        "p_order": 0.0,
                        "p_front_nfe": rng.random(),
                        "p_front_seconds": 0.1,
                    }
                    for metric in DIRECTIONS:
                        value = base if metric == FD else rng.random()
                        rows.append(
                            {
                                **row(metric, value, 0.2, sampler=sampler, spacing=spacing, steps=steps, scale=scale),
                                **standing,
                            }
                        )
    results = pd.DataFrame(rows[: count * len(DIRECTIONS)])
    smooth = rng.integers(0, 256, (10, 3, 8, 8), dtype=np.uint8).repeat(4, 2).repeat(4, 3)
    return results, dict.fromkeys(results["cell"].unique(), smooth)


def test_five_hundred_cells_fit_open_and_filter_quickly(view, tmp_path):
    results, samples = large()
    path = reports.write_report(tmp_path, results, samples, [f"prompt {i}" for i in range(10)], {"title": "Large"})
    assert path.stat().st_size < 10_000_000
    with view(path) as page:
        assert drawn(page, "quality").count() == 500
        page.locator("summary", has_text="Steps").click()
        page.get_by_label("20", exact=True).check()
        page.wait_for_function(
            "document.querySelectorAll('#quality .role-mark.mark-symbol path').length === 125", timeout=15_000
        )
        assert page.locator("table.numbers tbody tr:visible").count() == 125
        assert page.locator(".grid tbody tr").count() == 5
        drawn(page, "heat")


def test_a_real_sweep_opens_and_compares(view, tmp_path, monkeypatch):
    fields = {"--sampler": ["euler", "heun"], "--steps": ["2", "3"], "--images": ["4"], "--scale": ["1"],
              "--metric": ["clip_score", "trajectory_error(steps=6)"], "--out": [str(tmp_path / "run")]}  # fmt: skip
    words = [text for name, found in fields.items() for one in found for text in (name, one)]
    monkeypatch.setattr("sys.argv", ["sigmabench", "sweep", *words])
    with pytest.raises(SystemExit) as done:
        main()
    assert not done.value.code
    with view(tmp_path / "run" / "report.html") as page:
        assert drawn(page, "quality").count() == 4
        assert drawn(page, "exact").count() == 4
        page.locator(".tile").first.click()
        page.wait_for_selector("dialog[open]")
        page.keyboard.press("x")
