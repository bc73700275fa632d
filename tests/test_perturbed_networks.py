"""Networks changed inside: equal to diffusers' own processors and hooks where those are right, and restored after."""

import math

import pytest
import torch
from diffusers import (
    ChromaTransformer2DModel,
    DiTTransformer2DModel,
    FluxTransformer2DModel,
    PixArtTransformer2DModel,
    SD3Transformer2DModel,
    UNet2DConditionModel,
    UNet2DModel,
)
from diffusers.hooks import LayerSkipConfig, apply_layer_skip
from diffusers.hooks.smoothed_energy_guidance_utils import _gaussian_blur_2d
from diffusers.models.attention_processor import (
    PAGIdentitySelfAttnProcessor2_0,
    PAGJointAttnProcessor2_0,
)
from hypothesis import given
from hypothesis import strategies as st

from sigmabench.eval.backends.changed import perturbed
from sigmabench.eval.backends.layers import layers_of
from sigmabench.eval.backends.recording import filled, leaves
from sigmabench.eval.protocols import AGAINST
from sigmabench.samplers import Level
from sigmabench.samplers.attention import entmax, gaussian_blur
from sigmabench.samplers.layer_names import deepest_down, middle
from sigmabench.samplers.perturbation import (
    BlurredQueries,
    IdentityAttention,
    NormalizedAttention,
    ShuffledTokens,
    SkippedLayers,
    SparseCrossAttention,
    WatchedAttention,
)

LEVELS = [Level(0.8, 0.6), Level(0.3, 0.954), Level(0.8, 0.6)]
TEXT = 6  # tokens of a text


def unet(**extra):
    stages = {"down_block_types": ("CrossAttnDownBlock2D",) * 2, "up_block_types": ("CrossAttnUpBlock2D",) * 2}
    return UNet2DConditionModel(
        sample_size=8, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, cross_attention_dim=16,
        attention_head_dim=2, **stages, **extra,
    )  # fmt: skip


def sdxl():
    return unet(
        transformer_layers_per_block=(1, 2), addition_embed_type="text_time", addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=16 + 6 * 4,
    )  # fmt: skip


def sd3():
    return SD3Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, out_channels=4, num_layers=6, attention_head_dim=8,
        num_attention_heads=2, caption_projection_dim=16, joint_attention_dim=16, pooled_projection_dim=16,
        pos_embed_max_size=8,
    )  # fmt: skip


def sd35():
    return SD3Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, out_channels=4, num_layers=3, attention_head_dim=8,
        num_attention_heads=2, caption_projection_dim=16, joint_attention_dim=16, pooled_projection_dim=16,
        pos_embed_max_size=8, dual_attention_layers=(0,), qk_norm="rms_norm",
    )  # fmt: skip


def pixart():
    return PixArtTransformer2DModel(
        sample_size=8, num_layers=3, patch_size=2, attention_head_dim=8, num_attention_heads=2, in_channels=4,
        out_channels=8, cross_attention_dim=16, caption_channels=16,
    )  # fmt: skip


def flux():
    return FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=2, num_single_layers=2, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=16, pooled_projection_dim=16, axes_dims_rope=(4, 4, 8),
    )  # fmt: skip


def chroma():
    return ChromaTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=2, num_single_layers=2, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=16, axes_dims_rope=(4, 4, 8), approximator_hidden_dim=32, approximator_layers=1,
        approximator_num_channels=16,
    )  # fmt: skip


MAKERS = {f.__name__: f for f in (unet, sdxl, sd3, sd35, pixart, flux, chroma)}


class Bare:
    """A network as a model: it answers with the network's output itself."""

    id, schedule, prediction = "bare", None, "x0"

    def __init__(self, network, shape, arguments):
        self.network, self.shape, self.encode, self.decode = network, shape, None, None
        self.arguments = arguments

    def denoise(self, x, levels, condition):
        times = torch.tensor([1000 * level.sigma for level in levels])
        return self.network(x, timestep=times, return_dict=False, **filled(self.arguments, condition))[0]


