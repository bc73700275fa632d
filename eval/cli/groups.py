"""What the groups of commands share: their headings, and the examples at the end of each command's help.

Help is plain text: drawing it with rich would take longer than importing all else that a command line needs.
"""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

EXIT_CODES = "Exit codes: 0 done, 1 some cells failed, 2 bad input (nothing was started), 130 interrupted (resume it)."
RUN, READ, PLUGINS = "Run a sweep", "Read its results", "Plugins"
HEADING = "Examples:"


def examples(*commands: str) -> str:
    """The end of a command's help: commands that can be pasted as they are, one a line."""
    return "\n".join(["\b", HEADING, *(f"  {command}" for command in commands)])


class Headed(TyperGroup):
    """Lists its commands under the headings of their groups."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Called by the parser for ``--help``."""
        commands: dict[str, Any] = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        room = formatter.width - 6 - max(map(len, commands))
        for heading in (RUN, READ, PLUGINS):
            own = {name: command for name, command in commands.items() if command.rich_help_panel == heading}
            with formatter.section(heading):
                formatter.write_dl([(name, command.get_short_help_str(room)) for name, command in own.items()])
