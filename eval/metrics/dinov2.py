"""Class tokens of DINOv2, the space in which Frechet distances agree best with people's judgement.

The token after the last normalisation, 1024 numbers for the large model, of images resized to 224x224 by PIL's bicubic
filter and normalised as ImageNet. Stein et al. 2023, arXiv:2306.04675; Oquab et al. 2023, arXiv:2304.07193.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .judges import normalised
from .observations import check_pixels
from .pil_resize import resized_bytes
from .precision import full_precision
from .towers import state_hash

if TYPE_CHECKING:
    from torch import Tensor

SIDE = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Dinov2Features:
    """float32 (B, d).

    Raises:
        ImportError: without transformers, naming the extra.
        ValueError: if the folder or name cannot be loaded, with the remedy.
    """

    def __init__(self, model: str, device: str) -> None:
        try:
            from transformers import Dinov2Model
        except ImportError as error:
            raise ImportError("features = 'dinov2' needs transformers: pip install 'sigmabench[pipelines]'") from error
        try:
            network = Dinov2Model.from_pretrained(str(Path(model).expanduser()), local_files_only=Path(model).exists())
        except (OSError, ValueError) as error:
            raise ValueError(
                f"cannot load DINOv2 from {model!r} ({error}); name a folder with config.json and model.safetensors, "
                "such as features='dinov2:/path', or a name on the hub if there is a network"
            ) from error
        self.device, self.name = device, f"features/{slug(model)}-{state_hash(network.float())}/pil-bicubic-{SIDE}"
        self.network = network.eval().requires_grad_(False).to(device)

    def __call__(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        check_pixels(images, prompts)
        small = resized_bytes(images.to(self.device), SIDE, SIDE)
        with full_precision(self.device):
            return self.network(pixel_values=normalised(small / 255, MEAN, STD)).pooler_output.float()


def slug(model: str) -> str:
    """ "dinov2-large" of "facebook/dinov2-large" or "/models/dinov2-large"."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", Path(model).name).strip("-")
