"""Known ways in which image metrics go wrong, each with the guard that keeps it out.

Others have their tests beside what they guard: antialiased resizing (images), singular covariances, large offsets,
complex roots and SciPy without ``disp`` (frechet), clamped or cut CLIP scores and unknown words (images), pickles and
stale caches (reference), the error of KID (kid), unequal numbers of images (comparisons), imports without a network
(contract).
"""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sigmabench.eval.embedded.captions import CLASSES, caption
from sigmabench.eval.embedded.codec import to_uint8
from sigmabench.eval.metrics import ClassAgreement, ClipScore, FrechetDistance
from sigmabench.eval.metrics.features import load_extractor
from sigmabench.eval.metrics.frechet import frechet
from sigmabench.eval.metrics.reference import Reference, load_reference


def noise(n, seed=0):
    return torch.randint(0, 256, (n, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@given(st.floats(-1e3, 1e3, width=32))
def test_pixels_are_rounded_and_never_wrap(value):
    """``(x * 255).byte()`` makes 254 of -0.01 and 4 of 1.02."""
    expected = int(np.clip(np.rint((np.float32(value) + np.float32(1)) * np.float32(127.5)), 0, 255))
    assert to_uint8(torch.full((1, 3, 1, 1), value)).unique().tolist() == [expected]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_every_pixel_value_survives_its_trip_through_a_network_dtype(dtype):
    """bfloat16 cannot hold all of [-1, 1] to 1 / 255, so a value may be off by one."""
    levels = torch.arange(256, dtype=torch.float32)
    error = (to_uint8((levels / 127.5 - 1).to(dtype)).int() - levels.int()).abs().max()
    assert error <= (0 if dtype != torch.bfloat16 else 1)


def test_statistics_made_with_another_resizer_are_refused(tmp_path):
    x = np.random.default_rng(0).standard_normal((50, 4))
    np.savez(tmp_path / "a.npz", mu=x.mean(axis=0), sigma=np.cov(x.T), n=50, extractor="cifarnet-00000000/bilinear")
    with pytest.raises(ValueError, match="was made with 'cifarnet-00000000/bilinear'"):
        load_reference(str(tmp_path / "a.npz"), "features/cifarnet-00000000/bicubic-aa", "embedded")


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_the_answer_has_float64_whatever_the_features_have(dtype):
    """torchmetrics casts its result to the dtype of the features: 232.5 for 232.473."""
    rng = np.random.default_rng(1)
    x = (rng.standard_normal((300, 8)) * 9 + 3).astype(dtype)
    reference = Reference("test", np.zeros(8), np.eye(8), 300, path=None)
    name = "features/test-00000000/none"
    exact = frechet([{name: x.astype(np.float64)}], name, reference).value
    assert frechet([{name: x}], name, reference).value == pytest.approx(exact, rel=1e-12)


def test_the_distance_does_not_depend_on_the_batch_size():
    metric, images = FrechetDistance(), noise(64)
    (observer,) = metric.observers("cpu")
    whole = metric.evaluate([{observer.name: observer(images, [""] * 64)}])
    single = np.concatenate([observer(image[None], [""]) for image in images])
    assert metric.evaluate([{observer.name: single}]).value == pytest.approx(whole.value, rel=1e-5)


@pytest.mark.parametrize("metric", [ClipScore(), ClassAgreement()], ids=repr)
def test_prompts_are_joined_by_image_and_not_by_order(metric):
    prompts, images = [caption(CLASSES[i % 10]) for i in range(30)], noise(30)
    order = np.random.default_rng(2).permutation(30)
    observers = metric.observers("cpu")
    straight = metric.evaluate([{o.name: o(images, prompts) for o in observers}])
    mixed = metric.evaluate([{o.name: o(images[order], [prompts[i] for i in order]) for o in observers}])
    assert mixed.value == pytest.approx(straight.value, rel=1e-6)
    np.testing.assert_allclose(mixed.influence, straight.influence[order], atol=1e-4)


def test_networks_are_never_in_training_mode_and_give_no_gradients():
    """Batch normalisation in training mode makes an image's features depend on its neighbours."""
    for features in ("embedded", "open_clip:embedded"):
        observer = load_extractor(features)
        network = getattr(observer, "network", None) or observer.towers.model.clip
        assert not any(module.training for module in network.modules())
        assert not any(parameter.requires_grad for parameter in network.parameters())


def test_a_reference_says_how_many_images_it_is_made_of_and_how_they_were_encoded():
    metric = FrechetDistance()
    (observer,) = metric.observers("cpu")
    card = metric.evaluate([{observer.name: observer(noise(8), [""] * 8)}]).card
    assert card["reference_n"] == 50_000
    assert "JPEG of quality 75" in card["reference_card"]["source"]
    assert card["reference"].startswith("embedded-")
    assert card["extractor"].endswith("/bicubic-aa")
