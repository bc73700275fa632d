"""Reports: the page's numbers are the frame's, its words are what the intervals allow, and nothing leaves the file."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from result_frames import CLIP, FD, LIGHT, broken, frame, images, row, sweep

from sigmabench import reports
from sigmabench.reports import atomic, compare, lines, metric_words, numbers, table
from sigmabench.reports import page as page_module
from sigmabench.reports.results import COLUMNS, conform
from sigmabench.reports.self_contained import library
from sigmabench.reports.sprites import sprites

JUDGE = reports.Judge()  # by intervals alone
ABOUT = {"title": "Which sampler?", "command": "sigmabench sweep first.yaml", "date": "2026-01-01"}


def page(results, prompts=("a cat", "a dog", "a horse"), about=ABOUT, samples=None):
    return reports.render(results, images(results, len(prompts)) if samples is None else samples, prompts, about)


def data_of(html):
    """What the page's scripts read."""
    (text,) = re.findall('<script type="application/json" id="data">(.*?)</script>', html, re.S)
    return json.loads(text)


class Parsed(HTMLParser):
    """Tags with attributes, the texts by tag, and whatever could make a browser ask for something."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.stack, self.texts, self.targets = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        fetching = {"src", "href", "srcset", "action", "data", "poster", "background", "formaction", "ping"}
        self.targets += [value for key, value in attrs if key in fetching]
        if tag not in ("meta", "img", "input", "link", "br"):
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if self.stack and self.stack[-1] == tag:
            self.stack.pop()

    def handle_endtag(self, tag):
        while self.stack and self.stack.pop() != tag:
            pass

    def handle_data(self, data):
        self.texts.append((self.stack[-1] if self.stack else "", data))

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    def text(self, *without):
        return " ".join(data for tag, data in self.texts if tag not in ("style", "script", *without))


@pytest.fixture(scope="module")
def small():
    return sweep(samplers=["dpmpp_2m", "heun"], steps=(5, 20), scales=(1.0, 3.0))


@pytest.fixture(scope="module")
def small_page(small):
    return page(small)


# The contract and files


def test_importing_the_package_loads_neither_pandas_nor_matplotlib():
    heavy = ("pandas", "matplotlib", "altair", "jinja2")
    code = f"import sys, sigmabench.reports; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_every_name_of_the_package_can_be_had_and_unknown_names_are_refused():
    assert all(callable(getattr(reports, name)) for name in reports.__all__)
    with pytest.raises(AttributeError, match="it has Judge, answers"):
        _ = reports.nonsense


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_results_come_back_from_a_file_with_values_and_types_intact(tmp_path, suffix):
    strange = row(FD, 0.1 + 0.2, sampler="a,b", spacing="NA", model="nan", git="0123e45", prompts="00012")
    results = frame(
        strange, {**strange, "metric": LIGHT, "higher_is_better": None, "value": 1e-17, "low": math.nan},
        row(CLIP, -3.25, seed=2**64 - 1), broken("failed", 'line "one"\nline two\r\nline three', scale=math.nan),
    )  # fmt: skip
    reports.write_results(tmp_path, results)
    back = reports.read_results(tmp_path / f"results.{suffix}")
    pd.testing.assert_frame_equal(back, results, check_exact=True)
    assert list(back.columns) == list(COLUMNS)
    assert [type(value) for value in back["higher_is_better"]] == [bool, type(None), bool, type(None)]
    assert back["metric"].tolist()[-1] is None


def test_missing_and_damaged_files_are_named_with_a_remedy(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no results\.parquet or results\.csv in .*write it again"):
        reports.read_results(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no results at .*gone\.csv; check the path"):
        reports.read_results(tmp_path / "gone.csv")
    (tmp_path / "results.parquet").write_bytes(b"torn")
    with pytest.raises(ValueError, match=r"cannot read .*results\.parquet .*write it again"):
        reports.read_results(tmp_path)
    (tmp_path / "results.csv").write_text("cell,value\na,1\n")
    with pytest.raises(ValueError, match=r"results\.csv does not hold results: .*lack the columns status"):
        reports.read_results(tmp_path / "results.csv")
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(ValueError, match=r"ends in \.json"):
        reports.read_results(tmp_path / "results.json")


def test_an_interrupted_write_leaves_the_old_file_and_no_debris(tmp_path):
    (tmp_path / "report.html").write_text("old")

    def torn(part):
        part.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        atomic.replace(tmp_path / "report.html", torn)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"report.html": "old"}


def test_frames_that_break_the_contract_are_refused_by_name():
    with pytest.raises(ValueError, match="lack the columns nfe"):
        conform(pd.DataFrame([row(FD, 1.0)]).drop(columns="nfe"))
    with pytest.raises(ValueError, match="unknown status 'done'"):
        frame(row(FD, 1.0, status="done"))
    with pytest.raises(ValueError, match=r"holds the metric fd/.* twice"):
        frame(row(FD, 1.0), row(FD, 2.0))


# Numbers, names, marks


@pytest.mark.parametrize(
    ("value", "half", "text"),
    [(12.3456, 0.456, "12.35 [11.89, 12.80]"), (12.3456, 4.56, "12.3 [7.8, 16.9]"), (1234.5, 456, "1234 [778, 1690]"),
     (0.00123, 0.000045, "0.001230 [0.001185, 0.001275]"), (-0.5, 0.25, "-0.50 [-0.75, -0.25]")],
)  # fmt: skip
def test_numbers_have_two_digits_of_their_interval(value, half, text):
    assert numbers.with_interval(value, value - half, value + half) == text


def test_numbers_without_an_interval_or_a_value_are_still_printed():
    assert numbers.with_interval(0.123456, math.nan, math.nan) == "0.1235"
    assert numbers.with_interval(math.nan, math.nan, math.nan) == numbers.DASH
    assert numbers.with_interval(2.0, 2.0, 2.0) == "2.000 [2.000, 2.000]"


def test_settings_are_named_as_briefly_as_they_are_unambiguous():
    results = frame(row(FD, 1.0), row(FD, 2.0, spacing="beta"), row(FD, 3.0, sampler="heun"))
    assert list(lines.lines(results).values()) == ["euler · beta", "euler · karras", "heun · karras"]
    assert list(lines.lines(results[results["spacing"] == "karras"]).values()) == ["euler", "heun"]
    assert lines.setting(results.iloc[0]) == "euler with karras, 10 steps, cfg 3"
    assert lines.setting(results.iloc[0], among=results) == "euler with karras"


@pytest.mark.parametrize(
    ("guidance", "scale", "text"),
    [("cfg(scale=3)", 3.0, "cfg 3"), ("cfg(scale=3.0)", 3.0, "cfg 3"), ("cfg(scale=30)", 30.0, "cfg 30"),
     ("cfg(scale=7.5)", 7.5, "cfg 7.5"), ("cfg(scale=3, rescale=0.7)", 3.0, "cfg(scale=3, rescale=0.7)"),
     ("cfg(scale=30)", 3.0, "cfg(scale=30)"), ("none", math.nan, "no guidance"), ("apg", math.nan, "apg")],
)  # fmt: skip
def test_guidance_is_abbreviated_only_when_nothing_is_lost(guidance, scale, text):
    assert lines.guidance_text(pd.Series({**row(FD, 1.0), "guidance": guidance, "scale": scale})) == text


def test_a_cell_is_marked_when_its_interval_overlaps_the_bests():
    others = [row(FD, 10.9, steps=10), row(FD, 11.1, steps=20), row(FD, 9.0, 0.1, images=50)]
    results = frame(row(FD, 10.0, steps=5), *others)
    best, close, far, other_size = results["cell"]
    assert compare.marks(results, FD, JUDGE) == {
        best,
        close,
        other_size,
    }  # another number of images is another contest
    assert far not in compare.marks(results, FD, JUDGE)


def test_descriptions_have_no_best_and_higher_can_be_better():
    assert compare.marks(frame(row(LIGHT, 0.5), row(LIGHT, 0.6, steps=5)), LIGHT, JUDGE) == set()
    results = frame(row(CLIP, 60.0, steps=5), row(CLIP, 70.0, steps=10))
    assert compare.marks(results, CLIP, JUDGE) == {results["cell"][1]}


def test_the_images_needed_bring_the_intervals_apart():
    a, b = frame(row(FD, 10.0, 0.5, steps=5), row(FD, 10.25, 0.5)).to_dict("records")
    assert compare.images_needed(pd.Series(a), pd.Series(b), JUDGE) == 16_000  # half-widths must shrink fourfold
    assert compare.images_needed(pd.Series(a), pd.Series(a), JUDGE) is None


def test_the_wide_table_holds_exactly_the_frames_numbers(small):
    wide = reports.wide(small).set_index("cell")
    assert len(wide) == small["cell"].nunique()
    for one in small.itertuples():
        assert wide.loc[one.cell, [one.metric, f"{one.metric} low", f"{one.metric} high"]].tolist() == [
            one.value, one.low, one.high,
        ]  # fmt: skip


def test_markdown_is_bold_for_the_unbeaten_and_keeps_its_columns_whatever_the_names():
    results = frame(row(FD, 10.0, sampler="a|b`<i>"), row(FD, 20.0, sampler="heun"), broken("failed", "x", steps=3))
    text = reports.markdown(results)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows} == {len(re.findall(r"\|", rows[1]))}
    assert "**10.00 [9.50, 10.50]**" in text
    assert "| 20.00 [19.50, 20.50] |" in text
    assert "\\<i>" in text
    assert "The same in every row: model embedded, schedule cosine, spacing karras" in text


def test_metrics_are_called_what_they_are(small):
    for metric in (FD, "kd/cifarnet-3f2a91bc", CLIP, LIGHT):
        said = metric_words.sentence(small, metric)
        assert "N = 1,000 images per cell" in said
    assert "not FID" in metric_words.sentence(small, FD)
    assert "Lower is better" in metric_words.sentence(small, FD)
    assert "neither way is better" in metric_words.sentence(small, LIGHT)
    assert "FID" not in metric_words.title(FD)
    assert (metric_words.quality(small), metric_words.adherence(small)) == (FD, CLIP)


# The answer


def lead(*rows):
    answer = reports.answers(frame(*rows))[0]
    return answer, " ".join([answer.lead, *answer.notes])


def test_a_clear_winner_is_named_with_its_cost_and_interval():
    best = row(FD, 12.3, 0.5, sampler="dpmpp_2m", steps=10, nfe=10.0)
    answer, text = lead(best, row(FD, 20.0, sampler="heun", nfe=20.0), row(FD, 30.0, steps=5, nfe=5.0))
    assert answer.cell == best["cell"]
    best_is = "At 10 network evaluations dpmpp_2m with karras, 10 steps, cfg 3 is best: fd 12.30 [11.80, 12.80]"
    assert answer.lead.startswith(best_is)
    assert "measurably better than all 2 others" in answer.lead
    assert "More than 10 network evaluations an image buy nothing measurable" in text
    assert "cannot tell" not in text


def test_the_cheapest_of_the_unbeaten_is_recommended_and_overlap_is_admitted():
    cheap = row(FD, 10.4, 0.5, steps=10, nfe=10.0)
    answer, text = lead(cheap, row(FD, 10.0, 0.5, steps=50, nfe=50.0), row(FD, 30.0, 0.5, steps=5, nfe=5.0))
    assert answer.cell == cheap["cell"]
    assert "At 10 network evaluations" in answer.lead
    assert "is as good as this sweep can measure" in answer.lead
    assert "cannot tell them apart" in text
    assert "about 6,300 images per cell would show" in text
    assert "More than 10 network evaluations an image buy nothing measurable" in text


def test_a_cheap_cell_that_any_other_measurably_beats_is_not_recommended():
    wide, narrow = row(FD, 10.0, 3.0, steps=50, nfe=50.0), row(FD, 10.5, 0.1, steps=20, nfe=20.0)
    answer, _ = lead(wide, narrow, row(FD, 12.0, 0.5, steps=5, nfe=5.0))  # overlaps the best, but not the precise one
    assert answer.cell == narrow["cell"]


def test_when_every_interval_overlaps_the_data_cannot_tell():
    answer, text = lead(row(FD, 10.0, 2.0, steps=5), row(FD, 10.5, 2.0, steps=10), row(FD, 11.0, 2.0, steps=20))
    assert answer.lead.startswith("The data cannot tell the 3 settings apart")
    assert "is best" not in text
    assert not any(rung.clear for rung in answer.budgets)


def test_improvement_up_to_the_last_step_is_said_to_be_unfinished():
    _, text = lead(row(FD, 30.0, steps=5), row(FD, 20.0, steps=10), row(FD, 10.0, steps=20))
    assert "40 is the most tried: more may help" in text
    assert "buy nothing" not in text


def test_values_without_intervals_are_never_called_best():
    unknown = {"low": math.nan, "high": math.nan, "se": math.nan}
    answer, text = lead({**row(FD, 1.0, steps=5), **unknown}, {**row(FD, 2.0), **unknown})
    assert answer.cell is None
    assert "cannot tell which setting is best" in text
    known = row(FD, 9.0, steps=20)
    answer, text = lead({**row(FD, 1.0, steps=5), **unknown}, known, row(FD, 19.0))
    assert answer.cell == known["cell"]
    assert "1 setting without an interval cannot be ranked" in text


def test_different_numbers_of_images_are_not_compared():
    answer, text = lead(row(FD, 20.0, steps=5), row(FD, 10.0), row(FD, 1.0, steps=20, images=50))
    assert "fd 10.00" in answer.lead
    assert "1 cell with another number of images or other prompts cannot be compared" in text


def test_each_budget_names_the_best_within_it():
    answer, _ = lead(
        row(FD, 30.0, sampler="unipc", nfe=5.0), row(FD, 20.0, sampler="heun", nfe=9.0), row(FD, 10.0, nfe=20.0),
        row(FD, 20.2, sampler="ddim", nfe=8.0),
    )  # fmt: skip
    assert [(rung.condition, rung.setting, rung.clear) for rung in answer.budgets] == [
        ("up to 5", "unipc", False), ("up to 8", "ddim", True), ("up to 9", "heun", False), ("up to 20", "euler", True),
    ]  # fmt: skip
    assert [rung.verdict for rung in answer.budgets] == [
        "the only one", "measurably better than the only other", "cannot tell from ddim",
        "measurably better than all 3 others",
    ]  # fmt: skip


def test_the_effect_of_guidance_is_told_with_its_uncertainty():
    rows = [row(FD, 10.0, scale=1.0), row(FD, 10.2, scale=5.0), row(CLIP, 60.0, scale=1.0), row(CLIP, 70.0, scale=5.0)]
    _, text = lead(*rows)
    assert "from 1 to 5 improves clip_score from 60.00 [59.50, 60.50] to 70.00 [69.50, 70.50]" in text
    assert "does not measurably change fd from 10.00" in text


def test_without_a_ranked_metric_or_without_values_there_is_no_winner():
    assert "no best setting" in lead(row(LIGHT, 0.5), row(LIGHT, 0.6, steps=5))[1]
    assert "nothing to compare" in lead(row(FD, math.nan), row(FD, math.inf, steps=5))[1]
    assert "no best setting" in lead(broken("failed", "boom"))[1]
    assert lead(row(FD, 3.0))[0].lead.startswith("There is only one setting to judge: euler with karras")


def test_every_model_gets_its_own_answer():
    both = reports.answers(frame(row(FD, 9.0, model="a"), row(FD, 1.0, model="b"), row(FD, 30.0, model="b", steps=5)))
    assert [(answer.model, "1.00" in answer.lead) for answer in both] == [("a", False), ("b", True)]


# The page


nothing = {"value": math.nan, "low": math.nan, "high": math.nan, "se": math.nan}
EDGES = {
    "one cell": ([row(FD, 12.0), row(CLIP, 60.0)], {FD: 1}),
    "one sampler": ([row(FD, 9.0, steps=5), row(CLIP, 60.0, steps=5), row(FD, 8.0), row(CLIP, 61.0)], {FD: 2}),
    "one scale": ([row(FD, 9.0, sampler="a"), row(FD, 8.0, sampler="b"), row(CLIP, 60.0, sampler="a")], {FD: 2}),
    "no adherence": ([row(FD, 9.0, scale=1.0), row(FD, 8.0)], {FD: 2}),
    "no interval": ([{**row(FD, 9.0), "low": math.nan, "high": math.nan}, row(CLIP, 60.0)], {FD: 1}),
    "a missing value": ([{**row(FD, 9.0), **nothing}, row(FD, 8.0, steps=5), row(CLIP, 60.0)], {FD: 1}),
    "an infinite value": ([row(FD, math.inf), row(FD, 8.0, steps=5)], {FD: 1}),
    "only missing values": ([{**row(FD, 9.0), **nothing}], {FD: 0}),
    "negative values": ([row(FD, -0.001, 0.002), row(FD, 30.0, steps=5)], {FD: 2}),
    "zero width": ([row(FD, 1.0, 0.0), row(CLIP, 1.0, 0.0)], {FD: 1}),
    "a failed cell": ([row(FD, 9.0), broken("failed", "boom", steps=3), broken("refused", "no", scale=9.0)], {FD: 1}),
    "two models": ([row(FD, 9.0, model="a"), row(FD, 8.0, model="b"), row(CLIP, 60.0, model="b")], {FD: 2}),
    "several spacings": (
        [row(FD, 9.0), row(FD, 8.0, spacing="beta"), row(FD, 7.0, spacing="", schedule="flow")],
        {FD: 3},
    ),
    "no guidance": ([row(FD, 9.0, scale=math.nan), row(CLIP, 60.0, scale=math.nan), row(FD, 8.0)], {FD: 2}),
    "higher is better": ([row("class_agreement", 0.9, 0.01), row("class_agreement", 0.8, 0.01, steps=5)], {}),
    "dollars in names": ([row(FD, 9.0, sampler="$x_$", model="a$b")], {FD: 1}),
    "only failures": ([broken("failed", "boom"), broken("refused", "no", steps=3)], {}),
    "unknown cost": ([row(FD, 9.0, nfe=math.nan), row(FD, 8.0, steps=5, nfe=math.nan)], {}),
    "no samples": ([row(FD, 9.0), row(FD, 8.0, steps=5)], {FD: 2}),
}


@pytest.mark.parametrize("name", EDGES)
def test_the_page_copes_with(name):
    rows, counts = EDGES[name]
    results = frame(*rows)
    html = page(results, samples={} if name == "no samples" else None)
    held = data_of(html)
    for metric, count in counts.items():
        assert sum(row[0] is not None for row in held["numbers"][metric].values()) == count
        assert {"nfe", "seconds", "ranking", "heat"} <= held["charts"][metric].keys()
    assert Parsed(html).all("h1")
    assert ">nan" not in html.lower().replace(library().lower(), "")


def test_the_page_holds_exactly_the_frames_numbers(small, small_page):
    cells = [a for a in Parsed(small_page).all("td") if "data-low" in a]
    wide = reports.wide(small)
    wanted = [(one[m], one[f"{m} low"], one[f"{m} high"], one[f"{m} best"])
              for _, one in wide.iterrows() for m in small["metric"].unique()]  # fmt: skip
    found = [(*(float(a[f"data-{k}"]) for k in ("value", "low", "high")), "best" in a["class"]) for a in cells]
    assert found == wanted


def test_the_page_asks_for_nothing_outside_itself(small_page):
    html = small_page.replace(library(), "")
    parsed = Parsed(html)
    assert all(target.startswith(("data:", "#")) for target in parsed.targets)
    assert len(parsed.targets) == 3  # the recommended setting's samples, the table, the way past the header
    assert "url(" not in html
    assert "@import" not in html
    assert "http:" not in html
    assert "https:" not in html
    assert not parsed.all("link")
    assert not [a for _, a in parsed.tags if "style" in a or any(key.startswith("on") for key in a)]


def test_the_policy_forbids_everything_but_the_pages_own_style_scripts_and_pictures(small_page):
    policy = next(
        a["content"] for a in Parsed(small_page).all("meta") if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; img-src data: file: 'self'; ")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        contents = re.findall(f"<{tag}>(.*?)</{tag}>", small_page, re.S)
        digests = [base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() for content in contents]
        hashes = " ".join(f"'sha256-{digest}'" for digest in digests)
        assert f"{tag}-src {hashes}" in policy
        assert len(contents) == (1 if tag == "style" else 1 + len(page_module.SCRIPTS))


def test_names_prompts_and_reasons_are_text_and_never_markup():
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
    results = frame(
        row(FD, 9.0, sampler=evil, model=evil), row(FD, 8.0, steps=5, spacing=evil), row(evil, 1.0),
        broken("failed", evil, sampler="heun"),
    )  # fmt: skip
    html = page(results, prompts=(evil,), about={"title": evil, "command": evil, evil: evil})
    parsed = Parsed(html)
    assert len(parsed.all("script")) == 2 + len(page_module.SCRIPTS)
    assert not [a for a in parsed.all("img") if not a["src"].startswith("data:image/")]
    assert not [a for _, a in parsed.tags if "onerror" in a]
    assert parsed.text().count("<script>alert(1)</script>") > 6
    assert data_of(html)["prompts"] == [evil]


def test_the_first_screen_is_the_answer_and_every_part_is_there(small, small_page):
    results = conform(pd.concat([small, frame(broken("refused", "needs v, x0 or flow", sampler="heun", steps=3))]))
    html = page(results)
    answer = reports.answers(results)[0]
    text = Parsed(html).text()
    assert all(sentence in text for sentence in (answer.lead, *answer.notes))
    parts = (
        "answer", "choices", "filters", "quality", "samples", "ranking", "tradeoff", "heat", "table", "problems",
        "metrics", "made", "comparison",
    )  # fmt: skip
    order = [html.index(f'id="{part}"') for part in parts]
    assert order == sorted(order)
    for said in ("needs v, x0 or flow", "sigmabench sweep first.yaml", "2026-01-01", "b52b982", "9c1d3e", "1 refused"):
        assert said in text
    assert "not FID" in text


def test_the_same_input_gives_the_same_bytes_and_one_file(tmp_path, small):
    samples = images(small)
    path = reports.write_report(tmp_path / "new", small, samples, ["a", "b", "c"], ABOUT)
    first = path.read_bytes()
    again = reports.write_report(tmp_path / "new", small, samples, ["a", "b", "c"], ABOUT)
    assert again.read_bytes() == first
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["report.html"]


def test_the_saved_table_is_the_wide_table(small, small_page):
    (uri,) = [a["href"] for a in Parsed(small_page).all("a") if "download" in a]
    assert base64.b64decode(uri.split(",")[1]).decode() == table.wide(small).to_csv(index=False, lineterminator="\n")


def test_ids_are_unique_and_everything_named_is_there(small_page):
    html = small_page.replace(library(), "")
    ids = re.findall(r'\sid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    asked = re.findall(r'getElementById\("([^"]+)"\)', html)
    assert set(asked) <= set(ids)
    assert {name[1:] for name in re.findall(r'href="(#[^"]+)"', html)} <= set(ids)


def test_the_pages_data_are_the_frames_numbers(small, small_page):
    held = data_of(small_page)
    place = {field: i for i, field in enumerate(held["fields"])}
    for one in small.itertuples():
        row = held["numbers"][one.metric][one.cell]
        assert [row[place[field]] for field in ("value", "low", "high")] == [one.value, one.low, one.high]
    assert [facet["key"] for facet in held["facets"]] == ["sampler", "steps", "scale"]
    assert [axis["values"] for axis in held["axes"]] == [["dpmpp_2m", "heun"], [5, 20], ["cfg 1", "cfg 3"]]
    assert held["first"] == FD


# Samples


def tiles(uri, width):
    """The images of a sheet, uint8 (k, 3, H, W)."""
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGB"))
    return np.stack([sheet[:, i : i + width].transpose(2, 0, 1) for i in range(0, sheet.shape[1], width)])


def test_samples_of_a_small_sweep_are_kept_to_the_bit_under_their_own_prompts(small, small_page):
    held, samples = data_of(small_page), images(small)
    assert held["prompts"] == ["a cat", "a dog", "a horse"]
    assert held["samples"]["uris"].keys() == samples.keys()
    for cell, stack in samples.items():
        assert np.array_equal(tiles(held["samples"]["uris"][cell], 8), stack)


def test_samples_of_a_large_sweep_lose_quality_then_pixels_then_columns():
    stack = np.random.default_rng(0).integers(0, 256, (4, 3, 256, 128), dtype=np.uint8)
    samples = {str(i): stack for i in range(5)}
    kept, smaller, fewer = (sprites(samples, budget) for budget in (10**9, 100_000, 10_000))
    assert (kept.width, kept.height, kept.columns) == (96, 192, 4)
    assert (smaller.columns, smaller.width < 96) == (4, True)
    assert fewer.columns < 4
    assert sum(map(len, fewer.uris.values())) < 20_000
    for found in (kept, smaller, fewer):
        assert tiles(found.uris["0"], found.width).shape == (found.columns, 3, found.height, found.width)


def test_samples_that_do_not_match_the_prompts_are_refused(small):
    with pytest.raises(ValueError, match="has 3 samples, but there are 2 prompts"):
        page(small, prompts=("a", "b"), samples=images(small, 3))
    with pytest.raises(ValueError, match="uint8 with shape"):
        sprites({"a": np.zeros((2, 3, 4, 4))})


# Several runs


def test_cells_of_several_runs_are_told_apart_by_their_run():
    results = pd.DataFrame([{**row(FD, 9.0), "run": "old"}, {**row(FD, 6.0), "run": "new"}])
    results["cell"] = results["run"] + ":" + results["cell"]
    html = page(conform(results))
    assert "10 steps, cfg 3, run new is best: fd 6.00" in Parsed(html).text()
    held = data_of(html)
    assert [facet["key"] for facet in held["facets"]] == [axis["key"] for axis in held["axes"]] == ["run"]
    assert [cell["line"] for cell in held["cells"]] == ["euler · old", "euler · new"]
    assert "2 runs" in Parsed(html).text()


def test_the_contact_sheet_shows_the_recommended_sampler_by_steps_with_exact_pixels(tmp_path):
    from PIL import Image

    from sigmabench.reports.contact_sheet import GAP, LABEL, TILE, write_contact_sheet

    few, many, other = row(FD, 30.0, steps=5, nfe=5.0), row(FD, 10.0, steps=10), row(FD, 50.0, sampler="heun")
    shades = {few["cell"]: 10, many["cell"]: 200, other["cell"]: 90}
    samples = {cell: np.full((3, 3, 32, 32), shade, np.uint8) for cell, shade in shades.items()}
    path = write_contact_sheet(tmp_path, frame(few, many, other), samples)
    sheet = np.asarray(Image.open(path))
    assert sheet.shape == (2 * (TILE + GAP) + GAP, LABEL + 3 * (TILE + GAP), 3)
    assert [sheet[GAP + i * (TILE + GAP) + 5, LABEL + 5, 0] for i in range(2)] == [10, 200]
