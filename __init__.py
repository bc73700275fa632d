"""Sigmabench: diffusion samplers, noise schedules, spacings and guidance as plugins, and a harness that compares them.

    import sigmabench
    sampler = sigmabench.build("sampler", "dpmpp_2m_sde(eta=0.5)")
    results = sigmabench.load("runs/first")

Nothing heavy is imported here: ComfyUI loads this file when the repository lies in its ``custom_nodes`` folder, and
finds the nodes by asking for its attributes. A pip-installed package needs a folder there whose ``__init__.py`` says
``from sigmabench import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS, WEB_DIRECTORY``.
"""

from typing import Any

__version__ = "0.1.0"

COMFYUI = ("NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "WEB_DIRECTORY")


def __getattr__(name: str) -> Any:
    if name in ("build", "catalogue"):
        from .plugins import registry

        return getattr(registry, name)
    if name in ("scheduler", "guider"):
        from .plugins.diffusers import joining

        return getattr(joining, name)
    if name == "load":
        from .eval.loading import load

        return load
    if name in COMFYUI:
        from .eval.comfyui.nodes import mappings
        from .plugins.comfyui import pack

        return getattr(pack.load(mappings), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
