"""The command line, a file for each group of commands; what is slow to import is imported by the command that needs it.

    running.py     init, demo, sweep, resume, join
    planning.py    plan
    reading.py     report, compare
    plugins.py     list, check, orders, optimise, docs
    exploring.py   explore

Exit codes: 0 all cells done, 1 some cells failed, 2 bad input (nothing was started), 130 interrupted (resume it).
"""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from ... import __version__
from ..errors import UsageError
from . import exploring, planning, plugins, reading, running
from .groups import EXIT_CODES

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="rich", epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Diffusion samplers, noise schedules and guidance: compared on real images, with intervals.",
)  # fmt: skip
for group in (running.group, planning.group, reading.group, plugins.group, exploring.group):
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


def main() -> None:
    """Entry point: turns errors of use into one message and exit code 2."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except Exception as error:
        if not _of_use(error):
            raise
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)


def _of_use(error: Exception) -> bool:
    """Whether it is the caller's to mend."""
    from ...plugins.registry import UnknownName

    return isinstance(error, (UsageError, UnknownName))
