"""Growth of cost: curves through measurements, and a device that agrees with itself."""

import pytest

from sigmabench.eval.benchmarks.agreement import agreements
from sigmabench.eval.benchmarks.fits import exponent, fit
from sigmabench.plugins.registry import build, catalogue


def test_a_line_is_found_exactly_and_its_relative_error_named():
    found = fit([1, 2, 4, 8], [0.5 + 2 * n for n in (1, 2, 4, 8)])
    assert (found.parts, found.off) == (pytest.approx([0.5, 2.0]), pytest.approx(0.0, abs=1e-12))
    (fixed, each), off = fit([1, 2, 3], [1.0, 2.2, 3.0])
    assert off == pytest.approx(max(abs((fixed + each * n) / t - 1) for n, t in ((1, 1.0), (2, 2.2), (3, 3.0))))
    assert 0.02 < off < 0.1


def test_a_square_is_found_with_its_line_and_no_part_is_negative():
    places = [256, 1024, 4096, 9216, 16384]
    found = fit(places, [0.01 + 3e-5 * n + 2e-9 * n * n for n in places], degree=2)
    assert found.parts == pytest.approx([0.01, 3e-5, 2e-9], rel=1e-6)
    assert str(found).format("pixels", "pixels") == "0.01 s + 3e-05 s x pixels + 2e-09 s x pixels^2"
    assert min(fit([1, 2, 3], [1.0, 3.0, 5.0]).parts) == 0  # a line through these begins below zero


def test_an_exponent_is_a_slope_of_logarithms():
    assert exponent([4, 5, 8], [3 * 4**1.5, 0.0, 3 * 8**1.5]) == pytest.approx(1.5)


def test_every_sampler_that_makes_images_is_compared_between_devices():
    found = list(agreements("cpu"))
    down = [name for name in catalogue("sampler") if not getattr(build("sampler", name), "upwards", False)]
    assert {row.sampler for row in found} == set(down)
    assert {row.process for row in found} == {"VE", "VP", "flow"}
    assert {row.difference for row in found} == {0.0}
