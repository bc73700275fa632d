"""Prompts of a sweep: a list, or a UTF-8 text file with one prompt a line."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from .errors import UsageError


def read_prompts(path: Path) -> list[str]:
    """
    Raises:
        UsageError: for a missing file, bytes that are not UTF-8 or empty lines (naming the line), and for no prompt.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"prompts: cannot read {path}: {error.strerror}; give a text file or a list") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UsageError(f"prompts: {path} line {line} is not UTF-8; save the file as UTF-8") from error
    return check_prompts(text.splitlines(), str(path))


def check_prompts(prompts: Sequence[str], where: str = "the list") -> list[str]:
    """The prompts without surrounding blanks; an empty one is an error, not a silent unconditional image."""
    stripped = [prompt.strip() for prompt in prompts]
    empty = [str(i) for i, prompt in enumerate(stripped, 1) if not prompt]
    if empty:
        raise UsageError(f"prompts: {where} has an empty line at {', '.join(empty[:5])}; remove it")
    if not stripped:
        raise UsageError(f"prompts: {where} is empty; give at least one prompt")
    return stripped


def prompts_hash(prompts: Sequence[str]) -> str:
    """Eight hex digits that name a prompt list."""
    return hashlib.blake2b("\n".join(prompts).encode(), digest_size=4).hexdigest()
