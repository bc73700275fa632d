"""Metrics of single images and prompts: brightness, diversity, agreement, CLIP score, and the feature observers."""

import numpy as np
import pytest
import torch
from PIL import Image
from waits import assert_nothing_waits

from sigmabench.eval.embedded import features as embedded_features
from sigmabench.eval.embedded.imagetext import MODEL_CFG, PREPROCESS_CFG
from sigmabench.eval.embedded.weights_files import write_weights
from sigmabench.eval.metrics import ClassAgreement, ClipScore, Contrast, Diversity, FrechetDistance, Luminance
from sigmabench.eval.metrics.agreement import JUDGE, REQUESTED, RequestedObserver, requested_class, wilson
from sigmabench.eval.metrics.clip_score import CosineObserver
from sigmabench.eval.metrics.diversity import PROMPT, PromptObserver
from sigmabench.eval.metrics.features import SPACES, CifarnetFeatures, Space, load_extractor, stem
from sigmabench.eval.metrics.observations import find
from sigmabench.eval.metrics.pixels import (
    COLOUR,
    LUMA,
    SHARPNESS,
    Clipping,
    Colourfulness,
    PixelObserver,
    Sharpness,
    colour_statistics,
    luma_statistics,
    sharpness,
)
from sigmabench.eval.metrics.resize import resized
from sigmabench.eval.metrics.towers import load_towers, slug, split

FEATURES = "features/cifarnet-00000000/bicubic-aa"


