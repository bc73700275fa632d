"""The parser: all groups of commands, and the options before the command."""

from __future__ import annotations

from typing import Annotated

import typer

from ... import __version__
from . import exploring, planning, plugins, reading, running
from .groups import EXIT_CODES, Headed

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None, epilog=EXIT_CODES, cls=Headed,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    help="Diffusion samplers, noise schedules and guidance: compared on real images, with intervals.",
)  # fmt: skip
GROUPS = (running.group, planning.group, reading.group, exploring.group, plugins.group)
for group in GROUPS:
    app.add_typer(group)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sigmabench {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Options before the command."""
