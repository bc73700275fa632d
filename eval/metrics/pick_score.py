"""PickScore: which image would people pick for this prompt?

    score = exp(logit scale) * cos(image, prompt),   of a CLIP model trained on half a million choices

Per image and raw; a difference of one between two images of a prompt means odds of e. An optional judge: it needs
transformers (``pip install "sigmabench[pipelines]"``) and its weights, 4 GB, from the hub or a folder. Kirstain et al.
2023, arXiv:2305.01569.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ...samplers.settings import setting, settings
from .estimate import mean
from .judges import check_lengths, name_of, normalised
from .observations import check_pixels, column, find
from .pil_resize import shortest_middle
from .precision import full_precision
from .texts import Texts
from .towers import state_hash

if TYPE_CHECKING:
    from torch import Tensor

    from ..protocols import Observations, Observer, Value

SIDE, CONTEXT = 224, 77


class PickObserver:
    """The score of each image and its prompt, float32 (B,).

    Raises:
        ImportError: without transformers, naming the extra.
        ValueError: if the model cannot be loaded, with the remedy.
    """

    def __init__(self, model: str, device: str) -> None:
        try:
            from transformers import CLIPModel
        except ImportError as error:
            raise ImportError("pick_score needs transformers: pip install 'sigmabench[pipelines]'") from error
        try:
            network = CLIPModel.from_pretrained(str(Path(model).expanduser()), local_files_only=Path(model).exists())
        except (OSError, ValueError) as error:
            raise ValueError(
                f"cannot load PickScore from {model!r} ({error}); name a folder with config.json and model.safetensors "
                "or a name on the hub if there is a network"
            ) from error
        self.name, self.texts = f"{stem(model)}-{state_hash(network.float())}", Texts(self._embedded)
        self.network, self.device = network.eval().requires_grad_(False).to(device), device

    def __call__(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        from torch.nn.functional import cosine_similarity

        check_pixels(images, prompts)
        pixels, texts = prepared(images.to(self.device)), self.texts(prompts)
        clip = self.network
        with full_precision(self.device):  # by parts: what get_image_features returns changed in transformers 5
            seen = clip.visual_projection(clip.vision_model(pixel_values=pixels).pooler_output)
            return (clip.logit_scale.exp() * cosine_similarity(seen, texts, dim=1)).float()

    def _embedded(self, prompts: Sequence[str]) -> Tensor:
        import torch

        from ...samplers.moved import moved

        tokens = moved(torch.stack([tokenize(prompt) for prompt in prompts]), self.device)
        with full_precision(self.device):
            return self.network.text_projection(self.network.text_model(input_ids=tokens).pooler_output)


@settings
class PickScore:
    """Mean of the logit scale times cos(image, prompt) of a model of people's choices. arXiv:2305.01569."""

    higher_is_better: ClassVar[bool | None] = True
    minimum: ClassVar[int] = 2

    model: str = setting("yuvalkirstain/PickScore_v1", help="a folder, or a name on the Hugging Face hub")

    def check_prompts(self, prompts: Sequence[str]) -> None:
        """
        Raises:
            ValueError: for an empty prompt, or one over the context length.
        """
        check_lengths("PickScore", CONTEXT, {prompt: len(_encoded(prompt)) for prompt in prompts})

    def observers(self, device: str) -> Sequence[Observer]:
        return [PickObserver(self.model, device)]

    def evaluate(self, shards: Iterable[Observations]) -> Value:
        name = find(shards, stem(self.model))
        card = {"metric": "pick_score", "model": name.removeprefix("pick/"), "scale": "exp(logit scale) cos, raw"}
        return mean(column(shards, name), card)


def prepared(images: Tensor) -> Tensor:
    """uint8 (B, 3, H, W) to float (B, 3, 224, 224), as transformers prepare images for CLIP."""
    return normalised(shortest_middle(images, SIDE, down=True) / 255)


def stem(model: str) -> str:
    """What its observations are called before the hash of the weights."""
    return f"pick/{name_of(model)}"


def tokenize(prompt: str) -> Tensor:
    """int64 (77,): CLIP's tokens with begin and end marks, padded with 0, which comes after the end and is not seen."""
    import torch

    tokens = _encoded(prompt)
    return torch.tensor(tokens + [0] * (CONTEXT - len(tokens)))


def _encoded(prompt: str) -> list[int]:
    import open_clip

    tokenizer = open_clip.get_tokenizer("ViT-H-14")  # its table comes with open_clip
    return [tokenizer.sot_token_id, *tokenizer.encode(prompt), tokenizer.eot_token_id]
