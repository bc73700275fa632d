"""``sigmabench check``: the conformance kit on one sampler, printed check by check."""

from __future__ import annotations

import torch
from rich.console import Console
from rich.markup import escape

from ..plugins.registry import build
from .errors import UsageError


def check_named(text: str) -> bool:
    """Run every check on the sampler that ``text`` names and print what each one found; true if all pass."""
    from ..samplers.testing import checks

    torch.set_num_threads(1)
    try:
        sampler = build("sampler", text)
    except (ValueError, TypeError) as error:
        raise UsageError(str(error)) from error
    console, passed = Console(), True
    for name, check in checks(sampler):
        try:
            check(sampler)
        except Exception as error:
            passed = False
            console.print(f"[red]FAIL[/red] {name}: {escape(str(error) or type(error).__name__)}")
        else:
            console.print(f"[green]pass[/green] {name}")
    return passed