@pytest.fixture(scope="module", params=MAKERS)
def case(request):
    return made(request.param)


def made(name):
    """(model, x, condition) with weights large enough for attention to matter."""
    torch.manual_seed(3)
    network = MAKERS[name]().eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.mul_(1.5)
    rows, generator = len(LEVELS), torch.Generator().manual_seed(4)
    draw = lambda *shape: torch.randn(rows, *shape, generator=generator)  # noqa: E731
    arguments = {"encoder_hidden_states": draw(TEXT, 16)}
    if name in ("sd3", "sd35", "flux"):
        arguments["pooled_projections"] = draw(16)
    if name == "sdxl":
        arguments["added_cond_kwargs"] = {"text_embeds": draw(16), "time_ids": draw(6)}
    if name == "pixart":
        arguments["added_cond_kwargs"] = {"resolution": None, "aspect_ratio": None}
    if name in ("flux", "chroma"):
        ids = torch.cartesian_prod(torch.zeros(1), torch.arange(4.0), torch.arange(4.0))
        arguments |= {"img_ids": ids, "txt_ids": torch.zeros(TEXT, 3)}
    model = Bare(network, (16, 16) if name in ("flux", "chroma") else (4, 8, 8), arguments)
    condition = {name: value for name, value in leaves(arguments).items() if of_images(value)}
    return model, draw(*model.shape), condition


def of_images(value):
    """Whether an argument has a row for each image."""
    return isinstance(value, torch.Tensor) and value.ndim > 1 and len(value) == len(LEVELS)


def rows(condition, i):
    return {name: value[i : i + 1] for name, value in condition.items()}


def twice(condition):
    return {name: torch.cat([value, value]) for name, value in condition.items()}


def answer(case, change):
    model, x, condition = case
    return perturbed(model, change).denoise(x, LEVELS, condition)


def plain(case):
    model, x, condition = case
    with torch.no_grad():
        return model.denoise(x, LEVELS, condition)


def names(model):
    return [layer.name for layer in layers_of(model.network)]


def close(a, b, tolerance=1e-5):
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


def test_layers_have_the_names_that_users_of_each_architecture_know():
    found = {name: names(made(name)[0]) for name in ("unet", "sdxl", "sd3", "pixart", "flux")}
    assert found["unet"] == [
        "down.0.0.0", "down.1.0.0", "mid.0.0", "up.0.0.0", "up.0.1.0", "up.1.0.0", "up.1.1.0"
    ]  # fmt: skip
    assert found["sdxl"][1:5] == ["down.1.0.0", "down.1.0.1", "mid.0.0", "mid.0.1"]
    assert found["sd3"] == list("012345")
    assert found["pixart"] == list("012")
    assert found["flux"] == ["0", "1", "single.0", "single.1"]


def test_defaults_are_the_narrowest_part_of_a_unet_and_a_third_of_the_way_through_a_transformer():
    assert middle(names(made("sdxl")[0])) == ["mid.0.0", "mid.0.1"]
    assert deepest_down(names(made("sdxl")[0])) == ["down.1.0.0", "down.1.0.1"]
    assert middle(names(made("sd3")[0])) == ["1", "2"]
    assert middle([str(i) for i in range(24)]) == ["7", "8", "9"]


@pytest.mark.parametrize("change", [IdentityAttention("mid.7"), SkippedLayers("none"), ShuffledTokens("m")], ids=str)
def test_a_name_that_is_no_layer_is_an_error_that_lists_the_layers(change):
    with pytest.raises(ValueError, match=f"no layer '{change.layers}'; there are down.0.0.0, .*up.1.1.0"):
        perturbed(made("unet")[0], change)


