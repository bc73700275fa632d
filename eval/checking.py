"""``sigmabench check``: the conformance kit on one plugin, printed check by check."""

from __future__ import annotations

import torch
from rich.console import Console
from rich.markup import escape

from ..plugins.expression import parse
from ..plugins.hookspecs import KINDS
from ..plugins.registry import UnknownName, build, find
from .errors import UsageError


def check_named(text: str, kind: str | None = None) -> bool:
    """Run every check on the plugin that ``text`` names and print what each one found; true if all pass.

    Raises:
        UsageError: for a name that no kind with checks has, or that several have while ``kind`` is None.
    """
    from ..samplers.testing import CHECKS, checks

    torch.set_num_threads(1)
    if kind not in (None, *CHECKS):
        raise UsageError(f"kind {kind!r} has no checks; those that have: {', '.join(CHECKS)}")
    try:
        kind = kind or _kind_of(text, list(CHECKS))
        plugin = build(kind, text)
    except (ValueError, TypeError) as error:
        raise UsageError(str(error)) from error
    console, passed = Console(), True
    for name, check in checks(plugin, kind):
        try:
            check(plugin)
        except Exception as error:
            passed = False
            console.print(f"[red]FAIL[/red] {name}: {escape(str(error) or type(error).__name__)}")
        else:
            console.print(f"[green]pass[/green] {name}")
    return passed


def _kind_of(text: str, kinds: list[str]) -> str:
    """The kind that has the name; a sampler where none has, so that the message lists samplers."""
    having = [kind for kind in KINDS if _has(kind, parse(text).name)]
    found = [kind for kind in having if kind in kinds]
    if having and not found:
        raise UsageError(f"{text!r} is a {having[0]}, which has no checks; those that have: {', '.join(kinds)}")
    if len(found) > 1:
        raise UsageError(f"{text!r} is a {' and a '.join(found)}; add --kind {' or --kind '.join(found)}")
    return found[0] if found else "sampler"


def _has(kind: str, name: str) -> bool:
    try:
        return bool(find(kind, name))
    except UnknownName:
        return False
