"""Growth of cost: lines through measurements, and a device that agrees with itself."""

import pytest

from sigmabench.eval.benchmarks.agreement import agreements
from sigmabench.eval.benchmarks.growth import line
from sigmabench.plugins.registry import build, catalogue


def test_a_line_is_found_exactly_and_its_relative_error_named():
    assert line([1, 2, 4, 8], [0.5 + 2 * n for n in (1, 2, 4, 8)]) == pytest.approx((0.5, 2.0, 0.0), abs=1e-12)
    fixed, each, off = line([1, 2, 3], [1.0, 2.2, 3.0])
    assert off == pytest.approx(max(abs((fixed + each * n) / t - 1) for n, t in ((1, 1.0), (2, 2.2), (3, 3.0))))
    assert 0.02 < off < 0.1


def test_every_sampler_that_makes_images_is_compared_between_devices():
    found = list(agreements("cpu"))
    down = [name for name in catalogue("sampler") if not getattr(build("sampler", name), "upwards", False)]
    assert {row.sampler for row in found} == set(down)
    assert {row.process for row in found} == {"VE", "VP", "flow"}
    assert {row.difference for row in found} == {0.0}
