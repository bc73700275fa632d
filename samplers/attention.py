"""Attention in other ways: each function takes the place of ``scaled_dot_product_attention`` in a layer.

Queries, keys and values are (B, heads, tokens, features); a slice says which tokens are those of the image.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.functional import scaled_dot_product_attention as dense

from .moved import moved
from .own_noise import digits

Attention = Callable[..., Tensor]
"""With the arguments of ``scaled_dot_product_attention``, always by name."""


def identity(image: slice) -> Attention:
    """Every token of the image attends to itself, and to the text if there is any."""

    def attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, **rest: Any) -> Tensor:
        tokens = key.shape[2]
        if image.indices(tokens) == (0, tokens, 1) and attn_mask is None:
            return value
        keep = torch.ones(tokens, tokens, dtype=torch.bool, device=query.device)
        keep[image, image] = False
        keep.fill_diagonal_(True)
        return dense(query, key, value, attn_mask=_both(attn_mask, keep), **rest)

    return attention


def blurred(image: slice, sigma: float | None, grid: Callable[[int], tuple[int, int]]) -> Attention:
    """The queries of the image are blurred over its ``grid(number of tokens)``, or are all their mean."""

    def attention(query: Tensor, key: Tensor, value: Tensor, **rest: Any) -> Tensor:
        own = query[:, :, image]
        query = query.clone()
        if sigma is None:
            query[:, :, image] = own.mean(2, keepdim=True)
        else:
            planes = own.transpose(2, 3).unflatten(-1, grid(own.shape[2]))
            query[:, :, image] = gaussian_blur(planes, sigma).flatten(-2).transpose(2, 3)
        return dense(query, key, value, **rest)

    return attention


def gaussian_blur(planes: Tensor, sigma: float) -> Tensor:
    """(..., H, W) convolved with a Gaussian of 6 sigma width, at most the plane's, mirrored at the edges."""
    for dim in (-2, -1):
        radius = min(math.ceil(6 * sigma) // 2, planes.shape[dim] // 2)
        if radius:
            place = torch.arange(-radius, radius + 1, dtype=torch.float64)
            weights = (-((place / sigma) ** 2) / 2).exp()
            kernel = moved(weights / weights.sum(), planes.device, planes.dtype)
            rows = planes.movedim(dim, -1)
            mirrored = pad(rows.flatten(0, -3), (radius, radius), "reflect").view(*rows.shape[:-1], -1)
            planes = (mirrored.unfold(-1, len(kernel), 1) @ kernel).movedim(-1, dim)
    return planes


def sparse(scale: float, alpha: float) -> Attention:
    """dense + scale * (alpha-entmax - dense)."""

    def attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, **rest: Any) -> Tensor:
        usual = dense(query, key, value, attn_mask=attn_mask, **rest)
        weights = entmax(_scores(query, key, attn_mask, rest.get("scale")), alpha)
        return usual.lerp(weights.to(value) @ value, scale)

    return attention


def received(keep: Callable[[Tensor], None]) -> Attention:
    """As usual; what each token receives, (B, tokens), summed over queries and averaged over heads, is kept."""

    def attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, **rest: Any) -> Tensor:
        keep(_scores(query, key, attn_mask, rest.get("scale")).softmax(-1).mean(1).sum(1))
        return dense(query, key, value, attn_mask=attn_mask, **rest)

    return attention


def probabilities(keep: Callable[[Tensor], None]) -> Attention:
    """As usual; its weights (B, queries, keys), averaged over heads, are kept."""

    def attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, **rest: Any) -> Tensor:
        keep(_scores(query, key, attn_mask, rest.get("scale")).softmax(-1).mean(1))
        return dense(query, key, value, attn_mask=attn_mask, **rest)

    return attention


def away_from(other: Tensor, scale: float, tau: float, alpha: float) -> Attention:
    """Led away from what the same queries found in another text, (B, heads, tokens, features)."""

    def attention(query: Tensor, key: Tensor, value: Tensor, **rest: Any) -> Tensor:
        z = dense(query, key, value, **rest)
        led = scale * z - (scale - 1) * other
        ratio = _size(led) / _size(z).clamp(min=torch.finfo(torch.float32).tiny)
        return z.lerp(led * (tau / ratio.clamp(min=1e-9)).clamp(max=1.0).to(z), alpha)

    return attention


def entmax(scores: Tensor, alpha: float) -> Tensor:
    """The alpha-entmax of the last dimension, alpha 1.5 or 2: p = max(0, (alpha - 1) z - t)^(1 / (alpha - 1)), sum 1.

    t is found exactly, from the sorted scores: Peters, Niculae, Martins 2019, arXiv:1905.05702, Algorithm 2.
    """
    z = (alpha - 1) * (scores.float() - scores.amax(-1, keepdim=True).float())
    ordered = z.sort(-1, descending=True).values
    k = torch.arange(1, z.shape[-1] + 1, device=z.device)
    finite = ordered.masked_fill(ordered.isinf(), -1e4)  # masked scores are in no support
    mean = finite.cumsum(-1) / k
    if alpha == 2:
        t = mean - 1 / k
    else:
        spread = (finite.square().cumsum(-1) / k - mean.square()).clamp(min=0)
        t = mean - (1 / k - spread).clamp(min=0).sqrt()
    size = (t <= finite).sum(-1, keepdim=True).clamp(min=1)
    p = (z - t.gather(-1, size - 1)).clamp(min=0)
    return p if alpha == 2 else p.square()


@lru_cache(maxsize=4096)
def order(name: str, tokens: int, ve_sigma: float) -> Tensor:
    """A random order of tokens, drawn for a layer and a noise level, so that an image is the same in any batch."""
    seed = zlib.crc32(f"{name} {digits(ve_sigma)}".encode())
    return torch.randperm(tokens, generator=torch.Generator().manual_seed(seed))


def grid(shape: Sequence[int], tokens: int) -> tuple[int, int]:
    """Rows and columns of that many tokens: x of this shape, made smaller by a whole number."""
    height, width = shape[-2:]
    for factor in range(1, max(height, width) + 1):
        rows, columns = -(-height // factor), -(-width // factor)
        if rows * columns == tokens:
            return rows, columns
    raise ValueError(f"{tokens} tokens are no smaller grid of {height} x {width}")


def _scores(query: Tensor, key: Tensor, mask: Tensor | None, scale: float | None) -> Tensor:
    scores = query.float() @ key.float().mT * (scale if scale is not None else query.shape[-1] ** -0.5)
    if mask is None:
        return scores
    return scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask


def _both(mask: Tensor | None, keep: Tensor) -> Tensor:
    if mask is None:
        return keep
    return mask & keep if mask.dtype == torch.bool else mask.masked_fill(~keep, -math.inf)


def _size(z: Tensor) -> Tensor:
    """The sum of absolute values over all features of a token, (B, 1, tokens, 1)."""
    return z.abs().sum((1, 3), keepdim=True, dtype=torch.float32)
