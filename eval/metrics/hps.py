"""HPS v2: which image would people prefer for this prompt?

    score = 100 cos(image, prompt),   of open_clip's ViT-H-14 trained on 798,000 choices

Per image and raw; published benchmarks show the same scale, the package ``hpsv2`` a hundredth of it. An optional judge:
its weights (4 GB) are HPS_v2.1_compressed.pt of huggingface.co/xswu/HPSv2, or HPS_v2_compressed.pt, which open_clip
reads as weights alone, or a safetensors copy. Unlike other CLIP models it sees an image whole, the longer side made
224 and the rest black. Wu et al. 2023, arXiv:2306.09341.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ...samplers.settings import setting, settings
from .estimate import mean
from .judges import check_lengths, normalised
from .observations import check_pixels, column, find
from .precision import full_precision
from .texts import Texts
from .towers import OpenClipTowers, slug, tokenizer, tokens_cut

if TYPE_CHECKING:
    from torch import Tensor

    from ..protocols import Observations, Observer, Value

ARCHITECTURE, FILES = "ViT-H-14", (".pt", ".safetensors")


class PreferenceObserver:
    """The score of each image and its prompt, float32 (B,).

    Raises:
        ValueError: if the weights cannot be loaded, with the remedy.
    """

    def __init__(self, model: str, device: str) -> None:
        self.towers, self.device = OpenClipTowers(whole_name(model), device), device
        size = self.towers.model.visual.image_size
        self.side = size if isinstance(size, int) else size[0]
        self.name, self.texts = f"preference/{self.towers.name}", Texts(self.towers.embed_texts)

    def __call__(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        check_pixels(images, prompts)
        pixels, texts = padded(images.to(self.device), self.side), self.texts(prompts)
        with full_precision(self.device):
            return (100 * (self.towers.model.encode_image(pixels, normalize=True) * texts).sum(dim=1)).float()


@settings
class HPSv2:
    """Mean of 100 cos(image, prompt) of a CLIP model trained on people's preferences. arXiv:2306.09341."""

    higher_is_better: ClassVar[bool | None] = True
    minimum: ClassVar[int] = 2

    model: str = setting("", help="the file HPS_v2.1_compressed.pt (or .safetensors), or <architecture>/<file>")

    def check_prompts(self, prompts: Sequence[str]) -> None:
        """
        Raises:
            ValueError: for an empty prompt, or one over the context length.
        """
        name = whole_name(self.model)
        room = tokenizer(name).context_length
        lengths = {prompt: room + cut for prompt, cut in zip(prompts, tokens_cut(name, prompts), strict=True)}
        check_lengths("HPS v2", room, lengths)

    def observers(self, device: str) -> Sequence[Observer]:
        return [PreferenceObserver(self.model, device)]

    def evaluate(self, shards: Iterable[Observations]) -> Value:
        name = find(shards, f"preference/{slug(whole_name(self.model))}")
        card = {"metric": "hps_v2", "model": name.removeprefix("preference/"), "scale": "100 cos(image, prompt), raw"}
        return mean(column(shards, name), card)


def whole_name(model: str) -> str:
    """With the architecture, if it is a file alone."""
    if not model:
        raise ValueError(
            "HPSv2.model = '': must be the file HPS_v2.1_compressed.pt or HPS_v2_compressed.pt of "
            "huggingface.co/xswu/HPSv2, or a safetensors copy of it"
        )
    path = Path(model).expanduser()
    return f"{ARCHITECTURE}/{path}" if path.suffix in FILES and path.is_file() else model


def padded(images: Tensor, side: int) -> Tensor:
    """uint8 (B, 3, H, W) to float (B, 3, side, side): longer side to that by bicubic-aa, black around, normalised."""
    import torch.nn.functional as F

    high, wide = images.shape[-2:]
    scale, pixels = side / max(high, wide), images.float() / 255
    if scale != 1:
        high, wide = (round(length * scale) for length in (high, wide))
        pixels = F.interpolate(pixels, (high, wide), mode="bicubic", antialias=True)
    left, top = (side - wide) // 2, (side - high) // 2
    return normalised(F.pad(pixels, (left, side - wide - left, top, side - high - top)))
