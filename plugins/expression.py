"""The text form of a plugin and its settings: ``name`` or ``name(value, setting=value, other=inner(rho=5))``.

The same text is used in sweep files, on the command line, in tables and in content hashes. It is read as a syntax tree,
never evaluated.
"""

from __future__ import annotations

import ast
import dataclasses
import math
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Call:
    """A name with positional and named settings, not yet looked up."""

    name: str
    positional: tuple[Any, ...] = ()
    named: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def parse(text: str) -> Call:
    """
    Raises:
        ValueError: if the text is not a name or a call with plain values; the message quotes it.
    """
    try:
        value = _read(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, AttributeError) as error:
        raise ValueError(
            f"cannot read {text!r}: write a name, or a call such as karras(rho=5) or cfg(3)"
            + (f" ({error})" if isinstance(error, ValueError) and not isinstance(error, SyntaxError) else "")
        ) from None
    if isinstance(value, Call):
        return value
    raise ValueError(f"cannot read {text!r}: expected a name, not a value")


def format_call(call: Call) -> str:
    """The text of a call, settings in their given order, numbers in their shortest form."""
    parts = [_format(value) for value in call.positional]
    parts += [f"{name}={_format(value)}" for name, value in call.named.items()]
    return f"{call.name}({', '.join(parts)})" if parts else call.name


def _read(node: ast.AST) -> Any:
    if isinstance(node, ast.Name):
        return math.inf if node.id == "inf" else Call(node.id)
    if isinstance(node, ast.Call):
        named = {keyword.arg: _read(keyword.value) for keyword in node.keywords}
        if None in named:
            raise ValueError("** is not allowed")
        return Call(node.func.id, tuple(map(_read, node.args)), named)  # type: ignore[attr-defined, arg-type]
    if isinstance(node, (ast.List, ast.Tuple)):
        return tuple(map(_read, node.elts))
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise ValueError(f"{ast.unparse(node)!r} is not a plain value") from None


def _format(value: Any) -> str:
    if isinstance(value, Call):
        return format_call(value)
    if isinstance(value, str):
        return value if value.isidentifier() and value not in ("True", "False", "None") else repr(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return repr(int(value))
    return repr(value)
