"""Sigmabench: diffusion samplers, noise schedules, spacings and guidance as plugins, and a harness that compares them.

    import sigmabench
    sampler = sigmabench.build("sampler", "dpmpp_2m_sde(eta=0.5)")

Nothing heavy is imported here: ComfyUI loads this file when the repository lies in its ``custom_nodes`` folder.
"""

from typing import Any

__version__ = "0.1.0"

NODE_CLASS_MAPPINGS: dict[str, type] = {}


def __getattr__(name: str) -> Any:
    if name in ("build", "catalogue"):
        from .plugins import registry

        return getattr(registry, name)
    if name == "scheduler":
        from .plugins.diffusers.joining import scheduler

        return scheduler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
