"""Declarations that follow from a sampler's settings: the order of a wrapper is that of what it wraps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class derived:  # noqa: N801
    """Decorate a method to make it an attribute: of an instance, from its settings; of the class, from the defaults.

    @derived
    def order(self) -> int:
        return self.sampler.order
    """

    def __init__(self, value: Callable[[Any], Any]) -> None:
        self.value, self.__doc__ = value, value.__doc__

    def __get__(self, instance: Any, owner: type) -> Any:
        return self.value(owner() if instance is None else instance)


def inner(name: str, *default: Any) -> Any:
    """What the sampler inside a wrapper, its field ``sampler``, declares under that name, or the default."""
    return derived(lambda wrapper: getattr(wrapper.sampler, name, *default))
