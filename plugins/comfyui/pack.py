"""What ComfyUI asks a node pack for. Outside ComfyUI there is nothing to give."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple


class Pack(NamedTuple):
    """The attributes that ComfyUI looks for in a pack's module."""

    NODE_CLASS_MAPPINGS: dict[str, type]
    NODE_DISPLAY_NAME_MAPPINGS: dict[str, str]
    WEB_DIRECTORY: str | None


Mappings = tuple[dict[str, type], dict[str, str]]
"""Node classes by id, and the names shown."""


def load(*more: Callable[[], Mappings]) -> Pack:
    """The nodes, their names and their help pages, made once; nothing unless ComfyUI is running in this process."""
    return _loaded(*more) if "comfy.samplers" in sys.modules else Pack({}, {}, None)


@lru_cache(maxsize=1)
def _loaded(*more: Callable[[], Mappings]) -> Pack:
    from . import dropdowns, help_pages, nodes

    classes, titles = nodes.mappings()
    for mappings in more:
        others, names = mappings()
        classes, titles = {**classes, **others}, {**titles, **names}
    dropdowns.append()
    return Pack(classes, titles, help_pages.write(classes, titles))
