"""The diffusers backend against the stock pipelines: small ones with random weights, saved and loaded like real ones."""

import json
import string
from functools import partial

import pytest
import torch

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

from sigmabench.eval.backends.diffusers_pipeline import Diffusers  # noqa: E402
from sigmabench.samplers import DPMpp2M, Euler, Level  # noqa: E402
from sigmabench.samplers.guidance.cfg import CFG  # noqa: E402
from sigmabench.samplers.run import guide, lockstep, start  # noqa: E402
from sigmabench.samplers.schedules import Cosine, Flow, Linear, ScaledLinear, ZeroTerminalSNR  # noqa: E402
from sigmabench.samplers.spacings import Trailing  # noqa: E402

torch.set_num_threads(1)
PROMPTS = ["a cat on a mat", "two dogs"]
STEPS = 5
SD15 = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False}
V_ZTSNR = {**SD15, "prediction_type": "v_prediction", "rescale_betas_zero_snr": True}


def tokenizer():
    letters = list(string.ascii_lowercase)
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocab = {word: i for i, word in enumerate(words)}
    return transformers.CLIPTokenizer(vocab=vocab, merges=[], model_max_length=16)


def text_encoder(cls=transformers.CLIPTextModel, seed=0, **extra):
    torch.manual_seed(seed)
    config = transformers.CLIPTextConfig(
        vocab_size=54, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=16, bos_token_id=52, eos_token_id=53, pad_token_id=53, projection_dim=16, **extra,
    )  # fmt: skip
    return cls(config).eval()


def vae(latent_channels=4, **extra):
    torch.manual_seed(1)
    return diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8), latent_channels=latent_channels, norm_num_groups=4, sample_size=16, **extra,
    ).eval()  # fmt: skip


def unet(**extra):
    torch.manual_seed(2)
    config = {
        "sample_size": 8, "block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"), "cross_attention_dim": 16,
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"), "attention_head_dim": 2, **extra,
    }  # fmt: skip
    return diffusers.UNet2DConditionModel(**config).eval()


