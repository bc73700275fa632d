"""The six hooks of a plugin. Each receives ``register(name, cls)`` and calls it once for each thing it brings.

    import sigmabench.plugins

    @sigmabench.plugins.hookimpl
    def register_samplers(register):
        register("my_sampler", MySampler)

A module with such functions becomes a plugin by an entry point in the group ``sigmabench``.
"""

from __future__ import annotations

from collections.abc import Callable

import pluggy

PROJECT = "sigmabench"
KINDS = ("sampler", "schedule", "spacing", "guidance", "backend", "metric")

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

Register = Callable[[str, type], None]


@hookspec
def register_samplers(register: Register) -> None:
    """Classes that follow ``sigmabench.samplers.protocols.Sampler``."""


@hookspec
def register_schedules(register: Register) -> None:
    """Classes that follow ``sigmabench.samplers.protocols.NoiseSchedule``."""


@hookspec
def register_spacings(register: Register) -> None:
    """Classes that follow ``sigmabench.samplers.protocols.Spacing``."""


@hookspec
def register_guidance(register: Register) -> None:
    """Classes that follow ``sigmabench.samplers.protocols.Guidance``."""


@hookspec
def register_backends(register: Register) -> None:
    """Classes that follow ``sigmabench.eval.protocols.Backend``."""


@hookspec
def register_metrics(register: Register) -> None:
    """Classes that follow ``sigmabench.eval.protocols.Metric``."""


HOOKS = {
    "sampler": "register_samplers",
    "schedule": "register_schedules",
    "spacing": "register_spacings",
    "guidance": "register_guidance",
    "backend": "register_backends",
    "metric": "register_metrics",
}
