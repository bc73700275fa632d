"""The numeric type a network computes in, by name."""

from __future__ import annotations

import torch

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def torch_dtype(dtype: str, device: str) -> torch.dtype:
    """
    Raises:
        ValueError: for an unknown name, and for float16 on a CPU, which computes it slowly and overflows.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype {dtype!r}: must be one of {', '.join(map(repr, DTYPES))}")
    if dtype == "float16" and torch.device(device).type == "cpu":
        raise ValueError("dtype 'float16' on the CPU: slow and easily infinite; use 'bfloat16' or 'float32'")
    return DTYPES[dtype]
