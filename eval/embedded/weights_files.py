"""Weight files: float16 safetensors on disk, float32 in memory, named by the SHA-256 of their bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

WEIGHTS = Path(__file__).parent / "weights"


def content_hash(path: str | Path) -> str:
    """The first 8 hexadecimal digits of the SHA-256 of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:8]


def read_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file, float16 widened to float32: a CPU computes float16 slowly and badly."""
    from safetensors.torch import load_file

    return {k: v.float() if v.dtype == torch.float16 else v for k, v in load_file(path).items()}


def write_weights(tensors: dict[str, torch.Tensor], path: str | Path, metadata: dict[str, str] | None = None) -> None:
    """Store float32 tensors as float16; a value too large for float16 is refused."""
    from safetensors.torch import save_file

    halves = {k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}
    for key, value in halves.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise ValueError(f"{key} has values beyond float16 (65504); rescale the layer before exporting")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.cpu().contiguous() for k, v in halves.items()}, path, metadata=metadata or {"format": "pt"})
