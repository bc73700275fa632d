"""Checkpoints of a few megabytes that ComfyUI loads and samples: its own classes, few layers, random weights.

    python tests/live_checkpoints.py COMFYUI_DIR FOLDER

Shapes come from the checkout's classes on the meta device. Weights are overlapping views into small random buffers, so
that a file stays small whatever the shapes. ``vp.ckpt`` is like Stable Diffusion 1.5 (eps, discrete), ``xl.ckpt`` like
SDXL, ``flow.ckpt`` like SD3, the first and the last with a weaker twin of other weights; ``video.ckpt`` is like Wan,
``video_and_audio.safetensors`` like LTX-2, where the checkout knows it. The networks do not draw anything; they give
smooth, bounded predictions that depend on image, time and text. Video models have no text encoder: they understand that
of ``flow.ckpt``, of 4096 features too.
"""

import importlib
import json
import sys
from pathlib import Path

import safetensors.torch
import torch

comfyui, folder = Path(sys.argv[1]), Path(sys.argv[2])
sys.path.insert(0, str(comfyui))
sys.argv = sys.argv[:1]

from comfy.cli_args import args  # noqa: E402

args.cpu = True

import comfy.clip_model  # noqa: E402
import comfy.ldm.modules.diffusionmodules.mmdit as mmdit  # noqa: E402
import comfy.ldm.modules.diffusionmodules.openaimodel as unet  # noqa: E402
import comfy.ldm.wan.model as wan  # noqa: E402
import comfy.ops  # noqa: E402
import comfy.taesd.taesd as taesd  # noqa: E402

PARTS = {"dtype": None, "device": "meta", "operations": comfy.ops.disable_weight_init}


def sd15(channel_mult=(1,), middle=1):
    """With text in the first stage alone."""
    further = len(channel_mult) - 1
    network = unet.UNetModel(
        image_size=32, in_channels=4, model_channels=320, out_channels=4, num_res_blocks=[1] * len(channel_mult),
        channel_mult=list(channel_mult), num_heads=8, use_spatial_transformer=True,
        transformer_depth=[1] + [0] * further, transformer_depth_output=[1, 1] + [0, 0] * further,
        transformer_depth_middle=middle, context_dim=768, legacy=False, **PARTS,
    )  # fmt: skip
    return {
        "model.diffusion_model.": network,
        "first_stage_model.": autoencoder(4),
        "cond_stage_model.transformer.": clip(),
    }


def sdxl():
    """Of the depths of Segmind's Vega and as narrow as can be, without text encoders, which cannot be small."""
    depth = [0, 0, 1, 1, 2, 2]
    network = unet.UNetModel(
        image_size=32, in_channels=4, model_channels=320, out_channels=4, num_res_blocks=[2] * 3, channel_mult=[1] * 3,
        num_head_channels=64, use_spatial_transformer=True, use_linear_in_transformer=True, transformer_depth=depth,
        transformer_depth_output=[0, 0, 0, 1, 1, 1, 2, 2, 2], transformer_depth_middle=2, context_dim=2048,
        num_classes="sequential", adm_in_channels=2816, legacy=False, **PARTS,
    )  # fmt: skip
    return {"model.diffusion_model.": network, "first_stage_model.": autoencoder(4)}


def sd3():
    network = mmdit.MMDiT(
        input_size=None, in_channels=16, depth=2, adm_in_channels=2048, num_patches=4096, pos_embed_max_size=64,
        context_embedder_config={"target": "torch.nn.Linear", "params": {"in_features": 4096, "out_features": 128}},
        **PARTS,
    )  # fmt: skip
    return {
        "model.diffusion_model.": network,
        "first_stage_model.": autoencoder(16),
        "text_encoders.clip_l.transformer.": clip(),
    }


def video():
    return {"model.diffusion_model.": wan.WanModel(dim=128, ffn_dim=256, num_heads=1, num_layers=2, **PARTS)}


LTX2 = {
    "num_layers": 1, "num_attention_heads": 2, "attention_head_dim": 32, "cross_attention_dim": 64,
    "audio_num_attention_heads": 2, "audio_attention_head_dim": 16, "audio_cross_attention_dim": 32,
    "caption_channels": 2048, "connector_num_layers": 1, "connector_num_attention_heads": 1,
    "connector_attention_head_dim": 32,
}  # fmt: skip


def video_and_audio():
    network = importlib.import_module("comfy.ldm.lightricks.av_model").LTXAVModel(**LTX2, **PARTS)
    return {"model.diffusion_model.": network}


def autoencoder(channels):
    with torch.device("meta"):
        return taesd.TAESD(latent_channels=channels)


def clip():
    config = json.loads((comfyui / "comfy" / "sd1_clip_config.json").read_text())
    return comfy.clip_model.CLIPTextModel(config, *PARTS.values())


def weights(parts, seed=0):
    """The state dict of a checkpoint: norms and biases as they start, the rest random with the usual deviation."""
    generator, buffers, state = torch.Generator().manual_seed(seed), {}, {}
    for prefix, module in parts.items():
        for name, tensor in module.state_dict().items():
            state[prefix + name] = _view(name, tensor.shape, buffers, generator)
    return state


def _view(name, shape, buffers, generator):
    if len(shape) < 2:
        constant = 1.0 if name.endswith(("weight", "vae_scale")) else 0.0
        return torch.tensor(constant, dtype=torch.float16).expand(shape)
    inner = shape[1:].numel()
    deviation = 0.1 if "embed" in name and len(shape) != 4 else inner**-0.5
    needed = inner + shape[0] + 4096
    buffer = buffers.setdefault((deviation, needed), torch.randn(needed, generator=generator).mul(deviation).half())
    strides = [1]  # each output is the row before, moved on by one
    for size in reversed(shape[2:]):
        strides.insert(0, strides[0] * size)
    offset = sum(map(ord, name)) * 31 % 4096
    return buffer.as_strided(shape, (1, *strides), offset)


def lora():
    """Of one attention of ``vp.ckpt``."""
    generator, name = torch.Generator().manual_seed(5), "lora_unet_middle_block_1_transformer_blocks_0_attn2_to_v"
    shapes = {"lora_up": (320, 4), "lora_down": (4, 768)}
    return {f"{name}.{part}.weight": torch.randn(shape, generator=generator) * 0.1 for part, shape in shapes.items()}


(folder.parent / "loras").mkdir(exist_ok=True)
safetensors.torch.save_file(lora(), folder.parent / "loras" / "lora.safetensors")
for file, parts, seed in (
    ("vp", sd15(), 0), ("vp_weak", sd15(), 1), ("flow", sd3(), 0), ("flow_weak", sd3(), 1), ("video", video(), 0),
    ("xl", sdxl(), 0), ("wide", sd15((1, 2, 4), middle=-1), 0),
):  # fmt: skip
    torch.save({"state_dict": weights(parts, seed)}, folder / f"{file}.ckpt")
if importlib.util.find_spec("comfy.ldm.lightricks.av_model"):
    dense = {name: tensor.contiguous().clone() for name, tensor in weights(video_and_audio()).items()}
    config = {"config": json.dumps({"transformer": LTX2})}
    safetensors.torch.save_file(dense, folder / "video_and_audio.safetensors", config)
