"""The command line, a file for each group of commands; what is slow to import is imported by the command that needs it.

    running.py     init, demo, sweep, resume, join
    planning.py    plan
    reading.py     report, compare, export, serve
    exploring.py   explore
    plugins.py     list, check, orders, optimise, docs

Exit codes: 0 all cells done, 1 some cells failed, 2 bad input (nothing was started), 130 interrupted (resume it).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from ..errors import UsageError


def main() -> None:
    """Entry point: turns errors of use into one message and exit code 2."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # who reads has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if not _of_use(error):
            raise
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)


def _run(arguments: Sequence[str]) -> None:
    words = [word for word in arguments[1:] if word != "--json"]
    if arguments[:1] == ["list"] and len(words) < 2 and not any(word.startswith("-") for word in words):
        from ..listing import show  # loading the parser would take longer than the answer

        show(words[0] if words else None, as_json="--json" in arguments)
        return
    from .app import app

    app(prog_name="sigmabench")


def _of_use(error: Exception) -> bool:
    """Whether it is the caller's to mend."""
    from ...plugins.registry import UnknownName

    return isinstance(error, (UsageError, UnknownName))
