"""Small pipelines of every family, with random weights, as diffusers' own tests build them."""

import string
from functools import partial

import diffusers
import torch
import transformers

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SD15 = {**BETAS, "clip_sample": False}
V_ZTSNR = {**SD15, "prediction_type": "v_prediction", "rescale_betas_zero_snr": True}


def tokenizer():
    letters = list(string.ascii_lowercase)
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocab = {word: i for i, word in enumerate(words)}
    return transformers.CLIPTokenizer(vocab=vocab, merges=[], model_max_length=16)


def text_encoder(cls=transformers.CLIPTextModel, seed=0, **extra):
    torch.manual_seed(seed)
    config = {
        "vocab_size": 54, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "max_position_embeddings": 16, "bos_token_id": 52, "eos_token_id": 53, "pad_token_id": 53,
        "projection_dim": 16, **extra,
    }  # fmt: skip
    return cls(transformers.CLIPTextConfig(**config)).eval()


def vae(latent_channels=4, **extra):
    torch.manual_seed(1)
    config = {
        "down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2,
        "block_out_channels": (8, 8), "norm_num_groups": 4, "sample_size": 16, **extra,
    }  # fmt: skip
    return diffusers.AutoencoderKL(latent_channels=latent_channels, **config).eval()


def unet(**extra):
    torch.manual_seed(2)
    config = {
        "sample_size": 8, "block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"), "cross_attention_dim": 16,
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"), "attention_head_dim": 2, **extra,
    }  # fmt: skip
    return diffusers.UNet2DConditionModel(**config).eval()


def pixel_unet():
    """Of an unconditional model in pixels, as DDPM's."""
    torch.manual_seed(0)
    return diffusers.UNet2DModel(
        sample_size=8, block_out_channels=(8, 8), norm_num_groups=4, layers_per_block=1,
        down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2,
    )  # fmt: skip


def stable_diffusion(scheduler, **extra):
    return diffusers.StableDiffusionPipeline(
        vae=vae(), text_encoder=text_encoder(), tokenizer=tokenizer(), unet=unet(**extra), scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def distilled(scheduler):
    return stable_diffusion(scheduler, time_cond_proj_dim=8)


def stable_diffusion_xl(scheduler):
    second = partial(text_encoder, transformers.CLIPTextModelWithProjection, seed=3)
    network = unet(
        cross_attention_dim=32, addition_embed_type="text_time", addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=16 + 6 * 4,
    )  # fmt: skip
    return diffusers.StableDiffusionXLPipeline(
        vae=vae(), text_encoder=text_encoder(), text_encoder_2=second(), tokenizer=tokenizer(),
        tokenizer_2=tokenizer(), unet=network, scheduler=scheduler,
    )  # fmt: skip


def refiner(scheduler):
    """As SDXL's: from images, with one text encoder and a score of beauty."""
    network = unet(
        addition_embed_type="text_time", addition_time_embed_dim=4, projection_class_embeddings_input_dim=16 + 5 * 4
    )
    return diffusers.StableDiffusionXLImg2ImgPipeline(
        vae=vae(), text_encoder=None, tokenizer=None, unet=network, scheduler=scheduler, tokenizer_2=tokenizer(),
        text_encoder_2=text_encoder(transformers.CLIPTextModelWithProjection, seed=3),
        requires_aesthetics_score=True, force_zeros_for_empty_prompt=False,
    )  # fmt: skip


def stable_diffusion_3(scheduler, channels=4):
    encoder = partial(text_encoder, transformers.CLIPTextModelWithProjection)
    torch.manual_seed(2)
    network = diffusers.SD3Transformer2DModel(
        sample_size=8, patch_size=1, in_channels=channels, out_channels=channels, num_layers=2, attention_head_dim=8,
        num_attention_heads=2, caption_projection_dim=16, joint_attention_dim=32, pooled_projection_dim=32,
    ).eval()  # fmt: skip
    return diffusers.StableDiffusion3Pipeline(
        vae=vae(channels, shift_factor=0.06), text_encoder=encoder(), text_encoder_2=encoder(seed=3),
        text_encoder_3=None, tokenizer=tokenizer(), tokenizer_2=tokenizer(), tokenizer_3=None, transformer=network,
        scheduler=scheduler,
    )  # fmt: skip


def stable_diffusion_3_of_16(scheduler):
    """With as many channels as the real ones: the stock pipeline for inpainting wants them."""
    return stable_diffusion_3(scheduler, channels=16)


def t5():
    """A T5 encoder and a tokenizer that knows letters."""
    letters = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((c, -3.0) for c in string.ascii_lowercase)]
    torch.manual_seed(4)
    config = transformers.T5Config(vocab_size=40, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    return transformers.T5EncoderModel(config).eval(), transformers.T5Tokenizer(vocab=letters, extra_ids=0)


def flux(scheduler):
    encoder, t5_tokenizer = t5()
    torch.manual_seed(2)
    network = diffusers.FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=16, axes_dims_rope=(4, 4, 8), guidance_embeds=True,
    ).eval()  # fmt: skip
    return diffusers.FluxPipeline(
        vae=vae(shift_factor=0.06), text_encoder=text_encoder(), tokenizer=tokenizer(), text_encoder_2=encoder,
        tokenizer_2=t5_tokenizer, transformer=network, scheduler=scheduler,
    )  # fmt: skip


