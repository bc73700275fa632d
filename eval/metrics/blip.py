"""BLIP's text encoder that looks at an image, and ImageReward's head on it, by the names that their weights have.

A vision transformer (normalised before each part, arXiv:2010.11929) and BERT (after each, arXiv:1810.04805), every
layer of which also attends to the image's patches: arXiv:2201.12086, figure 2. The head is linear all through. Sizes
are read from the weights; an attention head has 64 numbers in each of the published models. Plain torch, so that it
does not age with the package it was published in.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

HEAD = 64
State = Mapping[str, Tensor]


class VisionBlock(nn.Module):
    """Attention among patches and a network on each, both added to what was there."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)})
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, hidden), "fc2": nn.Linear(hidden, width)})

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn["proj"](attend(*self.attn["qkv"](self.norm1(x)).chunk(3, dim=-1)))
        return x + self.mlp["fc2"](gelu(self.mlp["fc1"](self.norm2(x))))


class Vision(nn.Module):
    """Pixels (B, 3, side, side) to a class token and patches, (B, 1 + patches, width)."""

    def __init__(self, state: State, prefix: str) -> None:
        super().__init__()
        width, channels, patch, _ = state[f"{prefix}patch_embed.proj.weight"].shape
        self.patch, hidden = patch, len(state[f"{prefix}blocks.0.mlp.fc1.bias"])
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.pos_embed = nn.Parameter(torch.empty_like(state[f"{prefix}pos_embed"], dtype=torch.float32))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(channels, width, patch, patch)})
        self.blocks = nn.ModuleList(VisionBlock(width, hidden) for _ in range(depth(state, f"{prefix}blocks.")))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    @property
    def side(self) -> int:
        """Of the images that its places are for, in pixels."""
        return round((self.pos_embed.shape[1] - 1) ** 0.5) * self.patch

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.patch_embed["proj"](pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(pixels), -1, -1), patches], dim=1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class Attention(nn.Module):
    """Of words to ``width`` wide tokens, added to the words and normalised."""

    def __init__(self, words: int, width: int) -> None:
        super().__init__()
        sizes = {"query": words, "key": width, "value": width}
        self.self = nn.ModuleDict({name: nn.Linear(size, words) for name, size in sizes.items()})
        self.output = nn.ModuleDict({"dense": nn.Linear(words, words), "LayerNorm": nn.LayerNorm(words, eps=1e-12)})

    def forward(self, x: Tensor, to: Tensor, mask: Tensor | None = None) -> Tensor:
        seen = attend(self.self["query"](x), self.self["key"](to), self.self["value"](to), mask)
        return self.output["LayerNorm"](x + self.output["dense"](seen))


class TextLayer(nn.Module):
    """Attention to words, attention to the image, and a network on each word."""

    def __init__(self, words: int, width: int, hidden: int) -> None:
        super().__init__()
        self.attention, self.crossattention = Attention(words, words), Attention(words, width)
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(words, hidden)})
        self.output = nn.ModuleDict({"dense": nn.Linear(hidden, words), "LayerNorm": nn.LayerNorm(words, eps=1e-12)})

    def forward(self, x: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        x = self.crossattention(self.attention(x, x, mask), image)
        return self.output["LayerNorm"](x + self.output["dense"](gelu(self.intermediate["dense"](x))))


class TextLayers(nn.Module):
    """One after the other."""

    def __init__(self, layers: Iterable[TextLayer]) -> None:
        super().__init__()
        self.layer = nn.ModuleList(layers)

    def forward(self, x: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        for layer in self.layer:
            x = layer(x, image, mask)
        return x


class Text(nn.Module):
    """Tokens (B, T), where they count, and an image's tokens, to (B, T, words)."""

    def __init__(self, state: State, prefix: str) -> None:
        super().__init__()
        layer = f"{prefix}encoder.layer."
        vocabulary, words = state[f"{prefix}embeddings.word_embeddings.weight"].shape
        places = len(state[f"{prefix}embeddings.position_embeddings.weight"])
        width = state[f"{layer}0.crossattention.self.key.weight"].shape[1]
        hidden = len(state[f"{layer}0.intermediate.dense.bias"])
        self.embeddings = nn.ModuleDict({
            "word_embeddings": nn.Embedding(vocabulary, words), "position_embeddings": nn.Embedding(places, words),
            "LayerNorm": nn.LayerNorm(words, eps=1e-12),
        })  # fmt: skip
        self.encoder = TextLayers(TextLayer(words, width, hidden) for _ in range(depth(state, layer)))

    def forward(self, tokens: Tensor, counts: Tensor, image: Tensor) -> Tensor:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.embeddings["word_embeddings"](tokens) + self.embeddings["position_embeddings"](places)
        x, mask = self.embeddings["LayerNorm"](x), counts.bool()[:, None, None]
        return self.encoder(x, image, mask)


class RewardNetwork(nn.Module):
    """Pixels, tokens and where they count to one number each, (B,).

    Raises:
        ValueError: for weights of another layout, naming what is missing.
    """

    def __init__(self, state: State) -> None:
        super().__init__()
        try:
            vision, text = Vision(state, "blip.visual_encoder."), Text(state, "blip.text_encoder.")
            places = sorted({int(name.split(".")[2]) for name in state if name.startswith("mlp.layers.")})
            sizes = {str(place): state[f"mlp.layers.{place}.weight"].shape for place in places}
        except KeyError as error:
            raise ValueError(f"the weights have no {error}, so they are not ImageReward's") from error
        self.blip, self.side = nn.ModuleDict({"visual_encoder": vision, "text_encoder": text}), vision.side
        layers = OrderedDict[str, nn.Module]((place, nn.Linear(size[1], size[0])) for place, size in sizes.items())
        self.mlp = nn.ModuleDict({"layers": nn.Sequential(layers)})
        if missing := sorted(self.state_dict().keys() - state.keys()):
            raise ValueError(f"the weights lack {', '.join(missing[:3])}, so they are not ImageReward's")
        self.load_state_dict({name: state[name] for name in self.state_dict()})

    def forward(self, pixels: Tensor, tokens: Tensor, counts: Tensor) -> Tensor:
        x = self.blip["text_encoder"](tokens, counts, self.blip["visual_encoder"](pixels))[:, 0]
        return self.mlp["layers"](x)[:, 0]


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention in heads of 64 numbers, (B, N, width)."""
    q, k, v = (x.unflatten(-1, (-1, HEAD)).transpose(1, 2) for x in (query, key, value))
    return scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)


def depth(state: State, prefix: str) -> int:
    """How many numbered layers there are below a prefix."""
    found = (re.match(rf"{re.escape(prefix)}(\d+)\.", name) for name in state)
    return 1 + max((int(match[1]) for match in found if match), default=-1)
