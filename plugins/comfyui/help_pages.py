"""A help page for each node, written when ComfyUI loads the pack: other people's plugins have one too."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...samplers.settings import legal_values
from ..registry import Entry


def write(classes: Mapping[str, type], titles: Mapping[str, str]) -> str:
    """Write docs/<NodeId>.md for every node into ComfyUI's temporary folder; returns the folder above docs."""
    import folder_paths

    root = Path(folder_paths.get_temp_directory()) / "sigmabench"
    (root / "docs").mkdir(parents=True, exist_ok=True)
    for name, cls in classes.items():
        (root / "docs" / f"{name}.md").write_text(page(cls, titles[name]), encoding="utf-8")
    return str(root)


def page(cls: Any, title: str) -> str:
    """The page of one node: what it is, its inputs with their legal values, its source."""
    parts = [f"# {title}", _prose(cls.DESCRIPTION), "## Inputs", _table(_inputs(cls))]
    parts += ["## Outputs", _table([(f"`{n}`", t) for n, t in zip(cls.RETURN_NAMES, cls.RETURN_TYPES, strict=True)])]
    entry = getattr(cls, "ENTRY", None)
    if entry is not None:
        parts += ["## Source", _source(entry)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _inputs(cls: Any) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("name", "type", "values", "what it is")]
    fields = getattr(getattr(cls, "ENTRY", None), "cls", type(None))
    known = getattr(fields, "__dataclass_fields__", {})
    for group, inputs in cls.INPUT_TYPES().items():
        for name, given in inputs.items():
            kind, options = given[0], given[1] if len(given) > 1 else {}
            shown = "choice" if isinstance(kind, list) else kind
            legal = ", ".join(map(str, kind)) if isinstance(kind, list) else _range(options)
            if name in known and not isinstance(kind, list) and known[name].metadata.get("kind") is None:
                legal = (
                    "text" if kind == "STRING" and isinstance(known[name].default, str) else legal_values(known[name])
                )
            rows.append(
                (f"`{name}`", shown + (", optional" if group == "optional" else ""), legal, options.get("tooltip", ""))
            )
    return rows


def _range(options: Mapping[str, Any]) -> str:
    return f"{options['min']:g} to {options['max']:g}" if "min" in options else ""


def _source(entry: Entry) -> str:
    text = f"`{entry.name}` in sweeps and on the command line"
    text += f"; also known as {', '.join(f'`{alias}`' for alias in entry.aliases)}" if entry.aliases else ""
    where = "built in" if not entry.version else f"from the plugin {entry.plugin} {entry.version}"
    return f"{text}; {where}."


def _prose(text: str) -> str:
    """Docstrings indent nothing but formulas stand alone: keep paragraphs, show formulas as code."""
    paragraphs = inspect.cleandoc(text).replace("``", "`").split("\n\n")
    return "\n\n".join(f"```\n{inspect.cleandoc(p)}\n```" if _formula(p) else p for p in paragraphs)


def _formula(paragraph: str) -> bool:
    return "=" in paragraph and ". " not in paragraph and not paragraph.rstrip().endswith((".", ":"))


def _table(rows: list[tuple[str, ...]]) -> str:
    if not rows or not rows[0]:
        return ""
    if rows[0][0] != "name":
        rows = [("name", "type"), *rows]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])