def pixart(scheduler):
    encoder, t5_tokenizer = t5()
    torch.manual_seed(2)
    network = diffusers.PixArtTransformer2DModel(
        sample_size=8, num_layers=1, patch_size=2, attention_head_dim=8, num_attention_heads=2, in_channels=4,
        out_channels=8, cross_attention_dim=16, caption_channels=32,
    ).eval()  # fmt: skip
    return diffusers.PixArtAlphaPipeline(
        vae=vae(), text_encoder=encoder, tokenizer=t5_tokenizer, transformer=network, scheduler=scheduler
    )


def auraflow(scheduler):
    _, t5_tokenizer = t5()
    torch.manual_seed(4)
    config = transformers.UMT5Config(vocab_size=40, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    network = diffusers.AuraFlowTransformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, out_channels=4, num_mmdit_layers=1, num_single_dit_layers=1,
        attention_head_dim=8, num_attention_heads=4, caption_projection_dim=32, joint_attention_dim=32,
        pos_embed_max_size=256,
    ).eval()  # fmt: skip
    return diffusers.AuraFlowPipeline(
        t5_tokenizer, transformers.UMT5EncoderModel(config).eval(), vae(), network, scheduler
    )


def chroma(scheduler):
    encoder, t5_tokenizer = t5()
    torch.manual_seed(2)
    network = diffusers.ChromaTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, axes_dims_rope=(4, 4, 8), approximator_hidden_dim=32, approximator_layers=1,
        approximator_num_channels=16,
    ).eval()  # fmt: skip
    return diffusers.ChromaPipeline(scheduler, vae(shift_factor=0.06), encoder, t5_tokenizer, network)