def test_networks_without_known_blocks_are_refused_by_name():
    stages = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    network = UNet2DModel(sample_size=8, block_out_channels=(8, 8), norm_num_groups=4, layers_per_block=1, **stages)
    with pytest.raises(ValueError, match="UNet2DModel has no transformer blocks, which cannot be changed"):
        perturbed(Bare(network, (3, 8, 8), {}), IdentityAttention())


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("sd3", SparseCrossAttention(), "has no cross-attention"),
        ("flux", NormalizedAttention(), "has no cross-attention"),
        ("pixart", NormalizedAttention(), "needs a U-Net whose cross-attention sees the text's states"),
        ("sd3", WatchedAttention("2"), "can be watched, not 2 of SD3"),
        ("sdxl", WatchedAttention("mid"), "can be watched, not mid.0.0, mid.0.1"),
        ("flux", BlurredQueries(sigma=1.0), r"x of shape \(16, 16\) has no rows and columns"),
    ],
)
def test_what_an_architecture_cannot_have_is_refused_before_any_work(name, change, message):
    with pytest.raises(ValueError, match=message):
        perturbed(made(name)[0], change)


CHANGES = [IdentityAttention(), BlurredQueries(), SkippedLayers(), ShuffledTokens()]


@pytest.mark.parametrize("change", CHANGES, ids=lambda c: type(c).__name__)
def test_a_change_changes_each_row_as_alone_and_leaves_the_network_as_it_was(case, change):
    model, x, condition = case
    before, changed = plain(case), answer(case, change)
    assert (changed - before).flatten(1).abs().amax(1).min() > 1e-3
    for i, level in enumerate(LEVELS):
        alone = perturbed(model, change).denoise(x[i : i + 1], [level], rows(condition, i))
        close(alone, changed[i : i + 1])
    assert torch.equal(plain(case), before)
    assert not any("forward" in module.__dict__ for module in model.network.modules())


@pytest.mark.parametrize("change", CHANGES, ids=lambda c: type(c).__name__)
def test_the_network_is_restored_after_a_failure_and_with_what_others_had_put_there(case, change):
    model, x, condition = case
    block = layers_of(model.network)[0].block
    own = block.forward
    block.forward = lambda *args, **kwargs: own(*args, **kwargs)
    mine = block.forward

    def fail(*_):
        assert "forward" in block.__dict__
        raise RuntimeError("on the way out")

    hook = model.network.register_forward_hook(fail)
    try:
        with pytest.raises(RuntimeError, match="on the way out"):
            perturbed(model, change).denoise(x, LEVELS, condition)
        assert block.forward is mine
    finally:
        hook.remove()
        del block.forward
    assert not any("forward" in module.__dict__ for module in model.network.modules())


def test_no_blur_is_the_network_itself(case):
    if len(case[0].shape) == 3:
        assert torch.equal(answer(case, BlurredQueries(sigma=0.0)), plain(case))


@pytest.mark.parametrize("name", ["unet", "sdxl"])
def test_neutral_cross_attention_is_the_network_itself(name):
    model, x, condition = case = made(name)
    both = {**condition, AGAINST + "encoder_hidden_states": -condition["encoder_hidden_states"]}
    assert torch.equal(answer(case, SparseCrossAttention(0.0)), plain(case))
    for change in (NormalizedAttention(scale=1.0), NormalizedAttention(alpha=0.0)):
        assert torch.equal(perturbed(model, change).denoise(x, LEVELS, both), plain(case))
    assert not torch.allclose(perturbed(model, NormalizedAttention()).denoise(x, LEVELS, both), plain(case))
    same = {**condition, AGAINST + "encoder_hidden_states": condition["encoder_hidden_states"]}
    close(perturbed(model, NormalizedAttention()).denoise(x, LEVELS, same), plain(case))


@pytest.mark.parametrize("change", [IdentityAttention("mid"), BlurredQueries("mid"), ShuffledTokens("mid")], ids=str)
def test_one_token_alone_has_nothing_to_change(change):
    model, x, condition = made("unet")
    model.shape, small = (4, 2, 2), x[:, :, :2, :2]  # 1 x 1 in the middle
    close(perturbed(model, change).denoise(small, LEVELS, condition), plain((model, small, condition)))


