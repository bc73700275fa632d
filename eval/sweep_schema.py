"""The JSON schema of sweep files, by which editors check and complete them: https://json-schema.org.

From the model of the fields and the catalogue: names of plugins with what they are, and calls of them by a pattern.
"""

from __future__ import annotations

import re
from typing import Any

from .describing import NAMES, Rows
from .sweep import MODEL_SCHEDULE, PLUGIN, Sweep

DIALECT = "http://json-schema.org/draft-07/schema#"
"""What the YAML language server speaks."""


def schema(rows: Rows) -> dict[str, Any]:
    """The schema for the plugins in these rows of the catalogue."""
    made = Sweep.model_json_schema()
    properties = {name: _property(field, rows) for name, field in made["properties"].items()}
    about = "A sweep of sigmabench: every combination of the lists is a cell."
    return {"$schema": DIALECT, "title": "Sweep", "description": about, **_closed(made), "properties": properties}


def _closed(made: dict[str, Any]) -> dict[str, Any]:
    return {key: made[key] for key in ("type", "additionalProperties")}


def _property(field: dict[str, Any], rows: Rows) -> dict[str, Any]:
    """A field; where it is a list, a single value stands for a list of one."""
    kept = {key: value for key, value in field.items() if key not in ("title", "items", "type", "minItems")}
    if field["type"] != "array":
        return {**kept, "type": field["type"]}
    one = _one(field["items"], rows)
    several = {"type": "array", "items": one, **({"minItems": field["minItems"]} if "minItems" in field else {})}
    return {**kept, "anyOf": [one, several]}


def _one(item: dict[str, Any], rows: Rows) -> dict[str, Any]:
    kind = item.get(PLUGIN)
    if kind is None:
        return item
    if kind == NAMES:
        return {
            "anyOf": [_choice({row["name"]: row["note"] or row["reason"] for row in rows[NAMES]}), {"type": "string"}]
        }
    return _plugin(rows[kind], {MODEL_SCHEDULE: "the one each model was trained on"} if kind == "schedule" else {})


def _plugin(rows: list[dict[str, Any]], more: dict[str, str]) -> dict[str, Any]:
    """A name, or a call with settings of a name or an alias."""
    known = [name for row in rows for name in (row["name"], *row["aliases"])]
    names = "|".join(re.escape(name) for name in known)
    call = {"type": "string", "pattern": rf"^\s*({names})\s*(\([\s\S]*\))?\s*$"}
    return {"anyOf": [_choice({**more, **{row["name"]: _about(row) for row in rows}}), call]}


def _choice(described: dict[str, str]) -> dict[str, Any]:
    return {"enum": list(described), "enumDescriptions": list(described.values())}


def _about(row: dict[str, Any]) -> str:
    """What a plugin is, and its settings with their defaults."""
    settings = ", ".join(f"{name}={setting['default']}" for name, setting in row["settings"].items())
    return f"{row['summary']} Settings: {settings}." if settings else row["summary"]
