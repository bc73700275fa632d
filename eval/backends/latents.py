"""From a pipeline's clean latents to images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..embedded.codec import to_uint8

AUTOENCODERS = ("AutoencoderKL", "AutoencoderTiny", "AutoencoderDC", "AsymmetricAutoencoderKL", "VQModel")


class Decoder:
    """Decodes in float32 whatever the network's dtype: autoencoders overflow in float16. Without one, x is the image.

    z = x / scaling_factor + shift_factor, or x * latents_std / scaling_factor + latents_mean, then the autoencoder's
    [-1, 1] to bytes.

    Raises:
        ValueError: for an autoencoder that is not of the known kinds.
    """

    def __init__(self, pipe: Any, height: int | None = None, width: int | None = None) -> None:
        self.pipe, self.height, self.width = pipe, height, width
        self.vae = pipe.components.get("vae") or pipe.components.get("vqvae")
        if self.vae is not None:
            kind = type(self.vae).__name__
            if kind not in AUTOENCODERS:
                raise ValueError(f"{type(pipe).__name__} decodes with {kind}; legal are {', '.join(AUTOENCODERS)}")
            if self.vae.dtype != torch.float32:
                self.vae.to(torch.float32)

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        return torch.cat([to_uint8(self._image(row)).cpu() for row in x.float().split(1)])

    def _image(self, x: Tensor) -> Tensor:
        if self.vae is None:
            return x
        return self.vae.decode(self._unscaled(self._unpacked(x)), return_dict=False)[0]

    def _unpacked(self, x: Tensor) -> Tensor:
        """Flux keeps 2x2 patches of latents as rows (B, L, C)."""
        if x.ndim != 3:
            return x
        scale = self.pipe.vae_scale_factor
        side = self.pipe.default_sample_size * scale
        return self.pipe._unpack_latents(x, self.height or side, self.width or side, scale)

    def _unscaled(self, x: Tensor) -> Tensor:
        config = self.vae.config
        scaling = config.get("scaling_factor") or 1.0
        mean, std = config.get("latents_mean"), config.get("latents_std")
        if mean is None or std is None:
            return x / scaling + (config.get("shift_factor") or 0.0)
        mean, std = (torch.tensor(v, device=x.device, dtype=x.dtype).view(1, -1, 1, 1) for v in (mean, std))
        return x * std / scaling + mean
