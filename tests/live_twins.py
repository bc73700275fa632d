"""The checkpoints of the live tests as pipelines of diffusers, so that our own engine samples the same networks."""

import diffusers
import torch
import transformers
from diffusers.loaders import single_file_utils as files
from safetensors.torch import save_file
from tiny_pipelines import SD15, text_encoder, tokenizer, vae

from sigmabench.eval.backends.diffusers_pipeline import Diffusers
from sigmabench.eval.backends.pipeline_model import DiffusersModel

PREFIX = "model.diffusion_model."
CROSSED = "CrossAttnDownBlock2D", "CrossAttnUpBlock2D"
PLAIN = "DownBlock2D", "UpBlock2D"
NETWORKS = {
    "vp": {
        "block_out_channels": (320,), "down_block_types": CROSSED[:1], "up_block_types": CROSSED[1:],
        "layers_per_block": 1, "attention_head_dim": 8, "cross_attention_dim": 768,
    },
    "xl": {
        "block_out_channels": (320,) * 3, "down_block_types": (PLAIN[0], CROSSED[0], CROSSED[0]),
        "up_block_types": (CROSSED[1], CROSSED[1], PLAIN[1]), "layers_per_block": 2, "attention_head_dim": 5,
        "cross_attention_dim": 2048, "use_linear_projection": True, "transformer_layers_per_block": (1, 1, 2),
        "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
    "flow": {
        "patch_size": 2, "in_channels": 16, "out_channels": 16, "num_layers": 2, "num_attention_heads": 2,
        "attention_head_dim": 64, "caption_projection_dim": 128, "joint_attention_dim": 4096,
        "pooled_projection_dim": 2048, "pos_embed_max_size": 64,
    },
}  # fmt: skip
SCALED = {"vp": (0.18215, 0.0), "xl": (0.13025, 0.0), "flow": (1.5305, 0.0609)}
"""z of the network is (saved latent - shift) * scale."""


def twin(kind, checkpoint):
    """A model of the harness with the network of a checkpoint, for images of 64 pixels."""
    pipe = {"vp": _sd15, "xl": _sdxl, "flow": _sd3}[kind](_network(kind, checkpoint))
    pipe.set_progress_bar_config(disable=True)
    return DiffusersModel(Diffusers(path=kind), pipe, kind)


def write_texts(model, file, texts):
    """What the model's text encoders make of texts, for the host's ``GivenText``."""
    found = {}
    for text in texts:
        rows = {name.rsplit(".", 1)[-1]: rows for name, rows in model.encode([text]).items()}
        found[text] = rows["encoder_hidden_states"].contiguous()
        found |= {f"{text}.pooled": rows[name] for name in ("text_embeds", "pooled_projections") if name in rows}
    save_file(found, file)


def _network(kind, checkpoint):
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    own = {name: tensor.float().contiguous() for name, tensor in state.items() if name.startswith(PREFIX)}
    if kind == "flow":
        network = diffusers.SD3Transformer2DModel(sample_size=8, **NETWORKS[kind])
        found = files.convert_sd3_transformer_checkpoint_to_diffusers(own)
    else:
        network = diffusers.UNet2DConditionModel(sample_size=8, **NETWORKS[kind])
        found = files.convert_ldm_unet_checkpoint(own, dict(network.config))
    network.load_state_dict(found)
    return network.eval().requires_grad_(False)


def _sd15(network):
    nothing = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    return diffusers.StableDiffusionPipeline(
        vae=_vae(), unet=network, text_encoder=_words(768), tokenizer=tokenizer(), scheduler=_discrete(), **nothing
    )


def _sdxl(network):
    return diffusers.StableDiffusionXLPipeline(
        vae=_vae(), unet=network, text_encoder=_words(768), tokenizer=tokenizer(), text_encoder_2=_summary(1280),
        tokenizer_2=tokenizer(), scheduler=_discrete(), force_zeros_for_empty_prompt=False,
    )  # fmt: skip


def _sd3(network):
    return diffusers.StableDiffusion3Pipeline(
        vae=_vae(16), transformer=network, text_encoder=_summary(768), tokenizer=tokenizer(),
        text_encoder_2=_summary(1280), tokenizer_2=tokenizer(), text_encoder_3=None, tokenizer_3=None,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
    )  # fmt: skip


def _discrete():
    return diffusers.DDIMScheduler(**SD15, steps_offset=1)


def _words(width):
    return text_encoder(hidden_size=width)


def _summary(width):
    return text_encoder(transformers.CLIPTextModelWithProjection, width, hidden_size=width, projection_dim=width)


def _vae(channels=4):
    """Eight times smaller, as latents are; images are not looked at."""
    eight = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    return vae(channels, **eight, block_out_channels=(8,) * 4)
