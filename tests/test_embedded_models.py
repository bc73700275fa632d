"""The embedded models: what is shipped, how it loads, and that training can be stopped and resumed."""

import json
import os
import re
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sigmabench.eval.embedded import captions, codec, data, evaluate, training
from sigmabench.eval.embedded.features import FeatureNet, load_feature_net
from sigmabench.eval.embedded.generator import NAMES, folder_of, load_generator
from sigmabench.eval.embedded.group_norm import RowGroupNorm
from sigmabench.eval.embedded.imagetext import FOLDER, ImageText, load_imagetext, resized
from sigmabench.eval.embedded.judge import load_judge
from sigmabench.eval.embedded.train_features import accuracy
from sigmabench.eval.embedded.train_generator import (
    Prompts,
    diffusion_loss,
    fresh_unet,
    loss_of,
    optimizer_of,
    scheduler_of,
)
from sigmabench.eval.embedded.train_imagetext import tones_of, zero_shot
from sigmabench.eval.embedded.weights_files import WEIGHTS, content_hash, read_weights, write_weights

torch.set_num_threads(1)

LIMIT = 25_000_000
NEEDED = [
    "features.safetensors",
    "judge.safetensors",
    "imagetext/open_clip_model.safetensors",
    "imagetext/open_clip_config.json",
    "generator-eps/unet/diffusion_pytorch_model.safetensors",
    "generator-v/unet/diffusion_pytorch_model.safetensors",
    "reference/train.safetensors",
    "reference/test.safetensors",
    "MODEL_CARD.md",
]


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="session")
def noise_images():
    return torch.randint(0, 256, (64, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.fixture(scope="session")
def test_photographs():
    """1,000 held-out photographs, where the data are at hand."""
    folder = os.environ.get("SIGMABENCH_CIFAR10")
    if not folder:
        pytest.skip("set SIGMABENCH_CIFAR10 to the folder with cifar10_test.parquet")
    return data.read_images(Path(folder) / "cifar10_test.parquet", limit=1000)


# what is shipped


@pytest.mark.parametrize("name", NEEDED)
def test_every_file_is_there(name):
    assert (WEIGHTS / name).is_file()


def test_all_weights_together_stay_under_25_megabytes():
    assert sum(p.stat().st_size for p in WEIGHTS.rglob("*") if p.is_file()) <= LIMIT


def test_no_weight_is_stored_wider_than_float16():
    from safetensors import safe_open

    for path in WEIGHTS.rglob("*.safetensors"):
        if path.parent.name != "reference":
            with safe_open(path, "pt") as file:
                kinds = {file.get_slice(key).get_dtype() for key in file.keys()}  # noqa: SIM118
            assert kinds <= {"F16", "I64"}, path


def test_a_value_beyond_float16_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"layer\.weight has values beyond float16"):
        write_weights({"layer.weight": torch.tensor([1.0, 1e5])}, tmp_path / "w.safetensors")


def test_weights_return_from_their_file_as_float32(tmp_path):
    write_weights({"a": torch.tensor([0.5, 2.0**-14])}, tmp_path / "w.safetensors")
    tensor = read_weights(tmp_path / "w.safetensors")["a"]
    assert tensor.dtype == torch.float32
    assert tensor.tolist() == [0.5, 2.0**-14]


def test_networks_are_float32_frozen_and_in_evaluation_mode():
    for net in (load_feature_net(), load_judge(), load_imagetext().clip, *(load_generator(n).unet for n in NAMES)):
        assert {p.dtype for p in net.parameters()} == {torch.float32}
        assert not any(p.requires_grad for p in net.parameters())
        assert not any(module.training for module in net.modules())


def test_identities_are_hashes_of_the_files():
    assert load_feature_net().name == f"cifarnet-{content_hash(WEIGHTS / 'features.safetensors')}"
    assert re.fullmatch("[0-9a-f]{8}", load_judge().hash)
    for name in NAMES:
        file = folder_of(name) / "unet" / "diffusion_pytorch_model.safetensors"
        assert load_generator(name).hash == content_hash(file)


def test_the_card_names_the_files_it_describes():
    card = (WEIGHTS / "MODEL_CARD.md").read_text()
    models = [load_feature_net(), load_judge(), load_imagetext(), *map(load_generator, NAMES)]
    assert [model.hash for model in models if model.hash not in card] == []


def test_reference_statistics_belong_to_the_shipped_feature_network():
    from safetensors import safe_open

    for name, n in (("train", 50_000), ("test", 10_000)):
        with safe_open(WEIGHTS / "reference" / f"{name}.safetensors", "pt") as file:
            metadata, mean, cov = file.metadata(), file.get_tensor("mean"), file.get_tensor("cov")
        assert metadata["extractor"] == load_feature_net().name
        assert int(metadata["n"]) == n
        assert mean.dtype == cov.dtype == torch.float64
        assert mean.shape == (256,)
        assert torch.linalg.eigvalsh(cov).min() > -1e-9


def test_all_load_through_ordinary_calls_without_a_network(no_network):
    import open_clip
    from diffusers import DDIMScheduler, UNet2DConditionModel

    for name in NAMES:
        unet = UNet2DConditionModel.from_pretrained(folder_of(name), subfolder="unet")
        assert unet.config.in_channels == 12
        scheduler = DDIMScheduler.from_pretrained(folder_of(name), subfolder="scheduler")
        assert (float(scheduler.alphas_cumprod[-1]) == 0) == (name == "v")
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{FOLDER}")
    assert open_clip.get_tokenizer(f"local-dir:{FOLDER}")(["a cat"]).shape == (1, 16)
    assert torch.equal(model.token_embedding.weight, load_imagetext().clip.token_embedding.weight)


def test_an_image_text_folder_without_weights_is_refused(tmp_path):
    (tmp_path / "open_clip_config.json").write_text((FOLDER / "open_clip_config.json").read_text())
    with pytest.raises(FileNotFoundError, match="random weights"):
        ImageText(tmp_path)


def test_an_unknown_generator_is_named():
    with pytest.raises(ValueError, match="no embedded generator 'x0'; there are eps, v"):
        load_generator("x0")


# captions


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("airplane",), "a photo of an airplane"),
        (("cat", "very dark"), "a very dark photo of a cat"),
        (("ship", "", 2), "an image of a ship"),
        (("automobile", "bright", 6), "a bright automobile"),
        (("automobile", "", 6), "an automobile"),
        (("dog", "", 7), "dog"),
    ],
)
def test_captions_read_as_english(arguments, text):
    assert captions.caption(*arguments) == text


