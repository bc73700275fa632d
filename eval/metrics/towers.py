"""Image-text models: the embedded one, or any that open_clip loads.

    "embedded"                              this package's own, no download, knows few words
    "ViT-B-32/laion2b_s34b_b79k"            architecture and weights of open_clip's list (fetched by open_clip)
    "ViT-B-32//home/me/weights.pt"          architecture and a file
    "/path", "hf-hub:owner/name"            a folder with open_clip_config.json and weights, here or on a hub

Both have ``name`` (with a content hash), ``embed_images`` and ``embed_texts``, of unit length, in full float32.
"""

from __future__ import annotations

import hashlib
import pickle
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .judges import normalised
from .pil_resize import resized_bytes, shortest_middle
from .precision import full_precision, on_host

if TYPE_CHECKING:
    from torch import Tensor, nn

EMBEDDED = "embedded"


class EmbeddedTowers:
    """The embedded image-text model; unknown words are an error."""

    resizer = "bicubic-aa"

    def __init__(self, device: str) -> None:
        from ..embedded.imagetext import load_imagetext

        self.model = load_imagetext(device)
        self.name = self.model.name

    def embed_images(self, images: Tensor) -> Tensor:
        """uint8 (B, 3, H, W) to (B, d)."""
        with full_precision(self.model.device):
            return self.model.embed_images(images)

    def embed_texts(self, prompts: Sequence[str]) -> Tensor:
        """(B, d)."""
        with full_precision(self.model.device):
            return self.model.embed_texts(prompts)


class OpenClipTowers:
    """A model of open_clip, with its own preprocessing: PIL resizing as the model was trained."""

    resizer = "open_clip"

    def __init__(self, model: str, device: str) -> None:
        import open_clip

        architecture, weights = split(model)
        try:
            made = open_clip.create_model_and_transforms(architecture, pretrained=weights, require_pretrained=True)
        except (RuntimeError, OSError, pickle.UnpicklingError) as error:
            raise ValueError(
                f"open_clip cannot load {model!r} ({error}). Names with weights: open_clip.list_pretrained(). Without "
                "a network, name a folder or use 'embedded'."
            ) from error
        self.device = device
        self.model, self.preprocess = made[0].float().eval().requires_grad_(False), made[2]
        self.name = f"{slug(model)}-{state_hash(self.model)}"
        self.model.to(device)
        self.tokenizer = tokenizer(model)

    def embed_images(self, images: Tensor) -> Tensor:
        """uint8 (B, 3, H, W) to (B, d)."""
        with full_precision(self.device):
            return self.model.encode_image(self.prepared(images.to(self.device)), normalize=True)

    def prepared(self, images: Tensor) -> Tensor:
        """uint8 (B, 3, H, W) as the model was trained: where the images are, if that is the usual way."""
        usual = None if on_host(images.device) else usual_preparation(self.model.visual.preprocess_cfg)
        if usual is not None:
            return usual(images)
        import torch
        from PIL import Image

        pictures = [Image.fromarray(pixels) for pixels in images.permute(0, 2, 3, 1).cpu().numpy()]
        return torch.stack([self.preprocess(picture) for picture in pictures]).to(self.device)

    def embed_texts(self, prompts: Sequence[str]) -> Tensor:
        """(B, d); what is beyond the context length is cut, the end mark stays."""
        from ...samplers.moved import moved

        with full_precision(self.device):
            tokens = moved(self.tokenizer(list(prompts)), self.device)
            return self.model.encode_text(tokens, normalize=True)


@lru_cache(maxsize=2)
def load_towers(model: str, device: str) -> EmbeddedTowers | OpenClipTowers:
    """
    Raises:
        ValueError: for a model that open_clip does not know or cannot get, with the remedy.
        FileNotFoundError: if the embedded weights are missing.
    """
    return EmbeddedTowers(device) if model == EMBEDDED else OpenClipTowers(model, device)


def usual_preparation(config: Mapping[str, Any]) -> Callable[[Tensor], Tensor] | None:
    """open_clip's preparation for bicubic resizing of the shorter side or of both; None for any other."""
    high, wide = size if isinstance(size := config["size"], (list, tuple)) else (size, size)
    way = config.get("resize_mode") or "shortest"
    if config.get("interpolation") == "bilinear" or way == "longest" or (way == "shortest" and high != wide):
        return None

    def prepare(images: Tensor) -> Tensor:
        small = resized_bytes(images, high, wide) if way == "squash" else shortest_middle(images, high, down=False)
        return normalised(small / 255, config["mean"], config["std"])

    return prepare


def slug(model: str) -> str:
    """The model's part of an observation's name, known without loading: "cifarclip" or "clip-ViT-B-32-laion2b".

    Of files and folders only their own name counts; the hash of the weights tells them apart.
    """
    if model == EMBEDDED:
        return "cifarclip"
    architecture, weights = split(model)
    folder = architecture.removeprefix("local-dir:")
    parts = [Path(folder).name if folder != architecture else architecture, Path(weights or "").stem]
    return "clip-" + re.sub(r"[^A-Za-z0-9.]+", "-", "-".join(parts)).strip("-")


def split(model: str) -> tuple[str, str | None]:
    """Architecture and weights as open_clip wants them."""
    if model.startswith(("local-dir:", "hf-hub:")):
        return model, None
    if Path(model).expanduser().is_dir():
        return f"local-dir:{Path(model).expanduser()}", None
    architecture, _, weights = model.partition("/")
    if not weights:
        raise ValueError(
            f"image-text model {model!r} names no weights, and random ones would be used: must be 'embedded', "
            "'<architecture>/<weights>' such as 'ViT-B-32/laion2b_s34b_b79k', a folder, or 'hf-hub:owner/name'"
        )
    return architecture, weights


@lru_cache(maxsize=4)
def tokenizer(model: str) -> Any:
    """open_clip's tokenizer of a model; no weights are loaded."""
    import open_clip

    if model == EMBEDDED:
        from ..embedded.imagetext import FOLDER

        return open_clip.get_tokenizer(f"local-dir:{FOLDER}")
    return open_clip.get_tokenizer(split(model)[0])


def tokens_cut(model: str, prompts: Sequence[str]) -> list[int]:
    """How many tokens of each prompt, marks included, are beyond the model's context length."""
    tokens = tokenizer(model)
    lengths = {p: len(tokens.encode(p)) + 2 if hasattr(tokens, "encode") else _hf_length(tokens, p) for p in prompts}
    return [max(0, lengths[p] - tokens.context_length) for p in prompts]


def state_hash(module: nn.Module) -> str:
    """The first 8 hexadecimal digits of the SHA-256 of all tensors and their names."""
    digest = hashlib.sha256()
    for key, value in sorted(module.state_dict().items()):
        digest.update(key.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:8]


def _hf_length(tokens: Any, prompt: str) -> int:
    return len(tokens.tokenizer(prompt)["input_ids"])
