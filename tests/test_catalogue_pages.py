"""The pages in reports/catalogue are those the code would write, and say what the registry and the measurements say."""

import dataclasses
import re
from pathlib import Path

import pandas as pd
import pytest

import sigmabench
from sigmabench.eval.catalogue_pages import PAGES, pages
from sigmabench.eval.not_built import NOT_BUILT
from sigmabench.plugins.door import NAME, REFERENCE
from sigmabench.plugins.hookspecs import KINDS
from sigmabench.plugins.registry import catalogue

FOLDER = Path(sigmabench.__file__).parent / "reports" / "catalogue"
FRESH = pages(["builtin"])


@pytest.mark.parametrize("name", FRESH)
def test_a_committed_page_is_fresh(name):
    kept = (FOLDER / name).read_text(encoding="utf-8") if (FOLDER / name).exists() else ""
    new = FRESH[name].splitlines()
    different = [line for line in kept.splitlines() if line not in new] + [line for line in new if line not in kept]
    remedy = f"reports/catalogue/{name} is stale: run `sigmabench docs` in the repository and commit its pages"
    assert kept == FRESH[name], f"{remedy}; for example {different[:3]}"


def test_no_other_page_is_kept():
    assert {path.name for path in FOLDER.iterdir()} == set(FRESH)


@pytest.mark.parametrize("kind", KINDS)
def test_every_plugin_has_its_section_settings_and_line_in_the_index(kind):
    for entry in catalogue(kind).values():
        if entry.plugin == "builtin":
            section = FRESH[f"{kind}.md"].split(f"\n## {entry.name}\n")[1].split("\n## ")[0]
            assert all(f"| `{field.name}` |" in section for field in dataclasses.fields(entry.cls))
            assert all(f"`{alias}`" in section for alias in entry.aliases)
            assert f"[{entry.name}]({kind}.md#{entry.name})" in FRESH["README.md"]


def test_formulas_are_set_as_they_are_and_papers_are_links():
    page = FRESH["sampler.md"]
    assert "```\nx_t = sigma_t/sigma_s * x + (alpha_t - sigma_t/sigma_s * alpha_s) * x0\n```" in page
    assert "[arXiv:2206.00364](https://arxiv.org/abs/2206.00364), Algorithm 1" in page
    assert "[doi:10.1007/978-3-540-78862-1](https://doi.org/10.1007/978-3-540-78862-1), section" in page


def test_links_to_code_and_pages_lead_somewhere():
    for text in FRESH.values():
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert (FOLDER / target).exists(), target


def test_measured_orders_are_those_of_the_report():
    orders = pd.read_csv(FOLDER.parent / "orders" / "orders.csv").set_index(["name", "process"])
    order = orders.loc[("heun", "VP"), "order"]
    assert f"| `heun` | 2 | {order:.2f} | 2 |" in FRESH["sampler.md"]


def test_what_is_not_built_is_not_registered_and_has_its_source_and_reason():
    assert len({(row.kind, row.name) for row in NOT_BUILT}) == len(NOT_BUILT)
    for row in NOT_BUILT:
        registered = {name for entry in catalogue(row.kind).values() for name in (entry.name, *entry.aliases)}
        assert row.name not in registered
        assert NAME.fullmatch(row.name)
        assert REFERENCE.search(row.source)
        assert row.reason.endswith(".")
        assert f"| `{row.name}` |" in FRESH["not_built.md"].split(f"\n## {PAGES[row.kind]}\n")[1].split("\n## ")[0]
