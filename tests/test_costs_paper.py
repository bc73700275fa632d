"""The page of costs: what it says of a sweep too large to try is what its arithmetic gives."""

import dataclasses
from pathlib import Path

import pytest

from sigmabench.eval.costs import paper
from sigmabench.eval.costs.paper import Large, sequential, table
from sigmabench.eval.engine import STARTS

PAGE = Path(paper.__file__).with_name("README.md").read_text(encoding="utf-8")


def test_the_tables_are_those_of_the_arithmetic():
    assert "\n".join(table(Large())) in PAGE


def test_the_arithmetic_by_hand():
    """Five times 10^8 images of 40 evaluations at 395.6 TFLOP/s, and rows of 8,200 bytes."""
    large = Large()
    a_second = 0.4 * 989e12
    assert large.network_hours == pytest.approx(5e8 * 40 * 6.761e12 / a_second / 3600)
    assert large.hours * 3600 / 5e8 == pytest.approx((40 * 6.761e12 + 10.47e12) / a_second)
    assert large.files == 10_000 * 101
    assert large.bytes == 5e8 * 8200 + 10_000 * 10 * 3 * 256**2
    assert large.failures == pytest.approx(large.hours / 50_700, rel=0.01)
    assert large.days == pytest.approx(large.hours / 24_000)


def test_what_the_page_says_in_words():
    large = Large()
    assert 50_650 < 1 / paper.FAILURES < 50_750
    assert f"costs {sequential(large, 2000, 0.1):.0%} of the whole".replace("%", " %") in PAGE
    assert round(large.shard_seconds / 60) == 6
    assert f"{dataclasses.replace(large, numbers=514).bytes / 1e12:.1f} TB" in PAGE
    assert -(-large.shard // 64) * 2 == STARTS


def test_operations_are_those_of_the_classes():
    pytest.importorskip("diffusers")
    assert paper.operations() == pytest.approx((paper.UNET, paper.DECODER), rel=1e-4)
