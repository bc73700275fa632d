"""A help page for each node, written when ComfyUI loads the pack: other people's plugins have one too.

ComfyUI shows it in a column some 200 pixels wide, where a table would be cut off: inputs are a list.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..markdown import prose
from ..registry import Entry
from .widgets import LARGEST


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
    parts = [f"# {title}", _paragraphs(cls.DESCRIPTION)]
    if inputs := "\n".join(_inputs(cls)):
        parts += ["## Inputs", inputs]
    outputs = zip(cls.RETURN_NAMES, cls.RETURN_TYPES, strict=True)
    parts += ["## Outputs", "\n".join(f"- **{name}** ({kind})" for name, kind in outputs)]
    entry = getattr(cls, "ENTRY", None)
    if entry is not None:
        parts += ["## Source", _source(entry)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _inputs(cls: Any) -> Iterator[str]:
    """A line for each input: what it is, of which type, and what it may be."""
    for group, inputs in cls.INPUT_TYPES().items():
        for name, (kind, *more) in inputs.items():
            options = more[0] if more else {}
            facts = ", ".join(filter(None, (*_values(kind, options), "optional" if group == "optional" else "")))
            told = prose(options.get("tooltip", ""))
            yield f"- **{name}** ({facts})" + (f": {told}" if told else "")


def _values(kind: Any, options: Mapping[str, Any]) -> Iterator[str]:
    choices = isinstance(kind, list)
    yield "one of " + ", ".join(f"`{choice}`" for choice in kind) if choices else str(kind)
    if "min" in options:
        yield _range(options["min"], options["max"])
    default = options.get("default", kind[0] if choices else "")
    if default != "" and "\n" not in str(default):
        yield f"default `{default:g}`" if isinstance(default, float) else f"default `{default}`"


def _range(low: float, high: float) -> str:
    ends = [f"{end:.10g}" if abs(end) < LARGEST else "" for end in (low, high)]
    if all(ends):
        return " to ".join(ends)
    return f"at least {ends[0]}" if ends[0] else f"at most {ends[1]}" if ends[1] else ""


def _source(entry: Entry) -> str:
    text = f"`{entry.name}` in sweeps and on the command line"
    text += f"; also known as {prose(', '.join(entry.aliases))}" if entry.aliases else ""
    where = "built in" if not entry.version else f"from the plugin {entry.plugin} {entry.version}"
    return f"{text}; {where}."


def _paragraphs(text: str) -> str:
    """Docstrings indent nothing but formulas stand alone: keep paragraphs, show formulas as code."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(f"```\n{inspect.cleandoc(p)}\n```" if _is_formula(p) else prose(p) for p in paragraphs)


def _is_formula(paragraph: str) -> bool:
    return "=" in paragraph and ". " not in paragraph and not paragraph.rstrip().endswith((".", ":"))