def test_attention_that_is_not_torchs_is_an_error_and_not_left_unchanged():
    from diffusers.models.attention_processor import AttnProcessor

    model, x, condition = made("unet")
    model.network.set_attn_processor(AttnProcessor())
    with pytest.raises(ValueError, match=r"the attention of mid.0.0 is not torch's"):
        perturbed(model, IdentityAttention()).denoise(x, LEVELS, condition)


@pytest.mark.parametrize(("name", "layer"), [("unet", "mid"), ("unet", "down.1"), ("sdxl", "mid.0.1"), ("sd3", "4")])
def test_identity_attention_is_diffusers_pag_processor(name, layer):
    model, x, condition = case = made(name)
    ours = answer(case, IdentityAttention(layer))
    (block,) = [found.block for found in layers_of(model.network) if f"{found.name}.".startswith(f"{layer}.")]
    module, theirs = (
        (block.attn, PAGJointAttnProcessor2_0()) if name == "sd3" else (block.attn1, PAGIdentitySelfAttnProcessor2_0())
    )
    module.set_processor(theirs)
    with torch.no_grad():  # theirs changes the second half of a batch
        both = model.denoise(torch.cat([x, x]), LEVELS * 2, twice(condition))
    close(both[: len(x)], plain(made(name)))
    close(ours, both[len(x) :])


SKIPS = [
    ("sd3", "2, 3", "transformer_blocks", [2, 3]), ("sd35", "0, 1", "transformer_blocks", [0, 1]),
    ("flux", "0, 1", "transformer_blocks", [0, 1]),
    ("flux", "single.0, single.1", "single_transformer_blocks", [0, 1]),
    ("pixart", "1", "transformer_blocks", [1]), ("unet", "mid", "mid_block.attentions.0.transformer_blocks", [0]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "layer", "where", "indices"), SKIPS)
def test_skipped_layers_are_diffusers_layer_skip(name, layer, where, indices):
    """Of blocks with two streams, pairs: theirs exchanges the streams each time."""
    case = made(name)
    ours = answer(case, SkippedLayers(layer))
    apply_layer_skip(case[0].network, LayerSkipConfig(indices, fqn=where))
    close(ours, plain(case))


WITHOUT = [
    ("sd3", "2", "transformer_blocks", 2), ("sd35", "0", "transformer_blocks", 0),
    ("pixart", "2", "transformer_blocks", 2),
    ("flux", "1", "transformer_blocks", 1), ("flux", "single.0", "single_transformer_blocks", 0),
]  # fmt: skip


@pytest.mark.parametrize(("name", "layer", "where", "index"), WITHOUT)
def test_a_network_that_skips_a_layer_is_the_network_without_it(name, layer, where, index):
    case = made(name)
    ours = answer(case, SkippedLayers(layer))
    del getattr(case[0].network, where)[index]
    close(ours, plain(case))


@pytest.mark.parametrize("change", [SkippedLayers("single.1"), ShuffledTokens("single.1")], ids=str)
def test_blocks_of_one_sequence_for_text_and_image_change_the_image_alone(change):
    model, x, condition = made("chroma")
    seen = []
    after = model.network.single_transformer_blocks[1]
    model.network.norm_out.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    after.norm.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    model.denoise(x, LEVELS, condition)
    usual, _ = seen[0], seen.clear()
    perturbed(model, change).denoise(x, LEVELS, condition)
    if isinstance(change, SkippedLayers):
        assert torch.equal(seen[0], usual[:, TEXT:]), "what the block was given is what leaves the network"
    else:
        assert torch.equal(seen[0][:, :TEXT], usual[:, :TEXT])
        close(seen[0].sum(1), usual.sum(1))
        assert not torch.allclose(seen[0], usual)