def test_there_are_600_captions_of_25_words():
    texts = captions.all_captions()
    assert len(texts) == 15 * 5 * 8
    assert len(captions.WORDS) == 25
    assert {label for label, _ in texts.values()} == set(range(10))


def test_tones_follow_the_limits():
    assert [captions.tone_of(x) for x in (0.0, 0.35, 0.5, 0.6, 1.0)] == [0, 1, 2, 3, 4]


def test_tones_of_images_are_those_of_their_luminance():
    grey = torch.arange(256, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 4, 4)
    luma = data.mean_luminance(grey)
    assert torch.allclose(luma, torch.arange(256) / 255, atol=1e-6)
    assert tones_of(grey).tolist() == [captions.tone_of(x) for x in luma.tolist()]


@pytest.mark.parametrize("function", ["embed_texts", "encode_tokens"])
def test_unknown_words_are_refused_by_name(function):
    with pytest.raises(ValueError, match=r"'submarine', 'zebra'.*know only.*airplane.*Rephrase"):
        getattr(load_imagetext(), function)(["a photo of a zebra", "a cat", "a bright submarine"])


def test_all_captions_and_the_empty_prompt_are_accepted():
    captions.check_words([*captions.all_captions(), ""])


# the image-text model


def test_embeddings_are_float32_unit_vectors(noise_images):
    model = load_imagetext()
    for vectors in (model.embed_images(noise_images[:4]), model.embed_texts(["a photo of a cat", ""])):
        assert vectors.dtype == torch.float32
        assert torch.allclose(vectors.norm(dim=1), torch.ones(len(vectors)), atol=1e-5)


def test_token_states_are_those_that_encode_text_pools():
    model, prompts = load_imagetext(), ["a photo of a cat", "a very dark image of the truck", ""]
    states, ends = model.encode_tokens(prompts), model.tokens(prompts).argmax(1)
    assert states.shape == (3, 16, 32)
    pooled = states[torch.arange(3), ends] @ model.clip.text_projection
    expected = model.clip.encode_text(model.tokens(prompts))
    assert torch.allclose(pooled, expected, atol=1e-5)
    assert all(states[i, end + 1 :].abs().max() == 0 for i, end in enumerate(ends.tolist()))
    assert all(states[i, end].abs().max() > 0 for i, end in enumerate(ends.tolist()))