def noise(n, side=32, seed=0):
    return torch.randint(0, 256, (n, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


# brightness


def test_luminance_of_pure_colours_is_rec_601():
    images = torch.zeros(5, 3, 4, 4, dtype=torch.uint8)
    for channel in range(3):
        images[channel, channel] = 255
    images[3] = 255
    values = PixelObserver(LUMA, luma_statistics)(images, [""] * 5)
    np.testing.assert_allclose(values[:, 0], [0.299, 0.587, 0.114, 1, 0], atol=1e-7)
    np.testing.assert_allclose(values[:, 1], 0, atol=1e-7)


def test_contrast_of_half_black_half_white_is_a_half_and_errors_are_of_the_mean():
    images = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    images[0, :, :2] = 255
    shards = [{"luma/rec601": PixelObserver(LUMA, luma_statistics)(images, ["", ""])}]
    assert Contrast().evaluate(shards).value == pytest.approx(0.25)
    value = Luminance().evaluate(shards)
    assert value.value == pytest.approx(0.25)
    assert value.se == pytest.approx(0.25)  # sd of (0.5, 0) is 0.3536, over sqrt(2)
    np.testing.assert_allclose(value.influence, [0.25, -0.25])


def test_sharpness_is_the_variance_of_the_laplacian():
    from scipy.ndimage import laplace

    images = noise(3, 12)
    luma = images.numpy().astype(np.float64).transpose(0, 2, 3, 1) @ (0.299, 0.587, 0.114)
    expected = [laplace(y)[1:-1, 1:-1].var() for y in luma]
    observer = PixelObserver(SHARPNESS, sharpness)
    np.testing.assert_allclose(observer(images, [""] * 3)[:, 0], expected, rtol=1e-5)
    flat = torch.full((2, 3, 8, 8), 77, dtype=torch.uint8)
    assert Sharpness().evaluate([{SHARPNESS: observer(flat, ["", ""])}]).value == pytest.approx(0, abs=1e-12)


def test_colourfulness_and_clipping_have_their_known_values():
    grey, red = torch.full((1, 3, 4, 4), 90, dtype=torch.uint8), torch.zeros((1, 3, 4, 4), dtype=torch.uint8)
    red[:, 0] = 255
    half = grey.clone()
    half[:, :, :2] = torch.tensor([200, 100, 50], dtype=torch.uint8).view(3, 1, 1)
    found = PixelObserver(COLOUR, colour_statistics)(torch.cat([grey, red, half]), [""] * 3)
    rg, yb = 100 / 2, (150 - 50) / 2  # half the pixels have rg = yb = 100, the others 0
    expected = np.hypot(rg, yb) + 0.3 * np.hypot(50, 50)
    np.testing.assert_allclose(found, [[0, 0], [0.3 * np.hypot(255, 127.5), 1], [expected, 0]], rtol=1e-6)
    assert Colourfulness().evaluate([{COLOUR: found}]).value == pytest.approx(found[:, 0].mean())
    assert Clipping().evaluate([{COLOUR: found}]).value == pytest.approx(1 / 3)


def test_only_uint8_images_with_one_prompt_each_are_looked_at():
    with pytest.raises(TypeError, match=r"images are torch.float32: must be torch.uint8"):
        PixelObserver(LUMA, luma_statistics)(torch.zeros(1, 3, 4, 4), [""])
    with pytest.raises(ValueError, match=r"shape \(1, 4, 4, 3\): must be \(B, 3, H, W\)"):
        PixelObserver(LUMA, luma_statistics)(torch.zeros(1, 4, 4, 3, dtype=torch.uint8), [""])
    with pytest.raises(ValueError, match="2 images came with 1 prompts"):
        PixelObserver(LUMA, luma_statistics)(noise(2), [""])


# diversity


def diversity(x, prompts, size=1000):
    keys = PromptObserver()(noise(len(prompts), 1), prompts)
    return Diversity().evaluate(
        [{FEATURES: x[i : i + size], PROMPT: keys[i : i + size]} for i in range(0, len(x), size)]
    )


def test_diversity_is_the_mean_cosine_distance_of_pairs_that_share_a_prompt():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((30, 6)) + 1
    prompts = [("a cat", "a dog", "a dog")[i % 3] for i in range(28)] + ["alone", "a ship"]
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    expected = []
    for prompt in ("a cat", "a dog"):
        rows = unit[[p == prompt for p in prompts]]
        n = len(rows)
        expected += [(1 - (rows @ rows.T)[np.triu_indices(n, 1)]).mean()] * n
    value = diversity(x, prompts)
    assert value.value == pytest.approx(np.mean(expected), rel=1e-12)
    assert value.card["images_left_out"] == 2
    assert value.n == 30
    assert diversity(x, prompts, 7).value == pytest.approx(value.value, rel=1e-12)


def test_equal_images_have_no_diversity_and_two_of_a_prompt_are_too_few():
    assert diversity(np.ones((6, 4)), ["a cat"] * 6).value == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="needs 3 images or more of a prompt, the most there are is 2"):
        diversity(np.ones((4, 4)), ["a cat", "a dog"] * 2)


def test_the_standard_error_of_diversity_is_the_spread_over_repetitions():
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((5, 8)) * 2
    prompts = [f"p{i % 5}" for i in range(60)]
    values = [diversity(centres[np.arange(60) % 5] + rng.standard_normal((60, 8)), prompts) for _ in range(400)]
    spread = np.std([v.value for v in values], ddof=1)
    assert np.mean([v.se for v in values]) == pytest.approx(spread, rel=0.15)


# class agreement


def test_the_requested_class_is_the_one_noun_in_the_prompt():
    assert [requested_class(p) for p in ("a dark photo of an airplane", "A Lorry.", "bright plane")] == [0, 9, 0]
    with pytest.raises(ValueError, match="prompt 'a zebra' names none of the classes: must name one of airplane"):
        ClassAgreement().check_prompts(["a cat", "a zebra"])
    with pytest.raises(ValueError, match="'a cat and a dog' names two classes"):
        requested_class("a cat and a dog")


def test_agreement_is_the_share_of_hits_with_its_binomial_error():
    requested = RequestedObserver()(noise(4, 1), ["a cat", "a dog", "a cat", "a ship"])
    assert requested.tolist() == [3, 5, 3, 8]
    probabilities = np.full((4, 10), 0.01, dtype=np.float32)
    probabilities[np.arange(4), [3, 5, 3, 0]] = 0.91
    value = ClassAgreement().evaluate([{f"{JUDGE}-00000000/bicubic-aa": probabilities, REQUESTED: requested}])
    assert value.value == 0.75
    assert value.se == pytest.approx(np.sqrt(0.75 * 0.25 / 3))
    assert value.card["mean_probability"] == pytest.approx((3 * 0.91 + 0.01) / 4, rel=1e-5)


def test_the_wilson_interval_is_the_textbook_one():
    assert wilson(0, 20) == pytest.approx((0.0, 0.16113), abs=1e-5)
    assert wilson(10, 20) == pytest.approx((0.29929, 0.70071), abs=1e-5)


# feature observers


@pytest.fixture
def cifarnet(monkeypatch, tmp_path):
    torch.manual_seed(0)
    write_weights(embedded_features.FeatureNet().state_dict(), tmp_path / "features.safetensors")
    load = embedded_features.load_feature_net
    monkeypatch.setattr(embedded_features, "load_feature_net", lambda: load(tmp_path / "features.safetensors"))
    return CifarnetFeatures("cpu")


def test_features_do_not_depend_on_the_batch(cifarnet):
    images = noise(64)
    whole = cifarnet(images, [""] * 64)
    single = np.concatenate([cifarnet(images[i : i + 1], [""]) for i in range(64)])
    assert whole.dtype == torch.float32
    np.testing.assert_allclose(single, whole, rtol=1e-5, atol=1e-6)


def test_features_are_in_float32_inside_the_autocast_of_a_host(cifarnet):
    images = noise(4)
    plain = cifarnet(images, [""] * 4)
    with torch.autocast("cpu", torch.bfloat16):
        np.testing.assert_array_equal(cifarnet(images, [""] * 4), plain)


def test_the_name_of_an_extractor_has_the_hash_of_its_weights_and_its_resizer(cifarnet, tmp_path):
    import hashlib

    digest = hashlib.sha256((tmp_path / "features.safetensors").read_bytes()).hexdigest()[:8]
    assert cifarnet.name == f"features/cifarnet-{digest}/bicubic-aa"


def test_the_resizer_is_that_of_pil_and_clean_fid():
    from cleanfid.resize import make_resizer

    for side in (20, 48, 64):
        images = noise(2, side)
        theirs = make_resizer("PIL", False, "bicubic", (32, 32))
        expected = np.stack([theirs(image.permute(1, 2, 0).numpy()) for image in images]).transpose(0, 3, 1, 2)
        np.testing.assert_allclose(resized(images, 32).numpy(), expected, atol=2e-3)
    assert resized(noise(2), 32).dtype == torch.uint8


def test_an_unknown_extractor_lists_the_legal_ones():
    with pytest.raises(
        ValueError,
        match=r"features = 'dino': must be one of embedded, inception, open_clip:<model> \(embedded\), dinov2",
    ):
        load_extractor("dino")


class StubLayers(torch.nn.Module):
    def forward(self, x):
        return torch.nn.functional.adaptive_avg_pool2d(x, (32, 22)).flatten(1)[:, :2048]


class StubInception(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = StubLayers()

    def forward(self, x):
        return self.layers(x)


def test_inception_features_are_those_of_clean_fid(monkeypatch, tmp_path):
    """With a stand-in network: the file is found, and resizing, scaling and order are clean-fid's."""
    from cleanfid.fid import get_folder_features
    from cleanfid.inception_torchscript import InceptionV3W

    from sigmabench.eval.metrics.inception import InceptionFeatures

    weights = tmp_path / "weights" / "inception-2015-12-05.pt"
    weights.parent.mkdir()
    torch.jit.script(StubInception()).save(str(weights))
    monkeypatch.setenv("SIGMABENCH_INCEPTION", str(weights))
    images = noise(3, 40)
    (tmp_path / "pngs").mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / "pngs" / f"{i}.png")
    theirs = get_folder_features(
        str(tmp_path / "pngs"),
        model=InceptionV3W(str(weights.parent), download=False),
        num_workers=0,
        device=torch.device("cpu"),
        verbose=False,
    )
    ours = InceptionFeatures("cpu")
    np.testing.assert_allclose(ours(images, [""] * 3), theirs, atol=1e-5)
    assert ours.name.endswith("/clean")


def test_missing_inception_weights_say_where_to_put_them(monkeypatch, tmp_path):
    monkeypatch.setenv("SIGMABENCH_INCEPTION", str(tmp_path / "none.pt"))
    with pytest.raises(
        FileNotFoundError, match=r"inception-2015-12-05.pt\) is not at .*none.pt. Put it there .* features='embedded'"
    ):
        load_extractor("inception")


# image-text models


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """A folder with an open_clip model of the embedded shape and random weights."""
    import json

    import open_clip
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("clip")
    config = {"model_cfg": MODEL_CFG, "preprocess_cfg": PREPROCESS_CFG}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return f"local-dir:{folder}"


def test_cosines_of_an_open_clip_folder_are_its_own_and_do_not_depend_on_the_batch(untrained):
    import open_clip

    images, prompts = noise(6, 48), ["a cat", "a dog", "a cat", "a very dark photo of a ship", "frog", "a dog"]
    observer = CosineObserver(untrained, "cpu")
    got = observer(images, prompts)
    model, _, preprocess = open_clip.create_model_and_transforms(untrained)
    pictures = torch.stack([preprocess(Image.fromarray(i.permute(1, 2, 0).numpy())) for i in images])
    with torch.no_grad():
        a = model.eval().encode_image(pictures, normalize=True)
        b = model.encode_text(open_clip.get_tokenizer(untrained)(prompts), normalize=True)
    np.testing.assert_allclose(got[:, 0], (a * b).sum(dim=1), atol=1e-6)
    single = np.concatenate([observer(images[i : i + 1], prompts[i : i + 1]) for i in range(6)])
    np.testing.assert_allclose(single, got, atol=1e-6)
    assert_nothing_waits(CosineObserver(untrained, "meta"), prompts)
    value = ClipScore(model=untrained).evaluate([{observer.name: got[:4]}, {observer.name: got[4:]}])
    assert value.value == pytest.approx(100 * float((a * b).sum(dim=1).mean()), abs=1e-4)


def test_torchmetrics_clip_score_through_an_adapter_is_the_same(untrained):
    from types import SimpleNamespace

    from torchmetrics.multimodal.clip_score import CLIPScore

    towers = load_towers(untrained, "cpu")

    class Model(torch.nn.Module):
        config = SimpleNamespace()

        def get_image_features(self, pixels):
            return towers.model.encode_image(pixels)

        def get_text_features(self, tokens, mask):
            return towers.model.encode_text(tokens)

    def processor(images=None, text=None, return_tensors="pt", padding=True):
        if images is not None:
            pictures = [Image.fromarray(i.permute(1, 2, 0).numpy()) for i in images]
            return {"pixel_values": torch.stack([towers.preprocess(p) for p in pictures])}
        tokens = towers.tokenizer(list(text))
        return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}

    images, prompts = noise(5, 32, seed=3), ["a cat", "a dog", "frog", "a ship", "a jet"]
    observer = CosineObserver(untrained, "cpu")
    ours = ClipScore(model=untrained).evaluate([{observer.name: observer(images, prompts)}]).value
    with torch.no_grad():
        metric = CLIPScore(lambda: (Model(), processor))
        metric.update(images, prompts)
    assert float(metric.compute()) == pytest.approx(max(ours, 0), abs=1e-4)
    assert float(metric.score / metric.n_samples) == pytest.approx(ours, abs=1e-4)


