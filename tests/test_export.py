"""Results at hand and as files: a frame that shows itself, runs joined, tables and figures for papers."""

import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

import sigmabench
from sigmabench.eval.errors import UsageError
from sigmabench.eval.exporting import text, write
from sigmabench.eval.publish import publish
from sigmabench.eval.runner import Runner
from sigmabench.eval.sweep import Sweep
from sigmabench.reports.comparisons import Judge
from sigmabench.reports.latex import PAGE, escape, latex
from sigmabench.reports.loaded import FIGURES, Results
from sigmabench.reports.table import entries

SAMPLERS = ["euler", "heun", "dpmpp_2m"]


def run(folder, samplers):
    sweep = Sweep(
        models="gaussian_mixture(size=8)", samplers=samplers, steps=[2, 6], scales=[1, 4], images=12,
        metrics=["trajectory_error", "class_agreement", "luminance"],
    )  # fmt: skip
    runner = Runner(sweep, folder)
    runner.run(lambda images, cell: None)
    publish(runner.plan, folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """All cells in one run, and the same cells over two runs."""
    root = tmp_path_factory.mktemp("export")
    return run(root / "whole", SAMPLERS), run(root / "one", SAMPLERS[:2]), run(root / "two", SAMPLERS[2:])


@pytest.fixture(scope="module")
def whole(folders):
    return sigmabench.load(folders[0])


def test_load_gives_the_frame_that_the_run_has_written(whole, folders):
    assert isinstance(whole, pd.DataFrame)
    pd.testing.assert_frame_equal(
        pd.DataFrame(whole), pd.read_parquet(folders[0] / "results.parquet"), check_dtype=False
    )
    assert type(whole[whole.metric == "luminance"]) is pd.DataFrame
    assert len(whole.comparisons) == 3 * 12 * 11 / 2
    assert len(whole.per_image) == 12 * 12


def test_runs_that_are_joined_are_compared_as_one_run_would_be(whole, folders):
    joined = sigmabench.load(*folders[1:])
    assert joined.run.value_counts().to_dict() == {"one": 24, "two": 12}
    assert set(joined.cell.str.partition(":")[0]) == {"one", "two"}
    bare = joined.assign(cell=joined.cell.str.partition(":")[2]).set_index(["cell", "metric"])
    alone = whole.set_index(["cell", "metric"])
    for column in ("value", "rank_low", "rank_high", "p_best", "p_front_nfe"):
        np.testing.assert_allclose(bare[column], alone.loc[bare.index, column], rtol=1e-6)

    def pairs(frame):
        names = frame[["a", "b"]].map(lambda cell: cell.rpartition(":")[2])
        flip = names["a"] > names["b"]
        key = [frozenset(pair) for pair in zip(names["a"], names["b"], strict=True)]
        half = (frame["high"] - frame["low"]) / 2
        signed = frame["difference"].where(~flip, -frame["difference"])
        return pd.DataFrame({"key": key, "m": frame["metric"], "d": signed, "half": half}).set_index(["key", "m"])

    one, other = pairs(joined.comparisons), pairs(whole.comparisons)
    np.testing.assert_allclose(one["d"], other.loc[one.index, "d"], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(one["half"], other.loc[one.index, "half"], rtol=1e-4)
    assert len(one) == len(other)


def test_equal_cells_of_two_runs_are_told_apart_by_their_runs_and_do_not_differ(folders):
    joined = sigmabench.load(folders[0], folders[1])
    found = joined.comparisons
    same = found[found.a.str.rpartition(":")[2] == found.b.str.rpartition(":")[2]]
    assert len(same) == 3 * 8
    assert same.difference.abs().max() < 1e-6
    assert "run" in entries(joined).columns


def test_the_same_folder_twice_and_a_folder_without_results_are_refused(folders, tmp_path):
    with pytest.raises(ValueError, match="a run is given twice"):
        sigmabench.load(folders[0], folders[0] / ".")
    with pytest.raises(FileNotFoundError, match=r"no results\.parquet or results\.csv"):
        sigmabench.load(tmp_path)


def test_a_notebook_shows_the_answer_and_the_best_cells_in_bold(whole):
    html = whole._repr_html_()
    assert f"<strong>{whole.answers()[0].lead}</strong>" in html
    rows = re.findall(r"<tr><td>(.*?)</tr>", html)
    assert len(rows) == 12
    found = {row.cell: row.entries for row in entries(whole, None, whole.judge).rows}
    best = whole[whole.metric == "trajectory_error"].set_index("cell").value.idxmin()
    assert f"<strong>{found[best][0].value}</strong>" in rows[0]
    assert html.count("</strong>") - 1 == sum(entry.best for row in found.values() for entry in row)
    assert "http" not in html
    assert "<script" not in html


def test_what_a_notebook_shows_is_escaped(whole):
    evil = whole.copy()
    evil["model"] = "<img src=x onerror=alert(1)>"
    shown = Results(evil)
    shown.comparisons, shown.per_image = whole.comparisons, whole.per_image
    assert "<img" not in shown._repr_html_()
    assert "&lt;img" in shown._repr_html_()


def test_bold_is_by_statistics_and_not_by_rank(whole):
    """Every cell that the best one is not measurably better than is bold, and no other, in each form."""
    rows = whole[whole.metric == "trajectory_error"].sort_values("value").reset_index(drop=True)
    pair = {rows.cell[0], rows.cell[4]}  # the data are made unable to tell the fifth from the first
    unsure = Results(whole.copy())
    unsure.per_image, unsure.comparisons = whole.per_image, whole.comparisons.copy()
    of_both = [{a, b} == pair for a, b in unsure.comparisons[["a", "b"]].itertuples(index=False)]
    unsure.comparisons.loc[of_both, ["low", "high"]] = -1.0, 1.0
    above = Judge(unsure.comparisons).above(rows)
    expected = {rows.cell[i] for i in range(len(rows)) if not above[i, 0]}
    assert pair <= expected
    assert rows.cell[2] not in expected
    table = unsure.table()
    assert set(table[table["trajectory_error best"]].cell) == expected
    assert unsure.markdown(["trajectory_error"]).count("**") == 2 * len(expected)
    assert unsure.latex(["trajectory_error"]).count(r"\textbf{") == len(expected)
    assert not table["luminance best"].any()  # a description has no best


def test_markdown_and_latex_have_every_value_with_its_interval(whole):
    table = whole.table()
    for form in (whole.markdown(), whole.latex().replace("{[}", "[").replace("{]}", "]")):
        for _, row in table.iterrows():
            low, high = row["luminance low"], row["luminance high"]
            places = max(1 - int(np.floor(np.log10((high - low) / 2))), 0)
            assert f"[{low:.{places}f}, {high:.{places}f}]" in form
    assert r"trajectory\_error $\downarrow$ & class\_agreement $\uparrow$ & luminance \\" in whole.latex()


def test_latex_is_escaped(whole):
    assert escape("a_b & 50 % of {x} ~ ^ \\ <y> | $1 #2") == (
        r"a\_b \& 50 \% of \{x\} \textasciitilde{} \textasciicircum{} \textbackslash{} \textless{}y\textgreater{} "
        r"\textbar{} \$1 \#2"
    )
    assert escape("caf\u00e9 \u2013 \u00b7 \u6f22\n\\input{/etc/passwd}") == (
        r"cafe -- $\cdot$ ? \textbackslash{}input\{/etc/passwd\}"
    )


def test_latex_compiles(whole, tmp_path):
    """Short and long tables, with every sign that a name may have."""
    evil = whole.copy()
    signs = "".join(map(chr, range(32, 127)))
    evil["spacing"] = [f"{signs} \u00fc\u2013\u4e2d {i}" for i in range(len(evil))]
    many = pd.concat([whole.assign(cell=whole.cell + str(i), steps=i) for i in range(PAGE // 12 + 1)])
    (tmp_path / "short.tex").write_text(latex(evil), encoding="utf-8")
    (tmp_path / "long.tex").write_text(latex(many), encoding="utf-8")
    for name, kind in (("short", "tabular"), ("long", "longtable")):
        content = (tmp_path / f"{name}.tex").read_text(encoding="utf-8")
        assert content.count(rf"\begin{{{kind}}}") == content.count(rf"\end{{{kind}}}") == 1
        rows = [line for line in content.splitlines() if line.endswith(r"\\") and "&" in line]
        columns = len(re.search(rf"{kind}}}{{([lr]+)}}", content)[1])
        assert all(len(re.findall(r"(?<!\\)&", row)) == columns - 1 for row in rows)
    if shutil.which("pdflatex") is None:
        pytest.skip(
            "pdflatex is not installed: apt-get install texlive-latex-recommended; the structure is as it should be"
        )
    paper = (
        r"\documentclass{article}\usepackage{booktabs,longtable}\begin{document}\input{short}\input{long}\end{document}"
    )
    (tmp_path / "paper.tex").write_text(paper)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]


def test_files_have_the_numbers_of_the_table(whole, tmp_path):
    for name in ("t.csv", "t.parquet", "t.md", "t.tex"):
        assert write(whole, tmp_path / name, None, "quality") == tmp_path / name
    table = pd.read_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(table, whole.table(), check_dtype=False)
    csv = pd.read_csv(tmp_path / "t.csv")
    np.testing.assert_array_equal(csv["luminance"], table["luminance"])
    assert (tmp_path / "t.md").read_text(encoding="utf-8") == whole.markdown()
    assert (tmp_path / "t.tex").read_text(encoding="utf-8") == whole.latex()
    assert (
        text(whole, "csv", ["luminance"])
        .splitlines()[0]
        .endswith("luminance,luminance low,luminance high,luminance best")
    )


def test_figures_are_vector_or_print_resolution(whole, tmp_path):
    from PIL import Image

    write(whole, tmp_path / "f.svg", None, "quality")
    assert (tmp_path / "f.svg").read_text(encoding="utf-8").startswith("<svg")
    write(whole, tmp_path / "f.png", ["trajectory_error"], "ranking")
    assert min(Image.open(tmp_path / "f.png").size) > 600
    write(whole, tmp_path / "f.pdf", None, "heat")
    assert (tmp_path / "f.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_an_altair_chart(whole, name):
    import altair

    assert isinstance(whole.figure(name), altair.TopLevelMixin)


@pytest.mark.parametrize(
    ("name", "metrics", "figure", "message"),
    [
        ("t.xlsx", None, "quality", r"unknown suffix '\.xlsx'; tables and figures are \.md, \.tex"),
        ("t", None, "quality", "unknown suffix 'of none'"),
        ("t.md", ["fd"], "quality", "no metric 'fd' in these results; there are trajectory_error, class_agreement"),
        ("t.svg", None, "pie", "no figure 'pie'; there are quality, ranking, tradeoff, heat"),
    ],
)
def test_what_cannot_be_exported_is_named(whole, tmp_path, name, metrics, figure, message):
    with pytest.raises(UsageError, match=message):
        write(whole, tmp_path / name, metrics, figure)
    assert list(tmp_path.iterdir()) == []
