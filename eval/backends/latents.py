"""Between a pipeline's clean latents and images."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ...samplers.moved import tensor_like
from ..embedded.codec import to_uint8
from .memory import Rows

AUTOENCODERS = ("AutoencoderKL", "AutoencoderTiny", "AutoencoderDC", "AsymmetricAutoencoderKL", "VQModel")
TILED = 2048  # pixels of a side beyond which an image is decoded in tiles
AT_ONCE = 8


class Autoencoder:
    """Works in float32 whatever the network's dtype: autoencoders overflow in float16. Without one, x is the image.

    z = x / scaling_factor + shift_factor, or x * latents_std / scaling_factor + latents_mean, then the autoencoder's
    [-1, 1] to bytes. On the CPU images are decoded one by one, so that they are the same to the last bit whatever the
    batch; elsewhere several at once, as many as fit. One that does not fit at all, or is large, is decoded in tiles.

    Raises:
        ValueError: for an autoencoder that is not of the known kinds.
    """

    def __init__(self, pipe: Any, height: int | None = None, width: int | None = None) -> None:
        self.pipe, self.height, self.width = pipe, height, width
        self.vae = autoencoder_of(pipe)
        if self.vae is not None:
            kind = type(self.vae).__name__
            if kind not in AUTOENCODERS:
                raise ValueError(f"{type(pipe).__name__} decodes with {kind}; legal are {', '.join(AUTOENCODERS)}")
            if self.vae.dtype != torch.float32:
                self.vae.to(torch.float32)
        self.rows = Rows("decoding", AT_ONCE)

    @torch.no_grad()
    def decode(self, x: Tensor) -> Tensor:
        """Clean x to bytes, where it is."""
        if x.device.type == "cpu":
            self.rows.most = 1
        if max(self.size(tuple(x.shape[1:]))) > TILED:
            self._tile()
        return self.rows(len(x), lambda part: self._fitted(x[part].float()))

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """Latents of images in -1..1: the mean of what the autoencoder makes of them."""
        if self.vae is None:
            return pixels
        found = self.vae.encode(pixels)
        z = found.latent_dist.mode() if hasattr(found, "latent_dist") else found[0]
        scaling, shift, std = self._scale(z)
        return self._packed((z - shift) * scaling / std)

    def like_latents(self, pixels: Tensor, shape: tuple[int, ...]) -> Tensor:
        """One channel of pixels, made as small as the latents, for every channel of theirs."""
        scale = 1 if self.vae is None else self._factor
        height, width = (side // scale for side in pixels.shape[-2:])
        small = interpolate(pixels, (height, width))
        return small if len(shape) == 3 else self._packed(small.expand(-1, shape[-1] // 4, -1, -1))

    def size(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Height and width of the images that latents of this shape stand for."""
        if len(shape) == 2:
            side = self.pipe.default_sample_size * self._factor
            return self.height or side, self.width or side
        scale = 1 if self.vae is None else self._factor
        return shape[-2] * scale, shape[-1] * scale

    def _fitted(self, x: Tensor) -> Tensor:
        try:
            return to_uint8(self._image(x))
        except torch.cuda.OutOfMemoryError:
            if len(x) > 1 or not self._tile():
                raise
        torch.cuda.empty_cache()
        warnings.warn("decoding: one image does not fit into memory; going on in tiles", stacklevel=2)
        return to_uint8(self._image(x))

    def _tile(self) -> bool:
        """Decode in tiles from now on; False if that changes nothing."""
        if getattr(self.vae, "use_tiling", None) is not False:
            return False
        self.vae.enable_tiling()
        return True

    def _image(self, x: Tensor) -> Tensor:
        if self.vae is None:
            return x
        z = self._unpacked(x)
        scaling, shift, std = self._scale(z)
        return self.vae.decode(z * std / scaling + shift, return_dict=False)[0]

    @property
    def _factor(self) -> int:
        """Pixels of a side per latent."""
        return getattr(self.pipe, "vae_scale_factor", None) or 2 ** (len(self.vae.config.block_out_channels) - 1)

    def _unpacked(self, x: Tensor) -> Tensor:
        """Flux keeps 2x2 patches of latents as rows (B, L, C)."""
        return x if x.ndim != 3 else self.pipe._unpack_latents(x, *self.size(tuple(x.shape[1:])), self._factor)

    def _packed(self, z: Tensor) -> Tensor:
        if not hasattr(self.pipe, "_pack_latents"):
            return z
        return self.pipe._pack_latents(z, *z.shape)

    def _scale(self, z: Tensor) -> tuple[float, Any, Any]:
        """scaling, shift and std of z = x * std / scaling + shift."""
        config = self.vae.config
        scaling = config.get("scaling_factor") or 1.0
        mean, std = config.get("latents_mean"), config.get("latents_std")
        if mean is None or std is None:
            return scaling, config.get("shift_factor") or 0.0, 1.0
        mean, std = (tensor_like(v, z).view(1, -1, 1, 1) for v in (mean, std))
        return scaling, mean, std


def autoencoder_of(pipe: Any) -> Any:
    """Its autoencoder, or None."""
    return pipe.components.get("vae") or pipe.components.get("vqvae")
