"""ImageReward: which image would experts rank higher for this prompt?

    score = (head(BLIP(image, prompt)) - 0.16717...) / 1.03333...,   of a network trained on 137,000 ranked pairs

Per image and raw, about standard normal over the images it was trained on. An optional judge: its weights (1.8 GB) are
ImageReward.pt of huggingface.co/THUDM/ImageReward, and its words are vocab.txt of huggingface.co/google-bert/
bert-base-uncased; both in one folder. The network is our own reading of the published architecture, so the package
``image-reward``, which is bound to old versions of others, is not needed. Xu et al. 2023, arXiv:2304.05977.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

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

CONTEXT = 35
CENTRE, SPREAD = 0.16717362830052426, 1.0333394966054072
WEIGHTS, WORDS = ("ImageReward.safetensors", "ImageReward.pt"), "vocab.txt"


class RewardObserver:
    """The score of each image and its prompt, float32 (B,).

    Raises:
        ImportError: without the package tokenizers, naming the extra.
        ValueError: if the folder lacks a file or has another model's, with the remedy.
    """

    def __init__(self, model: str, device: str) -> None:
        from .blip import RewardNetwork

        folder = _folder(model)
        self.words = vocabulary(folder / WORDS)
        network = RewardNetwork(_weights(folder))
        self.side: int = network.side
        self.name = f"{stem(model)}-{state_hash(network)}"
        self.network, self.device = network.float().eval().requires_grad_(False).to(device), device
        self.tokens = Texts(self._tokens)

    def __call__(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        check_pixels(images, prompts)
        tokens, counts = self.tokens(prompts).unbind(1)
        pixels = prepared(images.to(self.device), self.side)
        with full_precision(self.device):
            return ((self.network(pixels, tokens, counts) - CENTRE) / SPREAD).float()

    def _tokens(self, prompts: Sequence[str]) -> Tensor:
        """int64 (B, 2, 35): numbers of word pieces, and where they count."""
        import torch

        from ...samplers.moved import moved

        rows = [encoded(self.words, prompt) for prompt in prompts]
        padded = [(row + [0] * (CONTEXT - len(row)), [1] * len(row) + [0] * (CONTEXT - len(row))) for row in rows]
        return moved(torch.tensor(padded), self.device)


@settings
class ImageReward:
    """Mean score of a network trained on experts' rankings of images, about standard normal. arXiv:2304.05977."""

    higher_is_better: ClassVar[bool | None] = True
    minimum: ClassVar[int] = 2

    model: str = setting("", help="a folder with ImageReward.pt (or .safetensors) and bert-base-uncased's vocab.txt")

    def check_prompts(self, prompts: Sequence[str]) -> None:
        """
        Raises:
            ValueError: for an empty prompt, or one over the context length.
        """
        words = vocabulary(_folder(self.model) / WORDS)
        check_lengths("ImageReward", CONTEXT, {prompt: len(encoded(words, prompt)) for prompt in prompts})

    def observers(self, device: str) -> Sequence[Observer]:
        return [RewardObserver(self.model, device)]

    def evaluate(self, shards: Iterable[Observations]) -> Value:
        name = find(shards, stem(self.model))
        card = {"metric": "image_reward", "model": name.removeprefix("reward/"), "scale": "the model's own, raw"}
        return mean(column(shards, name), card)


def prepared(images: Tensor, side: int) -> Tensor:
    """uint8 (B, 3, H, W) to float (B, 3, side, side), as torchvision prepares images for BLIP."""
    return normalised(shortest_middle(images, side, down=False) / 255)


def stem(model: str) -> str:
    """What its observations are called before the hash of the weights."""
    return f"reward/{name_of(model)}"


def encoded(words: Any, prompt: str) -> list[int]:
    """Numbers of a prompt's word pieces, between [CLS] and [SEP]."""
    marks = (words.token_to_id(mark) for mark in ("[CLS]", "[SEP]"))
    begin, end = marks
    return [begin, *words.encode(prompt, add_special_tokens=False).ids, end]


@lru_cache(maxsize=1)
def vocabulary(path: Path) -> Any:
    """BERT's uncased word pieces, from its list of them."""
    try:
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    except ImportError as error:
        raise ImportError("image_reward needs tokenizers: pip install 'sigmabench[pipelines]'") from error
    pieces = Tokenizer(models.WordPiece.from_file(str(path), unk_token="[UNK]"))
    pieces.normalizer = normalizers.BertNormalizer(lowercase=True)
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return pieces


def _folder(model: str) -> Path:
    folder = Path(model).expanduser()
    found = {path.name for path in folder.iterdir()} if model and folder.is_dir() else set()
    if WORDS not in found or found.isdisjoint(WEIGHTS):
        raise ValueError(
            f"ImageReward.model = {model!r}: must be a folder with {' or '.join(WEIGHTS)} "
            f"(of huggingface.co/THUDM/ImageReward) and {WORDS} (of huggingface.co/google-bert/bert-base-uncased)"
        )
    return folder


def _weights(folder: Path) -> dict[str, Tensor]:
    """Read without running anything that is in the file."""
    import torch
    from safetensors.torch import load_file

    path = next(folder / name for name in WEIGHTS if (folder / name).is_file())
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, ValueError, RuntimeError, pickle.UnpicklingError) as error:
        raise ValueError(f"{path} cannot be read as weights alone ({error}); convert it to safetensors") from error
