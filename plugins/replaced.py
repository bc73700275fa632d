"""Other methods for a while: a module's forward, and the attention function that it calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from ..samplers.attention import Attention

ARGUMENTS = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")

_replaced: list[nn.Module] = []


def anything_replaced() -> bool:
    """Whether the forward of any module is another function now."""
    return bool(_replaced)


@contextmanager
def forward_replaced(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """The module's forward is another function; the one before comes back whatever happens."""
    own = module.__dict__.get("forward")  # accelerate and others put theirs there
    module.__dict__["forward"] = forward
    _replaced.append(module)
    try:
        yield
    finally:
        _replaced.remove(module)
        if own is None:
            del module.__dict__["forward"]
        else:
            module.__dict__["forward"] = own


def with_attention(forward: Callable[..., Any], attention: Attention, name: str) -> Callable[..., Any]:
    """A forward in which ``attention`` is called for each ``scaled_dot_product_attention``.

    Raises (when called):
        ValueError: if there was none, so that nothing is left unchanged in silence.
    """

    def changed(*args: Any, **kwargs: Any) -> Any:
        with _Intercepted(attention) as calls:
            result = forward(*args, **kwargs)
        if not calls.count:
            raise ValueError(f"the attention of {name} is not torch's: set the model's attention processors to default")
        return result

    return changed


class _Intercepted(TorchFunctionMode):
    """Torch calls this mode for every function; while it does, the mode itself is off."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.attention, self.count = attention, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        self.count += 1
        return self.attention(**dict(zip(ARGUMENTS, args, strict=False)), **(kwargs or {}))
