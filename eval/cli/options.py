"""Options that several commands share, and what a shell completes them with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError

Completion = Callable[[str], Iterator[tuple[str, str]]]


def names(*kinds: str) -> Completion:
    """Completes the names of these kinds of plugins, each with what it is."""

    def complete(incomplete: str) -> Iterator[tuple[str, str]]:
        from ..catalogue_data import catalogue_data

        rows = catalogue_data()
        for row in (row for kind in kinds for row in rows[kind]):
            if row["name"].startswith(incomplete):
                yield row["name"], row["summary"]

    return complete


def words(*choices: str) -> Callable[[str], list[str]]:
    """Completes one of these words."""
    return lambda incomplete: [choice for choice in choices if choice.startswith(incomplete)]


def texts_by_name(texts: Iterable[str]) -> dict[str, str]:
    """``style=a dark photo`` as a name and its text.

    Raises:
        UsageError: for one without a name.
    """
    parts = [text.partition("=") for text in texts]
    if bad := next((name for name, equals, _ in parts if not equals), None):
        raise UsageError(f"text = {bad!r}: write a name and its text, as in --text 'style=a dark photo'")
    return {name.strip(): text for name, _, text in parts}


Folder = Annotated[Path, typer.Argument(help="Folder of a run.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder of the run; the same folder continues it.")]
Json = Annotated[bool, typer.Option("--json", help="For scripts: one JSON document on standard output.")]
Workers = Annotated[str, typer.Option(help="A number of processes, 'ray(count=8)' or 'slurm(count=8, partition=gpu)'.")]
Device = Annotated[
    str | None, typer.Option(help="auto, cpu, cuda, mps.", autocompletion=words("auto", "cpu", "cuda", "mps"))
]
Dtype = Annotated[
    str | None,
    typer.Option(help="float32, bfloat16, float16.", autocompletion=words("float32", "bfloat16", "float16")),
]