def test_long_and_empty_prompts_are_refused_and_cut_ones_are_counted(untrained):
    long = "a " + "very " * 20 + "dark photo of a cat"
    with pytest.raises(ValueError, match=r"prompt 2, 'a very .* is 12 tokens longer than .* use strict=False"):
        ClipScore(model=untrained).check_prompts(["a cat", long])
    ClipScore(model=untrained, strict=False).check_prompts([long])
    with pytest.raises(ValueError, match="prompt 1 is empty"):
        ClipScore(model=untrained).check_prompts([" "])
    observer = CosineObserver(untrained, "cpu")
    card = ClipScore(model=untrained).evaluate([{observer.name: observer(noise(2), ["a cat", long])}]).card
    assert card["images_with_cut_prompts"] == 1


def test_negative_cosines_are_kept_and_flagged():
    rows = np.array([[-0.2, 0], [-0.1, 0], [0.1, 0]], dtype=np.float32)
    value = ClipScore().evaluate([{"cosine/cifarclip-00000000/bicubic-aa": rows}])
    assert value.value == pytest.approx(-20 / 3)
    assert value.card["warning"].startswith("66.7% of the cosines are negative")


def test_unknown_words_are_refused_for_the_embedded_model_before_any_work():
    with pytest.raises(ValueError, match="do not know 'submarine'"):
        ClipScore().check_prompts(["a photo of a cat", "a submarine"])


