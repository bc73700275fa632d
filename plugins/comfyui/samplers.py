"""Samplers as ComfyUI's SAMPLER objects."""

from __future__ import annotations

from typing import Any

from ...samplers.protocols import Sampler
from .driver import SamplerFunction


def ksampler(name: str, sampler: Sampler) -> Any:
    """The SAMPLER that runs this sampler."""
    from . import host

    return host.KSAMPLER(SamplerFunction(name, sampler, host.poll))


def sampler_in(field: str, given: Any) -> Sampler:
    """The sampler inside a SAMPLER.

    Raises:
        ValueError: for one that is not ours, naming the input.
    """
    function = getattr(given, "sampler_function", None)
    if not isinstance(function, SamplerFunction):
        name = getattr(function, "__name__", type(given).__name__)
        raise ValueError(f"{field}: {name} is not a Sigmabench sampler; connect a node of sigmabench/samplers")
    return function.sampler
