"""Learning from a diffusers pipeline by watching it: what it passes to its network, and what it does with the answer.

Each pipeline prepares its network's arguments in its own way: one text encoder or three, pooled embeddings, image
sizes, position ids. They are not imitated here. The pipeline is run as its authors wrote it, and stopped where it first
calls its network, or where it hands the result to its scheduler.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class _Stop(BaseException):
    """Ends a run of a pipeline; not an Exception, so that no pipeline handles it."""


class Call(NamedTuple):
    """The first call that a pipeline makes to its network."""

    arguments: dict[str, Any]
    """All of them by the names of the network's parameters."""
    time: float
    """The scheduler's own timestep of this call."""
    mu: float | None
    """The dynamic shift that the pipeline chose for its image size."""
    beside: dict[str, Any]
    """Arguments of the ControlNet that was asked before, by the names of its parameters; empty without one."""
    links: dict[str, str]
    """Leaves of the arguments that are leaves of the ControlNet's answer."""
    output: Tensor | None = None
    """What the network answered; None if the run was stopped before."""
    used: Tensor | None = None
    """What became of it on the way to the scheduler."""
    sample: Tensor | None = None
    """The x that the scheduler steps from; the network may be given further channels beside it."""


def record(pipe: Any, network: nn.Module, arguments: Mapping[str, Any], *, evaluate: bool = False) -> Call:
    """Run the pipeline up to its first call of the network, or with ``evaluate`` up to the scheduler's first step.

    A ControlNet that it asks on the way is watched too. Images that it encodes become the mean of their latents, so
    that a row is the same whatever is drawn.

    Raises:
        ValueError: if the pipeline fails before, or never gets there.
    """
    name = type(pipe).__name__
    seen: dict[str, Any] = {"beside": {}}
    controlnet = pipe.components.get("controlnet")

    def asked(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        seen["beside"], seen["answer"] = _bound(module, args, kwargs), output

    def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        seen["arguments"] = _bound(module, args, kwargs)
        seen["time"] = float(pipe.scheduler.timesteps[0])
        if not evaluate:
            raise _Stop

    def after(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        seen["output"] = first_tensor(output)

    def step(model_output: Tensor, timestep: Any, sample: Tensor, *args: Any, **kwargs: Any) -> None:
        seen["used"], seen["sample"] = model_output, sample
        raise _Stop

    original = pipe.scheduler.set_timesteps

    def set_timesteps(*args: Any, **kwargs: Any) -> Any:
        seen["mu"] = kwargs.get("mu")
        return original(*args, **kwargs)

    with ExitStack() as stack:
        stack.callback(network.register_forward_pre_hook(before, with_kwargs=True).remove)
        stack.callback(network.register_forward_hook(after).remove)
        if controlnet is not None:
            stack.callback(controlnet.register_forward_hook(asked, with_kwargs=True).remove)
        stack.enter_context(_mean_latents())
        stack.enter_context(_replaced(pipe.scheduler, "step", step))
        stack.enter_context(_replaced(pipe.scheduler, "set_timesteps", set_timesteps))
        try:
            pipe(**arguments)
        except _Stop:
            links = _links(seen["arguments"], seen.pop("answer", None))
            return Call(mu=seen.pop("mu", None), links=links, **seen)
        except torch.cuda.OutOfMemoryError:
            raise
        except Exception as error:
            raise ValueError(f"{name} cannot be run from prompts alone: {error}") from error
    raise ValueError(f"{name} finished without calling its {type(network).__name__}; it is not supported")


@contextmanager
def _mean_latents() -> Iterator[None]:
    """Autoencoders say the mean where they are asked for a sample of their latents."""
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    latents: Any = DiagonalGaussianDistribution
    sample = latents.sample
    latents.sample = lambda self, generator=None: self.mode()
    try:
        yield
    finally:
        latents.sample = sample


def _links(arguments: Any, answer: Any) -> dict[str, str]:
    """Which leaves of the arguments are the very tensors of an answer."""
    sources = {id(leaf): name for name, leaf in leaves(answer).items() if isinstance(leaf, Tensor)}
    return {name: sources[id(leaf)] for name, leaf in leaves(arguments).items() if id(leaf) in sources}


@contextmanager
def _replaced(owner: Any, name: str, replacement: Callable[..., Any]) -> Iterator[None]:
    """An instance's method is another one, with the signature of the first: pipelines inspect it."""
    owner.__dict__[name] = functools.update_wrapper(replacement, getattr(owner, name))
    try:
        yield
    finally:
        del owner.__dict__[name]


def _bound(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """All arguments of a call by name."""
    signature = inspect.signature(module.forward)
    arguments = dict(signature.bind(*args, **kwargs).arguments)
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            arguments.update(arguments.pop(name, {}))
    return arguments


def first_tensor(output: Any) -> Tensor:
    """The prediction in what a network returned: a tensor, a tuple that starts with it, or an output object."""
    return output if isinstance(output, Tensor) else output[0]


def leaves(tree: Any, prefix: str = "") -> dict[str, Any]:
    """The leaves of nested dicts, lists and tuples by dotted name, such as ``added_cond_kwargs.text_embeds``."""
    return {k: v for name, part in _parts(tree, prefix) for k, v in leaves(part, name).items()} or {prefix: tree}


def filled(tree: Any, values: Mapping[str, Any], prefix: str = "") -> Any:
    """The tree with some of its leaves replaced, by the names that ``leaves`` gives them."""
    if prefix in values:
        return values[prefix]
    parts = [filled(part, values, name) for name, part in _parts(tree, prefix)]
    if not parts:
        return tree
    return dict(zip(tree, parts, strict=True)) if isinstance(tree, dict) else type(tree)(parts)


def _parts(tree: Any, prefix: str) -> list[tuple[str, Any]]:
    if not isinstance(tree, (dict, list, tuple)):
        return []
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
    return [(f"{prefix}.{key}" if prefix else str(key), part) for key, part in pairs]
