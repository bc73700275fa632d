"""The identity of a model folder: a hash of what its files contain, not of what they are called or when they came."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

SUFFIXES = (".safetensors", ".json", ".txt", ".model")


def folder_hash(folder: Path) -> str:
    """8 hexadecimal digits of the SHA-256 over the weights, configs and vocabularies of a pipeline folder.

    Configs count: the same weights with another prediction type are another model. A file is read once as long as its
    size and modification time stay the same.
    """
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES and path.is_file()):
        stat = path.stat()
        whole.update(path.relative_to(folder).as_posix().encode())
        whole.update(_file_hash(path, stat.st_size, stat.st_mtime_ns))
    return whole.hexdigest()[:8]


@lru_cache(maxsize=4096)
def _file_hash(path: Path, size: int, modified: int) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.digest()


def content_hash(name: str) -> str:
    """8 hexadecimal digits for what a file, or a folder of weights, contains."""
    path = Path(name).expanduser()
    if path.is_dir():
        return folder_hash(path)
    stat = path.stat()
    return _file_hash(path, stat.st_size, stat.st_mtime_ns).hex()[:8]
