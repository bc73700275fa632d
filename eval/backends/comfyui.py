"""Any model that a running ComfyUI can run: a workflow with named slots, drawn image by image over its API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...samplers.settings import setting, settings

if TYPE_CHECKING:
    from .comfyui_server import ServerModel


@settings
class ComfyUI:
    """A workflow saved with "Export (API)", whose slots are filled with each cell's settings.

    A slot is NODE.INPUT, the node's number in the file or its title. Slots left empty are those of the workflow's only
    KSampler, and the text that its positive conditioning comes from. The server draws with its own samplers and noise,
    or with ours when it has our nodes; so prompts and seeds are common to all cells, guidance is ``cfg``, and what
    happens between steps is not seen. https://github.com/comfyanonymous/ComfyUI.
    """

    workflow: str = setting("", help="file of the workflow in API format")
    url: str = setting("http://127.0.0.1:8188", help="of the server")
    sampler: str = setting("", help="slot; default: sampler_name of the KSampler")
    scheduler: str = setting("", help="slot of the spacing; default: scheduler of the KSampler")
    steps: str = setting("", help="slot; default: steps of the KSampler")
    cfg: str = setting("", help="slot of the guidance scale; default: cfg of the KSampler")
    seed: str = setting("", help="slot; default: seed of the KSampler")
    prompt: str = setting("", help="slot; default: the text behind the KSampler's positive conditioning")
    timeout: float = setting(600.0, low=1.0, help="seconds that one image may take")

    def load(self, device: str = "cpu", dtype: str = "float32") -> ServerModel:
        """
        Raises:
            FileNotFoundError, ValueError: no such file, no server, or a slot that is not in the workflow; naming it.
        """
        from .comfyui_server import ServerModel

        return ServerModel(self)