@pytest.mark.parametrize("name", ["pixart"])
def test_identity_attention_of_a_single_stream_is_diffusers_score_skip(name):
    case = made(name)
    ours = answer(case, IdentityAttention("1"))
    apply_layer_skip(
        case[0].network,
        LayerSkipConfig([1], "transformer_blocks", skip_attention=False, skip_attention_scores=True, skip_ff=False),
    )
    close(ours, plain(case))


@pytest.mark.parametrize("sigma", [0.3, 0.5, 1.0, None])
@pytest.mark.parametrize(("name", "layer"), [("unet", "mid"), ("unet", "down.0"), ("sd3", "1"), ("pixart", "0")])
def test_blurred_queries_are_the_papers_blur_behind_the_projection(name, layer, sigma):
    """Diffusers' blur is the paper's once its choice between finite and infinite is put right."""
    model, _, _ = case = made(name)
    ours = answer(case, BlurredQueries(layer, sigma))
    (block,) = [found for found in layers_of(model.network) if f"{found.name}.".startswith(f"{layer}.")]
    width = math.ceil(6 * (sigma or 0)) + 1 - math.ceil(6 * (sigma or 0)) % 2
    threshold = math.inf if sigma is None else -1.0  # theirs: Gaussian above, mean below

    def blur(module, args, output):
        return _gaussian_blur_2d(output.clone(), width, sigma or 1.0, threshold)

    block.self_attention[0].to_q.register_forward_hook(blur)
    close(ours, plain(case))


@given(sigma=st.floats(0.2, 5.0), size=st.tuples(st.integers(2, 9), st.integers(2, 9)))
def test_a_blur_keeps_constants_and_the_order_of_axes(sigma, size):
    flat = torch.full((2, 3, *size), 0.7)
    assert torch.allclose(gaussian_blur(flat, sigma), flat, atol=1e-6)
    planes = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(gaussian_blur(planes.mT, sigma).mT, gaussian_blur(planes, sigma), atol=1e-6)


def test_shuffled_tokens_reach_the_block_in_another_order_for_each_layer_and_level():
    model, x, condition = made("sdxl")
    seen = {}
    for layer in layers_of(model.network):
        layer.block.norm1.register_forward_pre_hook(lambda m, args, name=layer.name: seen.update({name: args[0]}))
    model.denoise(x, LEVELS, condition)
    usual = dict(seen)
    perturbed(model, ShuffledTokens("down.1.0.0")).denoise(x, LEVELS, condition)
    mixed, own = seen["down.1.0.0"], usual["down.1.0.0"]
    distance = torch.cdist(mixed, own)
    order = distance.argmin(2)
    assert distance.amin(2).max() < 1e-5, "the same tokens"
    assert (order.sort(1).values == torch.arange(order.shape[1])).all()
    assert torch.equal(order[0], order[2]), "equal levels, equal orders"
    assert not torch.equal(order[0], order[1])
    assert torch.equal(seen["down.0.0.0"], usual["down.0.0.0"])


def led_away(z, other, scale, tau, alpha):
    """Of one token, all heads together."""
    led = scale * z - (scale - 1) * other
    ratio = led.abs().sum() / z.abs().sum()
    return alpha * led * min(ratio.item(), tau) / ratio.item() + (1 - alpha) * z


def test_normalized_attention_is_its_formula_in_every_cross_attention():
    model, x, condition = made("unet")
    other, settings = condition["encoder_hidden_states"].flip(0) * 2, (4.0, 1.2, 0.6)
    both = {**condition, AGAINST + "encoder_hidden_states": other}
    ours = perturbed(model, NormalizedAttention(*settings)).denoise(x, LEVELS, both)

    class ByHand:
        def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None, **_):
            found = []
            for states in (encoder_hidden_states, other):
                q, k, v = attn.to_q(hidden_states), attn.to_k(states), attn.to_v(states)
                q, k, v = (t.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for t in (q, k, v))
                weights = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1)
                found.append((weights @ v).transpose(1, 2).flatten(2))
            z = torch.stack([
                torch.stack([led_away(a, b, *settings) for a, b in zip(*pair, strict=True)])
                for pair in zip(*found, strict=True)
            ])  # fmt: skip
            return attn.to_out[0](z)

    for layer in layers_of(model.network):
        layer.block.attn2.set_processor(ByHand())
    close(ours, plain((model, x, condition)))


