"""Another program's samplers by name, with what their names or papers say of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Named:
    """One of theirs.

    Attributes:
        counterpart: the text of our sampler that is the same method.
        order: that its name or paper gives.
        evaluations: a step; None if it chooses them itself.
        of_flow: our counterpart on a flow, where it is another.
    """

    name: str
    counterpart: str
    order: int
    evaluations: int | None = 1
    stochastic: bool = False
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    of_flow: str = ""

    @property
    def title(self) -> str:
        """With the options, functions by their names."""
        said = ", ".join(f"{name}={_said(value)}" for name, value in self.options.items())
        return f"{self.name}({said})" if said else self.name


def _said(value: Any) -> str:
    return value.__name__ if callable(value) else f"{value:g}"
