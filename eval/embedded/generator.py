"""The generators: two checkpoints of one diffusers UNet2DConditionModel, conditioned on the image-text model's states.

| name | trained to predict | betas | at the last timestep |
|---|---|---|---|
| "eps" | the noise | linear 1e-4..0.02, 1000 steps | alpha = 1/157, not quite noise |
| "v" | v = alpha eps - sigma x0 | the same, rescaled to zero terminal SNR (arXiv 2305.08891, Alg. 1) | pure noise |

Call as `unet(x, t, encoder_hidden_states=states).sample` with x (B, 12, 16, 16) as in `codec`, t in 0..999, and
states (B, 16, 32) from `ImageText.encode_tokens`; the states of the prompt "" are the unconditional branch.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from .weights_files import WEIGHTS, content_hash

NAMES = ("eps", "v")

UNET = {
    "sample_size": 16,
    "in_channels": 12,
    "out_channels": 12,
    "block_out_channels": (64, 96, 96),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D",) * 3,
    "up_block_types": ("UpBlock2D",) * 3,
    "cross_attention_dim": 32,
    "attention_head_dim": 4,  # the number of heads: diffusers' historical name for it
    "norm_num_groups": 16,
    "resnet_time_scale_shift": "scale_shift",
    "time_embedding_dim": 192,
    "addition_embed_type": "text",  # pooled text states are added to the time embedding
    "addition_embed_type_num_heads": 4,
}

LINEAR = {"num_train_timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}
SCHEDULERS = {
    "eps": {**LINEAR, "prediction_type": "epsilon", "timestep_spacing": "trailing", "clip_sample": False},
    "v": {
        **LINEAR,
        "prediction_type": "v_prediction",
        "rescale_betas_zero_snr": True,
        "timestep_spacing": "trailing",
        "clip_sample": False,
    },
}


class Generator(NamedTuple):
    """A frozen float32 network, its diffusers scheduler configuration, and the hash of its weights."""

    unet: Any  # a UNet2DConditionModel; diffusers says little of its types
    scheduler_config: dict
    hash: str
    name: str


def folder_of(name: str) -> Path:
    """Where a checkpoint lies, laid out as a diffusers pipeline: `unet/` and `scheduler/`."""
    if name not in NAMES:
        raise ValueError(f"no embedded generator {name!r}; there are {', '.join(NAMES)}")
    return WEIGHTS / f"generator-{name}"


def read_generator(folder: str | Path, name: str, device: str = "cpu") -> Generator:
    """Read a checkpoint through diffusers, widened to float32, frozen."""
    import torch
    from diffusers import DDIMScheduler, UNet2DConditionModel

    options = {"torch_dtype": torch.float32, "use_safetensors": True, "local_files_only": True}
    unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet", **options)
    config, _ = DDIMScheduler.load_config(folder, subfolder="scheduler", return_unused_kwargs=True)
    file = Path(folder) / "unet" / "diffusion_pytorch_model.safetensors"
    digest = content_hash(file)
    return Generator(unet.eval().requires_grad_(False).to(device), config, digest, f"cifargen-{name}-{digest}")


@lru_cache(maxsize=4)
def load_generator(name: str, device: str = "cpu") -> Generator:
    """The shipped checkpoint "eps" or "v"; loaded once per device."""
    return read_generator(folder_of(name), name, device)