def stable_diffusion(scheduler):
    return diffusers.StableDiffusionPipeline(
        vae=vae(), text_encoder=text_encoder(), tokenizer=tokenizer(), unet=unet(), scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


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


def stable_diffusion_3(scheduler):
    encoder = partial(text_encoder, transformers.CLIPTextModelWithProjection)
    torch.manual_seed(2)
    network = diffusers.SD3Transformer2DModel(
        sample_size=8, patch_size=1, in_channels=4, out_channels=4, num_layers=2, attention_head_dim=8,
        num_attention_heads=2, caption_projection_dim=16, joint_attention_dim=32, pooled_projection_dim=32,
    ).eval()  # fmt: skip
    return diffusers.StableDiffusion3Pipeline(
        vae=vae(shift_factor=0.06), text_encoder=encoder(), text_encoder_2=encoder(seed=3), text_encoder_3=None,
        tokenizer=tokenizer(), tokenizer_2=tokenizer(), tokenizer_3=None, transformer=network, scheduler=scheduler,
    )  # fmt: skip


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """``saved(make, scheduler)``: the folder of a pipeline, written once."""
    folders = {}

    def save(make, scheduler):
        key = (make.__name__, str(sorted(scheduler.config.items(), key=str)))
        if key not in folders:
            folders[key] = tmp_path_factory.mktemp("pipeline") / make.__name__
            make(scheduler).save_pretrained(folders[key])
        return str(folders[key])

    return save


def ours(model, sampler, levels, x, scale):
    conditions = {"cond": model.encode(PROMPTS), "uncond": model.encode([""] * len(PROMPTS))}

    def evaluate(requests):
        return [
            (x, {name: model.denoise(x, [level] * len(x), conditions[name]) for name in branches})
            for x, level, branches in requests
        ]

    return lockstep([guide(start(sampler, x, levels), CFG(scale))], evaluate)[0]


def theirs(folder, scheduler, x, scale, **options):
    pipe = diffusers.DiffusionPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    if scheduler is not None:
        pipe.scheduler = scheduler.from_config(pipe.scheduler.config, timestep_spacing="trailing")
    return pipe(
        PROMPTS, latents=x * pipe.scheduler.init_noise_sigma if hasattr(pipe.scheduler, "init_noise_sigma") else x,
        num_inference_steps=STEPS, guidance_scale=scale, output_type="latent", **options,
    ).images  # fmt: skip


def noise(model):
    return torch.randn(len(PROMPTS), *model.shape, generator=torch.Generator().manual_seed(7))


SAMPLERS = [
    pytest.param(Euler(), diffusers.DDIMScheduler, id="DDIM"),
    pytest.param(DPMpp2M(), diffusers.DPMSolverMultistepScheduler, id="DPM++2M"),
]


@pytest.mark.parametrize("scale", [1.0, 5.0])
@pytest.mark.parametrize(("sampler", "scheduler"), SAMPLERS)
@pytest.mark.parametrize("make", [stable_diffusion, stable_diffusion_xl])
def test_replayed_unet_gives_the_stock_pipelines_latents(saved, make, sampler, scheduler, scale):
    folder = saved(make, diffusers.DDIMScheduler(**SD15))
    model = Diffusers(folder).load()
    x = noise(model)
    result = ours(model, sampler, Trailing()(model.schedule, STEPS), x, scale)
    torch.testing.assert_close(result, theirs(folder, scheduler, x, scale), atol=1e-4, rtol=1e-4)


def test_v_prediction_with_zero_terminal_snr_gives_the_stock_pipelines_latents(saved):
    folder = saved(stable_diffusion, diffusers.DDIMScheduler(**V_ZTSNR))
    model = Diffusers(folder).load()
    assert (model.prediction, model.schedule.level(1.0)) == ("v", (0.0, 1.0))
    x = noise(model)
    result = ours(model, Euler(), Trailing()(model.schedule, STEPS), x, 5.0)
    torch.testing.assert_close(result, theirs(folder, diffusers.DDIMScheduler, x, 5.0), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("scale", [1.0, 5.0])
def test_sd3_with_flow_matching_gives_the_stock_pipelines_latents(saved, scale):
    folder = saved(stable_diffusion_3, diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0))
    model = Diffusers(folder).load()
    assert (model.prediction, model.schedule) == ("flow", Flow(3.0))
    x = noise(model)
    result = ours(model, Euler(), Trailing()(model.schedule, STEPS), x, scale)
    grid = [1 - i / STEPS for i in range(STEPS)]
    torch.testing.assert_close(result, theirs(folder, None, x, scale, sigmas=grid), atol=1e-4, rtol=1e-4)


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


def test_pixart_with_learned_variance_gives_the_stock_pipelines_latents(saved):
    folder = saved(pixart, diffusers.DDIMScheduler(clip_sample=False))
    model = Diffusers(folder, height=16, width=16).load()
    assert (model.prediction, model.schedule, model.shape) == ("eps", Linear(), (4, 8, 8))
    x = noise(model)
    result = ours(model, Euler(), Trailing()(model.schedule, STEPS), x, 4.0)
    options = {"height": 16, "width": 16, "use_resolution_binning": False}
    torch.testing.assert_close(
        result, theirs(folder, diffusers.DDIMScheduler, x, 4.0, **options), atol=1e-4, rtol=1e-4
    )


def test_flux_with_packed_latents_and_distilled_guidance_gives_the_stock_pipelines_latents(saved):
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    folder = saved(flux, scheduler)
    model = Diffusers(folder, height=16, width=32, distilled_guidance=2.5).load()
    x = noise(model)
    result = ours(model, Euler(), Trailing()(model.schedule, STEPS), x, 1.0)
    torch.testing.assert_close(
        result, theirs(folder, None, x, 2.5, height=16, width=32), atol=1e-4, rtol=1e-4
    )
    assert model.decode(result).shape == (2, 3, 16, 32)
