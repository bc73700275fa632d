"""The other programs on this machine, their versions, and what to do where they are missing."""

from __future__ import annotations

import importlib.util
from importlib import metadata
from typing import Any

from ..peers.comfyui import MissingPeerError, comfyui
from ..peers.k_diffusion import INSTALL, PACKAGES, sampling

__all__ = ["MissingPeerError", "comfyui", "k_diffusion", "version"]


def k_diffusion() -> Any:
    """k-diffusion's module of samplers.

    Raises:
        MissingPeerError: if it is not there.
    """
    if any(importlib.util.find_spec(name) is None for name in PACKAGES):
        raise MissingPeerError(f"k-diffusion: {INSTALL}")
    return sampling()


def version(peer: str) -> str:
    """The version of a peer on this machine.

    Raises:
        MissingPeerError: if it is not there.
    """
    if peer == "ComfyUI":
        return comfyui().version
    try:
        return metadata.version(peer)
    except metadata.PackageNotFoundError:
        raise MissingPeerError(f"{peer} is not installed") from None
