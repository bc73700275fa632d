"""Prompts of a sweep: a list, or a file.

.txt                    UTF-8, one prompt a line
.csv .tsv .parquet      a table with a column of prompts, as PartiPrompts, DrawBench and caption lists have it
.json                   COCO captions: the first caption of each image, in the order of the images' ids
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from .errors import UsageError

COLUMNS = ("prompt", "prompts", "caption", "captions", "text")
"""Names of a table's column of prompts, in any case; the first of them that is there counts."""


def read_prompts(path: Path) -> list[str]:
    """
    Raises:
        UsageError: for a missing file, bytes that are not of its kind, a table without a column of prompts, empty
            prompts (naming the line or row), and for no prompt.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"prompts: cannot read {path}: {error.strerror}; give a file ({', '.join(READERS)}) or a list"
        ) from error
    return check_prompts(READERS.get(path.suffix.lower(), _lines)(path, data), str(path))


def _lines(path: Path, data: bytes) -> list[str]:
    return _text(path, data).splitlines()


def _table(path: Path, data: bytes) -> list[str]:
    import io

    import pandas as pd

    try:
        if path.suffix.lower() == ".parquet":
            frame = pd.read_parquet(io.BytesIO(data))
        else:
            text, separator = io.StringIO(_text(path, data)), "\t" if path.suffix.lower() == ".tsv" else ","
            frame = pd.read_csv(text, sep=separator, dtype=str, keep_default_na=False)
    except (ValueError, OSError) as error:
        raise UsageError(f"prompts: {path} is no readable table: {error}") from error
    names = {str(name).strip().lower(): name for name in reversed(frame.columns)}
    column = next((names[name] for name in COLUMNS if name in names), None)
    if column is None and len(frame.columns) > 1:
        raise UsageError(
            f"prompts: {path} has the columns {', '.join(map(str, frame.columns))}; call that of the prompts "
            f"{COLUMNS[0]!r} (or {', '.join(map(repr, COLUMNS[1:]))})"
        )
    values = frame[frame.columns[0] if column is None else column]
    return ["" if value is None or value != value else str(value) for value in values]


def _coco(path: Path, data: bytes) -> list[str]:
    try:
        first: dict[int, tuple[int, str]] = {}
        for annotation in json.loads(_text(path, data))["annotations"]:
            entry = (int(annotation["id"]), str(annotation["caption"]))
            image = int(annotation["image_id"])
            first[image] = min(first.get(image, entry), entry)
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"prompts: {path} is not COCO's captions file (annotations with id, image_id and caption): {error!r}"
        ) from error
    return [first[image][1] for image in sorted(first)]


def _text(path: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UsageError(f"prompts: {path} line {line} is not UTF-8; save the file as UTF-8") from error


READERS: dict[str, Callable[[Path, bytes], list[str]]] = {
    ".txt": _lines,
    ".csv": _table,
    ".tsv": _table,
    ".parquet": _table,
    ".json": _coco,
}


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
