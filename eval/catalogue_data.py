"""The catalogue as data, kept between runs, so that listing and completing names need not import torch.

It is kept with a stamp of all that it was made from: the packages that are installed, by the names and times of their
metadata on each folder of the import path, and every source file of this package and of the plugins that was read, by
time and size. Where anything differs it is made anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from contextlib import suppress
from typing import Any

from ..reports.atomic import replace
from .cache import cache_folder

ROOT = __name__.partition(".")[0]
METADATA = (".dist-info", ".egg-info", ".egg-link", ".pth")

Rows = dict[str, list[dict[str, Any]]]


def catalogue_data() -> Rows:
    """What ``describe_all`` answers, from the kept file where nothing has changed since it was made."""
    digest = hashlib.blake2b(repr((sys.version, __file__, sys.path)).encode(), digest_size=8).hexdigest()
    path = cache_folder() / f"catalogue-{digest}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["installed"] == installed() and kept["sources"] == {file: _state(file) for file in kept["sources"]}:
            return kept["rows"]
    from .describing import describe_all

    rows = describe_all()
    with suppress(OSError):  # a folder that cannot be written costs time, nothing else
        path.parent.mkdir(parents=True, exist_ok=True)
        content = json.dumps({"installed": installed(), "sources": _sources(rows), "rows": rows})
        replace(path, lambda part: part.write_text(content, encoding="utf-8"))
    return rows


def installed() -> str:
    """A digest of the names and times of all packages' metadata on the import path."""
    found = []
    for folder in sys.path:
        with suppress(OSError), os.scandir(folder or ".") as entries:
            found += [(folder, e.name, e.stat().st_mtime_ns) for e in entries if e.name.endswith(METADATA)]
    return hashlib.blake2b(repr(sorted(found)).encode(), digest_size=16).hexdigest()


def _sources(rows: Rows) -> dict[str, list[int] | None]:
    """The state of every imported file of this package and of the packages that plugins come from."""
    roots = {ROOT} | {row["module"].partition(".")[0] for kind in rows.values() for row in kind if "module" in row}
    modules = [module for name, module in list(sys.modules.items()) if name.partition(".")[0] in roots]
    files = {file for module in modules if (file := getattr(module, "__file__", None))}
    return {file: _state(file) for file in sorted(files)}


def _state(file: str) -> list[int] | None:
    try:
        status = os.stat(file)
    except OSError:
        return None
    return [status.st_mtime_ns, status.st_size]
