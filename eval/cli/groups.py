"""What the groups of commands share: their headings, and the examples at the end of each command's help."""

from __future__ import annotations

EXIT_CODES = "Exit codes: 0 done, 1 some cells failed, 2 bad input (nothing was started), 130 interrupted (resume it)."
RUN, READ, PLUGINS = "Run a sweep", "Read its results", "Plugins"
HEADING = "Examples:"


def examples(*commands: str) -> str:
    """The end of a command's help: commands that can be pasted as they are, one a line."""
    return "\n".join([HEADING, *(f"  {command}".replace("[", r"\[") for command in commands)])
