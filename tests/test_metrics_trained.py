"""Metrics with the embedded weights on images of the embedded generator: they say what a person would say."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sigmabench.eval.embedded.captions import CLASSES, caption
from sigmabench.eval.embedded.weights_files import WEIGHTS
from sigmabench.eval.metrics import ClassAgreement, ClipScore, Diversity, FrechetDistance, KernelDistance, Luminance

NEEDED = ("features.safetensors", "judge.safetensors", "imagetext", "reference/train.safetensors", "generator-v")
MISSING = [file for file in NEEDED if not (WEIGHTS / file).exists()]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"weights not there yet: {', '.join(MISSING)}")


@pytest.fixture(scope="module")
def drawn():
    """uint8 (100, 3, 32, 32) and their prompts, ten of each class, guidance 3."""
    return draw_images(3.0)


def draw_images(guidance, tone=""):
    from sigmabench.eval.embedded.draw import draw
    from sigmabench.eval.embedded.generator import load_generator
    from sigmabench.eval.embedded.imagetext import load_imagetext

    prompts = [caption(name, tone) for name in CLASSES] * 10
    return draw(load_generator("v"), load_imagetext(), prompts, range(100), steps=8, guidance=guidance), prompts


def value(metric, images, prompts):
    return metric.evaluate([{observer.name: observer(images, prompts) for observer in metric.observers("cpu")}])


def blurred(images, sd):
    x = torch.arange(-6, 7) / sd
    kernel = torch.exp(-(x**2) / 2)
    kernel = (kernel / kernel.sum()).repeat(3, 1)
    padded = F.pad(images.float(), (6, 6, 6, 6), mode="reflect")
    rows = F.conv2d(padded, kernel[:, None, None, :], groups=3)
    return F.conv2d(rows, kernel[:, None, :, None], groups=3).round().clamp(0, 255).byte()


def noisy(images, sd):
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    return (images + sd * noise).round().clamp(0, 255).byte()


def test_the_right_caption_scores_higher_than_a_wrong_one(drawn):
    images, prompts = drawn
    right, wrong = (value(ClipScore(), images, p) for p in (prompts, prompts[1:] + prompts[:1]))
    paired = np.std(right.influence - wrong.influence, ddof=1) / np.sqrt(len(images))
    assert right.value - wrong.value > 10
    assert right.value - wrong.value > 5 * paired


def test_the_judge_recovers_more_classes_than_chance(drawn):
    images, prompts = drawn
    assert value(ClassAgreement(), images, prompts).value > 0.3  # chance is 0.1
    assert value(ClassAgreement(), images, prompts[1:] + prompts[:1]).value < 0.2


@pytest.mark.parametrize("metric", [FrechetDistance(), KernelDistance()], ids=["fd", "kd"])
@pytest.mark.parametrize("harm", [noisy, blurred])
def test_distances_grow_with_damage(drawn, metric, harm):
    images, prompts = drawn
    levels = {noisy: (4, 8, 16), blurred: (1, 1.5, 2.5)}[harm]  # slight blur helps drawn images, strong noise saturates
    values = [value(metric, harm(images, level), prompts).value for level in levels]
    assert value(metric, images, prompts).value < values[0] < values[1] < values[2]


def test_dark_prompts_give_darker_images_than_bright_ones():
    dark, bright = (value(Luminance(), *draw_images(3.0, tone)) for tone in ("very dark", "very bright"))
    assert bright.value - dark.value > 0.1


def test_guidance_lowers_diversity(drawn):
    plain, guided = value(Diversity(), *draw_images(1.0)), value(Diversity(), *drawn)
    assert plain.value - guided.value > 2 * np.hypot(plain.se, guided.se)
