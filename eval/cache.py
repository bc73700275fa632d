"""Where things that are computed or fetched once are kept."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """$SIGMABENCH_CACHE, or sigmabench in the user's cache folder ($XDG_CACHE_HOME, ~/.cache)."""
    if own := os.environ.get("SIGMABENCH_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "sigmabench")
