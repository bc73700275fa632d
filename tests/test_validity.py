"""The validity study: its damages, its statistics by definition, and a curve in small."""

import numpy as np
import pytest
import torch

from sigmabench.eval import validity, validity_captions, validity_damage
from sigmabench.eval.embedded.data import Images


def test_the_auc_is_the_share_of_pairs_in_the_right_order():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 9, 40) + 2, rng.integers(0, 9, 60)
    pairs = (a[:, None] > b[None]) + 0.5 * (a[:, None] == b[None])
    assert validity_captions.auc(a, b) == pytest.approx(pairs.mean(), rel=1e-12)


def test_calibration_has_no_gap_for_a_forecaster_who_is_right_as_often_as_said():
    probabilities = np.array([[0.75, 0.25]] * 8 + [[0.55, 0.45]] * 20)
    labels = np.array([0] * 6 + [1] * 2 + [0] * 11 + [1] * 9)
    found = validity_captions.calibration(probabilities, labels)
    assert found["ece"] == pytest.approx(0, abs=1e-12)
    assert found["counts"][7] == 8
    surer = validity_captions.calibration(probabilities, np.zeros(28, dtype=int))
    assert surer["ece"] == pytest.approx((8 * 0.25 + 20 * 0.45) / 28)


def test_damages_do_what_they_say():
    flat = torch.full((4, 3, 32, 32), 128, dtype=torch.uint8)
    assert validity_damage.noisy(flat, 8).float().std().item() == pytest.approx(8, rel=0.05)
    assert torch.equal(validity_damage.blurred(flat, 1.0), flat)
    point = flat.clone()
    point[:, :, 16, 16] = 255
    assert validity_damage.blurred(point, 1.0)[0, 0, 16, 16].item() == pytest.approx(128 + 127 / (2 * np.pi), abs=1)
    rough = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    errors = [
        (validity_damage.compressed(rough, level).int() - rough.int()).abs().float().mean() for level in (5, 50, 90)
    ]
    assert errors == sorted(errors)


def test_the_distance_rises_with_noise_in_both_networks():
    """Smooth random pictures stand in for photographs."""
    random = torch.Generator().manual_seed(1)
    coarse = torch.rand(60, 3, 4, 4, generator=random)
    pixels = torch.nn.functional.interpolate(coarse, 32, mode="bicubic").clamp(0, 1).mul(255).to(torch.uint8)
    spaces = validity.Spaces(Images(pixels, torch.zeros(60, dtype=torch.long)))
    seen = [spaces.rows(validity_damage.noisy(pixels, level)) for level in (0, 40, 120)]
    found = validity.curve(spaces, [0, 40, 120], seen)
    assert found["judge"]["rises"]
    assert found["judge"]["value"][0] == pytest.approx(0, abs=1e-6)