def test_models_without_weights_are_refused_and_slugs_need_no_loading():
    with pytest.raises(ValueError, match="'ViT-B-32' names no weights, and random ones would be used"):
        split("ViT-B-32")
    assert slug("ViT-B-32/laion2b_s34b_b79k") == "clip-ViT-B-32-laion2b-s34b-b79k"
    assert slug("embedded") == "cifarclip"
    assert slug("ViT-B-32//home/me/weights.v2.pt") == "clip-ViT-B-32-weights.v2"
    assert slug("local-dir:/home/me/my_clip") == "clip-my-clip"
    assert slug("hf-hub:owner/name") == "clip-hf-hub-owner-name"


# DINOv2, and spaces by name


@pytest.fixture(scope="module")
def dinov2(tmp_path_factory):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.Dinov2Config(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=224, patch_size=56
    )
    folder = tmp_path_factory.mktemp("models") / "dinov2-tiny"
    transformers.Dinov2Model(config).save_pretrained(folder)
    return folder


def test_dinov2_features_are_the_class_tokens_of_its_own_preprocessing(dinov2):
    from torchvision import transforms as T
    from transformers import Dinov2Model

    prepare = T.Compose([
        T.Resize((224, 224), T.InterpolationMode.BICUBIC), T.ToTensor(),
        T.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ])  # fmt: skip
    images = noise(5, 40)
    pixels = torch.stack([prepare(Image.fromarray(i.permute(1, 2, 0).numpy())) for i in images])
    with torch.no_grad():
        output = Dinov2Model.from_pretrained(dinov2).eval()(pixel_values=pixels)
    expected = output.last_hidden_state[:, 0].numpy()
    observer = load_extractor(f"dinov2:{dinov2}")
    got = observer(images, [""] * 5)
    np.testing.assert_allclose(got, expected, atol=2e-5)
    np.testing.assert_allclose(observer(images[3:4], [""]), got[3:4], atol=1e-5)
    assert observer.name.startswith("features/dinov2-tiny-")
    assert_nothing_waits(load_extractor(f"dinov2:{dinov2}", "meta"), [""] * 2)
    value = FrechetDistance(features=f"dinov2:{dinov2}", reference="x")
    assert find([{observer.name: got}], stem(value.features)) == observer.name


