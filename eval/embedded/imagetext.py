"""The image-text model: a small open_clip CLIP of this package's own, with the captions it was taught.

The folder `weights/imagetext` is an ordinary open_clip model directory: `open_clip_config.json` and
`open_clip_model.safetensors`, read by `open_clip.create_model_and_transforms("local-dir:...")`.
Cosines are returned raw: neither scaled by 100 nor clamped at 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from ...samplers.moved import moved
from .captions import check_words
from .weights_files import WEIGHTS, content_hash

FOLDER = WEIGHTS / "imagetext"
SIDE = 64
MEAN = STD = (0.5, 0.5, 0.5)

MODEL_CFG: dict[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": SIDE, "layers": [2, 2, 2, 2], "width": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 2},
}
PREPROCESS_CFG = {"size": [SIDE, SIDE], "mean": list(MEAN), "std": list(STD), "interpolation": "bicubic"}


def resized(pixels: torch.Tensor) -> torch.Tensor:
    """The one resize: uint8 (B, 3, H, W) -> float32 (B, 3, 64, 64) in -1..1, antialiased bicubic, clamped."""
    x = F.interpolate(pixels.float() / 255, (SIDE, SIDE), mode="bicubic", antialias=True).clamp(0, 1)
    return (x * 2 - 1).contiguous(memory_format=torch.channels_last)


def text_states(clip: Any, tokens: torch.Tensor) -> torch.Tensor:
    """Hidden states after the final norm: int64 (B, 16) -> (B, 16, 32). The body of open_clip's `encode_text`."""
    x = clip.token_embedding(tokens) + clip.positional_embedding
    return clip.ln_final(clip.transformer(x, attn_mask=clip.attn_mask))


class ImageText:
    """Image and text embeddings in one space, float32, unit length."""

    def __init__(self, folder: str | Path = FOLDER, device: torch.device | str = "cpu") -> None:
        import open_clip

        self.file = Path(folder) / "open_clip_model.safetensors"
        if not self.file.is_file():
            raise FileNotFoundError(f"{self.file} is missing; open_clip would silently start from random weights")
        name = f"local-dir:{folder}"
        self.clip, _, self.preprocess = open_clip.create_model_and_transforms(name, require_pretrained=True)
        self.clip = self.clip.float().eval().requires_grad_(False).to(device)
        self.tokenizer = open_clip.get_tokenizer(name)
        self.hash = content_hash(self.file)
        self.name = f"cifarclip-{self.hash}"

    @property
    def device(self) -> torch.device:
        return self.clip.logit_scale.device

    @torch.no_grad()
    def embed_images(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 (B, 3, H, W) -> float32 (B, 64), unit length."""
        return self.clip.encode_image(resized(pixels.to(self.device)), normalize=True)

    @torch.no_grad()
    def embed_texts(self, prompts: Sequence[str]) -> torch.Tensor:
        """Known words only -> float32 (B, 64), unit length."""
        return self.clip.encode_text(self.tokens(prompts), normalize=True)

    @torch.no_grad()
    def encode_tokens(self, prompts: Sequence[str]) -> torch.Tensor:
        """Known words only -> float32 (B, 16, 32): what the generator attends to. Padding after the end is zero."""
        tokens = self.tokens(prompts)
        ended = torch.arange(tokens.shape[1], device=self.device) > tokens.argmax(1, keepdim=True)
        return text_states(self.clip, tokens).masked_fill(ended[..., None], 0.0)

    def tokens(self, prompts: Sequence[str]) -> torch.Tensor:
        """int64 (B, 16), begin and end marks included."""
        check_words(prompts)
        return moved(self.tokenizer(list(prompts)), self.device)


@lru_cache(maxsize=2)
def load_imagetext(device: str = "cpu") -> ImageText:
    """The shipped model; loaded once per device."""
    return ImageText(device=device)
