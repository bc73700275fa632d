"""CLIP score: does the image show what its prompt says?

score = mean of 100 cos(image, text), per image and raw. Other programs show 2.5 max(cos, 0) (Hessel et al. 2021,
arXiv:2104.08718), max(100 mean cos, 0) (torchmetrics) or the plain cosine; only the scale and the clamping differ.
Nothing is clamped here: a mismatched model gives negative cosines, and clamping would show a plausible 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from ...samplers.settings import setting, settings
from .estimate import mean
from .observations import check_pixels, column, find
from .texts import Texts
from .towers import EMBEDDED, load_towers, slug, tokens_cut

if TYPE_CHECKING:
    from torch import Tensor

    from ..protocols import Observations, Observer, Value

SUSPICIOUS = 0.01  # share of negative cosines


class CosineObserver:
    """Cosine of each image and its prompt, and how many tokens of the prompt were cut: float32 (B, 2)."""

    def __init__(self, model: str, device: str) -> None:
        self.model, self.towers = model, load_towers(model, device)
        self.name = f"cosine/{self.towers.name}/{self.towers.resizer}"
        self.texts = Texts(self._embedded)

    def __call__(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        import torch

        check_pixels(images, prompts)
        texts = self.texts(prompts)
        cosines = (self.towers.embed_images(images) * texts[:, :-1]).sum(dim=1)
        return torch.stack([cosines, texts[:, -1]], dim=1)

    def _embedded(self, prompts: Sequence[str]) -> Tensor:
        """Embeddings, float32 (B, d), and in a last column how many tokens were cut."""
        import torch

        from ...samplers.moved import moved

        texts, cut = self.towers.embed_texts(prompts).float(), torch.tensor(tokens_cut(self.model, prompts))
        return torch.cat([texts, moved(cut, texts.device, texts.dtype)[:, None]], dim=1)


@settings
class ClipScore:
    """Mean of 100 cos(image, prompt) of an image-text model, never clamped. Hessel et al. 2021, arXiv:2104.08718."""

    higher_is_better: ClassVar[bool | None] = True
    minimum: ClassVar[int] = 2

    model: str = setting(EMBEDDED, help="embedded, ViT-B-32/laion2b_s34b_b79k, local-dir:/path, hf-hub:owner/name")
    strict: bool = setting(True, help="refuse prompts over the context length instead of cutting them")

    def check_prompts(self, prompts: Sequence[str]) -> None:
        """
        Raises:
            ValueError: for an empty prompt, words the embedded model does not know or, if strict, too many tokens.
        """
        if self.model == EMBEDDED:
            from ..embedded.captions import check_words

            check_words(prompts)
        for number, (prompt, cut) in enumerate(zip(prompts, tokens_cut(self.model, prompts), strict=True), 1):
            if not prompt.strip():
                raise ValueError(f"prompt {number} is empty, so there is nothing to compare an image with; remove it")
            if cut and self.strict:
                raise ValueError(
                    f"prompt {number}, {prompt!r}, is {cut} tokens longer than {self.model!r} reads; shorten it, or "
                    "use strict=False to have it cut and counted"
                )

    def observers(self, device: str) -> Sequence[Observer]:
        return [CosineObserver(self.model, device)]

    def evaluate(self, shards: Iterable[Observations]) -> Value:
        name = find(shards, f"cosine/{slug(self.model)}")
        cosines, cut = column(shards, name).T
        negative = float((cosines < 0).mean())
        card = {
            "metric": "clip_score",
            "model": name.removeprefix("cosine/"),
            "scale": "100 cos(image, prompt), not clamped",
            "images_with_cut_prompts": int((cut > 0).sum()),
        }
        if negative > SUSPICIOUS:
            card["warning"] = f"{negative:.1%} of the cosines are negative: the model may not fit images or prompts"
        return mean(100 * cosines, card)