@given(
    scores=st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=12),
    alpha=st.sampled_from([1.5, 2.0]),
)
def test_entmax_is_the_distribution_that_its_definition_asks_for(scores, alpha):
    z = torch.tensor(scores, dtype=torch.float64)
    p = entmax(z, alpha).double()
    power = 1 / (alpha - 1)
    low, high = (alpha - 1) * z.max().item() - 1, (alpha - 1) * z.max().item()
    for _ in range(80):  # the threshold by bisection
        t = (low + high) / 2
        low, high = (t, high) if ((alpha - 1) * z - t).clamp(min=0).pow(power).sum() > 1 else (low, t)
    assert torch.allclose(p, ((alpha - 1) * z - low).clamp(min=0).pow(power), atol=1e-5)
    assert p.sum().item() == pytest.approx(1, abs=1e-5)


def test_entmax_gives_masked_scores_nothing():
    scores = torch.tensor([1.0, -math.inf, 0.5, -math.inf])
    for alpha in (1.5, 2.0):
        p = entmax(scores, alpha)
        assert torch.equal(p[[1, 3]], torch.zeros(2))
        assert torch.allclose(p[[0, 2]], entmax(scores[[0, 2]], alpha))


@pytest.mark.parametrize("name", ["unet", "pixart"])
def test_sparse_cross_attention_is_its_formula_in_every_cross_attention(name):
    model, _, _ = case = made(name)
    ours = answer(case, SparseCrossAttention(2.0, 1.5))

    class ByHand:
        def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None, **_):
            q, k, v = (f(t) for f, t in zip(
                (attn.to_q, attn.to_k, attn.to_v), (hidden_states, *[encoder_hidden_states] * 2), strict=True
            ))  # fmt: skip
            q, k, v = (t.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for t in (q, k, v))
            scores = q @ k.mT / math.sqrt(q.shape[-1])
            weights = 2 * entmax(scores, 1.5) - scores.softmax(-1)
            return attn.to_out[0]((weights @ v).transpose(1, 2).flatten(2))

    for layer in layers_of(model.network):
        layer.block.attn2.set_processor(ByHand())
    close(ours, plain(case))


def test_what_is_watched_is_the_attention_received_and_1_on_average():
    case = made("unet")
    watched = answer(case, WatchedAttention("down.1.0.0"))
    assert torch.equal(watched[:, :4], plain(case))
    received = watched[:, 4]
    assert received.shape == (3, 8, 8)
    close(received.mean((1, 2)), torch.ones(3))
    tiles = received.unfold(1, 2, 2).unfold(2, 2, 2).flatten(3)  # 4 x 4 tokens for 8 x 8 elements
    assert torch.equal(tiles, tiles[..., :1].expand_as(tiles))


def test_a_class_conditional_transformer_is_changed_as_well():
    torch.manual_seed(0)
    network = DiTTransformer2DModel(
        sample_size=8, num_layers=3, patch_size=2, attention_head_dim=8, num_attention_heads=2, in_channels=4,
        out_channels=4, num_embeds_ada_norm=1000,
    ).eval()  # fmt: skip
    labels = {"class_labels": torch.tensor([1, 2, 3])}
    case = Bare(network, (4, 8, 8), labels), torch.randn(3, 4, 8, 8), labels
    assert names(case[0]) == ["0", "1", "2"]
    assert not torch.allclose(answer(case, IdentityAttention()), plain(case))
