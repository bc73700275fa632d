"""What a run has found as a few files of bounded size, the things of most worth first."""

from __future__ import annotations

import dataclasses
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...reports.atomic import replace

MIB = 2**20


@dataclasses.dataclass(frozen=True)
class Limits:
    """Of what comes back."""

    files: int = 8
    each: int = 16 * MIB
    together: int = 64 * MIB


@dataclasses.dataclass(frozen=True)
class Group:
    """Files of one archive, by patterns relative to the run's folder."""

    name: str
    patterns: tuple[str, ...]


def pack(folder: Path, out: Path, groups: Sequence[Group], limits: Limits, taken: Sequence[Path] = ()) -> list[str]:
    """Write ``<group>.tar.gz`` into ``out``, or ``<group>.tar.gz.0`` and so on where it is larger than a file may be.

    A group that no longer fits is left out. What has not changed since it was packed is not packed again.

    Args:
        taken: other files in ``out``, which count.

    Returns:
        A line for each group that was left out.
    """
    files, together, left = len(taken), sum(path.stat().st_size for path in taken), []
    for group in groups:
        paths = sorted({path for pattern in group.patterns for path in folder.glob(pattern) if path.is_file()})
        if not paths:
            continue
        parts = _current(out, group, paths) or _archive(folder, out, group, paths, limits.each)
        size = sum(part.stat().st_size for part in parts)
        if files + len(parts) > limits.files or together + size > limits.together:
            left.append(f"{group.name}: {size / MIB:.1f} MiB in {len(parts)} files do not fit")
            for part in parts:
                part.unlink()
            continue
        files, together = files + len(parts), together + size
    return left


def unpack(out: Path, folder: Path) -> list[str]:
    """The reverse, of all archives in ``out``; returns their names.

    Raises:
        FileNotFoundError: if there is none.
    """
    names = sorted({path.name.partition(".tar.gz")[0] for path in out.glob("*.tar.gz*")})
    if not names:
        raise FileNotFoundError(f"{out} holds no *.tar.gz of a run")
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        whole = folder / f".{name}.tar.gz"
        with whole.open("wb") as file:
            for part in _parts(out, name):
                file.write(part.read_bytes())
        with tarfile.open(whole) as archive:
            archive.extractall(folder, filter="data")
        whole.unlink()
    return names


def _parts(out: Path, name: str) -> list[Path]:
    return sorted(out.glob(f"{name}.tar.gz")) or sorted(
        out.glob(f"{name}.tar.gz.*"), key=lambda path: int(path.suffix[1:])
    )


def _current(out: Path, group: Group, paths: Sequence[Path]) -> list[Path]:
    """Its archive, if it is newer than all that goes into it."""
    parts = _parts(out, group.name)
    newest = max(path.stat().st_mtime_ns for path in paths)
    return parts if parts and min(part.stat().st_mtime_ns for part in parts) > newest else []


def _archive(folder: Path, out: Path, group: Group, paths: Sequence[Path], each: int) -> list[Path]:
    for old in _parts(out, group.name):
        old.unlink()

    def write(part: Path) -> None:
        with tarfile.open(part, "w:gz", compresslevel=3) as archive:
            for path in paths:
                archive.add(path, str(path.relative_to(folder)))

    whole = replace(out / f"{group.name}.tar.gz", write)
    if whole.stat().st_size <= each:
        return [whole]
    parts = []
    for number, data in enumerate(_blocks(whole, each)):
        parts.append(replace(out / f"{whole.name}.{number}", lambda part, data=data: part.write_bytes(data)))  # type: ignore[misc]
    whole.unlink()
    return parts


def _blocks(path: Path, size: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        while data := file.read(size):
            yield data
