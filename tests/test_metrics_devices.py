"""Observers on a device that the host does not wait for: the same numbers, and nothing read on the way.

There is no GPU here. The formulas that a GPU takes are compared with PIL's on the CPU, and the observers run on the
meta device, where whatever reads a number is an error.
"""

import numpy as np
import pytest
import torch
from PIL import Image
from waits import Waits

from sigmabench.eval.images import preview
from sigmabench.eval.metrics import ClassAgreement, ClipScore, FrechetDistance, pil_resize, pixels
from sigmabench.eval.metrics.pil_resize import byte_products, float_products, resized_bytes, shortest_middle
from sigmabench.eval.metrics.pixels import PixelObserver, colour_statistics, luma_statistics, sharpness
from sigmabench.eval.metrics.precision import parts
from sigmabench.eval.metrics.texts import Texts
from sigmabench.eval.metrics.towers import usual_preparation
from sigmabench.eval.metrics.trajectory import PathObserver
from sigmabench.eval.references import Solution

SIZES = [(32, 32), (64, 48), (97, 301), (256, 256), (299, 299), (512, 512)]
PROMPTS = ["a photo of a cat", "a photo of a dog", "a photo of a cat"]


def noise(n, size):
    return torch.randint(0, 256, (n, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def by_pil(image, height, width):
    """Across, then down."""
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    for size in ((width, picture.height), (width, height)):
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    return np.asarray(picture)


@pytest.fixture
def on_the_device(monkeypatch):
    """The CPU takes the way of a GPU."""
    monkeypatch.setattr(pil_resize, "on_host", lambda device: False)


# resizing


@pytest.mark.parametrize("size", SIZES)
def test_products_with_pils_weights_are_clean_fids_resize(size):
    from cleanfid.resize import build_resizer

    images, resize = noise(2, size), build_resizer("clean")
    theirs = torch.stack([torch.from_numpy(resize(image.permute(1, 2, 0).numpy())) for image in images])
    ours = float_products(images, 299, 299).clamp(0, 255)
    torch.testing.assert_close(ours, theirs.permute(0, 3, 1, 2), atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("to", [(224, 224), (20, 33), (299, 20)])
def test_products_of_integers_are_pils_bytes_to_the_last_one(size, to):
    images = noise(2, size)
    theirs = [by_pil(image, *to) for image in images]
    assert np.array_equal(byte_products(images, *to).permute(0, 2, 3, 1), np.stack(theirs))
    assert torch.equal(byte_products(images, *to), resized_bytes(images, *to))


@pytest.mark.parametrize("size", [(32, 32), (300, 300), (200, 320), (40, 30)])
def test_pil_goes_across_and_down_in_one_call(size):
    images = noise(1, size)
    picture = Image.fromarray(images[0].permute(1, 2, 0).numpy())
    expected = np.asarray(picture.resize((224, 224), Image.Resampling.BICUBIC))
    assert np.array_equal(resized_bytes(images, 224, 224)[0].permute(1, 2, 0), expected)


def test_large_images_are_resized_some_at_a_time(monkeypatch):
    images = noise(5, (40, 40))
    whole = byte_products(images, 32, 32), float_products(images, 32, 32)
    monkeypatch.setattr("sigmabench.eval.metrics.precision.NUMBERS", 2 * 3 * 40 * 40)
    assert [len(part) for part in parts(images)] == [2, 2, 1]
    assert torch.equal(byte_products(images, 32, 32), whole[0])
    torch.testing.assert_close(float_products(images, 32, 32), whole[1], atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [(40, 40), (480, 640), (231, 300)])
@pytest.mark.parametrize("way", [{}, {"resize_mode": "squash"}, {"interpolation": "random"}])
def test_the_usual_preparation_of_open_clip_is_its_own(size, way, on_the_device):
    from open_clip.transform import PreprocessCfg, image_transform_v2

    images, config = noise(2, size), {"size": (224, 224), "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4), **way}
    theirs = image_transform_v2(PreprocessCfg(**config), is_train=False)
    expected = torch.stack([theirs(Image.fromarray(image.permute(1, 2, 0).numpy())) for image in images])
    prepare = usual_preparation(config)
    torch.testing.assert_close(prepare(images), expected, atol=1e-6, rtol=0)


def test_what_open_clip_seldom_does_is_left_to_it():
    config = {"size": 224, "mean": None, "std": None}
    assert usual_preparation({**config, "resize_mode": "longest"}) is None
    assert usual_preparation({**config, "interpolation": "bilinear"}) is None
    assert usual_preparation({**config, "size": (224, 200)}) is None


def test_the_middle_begins_where_transformers_and_torchvision_begin_it(on_the_device):
    """They differ by a pixel where what is left over is 3, 7, 11 ..."""
    from torchvision.transforms.functional import center_crop, resize

    images = noise(1, (40, 73))
    picture = Image.fromarray(images[0].permute(1, 2, 0).numpy())
    theirs = np.asarray(center_crop(resize(picture, 38, Image.Resampling.BICUBIC), 38))
    wide = np.asarray(resize(picture, 38, Image.Resampling.BICUBIC))
    assert (wide.shape[1] - 38) % 4 == 3
    assert np.array_equal(shortest_middle(images, 38, down=False)[0].permute(1, 2, 0), theirs)
    left = (wide.shape[1] - 38) // 2
    assert np.array_equal(shortest_middle(images, 38, down=True)[0].permute(1, 2, 0), wide[:, left : left + 38])


# statistics of pixels, as numpy computes them


def luma_of(x):
    return np.tensordot(x / 255, (0.299, 0.587, 0.114), axes=(1, 0))


def luma_by_numpy(x):
    flat = luma_of(x).reshape(len(x), -1)
    return np.stack([flat.mean(axis=1), flat.std(axis=1)], axis=1)


def sharpness_by_numpy(x):
    y = 255 * luma_of(x)
    laplacian = y[:, :-2, 1:-1] + y[:, 2:, 1:-1] + y[:, 1:-1, :-2] + y[:, 1:-1, 2:] - 4 * y[:, 1:-1, 1:-1]
    return laplacian.reshape(len(y), -1).var(axis=1, keepdims=True)


def colour_by_numpy(x):
    red, green, blue = x.reshape(len(x), 3, -1).transpose(1, 0, 2)
    rg, yb = red - green, (red + green) / 2 - blue
    spread, shift = np.sqrt(rg.var(axis=1) + yb.var(axis=1)), np.hypot(rg.mean(axis=1), yb.mean(axis=1))
    clipped = ((x <= 0) | (x >= 255)).reshape(len(x), -1).mean(axis=1)
    return np.stack([spread + 0.3 * shift, clipped], axis=1)


BY_NUMPY = {luma_statistics: luma_by_numpy, sharpness: sharpness_by_numpy, colour_statistics: colour_by_numpy}


@pytest.mark.parametrize("formula", BY_NUMPY, ids=lambda formula: formula.__name__)
def test_statistics_of_pixels_are_numpys_to_1e_12(formula):
    images = noise(4, (61, 40))
    np.testing.assert_allclose(formula(images), BY_NUMPY[formula](images.double().numpy()), rtol=1e-12)


# texts


def test_a_prompt_is_asked_for_once_and_alone():
    asked = []

    def make(prompts):
        asked.extend([list(prompts)])
        return torch.tensor([[float(len(prompt))] for prompt in prompts])

    texts = Texts(make)
    assert texts(["cat", "mouse", "cat"]).tolist() == [[3], [5], [3]]
    assert texts(["mouse", "elephant"]).tolist() == [[5], [8]]
    assert sorted(asked) == [["cat"], ["elephant"], ["mouse"]]


# nothing is read


def test_observers_of_the_embedded_metrics_do_not_wait():
    plain = [pixels.Luminance(), pixels.Sharpness(), pixels.Clipping()]
    metrics = [FrechetDistance(), ClipScore(), ClassAgreement(), *plain]
    for observer in (observer for metric in metrics for observer in metric.observers("meta")):
        for size in ((32, 32), (48, 80)):
            images = torch.empty(3, 3, *size, dtype=torch.uint8, device="meta")
            with Waits() as waits:
                answer = observer(images, PROMPTS)
            assert waits.count == 0, observer.name
            assert isinstance(answer, np.ndarray) or answer.device.type == "meta", observer.name
            assert len(answer) == 3


def test_observers_of_x_and_previews_do_not_wait():
    x = torch.empty(3, 4, 8, 8, device="meta")
    observer = PathObserver("dpmpp_3m", "trailing", 50)
    with Waits() as waits:
        found = [Solution()(x, None), observer(x, np.zeros(x.shape, np.float32)), observer(x, None)]
        found += [preview(torch.empty(2, 3, side, side, dtype=torch.uint8, device="meta")) for side in (64, 600)]
    assert waits.count == 0
    assert [one.device.type for one in found] == ["meta"] * 5
    assert [tuple(one.shape) for one in found[1:]] == [(3,), (3,), (2, 3, 64, 64), (2, 3, 200, 200)]


@pytest.mark.parametrize("side", [256, 299])
def test_inceptions_images_are_resized_where_they_are(side):
    from sigmabench.eval.metrics.inception import resized

    with Waits() as waits:
        large = resized(torch.empty(2, 3, side, side, dtype=torch.uint8, device="meta"))
    assert (waits.count, large.shape, large.device.type) == (0, (2, 3, 299, 299), "meta")


def test_a_device_without_float64_is_looked_at_on_the_host():
    from sigmabench.eval.metrics.precision import on_host

    assert [on_host(torch.device(kind)) for kind in ("cpu", "mps", "cuda", "meta")] == [True, True, False, False]


def test_a_statistic_of_the_device_is_that_of_the_host_in_another_order():
    images = noise(6, (16, 16))
    observer = PixelObserver("luma", luma_statistics)
    single = torch.cat([observer(images[i : i + 1], [""]) for i in range(6)])
    assert torch.equal(observer(images, [""] * 6), single)
