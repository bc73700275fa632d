"""Names by which users of other programs know a pair of sampler and spacing, or a configured scheduler.

resolve("DPM++ 2M Karras")                                        dpmpp_2m, karras
resolve("euler_ancestral / normal")                               euler_ancestral, linspace
resolve("EulerDiscreteScheduler(timestep_spacing='trailing')")    euler, trailing
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import NamedTuple

from .comfyui import NAMES, comfyui, pairs
from .diffusers import calls, diffusers
from .resolved import Resolved as Resolved
from .resolved import UnknownPair as UnknownPair
from .webui import SAMPLERS, labels, webui


def resolve(text: str) -> Resolved:
    """The plugins that a label, a pair or a scheduler call stands for; nothing is evaluated.

    Raises:
        UnknownPair: naming what is not known or has no counterpart, and the nearest names.
    """
    for host in (diffusers, comfyui, webui):
        found = host(text)
        if found:
            return found
    near = difflib.get_close_matches(text, [*SAMPLERS, *NAMES, *calls()], n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else "."
    raise UnknownPair(
        f"unknown pair {text!r}{hint} Write a label such as 'DPM++ 2M Karras', a pair such as 'dpmpp_2m / karras' or a "
        "diffusers scheduler; `sigmabench list names` shows them"
    )


class Known(NamedTuple):
    """A name, the program whose it is, and what it comes to or why it does not."""

    host: str
    name: str
    resolved: Resolved | None
    reason: str = ""


def known_names() -> Iterator[Known]:
    """Every label and scheduler that is known, composed once with each of its possible partners."""
    for host, names in (("AUTOMATIC1111, Forge", labels()), ("ComfyUI", pairs()), ("diffusers", calls())):
        for name in names:
            try:
                yield Known(host, name, resolve(name))
            except UnknownPair as error:
                yield Known(host, name, None, str(error))
