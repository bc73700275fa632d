"""Where things that are computed or fetched once are kept, and how files that others publish come there."""

from __future__ import annotations

import os
import shutil
import urllib.request
from collections.abc import Sequence
from pathlib import Path

TIMEOUT = 10.0  # seconds without a byte


def cache_folder() -> Path:
    """$SIGMABENCH_CACHE, or sigmabench in the user's cache folder ($XDG_CACHE_HOME, ~/.cache)."""
    if own := os.environ.get("SIGMABENCH_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "sigmabench")


def published(url: str, what: str, places: Sequence[Path], instead: str) -> Path:
    """A file that others publish: the first of these places that has it, or fetched into the first.

    Args:
        what: the file in words.
        instead: what to use where it cannot be had.

    Raises:
        FileNotFoundError: if it is nowhere and SIGMABENCH_DOWNLOAD is not 1, naming the places and the address.
        OSError: if it may be fetched but cannot.
    """
    for path in places:
        if path.is_file():
            return path
    if os.environ.get("SIGMABENCH_DOWNLOAD") != "1":
        raise FileNotFoundError(
            f"{what} is not at {' or '.join(map(str, places))}. Put it there (it is at {url}), set "
            f"SIGMABENCH_DOWNLOAD=1 to fetch it, or {instead}."
        )
    return _fetched(url, places[0], instead)


def _fetched(url: str, path: Path, instead: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response, part.open("wb") as file:
            shutil.copyfileobj(response, file)
        part.replace(path)
    except OSError as error:
        raise OSError(f"cannot fetch {url} ({error}); put the file at {path}, or {instead}") from error
    finally:
        part.unlink(missing_ok=True)
    return path
