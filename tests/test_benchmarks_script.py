"""The script that the sweep is timed beside makes the same images and numbers, so that it is the same work."""

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("cleanfid")
pytest.importorskip("open_clip")

from sigmabench.eval.benchmarks import script, users_script
from sigmabench.eval.benchmarks.swept import PROMPTS
from sigmabench.eval.embedded.generator import folder_of
from sigmabench.eval.metrics.clip_score import ClipScore
from sigmabench.eval.metrics.frechet import FrechetDistance
from sigmabench.eval.metrics.libraries import cleanfid_distance

torch.set_num_threads(1)
IMAGES, STEPS = 4, 4


@pytest.fixture(scope="module")
def theirs():
    return script.script(folder_of("eps"), "cpu")


def test_both_make_the_same_images(theirs, tmp_path):
    """To one level of 255 where a value lies on the edge of two, for diffusers' Euler starts 2e-5 lower."""
    pipe, _ = theirs
    size = {"steps": STEPS, "images": IMAGES, "batch": IMAGES}
    ours = script.swept(folder_of("eps"), **size, device="cpu", keep=True)
    ours.runner.elsewhere(tmp_path / "ours").run(lambda images, cell: None)
    for cell in ours.cells:
        pipe.scheduler = users_script.SCHEDULERS[cell.sampler].from_config(pipe.scheduler.config)
        folder = tmp_path / cell.sampler
        users_script.generate(folder, pipe, PROMPTS, range(IMAGES), STEPS, script.SCALE, IMAGES)
        pairs = zip(
            sorted((tmp_path / "ours/cells" / cell.key / "images").iterdir()), sorted(folder.iterdir()), strict=True
        )
        off = np.stack(
            [abs(np.subtract(*(np.asarray(Image.open(file)).astype(int) for file in pair))) for pair in pairs]
        )
        assert off.max() <= 1
        assert (off > 0).mean() < 0.05


def test_both_find_the_same_numbers_of_the_same_images(theirs, tmp_path):
    """The distance to 1e-6 of itself; the text score to what open_clip's rounding of resized pixels makes of it."""
    pipe, judges = theirs
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (300, 3, 32, 32), dtype=np.uint8))
    for i, image in enumerate(images):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / f"{i:05d}.png")
    prompts = [PROMPTS[i % len(PROMPTS)] for i in range(len(images))]
    found = users_script.numbers(sorted(tmp_path.iterdir()), judges, prompts, 50, pipe.device, cleanfid_distance)
    for metric, tolerance in ((FrechetDistance(), {"rel": 1e-6}), (ClipScore(), {"abs": 0.1})):
        observations = {one.name: np.asarray(one(images, prompts)) for one in metric.observers("cpu")}
        name = {"FrechetDistance": "fd", "ClipScore": "clip_score"}[type(metric).__name__]
        assert found[name] == pytest.approx(metric.evaluate([observations]).value, **tolerance)


def test_a_network_that_answers_zero_is_asked_by_both(tmp_path):
    """Four images of 64 pixels, their numbers of every cell beside ours."""
    silent = script.saved(tmp_path, 64)
    size = {"steps": 2, "images": IMAGES, "batch": 2}
    ours, (pipe, judges) = script.swept(silent, **size, device="cpu"), script.script(silent, "cpu")
    ours.model.network = pipe.unet = script.Silent(ours.model.network)
    found, frame = script.run_script(pipe, judges, **size), ours.numbers()
    for row in frame.itertuples():
        assert found[row.sampler][row.metric] == pytest.approx(row.value, rel=0.01), (row.sampler, row.metric)
