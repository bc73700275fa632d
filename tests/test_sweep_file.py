"""The sweep file that ``init`` writes, and the schema by which editors check one."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

import sigmabench
from sigmabench.eval.catalogue_pages import pages
from sigmabench.eval.errors import UsageError
from sigmabench.eval.sweep import Sweep, load_sweep
from sigmabench.eval.sweep_template import EXAMPLE, SCHEMA, template, write_template
from sigmabench.plugins.registry import catalogue

ROOT = Path(sigmabench.__file__).parent
PUBLISHED = json.loads((ROOT / "reports" / "catalogue" / "sweep.schema.json").read_text(encoding="utf-8"))
CHECK = jsonschema.Draft7Validator(PUBLISHED)
FIELDS = {
    "samplers": "sampler",
    "schedules": "schedule",
    "spacings": "spacing",
    "guidance": "guidance",
    "metrics": "metric",
    "models": "backend",
}


def test_init_writes_every_field_with_a_comment_and_the_defaults(tmp_path):
    text = write_template(tmp_path / "first.yaml").read_text(encoding="utf-8")
    assert list(yaml.safe_load(text)) == list(Sweep.model_fields)
    assert load_sweep(tmp_path / "first.yaml") == Sweep(**EXAMPLE)
    lines = text.splitlines()
    fields = [i for i, line in enumerate(lines) if line.partition(":")[0] in Sweep.model_fields]
    assert all(lines[i - 1].startswith("# ") for i in fields)
    assert lines[0] == f"# yaml-language-server: $schema={SCHEMA}"
    assert "one of auto, cpu, cuda, mps" in text
    assert "1 to 100,000" in text


def test_init_never_writes_over_a_file(tmp_path):
    (tmp_path / "mine.yaml").write_text("samplers: heun\n")
    with pytest.raises(UsageError, match=r"mine\.yaml is there already; name another file"):
        write_template(tmp_path / "mine.yaml")
    assert (tmp_path / "mine.yaml").read_text() == "samplers: heun\n"


def test_the_published_schema_is_where_the_files_of_init_say():
    assert SCHEMA.endswith("/main/reports/catalogue/sweep.schema.json")
    assert json.loads(pages(["builtin"])["sweep.schema.json"]) == PUBLISHED  # its text: tests/test_catalogue_pages.py


def test_the_schema_is_one_and_passes_the_files_that_sweep_passes():
    jsonschema.Draft7Validator.check_schema(PUBLISHED)
    CHECK.validate(yaml.safe_load(template("sweep.yaml")))
    CHECK.validate(yaml.safe_load((ROOT / "eval" / "demo.yaml").read_text(encoding="utf-8")))
    CHECK.validate({"samplers": "churn(heun, s_churn=40)", "steps": 7, "prompts": "prompts.txt", "schedules": "model"})
    CHECK.validate({"pairs": ["DPM++ 2M Karras", "dpmpp_2m_sde / exponential"], "scales": 3})


@pytest.mark.parametrize("field", FIELDS)
def test_the_schema_knows_every_name_and_alias_and_no_other(field):
    for entry in catalogue(FIELDS[field]).values():
        if entry.plugin == "builtin":
            for name in (entry.name, *entry.aliases):
                CHECK.validate({field: name})
                CHECK.validate({field: [f"{name}()"]})
    assert not CHECK.is_valid({field: "eulr"})
    assert not CHECK.is_valid({field: ["eulr(eta=1)"]})


@pytest.mark.parametrize(
    "wrong",
    [{"sampler": "euler"}, {"steps": 0}, {"steps": ["ten"]}, {"device": "tpu"}, {"images": 0}, {"scales": -1}],
    ids=str,
)
def test_the_schema_refuses_what_sweep_refuses(wrong):
    assert not CHECK.is_valid(wrong)
    with pytest.raises(UsageError):
        load_sweep(None, wrong)


def test_the_schema_says_what_a_plugin_is_and_its_settings():
    choice = PUBLISHED["properties"]["samplers"]["anyOf"][0]["anyOf"][0]
    about = dict(zip(choice["enum"], choice["enumDescriptions"], strict=True))
    assert "eta=1.0" in about["dpmpp_2m_sde"]
    assert about["heun"].startswith(catalogue("sampler")["heun"].summary)
