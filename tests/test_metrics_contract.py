"""What the harness relies on: every metric enters the registry, imports are cheap, and defaults need no network
(conftest.py refuses it)."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from sigmabench.eval import metrics
from sigmabench.eval.embedded.captions import CLASSES, caption
from sigmabench.eval.embedded.weights_files import WEIGHTS
from sigmabench.plugins.door import check_entry

CLASSES_OF_METRICS = [value for value in vars(metrics).values() if isinstance(value, type)]


@pytest.mark.parametrize("cls", CLASSES_OF_METRICS, ids=lambda cls: cls.__name__)
def test_every_metric_may_enter_the_registry_and_has_defaults(cls):
    check_entry("metric", cls.__name__.lower(), cls, "builtin")
    assert cls() == cls()
    assert cls.minimum >= 2


def test_importing_metrics_imports_no_network_library():
    code = (
        "import sys, sigmabench.eval.metrics; heavy = 'torch torchmetrics open_clip cleanfid scipy requests'; "
        "print([module for module in heavy.split() if module in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def shards_of(observers, images, prompts, size):
    for i in range(0, len(images), size):
        part = slice(i, i + size)
        yield {observer.name: observer(images[part], prompts[part]) for observer in observers}


def weights(*files):
    missing = [file for file in files if not (WEIGHTS / file).exists()]
    return pytest.mark.skipif(bool(missing), reason=f"weights not there yet: {', '.join(missing)}")


@pytest.mark.parametrize(
    "metric",
    [
        pytest.param(metrics.Luminance(), id="luminance"),
        pytest.param(metrics.Contrast(), id="contrast"),
        pytest.param(metrics.FrechetDistance(), id="fd", marks=weights("features.safetensors", "reference")),
        pytest.param(metrics.KernelDistance(), id="kid", marks=weights("features.safetensors", "reference")),
        pytest.param(metrics.Diversity(), id="diversity", marks=weights("features.safetensors")),
        pytest.param(metrics.ClassAgreement(), id="class_agreement", marks=weights("judge.safetensors")),
        pytest.param(metrics.ClipScore(), id="clip_score", marks=weights("imagetext")),
    ],
)
def test_default_metrics_give_numbers_without_a_network(metric):
    prompts = [caption(CLASSES[i % 2]) for i in range(24)]
    images = torch.randint(0, 256, (24, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    if hasattr(metric, "check_prompts"):
        metric.check_prompts(prompts)
    observers = metric.observers("cpu")
    value = metric.evaluate(list(shards_of(observers, images, prompts, 10)))
    again = metric.evaluate(list(shards_of(observers, images, prompts, 24)))
    assert np.isfinite([value.value, value.se]).all()
    assert value.n == len(value.influence) == value.card["n"] == 24
    assert value.influence.dtype == np.float32
    assert abs(value.influence.mean()) < 1e-5 * max(1, abs(value.influence).max())
    assert value.se == pytest.approx(value.influence.std(ddof=1) / np.sqrt(24), rel=1e-5)
    assert again.value == pytest.approx(value.value, rel=1e-4, abs=1e-6)