def gemma():
    """A Gemma encoder and a tokenizer that knows letters."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocab = {word: i for i, word in enumerate(["<pad>", "<eos>", "<bos>", "<unk>", *string.ascii_lowercase])}
    letters = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    letters.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    torch.manual_seed(4)
    config = transformers.Gemma2Config(
        vocab_size=40, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, head_dim=16, pad_token_id=0, eos_token_id=1, bos_token_id=2,
    )  # fmt: skip
    special = {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>"}
    tokens = transformers.PreTrainedTokenizerFast(tokenizer_object=letters, **special)
    return transformers.Gemma2Model(config).eval(), tokens


def sana(scheduler):
    encoder, tokens = gemma()
    torch.manual_seed(2)
    network = diffusers.SanaTransformer2DModel(
        patch_size=1, in_channels=4, out_channels=4, num_layers=1, num_attention_heads=2, attention_head_dim=4,
        num_cross_attention_heads=2, cross_attention_head_dim=4, cross_attention_dim=8, caption_channels=32,
        sample_size=8,
    ).eval()  # fmt: skip
    blocks, scales = ("ResBlock", "EfficientViTBlock"), ((), (5,))
    deep = diffusers.AutoencoderDC(
        in_channels=3, latent_channels=4, attention_head_dim=2, encoder_block_types=blocks, decoder_block_types=blocks,
        encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8), encoder_qkv_multiscales=scales,
        decoder_qkv_multiscales=scales, encoder_layers_per_block=(1, 1), decoder_layers_per_block=(1, 1),
        downsample_block_type="conv", upsample_block_type="interpolate", scaling_factor=0.41407,
    ).eval()  # fmt: skip
    return diffusers.SanaPipeline(tokens, encoder, deep, network, scheduler)


def lumina(scheduler):
    encoder, tokens = gemma()
    network = diffusers.Lumina2Transformer2DModel(
        sample_size=4, patch_size=2, in_channels=4, hidden_size=24, num_layers=1, num_refiner_layers=1,
        num_attention_heads=2, num_kv_heads=1, multiple_of=16, axes_dim_rope=(4, 4, 4), axes_lens=(300, 32, 32),
        cap_feat_dim=32,
    ).eval()  # fmt: skip
    return diffusers.Lumina2Pipeline(network, scheduler, vae(), encoder, tokens)


def dit(scheduler):
    network = diffusers.DiTTransformer2DModel(
        sample_size=8, num_layers=1, patch_size=2, attention_head_dim=8, num_attention_heads=2, in_channels=4,
        out_channels=8, num_embeds_ada_norm=1000,
    )  # fmt: skip
    return diffusers.DiTPipeline(network, vae(), scheduler)


def controlnet_of(network):
    """A ControlNet for that U-Net."""
    torch.manual_seed(5)
    control = diffusers.ControlNetModel.from_unet(network, conditioning_embedding_out_channels=(8, 16))
    for block in control.controlnet_down_blocks:  # zero, as they start their training
        torch.nn.init.normal_(block.weight, std=0.1)
    return control.eval()


def controlnet(scheduler):
    pipe = stable_diffusion(scheduler)
    components = {**pipe.components, "controlnet": controlnet_of(pipe.unet)}
    return diffusers.StableDiffusionControlNetPipeline(**components, requires_safety_checker=False)


def flux_controlnet():
    return _controlling(
        diffusers.FluxControlNetModel(
            patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16,
            num_attention_heads=2, joint_attention_dim=32, pooled_projection_dim=16, axes_dims_rope=(4, 4, 8),
            guidance_embeds=True,
        )
    )  # fmt: skip


def sd3_controlnet():
    return _controlling(
        diffusers.SD3ControlNetModel(
            sample_size=8, patch_size=1, in_channels=4, out_channels=4, num_layers=1, attention_head_dim=8,
            num_attention_heads=2, caption_projection_dim=16, joint_attention_dim=32, pooled_projection_dim=32,
        )
    )  # fmt: skip


def _controlling(network):
    """With random weights where ControlNets start their training from zero."""
    torch.manual_seed(5)
    for weights in network.parameters():
        if weights.ndim > 1:
            torch.nn.init.normal_(weights, std=0.1)
    return network.eval()


def deepfloyd(scheduler, small=None):
    """DeepFloyd IF, an Imagen in pixels: its first stage, or with the side of the small image the one above."""
    encoder, t5_tokenizer = t5()
    torch.manual_seed(2)
    network = diffusers.UNet2DConditionModel(
        sample_size=2 * small if small else 8, in_channels=6 if small else 3, out_channels=6, layers_per_block=1,
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"), block_out_channels=(8, 16),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn", norm_num_groups=4, cross_attention_dim=32,
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"), encoder_hid_dim=32,
        attention_head_dim=2, addition_embed_type="text", addition_embed_type_num_heads=2, act_fn="gelu",
        cross_attention_norm="group_norm", resnet_time_scale_shift="scale_shift",
        class_embed_type="timestep" if small else None,
    ).eval()  # fmt: skip
    parts = {
        "tokenizer": t5_tokenizer, "text_encoder": encoder, "unet": network, "scheduler": scheduler,
        "safety_checker": None, "feature_extractor": None, "watermarker": None, "requires_safety_checker": False,
    }  # fmt: skip
    if small:
        return diffusers.IFSuperResolutionPipeline(**parts, image_noising_scheduler=diffusers.DDPMScheduler())
    return diffusers.IFPipeline(**parts)


def cogvideox(scheduler):
    encoder, t5_tokenizer = t5()
    t5_tokenizer.model_max_length = 16
    torch.manual_seed(2)
    network = diffusers.CogVideoXTransformer3DModel(
        num_attention_heads=2, attention_head_dim=16, in_channels=4, out_channels=4, time_embed_dim=2, num_layers=1,
        text_embed_dim=32, sample_width=2, sample_height=2, sample_frames=9, max_text_seq_length=16,
    ).eval()  # fmt: skip
    autoencoder = diffusers.AutoencoderKLCogVideoX(
        down_block_types=("CogVideoXDownBlock3D",) * 4, up_block_types=("CogVideoXUpBlock3D",) * 4,
        block_out_channels=(8,) * 4, latent_channels=4, layers_per_block=1, norm_num_groups=2,
    ).eval()  # fmt: skip
    return diffusers.CogVideoXPipeline(t5_tokenizer, encoder, autoencoder, network, scheduler)


def wan(scheduler):
    _, t5_tokenizer = t5()
    torch.manual_seed(4)
    config = transformers.UMT5Config(vocab_size=40, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    network = diffusers.WanTransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, text_dim=32, ffn_dim=32, num_layers=1, rope_max_seq_len=32
    ).eval()
    autoencoder = diffusers.AutoencoderKLWan(base_dim=3, dim_mult=[1, 1, 1, 1], num_res_blocks=1).eval()
    return diffusers.WanPipeline(
        t5_tokenizer, transformers.UMT5EncoderModel(config).eval(), autoencoder, scheduler, transformer=network
    )


def ltx(scheduler):
    """LTX that is given frames, each token at a time of its own."""
    encoder, t5_tokenizer = t5()
    torch.manual_seed(2)
    network = diffusers.LTXVideoTransformer3DModel(
        in_channels=8, out_channels=8, patch_size=1, patch_size_t=1, num_attention_heads=4, attention_head_dim=8,
        cross_attention_dim=32, num_layers=1, caption_channels=32,
    ).eval()  # fmt: skip
    autoencoder = diffusers.AutoencoderKLLTXVideo(
        latent_channels=8, block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4,
        layers_per_block=(1,) * 5, decoder_layers_per_block=(1,) * 5, patch_size=1,
        spatio_temporal_scaling=(True, True, False, False), decoder_spatio_temporal_scaling=(True, True, False, False),
        decoder_inject_noise=(False,) * 5, upsample_residual=(False,) * 4, upsample_factor=(1,) * 4,
    ).eval()  # fmt: skip
    return diffusers.LTXConditionPipeline(scheduler, autoencoder, encoder, t5_tokenizer, network)


def stable_audio(scheduler):
    encoder, t5_tokenizer = t5()
    t5_tokenizer.model_max_length = 16
    torch.manual_seed(2)
    network = diffusers.StableAudioDiTModel(
        sample_size=4, in_channels=3, num_layers=1, attention_head_dim=4, num_attention_heads=2,
        num_key_value_attention_heads=2, out_channels=3, cross_attention_dim=4, time_proj_dim=8,
        global_states_input_dim=8, cross_attention_input_dim=4,
    ).eval()  # fmt: skip
    autoencoder = diffusers.AutoencoderOobleck(
        encoder_hidden_size=6, downsampling_ratios=[1, 2], decoder_channels=3, decoder_input_channels=3,
        channel_multiples=[2, 4], sampling_rate=4,
    ).eval()  # fmt: skip
    projection = diffusers.StableAudioProjectionModel(32, conditioning_dim=4, min_value=0, max_value=32).eval()
    return diffusers.StableAudioPipeline(autoencoder, encoder, projection, t5_tokenizer, network, scheduler)
