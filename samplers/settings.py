"""Settings: frozen dataclasses whose fields all have defaults and know their legal values.

One description of a parameter serves everything that shows it: widgets, command-line flags, table columns, error texts.

    @settings
    class EulerAncestral:
        eta: float = setting(1.0, low=0.0, help="amount of noise per step; 0 is the ODE")
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, TypeVar

T = TypeVar("T")

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_: Any) -> Any:
        return lambda decorator: decorator


def setting(
    default: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[Any, ...] | None = None,
    kind: str | None = None,
    help: str = "",
) -> Any:
    """A dataclass field with an inclusive range or a list of legal values, and one line of help.

    ``kind`` says that the value is itself a plugin of that kind, such as "schedule".
    """
    metadata = {"low": low, "high": high, "choices": choices, "kind": kind, "help": help}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def settings(cls: type[T]) -> type[T]:
    """Make ``cls`` a frozen dataclass that checks its values when created.

    Raises (on creation):
        ValueError: naming the class, the field, the value and the legal values.
        TypeError: for a value of another type than the field's default.
    """
    cls.__post_init__ = check  # type: ignore[attr-defined]
    return dataclasses.dataclass(frozen=True)(cls)


def check(instance: Any) -> None:
    """Check each field of a dataclass instance against its default's type, its range and its choices."""
    for field in dataclasses.fields(instance):
        _check_field(type(instance).__name__, field, getattr(instance, field.name))


def legal_values(field: dataclasses.Field[Any]) -> str:
    """The values a field takes, in words: ``one of 'a', 'b'`` or ``0 <= eta <= 1``."""
    low, high, choices = (field.metadata.get(key) for key in ("low", "high", "choices"))
    if choices:
        return "one of " + ", ".join(map(repr, choices))
    left = "" if low is None else f"{low:g} <= "
    right = "" if high is None else f" <= {high:g}"
    return f"{left}{field.name}{right}" if left or right else f"any {type(field.default).__name__}"


def _check_field(owner: str, field: dataclasses.Field[Any], value: Any) -> None:
    free = field.default is dataclasses.MISSING or field.metadata.get("kind")
    if free or (value is None and field.default is None):
        return
    where = f"{owner}.{field.name} = {value!r}"
    low, high, choices = (field.metadata.get(key) for key in ("low", "high", "choices"))
    numeric = _is_number(field.default) or (field.default is None and (low is not None or high is not None))
    if choices is not None:
        if value not in choices:
            raise ValueError(f"{where}: must be {legal_values(field)}")
    elif numeric:
        _check_number(where, field, value)
    elif field.default is not None and not isinstance(value, type(field.default)):
        raise TypeError(f"{where}: must be of type {type(field.default).__name__}")


def _check_number(where: str, field: dataclasses.Field[Any], value: Any) -> None:
    if not _is_number(value) or (isinstance(field.default, int) and not isinstance(value, int)):
        raise TypeError(f"{where}: must be {'an integer' if isinstance(field.default, int) else 'a number'}")
    low, high = field.metadata.get("low"), field.metadata.get("high")
    if math.isnan(value) or (low is not None and value < low) or (high is not None and value > high):
        raise ValueError(f"{where}: must satisfy {legal_values(field)}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
