"""Which image of a folder is of which prompt, by a table or by the files' names."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..prompts import COLUMNS
from ..protocols import Sample

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
TABLE = "metadata.csv"
FILE_COLUMNS = ("file_name", "file", "filename", "image")


@dataclass(frozen=True)
class Named:
    """Files of a folder by the number of their image, or by their prompt in letters and digits alone."""

    folder: Path
    by_name: Mapping[int | str, list[Path]]

    @property
    def files(self) -> list[Path]:
        return [file for files in self.by_name.values() for file in files]

    def find(self, sample: Sample) -> Path | None:
        """The file of this image: of the n-th image of a prompt the n-th, in the order of names or of the table."""
        if sample.index in self.by_name:
            return self.by_name[sample.index][0]
        files = self.by_name.get(plain(sample.prompt), [])
        return files[sample.turn] if sample.turn < len(files) else None

    def wanted(self, sample: Sample) -> str:
        """The image in words."""
        number = f" ({sample.turn + 1})" if sample.turn else ""
        return f"number {sample.index}, of {sample.prompt!r}{number}"


def named(path: str, table: str) -> Named:
    """
    Raises:
        FileNotFoundError, ValueError: for no folder, no images, and files or tables that do not say whose they are.
    """
    if not path:
        raise ValueError("the images backend needs a path: a folder of images")
    folder = Path(path).expanduser().resolve()
    if not folder.is_dir():
        raise FileNotFoundError(f"{path} is not a folder; give one of images, such as those that a service made")
    listed = Path(table).expanduser() if table else folder / TABLE
    if table and not listed.is_file():
        raise FileNotFoundError(f"table = {table!r} is not here; give a CSV with the columns file_name and prompt")
    by_name = _of_table(folder, listed) if listed.is_file() else _of_names(folder)
    if not by_name:
        raise ValueError(f"{path} holds no images; legal are {', '.join(SUFFIXES)}")
    return Named(folder, by_name)


def plain(text: str) -> str:
    """A text as file names may hold it: its letters and digits, in lower case, a space between the words."""
    return " ".join(re.findall(r"\w+", text.lower().replace("_", " ")))


def _of_names(folder: Path) -> dict[int | str, list[Path]]:
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)
    confined = [_confined(folder, file.name) for file in files]
    if all(file.stem.isdecimal() for file in confined):
        return _grouped((int(file.stem), file) for file in confined)
    return _grouped(sorted((*_counted(file.stem), file) for file in confined))


def _counted(stem: str) -> tuple[str, int]:
    """The prompt of a name and which of its images it is: 2 of ``two_dogs (2)``, 1 without a number in brackets."""
    found = re.fullmatch(r"(.+?)[ _]*\((\d+)\)", stem)
    return (plain(found[1]), int(found[2])) if found else (plain(stem), 1)


def _of_table(folder: Path, table: Path) -> dict[int | str, list[Path]]:
    try:
        text = table.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{table} is not UTF-8: {error}; save it as UTF-8") from error
    rows = csv.DictReader(io.StringIO(text), delimiter="\t" if table.suffix.lower() == ".tsv" else ",")
    names = {name.strip().lower(): name for name in rows.fieldnames or ()}
    file, prompt = (next((names[n] for n in legal if n in names), None) for legal in (FILE_COLUMNS, COLUMNS))
    if file is None or prompt is None:
        raise ValueError(f"{table} has the columns {', '.join(names)}; it needs {FILE_COLUMNS[0]} and {COLUMNS[0]}")
    return _grouped((plain(row[prompt] or ""), _confined(folder, row[file] or "")) for row in rows)


def _confined(folder: Path, name: str) -> Path:
    """
    Raises:
        FileNotFoundError, ValueError: for a file that is missing, or not in the folder.
    """
    file = (folder / name).resolve()
    if not file.is_relative_to(folder):
        raise ValueError(f"{name} is outside of {folder}; images of a folder must lie in it")
    if not file.is_file():
        raise FileNotFoundError(f"{folder} has no {name}, which its table names; add it or take it out")
    return file


def _grouped(pairs: Iterable[tuple[Any, ...]]) -> dict[int | str, list[Path]]:
    """Files, which come last in a pair, by what comes first, in their order."""
    found: dict[int | str, list[Path]] = {}
    for name, *_, file in pairs:
        found.setdefault(name, []).append(file)
    if twice := next((files for name, files in found.items() if isinstance(name, int) and len(files) > 1), None):
        raise ValueError(f"{twice[0].name} and {twice[1].name} are the same number; keep one of them")
    return found
