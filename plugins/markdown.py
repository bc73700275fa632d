"""Docstrings and texts of settings as Markdown."""

from __future__ import annotations

import re

LINKS = (
    (re.compile(r"arXiv:(\d{4}\.\d{4,5})"), r"[\g<0>](https://arxiv.org/abs/\1)"),
    (re.compile(r"doi:(10\.[^\s,;]*[^\s,;.)])"), r"[\g<0>](https://doi.org/\1)"),
)


def prose(text: str) -> str:
    """Markdown that shows the text as it is, code in ``double backticks`` and papers as links."""
    parts = re.split(r"``(.+?)``", " ".join(text.split()))
    for i in range(0, len(parts), 2):
        plain = re.sub(r"([\\*<>|\[\]`])", r"\\\1", parts[i])
        for pattern, link in LINKS:
            plain = pattern.sub(link, plain)
        parts[i] = plain
    return "".join(f"`{part}`" if i % 2 else part for i, part in enumerate(parts))
