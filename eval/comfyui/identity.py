"""A name for what a ComfyUI graph hands over, made of its content: the same weights and texts, the same name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch

PROBES = 16
"""Values of each tensor that are looked at."""


def identity(*parts: Any) -> str:
    """Eight hex digits of models, autoencoders, conditionings, patches and whatever they hold."""
    digest = hashlib.blake2b(digest_size=4)
    for part in parts:
        _feed(digest, part, set())
    return digest.hexdigest()


def _feed(digest: Any, value: Any, seen: set[int]) -> None:
    if isinstance(value, torch.Tensor):
        digest.update(f"{tuple(value.shape)}{value.dtype}".encode())
        digest.update(_probe(value).numpy().tobytes())
    elif value is None or isinstance(value, (bool, int, float, str, bytes)):
        digest.update(repr(value).encode())
    elif id(value) not in seen:
        seen.add(id(value))
        digest.update(getattr(value, "__qualname__", type(value).__qualname__).encode())
        for name, part in _parts(value):
            digest.update(name.encode())
            _feed(digest, part, seen)


def _parts(value: Any) -> list[tuple[str, Any]]:
    """What an object is made of, in an order that does not depend on chance."""
    if isinstance(value, torch.nn.Module):
        return sorted(value.state_dict().items())
    if isinstance(value, Mapping):
        return sorted(((str(name), part) for name, part in value.items()), key=lambda pair: pair[0])
    if isinstance(value, (list, tuple)):
        return [(str(i), part) for i, part in enumerate(value)]
    if isinstance(value, (set, frozenset)):
        return [("set", repr(sorted(map(repr, value))))]
    closure = getattr(value, "__closure__", None) or ()
    return [(str(i), cell.cell_contents) for i, cell in enumerate(closure)] or _fields(value)


def _fields(value: Any) -> list[tuple[str, Any]]:
    """Fields of an object that holds tensors, as a LoRA's weights; those of others say nothing that lasts."""
    return [
        (name, part) for name, part in sorted(getattr(value, "__dict__", {}).items()) if name in ("weights", "guidance")
    ]


def _probe(tensor: torch.Tensor) -> torch.Tensor:
    flat = tensor.detach().reshape(-1)
    return flat[:: max(1, len(flat) // PROBES)][: PROBES + 1].float().cpu()
