"""Class tokens of DINOv2, the space in which Frechet distances agree best with people's judgement.

The token after the last normalisation, 1024 numbers for the large model, of images resized to 224x224 by PIL's bicubic
filter and normalised as ImageNet. Stein et al. 2023, arXiv:2306.04675; Oquab et al. 2023, arXiv:2304.07193.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .observations import check_pixels
from .precision import full_precision
from .towers import state_hash

if TYPE_CHECKING:
    import numpy as np
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
        self.network = network.float().eval().requires_grad_(False).to(device)
        self.device, self.name = device, f"features/{slug(model)}-{state_hash(network)}/pil-bicubic-{SIDE}"

    def __call__(self, images: Tensor, prompts: Sequence[str]) -> np.ndarray:
        check_pixels(images, prompts)
        with full_precision(self.device):
            output = self.network(pixel_values=_prepared(images).to(self.device))
        return output.pooler_output.float().cpu().numpy()


def slug(model: str) -> str:
    """ "dinov2-large" of "facebook/dinov2-large" or "/models/dinov2-large"."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", Path(model).name).strip("-")


def _prepared(images: Tensor) -> Tensor:
    """uint8 (B, 3, H, W) to float (B, 3, 224, 224), normalised."""
    import numpy as np
    import torch
    from PIL import Image

    size = (SIDE, SIDE)
    pictures = [
        Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)
        for pixels in images.permute(0, 2, 3, 1).cpu().numpy()
    ]
    pixels = torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures])).permute(0, 3, 1, 2) / 255
    return (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
