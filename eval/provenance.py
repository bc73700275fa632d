"""Where numbers come from: versions of packages, revision of the code, device."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .. import __version__

REVISION = "SIGMABENCH_REVISION"
"""The environment's word for the revision, where the package lies without its history."""
PACKAGES = ("torch", "diffusers", "torchmetrics", "clean-fid", "open_clip_torch", "numpy", "scipy")


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Versions of Sigmabench, Python and the packages that numbers depend on, and the git revision of a checkout."""
    found = {"sigmabench": __version__, "git": _revision(), "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


def device_name(device: str) -> str:
    """The hardware behind a torch device, in words."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} {platform.system()} CPU"


def _revision() -> str:
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return os.environ.get(REVISION, "")
    git = ["git", "-C", str(root)]
    try:
        head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        dirty = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.stdout.strip() + ("+changes" if dirty.stdout.strip() else "")
