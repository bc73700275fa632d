"""`sigmabench optimise`: levels for a model, better than usual ones on images that they were not found on."""

import pytest

from sigmabench.eval.errors import UsageError
from sigmabench.eval.optimising import optimise
from sigmabench.eval.sweep import Sweep
from sigmabench.plugins.registry import build

FIELDS = {"models": ["gaussian_mixture(size=6)"], "guidance": ["cfg(2)"], "images": 6, "steps": [4], "device": "cpu"}


def search(method="gits", fine=24, **changes):
    return list(optimise(Sweep(**{**FIELDS, **changes}), method, fine))


@pytest.mark.parametrize("method", ["gits", "optimal_steps"])
def test_found_levels_are_a_spacing_that_beats_the_usual_ones_on_other_images(method):
    (found,) = search(method)
    assert found.error < 0.9 * min(found.usual.values())
    spacing = build("spacing", found.spacing)
    assert len(spacing.sigmas) == 4
    assert search(method) == [found]


def test_a_model_that_starts_at_pure_noise_gets_levels_after_it():
    flow = "gaussian_mixture(size=6, schedule=flow, prediction=flow)"
    four, six = search(models=[flow], steps=[4, 6])
    assert [len(build("spacing", found.spacing).sigmas) for found in (four, six)] == [3, 5]
    assert four.error < 0.9 * min(four.usual.values())
    assert six.error < four.error


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "greedy"}, "method = 'greedy': must be one of gits, optimal_steps"),
        ({"fine": 4}, "fine = 4: must be more than steps = 4, at best 50 to 100"),
        ({"guidance": ["perp_neg"]}, "needs a text for negative"),
    ],
)
def test_what_cannot_be_searched_is_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        search(**changes)


def test_an_unconditional_model_is_searched_without_prompts(tmp_path):
    import diffusers
    from tiny_pipelines import pixel_unet

    diffusers.DDPMPipeline(pixel_unet(), diffusers.DDPMScheduler()).save_pretrained(tmp_path)
    (found,) = search(models=[f"diffusers(path={str(tmp_path)!r})"], guidance=["cfg(1)"], images=2, fine=12)
    assert found.error < min(found.usual.values())
