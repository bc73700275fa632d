"""``sigmabench init``: a sweep file with every field, what it means and what it may be; it runs as it is."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic.fields import FieldInfo

from .errors import UsageError
from .sweep import Sweep

SCHEMA = "https://raw.githubusercontent.com/sigmabench/sigmabench/main/reports/catalogue/sweep.schema.json"
EXAMPLE = {"samplers": ["euler", "dpmpp_2m"], "steps": [5, 10], "scales": [1.0, 3.0]}
"""What differs from the defaults, so that there is something to compare."""
HEAD = """\
# yaml-language-server: $schema={schema}
#
# A sweep: every combination of the lists is a cell, and all cells share prompts, seeds and noise.
# Run it:                      sigmabench sweep {name}
# What may stand in a field:   sigmabench list sampler     (or schedule, spacing, guidance, backend, metric, names)
# Settings go in brackets:     samplers: [heun, "dpmpp_2m_sde(eta=0.5)"]
"""


def write_template(path: Path) -> Path:
    """
    Raises:
        UsageError: if the file is there already, or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(template(path.name))
    except FileExistsError as error:
        raise UsageError(f"{path} is there already; name another file, or remove it") from error
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}; name another file") from error
    return path


def template(name: str) -> str:
    """The text of a sweep file of that name."""
    defaults = Sweep(**EXAMPLE).model_dump()  # type: ignore[arg-type]
    parts = [_field(key, field, defaults[key]) for key, field in Sweep.model_fields.items()]
    return "\n".join([HEAD.format(schema=SCHEMA, name=name), *parts])


def _field(name: str, field: FieldInfo, value: Any) -> str:
    about = "; ".join(text for text in (field.description, _legal(field)) if text)
    comment = textwrap.fill(about, 100, initial_indent="# ", subsequent_indent="# ")
    text = yaml.safe_dump(value, default_flow_style=True, width=100).removesuffix("...\n").rstrip()
    return f"{comment}\n{name}: {text}\n"


def _legal(field: FieldInfo) -> str:
    """The values it takes, where they are few or have ends."""
    if choices := [choice for choice in get_args(field.annotation) if isinstance(choice, str)]:
        return "one of " + ", ".join(choice or "''" for choice in choices)
    ends = {
        key: value for rule in field.metadata for key in ("ge", "le") if (value := getattr(rule, key, None)) is not None
    }
    return f"{ends['ge']:,} to {ends['le']:,}" if len(ends) == 2 else ""