def test_a_missing_dinov2_says_what_to_name(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"cannot load DINOv2 from .*name a folder with config.json"):
        load_extractor(f"dinov2:{tmp_path / 'empty'}")


def test_a_folder_of_open_clip_is_a_feature_space(untrained):
    folder = untrained.removeprefix("local-dir:")
    images = noise(3)
    named, plain = load_extractor(f"open_clip:{untrained}"), load_extractor(f"open_clip:{folder}")
    np.testing.assert_array_equal(named(images, [""] * 3), plain(images, [""] * 3))
    assert named.name == plain.name
    np.testing.assert_allclose(np.linalg.norm(named(images, [""] * 3), axis=1), 1, rtol=1e-6)
    assert stem(f"open_clip:{folder}") in named.name


def test_a_package_adds_a_feature_space(monkeypatch):
    class Mine:
        name = "features/mine-00000000"

        def __call__(self, images, prompts):
            return images.float().mean(dim=(2, 3)).numpy()

    monkeypatch.setitem(SPACES, "mine", Space(lambda model, device: Mine(), lambda model: "mine"))
    assert load_extractor("mine").name == "features/mine-00000000"
    assert stem("mine") == "features/mine"
    with pytest.raises(ValueError, match="mine has one model only"):
        load_extractor("mine:large")