def test_the_resize_agrees_with_open_clips_own_preprocessing(noise_images):
    from PIL import Image

    pixels = noise_images[0] // 4 + 96  # away from 0 and 255: Pillow clamps after each of its two passes
    image = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    difference = (load_imagetext().preprocess(image) - resized(pixels[None])[0]).abs()
    assert difference.max() < 2.5 / 127.5  # and rounds to whole levels


def test_rows_of_tokens_in_no_caption_are_zero():
    table = load_imagetext().clip.token_embedding.weight
    assert 20 <= (table.abs().sum(1) > 0).sum() <= 40


# features and judge


@pytest.mark.parametrize("load", [load_feature_net, load_judge])
def test_outputs_do_not_depend_on_the_batch(load, noise_images):
    net = load()
    together, alone = net(noise_images), torch.cat([net(image[None]) for image in noise_images])
    assert together.dtype == torch.float32
    assert (together - alone).abs().max() <= 1e-5 * together.abs().max()


def test_the_feature_network_whitens_two_by_two_patches():
    net = FeatureNet()
    pixels = torch.randint(0, 256, (50, 3, 32, 32), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    net.set_whitening(pixels, eps=0.0)
    from sigmabench.eval.embedded.features import normalise

    x = torch.nn.functional.conv2d(normalise(pixels, net.mean, net.std), net.whiten.weight[:12])
    rows = x.permute(1, 0, 2, 3).flatten(1)
    assert torch.allclose(rows @ rows.T / rows.shape[1], torch.eye(12), atol=1e-3)


def test_photographs_are_recognised(test_photographs):
    scores = accuracy(load_feature_net(), test_photographs), accuracy(load_judge(), test_photographs)
    assert scores[0] >= 0.88, scores
    assert scores[1] >= 0.83, scores
    assert zero_shot(load_imagetext(), test_photographs) >= 0.78


# codec


def test_the_codec_returns_every_pixel(noise_images):
    samples = codec.encode(noise_images)
    assert samples.shape == (64, *codec.SHAPE)
    assert samples.min() >= -1
    assert samples.max() <= 1
    assert torch.equal(codec.decode(samples), noise_images)
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(1, 3, 2, 2)
    assert torch.equal(codec.decode(codec.encode(levels)), levels)


def test_conversion_to_bytes_rounds_and_clamps():
    values = torch.tensor([-1e3, -1.01, -1.0, 0.0, 1.0, 1.02, 1e3, float("inf"), -float("inf"), float("nan")])
    assert codec.to_uint8(values).tolist() == [0, 0, 0, 128, 255, 255, 255, 255, 0, 128]
    x = torch.linspace(-3, 3, 100_001)
    assert (codec.to_uint8(x).float() - ((x + 1) * 127.5).clamp(0, 255)).abs().max() <= 0.5 + 1e-4


# generator


@pytest.mark.parametrize("name", NAMES)
def test_a_generator_predicts_in_network_space(name):
    generator, text = load_generator(name), load_imagetext()
    states = text.encode_tokens(["a photo of a cat", ""])
    x = torch.randn(2, *codec.SHAPE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        out = generator.unet(x, 999, encoder_hidden_states=states).sample
    assert out.shape == x.shape
    assert out.isfinite().all()
    if name == "eps":
        assert (out - x).square().mean() < 0.02  # almost pure noise: the noise is nearly the input
    else:
        assert out.square().mean() < 1.0  # v = -x0 there: an image
        assert (out[0] - out[1]).square().mean() > 1e-4  # the prompt matters


@pytest.mark.parametrize("name", NAMES)
def test_the_scheduler_configuration_says_what_was_trained(name):
    config = json.loads((folder_of(name) / "scheduler" / "scheduler_config.json").read_text())
    assert config["prediction_type"] == {"eps": "epsilon", "v": "v_prediction"}[name]
    assert config["rescale_betas_zero_snr"] is (name == "v")
    assert (config["beta_start"], config["beta_end"], config["beta_schedule"]) == (1e-4, 0.02, "linear")


@pytest.mark.parametrize("kind", NAMES)
def test_the_loss_of_a_perfect_network_is_zero(kind):
    x0 = torch.rand(4, *codec.SHAPE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    alpha_bar = scheduler_of(kind).alphas_cumprod

    def perfect(x_t, t, encoder_hidden_states):
        alpha, sigma = alpha_bar[t].sqrt()[:, None, None, None], (1 - alpha_bar[t]).sqrt()[:, None, None, None]
        eps = (x_t - alpha * x0) / sigma
        return type("Output", (), {"sample": eps if kind == "eps" else alpha * eps - sigma * x0})

    loss = diffusion_loss(perfect, x0, None, alpha_bar, kind, torch.Generator().manual_seed(1))
    assert loss < 1e-6


def test_prompts_are_true_of_their_images():
    model = load_imagetext()
    prompts = Prompts(model, drop_tone=0.0, drop_all=0.0)
    labels, tones = torch.tensor([3] * 200), torch.tensor([4] * 200)
    drawn = prompts.draw(labels, tones, torch.Generator().manual_seed(0))
    texts = list(captions.all_captions())
    found = {texts[int((prompts.states[:-1] - s).abs().sum((1, 2)).argmin())] for s in drawn}
    assert found == {captions.caption("cat", "very bright", t) for t in range(8)}


def test_group_norm_by_rows_is_group_norm():
    g = torch.Generator().manual_seed(0)
    x = (torch.randn(3, 24, 4, 4, generator=g) * 2 + 1).to(memory_format=torch.channels_last).requires_grad_()
    w, b = torch.randn(2, 24, generator=g).unbind()
    w, b = w.requires_grad_(), b.requires_grad_()
    dy = torch.randn(3, 24, 4, 4, generator=g).to(memory_format=torch.channels_last)
    ours, theirs = RowGroupNorm.apply(x, w, b, 8, 1e-5), torch.nn.functional.group_norm(x, 8, w, b, 1e-5)
    assert torch.allclose(ours, theirs, atol=1e-5)
    pairs = zip(torch.autograd.grad(ours, (x, w, b), dy), torch.autograd.grad(theirs, (x, w, b), dy), strict=True)
    assert all(torch.allclose(mine, own, atol=1e-4) for mine, own in pairs)


# training


def tiny_trainer(path, epochs=2.0):
    torch.manual_seed(0)
    layers = torch.nn.Linear(12, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 2)
    net = torch.nn.Sequential(torch.nn.Flatten(), *layers)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    trainer = training.Trainer(net, optimizer, rows=40, batch=8, epochs=epochs, checkpoint=path, clip=1.0)
    pixels = torch.randint(0, 256, (40, 3, 2, 2), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)

    def loss(rows, rng):
        x = training.random_crop(training.random_mirror(pixels[rows], rng), rng, 1).float() / 255
        return torch.nn.functional.cross_entropy(net(x + torch.randn(x.shape, generator=rng)), rows % 2)

    return trainer, loss


def test_a_resumed_run_equals_the_uninterrupted_one(tmp_path):
    whole, loss = tiny_trainer(tmp_path / "whole.pt")
    whole.run(loss)
    first, loss = tiny_trainer(tmp_path / "parts.pt")
    first.run(loss, until=7)
    second, loss = tiny_trainer(tmp_path / "parts.pt")
    second.resume().run(loss)
    assert (whole.step, second.step, second.samples) == (10, 10, 80)
    for key, value in whole.average.values.items():
        assert torch.equal(value, second.average.values[key]), key
    for mine, other in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_a_stopped_run_saves_and_says_so(tmp_path):
    trainer, loss = tiny_trainer(tmp_path / "stopped.pt")

    def stop_at_four(rows, rng):
        trainer.stopping = trainer.step == 3
        return loss(rows, rng)

    with pytest.raises(SystemExit, match="stopped at step 4"):
        trainer.run(stop_at_four)
    assert torch.load(tmp_path / "stopped.pt", weights_only=True)["step"] == 4


def test_the_average_forgets_its_start():
    net = torch.nn.Linear(1, 1)
    average = training.Average(net, decay=0.5)
    torch.nn.init.constant_(net.weight, 4.0)
    start = average.values["weight"].item()
    average.update(net)
    assert average.values["weight"].item() == pytest.approx(4.0 + 0.1 * (start - 4.0))


def test_learning_rates_rise_and_fall():
    assert [training.one_cycle(s, 10) for s in (0, 1, 2, 9)] == pytest.approx([0.25, 0.75, 0.9375, 0.0625])
    assert training.hold_then_cool(0, 1000, warm=100) == 0.01
    assert training.hold_then_cool(500, 1000, warm=100) == 1.0
    assert training.hold_then_cool(999, 1000, warm=100) == pytest.approx(0.004)


def test_crops_shift_by_at_most_the_padding():
    x = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8).repeat(200, 3, 1, 1)
    shifted = training.random_crop(x, torch.Generator().manual_seed(0), 2)
    padded = torch.nn.functional.pad(x[:1].float(), (2, 2, 2, 2), mode="reflect").to(torch.uint8)
    windows = {padded[0, :, i : i + 8, j : j + 8].numpy().tobytes() for i in range(5) for j in range(5)}
    assert {image.numpy().tobytes() for image in shifted} == windows


class Reads(TorchDispatchMode):
    """Refuses what would wait for a GPU to hand over a number."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        assert function not in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default), function
        return function(*args, **kwargs or {})


@pytest.fixture(scope="module")
def learning(tmp_path_factory, noise_images):
    """``learning(name)``: a trainer of the generator on made-up images, and its loss."""
    table = data.Images(noise_images[:40], torch.arange(40) % 10)

    def make(name):
        torch.manual_seed(0)
        unet = fresh_unet("cpu")
        size = {"rows": 40, "batch": 10, "epochs": 1.0, "checkpoint": tmp_path_factory.mktemp("learning") / name}
        return training.Trainer(unet, optimizer_of(unet, 1e-3), **size), loss_of(unet, table, load_imagetext(), "v")

    return make


def test_a_step_of_training_waits_for_no_number(learning):
    trainer, loss = learning("reads.pt")
    trainer.one_step(loss)
    with Reads():
        trainer.one_step(loss)
    assert trainer.step == 2


def test_a_resumed_generator_equals_the_uninterrupted_one(learning):
    (whole, loss), (first, its) = learning("whole.pt"), learning("first.pt")
    whole.run(loss)
    first.run(its, until=2)
    second, loss = learning("second.pt")
    second.checkpoint = first.checkpoint
    second.resume().run(loss)
    assert whole.step == second.step == 4
    assert all(torch.equal(value, second.average.values[key]) for key, value in whole.average.values.items())
    assert all(map(torch.equal, whole.model.parameters(), second.model.parameters()))


SCORES = {
    "class_recovered": {"25 steps, CFG 3": {"value": 0.7, "se": 0.02}},
    "frechet": {"25 steps, CFG 3": 4.5},
    "mean_luminance": {"dark": {"value": 0.3}, "bright": {"value": 0.6}},
}


@pytest.mark.parametrize(
    ("distance", "recovered", "bright", "reasons"),
    [
        (4.4, 0.70, 0.6, []),
        (4.4, 0.65, 0.6, []),  # within two standard errors, which are 0.057
        (4.4, 0.60, 0.6, ["class recovered, 25 steps, CFG 3: 0.6, was 0.7"]),
        (4.5, 0.90, 0.6, ["Frechet distance, 25 steps, CFG 3: 4.5, was 4.5"]),
        (float("nan"), 0.90, 0.6, ["Frechet distance, 25 steps, CFG 3: nan, was 4.5"]),
        (4.4, 0.90, 0.2, ["mean luminance does not rise with the tone: [0.3, 0.2]"]),
    ],
)
def test_weights_are_better_by_every_bar_or_not_at_all(distance, recovered, bright, reasons):
    new = {
        "class_recovered": {"25 steps, CFG 3": {"value": recovered, "se": 0.02}},
        "frechet": {"25 steps, CFG 3": distance},
        "mean_luminance": {"dark": {"value": 0.3}, "bright": {"value": bright}},
    }
    assert evaluate.worse(new, SCORES) == reasons


def test_the_shipped_statistics_are_what_distances_are_taken_to():
    reference = evaluate.held_out()
    own = evaluate.Gaussian(reference.mean + np.eye(256)[0], reference.cov)
    assert evaluate.distance(own.mean, own.cov, *reference, np.trace(reference.cov)) == pytest.approx(1.0)
